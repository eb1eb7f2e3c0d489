// Drawn examples: two portraits and a group.

const NAMES = ["example-1.jpg", "example-2.jpg", "example-3.jpg"];

/** Show the examples and call `receive(files)` when the user chooses one. Without them the page works too. */
export async function show(receive) {
  const section = document.getElementById("examples");
  const files = await Promise.all(NAMES.map(load));
  for (const file of files.filter(Boolean)) {
    const image = document.createElement("img");
    Object.assign(image, { src: URL.createObjectURL(file), alt: `Drawn example ${NAMES.indexOf(file.name) + 1}` });
    const button = document.createElement("button");
    button.type = "button";
    button.append(image);
    button.addEventListener("click", () => receive([file]));
    section.querySelector(".row").append(button);
    section.hidden = false;
  }
}

async function load(name) {
  try {
    const response = await fetch(name);
    return response.ok ? new File([await response.blob()], name, { type: "image/jpeg" }) : null;
  } catch {
    return null;
  }
}

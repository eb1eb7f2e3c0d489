// One picture in, its answer out. Everything shown is set as text, never as markup.

const picture = document.getElementById("picture");
const drop = document.getElementById("drop");
const preview = document.getElementById("preview");
const answer = document.getElementById("answer");

// The latest request; an earlier one that ends later must not overwrite its answer.
let latest = 0;

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function percent(probability) {
  return `${(100 * probability).toFixed(0)} %`;
}

function row(name, value, note) {
  const description = element("dd", `${value} `);
  description.append(element("small", note));
  return [element("dt", name), description];
}

function showPrediction({ age, gender, ethnicity }) {
  const list = document.createElement("dl");
  if (age) list.append(...row("Age", `${age.years.toFixed(0)} years`, `likely ${age.low.toFixed(0)} to ${age.high.toFixed(0)}`));
  if (gender) list.append(...row("Gender", gender.label, percent(gender.probability)));
  if (ethnicity) list.append(...row("Ethnicity", ethnicity.label, percent(ethnicity.probability)));
  answer.replaceChildren(list);
}

function showProblem(detail) {
  const paragraph = element("p", detail);
  paragraph.className = "problem";
  answer.replaceChildren(paragraph);
}

async function ask(file) {
  const mine = ++latest;
  URL.revokeObjectURL(preview.src);
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  document.getElementById("invitation").hidden = true;
  answer.replaceChildren(element("p", "…"));
  const form = new FormData();
  form.append("picture", file);
  try {
    const response = await fetch("predict", { method: "POST", body: form });
    const body = await response.json();
    if (mine !== latest) return;
    if (response.ok) showPrediction(body.predictions[0]);
    else showProblem(body.detail);
  } catch {
    if (mine === latest) showProblem("The server could not be reached. Try again.");
  }
}

picture.addEventListener("change", () => picture.files[0] && ask(picture.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
  });
}
drop.addEventListener("drop", (event) => event.dataTransfer.files[0] && ask(event.dataTransfer.files[0]));

fetch("health")
  .then((response) => response.json())
  .then(({ model }) => {
    document.getElementById("model").textContent = `Model ${model.name} ${model.version}`;
  });

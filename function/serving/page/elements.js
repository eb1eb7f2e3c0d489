// Elements that several parts of the page make. Text is always set as text, never as markup.

// characters at the end of a file name that stay visible
const NAME_END = 12;

/** Return a new element with a class and text. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

/** Return a new button that calls `pressed`. */
export function button(text, pressed, kind = "") {
  const made = element("button", kind, text);
  made.type = "button";
  made.addEventListener("click", pressed);
  return made;
}

/** Return a file name that CSS shortens in the middle. */
export function fileName(name) {
  const shown = element("span", "name");
  shown.append(element("span", "", name.slice(0, -NAME_END)), element("span", "", name.slice(-NAME_END)));
  return shown;
}

/** Return a number with its noun, such as "1 face" or "3 faces". */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

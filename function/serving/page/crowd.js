// A summary of many faces: shares and ages, corrected by the server for the model's errors.

import { counted, element } from "./elements.js";
import { summarize } from "./server.js";

// More faces than a user takes in one by one.
const MANY = 12;
// why a face or a photo is in no figure, in the server's words and in ours
const NOT_COUNTED = { failed: "photos that failed", without_face: "photos without a face", warned: "faces with a warning" };

const section = document.getElementById("crowd");
const figures = document.getElementById("crowd-figures");

/** Hide the summary. */
export function clear() {
  section.hidden = true;
}

/** Show the summary of all faces if they are many. Nothing is shown after `current()` is false. Throws RequestError. */
export async function show(uploads, current) {
  const faces = uploads.flatMap((upload) => upload.faces ?? []).filter(({ prediction }) => prediction && !prediction.error);
  if (faces.length <= MANY) return;
  const found = await summarize(faces.map(({ prediction }) => prediction));
  if (!current()) return;
  section.hidden = false;
  figures.replaceChildren(...(found.error ? [element("p", "quiet", found.error.detail)] : content(found)));
}

function content({ summary, not_counted, min_group }) {
  const { faces, age, fit, ...heads } = summary;
  const table = element("table");
  table.append(row(...["group", "estimated", "95 % interval", "counted"].map((text) => heading(text, "col"))));
  for (const shares of [...Object.values(heads), age.bands]) {
    for (const [name, share] of Object.entries(shares)) table.append(figure(name, share, 100, "%"));
  }
  table.append(figure("mean age", age.mean, 1, "years"), figure("median age", age.median, 1, "years"));
  const missed = Object.entries(NOT_COUNTED).filter(([reason]) => not_counted[reason]);
  const notes = [
    `${counted(faces, "face")} counted${missed.map(([reason, text]) => `, ${not_counted[reason]} ${text} left out`).join("")}.`,
    "Estimated is corrected for the model's errors. Counted is what the predictions alone give.",
    `Groups of fewer than ${min_group} people are not shown. A person in two photos is counted twice.`,
  ];
  const warning = fit.poor ? [element("p", "problem", "These photos differ from those that the model was tested on. The corrected figures may be wrong.")] : [];
  return [...warning, table, element("p", "quiet", notes.join(" "))];
}

function figure(name, share, scale, unit) {
  const text = (value) => (scale * value).toFixed(0);
  const cells = share
    ? [`${text(share.value)} ${unit}`, `${text(share.low)} to ${text(share.high)}`, `${text(share.counted)} ${unit}`]
    : ["not shown", "", ""];
  return row(heading(name, "row"), ...cells.map((cell) => element("td", "", cell)));
}

function row(...made) {
  const all = element("tr");
  all.append(...made);
  return all;
}

function heading(text, scope) {
  const made = element("th", "", text);
  made.scope = scope;
  return made;
}

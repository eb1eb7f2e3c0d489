// Several photos as a grid of tiles.

import { button, counted, element, fileName } from "./elements.js";
import { errorText } from "./messages.js";
import { shortest, summary } from "./predictions.js";

const list = document.getElementById("tiles");
let tiles = new Map();

/** Show a tile for each upload. Calls `open(upload)` when the user opens one. */
export function show(uploads, open) {
  tiles = new Map(uploads.map((upload) => [upload, button("", () => open(upload), "tile")]));
  list.replaceChildren(...[...tiles.values()].map((tile) => {
    const item = element("li");
    item.append(tile);
    return item;
  }));
  uploads.forEach(update);
}

/** Update an upload's tile, if it has one. */
export function update(upload) {
  tiles.get(upload)?.replaceChildren(thumbnail(upload), fileName(upload.name), content(upload));
}

/** Move the focus to an upload's tile. */
export function focus(upload) {
  tiles.get(upload)?.focus();
}

function content({ faces, error, waiting, readable }) {
  if (error) return element("span", "problem", errorText(error, readable));
  if (!faces) return element("span", "quiet", waiting ? "…" : "no answer");
  if (!faces.length) return element("span", "warned", "No face found");
  if (faces.length === 1) return summary(faces[0]);
  const all = element("span", "summary");
  const prefix = faces.some(({ prediction }) => prediction.age) ? "ages " : "";
  const each = element("span", "ages", prefix + faces.map(shortest).join(", "));
  all.append(element("strong", "", counted(faces.length, "face")), each);
  return all;
}

function thumbnail({ url, error }) {
  const image = element(url ? "img" : "span", "thumbnail", error ? "!" : "");
  if (url) Object.assign(image, { loading: "lazy", src: url, alt: "" });
  return image;
}

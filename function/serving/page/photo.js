// A photo with its faces: boxes on the photo, joined with a list of answers.

import { button, element } from "./elements.js";
import { details, revealing, sentence, shortest, summary } from "./predictions.js";

// pixels, side of a face's thumbnail, and how much of its surroundings it shows
const THUMBNAIL_SIDE = 112;
const SURROUNDINGS = 1.3;
// shares of the photo beyond which a box's tag has no room outside
const TOP_EDGE = 0.08;
const SIDE_EDGE = 0.15;

/** Shows one photo in `stage`, the answers of its faces in `list`. */
export class Photo {
  #stage;
  #list;
  #actions;
  // {box, row} of each face
  #shown = new Map();
  #upload = null;

  /** `actions` are functions of the user's choices: select(face, expanded), reveal(face) and adjust(face). */
  constructor(stage, list, actions) {
    this.#stage = stage;
    this.#list = list;
    this.#actions = actions;
  }

  /** Show an upload and its faces. */
  show(upload) {
    this.#upload = upload;
    this.#shown = new Map((upload.faces ?? []).map((face, index) => [face, this.#parts(face, index)]));
    const parts = [...this.#shown.values()];
    this.#list.classList.toggle("only", parts.length === 1);
    this.#list.replaceChildren(...parts.map(({ row }) => row));
    this.#stage.querySelectorAll(".box").forEach((box) => box.remove());
    this.#stage.append(...parts.map(({ box }) => box));
    this.#showPixels(upload);
    this.mark();
  }

  /** Mark the selected face. */
  mark() {
    const { selected, expanded } = this.#upload;
    for (const [face, { box, row }] of this.#shown) {
      const marked = face === selected;
      box.classList.toggle("selected", marked);
      box.querySelector("input").checked = marked;
      row.classList.toggle("selected", marked);
      row.querySelector(".head").setAttribute("aria-expanded", String(marked && expanded));
      row.querySelector(".body").hidden = !(marked && expanded);
    }
  }

  /** Move the focus to a face's answer. */
  focus(face) {
    const row = this.#shown.get(face)?.row;
    const head = row?.querySelector(".head");
    (head?.checkVisibility() ? head : row?.querySelector(".body button"))?.focus();
  }

  #showPixels({ url, name, width, height }) {
    const image = this.#stage.querySelector("img");
    this.#stage.style.setProperty("--aspect", width && height ? width / height : 1);
    image.alt = `The photo ${name}`;
    if (url && image.src !== url) image.src = url;
    image.hidden = !url;
    if (url && this.#shown.size > 1) this.#drawThumbnails(image);
  }

  async #drawThumbnails(image) {
    try {
      await image.decode();
    } catch {
      // Another photo is shown by now.
      return;
    }
    for (const [face, { row }] of this.#shown) drawThumbnail(row.querySelector("canvas"), image, face.box(this.#upload));
  }

  #parts(face, index) {
    const name = `Face ${index + 1} of ${this.#upload.faces.length}`;
    const parts = { box: this.#box(face, name), row: this.#row(face, index, name) };
    const join = (joined) => Object.values(parts).forEach((part) => part.classList.toggle("joined", joined));
    for (const part of Object.values(parts)) {
      for (const start of ["pointerenter", "focusin"]) part.addEventListener(start, () => join(true));
      for (const end of ["pointerleave", "focusout"]) part.addEventListener(end, () => join(false));
    }
    return parts;
  }

  #box(face, name) {
    const place = face.box(this.#upload);
    const box = element("label", "box");
    for (const [side, share] of Object.entries(visible(place))) box.style.setProperty(`--${side}`, share);
    const center = place.left + place.width / 2;
    box.classList.toggle("inside", place.top < TOP_EDGE);
    box.classList.toggle("start", center < SIDE_EDGE);
    box.classList.toggle("end", center > 1 - SIDE_EDGE);
    const input = element("input", "unseen");
    Object.assign(input, { type: "radio", name: "face" });
    input.setAttribute("aria-label", `${name}: ${sentence(face)}`);
    input.addEventListener("change", () => {
      this.#actions.select(face);
      this.#shown.get(face).row.scrollIntoView({ block: "nearest" });
    });
    box.append(input, element("span", "tag", shortest(face)));
    return box;
  }

  #row(face, index, name) {
    const row = element("li", "face");
    const head = button("", () => {
      const { selected, expanded } = this.#upload;
      this.#actions.select(face, !(face === selected && expanded));
    }, "head");
    const thumbnail = element("canvas", "thumbnail");
    Object.assign(thumbnail, { width: THUMBNAIL_SIDE, height: THUMBNAIL_SIDE });
    thumbnail.setAttribute("aria-hidden", "true");
    const body = element("div", "body");
    body.id = `face-${index}`;
    head.setAttribute("aria-controls", body.id);
    head.append(thumbnail, summary(face), element("span", "quiet opened", name), element("span", "closed", "Details"));
    const choices = element("div", "row");
    choices.append(...revealing(face, () => this.#actions.reveal(face)));
    if (this.#upload.readable) choices.append(button("Adjust", () => this.#actions.adjust(face)));
    body.append(details(face), choices);
    body.setAttribute("aria-busy", String(face.waiting));
    row.append(head, body);
    return row;
  }
}

// Return the part of a box within the photo.
function visible({ left, top, width, height }) {
  const [x0, y0] = [Math.max(left, 0), Math.max(top, 0)];
  return { left: x0, top: y0, width: Math.min(left + width, 1) - x0, height: Math.min(top + height, 1) - y0 };
}

function drawThumbnail(canvas, image, { left, top, width, height }) {
  const [across, down] = [image.naturalWidth, image.naturalHeight];
  const side = SURROUNDINGS * Math.max(width * across, height * down);
  const [x, y] = [(left + width / 2) * across - side / 2, (top + height / 2) * down - side / 2];
  canvas.getContext("2d").drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
}

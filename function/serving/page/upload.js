// A photo of the user, and its faces.

import { Face } from "./face.js";
import { whole } from "./pixels.js";

// bytes: largest file sent if the browser cannot show it
const MAX_UNSHOWN = 8 * 2 ** 20;

/** One file of the user. */
export class Upload {
  // pixels of the upright photo, once it was opened
  width = 0;
  height = 0;
  // the bytes to send, null if there are none, and their URL for <img>
  blob = null;
  url = "";
  // the faces, found ones first and largest first; null until the server answered
  faces = null;
  // what the server says of the whole photo
  error = null;
  warnings = [];
  // true while a response is outstanding
  waiting = true;
  // whether the browser can show the file
  readable = true;
  // the face whose answer is open, null for none, and whether its details are shown
  selected = null;
  expanded = true;

  constructor(file) {
    this.file = file;
    this.name = file.name;
  }

  /** Whether there is neither an answer nor an error. */
  get unanswered() {
    return !this.faces && !this.error;
  }

  /** Return the upright pixels as an ImageBitmap, which the caller closes, or null if the browser cannot show the file. */
  async open() {
    try {
      // EXIF orientation is applied by default. Browsers differ in the name of the option.
      const bitmap = await createImageBitmap(this.file);
      [this.width, this.height] = [bitmap.width, bitmap.height];
      return bitmap;
    } catch {
      this.readable = false;
      return null;
    }
  }

  /** Set `blob`, or `error` if there is nothing to send. */
  async prepare() {
    const bitmap = await this.open();
    this.blob = bitmap ? await whole(this.file, bitmap) : await this.#unshown();
    bitmap?.close();
    if (bitmap) this.url = URL.createObjectURL(this.blob);
  }

  /** Take the server's answer; null if a request failed as a whole. */
  settle(detection) {
    this.waiting = false;
    if (!detection) return;
    const { faces, error, warnings } = detection;
    if (error) this.error = error;
    else this.faces = faces.map((found) => new Face(found));
    this.warnings = warnings ?? [];
    this.selected = this.faces?.[0] ?? null;
  }

  /** List a face if it has a prediction, and select it. */
  keep(face) {
    const others = this.faces.filter((each) => each !== face);
    if (!face.prediction) this.faces = others;
    else if (others.length === this.faces.length) this.faces.push(face);
    this.selected = face.prediction ? face : (others[0] ?? null);
  }

  release() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  // The server explains best why a file is not an image.
  async #unshown() {
    if (!this.file.size) return this.#fail("The file is empty.");
    if (this.file.size > MAX_UNSHOWN) return this.#fail("This browser cannot show the file, and it is too large to send.");
    try {
      return new Blob([await this.file.arrayBuffer()]);
    } catch {
      return this.#fail("The browser cannot open the file.");
    }
  }

  #fail(detail) {
    this.waiting = false;
    this.error = { detail };
    return null;
  }
}

// A face of a photo: found by the server, or framed by the user.

import { around, box, central } from "./squares.js";

/** One face, its place, and its prediction. */
export class Face {
  // the user's frame, null without one
  square = null;
  // {age, gender, …, warnings} or {error}; null while there is none
  prediction = null;
  // true while a response is outstanding
  waiting = false;
  // whether the user asked for a withheld prediction
  revealed = false;
  // number of the latest request; responses to earlier ones are ignored
  requested = 0;
  // where the server found the face, and its prediction
  #place = null;
  #detected = null;

  /** `found` is the server's face, null for one that the user is to frame. */
  constructor(found = null) {
    if (!found) return;
    const { box, landmarks, score, ...prediction } = found;
    this.#place = { box, landmarks };
    this.#detected = this.prediction = prediction;
  }

  /** Return where the face is, in shares of the photo. */
  box(photo) {
    return this.square ? box(this.square, photo) : this.#place.box;
  }

  /** Return the frame to start from, in pixels of the photo. */
  start(photo) {
    return this.#place ? around(this.#place.landmarks, photo) : central(photo);
  }

  /** Forget the user's frame. */
  reset() {
    this.square = null;
    this.prediction = this.#detected;
    this.waiting = false;
    this.requested += 1;
  }
}

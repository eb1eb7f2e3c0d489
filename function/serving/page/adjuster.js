// Framing by hand: one face at a time, with a prediction for each frame.

import { Framing } from "./framing.js";
import { framed } from "./pixels.js";
import { RequestError, predict } from "./server.js";

// milliseconds without a change of the frame before a request
const PAUSE = 250;

/** Lets the user frame a face. */
export class Adjuster {
  #framing;
  #updated;
  #failed;
  #upload = null;
  #face = null;
  // timer of a frame that changed and was not sent yet
  #pause = 0;
  // requests that failed as a whole
  #lost = [];

  /** Calls `updated(upload, answered)` after each change, and `failed(upload, error)` with a RequestError. */
  constructor(canvas, sliders, reset, updated, failed) {
    this.#framing = new Framing(canvas, sliders, reset, (square) => this.#changed(square));
    this.#updated = updated;
    this.#failed = failed;
  }

  /** The face that is framed, null for none. */
  get face() {
    return this.#face;
  }

  /** Let the user frame a face of an upload. */
  async start(upload, face) {
    this.stop();
    [this.#upload, this.#face] = [upload, face];
    const bitmap = await upload.open();
    // The user may have left while the photo was decoded.
    if (this.#face !== face) return bitmap?.close();
    const start = face.start(bitmap);
    this.#framing.open(bitmap, face.square ?? start, start);
  }

  /** Request the prediction of the frame as it is. */
  accept() {
    if (this.#framing.square) this.#changed(this.#framing.square);
  }

  /** End framing. A changed frame is still sent. */
  stop() {
    if (this.#pause) this.#request();
    this.drop();
  }

  /** End framing without a request. */
  drop() {
    clearTimeout(this.#pause);
    this.#pause = 0;
    this.#framing.close();
    this.#upload = this.#face = null;
  }

  /** Repeat the failed requests. */
  again() {
    const lost = this.#lost;
    this.#lost = [];
    return Promise.all(lost.map(({ upload, face, blob }) => this.#send(upload, face, blob)));
  }

  #changed(square) {
    const [upload, face] = [this.#upload, this.#face];
    clearTimeout(this.#pause);
    this.#pause = 0;
    if (!square) {
      face.reset();
      upload.keep(face);
      return this.#updated(upload);
    }
    face.square = square;
    face.waiting = true;
    face.revealed = false;
    // A response on its way belongs to another frame.
    face.requested += 1;
    this.#pause = setTimeout(() => this.#request(), PAUSE);
    this.#updated(upload);
  }

  async #request() {
    clearTimeout(this.#pause);
    this.#pause = 0;
    const [upload, face] = [this.#upload, this.#face];
    await this.#send(upload, face, await framed(this.#framing.bitmap, face.square));
  }

  async #send(upload, face, blob) {
    const number = ++face.requested;
    face.waiting = true;
    this.#lost = this.#lost.filter((each) => each.face !== face);
    try {
      const prediction = await predict(blob);
      if (face.requested !== number) return;
      face.prediction = prediction;
      upload.keep(face);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      if (face.requested !== number) return;
      this.#lost.push({ upload, face, blob });
      this.#failed(upload, error);
    }
    face.waiting = false;
    this.#updated(upload, true);
  }
}

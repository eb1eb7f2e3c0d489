// An image of the user, its framed square, and the bytes sent to the server.

// pixels: largest side sent; the model input is far smaller
const SENT_SIDE = 512;
// pixels: smallest side of a frame
const MIN_IMAGE_SIDE = 32;
const MAX_ZOOM = 10;
const JPEG_QUALITY = 0.95;
// Formats sent unchanged. Other formats are sent as JPEG.
const SERVED_TYPES = ["image/jpeg", "image/png", "image/webp"];
// bytes: largest file sent if the browser cannot show it
const MAX_UNSHOWN = 8 * 2 ** 20;

/** One file of the user. `square` is {x, y, side} in pixels of the upright image, null until the user frames it. */
export class Upload {
  square = null;
  // the bytes to send, null if there are none, and their URL for <img>
  blob = null;
  url = "";
  // the server's prediction; null while there is none
  prediction = null;
  // true while a response is outstanding
  waiting = true;
  // whether the browser can show the file, and whether it is a small square image, which needs no frame
  readable = true;
  chip = false;
  // whether the user framed the face, and whether the user asked for a withheld prediction
  framed = false;
  revealed = false;
  // number of the latest request; responses to earlier ones are ignored
  requested = 0;

  constructor(file) {
    this.file = file;
    this.name = file.name;
  }

  /** Whether the prediction is for an image that the user has not framed yet. */
  get provisional() {
    return this.readable && !this.chip && !this.framed;
  }

  /** Return the upright pixels as an ImageBitmap, which the caller closes, or null if the browser cannot show the file. */
  async open() {
    try {
      // EXIF orientation is applied by default. Browsers differ in the name of the option.
      const bitmap = await createImageBitmap(this.file);
      this.chip = bitmap.width === bitmap.height && bitmap.width <= SENT_SIDE;
      return bitmap;
    } catch {
      this.readable = false;
      return null;
    }
  }

  /** Set `blob` to the framed square, or `prediction` to an error. `bitmap` is the result of open(). */
  async prepare(bitmap) {
    const blob = await (bitmap ? this.#crop(bitmap) : this.#whole());
    this.release();
    this.blob = blob;
    if (bitmap) this.url = URL.createObjectURL(blob);
  }

  release() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  async #crop(bitmap) {
    const asIs = this.chip && !this.square && SERVED_TYPES.includes(this.file.type);
    return asIs ? this.file : crop(bitmap, this.square ?? central(bitmap));
  }

  // The server explains best why a file is not an image.
  async #whole() {
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
    this.prediction = { error: { detail } };
    return null;
  }
}

/** Return the largest central square. */
export function central({ width, height }) {
  const side = Math.min(width, height);
  return { x: (width - side) / 2, y: (height - side) / 2, side };
}

/** Return the largest zoom of an image; 1 is the largest square. */
export function mostZoom({ width, height }) {
  return Math.max(1, Math.min(MAX_ZOOM, Math.min(width, height) / MIN_IMAGE_SIDE));
}

/** Move the square by fractions of its side, within the image. */
export function moved({ x, y, side }, across, down, { width, height }) {
  return {
    x: clamp(x + across * side, 0, width - side),
    y: clamp(y + down * side, 0, height - side),
    side,
  };
}

/** Zoom the square around the point (across, down), in fractions of the square. */
export function zoomed(square, zoom, image, across = 0.5, down = 0.5) {
  const side = Math.min(image.width, image.height) / clamp(zoom, 1, mostZoom(image));
  const x = square.x + across * (square.side - side);
  const y = square.y + down * (square.side - side);
  return moved({ x, y, side }, 0, 0, image);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

async function crop(bitmap, { x, y, side }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.min(SENT_SIDE, Math.round(side));
  const context = canvas.getContext("2d", { alpha: false });
  // The server uses the same background for transparent pixels.
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, x, y, side, side, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

// A picture, the square of it that shows the face, and the bytes that are sent for it.

// pixels: what is sent is at most this wide; the model sees far fewer
const SENT_SIDE = 512;
// pixels: a frame below this shows no face any more
const MIN_IMAGE_SIDE = 32;
const MAX_ZOOM = 10;
const JPEG_QUALITY = 0.95;
// What the server reads as it is; other formats that the browser can show are sent as JPEG.
const SERVED_TYPES = ["image/jpeg", "image/png", "image/webp"];
// bytes: a file that the browser cannot show is sent whole only below this
const MAX_UNSHOWN = 8 * 2 ** 20;

/** One file that the user gave. `square` is {x, y, side} in pixels of the upright picture, null until it was framed. */
export class Picture {
  square = null;
  // what is sent, and its address for <img>
  blob = null;
  url = "";
  // the server's answer; null while there is none
  answer = null;
  // true while an answer is to come
  waiting = true;
  // number of the latest request for it; an earlier one that ends later is ignored
  asked = 0;

  constructor(file) {
    this.file = file;
    this.name = file.name;
  }

  /** The upright pixels as an ImageBitmap that the caller closes, or null where the browser cannot show the file. */
  async open() {
    try {
      // Turned upright by EXIF: that is the default, and not every browser knows the option's name for it.
      return await createImageBitmap(this.file);
    } catch {
      return null;
    }
  }

  /** Make `blob` from the framed square. `image` as from open(). */
  async prepare(image) {
    const blob = await (image ? this.#framed(image) : this.#whole());
    this.release();
    this.blob = blob;
    if (image) this.url = URL.createObjectURL(blob);
  }

  release() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
  }

  async #framed(image) {
    const { width, height } = image;
    const asIs = !this.square && width === height && width <= SENT_SIDE && SERVED_TYPES.includes(this.file.type);
    return asIs ? this.file : crop(image, this.square ?? central(image));
  }

  // The server says best what is wrong with a file that is no picture.
  async #whole() {
    if (this.file.size > MAX_UNSHOWN) return new Blob();
    try {
      return new Blob([await this.file.arrayBuffer()]);
    } catch {
      return new Blob();
    }
  }
}

/** The largest square in the middle. */
export function central({ width, height }) {
  const side = Math.min(width, height);
  return { x: (width - side) / 2, y: (height - side) / 2, side };
}

/** How far a picture can be zoomed into; 1 is the largest square. */
export function mostZoom({ width, height }) {
  return Math.max(1, Math.min(MAX_ZOOM, Math.min(width, height) / MIN_IMAGE_SIDE));
}

/** The square moved by parts of its own side, kept inside the picture. */
export function moved({ x, y, side }, across, down, { width, height }) {
  return {
    x: clamp(x + across * side, 0, width - side),
    y: clamp(y + down * side, 0, height - side),
    side,
  };
}

/** The square at another zoom; the point at (across, down), in parts of the square, stays where it is. */
export function zoomed(square, zoom, image, across = 0.5, down = 0.5) {
  const side = Math.min(image.width, image.height) / clamp(zoom, 1, mostZoom(image));
  const x = square.x + across * (square.side - side);
  const y = square.y + down * (square.side - side);
  return moved({ x, y, side }, 0, 0, image);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

async function crop(image, { x, y, side }) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.min(SENT_SIDE, Math.round(side));
  const context = canvas.getContext("2d", { alpha: false });
  // The background that the server, too, puts behind transparent pixels.
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  context.drawImage(image, x, y, side, side, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

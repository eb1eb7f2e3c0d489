// The bytes that the page sends: a photo, reduced if it is large, or the framed square of one.

// pixels of the longer side of a photo, and of the side of a framed square: the server needs no more
const PHOTO_SIDE = 2048;
const SQUARE_SIDE = 512;
const JPEG_QUALITY = 0.95;
// Formats that the server reads and every browser can show. Others are sent as JPEG.
const SERVED_TYPES = ["image/jpeg", "image/png", "image/webp"];
// bytes: larger files are sent as JPEG
const MAX_UNCHANGED = 2 * 2 ** 20;

/** Return a photo as it is, or reduced as a JPEG. `bitmap` has the file's upright pixels. */
export async function whole(file, bitmap) {
  const { width, height } = bitmap;
  const scale = PHOTO_SIDE / Math.max(width, height);
  if (scale >= 1 && file.size <= MAX_UNCHANGED && SERVED_TYPES.includes(file.type)) return file;
  const [across, down] = [width, height].map((side) => Math.max(1, Math.round(side * Math.min(scale, 1))));
  return jpeg(bitmap, [0, 0, width, height], across, down);
}

/** Return a framed square as a JPEG. */
export async function framed(bitmap, { x, y, side }) {
  const sent = Math.min(SQUARE_SIDE, Math.round(side));
  return jpeg(bitmap, [x, y, side, side], sent, sent);
}

function jpeg(bitmap, part, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { alpha: false });
  // The server uses the same background for transparent pixels.
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, ...part, 0, 0, width, height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
}

// Squares {x, y, side} in pixels of an upright photo: the frames of faces.

/** Positions of the eyes and the mouth in the training faces (mean of 300 adults), in fractions of the square. */
export const EYES = [[0.29, 0.28], [0.69, 0.28]];
export const MOUTH = [[0.36, 0.71], [0.62, 0.71]];

// pixels: smallest side of a frame
const MIN_IMAGE_SIDE = 32;
const MAX_ZOOM = 40;

/** Return the largest central square. */
export function central({ width, height }) {
  const side = Math.min(width, height);
  return { x: (width - side) / 2, y: (height - side) / 2, side };
}

/** Return the square in which the landmarks of a found face, shares of the photo, are where the training faces have them. */
export function around({ right_eye, left_eye, mouth }, image) {
  const [right, left, lips] = [right_eye, left_eye, mouth].map(([x, y]) => [x * image.width, y * image.height]);
  const eyes = middle([right, left]);
  const [between, below] = [Math.hypot(left[0] - right[0], left[1] - right[1]), Math.hypot(lips[0] - eyes[0], lips[1] - eyes[1])];
  // A face that looks aside or down shortens one of the two distances.
  const side = Math.max(between / (EYES[1][0] - EYES[0][0]), below / (MOUTH[0][1] - EYES[0][1]));
  const [center, wanted] = [middle([eyes, lips]), middle([middle(EYES), middle(MOUTH)])];
  const zoom = Math.min(image.width, image.height) / side;
  return zoomed({ x: center[0] - wanted[0] * side, y: center[1] - wanted[1] * side, side }, zoom, image);
}

/** Return a square as a box of shares of the photo. */
export function box({ x, y, side }, { width, height }) {
  return { left: x / width, top: y / height, width: side / width, height: side / height };
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

/** Return the mean of points [x, y]. */
export function middle(points) {
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

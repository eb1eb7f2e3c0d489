// The view in which a square is framed: by pointer, touch, wheel, keys or sliders.

import { central, mostZoom, moved, zoomed } from "./images.js";

// part of the view on each side that shows what is left out
const MARGIN = 0.1;
// Where the eyes and the mouth lie in the faces that the model has learned from (the mean of 300 adults),
// in parts of the square.
const EYES = [[0.29, 0.28], [0.69, 0.28]];
const MOUTH = [[0.36, 0.71], [0.62, 0.71]];
const EYE_RADIUS = 0.07;
// parts of the square per arrow key, and the factor of one zoom key
const STEP = 0.05;
const ZOOM_STEP = 1.15;
const WHEEL_FACTOR = 0.002;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Shows one picture in `canvas` and calls `changed(square)` whenever the user frames it anew. */
export class Framing {
  #canvas;
  #sliders;
  #changed;
  #image = null;
  #square = null;
  #pointers = new Map();

  constructor(canvas, sliders, reset, changed) {
    this.#canvas = canvas;
    this.#sliders = sliders;
    this.#changed = changed;
    canvas.addEventListener("pointerdown", (event) => this.#press(event));
    canvas.addEventListener("pointermove", (event) => this.#drag(event));
    for (const end of ["pointerup", "pointercancel"]) {
      canvas.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.#key(event));
    for (const name of Object.keys(sliders)) sliders[name].addEventListener("input", () => this.#slide(name));
    reset.addEventListener("click", () => this.#set(central(this.#image)));
    new ResizeObserver(() => this.#draw()).observe(canvas);
  }

  /** Take over `image`; the one before is closed. Without `square` it starts with the largest central one. */
  open(image, square) {
    this.close();
    this.#image = image;
    this.#square = square ?? central(image);
    this.#show();
  }

  close() {
    this.#image?.close();
    this.#image = null;
    this.#pointers.clear();
  }

  get image() {
    return this.#image;
  }

  get #zoom() {
    return Math.min(this.#image.width, this.#image.height) / this.#square.side;
  }

  // True when the frame could change; at an edge it stays as it is.
  #set(square) {
    const { x, y, side } = this.#square;
    if (x === square.x && y === square.y && side === square.side) return false;
    this.#square = square;
    this.#show();
    this.#changed(square);
    return true;
  }

  #move(across, down) {
    return this.#set(moved(this.#square, across, down, this.#image));
  }

  #zoomTo(zoom, point = [0.5, 0.5]) {
    return this.#set(zoomed(this.#square, zoom, this.#image, ...point));
  }

  #press(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#point(event));
  }

  #drag(event) {
    const before = [...this.#pointers.values()];
    if (!this.#image || !this.#pointers.has(event.pointerId)) return;
    this.#pointers.set(event.pointerId, this.#point(event));
    const after = [...this.#pointers.values()];
    const [from, to] = [middle(before), middle(after)];
    this.#move(from[0] - to[0], from[1] - to[1]);
    if (after.length === 2) this.#zoomTo((this.#zoom * distance(after)) / distance(before), to);
  }

  #wheel(event) {
    // At the end of the zoom the page scrolls on.
    if (this.#image && this.#zoomTo(this.#zoom * Math.exp(-event.deltaY * WHEEL_FACTOR), this.#point(event))) {
      event.preventDefault();
    }
  }

  #key(event) {
    if (!this.#image || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (key in ARROWS) this.#move(STEP * ARROWS[key][0], STEP * ARROWS[key][1]);
    else if (key === "+" || key === "=") this.#zoomTo(this.#zoom * ZOOM_STEP);
    else if (key === "-") this.#zoomTo(this.#zoom / ZOOM_STEP);
    else if (key === "0") this.#set(central(this.#image));
    else return;
    event.preventDefault();
  }

  #slide(name) {
    const { width, height } = this.#image;
    const part = this.#sliders[name].value / 100;
    if (name === "zoom") this.#zoomTo(mostZoom(this.#image) ** part);
    else if (name === "across") this.#set({ ...this.#square, x: part * (width - this.#square.side) });
    else this.#set({ ...this.#square, y: part * (height - this.#square.side) });
  }

  #show() {
    const { zoom, across, down } = this.#sliders;
    const { width, height } = this.#image;
    const { x, y, side } = this.#square;
    const most = mostZoom(this.#image);
    place(zoom, most > 1 ? Math.log(this.#zoom) / Math.log(most) : NaN, `${this.#zoom.toFixed(1)} times`);
    for (const [slider, start, room] of [[across, x, width - side], [down, y, height - side]]) {
      place(slider, room > 0 ? start / room : NaN, `${Math.round((100 * start) / room)} %`);
    }
    requestAnimationFrame(() => this.#draw());
  }

  // A pointer's place in parts of the framed square.
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const part = (at, start, length) => ((at - start) / length - MARGIN) / (1 - 2 * MARGIN);
    return [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
  }

  #draw() {
    if (!this.#image || !this.#canvas.clientWidth) return;
    const pixels = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    this.#canvas.width = this.#canvas.height = pixels;
    const context = this.#canvas.getContext("2d");
    const [start, length] = [MARGIN * pixels, (1 - 2 * MARGIN) * pixels];
    const scale = length / this.#square.side;
    context.imageSmoothingQuality = "high";
    const { x, y } = this.#square;
    const { width, height } = this.#image;
    context.drawImage(this.#image, start - x * scale, start - y * scale, width * scale, height * scale);
    drawFrame(context, pixels, start, length);
  }
}

function place(slider, part, text) {
  slider.disabled = Number.isNaN(part);
  slider.value = slider.disabled ? 50 : 100 * part;
  slider.setAttribute("aria-valuetext", slider.disabled ? "no room" : text);
}

function middle(points) {
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}

function distance([[ax, ay], [bx, by]]) {
  // never 0: two fingers may report one point
  return Math.max(Math.hypot(ax - bx, ay - by), 0.01);
}

function drawFrame(context, pixels, start, length) {
  const outside = new Path2D();
  outside.rect(0, 0, pixels, pixels);
  outside.rect(start, start, length, length);
  context.fillStyle = "rgb(0 0 0 / 55%)";
  context.fill(outside, "evenodd");
  const guide = new Path2D();
  guide.rect(start, start, length, length);
  const at = (part) => start + part * length;
  for (const [x, y] of EYES) {
    guide.moveTo(at(x + EYE_RADIUS), at(y));
    guide.arc(at(x), at(y), EYE_RADIUS * length, 0, 2 * Math.PI);
  }
  guide.moveTo(at(MOUTH[0][0]), at(MOUTH[0][1]));
  guide.lineTo(at(MOUTH[1][0]), at(MOUTH[1][1]));
  // White on a dark edge is seen on every picture.
  for (const [color, thickness] of [["rgb(0 0 0 / 45%)", 4], ["rgb(255 255 255 / 90%)", 1.5]]) {
    context.strokeStyle = color;
    context.lineWidth = thickness * devicePixelRatio;
    context.stroke(guide);
  }
}

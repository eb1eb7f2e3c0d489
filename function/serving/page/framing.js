// The editor of the frame: pointer, touch, wheel, keys and sliders.

import { EYES, MOUTH, middle, mostZoom, moved, zoomed } from "./squares.js";

// fraction of the view on each side outside the frame
const MARGIN = 0.1;
// fraction of the square
const EYE_RADIUS = 0.07;
// fraction of the square per arrow key, and the factor per zoom key
const STEP = 0.05;
const ZOOM_STEP = 1.15;
const WHEEL_FACTOR = 0.002;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Show one image in `canvas` and call `changed(square)` whenever the user changes the frame, with null for a reset. */
export class Framing {
  #canvas;
  #sliders;
  #changed;
  #bitmap = null;
  #square = null;
  #start = null;
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
    reset.addEventListener("click", () => this.#reset());
    new ResizeObserver(() => this.#draw()).observe(canvas);
  }

  /** Show `square` of `bitmap` and close the previous one. A reset returns to the square `start`. */
  open(bitmap, square, start) {
    this.close();
    this.#bitmap = bitmap;
    this.#square = square;
    this.#start = start;
    this.#show();
  }

  close() {
    this.#bitmap?.close();
    this.#bitmap = null;
    this.#pointers.clear();
  }

  get bitmap() {
    return this.#bitmap;
  }

  get square() {
    return this.#square;
  }

  get #zoom() {
    return Math.min(this.#bitmap.width, this.#bitmap.height) / this.#square.side;
  }

  // Return whether the frame changed: at an edge it does not.
  #set(square) {
    const { x, y, side } = this.#square;
    if (x === square.x && y === square.y && side === square.side) return false;
    this.#square = square;
    this.#show();
    this.#changed(square);
    return true;
  }

  #reset() {
    if (!this.#bitmap) return;
    this.#square = this.#start;
    this.#show();
    this.#changed(null);
  }

  #move(across, down) {
    return this.#set(moved(this.#square, across, down, this.#bitmap));
  }

  #zoomTo(zoom, point = [0.5, 0.5]) {
    return this.#set(zoomed(this.#square, zoom, this.#bitmap, ...point));
  }

  #press(event) {
    this.#canvas.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#point(event));
  }

  #drag(event) {
    const before = [...this.#pointers.values()];
    if (!this.#bitmap || !this.#pointers.has(event.pointerId)) return;
    this.#pointers.set(event.pointerId, this.#point(event));
    const after = [...this.#pointers.values()];
    const [from, to] = [middle(before), middle(after)];
    this.#move(from[0] - to[0], from[1] - to[1]);
    if (after.length === 2) this.#zoomTo((this.#zoom * distance(after)) / distance(before), to);
  }

  #wheel(event) {
    // At the limit of the zoom the page scrolls.
    if (this.#bitmap && this.#zoomTo(this.#zoom * Math.exp(-event.deltaY * WHEEL_FACTOR), this.#point(event))) {
      event.preventDefault();
    }
  }

  #key(event) {
    if (!this.#bitmap || event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (key in ARROWS) this.#move(STEP * ARROWS[key][0], STEP * ARROWS[key][1]);
    else if (key === "+" || key === "=") this.#zoomTo(this.#zoom * ZOOM_STEP);
    else if (key === "-") this.#zoomTo(this.#zoom / ZOOM_STEP);
    else if (key === "0") this.#reset();
    else return;
    event.preventDefault();
  }

  #slide(name) {
    if (!this.#bitmap) return;
    const { width, height } = this.#bitmap;
    const part = this.#sliders[name].value / 100;
    if (name === "zoom") this.#zoomTo(mostZoom(this.#bitmap) ** part);
    else if (name === "across") this.#set({ ...this.#square, x: part * (width - this.#square.side) });
    else this.#set({ ...this.#square, y: part * (height - this.#square.side) });
  }

  #show() {
    const { zoom, across, down } = this.#sliders;
    const { width, height } = this.#bitmap;
    const { x, y, side } = this.#square;
    const most = mostZoom(this.#bitmap);
    place(zoom, most > 1 ? Math.log(this.#zoom) / Math.log(most) : NaN, `${this.#zoom.toFixed(1)} times`);
    for (const [slider, start, range] of [[across, x, width - side], [down, y, height - side]]) {
      place(slider, range > 0 ? start / range : NaN, `${Math.round((100 * start) / range)} %`);
    }
    requestAnimationFrame(() => this.#draw());
  }

  // Return a pointer's position in fractions of the framed square.
  #point(event) {
    const box = this.#canvas.getBoundingClientRect();
    const part = (at, start, length) => ((at - start) / length - MARGIN) / (1 - 2 * MARGIN);
    return [part(event.clientX, box.left, box.width), part(event.clientY, box.top, box.height)];
  }

  #draw() {
    if (!this.#bitmap || !this.#canvas.clientWidth) return;
    const pixels = Math.round(this.#canvas.clientWidth * devicePixelRatio);
    this.#canvas.width = this.#canvas.height = pixels;
    const context = this.#canvas.getContext("2d");
    const [start, length] = [MARGIN * pixels, (1 - 2 * MARGIN) * pixels];
    const scale = length / this.#square.side;
    context.imageSmoothingQuality = "high";
    const { x, y } = this.#square;
    const { width, height } = this.#bitmap;
    context.drawImage(this.#bitmap, start - x * scale, start - y * scale, width * scale, height * scale);
    drawFrame(context, pixels, start, length);
  }
}

function place(slider, part, text) {
  slider.disabled = Number.isNaN(part);
  slider.value = slider.disabled ? 50 : 100 * part;
  slider.setAttribute("aria-valuetext", slider.disabled ? "fixed" : text);
}

function distance([[ax, ay], [bx, by]]) {
  // never 0: two fingers may report the same point
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
  // White with a dark edge is visible on every image.
  for (const [color, thickness] of [["rgb(0 0 0 / 45%)", 4], ["rgb(255 255 255 / 90%)", 1.5]]) {
    context.strokeStyle = color;
    context.lineWidth = thickness * devicePixelRatio;
    context.stroke(guide);
  }
}

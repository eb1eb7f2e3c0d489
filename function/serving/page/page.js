// Take images in, have them framed, request predictions and show them.

import { element, fileName, panel, sentence, summary, title } from "./predictions.js";
import { show as showExamples } from "./examples.js";
import { Framing } from "./framing.js";
import { listen } from "./intake.js";
import { Upload } from "./images.js";
import { RequestError, batches, model, predict, useKey } from "./server.js";

// milliseconds without a change of the frame before a request
const PAUSE = 250;
// images prepared before the first request is sent
const PREPARED = 32;

const part = (id) => document.getElementById(id);
const sliders = { zoom: part("zoom"), across: part("across"), down: part("down") };
const framing = new Framing(part("frame"), sliders, part("reset"), framed);

// the images of the latest intake, the tile of each if there are several, and the open one
let uploads = [];
let tiles = new Map();
let opened = null;
// timer of a frame that changed and was not sent yet
let pause = 0;

/** Take files in: open one for framing, show several as a grid. Without files show the reason. */
function receive(files, reason) {
  if (!files.length) return notify(reason);
  clearTimeout(pause);
  pause = 0;
  for (const upload of uploads) upload.release();
  uploads = files.map((file) => new Upload(file));
  tiles = new Map();
  notify("");
  if (uploads.length === 1) return open(uploads[0]);
  part("tiles").replaceChildren(...uploads.map(tile));
  part("many-title").textContent = `${uploads.length} images`;
  showGrid();
  part("many-title").focus();
  return requestAll(uploads);
}

/** Request predictions in batches, the first before later images are decoded. */
async function requestAll(wanted) {
  const mine = uploads;
  for (let start = 0; start < wanted.length; start += PREPARED) {
    const next = wanted.slice(start, start + PREPARED);
    for (const upload of next) if (mine === uploads && !upload.blob) await prepare(upload);
    if (mine !== uploads) return;
    if (!(await request(next))) return wanted.filter(isWaiting).forEach((upload) => settle(upload, null));
  }
  if (mine === uploads) say(wanted.length === 1 ? sentence(wanted[0]) : progress(uploads));
}

function isWaiting(upload) {
  return upload.waiting && !upload.prediction;
}

async function prepare(upload) {
  const bitmap = await upload.open();
  await upload.prepare(bitmap);
  bitmap?.close();
  refresh(upload);
}

/** Request predictions for prepared images. Return false, and show why, if a request failed. */
async function request(prepared) {
  const ready = prepared.filter(({ blob }) => blob);
  const number = new Map(ready.map((upload) => [upload, ++upload.requested]));
  const latest = (upload) => upload.requested === number.get(upload);
  try {
    for (const batch of batches(ready)) {
      const predictions = await predict(batch.map(({ blob }) => blob));
      batch.forEach((upload, index) => latest(upload) && settle(upload, predictions[index]));
    }
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    const lost = ready.filter((upload) => latest(upload) && upload.waiting);
    lost.forEach((upload) => settle(upload, null));
    if (lost.some((upload) => uploads.includes(upload))) notify(error.message, error.status);
    return false;
  }
  return true;
}

function settle(upload, found) {
  upload.waiting = false;
  upload.prediction = found;
  refresh(upload);
}

async function open(upload, focused = null) {
  sendChange();
  // The frame of the previous image must not change this one while it is decoded.
  framing.close();
  opened = upload;
  const bitmap = await upload.open();
  if (opened !== upload) return bitmap?.close();
  part("many").hidden = true;
  part("one").hidden = false;
  part("position").hidden = uploads.length === 1;
  part("count").textContent = `${uploads.indexOf(upload) + 1} of ${uploads.length}`;
  part("previous").disabled = upload === uploads[0];
  part("next").disabled = upload === uploads.at(-1);
  part("file-name").replaceChildren(fileName(upload.name));
  part("bench").hidden = !bitmap;
  // An image that the browser cannot show is sent as it is, without a frame.
  if (bitmap) framing.open(bitmap, upload.square);
  refresh(upload);
  const first = part(bitmap ? "frame" : "prediction-title");
  (focused && !focused.disabled ? focused : first).focus();
  if (!upload.prediction && uploads.length === 1) await requestOpened();
}

/** Open the image `count` places further, and keep the focus on the button. */
function step(button, count) {
  const upload = uploads[uploads.indexOf(opened) + count];
  // The buttons are enabled until the last image is decoded.
  if (upload) open(upload, button);
}

function framed(square) {
  opened.square = square;
  opened.framed = Boolean(square);
  opened.waiting = true;
  // A response on its way belongs to another frame.
  opened.requested += 1;
  refresh(opened);
  clearTimeout(pause);
  pause = setTimeout(requestOpened, PAUSE);
}

async function requestOpened() {
  pause = 0;
  const upload = opened;
  await upload.prepare(framing.bitmap);
  refresh(upload);
  if (!(await request([upload])) || upload.waiting || !upload.prediction) return;
  notify("");
  say(sentence(upload));
}

// Request the prediction of a changed frame before the user leaves the image.
function sendChange() {
  if (!pause) return;
  clearTimeout(pause);
  requestOpened();
}

function back() {
  const tile = tiles.get(opened);
  sendChange();
  showGrid();
  tile.focus();
}

function showGrid() {
  opened = null;
  framing.close();
  part("one").hidden = true;
  part("many").hidden = false;
}

function tile(upload) {
  const button = element("button", "tile");
  button.type = "button";
  button.addEventListener("click", () => open(upload));
  tiles.set(upload, button);
  refresh(upload);
  const item = element("li");
  item.append(button);
  return item;
}

/** Update an image's tile and, if it is open, its prediction. */
function refresh(upload) {
  tiles.get(upload)?.replaceChildren(thumbnail(upload), fileName(upload.name), summary(upload));
  if (upload !== opened) return;
  part("prediction").setAttribute("aria-busy", String(upload.waiting));
  part("prediction-title").textContent = title(upload);
  part("brief").replaceChildren(summary(upload));
  part("prediction").replaceChildren(panel(upload, () => reconsider(upload, "revealed"), () => reconsider(upload, "framed")));
}

/** Set a choice of the user about a prediction, and show the result. */
function reconsider(upload, choice) {
  upload[choice] = true;
  refresh(upload);
  // The pressed button is gone.
  part("prediction-title").focus();
  say(sentence(upload));
}

function thumbnail({ url }) {
  const image = element(url ? "img" : "span", "thumbnail");
  if (url) Object.assign(image, { src: url, alt: "" });
  return image;
}

/** Show a problem and the next step; "" hides it. */
function notify(text, status = null) {
  part("notice").hidden = !text;
  part("notice-text").textContent = text;
  part("key-form").hidden = status !== 401;
  part("again").hidden = status === null || status === 401;
  if (status === 401) part("key").focus();
}

function again() {
  const waiting = uploads.filter((upload) => !upload.prediction);
  for (const upload of waiting) upload.waiting = true;
  waiting.forEach(refresh);
  notify("");
  return requestAll(waiting);
}

/** Announce to screen readers. */
function say(text) {
  part("status").textContent = text;
}

function progress(finished) {
  const failed = finished.filter((upload) => upload.prediction?.error).length;
  return `${finished.length - failed} of ${finished.length} images have a prediction${failed ? `, ${failed} failed` : ""}.`;
}

listen(receive);
showExamples(receive);
part("back").addEventListener("click", back);
part("previous").addEventListener("click", () => step(part("previous"), -1));
part("next").addEventListener("click", () => step(part("next"), 1));
part("again").addEventListener("click", again);
part("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  useKey(part("key").value);
  part("key").value = "";
  again();
});
model().then((found) => {
  if (found) part("model").textContent = `Model ${found.name} ${found.version}.`;
});

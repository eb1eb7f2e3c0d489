// Take images in, have them framed, request predictions and show them.

import { element, metrics, sentence, summary } from "./predictions.js";
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

/** Take files in: open one for framing, show several as a grid. */
function receive(files) {
  if (!files.length) return notify("There is no image here. Choose, drop or paste an image file.");
  clearTimeout(pause);
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
  if (mine === uploads) say(wanted.length === 1 ? sentence(wanted[0].prediction) : progress(uploads));
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
async function request(ready) {
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

async function open(upload) {
  opened = upload;
  const bitmap = await upload.open();
  if (opened !== upload) return bitmap?.close();
  part("many").hidden = true;
  part("one").hidden = false;
  part("back").hidden = uploads.length === 1;
  part("bench").hidden = !bitmap;
  // An image that the browser cannot show is sent as it is, without a frame.
  if (bitmap) framing.open(bitmap, upload.square);
  else framing.close();
  refresh(upload);
  part(bitmap ? "frame" : "prediction-title").focus();
  if (!upload.prediction && uploads.length === 1) await requestOpened();
}

function framed(square) {
  opened.square = square;
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
  if (!(await request([upload])) || upload.waiting || !upload.prediction) return;
  notify("");
  say(sentence(upload.prediction));
}

function back() {
  const tile = tiles.get(opened);
  if (pause) {
    clearTimeout(pause);
    requestOpened();
  }
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
  const shown = upload.prediction ? summary(upload.prediction) : element("span", "quiet", upload.waiting ? "…" : "no prediction");
  tiles.get(upload)?.replaceChildren(thumbnail(upload), element("span", "name", upload.name), shown);
  if (upload !== opened) return;
  part("prediction").setAttribute("aria-busy", String(upload.waiting));
  part("brief").replaceChildren(shown.cloneNode(true));
  part("prediction").replaceChildren(upload.prediction ? metrics(upload.prediction) : shown);
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
part("back").addEventListener("click", back);
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

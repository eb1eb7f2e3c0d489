// The page: pictures come in, are framed and asked for, and their answers are shown.

import { element, figures, sentence, summary } from "./predictions.js";
import { Framing } from "./framing.js";
import { listen } from "./intake.js";
import { Picture } from "./images.js";
import { Refusal, ask, model, runs, useKey } from "./server.js";

// milliseconds without a change of the frame before it is asked for
const PAUSE = 250;
// so many pictures are made ready before the first of them are sent
const AHEAD = 32;

const part = (id) => document.getElementById(id);
const sliders = { zoom: part("zoom"), across: part("across"), down: part("down") };
const framing = new Framing(part("frame"), sliders, part("reset"), framed);

// the pictures of the latest intake, the tile of each when there are several, and the one that is open
let pictures = [];
let tiles = new Map();
let opened = null;
// timer of a changed frame that was not asked for yet
let pause = 0;

/** Take in files: one is opened for framing, several become a grid. */
function take(files) {
  if (!files.length) return notify("That held no picture. Choose, drop or paste an image file.");
  clearTimeout(pause);
  for (const picture of pictures) picture.release();
  pictures = files.map((file) => new Picture(file));
  tiles = new Map();
  notify("");
  if (pictures.length === 1) return open(pictures[0]);
  part("tiles").replaceChildren(...pictures.map(tile));
  part("many-title").textContent = `${pictures.length} pictures`;
  showGrid();
  part("many-title").focus();
  return askAll(pictures);
}

/** Ask for `wanted` in runs, the first while later ones are not even decoded. */
async function askAll(wanted) {
  const mine = pictures;
  for (let start = 0; start < wanted.length; start += AHEAD) {
    const next = wanted.slice(start, start + AHEAD);
    for (const picture of next) if (mine === pictures && !picture.blob) await prepare(picture);
    if (mine !== pictures) return;
    if (!(await answer(next))) return wanted.filter(isWaiting).forEach((picture) => settle(picture, null));
  }
  if (mine === pictures) say(wanted.length === 1 ? sentence(wanted[0].answer) : tally(pictures));
}

function isWaiting(picture) {
  return picture.waiting && !picture.answer;
}

async function prepare(picture) {
  const image = await picture.open();
  await picture.prepare(image);
  image?.close();
  refresh(picture);
}

/** Ask for pictures that are ready. False when a request was refused, which is then shown. */
async function answer(ready) {
  const number = new Map(ready.map((picture) => [picture, ++picture.asked]));
  const latest = (picture) => picture.asked === number.get(picture);
  try {
    for (const run of runs(ready)) {
      const answers = await ask(run.map(({ blob }) => blob));
      run.forEach((picture, index) => latest(picture) && settle(picture, answers[index]));
    }
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    const lost = ready.filter((picture) => latest(picture) && picture.waiting);
    lost.forEach((picture) => settle(picture, null));
    if (lost.some((picture) => pictures.includes(picture))) notify(error.message, error.status);
    return false;
  }
  return true;
}

function settle(picture, found) {
  picture.waiting = false;
  picture.answer = found;
  refresh(picture);
}

async function open(picture) {
  opened = picture;
  const image = await picture.open();
  if (opened !== picture) return image?.close();
  part("many").hidden = true;
  part("one").hidden = false;
  part("back").hidden = pictures.length === 1;
  part("bench").hidden = !image;
  // A picture that cannot be shown is sent as it is, not the one framed before.
  if (image) framing.open(image, picture.square);
  else framing.close();
  refresh(picture);
  part(image ? "frame" : "answer-title").focus();
  if (!picture.answer && pictures.length === 1) await askOpened();
}

function framed(square) {
  opened.square = square;
  opened.waiting = true;
  // What is on its way answers another frame.
  opened.asked += 1;
  refresh(opened);
  clearTimeout(pause);
  pause = setTimeout(askOpened, PAUSE);
}

async function askOpened() {
  pause = 0;
  const picture = opened;
  await picture.prepare(framing.image);
  if (!(await answer([picture])) || picture.waiting || !picture.answer) return;
  notify("");
  say(sentence(picture.answer));
}

function back() {
  const tile = tiles.get(opened);
  if (pause) {
    clearTimeout(pause);
    askOpened();
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

function tile(picture) {
  const button = element("button", "tile");
  button.type = "button";
  button.addEventListener("click", () => open(picture));
  tiles.set(picture, button);
  refresh(picture);
  const item = element("li");
  item.append(button);
  return item;
}

/** Show what is known of a picture now, wherever it is shown. */
function refresh(picture) {
  const shown = picture.answer ? summary(picture.answer) : element("span", "quiet", picture.waiting ? "…" : "not answered");
  tiles.get(picture)?.replaceChildren(thumbnail(picture), element("span", "name", picture.name), shown);
  if (picture !== opened) return;
  part("answer").setAttribute("aria-busy", String(picture.waiting));
  part("brief").replaceChildren(shown.cloneNode(true));
  part("answer").replaceChildren(picture.answer ? figures(picture.answer) : shown);
}

function thumbnail({ url }) {
  const image = element(url ? "img" : "span", "thumbnail");
  if (url) Object.assign(image, { src: url, alt: "" });
  return image;
}

/** Show why something could not be done, and the way on; "" hides it. */
function notify(text, status = null) {
  part("notice").hidden = !text;
  part("notice-text").textContent = text;
  part("key-form").hidden = status !== 401;
  part("again").hidden = status === null || status === 401;
  if (status === 401) part("key").focus();
}

function again() {
  const waiting = pictures.filter((picture) => !picture.answer);
  for (const picture of waiting) picture.waiting = true;
  waiting.forEach(refresh);
  notify("");
  return askAll(waiting);
}

/** For the ear only: what the eye sees already. */
function say(text) {
  part("status").textContent = text;
}

function tally(answered) {
  const failed = answered.filter((picture) => picture.answer?.error).length;
  return `${answered.length - failed} of ${answered.length} pictures are answered${failed ? `, ${failed} could not be` : ""}.`;
}

listen(take);
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

// Take photos in, have their faces found, and show one photo or a grid of several.

import { Adjuster } from "./adjuster.js";
import { faceTitle, framedAnswer, preface, spoken, title } from "./answers.js";
import { button, counted, fileName } from "./elements.js";
import { show as showExamples } from "./examples.js";
import { Face } from "./face.js";
import * as crowd from "./crowd.js";
import * as grid from "./grid.js";
import { listen } from "./intake.js";
import { Photo } from "./photo.js";
import { sentence, summary, withheld } from "./predictions.js";
import { findFaces } from "./queue.js";
import { RequestError, model, useKey } from "./server.js";
import { Upload } from "./upload.js";

const part = (id) => document.getElementById(id);
// The width at which the answer is below the photo, as in the style sheet.
const narrow = matchMedia("(max-width: 44rem)");
const sliders = { zoom: part("zoom"), across: part("across"), down: part("down") };
const adjuster = new Adjuster(part("frame"), sliders, part("reset"), adjusted, (upload, error) => fail(error, [upload]));
const photo = new Photo(part("stage"), part("faces"), { select, reveal, adjust });

// the photos of the latest intake, and the open one
let uploads = [];
let opened = null;

/** Take files in: open one, show several as a grid. Without files show the reason. */
function receive(files, reason) {
  if (!files.length) return notify(reason);
  adjuster.drop();
  for (const upload of uploads) upload.release();
  uploads = files.map((file) => new Upload(file));
  notify("");
  const several = uploads.length > 1;
  grid.show(several ? uploads : [], open);
  crowd.clear();
  if (several) showGrid();
  else open(uploads[0]);
  if (several) part("many-title").focus();
  return request(uploads);
}

async function request(wanted) {
  const mine = uploads;
  try {
    await findFaces(wanted, () => mine === uploads, found);
    if (mine !== uploads) return;
    say(uploads.length === 1 ? spoken(uploads[0]) : progress());
    await crowd.show(mine, () => mine === uploads);
  } catch (error) {
    if (!(error instanceof RequestError)) throw error;
    for (const upload of wanted.filter(({ waiting }) => waiting)) {
      upload.settle(null);
      refresh(upload);
    }
    fail(error, wanted);
  }
}

function found(upload) {
  upload.expanded = hasRoom(upload.selected);
  refresh(upload);
}

/** Return whether a face's details are shown at once: beside the photo, or as a warning. */
function hasRoom(face) {
  return !narrow.matches || (face !== null && withheld(face));
}

function open(upload) {
  adjuster.stop();
  opened = upload;
  part("many").hidden = true;
  part("one").hidden = false;
  part("position").hidden = uploads.length === 1;
  part("count").textContent = `${uploads.indexOf(upload) + 1} of ${uploads.length}`;
  part("previous").disabled = upload === uploads[0];
  part("next").disabled = upload === uploads.at(-1);
  part("file-name").replaceChildren(fileName(upload.name));
  refresh(upload);
  part("prediction-title").focus();
}

/** Open the photo `count` places further, and keep the focus on the button. */
function step(pressed, count) {
  open(uploads[uploads.indexOf(opened) + count]);
  if (!pressed.disabled) pressed.focus();
}

function back() {
  adjuster.stop();
  const upload = opened;
  showGrid();
  grid.focus(upload);
}

function showGrid() {
  opened = null;
  part("one").hidden = true;
  part("many").hidden = false;
  part("many-title").textContent = total();
}

/** Show what is known of an upload: in its tile and, if it is open, beside it. */
function refresh(upload) {
  grid.update(upload);
  part("many-title").textContent = total();
  if (upload !== opened) return;
  const { face } = adjuster;
  part("columns").classList.toggle("bare", !upload.readable);
  part("bench").hidden = !face;
  part("shown").hidden = Boolean(face) || !upload.readable;
  part("faces").hidden = Boolean(face);
  part("prediction").setAttribute("aria-busy", String(face ? face.waiting : upload.waiting));
  if (face) showFramed(face);
  else showPhoto(upload);
}

function showPhoto(upload) {
  part("prediction-title").textContent = title(upload);
  part("answer").replaceChildren(...preface(upload));
  part("more").replaceChildren(...further(upload));
  photo.show(upload);
  showLine(upload.selected);
}

function showFramed(face) {
  part("prediction-title").textContent = faceTitle(face);
  part("answer").replaceChildren(...framedAnswer(face, () => reveal(face), () => adjuster.accept()));
  part("more").replaceChildren();
  showLine(face);
}

function showLine(face) {
  part("brief").replaceChildren(...(face?.prediction ? [summary(face)] : []));
}

// A photo without a found face needs the user's frame. In others a face may have been missed.
function further({ faces, readable }) {
  if (!faces || !readable) return [];
  const frame = () => adjust(new Face());
  return [faces.length ? button("Frame a missed face", frame, "plain") : button("Frame a face by hand", frame, "strong")];
}

/** Open a face's answer, with its details if `expanded`. */
function select(face, expanded = hasRoom(face) || opened.expanded) {
  opened.selected = face;
  opened.expanded = expanded;
  photo.mark();
  showLine(face);
}

function reveal(face) {
  face.revealed = true;
  refresh(opened);
  // The pressed button is gone.
  part("prediction-title").focus();
  say(sentence(face));
}

async function adjust(face) {
  await adjuster.start(opened, face);
  if (adjuster.face !== face) return;
  refresh(opened);
  part("frame").focus();
}

/** Show a face whose frame, or whose prediction, has changed. */
function adjusted(upload, answered = false) {
  refresh(upload);
  const { face } = adjuster;
  if (!answered || upload !== opened || !face?.prediction || face.waiting) return;
  say(sentence(face));
}

function endAdjusting() {
  const { face } = adjuster;
  adjuster.stop();
  refresh(opened);
  if (opened.faces.includes(face)) photo.focus(face);
  else part("prediction-title").focus();
}

/** Show why a request failed, unless its photos are gone. */
function fail({ message, status }, lost) {
  if (lost.some((upload) => uploads.includes(upload))) notify(message, status);
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
  const wanted = uploads.filter(({ unanswered }) => unanswered);
  for (const upload of wanted) upload.waiting = true;
  wanted.forEach(refresh);
  notify("");
  return Promise.all([wanted.length && request(wanted), adjuster.again()]);
}

/** Announce to screen readers. */
function say(text) {
  part("status").textContent = text;
}

function total() {
  const answered = uploads.filter(({ faces }) => faces);
  const photos = counted(uploads.length, "photo");
  const faces = answered.reduce((sum, upload) => sum + upload.faces.length, 0);
  return answered.length ? `${photos}, ${counted(faces, "face")}` : photos;
}

function progress() {
  const failed = uploads.filter(({ error }) => error).length;
  return `${total()}${failed ? `, ${failed} failed` : ""}.`;
}

listen(receive);
showExamples(receive);
narrow.addEventListener("change", () => {
  for (const upload of uploads) upload.expanded = hasRoom(upload.selected);
  if (opened) refresh(opened);
});
part("back").addEventListener("click", back);
part("previous").addEventListener("click", () => step(part("previous"), -1));
part("next").addEventListener("click", () => step(part("next"), 1));
part("done").addEventListener("click", endAdjusting);
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

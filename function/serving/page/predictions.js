// A prediction as elements and as a sentence for screen readers. Text is always set as text, never as markup.

import { errorText, warningText, warningTitle, withholding } from "./messages.js";

// years: right end of the scale
const OLDEST = 100;
const TICKS = [0, 20, 40, 60, 80, 100];
const TO_FRAME = "Provisional: frame the face.";
// characters at the end of a file name that stay visible
const NAME_END = 12;

/** Return the title above an upload's prediction. */
export function title({ name, prediction, revealed }) {
  if (prediction?.error) return `Could not read ${name}`;
  return withholding(prediction?.warnings) && !revealed ? "No estimate" : "Estimate";
}

/** Return an upload's prediction as a sentence for screen readers. */
export function sentence(upload) {
  const { age, warnings = [], error, ...labels } = upload.prediction;
  if (error) return `${title(upload)}. ${errorText(error, upload.readable)}`;
  const cautions = warnings.map((warning) => `Warning: ${warningText(warning)}`);
  if (withholding(warnings) && !upload.revealed) return ["No estimate.", ...cautions].join(" ");
  const parts = age ? [`${yearsText(age)}, ${intervalText(age)}`] : [];
  for (const { label, probability } of Object.values(labels)) parts.push(`${label}, probability ${percent(probability)}`);
  return [...(upload.provisional ? [TO_FRAME] : []), ...cautions, `${parts.join("; ")}.`].join(" ");
}

/** Return an upload's prediction in a few words, for a tile or a line. */
export function summary(upload) {
  if (!upload.prediction) return element("span", "quiet", upload.waiting ? "…" : "no prediction");
  const { age, warnings = [], error, ...labels } = upload.prediction;
  if (error) return element("span", "problem", errorText(error, upload.readable));
  const withheld = withholding(warnings);
  if (withheld && !upload.revealed) return element("span", "warned", warningTitle(withheld));
  const lines = element("span", upload.provisional ? "summary provisional" : "summary");
  if (age) lines.append(element("strong", "", yearsText(age)), element("span", "", intervalText(age)));
  for (const { label, probability } of Object.values(labels)) {
    lines.append(element("span", "", `${label}, ${percent(probability)}`));
  }
  if (warnings.length) lines.append(element("span", "warned", warnings.length === 1 ? warningTitle(warnings[0]) : `${warnings.length} warnings`));
  if (upload.provisional) lines.append(element("span", "to-frame", "frame the face"));
  return lines;
}

/** Return an upload's prediction with all details. The user can `reveal` a withheld one and `accept` a provisional one. */
export function panel(upload, reveal, accept) {
  if (!upload.prediction) return summary(upload);
  const { age, warnings = [], error, ...labels } = upload.prediction;
  if (error) return errorPanel(error, upload.readable);
  const all = element("div");
  if (warnings.length) all.append(warningList(warnings));
  if (withholding(warnings) && !upload.revealed) {
    all.append(button("Show anyway", reveal));
    return all;
  }
  if (upload.provisional) {
    const hint = element("div", "hint");
    hint.append(element("p", "", TO_FRAME), button("It is framed", accept));
    all.append(hint);
  }
  const list = element("dl", upload.provisional ? "metrics provisional" : "metrics");
  if (age) list.append(metric("Age", ageMetric(age)));
  for (const [head, label] of Object.entries(labels)) list.append(metric(capitalized(head), labelMetric(label)));
  all.append(list);
  if (age) all.append(element("p", "quiet", "The bar is the interval that covers 80 % of the age labels."));
  return all;
}

/** Return a file name that CSS shortens in the middle. */
export function fileName(name) {
  const shown = element("span", "name");
  shown.append(element("span", "", name.slice(0, -NAME_END)), element("span", "", name.slice(-NAME_END)));
  return shown;
}

/** Return a new element with a class and text. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function button(text, pressed) {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", pressed);
  return made;
}

function errorPanel(error, readable) {
  const text = errorText(error, readable);
  const all = element("div");
  all.append(element("p", "problem", text));
  if (text === error.detail) return all;
  const more = element("details");
  more.append(element("summary", "", "Details"), element("p", "quiet", error.detail));
  all.append(more);
  return all;
}

function capitalized(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function metric(name, ...content) {
  const made = element("div");
  const value = element("dd");
  value.append(...content.flat());
  made.append(element("dt", "", name), value);
  return made;
}

function ageMetric({ years, low, high }) {
  const [whole, unit] = yearsText({ years }).split(" ");
  const text = element("p", "value");
  text.append(element("strong", "large", whole), ` ${unit} `, element("span", "note", intervalText({ low, high })));
  const track = element("div", "track");
  track.append(at(element("span", "fill"), low, high), at(element("span", "mark"), years));
  const scale = element("div", "scale");
  scale.setAttribute("aria-hidden", "true");
  scale.append(track, ...TICKS.map((tick) => at(element("span", "tick", tick === OLDEST ? `${tick}+` : tick), tick)));
  return [text, scale];
}

function labelMetric({ label, probability }) {
  const text = element("p", "value");
  text.append(element("strong", "", label), " ", element("span", "note", `probability ${percent(probability)}`));
  const track = element("div", "track");
  track.setAttribute("aria-hidden", "true");
  track.append(at(element("span", "fill"), 0, OLDEST * probability));
  return [text, track];
}

function warningList(warnings) {
  const made = element("ul", "warnings");
  made.append(...warnings.map((warning) => element("li", "", warningText(warning))));
  return made;
}

// The style sheet positions the element by these fractions of the scale.
function at(made, start, end = start) {
  const part = (value) => Math.min(Math.max(value / OLDEST, 0), 1);
  made.style.setProperty("--start", part(start));
  made.style.setProperty("--end", part(end));
  return made;
}

function yearsText({ years }) {
  const whole = Math.round(years);
  return whole === 1 ? "1 year" : `${whole} years`;
}

function intervalText({ low, high }) {
  return `likely ${Math.round(low)} to ${Math.round(high)}`;
}

function percent(probability) {
  return probability > 0.995 ? "over 99 %" : `${Math.round(100 * probability)} %`;
}

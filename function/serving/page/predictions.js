// The prediction for a face as elements, and as text for screen readers.

import { button, element } from "./elements.js";
import { errorText, warningText, warningTitle, withholding } from "./messages.js";

// years: right end of the scale
const OLDEST = 100;
const TICKS = [0, 20, 40, 60, 80, 100];

// The last two are for summaries. They are never shown.
function members({ age, warnings = [], error, probabilities, release, ...labels }) {
  return { age, warnings, error, labels };
}

/** Return whether a face's estimate is withheld: it would mean nothing, and the user has not asked for it. */
export function withheld({ prediction, revealed }) {
  return Boolean(withholding(prediction?.warnings)) && !revealed;
}

/** Return a face's prediction as a sentence for screen readers. */
export function sentence(face) {
  const { age, warnings, error, labels } = members(face.prediction);
  if (error) return errorText(error, true);
  const cautions = warnings.map((warning) => `Warning: ${warningText(warning)}`);
  if (withheld(face)) return ["No estimate.", ...cautions].join(" ");
  const parts = age ? [`${yearsText(age)}, ${intervalText(age)}`] : [];
  for (const { label, probability } of Object.values(labels)) parts.push(`${label}, probability ${percent(probability)}`);
  return [...cautions, `${parts.join("; ")}.`].join(" ");
}

/** Return a face's prediction in a few words, for a row, a tile or a line. */
export function summary(face) {
  if (!face.prediction) return element("span", "quiet", face.waiting ? "…" : "no prediction");
  const { age, warnings, error, labels } = members(face.prediction);
  if (error) return element("span", "problem", errorText(error, true));
  if (withheld(face)) return element("span", "warned", warningTitle(withholding(warnings)));
  const lines = element("span", "summary");
  if (age) lines.append(element("strong", "", yearsText(age)), element("span", "", intervalText(age)));
  for (const { label, probability } of Object.values(labels)) {
    lines.append(element("span", "", `${label}, ${percent(probability)}`));
  }
  if (warnings.length) lines.append(element("span", "warned", warnings.length === 1 ? warningTitle(warnings[0]) : `${warnings.length} warnings`));
  return lines;
}

/** Return a face's prediction in one or two words, for its box. */
export function shortest(face) {
  const { age, error, labels } = members(face.prediction ?? { error: true });
  if (error || withheld(face)) return "?";
  return age ? String(Math.round(age.years)) : (Object.values(labels)[0]?.label ?? "");
}

/** Return a face's prediction with all details, or the warning in place of a withheld one. */
export function details(face) {
  if (!face.prediction) return summary(face);
  const { age, warnings, error, labels } = members(face.prediction);
  if (error) return errorDetails(error, true);
  const all = element("div");
  if (warnings.length) all.append(warningList(warnings));
  if (withheld(face)) return all;
  const list = element("dl", "metrics");
  if (age) list.append(metric("Age", ageMetric(age)));
  for (const [head, label] of Object.entries(labels)) list.append(metric(capitalized(head), labelMetric(label)));
  all.append(list);
  if (age) all.append(element("p", "quiet", "The bar on the age scale covers 80 % of the labels that annotators would give."));
  return all;
}

/** Return the button that reveals a withheld prediction, if it is withheld. */
export function revealing(face, reveal) {
  return withheld(face) ? [button("Show anyway", reveal)] : [];
}

/** Return an error with the server's words on demand. */
export function errorDetails(error, readable) {
  const text = errorText(error, readable);
  const all = element("div");
  all.append(element("p", "problem", text));
  if (text === error.detail) return all;
  const more = element("details");
  more.append(element("summary", "", "Details"), element("p", "quiet", error.detail));
  all.append(more);
  return all;
}

/** Return warnings as a list. */
export function warningList(warnings) {
  const made = element("ul", "warnings");
  made.append(...warnings.map((warning) => element("li", "", warningText(warning))));
  return made;
}

function capitalized(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function metric(name, content) {
  const made = element("div");
  const value = element("dd");
  value.append(...content);
  made.append(element("dt", "", name), value);
  return made;
}

function ageMetric({ years, low, high }) {
  const [number, unit] = yearsText({ years }).split(" ");
  const text = element("p", "value");
  text.append(element("strong", "large", number), ` ${unit} `, element("span", "note", intervalText({ low, high })));
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

// The style sheet positions the element by these fractions of the scale.
function at(made, start, end = start) {
  const part = (value) => Math.min(Math.max(value / OLDEST, 0), 1);
  made.style.setProperty("--start", part(start));
  made.style.setProperty("--end", part(end));
  return made;
}

/** Return an age in years as text. */
export function yearsText({ years }) {
  const whole = Math.round(years);
  return whole === 1 ? "1 year" : `${whole} years`;
}

function intervalText({ low, high }) {
  return `likely ${Math.round(low)} to ${Math.round(high)}`;
}

function percent(probability) {
  return probability > 0.995 ? "over 99 %" : `${Math.round(100 * probability)} %`;
}

// A prediction as elements and as a sentence for screen readers. Text is always set as text, never as markup.

// years: right end of the scale
const OLDEST = 100;
const TICKS = [0, 20, 40, 60, 80, 100];

/** Return the prediction as a sentence for screen readers. */
export function sentence({ age, warnings = [], error, ...labels }) {
  if (error) return error.detail;
  const parts = age ? [`${yearsText(age)}, ${intervalText(age)}`] : [];
  for (const { label, probability } of Object.values(labels)) parts.push(`${label}, probability ${percent(probability)}`);
  return [`${parts.join("; ")}.`, ...warnings.map(({ detail }) => `Warning: ${detail}`)].join(" ");
}

/** Return the prediction in a few words, for a tile. */
export function summary({ age, warnings = [], error, ...labels }) {
  if (error) return element("span", "problem", error.detail);
  const lines = element("span", "summary");
  if (age) lines.append(element("strong", "", yearsText(age)), element("span", "", intervalText(age)));
  for (const { label, probability } of Object.values(labels)) {
    lines.append(element("span", "", `${label}, ${percent(probability)}`));
  }
  if (warnings.length) lines.append(element("span", "warned", warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`));
  return lines;
}

/** Return the prediction as an element with a row for each head. */
export function metrics({ age, warnings = [], error, ...labels }) {
  if (error) return element("p", "problem", error.detail);
  const list = element("dl", "metrics");
  if (age) list.append(metric("Age", ageMetric(age)));
  for (const [head, label] of Object.entries(labels)) list.append(metric(title(head), labelMetric(label)));
  const all = element("div");
  all.append(list);
  if (warnings.length) all.append(warningList(warnings));
  return all;
}

/** Return a new element with a class and text. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function title(head) {
  return head[0].toUpperCase() + head.slice(1);
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
  made.append(...warnings.map(({ detail }) => element("li", "", detail)));
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

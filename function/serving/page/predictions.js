// An answer as figures to look at and as a sentence to hear. Everything shown is set as text, never as markup.

// years: the right end of the drawn scale
const OLDEST = 100;
const TICKS = [0, 20, 40, 60, 80, 100];

/** An answer for the ear. */
export function sentence({ age, warnings = [], error, ...choices }) {
  if (error) return error.detail;
  const parts = age ? [`${yearsText(age)}, ${intervalText(age)}`] : [];
  for (const { label, probability } of Object.values(choices)) parts.push(`${label}, probability ${percent(probability)}`);
  return [`${parts.join("; ")}.`, ...warnings.map(({ detail }) => `Warning: ${detail}`)].join(" ");
}

/** An answer in a few words, for a tile. */
export function summary({ age, warnings = [], error, ...choices }) {
  if (error) return element("span", "problem", error.detail);
  const lines = element("span", "summary");
  if (age) lines.append(element("strong", "", yearsText(age)), element("span", "", intervalText(age)));
  for (const { label, probability } of Object.values(choices)) {
    lines.append(element("span", "", `${label}, ${percent(probability)}`));
  }
  if (warnings.length) lines.append(element("span", "warned", warnings.length === 1 ? "1 warning" : `${warnings.length} warnings`));
  return lines;
}

/** The answer as an element. */
export function figures({ age, warnings = [], error, ...choices }) {
  if (error) return element("p", "problem", error.detail);
  const list = element("dl", "figures");
  if (age) list.append(figure("Age", ageFigure(age)));
  for (const [head, choice] of Object.entries(choices)) list.append(figure(title(head), choiceFigure(choice)));
  const all = element("div");
  all.append(list);
  if (warnings.length) all.append(warningList(warnings));
  return all;
}

/** A new element with a class and text. */
export function element(name, kind = "", text = "") {
  const made = document.createElement(name);
  if (kind) made.className = kind;
  made.textContent = text;
  return made;
}

function title(head) {
  return head[0].toUpperCase() + head.slice(1);
}

function figure(name, ...content) {
  const made = element("div");
  const value = element("dd");
  value.append(...content.flat());
  made.append(element("dt", "", name), value);
  return made;
}

function ageFigure({ years, low, high }) {
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

function choiceFigure({ label, probability }) {
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

// The style sheet places an element by these two, in parts of the scale.
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

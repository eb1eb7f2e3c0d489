// What the page says of a whole photo: its title, its text, and a sentence for screen readers.

import { button, counted, element } from "./elements.js";
import { errorText, warningText } from "./messages.js";
import { details, errorDetails, revealing, sentence, warningList, withheld } from "./predictions.js";

const NO_FACE = "No face was found in this photo. Faces that are small, covered or turned away can be missed.";
const TO_FRAME = "Move the frame onto a face. The estimate follows.";

/** Return the title of an upload's answer. */
export function title({ name, faces, error, waiting }) {
  if (error) return `Could not read ${name}`;
  if (!faces) return waiting ? "Looking for faces…" : "No answer";
  if (!faces.length) return "No face found";
  return faces.length === 1 ? faceTitle(faces[0]) : counted(faces.length, "face");
}

/** Return the title of one face's answer. */
export function faceTitle(face) {
  if (!face.prediction) return "No estimate yet";
  return withheld(face) ? "No estimate" : "Estimate";
}

/** Return an upload's answer as a sentence for screen readers. */
export function spoken(upload) {
  const { faces, error, readable, warnings } = upload;
  if (error) return `${title(upload)}. ${errorText(error, readable)}`;
  const cautions = warnings.map((warning) => `Warning: ${warningText(warning)} `).join("");
  if (!faces?.length) return `${cautions}${title(upload)}.`;
  const prefix = faces.length === 1 ? "" : `${title(upload)}. The largest: `;
  return cautions + prefix + sentence(faces[0]);
}

/** Return what stands above the answers of an upload's faces. */
export function preface({ faces, error, warnings, readable }) {
  if (error) return [errorDetails(error, readable)];
  const all = warnings.length ? [warningList(warnings)] : [];
  if (faces && !faces.length) all.push(element("p", "", NO_FACE));
  return all;
}

/** Return what stands beside the frame of a face. The user can `reveal` a withheld estimate and `accept` the first frame. */
export function framedAnswer(face, reveal, accept) {
  if (face.prediction || face.waiting) return [details(face), ...revealing(face, reveal)];
  const hint = element("div", "hint");
  hint.append(element("p", "", TO_FRAME), button("It is framed", accept));
  return [hint];
}

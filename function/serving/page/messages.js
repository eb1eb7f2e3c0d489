// The page's sentences for warnings and errors of the server.

const WARNINGS = {
  not_a_face: ["No framed face", "This does not look like one upright face that fills the frame. Frame a face, or choose another image."],
  low_contrast: ["Low contrast", "The image has almost no contrast. Choose a well-lit image of a face."],
  low_resolution: ["Low resolution", "The face has too few pixels for an accurate age. Choose a larger image."],
  extreme_aspect_ratio: ["Long image", "Only the central square of this long image counts. Crop the image to the face."],
};
// With these warnings an estimate means nothing.
const WITHHOLDING = ["not_a_face", "low_contrast"];

/** Return a warning in a few words. */
export function warningTitle({ code }) {
  return WARNINGS[code]?.[0] ?? "1 warning";
}

/** Return a warning as a sentence: the page's own, or the server's for an unknown code. */
export function warningText({ code, detail }) {
  return WARNINGS[code]?.[1] ?? detail;
}

/** Return the first warning that makes an estimate meaningless, if any. */
export function withholding(warnings = []) {
  return warnings.find(({ code }) => WITHHOLDING.includes(code));
}

/** Return an error as a sentence. Errors of the page have no status. */
export function errorText({ status, detail }, readable) {
  if (status === 415) return "This file isn't a JPEG, PNG, WebP or AVIF image.";
  if (status === 413) return "The image is too large for this server.";
  // The browser cannot read the file either.
  if (status === 422 && !readable) return "The file is incomplete or damaged. Try exporting it again.";
  return detail;
}

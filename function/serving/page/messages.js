// The page's sentences for warnings and errors of the server.

const WARNINGS = {
  not_a_face: ["No clear face", "This does not look like one upright, uncovered face, so an estimate would mean nothing."],
  low_contrast: ["Low contrast", "The face has almost no contrast, so an estimate would mean nothing. Choose a well-lit photo."],
  low_resolution: ["Low resolution", "The face has too few pixels for an accurate age. Choose a larger photo."],
  extreme_aspect_ratio: ["Long image", "Only the central square of this long image counts. Crop the image to the face."],
  too_many_faces: ["Too many faces", "This photo has more faces than the server lists. Only the largest are shown."],
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
  if (status === 422 && !readable) return "The file is incomplete. Try exporting it again.";
  return detail;
}

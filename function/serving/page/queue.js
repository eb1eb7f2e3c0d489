// The queue of photos whose faces the server is to find.

import { batches, detect } from "./server.js";

// photos prepared before the first request is sent
const PREPARED = 8;

/**
 * Find the faces of photos, the first before later photos are decoded. Calls `updated(upload)` after each change, and stops
 * when `current()` is false. Throws RequestError if a request failed as a whole.
 */
export async function findFaces(uploads, current, updated) {
  for (let start = 0; start < uploads.length; start += PREPARED) {
    const next = uploads.slice(start, start + PREPARED);
    for (const upload of next) await prepare(upload, current, updated);
    for (const batch of batches(next.filter((upload) => upload.blob && upload.unanswered))) {
      if (!current()) return;
      const found = await detect(batch.map(({ blob }) => blob));
      batch.forEach((upload, index) => {
        upload.settle(found[index]);
        updated(upload);
      });
    }
  }
}

async function prepare(upload, current, updated) {
  if (upload.blob || !upload.unanswered || !current()) return;
  await upload.prepare();
  // Another intake has released this one.
  if (current()) updated(upload);
  else upload.release();
}

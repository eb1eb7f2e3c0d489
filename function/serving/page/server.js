// Requests to the server.

// images and bytes in one request, well below the server's default limits
const MAX_IMAGES = 32;
const MAX_BYTES = 8 * 2 ** 20;

// Kept in memory only, until the page is closed.
let apiKey = "";

/** A request that failed as a whole; `message` is for the user. */
export class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useKey(key) {
  apiKey = key;
}

/** Yield batches of uploads {blob} that fit into one request each, in order. */
export function* batches(uploads) {
  let batch = [];
  let bytes = 0;
  for (const upload of uploads) {
    if (batch.length && (batch.length === MAX_IMAGES || bytes + upload.blob.size > MAX_BYTES)) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(upload);
    bytes += upload.blob.size;
  }
  if (batch.length) yield batch;
}

/** Return a prediction or {error: problem} for each blob, in order. Throws RequestError. */
export async function predict(blobs) {
  const form = new FormData();
  // The file's name stays private.
  for (const blob of blobs) form.append("image", blob, "image");
  const headers = apiKey ? { "X-API-Key": apiKey } : {};
  const { response, body } = await fetchJson("predict", { method: "POST", body: form, headers });
  if (response.ok) return body.predictions;
  if (response.status === 422 && body.errors?.length === blobs.length) return body.errors.map((error) => ({ error }));
  if ([400, 413, 415, 422].includes(response.status)) {
    if (blobs.length === 1) return [{ error: body }];
    if (response.status === 413) return halves(blobs);
  }
  throw new RequestError(response.status, body.detail + retryHint(response));
}

/** Return {name, version} of the served model, or null. */
export async function model() {
  try {
    return (await fetchJson("health")).body.model ?? null;
  } catch {
    return null;
  }
}

// A deployment may allow fewer images or bytes in a request than this page sends.
async function halves(blobs) {
  const middle = Math.ceil(blobs.length / 2);
  return [...(await predict(blobs.slice(0, middle))), ...(await predict(blobs.slice(middle)))];
}

async function fetchJson(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new RequestError(0, "The server could not be reached. Check the connection and try again.");
  }
  try {
    return { response, body: await response.json() };
  } catch {
    throw new RequestError(response.status, `The server returned status ${response.status} without a reason. Try again later.`);
  }
}

function retryHint(response) {
  const seconds = response.headers.get("Retry-After");
  return seconds ? ` Try again in ${seconds} s.` : "";
}

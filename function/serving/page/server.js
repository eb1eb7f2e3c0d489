// Requests to the server.

// photos and bytes in one request, well below the server's default limits and its time limit
const MAX_IMAGES = 8;
const MAX_BYTES = 8 * 2 ** 20;

// What a summary of many predictions needs.
const PROBABILITIES = "probabilities=true";

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

/** Return {faces, warnings} or {error: problem} for each whole photo, in order. Throws RequestError. */
export function detect(blobs) {
  return post(`detect?${PROBABILITIES}`, blobs);
}

/** Return the prediction or {error: problem} for one framed face. Throws RequestError. */
export async function predict(blob) {
  // A deployment may look for faces by default. This one is framed.
  return (await post(`predict?detect=false&${PROBABILITIES}`, [blob]))[0];
}

/** Return {summary, not_counted} of earlier predictions, or {error: problem}. Throws RequestError. */
export async function summarize(predictions) {
  const headers = { "Content-Type": "application/json", ...key() };
  const { response, body } = await fetchJson("summarize", { method: "POST", body: JSON.stringify({ predictions }), headers });
  return response.ok ? body : { error: body };
}

/** Return {name, version} of the served model, or null. */
export async function model() {
  try {
    return (await fetchJson("health")).body.model ?? null;
  } catch {
    return null;
  }
}

function key() {
  return apiKey ? { "X-API-Key": apiKey } : {};
}

async function post(path, blobs) {
  const form = new FormData();
  // The file's name stays private.
  for (const blob of blobs) form.append("image", blob, "image");
  const { response, body } = await fetchJson(path, { method: "POST", body: form, headers: key() });
  if (response.ok) return body.predictions;
  if (response.status === 422 && body.errors?.length === blobs.length) return body.errors.map((error) => ({ error }));
  if ([400, 413, 415, 422].includes(response.status)) {
    if (blobs.length === 1) return [{ error: body }];
    if (response.status === 413) return halves(path, blobs);
  }
  throw new RequestError(response.status, body.detail + retryHint(response));
}

// A deployment may allow fewer images or bytes in a request than this page sends.
async function halves(path, blobs) {
  const middle = Math.ceil(blobs.length / 2);
  return [...(await post(path, blobs.slice(0, middle))), ...(await post(path, blobs.slice(middle)))];
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

// Pictures to the server and its answers back.

// At most this many pictures and bytes go into one request, well below the server's own default limits.
const MAX_IMAGES = 32;
const MAX_BYTES = 8 * 2 ** 20;

// Held in memory only; it is gone with the page.
let apiKey = "";

/** The whole request was refused or lost; `message` is for the user. */
export class Refusal extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function useKey(key) {
  apiKey = key;
}

/** Pictures {blob} in runs that fit one request each, in their order. */
export function* runs(pictures) {
  let run = [];
  let bytes = 0;
  for (const picture of pictures) {
    if (run.length && (run.length === MAX_IMAGES || bytes + picture.blob.size > MAX_BYTES)) {
      yield run;
      [run, bytes] = [[], 0];
    }
    run.push(picture);
    bytes += picture.blob.size;
  }
  if (run.length) yield run;
}

/** Blobs -> as many answers in their order, each the heads that are on or {error: problem}. Throws Refusal. */
export async function ask(blobs) {
  const form = new FormData();
  // The file's own name is nobody's business.
  for (const blob of blobs) form.append("image", blob, "image");
  const headers = apiKey ? { "X-API-Key": apiKey } : {};
  const { response, body } = await exchange("predict", { method: "POST", body: form, headers });
  if (response.ok) return body.predictions;
  if (response.status === 422 && body.errors?.length === blobs.length) return body.errors.map((error) => ({ error }));
  if ([400, 413, 415, 422].includes(response.status)) {
    if (blobs.length === 1) return [{ error: body }];
    if (response.status === 413) return halves(blobs);
  }
  throw new Refusal(response.status, body.detail + wait(response));
}

/** {name, version} of the model that answers, or null. */
export async function model() {
  try {
    return (await exchange("health")).body.model ?? null;
  } catch {
    return null;
  }
}

// A deployment may allow fewer pictures or bytes in one request than this page sends.
async function halves(blobs) {
  const middle = Math.ceil(blobs.length / 2);
  return [...(await ask(blobs.slice(0, middle))), ...(await ask(blobs.slice(middle)))];
}

async function exchange(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Refusal(0, "The server could not be reached. Check the connection and try again.");
  }
  try {
    return { response, body: await response.json() };
  } catch {
    throw new Refusal(response.status, `The server answered ${response.status} without a reason. Try again later.`);
  }
}

function wait(response) {
  const seconds = response.headers.get("Retry-After");
  return seconds ? ` Try again in ${seconds} s.` : "";
}

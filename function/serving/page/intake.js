// Inputs: file chooser, camera, paste and drop. Each calls receive(files).

import * as camera from "./camera.js";

const NO_IMAGE = "There is no image on the clipboard. Copy an image first.";
const BLOCKED = "The browser blocks the clipboard. Allow it in the settings of this page, or choose a photo.";

const part = (id) => document.getElementById(id);

/** Listen to all inputs. Call `receive(files, reason)` with a list of files, or an empty list and the reason. */
export function listen(receive) {
  for (const input of [part("files"), part("capture-file")]) {
    input.addEventListener("change", () => {
      if (input.files.length) receive([...input.files]);
      // The user may choose the same file again.
      input.value = "";
    });
  }
  part("choose").addEventListener("click", () => part("files").click());
  part("photo").addEventListener("click", () => {
    if (camera.available) camera.open((file) => receive([file]));
    else part("capture-file").click();
  });
  part("paste").addEventListener("click", async () => receive(...(await fromClipboard())));
  document.addEventListener("paste", (event) => {
    if (!(event.target instanceof HTMLInputElement)) receive([...event.clipboardData.files], NO_IMAGE);
  });
  listenForDrops(receive);
  part("paste").hidden = !navigator.clipboard?.read;
}

async function fromClipboard() {
  try {
    const items = await navigator.clipboard.read();
    const found = items.map((item) => [item, item.types.find((type) => type.startsWith("image/"))]).filter(([, type]) => type);
    const files = found.map(async ([item, type]) => new File([await item.getType(type)], "Pasted photo", { type }));
    return [await Promise.all(files), NO_IMAGE];
  } catch (error) {
    return [[], error.name === "NotAllowedError" ? BLOCKED : NO_IMAGE];
  }
}

function listenForDrops(receive) {
  const mark = (over) => part("intake").classList.toggle("over", over);
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    mark(false);
    receive([...event.dataTransfer.files], "There is no file here. Drop an image file.");
  });
}

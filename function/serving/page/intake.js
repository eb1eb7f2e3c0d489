// The ways in: choose, camera, paste and drop; each ends in take(files).

import * as camera from "./camera.js";

const part = (id) => document.getElementById(id);

/** Listen on all of them. `take` gets the list of files, empty when what came held none. */
export function listen(take) {
  for (const input of [part("picture"), part("capture")]) {
    input.addEventListener("change", () => {
      if (input.files.length) take([...input.files]);
      // The same file may be chosen again.
      input.value = "";
    });
  }
  part("choose").addEventListener("click", () => part("picture").click());
  part("take").addEventListener("click", () => {
    if (camera.available) camera.open((file) => take([file]));
    else part("capture").click();
  });
  part("paste").addEventListener("click", async () => take(await fromClipboard()));
  document.addEventListener("paste", (event) => {
    if (!(event.target instanceof HTMLInputElement)) take([...event.clipboardData.files]);
  });
  listenForDrops(take);
  part("paste").hidden = !navigator.clipboard?.read;
}

async function fromClipboard() {
  try {
    const items = await navigator.clipboard.read();
    const found = items.map((item) => [item, item.types.find((type) => type.startsWith("image/"))]).filter(([, type]) => type);
    return await Promise.all(found.map(async ([item, type]) => new File([await item.getType(type)], "pasted", { type })));
  } catch {
    // It was not allowed, or changed meanwhile.
    return [];
  }
}

function listenForDrops(take) {
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
    take([...event.dataTransfer.files]);
  });
}

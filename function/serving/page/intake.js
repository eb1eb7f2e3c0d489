// Inputs: file chooser, camera, paste and drop. Each calls receive(files).

import * as camera from "./camera.js";

const part = (id) => document.getElementById(id);

/** Listen to all inputs. `receive` gets a list of files, empty if a paste or drop contained none. */
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
  part("paste").addEventListener("click", async () => receive(await fromClipboard()));
  document.addEventListener("paste", (event) => {
    if (!(event.target instanceof HTMLInputElement)) receive([...event.clipboardData.files]);
  });
  listenForDrops(receive);
  part("paste").hidden = !navigator.clipboard?.read;
}

async function fromClipboard() {
  try {
    const items = await navigator.clipboard.read();
    const found = items.map((item) => [item, item.types.find((type) => type.startsWith("image/"))]).filter(([, type]) => type);
    return await Promise.all(found.map(async ([item, type]) => new File([await item.getType(type)], "pasted", { type })));
  } catch {
    // The user did not allow it, or the clipboard changed.
    return [];
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
    receive([...event.dataTransfer.files]);
  });
}

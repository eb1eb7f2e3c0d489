// A photo from the camera.

const dialog = document.getElementById("camera");
const preview = document.getElementById("preview");
const message = document.getElementById("camera-message");
const capture = document.getElementById("capture");

const REASONS = {
  NotAllowedError: "The browser blocks the camera. Allow it in the settings of this page, or choose a photo.",
  NotFoundError: "No camera was found. Connect one, or choose a photo.",
  NotReadableError: "Another program uses the camera. Close it, or choose a photo.",
};

/** Browsers allow the camera only on pages served over HTTPS or from localhost. */
export const available = Boolean(navigator.mediaDevices?.getUserMedia);

let stream = null;
let receive = () => {};

/** Show the camera and call `captured(file)` with the photo, unless the user cancels. */
export async function open(captured) {
  receive = captured;
  message.textContent = "Waiting for the camera…";
  capture.disabled = true;
  dialog.showModal();
  try {
    const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    if (!dialog.open) return stop(found);
    stream = found;
    preview.srcObject = found;
    await preview.play();
    message.textContent = "Look straight into the camera.";
    capture.disabled = false;
    capture.focus();
  } catch (error) {
    message.textContent = REASONS[error.name] ?? "The camera could not be started. Choose a photo instead.";
  }
}

function stop(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

capture.addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = preview.videoWidth;
  canvas.height = preview.videoHeight;
  canvas.getContext("2d").drawImage(preview, 0, 0);
  canvas.toBlob((blob) => {
    dialog.close();
    receive(new File([blob], "Photo", { type: blob.type }));
  }, "image/png");
});

document.getElementById("cancel").addEventListener("click", () => dialog.close());

dialog.addEventListener("close", () => {
  stop(stream);
  stream = null;
  preview.srcObject = null;
});

// A picture from the camera.

const dialog = document.getElementById("camera");
const finder = document.getElementById("finder");
const said = document.getElementById("camera-said");
const shoot = document.getElementById("shoot");

const REASONS = {
  NotAllowedError: "The camera was not allowed. Allow it in the browser's settings for this page, or choose a picture.",
  NotFoundError: "No camera was found. Connect one, or choose a picture.",
  NotReadableError: "The camera is in use elsewhere. Close the other program, or choose a picture.",
};

/** Browsers give the camera only to pages that came over HTTPS or from this machine. */
export const available = Boolean(navigator.mediaDevices?.getUserMedia);

let stream = null;
let taken = () => {};

/** Show the camera; `whenTaken(file)` is called with the picture, never when the user leaves. */
export async function open(whenTaken) {
  taken = whenTaken;
  said.textContent = "Waiting for the camera…";
  shoot.disabled = true;
  dialog.showModal();
  try {
    const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
    if (!dialog.open) return stop(found);
    stream = found;
    finder.srcObject = found;
    await finder.play();
    said.textContent = "Look straight into the camera. The face can be framed afterwards.";
    shoot.disabled = false;
    shoot.focus();
  } catch (error) {
    said.textContent = REASONS[error.name] ?? "The camera could not be started. Choose a picture instead.";
  }
}

function stop(ended) {
  for (const track of ended?.getTracks() ?? []) track.stop();
}

shoot.addEventListener("click", () => {
  const canvas = document.createElement("canvas");
  canvas.width = finder.videoWidth;
  canvas.height = finder.videoHeight;
  canvas.getContext("2d").drawImage(finder, 0, 0);
  canvas.toBlob((blob) => {
    dialog.close();
    taken(new File([blob], "camera", { type: blob.type }));
  }, "image/png");
});

document.getElementById("leave").addEventListener("click", () => dialog.close());

dialog.addEventListener("close", () => {
  stop(stream);
  stream = null;
  finder.srcObject = null;
});

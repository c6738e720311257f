/** One image from the camera. */
import { element } from "./elements.js";
import { contextOf } from "./images.js";

/** Shows the camera in a dialog, and returns the frame that the visitor takes, or null. */
export async function takeImage(): Promise<Blob | null> {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The camera needs a page from https or localhost.");
  }
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw new Error(`The camera cannot be used (${error instanceof Error ? error.message : "refused"}).`);
  }
  const dialog = element("camera-dialog", HTMLDialogElement);
  const video = element("video", HTMLVideoElement);
  video.srcObject = stream;
  await video.play();
  dialog.showModal();
  try {
    const taken = await new Promise<boolean>((resolve) => {
      element("shoot", HTMLButtonElement).onclick = () => resolve(true);
      element("cancel", HTMLButtonElement).onclick = () => resolve(false);
      dialog.oncancel = () => resolve(false);
    });
    return taken ? await frameOf(video) : null;
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    dialog.close();
  }
}

function frameOf(video: HTMLVideoElement): Promise<Blob | null> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  contextOf(canvas).drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

/** Images from files, the clipboard and the camera as RGB pixels, upright, on white. */
import type { Pixels } from "./resample.js";

const MOST_PIXELS = 64_000_000;
const STRIP_PIXELS = 4_000_000; // some devices refuse larger canvases

export interface VisitorImage {
  readonly bitmap: ImageBitmap;
  readonly name: string;
}

/** Decodes an image. The orientation of a photograph is applied; colours are not converted. */
export async function readImage(file: Blob, name: string): Promise<VisitorImage> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "default",
    });
  } catch {
    throw new Error(`${name || "The file"} is not an image that this browser can read.`);
  }
  if (bitmap.width * bitmap.height > MOST_PIXELS) {
    throw new Error(`${name} has ${bitmap.width} × ${bitmap.height} pixels; the limit is 64 million.`);
  }
  return { bitmap, name };
}

/** Returns the pixels of an image; what is transparent becomes white. */
export function pixelsOf(bitmap: ImageBitmap): Pixels {
  const { width, height } = bitmap;
  const values = new Uint8Array(width * height * 3);
  const most = Math.min(height, Math.max(1, Math.floor(STRIP_PIXELS / width)));
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [width, most];
  const context = contextOf(canvas, true);
  for (let top = 0, at = 0; top < height; top += most) {
    const rows = Math.min(most, height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, width, rows);
    context.drawImage(bitmap, 0, top, width, rows, 0, 0, width, rows);
    const { data } = context.getImageData(0, 0, width, rows);
    for (let from = 0; from < data.length; from += 4, at += 3) {
      values[at] = data[from];
      values[at + 1] = data[from + 1];
      values[at + 2] = data[from + 2];
    }
  }
  return { values, width, height };
}

export function contextOf(canvas: HTMLCanvasElement, read = false): CanvasRenderingContext2D {
  const context = canvas.getContext("2d", { willReadFrequently: read });
  if (context === null) throw new Error("This browser cannot draw.");
  return context;
}

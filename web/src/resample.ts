/**
 * Bicubic resize with antialiasing, by the same fixed-point arithmetic as Pillow, so that the model
 * sees the same pixels in the browser as in Python: rows first, then columns, with weights of 22
 * bits and rounding to bytes after each pass. Images that are far too large are first reduced by
 * whole factors.
 */
import type { Size } from "./framing.js";

/** An RGB image, three bytes a pixel, row by row. */
export interface Pixels {
  readonly values: Uint8Array | Uint8ClampedArray;
  readonly height: number;
  readonly width: number;
}

const REDUCING_GAP = 4;
const PRECISION = 2 ** 22;
const SUPPORT = 2;
const A = -0.5;

/** Returns the image resized to another size. */
export function resize(image: Pixels, size: Size): Pixels {
  const across = Math.trunc(image.width / size.width / REDUCING_GAP) || 1;
  const down = Math.trunc(image.height / size.height / REDUCING_GAP) || 1;
  const source = across > 1 || down > 1 ? reduce(image, across, down) : image;
  const box = { width: image.width / across, height: image.height / down };
  const wide =
    source.width === size.width && box.width === size.width
      ? source
      : alongRows(source, weightsOf(source.width, box.width, size.width));
  if (source.height === size.height && box.height === size.height) return wide;
  return alongColumns(wide, weightsOf(source.height, box.height, size.height));
}

/** Returns the means of blocks of pixels; blocks at the right and lower edge may be smaller. */
export function reduce(image: Pixels, across: number, down: number): Pixels {
  const width = Math.ceil(image.width / across);
  const height = Math.ceil(image.height / down);
  const values = new Uint8ClampedArray(width * height * 3);
  for (let row = 0; row < height; row++) {
    const bottom = Math.min(image.height, (row + 1) * down);
    for (let column = 0; column < width; column++) {
      const right = Math.min(image.width, (column + 1) * across);
      const count = (bottom - row * down) * (right - column * across);
      const factor = Math.floor(2 ** 24 / count);
      let [red, green, blue] = [count >> 1, count >> 1, count >> 1];
      for (let y = row * down; y < bottom; y++) {
        let from = (y * image.width + column * across) * 3;
        for (let x = column * across; x < right; x++, from += 3) {
          red += image.values[from];
          green += image.values[from + 1];
          blue += image.values[from + 2];
        }
      }
      const to = (row * width + column) * 3;
      values[to] = Math.floor((red * factor) / 2 ** 24);
      values[to + 1] = Math.floor((green * factor) / 2 ** 24);
      values[to + 2] = Math.floor((blue * factor) / 2 ** 24);
    }
  }
  return { values, width, height };
}

interface Weights {
  readonly starts: Int32Array;
  readonly counts: Int32Array;
  readonly factors: Float64Array;
  /** Room for the factors of one output sample. */
  readonly stride: number;
}

function cubic(x: number): number {
  const distance = Math.abs(x);
  if (distance < 1) return ((A + 2) * distance - (A + 3)) * distance * distance + 1;
  if (distance < 2) return (((distance - 5) * distance + 8) * distance - 4) * A;
  return 0;
}

/** Weights of the samples of one axis: `used` of its `length` samples become `outputs` samples. */
function weightsOf(length: number, used: number, outputs: number): Weights {
  const scale = used / outputs;
  const stretch = Math.max(scale, 1);
  const support = SUPPORT * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const starts = new Int32Array(outputs);
  const counts = new Int32Array(outputs);
  const factors = new Float64Array(outputs * stride);
  for (let index = 0; index < outputs; index++) {
    const centre = (index + 0.5) * scale;
    const start = Math.max(0, Math.trunc(centre - support + 0.5));
    const count = Math.min(length, Math.trunc(centre + support + 0.5)) - start;
    let total = 0;
    for (let k = 0; k < count; k++) {
      const weight = cubic((k + start - centre + 0.5) * (1 / stretch));
      factors[index * stride + k] = weight;
      total += weight;
    }
    for (let k = 0; k < count; k++) {
      const weight = (factors[index * stride + k] / total) * PRECISION;
      factors[index * stride + k] = Math.trunc(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    starts[index] = start;
    counts[index] = count;
  }
  return { starts, counts, factors, stride };
}

function alongRows(image: Pixels, weights: Weights): Pixels {
  const width = weights.starts.length;
  const values = new Uint8ClampedArray(width * image.height * 3);
  for (let row = 0; row < image.height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * image.width + weights.starts[column]) * 3;
      sum(image.values, from, 3, weights, column, values, (row * width + column) * 3);
    }
  }
  return { values, width, height: image.height };
}

function alongColumns(image: Pixels, weights: Weights): Pixels {
  const height = weights.starts.length;
  const values = new Uint8ClampedArray(image.width * height * 3);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < image.width; column++) {
      const from = (weights.starts[row] * image.width + column) * 3;
      sum(image.values, from, image.width * 3, weights, row, values, (row * image.width + column) * 3);
    }
  }
  return { values, width: image.width, height };
}

/** Writes the weighted sum of the samples of one output pixel, rounded to bytes. */
function sum(
  source: Uint8Array | Uint8ClampedArray,
  from: number,
  step: number,
  weights: Weights,
  index: number,
  target: Uint8ClampedArray,
  to: number,
): void {
  const first = index * weights.stride;
  let [red, green, blue] = [PRECISION / 2, PRECISION / 2, PRECISION / 2];
  for (let k = 0, at = from; k < weights.counts[index]; k++, at += step) {
    const factor = weights.factors[first + k];
    red += source[at] * factor;
    green += source[at + 1] * factor;
    blue += source[at + 2] * factor;
  }
  target[to] = Math.floor(red / PRECISION);
  target[to + 1] = Math.floor(green / PRECISION);
  target[to + 2] = Math.floor(blue / PRECISION);
}

/** Maps of patches at the size of an image, and their scaling, as in the library. */
import type { Framing, Size } from "./framing.js";

const FLAT_RANGE = 1e-6;

/** A map of the pixels of an image, row by row. */
export interface PixelMap {
  readonly values: Float32Array;
  readonly height: number;
  readonly width: number;
}

interface Samples {
  readonly lower: Int32Array;
  readonly upper: Int32Array;
  readonly weights: Float32Array;
}

function samplesOf(
  patches: number,
  patchSize: number,
  offset: number,
  content: number,
  samples: number,
): Samples {
  const lower = new Int32Array(samples);
  const upper = new Int32Array(samples);
  const weights = new Float32Array(samples);
  for (let index = 0; index < samples; index++) {
    const position = ((index + 0.5) * (content / samples) + offset) / patchSize - 0.5;
    const before = Math.min(Math.max(Math.floor(position), -1), patches - 1);
    lower[index] = Math.max(before, 0);
    upper[index] = Math.min(before + 1, patches - 1);
    weights[index] = Math.min(Math.max(position - before, 0), 1);
  }
  return { lower, upper, weights };
}

/** Resizes a map of the patches of a frame to its image, bilinear, at this size. */
export function toPixels(
  map: Float32Array,
  rows: number,
  columns: number,
  framing: Framing,
  size: Size,
): PixelMap {
  const down = samplesOf(
    rows, framing.frame.height / rows, framing.top, framing.content.height, size.height,
  );
  const across = samplesOf(
    columns, framing.frame.width / columns, framing.left, framing.content.width, size.width,
  );
  const wide = new Float32Array(rows * size.width);
  for (let row = 0; row < rows; row++) {
    for (let x = 0; x < size.width; x++) {
      const [a, b] = [map[row * columns + across.lower[x]], map[row * columns + across.upper[x]]];
      wide[row * size.width + x] = a + (b - a) * across.weights[x];
    }
  }
  const values = new Float32Array(size.height * size.width);
  for (let y = 0; y < size.height; y++) {
    const [top, bottom] = [down.lower[y] * size.width, down.upper[y] * size.width];
    for (let x = 0; x < size.width; x++) {
      const a = wide[top + x];
      values[y * size.width + x] = a + (wide[bottom + x] - a) * down.weights[y];
    }
  }
  return { values, height: size.height, width: size.width };
}

/** Lowest and highest value. */
export type Range = readonly [lowest: number, highest: number];

export function rangeOf(values: ArrayLike<number>): Range {
  let [lowest, highest] = [Infinity, -Infinity];
  for (let index = 0; index < values.length; index++) {
    if (values[index] < lowest) lowest = values[index];
    if (values[index] > highest) highest = values[index];
  }
  return [lowest, highest];
}

/** Whether a map with this range is constant up to rounding. */
export function isFlat([lowest, highest]: Range): boolean {
  return highest - lowest <= FLAT_RANGE * Math.max(Math.abs(lowest), Math.abs(highest));
}

/** Scales values so that the range becomes 0 to `highest`; a flat map becomes zeros. */
export function rescale(values: Float32Array, range: Range, highest = 1): Float32Array {
  const scaled = new Float32Array(values.length);
  if (isFlat(range)) return scaled;
  const width = range[1] - range[0];
  for (let index = 0; index < values.length; index++) {
    scaled[index] = highest * Math.min(Math.max((values[index] - range[0]) / width, 0), 1);
  }
  return scaled;
}

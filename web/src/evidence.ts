/**
 * Scores of words from the features of an image: cosine, feature surgery and presence, by the
 * formulas of the library (CLIP Surgery, arXiv 2304.05653). All features are of unit length.
 *
 * Letters: P patches, D joint width, C words, R reference words.
 */
import { round } from "./rounding.js";
import type { Matrix } from "./safetensors.js";

/** What `redundancy` of the exported method says is removed from the similarity. */
export type Redundancy = "auto" | "none" | "labels" | "empty text" | "vocabulary";

/** Settings of the exported method that apply after the image tower. */
export interface EvidenceSettings {
  readonly redundancy: Redundancy;
  readonly weighting: "reference" | "paper";
  readonly temperature: number;
  readonly logit_scale: number;
  readonly presence: {
    readonly image: number;
    readonly patches: number;
    readonly offset: number;
    readonly best_share: number;
  } | null;
}

/** Features of one image. */
export interface ImageFeatures {
  readonly patches: Matrix;
  readonly image: Matrix;
  readonly plain: Matrix;
}

/** Features of words, of the empty text, and of the reference words if there are any. */
export interface WordFeatures {
  readonly words: Matrix;
  readonly empty: Matrix;
  readonly reference: Matrix | null;
}

/** Scores of C words in one image; a map holds one score a patch, row by row. */
export interface Evidence {
  readonly maps: Float32Array[];
  readonly plain: Float32Array[];
  readonly image: number[];
  /** Probability of presence of each word; null without reference words. */
  readonly presence: number[] | null;
}

/** Returns the dot products of all rows of two matrices, (rows of a, rows of b). */
export function products(a: Matrix, b: Matrix): Matrix {
  const width = a.columns;
  if (b.columns !== width) throw new Error(`Expected features of width ${width}, but got ${b.columns}.`);
  const values = new Float32Array(a.rows * b.rows);
  for (let row = 0; row < a.rows; row++) {
    const left = a.values.subarray(row * width, (row + 1) * width);
    for (let column = 0; column < b.rows; column++) {
      const start = column * width;
      let total = 0;
      for (let k = 0; k < width; k++) total += left[k] * b.values[start + k];
      values[row * b.rows + column] = total;
    }
  }
  return { values, rows: a.rows, columns: b.rows };
}

function column(matrix: Matrix, index: number): Float32Array {
  const values = new Float32Array(matrix.rows);
  for (let row = 0; row < matrix.rows; row++) values[row] = matrix.values[row * matrix.columns + index];
  return values;
}

/** Similarities of one image with texts that do not change while the visitor chooses words. */
export interface SharedSimilarity {
  readonly patches: Matrix;
  readonly image: Matrix;
}

/** Returns the similarity with the reference words and, last, with the empty text. */
export function sharedSimilarity(features: ImageFeatures, words: WordFeatures): SharedSimilarity {
  const parts = words.reference === null ? [words.empty] : [words.reference, words.empty];
  const values = new Float32Array(parts.reduce((total, part) => total + part.values.length, 0));
  let at = 0;
  for (const part of parts) {
    values.set(part.values, at);
    at += part.values.length;
  }
  const all = { values, rows: values.length / words.empty.columns, columns: words.empty.columns };
  return { patches: products(features.patches, all), image: products(features.image, all) };
}

/** Returns maps and presence of the words in an image. */
export function evidence(
  features: ImageFeatures,
  words: WordFeatures,
  shared: SharedSimilarity,
  settings: EvidenceSettings,
): Evidence {
  const similarity = products(features.patches, words.words);
  const image = products(features.image, words.words);
  const plain = products(features.plain, words.words);
  const count = words.words.rows;
  const scores = withoutShared(similarity, image, words, shared, settings);
  return {
    maps: Array.from({ length: count }, (_, index) => column(scores, index)),
    plain: Array.from({ length: count }, (_, index) => column(plain, index)),
    image: Array.from(image.values),
    presence:
      settings.presence === null || words.reference === null
        ? null
        : presence(similarity, image, shared, settings.logit_scale, settings.presence),
  };
}

/** Feature surgery: the similarity (P, C) without the component that all texts share. */
function withoutShared(
  similarity: Matrix,
  image: Matrix,
  words: WordFeatures,
  shared: SharedSimilarity,
  settings: EvidenceSettings,
): Matrix {
  const source = redundancySource(settings.redundancy, words);
  if (source === "none") return similarity;
  const count = similarity.columns;
  const last = shared.patches.columns - 1; // the empty text
  const values = new Float32Array(similarity.values.length);
  if (source === "empty text") {
    for (let index = 0; index < values.length; index++) {
      const patch = Math.floor(index / count);
      values[index] = similarity.values[index] - shared.patches.values[patch * (last + 1) + last];
    }
    return { ...similarity, values };
  }
  const vocabulary = source === "vocabulary";
  const [patches, classes] = vocabulary ? [shared.patches, shared.image] : [similarity, image];
  const used = vocabulary ? last : count;
  const weight = (cosine: number): number => Math.exp(settings.temperature * cosine);
  let mean = 0;
  for (let index = 0; index < used; index++) mean += weight(classes.values[index]) / used;
  const sharedWeights = Array.from({ length: used }, (_, i) => weight(classes.values[i]) / mean / used);
  const weights = Array.from({ length: count }, (_, i) =>
    settings.weighting === "reference" ? weight(image.values[i]) / mean : 1,
  );
  for (let patch = 0; patch < similarity.rows; patch++) {
    let bias = 0;
    for (let index = 0; index < used; index++) {
      bias += patches.values[patch * patches.columns + index] * sharedWeights[index];
    }
    for (let index = 0; index < count; index++) {
      const at = patch * count + index;
      values[at] = similarity.values[at] * weights[index] - bias;
    }
  }
  return { ...similarity, values };
}

function redundancySource(redundancy: Redundancy, words: WordFeatures): Redundancy {
  let source = redundancy;
  if (source === "auto") source = words.reference === null ? "labels" : "vocabulary";
  return source === "labels" && words.words.rows === 1 ? "empty text" : source;
}

/** Probability of presence: a logistic rule of the log ratios to the reference words. */
function presence(
  similarity: Matrix,
  image: Matrix,
  shared: SharedSimilarity,
  scale: number,
  rule: NonNullable<EvidenceSettings["presence"]>,
): number[] {
  const words = shared.image.columns;
  const level = (matrix: Matrix, row: number): number => {
    const from = row * words;
    let highest = -Infinity;
    for (let k = 0; k < words; k++) highest = Math.max(highest, scale * matrix.values[from + k]);
    let total = 0;
    for (let k = 0; k < words; k++) total += Math.exp(scale * matrix.values[from + k] - highest);
    return highest + Math.log(total) - Math.log(words);
  };
  const levels = Array.from({ length: similarity.rows }, (_, row) => level(shared.patches, row));
  const best = Math.max(1, round(rule.best_share * similarity.rows));
  const imageLevel = level(shared.image, 0);
  return Array.from({ length: image.columns }, (_, index) => {
    const ratios = levels
      .map((value, row) => scale * similarity.values[row * similarity.columns + index] - value)
      .sort((a, b) => b - a);
    const patches = ratios.slice(0, best).reduce((total, ratio) => total + ratio, 0) / best;
    const whole = scale * image.values[index] - imageLevel;
    return 1 / (1 + Math.exp(-(rule.image * whole + rule.patches * patches + rule.offset)));
  });
}

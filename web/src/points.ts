/** Points on an object and off it, by the two rules of the library. */
import { cellCentre, cellsInImage, type Framing } from "./framing.js";
import { isFlat, rangeOf, rescale } from "./maps.js";

/** A point in pixels of the image; label 1 is on the object, 0 off it. */
export interface Point {
  readonly x: number;
  readonly y: number;
  readonly label: 0 | 1;
}

export type PointRule = "reference" | "peaks";

const PEAKS = { count: 3, threshold: 0.9, highestNegative: 0.3, spacing: 2 };
const THRESHOLD = 0.8;

interface Grid {
  readonly levels: Float32Array;
  readonly inside: boolean[];
  readonly rows: number;
  readonly columns: number;
}

/** Returns the points of one map; a flat map has none. */
export function pointsOf(map: Float32Array, framing: Framing, rule: PointRule): Point[] {
  const halving = rule === "reference";
  const rows = halving ? Math.max(1, framing.rows >> 1) : framing.rows;
  const columns = halving ? Math.max(1, framing.columns >> 1) : framing.columns;
  const scores = halving ? resized(map, framing.rows, framing.columns, rows, columns) : map;
  const inside = cellsInImage(framing, rows, columns);
  const range = rangeOf(scores.filter((_, cell) => inside[cell]));
  if (isFlat(range)) return [];
  const grid = { levels: rescale(scores, range), inside, rows, columns };
  const [positive, negative] = halving ? highestAndLowest(grid) : peaksAndValleys(grid);
  const point = (label: 0 | 1) => (cell: number): Point => ({
    ...cellCentre(framing, cell, rows, columns),
    label,
  });
  return [...positive.map(point(1)), ...negative.map(point(0))];
}

/** The published rule: as many of the highest cells as reach the threshold, as many lowest. */
function highestAndLowest({ levels, inside }: Grid): [number[], number[]] {
  const cells = [...levels.keys()].filter((cell) => inside[cell]);
  const order = cells.sort((a, b) => levels[b] - levels[a]);
  const reaching = order.filter((cell) => levels[cell] >= THRESHOLD).length;
  const count = Math.min(reaching, order.length >> 1);
  return [order.slice(0, count), order.slice(order.length - count).reverse()];
}

/** A few local maxima, kept apart, and low cells spread over the image. */
function peaksAndValleys(grid: Grid): [number[], number[]] {
  const levels = smooth(grid);
  const { inside, rows, columns } = grid;
  const cells = [...levels.keys()].filter((cell) => inside[cell]);
  const isPeak = (cell: number): boolean =>
    levels[cell] >= PEAKS.threshold &&
    around(cell, rows, columns).every((other) => !inside[other] || levels[other] <= levels[cell]);
  const positive: number[] = [];
  for (const cell of cells.filter(isPeak).sort((a, b) => levels[b] - levels[a])) {
    if (positive.length === PEAKS.count) break;
    if (positive.every((other) => distance(cell, other, columns) >= PEAKS.spacing)) positive.push(cell);
  }
  return [positive, spread(levels, cells.filter((cell) => levels[cell] <= PEAKS.highestNegative), columns)];
}

/** The lowest cell first, then always the one that is farthest from those chosen. */
function spread(levels: Float32Array, candidates: number[], columns: number): number[] {
  if (!candidates.length) return [];
  const chosen = [candidates.reduce((best, cell) => (levels[cell] < levels[best] ? cell : best))];
  while (chosen.length < Math.min(PEAKS.count, candidates.length)) {
    const nearest = (cell: number): number =>
      Math.min(...chosen.map((other) => distance(cell, other, columns)));
    chosen.push(candidates.reduce((best, cell) => (nearest(cell) > nearest(best) ? cell : best)));
  }
  return chosen;
}

function distance(a: number, b: number, columns: number): number {
  const down = Math.floor(a / columns) - Math.floor(b / columns);
  return Math.hypot(down, (a % columns) - (b % columns));
}

function around(cell: number, rows: number, columns: number): number[] {
  const [row, column] = [Math.floor(cell / columns), cell % columns];
  const cells: number[] = [];
  for (let y = Math.max(0, row - 1); y <= Math.min(rows - 1, row + 1); y++) {
    for (let x = Math.max(0, column - 1); x <= Math.min(columns - 1, column + 1); x++) {
      cells.push(y * columns + x);
    }
  }
  return cells;
}

/** Mean over the 3 x 3 cells that show the image, scaled to 0 to 1 again. */
function smooth({ levels, inside, rows, columns }: Grid): Float32Array {
  const means = levels.map((_, cell) => {
    const near = around(cell, rows, columns).filter((other) => inside[other]);
    return near.reduce((total, other) => total + levels[other], 0) / Math.max(1, near.length);
  });
  const range = rangeOf(means.filter((_, cell) => inside[cell]));
  return isFlat(range) ? levels : rescale(means, range);
}

/** Bilinear resize of a grid without antialiasing, with the corners not aligned. */
function resized(
  map: Float32Array,
  rows: number,
  columns: number,
  toRows: number,
  toColumns: number,
): Float32Array {
  const place = (index: number, from: number, to: number): [number, number, number] => {
    const position = Math.max(0, (index + 0.5) * (from / to) - 0.5);
    const before = Math.min(Math.floor(position), from - 1);
    return [before, Math.min(before + 1, from - 1), position - before];
  };
  const values = new Float32Array(toRows * toColumns);
  for (let row = 0; row < toRows; row++) {
    const [top, bottom, down] = place(row, rows, toRows);
    for (let column = 0; column < toColumns; column++) {
      const [left, right, across] = place(column, columns, toColumns);
      const at = (y: number, x: number): number => map[y * columns + x];
      const above = at(top, left) * (1 - across) + at(top, right) * across;
      const below = at(bottom, left) * (1 - across) + at(bottom, right) * across;
      values[row * toColumns + column] = above * (1 - down) + below * down;
    }
  }
  return values;
}

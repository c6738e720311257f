import { round } from "./rounding.js";

/** Height and width in pixels. */
export interface Size {
  readonly height: number;
  readonly width: number;
}

/** The resize of one image and its position in the frame, which is the input of the model. */
export interface Framing {
  readonly original: Size;
  readonly content: Size;
  readonly frame: Size;
  /** Upper left corner of the content in the frame. */
  readonly top: number;
  readonly left: number;
  /** Rows and columns of patches in the frame. */
  readonly rows: number;
  readonly columns: number;
}

/** How images become the input of the model; the fields are those of the exported settings. */
export interface FramingSettings {
  readonly framing: "keep ratio" | "squash" | "letterbox";
  readonly size: number;
  readonly patch_size: number;
  readonly least_patches: number;
  readonly max_patches: number;
  readonly max_aspect_ratio: number;
}

/** Returns how an image of this size is resized, by the rule of the library. */
export function frameImage(original: Size, settings: FramingSettings): Framing {
  const { framing, size, patch_size: patch, max_aspect_ratio: ratio } = settings;
  const [short, long] = [
    Math.min(original.height, original.width),
    Math.max(original.height, original.width),
  ];
  if (framing === "keep ratio" && long <= ratio * short) {
    const frame = keepRatio(original, settings);
    return placed(original, frame, frame, patch);
  }
  const side = Math.max(1, round(size / patch)) * patch;
  const frame = { height: side, width: side };
  if (framing === "squash") return placed(original, frame, frame, patch);
  const scale = Math.min(side / original.height, side / original.width);
  const content = {
    height: Math.max(1, Math.min(side, round(original.height * scale))),
    width: Math.max(1, Math.min(side, round(original.width * scale))),
  };
  return placed(original, content, frame, patch);
}

function keepRatio(original: Size, settings: FramingSettings): Size {
  const { size, patch_size: patch, max_patches: most, least_patches: least } = settings;
  const scale = size / Math.min(original.height, original.width);
  const patches = [(original.height * scale) / patch, (original.width * scale) / patch];
  const excess = Math.sqrt(Math.max(1, (patches[0] * patches[1]) / most));
  let [rows, columns] = patches.map((side) => Math.max(1, Math.min(most, round(side / excess))));
  if (rows * columns > most) {
    const [before, across] = [rows, columns];
    rows = Math.min(before, Math.floor(most / across) || 1);
    columns = Math.min(across, most);
  }
  return {
    height: Math.max(least, rows) * patch,
    width: Math.max(least, columns) * patch,
  };
}

function placed(original: Size, content: Size, frame: Size, patch: number): Framing {
  return {
    original,
    content,
    frame,
    top: Math.floor((frame.height - content.height) / 2),
    left: Math.floor((frame.width - content.width) / 2),
    rows: frame.height / patch,
    columns: frame.width / patch,
  };
}

/** Returns the centre of a cell of a grid, in pixels of the original image. */
export function cellCentre(
  framing: Framing,
  cell: number,
  rows: number,
  columns: number,
): { x: number; y: number } {
  const inFrame = {
    y: (Math.floor(cell / columns) + 0.5) * (framing.frame.height / rows),
    x: ((cell % columns) + 0.5) * (framing.frame.width / columns),
  };
  const y = (inFrame.y - framing.top) / (framing.content.height / framing.original.height);
  const x = (inFrame.x - framing.left) / (framing.content.width / framing.original.width);
  return {
    x: Math.min(Math.max(x, 0), framing.original.width - 1),
    y: Math.min(Math.max(y, 0), framing.original.height - 1),
  };
}

/** Returns which cells of a grid have their centre in the image instead of a margin. */
export function cellsInImage(framing: Framing, rows: number, columns: number): boolean[] {
  const inside: boolean[] = [];
  for (let row = 0; row < rows; row++) {
    const y = (row + 0.5) * (framing.frame.height / rows) - framing.top;
    for (let column = 0; column < columns; column++) {
      const x = (column + 0.5) * (framing.frame.width / columns) - framing.left;
      inside.push(y >= 0 && y < framing.content.height && x >= 0 && x < framing.content.width);
    }
  }
  return inside;
}

/** Returns the patch (row, column) that shows a pixel of the original image. */
export function patchAt(framing: Framing, x: number, y: number): { row: number; column: number } {
  const frameY = y * (framing.content.height / framing.original.height) + framing.top;
  const frameX = x * (framing.content.width / framing.original.width) + framing.left;
  const patch = framing.frame.height / framing.rows;
  return {
    row: Math.max(0, Math.min(framing.rows - 1, Math.floor(frameY / patch))),
    column: Math.max(0, Math.min(framing.columns - 1, Math.floor(frameX / patch))),
  };
}

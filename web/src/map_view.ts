/** One map over the image: canvases in a button, with a cursor for pointer and keyboard. */
import { create } from "./elements.js";
import { cellCentre, patchAt, type Framing, type Size } from "./framing.js";
import { contextOf } from "./images.js";
import type { PixelMap } from "./maps.js";
import type { Point } from "./points.js";

/** The colours of maps: 256 times red, green and blue. */
export type Palette = Uint8Array;

export interface Place {
  /** Pixels of the original image. */
  readonly x: number;
  readonly y: number;
}

export interface MapEvents {
  hover(view: MapView, place: Place): void;
  leave(): void;
  choose(place: Place): void;
}

const MOST_SIDE = 560;

/** Returns the size at which maps are drawn. */
export function drawnSize(original: Size): Size {
  const scale = Math.min(1, MOST_SIDE / Math.max(original.height, original.width));
  return {
    height: Math.max(1, Math.round(original.height * scale)),
    width: Math.max(1, Math.round(original.width * scale)),
  };
}

export class MapView {
  readonly button = create("button", { kind: "map" });
  private readonly heat = create("canvas", { kind: "heat" });
  private readonly marks = create("canvas");
  private cursor: Place;
  private points: readonly Point[] = [];

  /**
   * @param title what the map shows, for the readout.
   * @param levels values of 0 to 1 at the drawn size, which give the colours.
   * @param scores the values before they were scaled, at the same size.
   */
  constructor(
    readonly title: string,
    readonly levels: PixelMap,
    readonly scores: PixelMap,
    private readonly framing: Framing,
    image: ImageBitmap,
    palette: Palette,
    label: string,
    private readonly events: MapEvents,
  ) {
    const { height, width } = levels;
    this.cursor = { x: framing.original.width / 2, y: framing.original.height / 2 };
    this.button.type = "button";
    this.button.setAttribute("aria-label", label);
    const below = create("canvas");
    for (const canvas of [below, this.heat, this.marks]) [canvas.width, canvas.height] = [width, height];
    contextOf(below).drawImage(image, 0, 0, width, height);
    contextOf(this.heat).putImageData(coloured(levels, palette), 0, 0);
    const stack = create("span", { kind: "stack" });
    stack.append(below, this.heat, this.marks);
    this.button.append(create("span", { kind: "name", text: title }), stack);
    stack.onpointermove = (event) => this.hover(event);
    stack.onpointerleave = () => this.events.leave();
    stack.onpointerdown = (event) => this.hover(event);
    this.button.onclick = () => this.events.choose(this.cursor);
    this.button.onkeydown = (event) => this.press(event);
    this.button.onblur = () => this.draw(false);
  }

  /** Value of 0 to 1, and score, at a place of the image. */
  valueAt({ x, y }: Place): { level: number; score: number } {
    const { height, width } = this.levels;
    const { original } = this.framing;
    const row = Math.min(height - 1, Math.floor((y / original.height) * height));
    const column = Math.min(width - 1, Math.floor((x / original.width) * width));
    const at = row * width + column;
    return { level: this.levels.values[at], score: this.scores.values[at] };
  }

  show(points: readonly Point[]): void {
    this.points = points;
    this.draw(false);
  }

  private hover(event: PointerEvent): void {
    const box = this.marks.getBoundingClientRect();
    const { original } = this.framing;
    const within = (value: number, size: number): number => Math.min(Math.max(value, 0), size - 1);
    this.cursor = {
      x: within(Math.floor(((event.clientX - box.left) / box.width) * original.width), original.width),
      y: within(Math.floor(((event.clientY - box.top) / box.height) * original.height), original.height),
    };
    this.events.hover(this, this.cursor);
  }

  private press(event: KeyboardEvent): void {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const { rows, columns } = this.framing;
    const { row, column } = patchAt(this.framing, this.cursor.x, this.cursor.y);
    const within = (value: number, size: number): number => Math.min(Math.max(value, 0), size - 1);
    const cell = within(row + step[1], rows) * columns + within(column + step[0], columns);
    this.cursor = cellCentre(this.framing, cell, rows, columns);
    this.draw(true);
    this.events.hover(this, this.cursor);
  }

  private draw(withCursor: boolean): void {
    const context = contextOf(this.marks);
    const { width, height } = this.marks;
    const { original } = this.framing;
    context.clearRect(0, 0, width, height);
    const [across, down] = [width / original.width, height / original.height];
    for (const point of this.points) {
      // centre of the pixel: points are pixels of the image
      circle(context, (point.x + 0.5) * across, (point.y + 0.5) * down, point.label === 1);
    }
    if (withCursor) cross(context, this.cursor.x * across, this.cursor.y * down);
  }

  /** Marks the patch that was chosen. */
  mark(place: Place): void {
    this.cursor = place;
    this.draw(true);
  }
}

/** Colour and opacity of 256 levels, as four bytes a level in the order of an image. */
function colourTable(palette: Palette): Uint32Array {
  const bytes = new Uint8ClampedArray(4 * 256);
  for (let index = 0; index < 256; index++) {
    const level = index / 255;
    bytes.set(palette.subarray(index * 3, index * 3 + 3), index * 4);
    // A smooth step: low values, which are mostly noise, are nearly transparent.
    bytes[index * 4 + 3] = 255 * level * level * (3 - 2 * level);
  }
  return new Uint32Array(bytes.buffer);
}

const tables = new WeakMap<Palette, Uint32Array>();

function coloured(levels: PixelMap, palette: Palette): ImageData {
  let table = tables.get(palette);
  if (table === undefined) tables.set(palette, (table = colourTable(palette)));
  const image = new ImageData(levels.width, levels.height);
  const colours = new Uint32Array(image.data.buffer);
  for (let index = 0; index < colours.length; index++) {
    colours[index] = table[Math.round(levels.values[index] * 255)];
  }
  return image;
}

function circle(context: CanvasRenderingContext2D, x: number, y: number, positive: boolean): void {
  context.beginPath();
  context.arc(x, y, 6, 0, 2 * Math.PI);
  context.fillStyle = positive ? "#1b9e4b" : "#d62839";
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "white";
  context.stroke();
  if (!positive) context.fillStyle = "white", context.fillRect(x - 3, y - 1, 6, 2);
}

function cross(context: CanvasRenderingContext2D, x: number, y: number): void {
  for (const [colour, wide] of [["black", 4], ["white", 2]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = wide;
    context.beginPath();
    context.moveTo(x - 9, y);
    context.lineTo(x + 9, y);
    context.moveTo(x, y - 9);
    context.lineTo(x, y + 9);
    context.stroke();
  }
}

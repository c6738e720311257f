/** The maps of all words, the colour scale and the readout. */
import { create, element } from "./elements.js";
import type { Framing } from "./framing.js";
import { drawnSize, MapView, type MapEvents, type Palette, type Place } from "./map_view.js";
import { rangeOf, rescale, toPixels, type PixelMap, type Range } from "./maps.js";
import { pointsOf, type PointRule } from "./points.js";
import type { Results, WordResult } from "./protocol.js";

export type Kind = "method" | "plain" | "both";
export type Contrast = "presence" | "text" | "image";

export interface ViewSettings {
  readonly kind: Kind;
  readonly contrast: Contrast;
  readonly points: PointRule | "none";
}

const ABSENT = 0.5;
export const NAMES = { method: "CLIP Surgery", plain: "unchanged CLIP" };

interface Drawn {
  readonly scores: PixelMap;
  readonly range: Range;
}

/** Draws the maps of all words into a section. */
export class ResultsView {
  private readonly section = element("maps", HTMLElement);
  private views: MapView[] = [];

  constructor(
    private readonly palette: Palette,
    private readonly events: MapEvents,
  ) {}

  draw(results: Results, image: ImageBitmap, settings: ViewSettings): void {
    this.views = [];
    this.section.replaceChildren();
    this.section.classList.toggle("both", settings.kind === "both");
    const kinds = settings.kind === "both" ? (["plain", "method"] as const) : [settings.kind];
    const drawn = kinds.map((kind) =>
      results.words.map((word) => this.pixels(kind === "plain" ? word.plain : word.map, results.framing)),
    );
    results.words.forEach((word, index) => {
      const figure = create("figure");
      figure.dataset["word"] = word.word;
      figure.classList.toggle("absent", isAbsent(word));
      const caption = create("figcaption");
      caption.append(create("b", { text: word.word }), create("span", { text: presenceText(word) }));
      const frames = create("div", { kind: "views" });
      kinds.forEach((kind, number) => {
        const all = drawn[number];
        const view = this.view(word, kind, all[index], all, results.framing, image, settings);
        frames.append(view.button);
        this.views.push(view);
      });
      figure.append(caption, frames);
      this.section.append(figure);
    });
  }

  /** Marks a place in all maps. */
  mark(place: Place): void {
    for (const view of this.views) view.mark(place);
  }

  private pixels(map: Float32Array, framing: Framing): Drawn {
    const scores = toPixels(map, framing.rows, framing.columns, framing, drawnSize(framing.original));
    return { scores, range: rangeOf(scores.values) };
  }

  private view(
    word: WordResult,
    kind: "plain" | "method",
    drawn: Drawn,
    all: readonly Drawn[],
    framing: Framing,
    image: ImageBitmap,
    settings: ViewSettings,
  ): MapView {
    const range =
      settings.contrast === "image" ? rangeOf(all.flatMap((other) => [...other.range])) : drawn.range;
    const factor = settings.contrast === "presence" ? (word.presence ?? 1) : 1;
    const levels = rescale(drawn.scores.values, range, factor);
    const map = kind === "plain" ? word.plain : word.map;
    const label = `${word.word}, ${NAMES[kind]}: strongest at the ${placeOf(map, framing)}. Enter shows what a patch attends to; the arrow keys choose it.`;
    const view = new MapView(
      NAMES[kind], { ...drawn.scores, values: levels }, drawn.scores, framing, image, this.palette,
      label, this.events,
    );
    view.button.dataset["kind"] = kind;
    if (settings.points !== "none" && !isAbsent(word)) view.show(pointsOf(map, framing, settings.points));
    return view;
  }
}

export function isAbsent(word: WordResult): boolean {
  return word.presence !== null && word.presence < ABSENT;
}

function presenceText(word: WordResult): string {
  if (word.presence === null) return "";
  const share = `presence ${Math.round(100 * word.presence)}%`;
  return isAbsent(word) ? `${share}, probably absent` : share;
}

/** Where the highest value of a map is, in words. */
export function placeOf(map: Float32Array, framing: Framing): string {
  const best = map.reduce((highest, value, cell) => (value > map[highest] ? cell : highest), 0);
  const third = (index: number, size: number): number => Math.min(2, Math.floor((3 * (index + 0.5)) / size));
  const row = ["upper", "middle", "lower"][third(Math.floor(best / framing.columns), framing.rows)];
  const column = ["left", "centre", "right"][third(best % framing.columns, framing.columns)];
  return row === "middle" && column === "centre" ? "centre" : `${row} ${column}`;
}

/** The page: it reads what the visitor chooses, asks the worker, and draws the answers. */
import { takeImage } from "./camera.js";
import { Client } from "./client.js";
import { create, element } from "./elements.js";
import { patchAt } from "./framing.js";
import { contextOf, pixelsOf, readImage, type VisitorImage } from "./images.js";
import { becomeIsolated } from "./isolating.js";
import { drawnSize, MapView, type MapEvents, type Place } from "./map_view.js";
import { rangeOf, rescale, toPixels } from "./maps.js";
import { pointsOf } from "./points.js";
import type { Backend, Results, Settings } from "./protocol.js";
import { NAMES, ResultsView, type Contrast, type Kind, type ViewSettings } from "./results_view.js";
import { WordList } from "./word_list.js";

const FIRST_WORDS = 6;

class Page {
  private readonly client = new Client((what, share) => this.progress(what, share));
  private readonly view = element("view", HTMLFormElement);
  private results: Results | null = null;
  private image: VisitorImage | null = null;
  private settings!: Settings;
  private words!: WordList;
  private maps!: ResultsView;
  private palette = new Uint8Array();
  private newest = 0;
  private attention: object | null = null;
  private readonly events: MapEvents = {
    hover: (view, place) => this.readOut(view, place),
    leave: () => (element("readout", HTMLOutputElement).value = ""),
    choose: (place) => void this.guard(() => this.showAttention(place)),
  };

  async start(): Promise<void> {
    this.say("Loading the model …");
    const { settings, backend } = await this.client.ask({ kind: "load", base: document.baseURI });
    this.settings = settings;
    this.palette = Uint8Array.from(settings.palette.match(/../g) ?? [], (byte) => parseInt(byte, 16));
    this.maps = new ResultsView(this.palette, this.events);
    this.words = new WordList(
      settings.texts,
      settings.text_tower !== null,
      () => void this.guard(() => this.rescore()),
      (word) => this.guard(() => this.encode(word)),
    );
    const asked = new URLSearchParams(location.hash.slice(1)).getAll("word");
    this.words.choose(asked.length ? asked : settings.texts.slice(0, FIRST_WORDS));
    this.describe(settings, backend);
    this.listen();
    this.say("Ready: choose an image.");
    const [example] = settings.examples;
    if (example !== undefined) await this.guard(() => this.useExample(example));
  }

  /** Runs an action and shows its error, if there is one. */
  private async guard(action: () => Promise<void>): Promise<boolean> {
    try {
      await action();
      return true;
    } catch (error) {
      this.say(error instanceof Error ? error.message : String(error), true);
      return false;
    } finally {
      element("progress", HTMLProgressElement).hidden = true;
    }
  }

  private async use(file: Blob, name: string): Promise<void> {
    const number = ++this.newest;
    const image = await readImage(file, name);
    if (number !== this.newest) return; // the visitor has chosen another one
    this.image = image;
    this.results = this.attention = null;
    element("attention", HTMLElement).hidden = true;
    element("maps", HTMLElement).replaceChildren();
    this.showThumbnail(image.bitmap);
    this.say("Computing …");
    const pixels = pixelsOf(image.bitmap);
    const start = performance.now();
    const results = await this.client.ask({ kind: "explain", image: pixels, words: this.words.active });
    if (number !== this.newest) return;
    this.results = results;
    this.draw();
    const { tower } = results.milliseconds;
    this.say(`Maps of ${results.words.length} words in ${Math.round(performance.now() - start)} ms (image tower ${Math.round(tower)} ms).`);
  }

  private async rescore(): Promise<void> {
    this.remember();
    if (this.results === null) return;
    const number = this.newest;
    const results = await this.client.ask({ kind: "words", words: this.words.active });
    if (number !== this.newest) return;
    this.results = results;
    this.draw();
    this.say(`Maps of ${results.words.length} words.`);
  }

  private async encode(word: string): Promise<void> {
    const { nouns, templates } = this.settings;
    this.say(`Reading “${word}” in ${templates.length} sentences …`);
    await this.client.ask({ kind: "encode", word });
    const known = nouns === null || nouns.includes(word.toLowerCase());
    this.say(known ? `Added “${word}”.` : `Added “${word}”, but this model was trained on ${nouns.length} nouns without it.`);
  }

  private async showAttention(place: Place): Promise<void> {
    if (this.results === null || this.image === null) return;
    const { framing } = this.results;
    const { row, column } = patchAt(framing, place.x, place.y);
    const { own, consistent } = await this.client.ask({
      kind: "attention",
      patch: row * framing.columns + column,
    });
    const [x, y] = [Math.round(place.x), Math.round(place.y)];
    element("attention-text", HTMLElement).textContent =
      `In the last block, the patch at x ${x}, y ${y} px gives its attention to the bright patches. ` +
      "CLIP compares queries with keys, and often looks at unrelated patches. CLIP Surgery compares values, and finds patches of the same kind.";
    this.attention = { x: place.x, y: place.y, patch: [row, column], own: [...own], consistent: [...consistent] };
    const target = element("attention-maps", HTMLElement);
    target.replaceChildren();
    for (const [name, weights] of [["CLIP's own (query–key)", own], ["consistent (value–value)", consistent]] as const) {
      const scores = toPixels(weights, framing.rows, framing.columns, framing, drawnSize(framing.original));
      const levels = rescale(scores.values, [0, rangeOf(scores.values)[1]]);
      const view = new MapView(
        name, { ...scores, values: levels }, scores, framing, this.image.bitmap, this.palette,
        `Attention ${name} of the patch at x ${x}, y ${y}`, this.events,
      );
      view.mark(place);
      target.append(view.button);
    }
    this.maps.mark(place);
    element("attention", HTMLElement).hidden = false;
    this.say(`Attention of the patch at x ${x}, y ${y} px is shown below the maps.`);
  }

  private draw(): void {
    if (this.results === null || this.image === null) return;
    this.maps.draw(this.results, this.image.bitmap, this.viewSettings());
    element("maps", HTMLElement).dataset["image"] = this.image.name;
    this.view.hidden = element("scale", HTMLElement).hidden = false;
  }

  private viewSettings(): ViewSettings {
    const form = new FormData(this.view);
    return {
      kind: form.get("kind") as Kind,
      contrast: form.get("contrast") as Contrast,
      points: form.get("points") as ViewSettings["points"],
    };
  }

  private readOut(view: MapView, place: Place): void {
    const { level, score } = view.valueAt(place);
    const word = view.button.closest("figure")?.dataset["word"];
    const name = word === undefined ? view.title : `${word}, ${view.title}`;
    element("readout", HTMLOutputElement).value =
      `${name}: ${level.toFixed(2)} (score ${score.toFixed(4)}) at x ${Math.floor(place.x)}, y ${Math.floor(place.y)} px`;
  }

  private showThumbnail(bitmap: ImageBitmap): void {
    const canvas = element("thumbnail", HTMLCanvasElement);
    const { height, width } = drawnSize(bitmap);
    [canvas.width, canvas.height] = [width, height];
    contextOf(canvas).drawImage(bitmap, 0, 0, width, height);
    canvas.hidden = false;
  }

  private describe(settings: Settings, backend: Backend): void {
    if (settings.method_name !== "clip_surgery") NAMES.method = settings.method_name;
    element("method-name", HTMLElement).textContent = NAMES.method;
    const how = backend.name === "webgpu" ? "WebGPU" : `WebAssembly, ${backend.threads} thread${backend.threads === 1 ? "" : "s"}`;
    const about = element("about", HTMLElement);
    about.textContent = `${settings.method_name} · ${settings.model} (${settings.weights}), run by ${how}, clip-surgery ${settings.clip_surgery}`;
    about.title = settings.method;
    if (settings.presence === null) this.view.querySelector("option[value='presence']")?.remove();
    const colours = element("colours", HTMLCanvasElement);
    const row = new ImageData(256, 1);
    for (let index = 0; index < 256; index++) {
      row.data.set([...this.palette.subarray(index * 3, index * 3 + 3), 255], index * 4);
    }
    contextOf(colours).putImageData(row, 0, 0);
    const examples = element("examples", HTMLElement);
    examples.hidden = settings.examples.length < 2;
    settings.examples.forEach((file, index) => {
      const button = create("button", { kind: "example" });
      button.type = "button";
      button.append(Object.assign(create("img"), { src: file, alt: `example image ${index + 1}` }));
      button.onclick = () => void this.guard(() => this.useExample(file));
      examples.append(button);
    });
  }

  private async useExample(file: string): Promise<void> {
    const response = await fetch(new URL(file, document.baseURI));
    if (!response.ok) throw new Error(`The example image cannot be loaded (status ${response.status}).`);
    await this.use(await response.blob(), file);
  }

  private listen(): void {
    const take = (file: File | null | undefined): void => {
      if (file) void this.guard(() => this.use(file, file.name));
    };
    const input = element("file", HTMLInputElement);
    input.onchange = () => {
      take(input.files?.[0]);
      input.value = ""; // the same file can be chosen again
    };
    const drop = element("drop", HTMLElement);
    document.body.ondragover = (event) => {
      event.preventDefault();
      drop.classList.add("over");
    };
    document.body.ondragleave = () => drop.classList.remove("over");
    document.body.ondrop = (event) => {
      event.preventDefault();
      drop.classList.remove("over");
      take(event.dataTransfer?.files[0]);
    };
    document.onpaste = (event) => take([...(event.clipboardData?.files ?? [])][0]);
    element("camera", HTMLButtonElement).onclick = () =>
      void this.guard(async () => {
        const frame = await takeImage();
        if (frame !== null) await this.use(frame, "camera");
      });
    this.view.oninput = (event) => {
      if (event.target instanceof HTMLInputElement && event.target.name === "opacity") {
        document.documentElement.style.setProperty("--opacity", event.target.value);
      } else {
        this.draw();
      }
    };
    this.view.onsubmit = (event) => event.preventDefault();
    element("save", HTMLButtonElement).onclick = () => this.save();
  }

  /** Offers the numbers of all maps as a file. */
  private save(): void {
    if (this.results === null || this.image === null) return;
    const { framing, words, milliseconds } = this.results;
    const { model, method, weights } = this.settings;
    const record = {
      image: this.image.name,
      size: [framing.original.height, framing.original.width],
      grid: [framing.rows, framing.columns],
      model,
      method,
      weights,
      milliseconds,
      attention: this.attention,
      words: words.map(({ word, map, plain, image, presence }) => ({
        word,
        presence,
        cosine: image,
        map: [...map],
        plain: [...plain],
        points: { reference: pointsOf(map, framing, "reference"), peaks: pointsOf(map, framing, "peaks") },
      })),
    };
    const link = create("a");
    link.href = URL.createObjectURL(new Blob([JSON.stringify(record)], { type: "application/json" }));
    link.download = `${this.image.name.replace(/\.[^.]*$/, "") || "image"}.maps.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  /** Keeps the words in the address, so that it can be shared. */
  private remember(): void {
    const state = new URLSearchParams(this.words.active.map((word) => ["word", word]));
    history.replaceState(null, "", `#${state}`);
  }

  private progress(what: string, share: number): void {
    const bar = element("progress", HTMLProgressElement);
    bar.hidden = share >= 1;
    bar.value = share;
    bar.setAttribute("aria-label", `Loading: ${what}`);
  }

  say(text: string, isError = false): void {
    const status = element("status", HTMLElement);
    status.textContent = text;
    status.classList.toggle("error", isError);
  }
}

document.documentElement.classList.toggle("embedded", window.top !== window);
if (await becomeIsolated()) {
  const page = new Page();
  page.start().catch((error: unknown) => page.say(error instanceof Error ? error.message : String(error), true));
}

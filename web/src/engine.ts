/** The model of the site: it turns pixels and words into maps, presence and attention. */
import type { InferenceSession } from "onnxruntime-web";
import { attentionOf, type Heads } from "./attention.js";
import { evidence, sharedSimilarity, type ImageFeatures, type SharedSimilarity } from "./evidence.js";
import { loadBytes, loadJson, loadStored, type Progress } from "./files.js";
import { frameImage, type Framing } from "./framing.js";
import type { Answers, Backend, Results, Settings } from "./protocol.js";
import { resize, type Pixels } from "./resample.js";
import { loadRuntime, openModel, type Runtime } from "./runtime.js";
import { readTensors, type Matrix } from "./safetensors.js";
import { TextEncoder } from "./text_encoder.js";

interface Model {
  readonly base: string;
  readonly settings: Settings;
  readonly ort: Runtime;
  readonly backend: Backend;
  readonly session: InferenceSession;
  readonly words: Map<string, Float32Array>;
  readonly empty: Matrix;
  readonly reference: Matrix | null;
}

interface ExplainedImage {
  readonly framing: Framing;
  readonly features: ImageFeatures;
  readonly shared: SharedSimilarity;
  readonly query: Heads;
  readonly key: Heads;
  readonly value: Heads;
  readonly pixels: number;
  readonly tower: number;
}

export class Engine {
  private model: Model | null = null;
  private image: ExplainedImage | null = null;
  private encoder: Promise<TextEncoder> | null = null;

  constructor(private readonly progress: Progress) {}

  async load(base: string): Promise<Answers["load"]> {
    const settings = await loadJson<Settings>(new URL("model.json", base).href);
    const [{ ort, backend }, content, bank] = await Promise.all([
      loadRuntime(base, settings.webgpu, this.progress),
      loadStored(base, settings.tower, "model", this.progress),
      loadBytes(new URL(settings.bank, base).href),
    ]);
    const session = await openModel(ort, content, backend);
    const tensors = readTensors(bank);
    const labels = named(tensors, "labels");
    const words = new Map(
      settings.texts.map((text, row) => [
        text,
        labels.values.slice(row * labels.columns, (row + 1) * labels.columns),
      ]),
    );
    const reference = tensors.get("reference") ?? null;
    this.model = { base, settings, ort, backend, session, words, empty: named(tensors, "empty"), reference };
    return { settings, backend };
  }

  async explain(image: Pixels, words: readonly string[]): Promise<Results> {
    const { settings, ort, session } = this.loaded();
    const start = performance.now();
    const framing = frameImage(image, settings);
    const input = modelInput(image, framing, settings.margin);
    const ready = performance.now();
    const { height, width } = framing.frame;
    const outputs = await session.run({ pixels: new ort.Tensor("float32", input, [1, 3, height, width]) });
    const features = {
      patches: matrix(outputs["patches"]),
      image: matrix(outputs["image"]),
      plain: matrix(outputs["plain"]),
    };
    this.image = {
      framing,
      features,
      shared: sharedSimilarity(features, this.wordFeatures([])),
      query: heads(outputs["query"]),
      key: heads(outputs["key"]),
      value: heads(outputs["value"]),
      pixels: ready - start,
      tower: performance.now() - ready,
    };
    return this.scores(words);
  }

  /** Scores of words in the image that was explained last. */
  scores(words: readonly string[]): Results {
    const { settings } = this.loaded();
    const image = this.explained();
    const start = performance.now();
    const found = evidence(image.features, this.wordFeatures(words), image.shared, settings);
    return {
      framing: image.framing,
      words: words.map((word, index) => ({
        word,
        map: found.maps[index],
        plain: found.plain[index],
        image: found.image[index],
        presence: found.presence === null ? null : found.presence[index],
      })),
      milliseconds: { pixels: image.pixels, tower: image.tower, scores: performance.now() - start },
    };
  }

  attention(patch: number): Answers["attention"] {
    const { scale, prefix_tokens: prefix } = this.loaded().settings.attention;
    const { query, key, value } = this.explained();
    return {
      own: attentionOf(query, key, patch, scale, prefix),
      consistent: attentionOf(value, value, patch, scale, prefix),
    };
  }

  async encode(word: string): Promise<Answers["encode"]> {
    const { words, ort, base, settings, backend } = this.loaded();
    if (!words.has(word)) {
      this.encoder ??= TextEncoder.load(ort, base, settings, backend, this.progress);
      try {
        words.set(word, await (await this.encoder).encode(word, this.progress));
      } catch (error) {
        if (!(await this.encoder.then(() => true, () => false))) this.encoder = null; // try again
        throw error;
      }
    }
    return { word };
  }

  private loaded(): Model {
    if (this.model === null) throw new Error("The model is not loaded.");
    return this.model;
  }

  private explained(): ExplainedImage {
    if (this.image === null) throw new Error("No image has been explained.");
    return this.image;
  }

  private wordFeatures(words: readonly string[]): { words: Matrix; empty: Matrix; reference: Matrix | null } {
    const { words: known, empty, reference } = this.loaded();
    const values = new Float32Array(words.length * empty.columns);
    words.forEach((word, row) => {
      const feature = known.get(word);
      if (feature === undefined) throw new Error(`“${word}” is not a word of this site.`);
      values.set(feature, row * empty.columns);
    });
    return { words: { values, rows: words.length, columns: empty.columns }, empty, reference };
  }
}

function named(tensors: Map<string, Matrix>, name: string): Matrix {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`The text features lack “${name}”.`);
  return tensor;
}

/** The image resized and placed in its frame, as float32 (3, H, W) in [0, 1]. */
function modelInput(image: Pixels, framing: Framing, margin: readonly number[]): Float32Array {
  const content = resize(image, framing.content);
  const { height, width } = framing.frame;
  const area = height * width;
  const input = new Float32Array(3 * area);
  for (let channel = 0; channel < 3; channel++) {
    input.fill(margin[channel] / 255, channel * area, (channel + 1) * area);
    for (let y = 0; y < content.height; y++) {
      const to = channel * area + (y + framing.top) * width + framing.left;
      const from = y * content.width * 3 + channel;
      for (let x = 0; x < content.width; x++) input[to + x] = content.values[from + x * 3] / 255;
    }
  }
  return input;
}

type Output = InferenceSession.OnnxValueMapType[string];

function floats(output: Output): Float32Array {
  return (output as unknown as { data: Float32Array }).data;
}

function matrix(output: Output): Matrix {
  const { dims } = output as unknown as { dims: readonly number[] };
  const columns = dims[dims.length - 1];
  const values = floats(output);
  return { values, rows: values.length / columns, columns };
}

function heads(output: Output): Heads {
  const { dims } = output as unknown as { dims: readonly number[] };
  return { values: floats(output), heads: dims[1], tokens: dims[2], width: dims[3] };
}

/** Features of words that the exported site has none of: tokeniser, text tower, mean of prompts. */
import { Tokenizer } from "@huggingface/tokenizers";
import { loadJson, loadStored, type Progress } from "./files.js";
import type { Backend, Settings } from "./protocol.js";
import { openModel, type Runtime } from "./runtime.js";

const PROMPTS_AT_A_TIME = 16;

export class TextEncoder {
  private constructor(
    private readonly ort: Runtime,
    private readonly session: Awaited<ReturnType<typeof openModel>>,
    private readonly tokenizer: Tokenizer,
    private readonly settings: NonNullable<Settings["text_tower"]>,
    private readonly templates: readonly string[],
  ) {}

  static async load(
    ort: Runtime,
    base: string,
    settings: Settings,
    backend: Backend,
    progress: Progress,
  ): Promise<TextEncoder> {
    const tower = settings.text_tower;
    if (tower === null) throw new Error("This site was exported without the text tower.");
    const words = await loadJson<object>(new URL(tower.tokenizer, base).href);
    const content = await loadStored(base, tower, "text tower", progress);
    const session = await openModel(ort, content, backend);
    return new TextEncoder(ort, session, new Tokenizer(words, {}), tower, settings.templates);
  }

  /** Returns the token ids of a text, with start and end. */
  tokenize(text: string): number[] {
    return this.tokenizer.encode(text).ids;
  }

  /** Returns the mean of the unit-length features of all prompts, of unit length. */
  async encode(word: string, progress: Progress): Promise<Float32Array> {
    const prompts = this.templates.map((template) => this.tokenize(template.replace("{}", () => word)));
    const longest = Math.max(...prompts.map((ids) => ids.length));
    const { context_length: most, causal } = this.settings;
    if (longest > most) throw new Error(`“${word.slice(0, 40)}” is too long: ${longest} tokens of ${most}.`);
    const length = causal ? longest : most;
    let mean: Float64Array | null = null;
    for (let first = 0; first < prompts.length; first += PROMPTS_AT_A_TIME) {
      const features = await this.run(prompts.slice(first, first + PROMPTS_AT_A_TIME), length);
      const width = features.length / Math.min(PROMPTS_AT_A_TIME, prompts.length - first);
      mean ??= new Float64Array(width);
      for (let k = 0; k < features.length; k++) mean[k % width] += features[k];
      progress(`“${word}”`, Math.min(1, (first + PROMPTS_AT_A_TIME) / prompts.length));
    }
    if (mean === null) throw new Error("Expected at least one template.");
    const norm = Math.hypot(...mean);
    return Float32Array.from(mean, (value) => value / norm);
  }

  private async run(prompts: readonly number[][], length: number): Promise<Float32Array> {
    const ids = new BigInt64Array(prompts.length * length).fill(BigInt(this.settings.padding));
    prompts.forEach((prompt, row) => {
      prompt.forEach((id, at) => {
        ids[row * length + at] = BigInt(id);
      });
    });
    const tensor = new this.ort.Tensor("int64", ids, [prompts.length, length]);
    const { features } = await this.session.run({ ids: tensor });
    return features.data as Float32Array;
  }
}

/** The messages between the page and the worker that computes. */
import type { EvidenceSettings } from "./evidence.js";
import type { Framing, FramingSettings } from "./framing.js";
import type { Pixels } from "./resample.js";

/** A file that is stored in parts, because some static hosts limit the size of a file. */
export interface StoredFile {
  readonly parts: readonly string[];
  readonly bytes: number;
}

/** The file `model.json` of an exported site. */
export interface Settings extends EvidenceSettings, FramingSettings {
  readonly format: string;
  readonly clip_surgery: string;
  readonly model: string;
  readonly method: string;
  readonly method_name: string;
  readonly weights: string;
  readonly tower: StoredFile;
  readonly bank: string;
  readonly texts: readonly string[];
  readonly templates: readonly string[];
  readonly margin: readonly [number, number, number];
  readonly attention: { readonly scale: number; readonly prefix_tokens: number };
  readonly text_tower: (StoredFile & TextTowerSettings) | null;
  readonly nouns: readonly string[] | null;
  readonly webgpu: boolean;
  readonly palette: string;
  readonly examples: readonly string[];
}

export interface TextTowerSettings {
  readonly tokenizer: string;
  readonly context_length: number;
  /** Whether tokens after the end of a text may be left out. */
  readonly causal: boolean;
  readonly padding: number;
}

/** How the model is run: by the graphics processor, or by WebAssembly with some threads. */
export interface Backend {
  readonly name: "webgpu" | "wasm";
  readonly threads: number;
}

export interface WordResult {
  readonly word: string;
  readonly map: Float32Array;
  readonly plain: Float32Array;
  readonly image: number;
  readonly presence: number | null;
}

export interface Results {
  readonly framing: Framing;
  readonly words: readonly WordResult[];
  /** Milliseconds for reading and resizing, for the image tower, and for the scores. */
  readonly milliseconds: { readonly pixels: number; readonly tower: number; readonly scores: number };
}

/** What the page asks for; the answer carries the same `id`. */
export type Request =
  | { readonly kind: "load"; readonly base: string }
  | { readonly kind: "explain"; readonly image: Pixels; readonly words: readonly string[] }
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "attention"; readonly patch: number }
  | { readonly kind: "encode"; readonly word: string };

export interface Answers {
  load: { readonly settings: Settings; readonly backend: Backend };
  explain: Results;
  words: Results;
  attention: { readonly own: Float32Array; readonly consistent: Float32Array };
  encode: { readonly word: string };
}

export type RequestMessage = Request & { readonly id: number };

export type Message =
  | { readonly id: number; readonly answer: Answers[keyof Answers] }
  | { readonly id: number; readonly error: string }
  | { readonly progress: { readonly what: string; readonly share: number } };

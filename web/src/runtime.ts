/** onnxruntime-web, loaded from the site itself: WebGPU where it is present, else WebAssembly. */
import type * as Ort from "onnxruntime-web";
import { loadBytes, type Progress } from "./files.js";
import type { Backend } from "./protocol.js";

export type Runtime = typeof Ort;

const MOST_THREADS = 8;

interface Adapter {
  readonly isFallbackAdapter?: boolean;
  readonly info?: { readonly isFallbackAdapter?: boolean };
}

interface WithGpu {
  readonly gpu?: { requestAdapter(): Promise<Adapter | null> };
}

/**
 * Whether the browser has WebGPU on a graphics processor. Software in its place is many times slower
 * than WebAssembly, and is used only on request. "?webgpu=always" and "?webgpu=never" in the address
 * decide otherwise.
 */
async function usesGpu(base: string): Promise<boolean> {
  const choice = new URL(base).searchParams.get("webgpu");
  if (choice === "never") return false;
  try {
    const adapter = (await (navigator as WithGpu).gpu?.requestAdapter()) ?? null;
    if (adapter === null) return false;
    const isSoftware = adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter ?? false;
    return choice === "always" || !isSoftware;
  } catch {
    return false; // the browser has the interface, but no processor for it
  }
}

/** Returns the runtime and how it computes; threads need a page that is isolated from others. */
export async function loadRuntime(
  base: string,
  webgpu: boolean,
  progress: Progress,
): Promise<{ ort: Runtime; backend: Backend }> {
  const name = webgpu && (await usesGpu(base)) ? "webgpu" : "wasm";
  const core = name === "webgpu" ? "ort-wasm-simd-threaded.asyncify" : "ort-wasm-simd-threaded";
  const address = (file: string): string => new URL(`runtime/${file}`, base).href;
  const binary = loadBytes(address(`${core}.wasm`));
  const ort = (await import(address(`ort.${name}.min.js`))) as Runtime;
  const threads = crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency || 1) : 1;
  // The modules are served as .js, because some servers do not know .mjs.
  ort.env.wasm.wasmPaths = { mjs: address(`${core}.js`) };
  ort.env.wasm.wasmBinary = await binary;
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  progress("runtime", 1);
  return { ort, backend: { name, threads } };
}

/** Opens a model; one that WebGPU cannot run is run by WebAssembly. */
export async function openModel(
  ort: Runtime,
  content: Uint8Array,
  backend: Backend,
): Promise<Ort.InferenceSession> {
  const providers = backend.name === "webgpu" ? ["webgpu", "wasm"] : ["wasm"];
  return ort.InferenceSession.create(content, {
    executionProviders: providers,
    graphOptimizationLevel: "all",
    logSeverityLevel: 3, // errors; that shape operations stay on the CPU is expected
  });
}

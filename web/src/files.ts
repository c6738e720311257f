/** Files of the exported site, all of the same origin. */
import type { StoredFile } from "./protocol.js";

export type Progress = (what: string, share: number) => void;

async function fetched(url: string): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) {
    const name = new URL(url).pathname.split("/").pop();
    throw new Error(`${name} could not be loaded (status ${response.status}).`);
  }
  return response;
}

export async function loadJson<T>(url: string): Promise<T> {
  return (await fetched(url)).json() as Promise<T>;
}

export async function loadBytes(url: string): Promise<ArrayBuffer> {
  return (await fetched(url)).arrayBuffer();
}

/** Loads the parts of a file one after the other, and reports the share that has arrived. */
export async function loadStored(
  base: string,
  file: StoredFile,
  what: string,
  progress: Progress,
): Promise<Uint8Array> {
  const content = new Uint8Array(file.bytes);
  let at = 0;
  for (const part of file.parts) {
    const { body } = await fetched(new URL(part, base).href);
    if (body === null) throw new Error(`${part} is empty.`);
    const reader = body.getReader();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      if (at + read.value.length > file.bytes) throw new Error(`${part} is longer than expected.`);
      content.set(read.value, at);
      at += read.value.length;
      progress(what, at / file.bytes);
    }
  }
  if (at !== file.bytes) throw new Error(`${file.parts.join(", ")}: the file is cut off.`);
  return content;
}

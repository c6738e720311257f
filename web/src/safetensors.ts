/** A matrix of float32 values, row by row. */
export interface Matrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

/**
 * Reads the float32 tensors of a safetensors file: the length of the header (8 bytes), the header
 * as JSON, and the values. A vector becomes a matrix of one row.
 */
export function readTensors(content: ArrayBuffer): Map<string, Matrix> {
  const length = Number(new DataView(content).getBigUint64(0, true));
  const start = 8 + length;
  if (start > content.byteLength) throw new Error("The file of text features is cut off.");
  const header = JSON.parse(
    new TextDecoder().decode(new Uint8Array(content, 8, length)),
  ) as Record<string, Entry>;
  const tensors = new Map<string, Matrix>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    if (entry.dtype !== "F32") throw new Error(`Expected float32 for ${name}, but got ${entry.dtype}.`);
    const [first, last] = entry.data_offsets;
    const values = new Float32Array(content.slice(start + first, start + last));
    const columns = entry.shape[entry.shape.length - 1] ?? 1;
    tensors.set(name, { values, rows: values.length / columns, columns });
  }
  return tensors;
}

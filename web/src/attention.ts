/** Query, key or value of the last block for one image: h heads of N tokens of width d. */
export interface Heads {
  readonly values: Float32Array;
  readonly heads: number;
  readonly tokens: number;
  readonly width: number;
}

/**
 * Returns the share of its attention that one patch gives to each patch, as a mean over heads:
 * softmax(scale a b^T). The shares of prefix tokens (class token) are left out after the softmax.
 *
 * With a = query and b = key it is the model's own attention; with a = b = value it is the
 * consistent self-attention of CLIP Surgery.
 */
export function attentionOf(
  rows: Heads,
  columns: Heads,
  patch: number,
  scale: number,
  prefix: number,
): Float32Array {
  const { heads, tokens, width } = rows;
  const shares = new Float32Array(tokens - prefix);
  const logits = new Float64Array(tokens);
  for (let head = 0; head < heads; head++) {
    const start = head * tokens * width;
    const from = start + (prefix + patch) * width;
    let highest = -Infinity;
    for (let token = 0; token < tokens; token++) {
      let total = 0;
      const to = start + token * width;
      for (let k = 0; k < width; k++) total += rows.values[from + k] * columns.values[to + k];
      logits[token] = total * scale;
      highest = Math.max(highest, logits[token]);
    }
    let sum = 0;
    for (let token = 0; token < tokens; token++) {
      logits[token] = Math.exp(logits[token] - highest);
      sum += logits[token];
    }
    for (let token = prefix; token < tokens; token++) shares[token - prefix] += logits[token] / sum / heads;
  }
  return shares;
}

// Layers and heads as the player reads them: small maps of one word at one step; as player/head_maps.py.

/** @import { ModelInfo } from "../types" */
import { packed } from "./packing.js";

/**
 * @param {Float32Array} maps "l h n" attention, 0..1
 * @param {ModelInfo} info
 * @param {number} step 0-based
 * @param {number} word index into prompt.words
 */
export function packedHeads(maps, info, step, word) {
  const max = maps.reduce((most, value) => Math.max(most, value), 0) || 1;
  const codes = Uint8Array.from(maps, (value) => Math.round(Math.sqrt(Math.min(1, Math.max(0, value / max))) * 255));
  const { single_layers: layers, num_heads: heads } = info;
  return { step, word, layers, heads, max, codes: packed(codes, [layers, heads, maps.length / (layers * heads)]) };
}

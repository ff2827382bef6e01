// What the player shows of attention: to words, to objects, to the start and end tokens.

/** @import { StepRecord, Trace } from "../types" */
import { wordMaps, wordMatrix } from "../orders/contrast.js";
import { packed } from "./packing.js";

/** Attention to every word at every step, "s" lists of "w n", or null where a step has none. @param {Trace} trace */
export function mapsOf(trace) {
  if (trace.steps.some((record) => !record.attention)) return null;
  const words = wordMatrix(trace.prompt, trace.columns);
  return trace.steps.map((record) => wordMaps(words, /** @type {Float32Array[]} */ (record.attention)));
}

/** @param {Float64Array[][]} maps @param {number[]} shown */
export function attentionView(maps, shown) {
  const n = maps[0][0].length;
  let most = 0;
  for (const step of maps) for (const w of shown) for (let i = 0; i < n; i++) if (step[w][i] > most) most = step[w][i];
  const max = most > 0 ? most : 1;
  const codes = new Uint8Array(maps.length * shown.length * n);
  let to = 0;
  for (const step of maps) {
    for (const w of shown) for (let i = 0; i < n; i++) codes[to++] = Math.round(Math.sqrt(Math.min(1, Math.max(0, step[w][i] / max))) * 255);
  }
  return { words: shown, max, codes: packed(codes, [maps.length, shown.length, n]) };
}

/** Attention to the start and the end token, which stand for no word, coded as words are; null where none was recorded. @param {Trace} trace */
export function marksOf(trace) {
  const { names, maps } = markMaps(trace);
  if (!names.length) return null;
  const { max, codes } = attentionView(maps, names.map((_, k) => k));
  return { names, max, codes };
}

/** @param {Trace} trace @returns {{ names: string[], maps: Float64Array[][] }} */
export function markMaps(trace) {
  if (trace.steps.some((record) => !record.attention)) return { names: [], maps: [] };
  const rows = new Map(trace.columns.map((token, k) => [trace.prompt.tokens[token].special ? trace.prompt.tokens[token].text.replace(/[<>|]/g, "") : "", k]));
  const names = ["start", "end"].filter((name) => rows.has(name));
  const row = (/** @type {StepRecord} */ record, /** @type {string} */ name) => Float64Array.from((/** @type {Float32Array[]} */ (record.attention))[/** @type {number} */ (rows.get(name))]);
  return { names, maps: trace.steps.map((record) => names.map((name) => row(record, name))) };
}

/** Mean of an object's words. @param {Float64Array[]} step @param {number[]} words */
export function objectMap(step, words) {
  return words.length === 1 ? step[words[0]] : step[words[0]].map((_, i) => words.reduce((sum, w) => sum + step[w][i], 0) / words.length);
}

/** Mean over cells of the sum of maps. @param {Float64Array[]} rows */
export function massOf(rows) {
  return rows.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0) / row.length, 0);
}

/** The summed minimum of two maps that each sum to 1. @param {Float64Array} a @param {Float64Array} b */
export function overlap(a, b) {
  const [sumA, sumB] = [a, b].map((map) => map.reduce((x, y) => x + y, 0));
  return a.reduce((sum, value, i) => sum + Math.min(sumA > 0 ? value / sumA : 0, sumB > 0 ? b[i] / sumB : 0), 0);
}

/** Share of the attention on start, end and padding tokens. @param {Trace} trace */
export function specialOf({ steps, columns, prompt }) {
  if (steps.some((record) => !record.attention)) return null;
  const out = new Float32Array(steps.length * 3).fill(NaN);
  columns.forEach((token, k) => {
    const { special, text } = prompt.tokens[token];
    if (!special) return;
    const kind = { "<start>": 0, "<end>": 1 }[text] ?? 2;
    steps.forEach((record, s) => {
      const row = /** @type {Float32Array[]} */ (record.attention)[k];
      out[s * 3 + kind] = (out[s * 3 + kind] || 0) + row.reduce((a, b) => a + b, 0) / row.length;
    });
  });
  return packed(out, [steps.length, 3]);
}

// A run as the .npz file that the server opens; as trace/file.py.

/** @import { StepRecord, Trace } from "../types" */
import { headerOf } from "./header.js";
import { joined, zipped } from "./zip.js";

/** @type {Record<string, string>} */
const TYPES = { Float32Array: "<f4", Float64Array: "<f8", Int32Array: "<i4", Uint16Array: "<u2", Uint8Array: "|u1" };

/**
 * A trace as the bytes of one .npz file.
 * @param {Trace} trace finished
 * @returns {Promise<Uint8Array>}
 */
export async function traceToBytes(trace) {
  const { steps, model, columns, frames } = trace;
  const [count, n, k] = [steps.length, trace.tokens.length, columns.length];
  /** @type {Record<string, Uint8Array>} */
  const arrays = {};
  const add = (/** @type {string} */ name, /** @type {any} */ values, /** @type {number[]} */ shape, bool = false) => {
    arrays[name] = npy(values, shape, bool);
  };
  add("tokens", trace.tokens, [...model.grid]);
  add("unmask_step", trace.unmask_step, [...model.grid]);
  add("image", trace.image, [...model.image_size_px, 3]);
  add("weight", Float64Array.from(steps, (record) => record.weight), [count]);
  add("cutoff", Float64Array.from(steps, (record) => record.cutoff), [count]);
  add("passes", Float64Array.from(steps, (record) => record.passes), [count]);
  if (frames) add("frames", differences(frames), [count, ...model.image_size_px, 3]);
  const ids = [...trace.token_pictures.keys()].sort((a, b) => a - b);
  if (ids.length) {
    const pictures = ids.map((id) => /** @type {Uint8Array} */ (trace.token_pictures.get(id)));
    const side = Math.sqrt(pictures[0].length / 3);
    add("picture_ids", Int32Array.from(ids), [ids.length]);
    add("pictures", joined(pictures), [ids.length, side, side, 3]);
  }
  for (const name of /** @type {const} */ (["sampled", "committed", "masked_before", "confidence", "noise", "contrast", "scores"])) {
    add(name, stacked(steps.map((record) => record[name])), [count, n], name === "committed" || name === "masked_before");
  }
  /** @type {Record<string, number[]>} */
  const present = {};
  const optional = (/** @type {string} */ name, /** @type {(record: StepRecord) => any} */ of, /** @type {number[]} */ shape) => {
    const places = steps.map((_, s) => s).filter((s) => of(steps[s]) !== null);
    if (!places.length) return;
    present[name] = places;
    add(name, stacked(places.map((s) => of(steps[s]))), [places.length, ...shape]);
  };
  optional("attention", (record) => record.attention && stacked(record.attention), [k, n]);
  const ranks = steps[0].alternatives ? steps[0].alternatives.length / n : 0;
  optional("alternatives", (record) => record.alternatives, [n, ranks]);
  optional("alternative_probs", (record) => record.alternative_probs, [n, ranks]);
  optional("entropy", (record) => record.entropy, [n]);
  optional("sight", (record) => record.sight, [n]);
  optional("reopened", (record) => record.reopened, [n]);
  optional("likelihood", (record) => record.likelihood, [n]);
  arrays.header = npy(new TextEncoder().encode(headerOf(trace, present)), null);
  return zipped(Object.keys(arrays).sort().map((name) => [`${name}.npy`, arrays[name]]));
}

/** Differences from the picture before, modulo 256. @param {Uint8Array[]} frames */
function differences(frames) {
  const out = new Uint8Array(frames.length * frames[0].length);
  frames.forEach((frame, s) => {
    const before = s ? frames[s - 1] : null;
    for (let i = 0; i < frame.length; i++) out[s * frame.length + i] = before ? frame[i] - before[i] : frame[i];
  });
  return out;
}

/** Equal arrays one after the other. @param {any[]} parts */
function stacked(parts) {
  const out = new parts[0].constructor(parts.length * parts[0].length);
  parts.forEach((part, s) => out.set(part, s * part.length));
  return out;
}

/** One .npy array. @param {Float32Array | Float64Array | Int32Array | Uint16Array | Uint8Array} values @param {number[] | null} shape null = a list @param {boolean} bool */
function npy(values, shape, bool = false) {
  const sides = shape || [values.length];
  const told = sides.length === 1 ? `(${sides[0]},)` : `(${sides.join(", ")})`;
  const text = `{'descr': '${bool ? "|b1" : TYPES[values.constructor.name]}', 'fortran_order': False, 'shape': ${told}, }`;
  const length = Math.ceil((10 + text.length + 1) / 64) * 64 - 10;
  const head = new TextEncoder().encode(`${text.padEnd(length - 1)}\n`);
  return joined([Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59, 1, 0, length & 255, length >> 8), head, new Uint8Array(values.buffer, values.byteOffset, values.byteLength)]);
}

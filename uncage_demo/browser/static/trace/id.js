// The name of a run: the same digits as trace/record.py gives it, so that a branch names its parent wherever the two are opened.

/** @import { Config, Lineage, Trace } from "../types" */
import { configOf, lineageOf, withNumbers } from "./header.js";

/**
 * First 16 hex digits of a SHA-256 over what was decoded: prompt, settings, model, subjects, lineage, origin, tokens.
 * @param {Trace} trace
 * @returns {Promise<string>}
 */
export async function traceId(trace) {
  const { prompt, model } = trace;
  const lineage = trace.lineage ? lineageOf(trace.lineage) : {};
  const said = pythonText([prompt.text, configOf(trace.config), model.id, model.weight_hash, prompt.subjects, lineage, ...(trace.origin ? [trace.origin] : [])]);
  const parts = [new TextEncoder().encode(said), bytesOf(trace.tokens), bytesOf(trace.unmask_step)];
  const digest = new Uint8Array(await sha256(await new Blob(/** @type {BlobPart[]} */ (parts)).arrayBuffer()));
  return Array.from(digest.subarray(0, 8), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A value as Python's json.dumps(..., sort_keys=True) writes it. @param {unknown} value @returns {string} */
function pythonText(value) {
  /** @type {(one: unknown) => string} */
  const write = (one) => {
    if (Array.isArray(one)) return `[${one.map(write).join(", ")}]`;
    if (one && typeof one === "object") {
      const entries = Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1));
      return `{${entries.map(([key, part]) => `${write(key)}: ${write(part)}`).join(", ")}}`;
    }
    return JSON.stringify(one).replace(/[^ -~]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
  };
  return withNumbers(write(value));
}

/** @param {Int32Array} values */
function bytesOf(values) {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** @param {ArrayBuffer} bytes @returns {Promise<ArrayBuffer>} */
async function sha256(bytes) {
  const { crypto } = globalThis;
  if (crypto && crypto.subtle) return crypto.subtle.digest("SHA-256", bytes);
  return sha256Plain(new Uint8Array(bytes));
}

/** The same where the page did not come over a safe connection, which has no crypto.subtle (FIPS 180-4). @param {Uint8Array} bytes @returns {ArrayBuffer} */
export function sha256Plain(bytes) {
  /** @type {number[]} */
  const primes = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const fraction = (/** @type {number} */ root) => Math.floor((root % 1) * 2 ** 32) | 0;
  const state = Int32Array.from(primes.slice(0, 8), (p) => fraction(Math.sqrt(p)));
  const constants = Int32Array.from(primes, (p) => fraction(Math.cbrt(p)));
  const padded = new Uint8Array(Math.ceil((bytes.length + 9) / 64) * 64);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setBigUint64(padded.length - 8, BigInt(bytes.length) * 8n);
  const turned = (/** @type {number} */ x, /** @type {number} */ by) => (x >>> by) | (x << (32 - by));
  const words = new Int32Array(64);
  for (let at = 0; at < padded.length; at += 64) {
    for (let k = 0; k < 16; k++) words[k] = view.getInt32(at + 4 * k);
    for (let k = 16; k < 64; k++) {
      const [a, b] = [words[k - 15], words[k - 2]];
      words[k] = words[k - 16] + (turned(a, 7) ^ turned(a, 18) ^ (a >>> 3)) + words[k - 7] + (turned(b, 17) ^ turned(b, 19) ^ (b >>> 10));
    }
    let [a, b, c, d, e, f, g, h] = state;
    for (let k = 0; k < 64; k++) {
      const one = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) + constants[k] + words[k]) | 0;
      const two = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, k) => (state[k] += value));
  }
  const out = new DataView(new ArrayBuffer(32));
  state.forEach((value, k) => out.setInt32(4 * k, value));
  return out.buffer;
}

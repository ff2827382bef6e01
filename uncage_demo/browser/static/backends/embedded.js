// The embedded model on ONNX Runtime Web: forwards, pictures, detections; as backends/embedded/backend.py.

/** @import { Backend, FoundObject, ForwardOutput, Manifest, Prompt, Request } from "../types" */
import { attentionPairs } from "../config.js";
import { foundObjects } from "./detector.js";
import { textIds } from "./vocab.js";

const PARTS = ["transformer", "decoder", "detector"];
const MANIFEST_VERSION = 1;
const PATCH_PX = 16;
const PICTURES_AT_ONCE = 4;

/** @implements {Backend} */
export class EmbeddedBackend {
  /**
   * @param {Manifest} manifest
   * @param {any} ort the runtime
   * @param {Record<string, any>} sessions by part
   */
  constructor(manifest, ort, sessions) {
    this.manifest = manifest;
    this.ort = ort;
    this.sessions = sessions;
    this.info = manifest.model;
    this.default_blur = manifest.blur;
    /** @type {Map<number, Uint8Array>} */
    this.drawn = new Map();
  }

  /**
   * Open a model's graphs.
   * @param {Manifest} manifest from `export-web`
   * @param {any} ort ONNX Runtime Web
   * @param {(part: string) => Promise<Uint8Array>} read the bytes of a graph
   * @param {string[]} providers in which to compute, the first that works
   * @throws {Error} a manifest of another version, a damaged file, a runtime that does not start; said in a sentence
   */
  static async load(manifest, ort, read, providers = ["wasm"]) {
    if (!manifest || manifest.version !== MANIFEST_VERSION) {
      throw new Error(`This page reads models of version ${MANIFEST_VERSION}; the one here is of version ${manifest ? manifest.version : "unknown"}. Export it again.`);
    }
    /** @type {Record<string, any>} */
    const sessions = {};
    for (const part of PARTS) {
      const bytes = await read(part);
      await checkFile(part, bytes, manifest.files[part]);
      try {
        sessions[part] = await ort.InferenceSession.create(bytes, { executionProviders: providers, graphOptimizationLevel: "all", logSeverityLevel: 3 });
      } catch (error) {
        throw new Error(`The model's ${part} could not be started in this browser: ${error instanceof Error ? error.message : error}`, { cause: error });
      }
    }
    return new EmbeddedBackend(manifest, ort, sessions);
  }

  /** @param {Prompt} prompt */
  encode(prompt) {
    return textIds(this.manifest, prompt.tokens);
  }

  /**
   * One sample's forward; the unconditional half is the second row of the batch.
   * @param {Request} request
   * @returns {Promise<ForwardOutput>}
   */
  async forward({ tokens, text, unconditional, source, full, suppress, hidden }) {
    const { ort, info, manifest } = this;
    const { ids } = manifest;
    const [n, t, v] = [tokens.length, text.length, info.codebook_size];
    const b = unconditional ? 2 : 1;
    const empty = [ids.start, ids.end, ...new Array(t - 2).fill(ids.pad)];
    const texts = unconditional ? [...text, ...empty] : text;
    const visible = Uint8Array.from(texts, (id, k) => Number(id !== ids.pad && !(k < t && suppress.includes(k))));
    const codes = BigInt64Array.from({ length: b * n }, (_, i) => BigInt(tokens[i % n] < 0 ? manifest.mask_id : tokens[i % n]));
    const masked = new Uint8Array(b * n * t);
    if (hidden) masked.set(hidden);
    const outputs = await this.sessions.transformer.run({
      tokens: new ort.Tensor("int64", codes, [b, n]),
      text: new ort.Tensor("int64", BigInt64Array.from(texts, BigInt), [b, t]),
      visible: new ort.Tensor("bool", visible, [b, t]),
      hidden: new ort.Tensor("bool", masked, [b, n, t]),
    });
    /** @type {Float32Array} */
    const logits = outputs.logits.data;
    /** @type {Float32Array} */
    const attention = outputs.attention.data;
    const pairs = source === null ? null : attentionPairs(source, info.single_layers, info.num_heads, manifest.attention_heads);
    return {
      cond: logits.slice(0, n * v),
      uncond: unconditional ? logits.slice(n * v, 2 * n * v) : null,
      attention: pairs && averaged(attention, pairs, info.num_heads, t, n),
      attention_full: full ? attention.slice(0, info.single_layers * info.num_heads * t * n) : null,
    };
  }

  /**
   * Pictures "H W 3" of complete token grids "n".
   * @param {Int32Array[]} grids
   * @returns {Promise<Uint8Array[]>}
   */
  async decodeTokens(grids) {
    const pictures = [];
    for (let at = 0; at < grids.length; at += PICTURES_AT_ONCE) {
      pictures.push(...(await this.decode(grids.slice(at, at + PICTURES_AT_ONCE), this.info.grid)));
    }
    return pictures;
  }

  /**
   * Small pictures "16 16 3" of single codes: the middle of a 3 x 3 field of that code. Each is drawn once.
   * @param {number[]} tokens
   * @returns {Promise<Map<number, Uint8Array>>}
   */
  async tokenPictures(tokens) {
    const missing = tokens.filter((token) => !this.drawn.has(token));
    for (let at = 0; at < missing.length; at += 16) {
      const part = missing.slice(at, at + 16);
      const fields = await this.decode(part.map((token) => new Int32Array(9).fill(token)), [3, 3]);
      fields.forEach((field, k) => {
        const middle = new Uint8Array(PATCH_PX * PATCH_PX * 3);
        for (let y = 0; y < PATCH_PX; y++) {
          const from = ((y + PATCH_PX) * 3 * PATCH_PX + PATCH_PX) * 3;
          middle.set(field.subarray(from, from + PATCH_PX * 3), y * PATCH_PX * 3);
        }
        this.drawn.set(part[k], middle);
      });
    }
    return new Map(tokens.map((token) => [token, /** @type {Uint8Array} */ (this.drawn.get(token))]));
  }

  /** @param {Int32Array[]} grids @param {number[]} size rows, columns */
  async decode(grids, [rows, columns]) {
    const codes = BigInt64Array.from({ length: grids.length * rows * columns }, (_, i) => BigInt(grids[Math.floor(i / (rows * columns))][i % (rows * columns)]));
    const { pictures } = await this.sessions.decoder.run({ codes: new this.ort.Tensor("int64", codes, [grids.length, rows, columns]) });
    const size = pictures.data.length / grids.length;
    return grids.map((_, k) => /** @type {Uint8Array} */ (pictures.data.slice(k * size, (k + 1) * size)));
  }

  /**
   * What the detector sees in a picture "H W 3", strongest first.
   * @param {Uint8Array} picture
   * @returns {Promise<FoundObject[]>}
   */
  async detect(picture) {
    const [height, width] = this.info.image_size_px;
    const { centre, style } = await this.sessions.detector.run({ pictures: new this.ort.Tensor("uint8", picture, [1, height, width, 3]) });
    return foundObjects(this.manifest, centre.data, style.data);
  }

  /** Give the memory back. */
  async release() {
    for (const session of Object.values(this.sessions)) await session.release();
  }
}

/**
 * Refuse a file that is not the one that was exported.
 * @param {string} part
 * @param {Uint8Array} bytes
 * @param {{ file: string, bytes: number, sha256: string }} wanted
 * @throws {Error}
 */
export async function checkFile(part, bytes, wanted) {
  const told = `The model's ${part} (${wanted.file}) is damaged`;
  if (bytes.length !== wanted.bytes) throw new Error(`${told}: it has ${bytes.length} bytes instead of ${wanted.bytes}. Load the page again, or export the model again.`);
  const { crypto } = globalThis;
  if (!crypto || !crypto.subtle) return; // pages that did not come over a safe connection cannot compute it
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {BufferSource} */ (bytes)));
  const hex = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (hex !== wanted.sha256) throw new Error(`${told}: its content is not what was exported. Load the page again, or export the model again.`);
}

/**
 * Mean attention of the first sample over (layer, head) pairs: "t" rows of "n" from "l h t n".
 * @param {Float32Array} all @param {number[][]} pairs @param {number} heads @param {number} t @param {number} n
 */
function averaged(all, pairs, heads, t, n) {
  const sum = new Float64Array(t * n);
  for (const [layer, head] of pairs) {
    const from = (layer * heads + head) * t * n;
    for (let i = 0; i < sum.length; i++) sum[i] += all[from + i];
  }
  return Array.from({ length: t }, (_, k) => Float32Array.from(sum.subarray(k * n, (k + 1) * n), (value) => value / pairs.length));
}

// The embedded model on ONNX Runtime Web: forwards, pictures, detections; as backends/embedded/backend.py.

/** @import { Backend, FoundObject, ForwardOutput, Manifest, Painter, Prompt, Request } from "../types" */
import { attentionPairs } from "../config.js";
import { foundObjects } from "./detector.js";
import { LocalPainter } from "./painter.js";
import { checkManifest, openPart, readPart } from "./parts.js";
import { textIds } from "./vocab.js";

const PATCH_PX = 16;

/** @implements {Backend} */
export class EmbeddedBackend {
  /**
   * @param {Manifest} manifest
   * @param {any} ort the runtime
   * @param {any} transformer its session
   * @param {Painter} painter draws and detects
   * @param {Uint8Array} tiles "v 16 16 3", what each code draws
   */
  constructor(manifest, ort, transformer, painter, tiles) {
    this.manifest = manifest;
    this.ort = ort;
    this.transformer = transformer;
    this.painter = painter;
    this.tiles = tiles;
    this.info = manifest.model;
    this.default_blur = manifest.blur;
  }

  /**
   * Open a model.
   * @param {Manifest} manifest from `export-web`
   * @param {any} ort ONNX Runtime Web
   * @param {(part: string) => Promise<Uint8Array>} read the bytes of a part
   * @param {Promise<Painter> | null} painter one that works elsewhere; null = decoder and detector are opened here
   * @throws {Error} a manifest of another version, a damaged file, a runtime that does not start; said in a sentence
   */
  static async load(manifest, ort, read, painter = null) {
    checkManifest(manifest);
    const transformer = await openPart(manifest, ort, "transformer", read);
    const tiles = await readPart(manifest, "tiles", read);
    return new EmbeddedBackend(manifest, ort, transformer, await (painter || LocalPainter.load(manifest, ort, read)), tiles);
  }

  /** Go through everything once, so that a visitor's first run does not wait for code that is compiled on its first use. */
  async warm() {
    const { grid, image_size_px: size } = this.info;
    const empty = new Int32Array(grid[0] * grid[1]);
    const text = new Array(this.manifest.text_length).fill(this.manifest.ids.pad);
    const painted = this.decodeTokens([empty]).then(([picture]) => this.painter.sights(picture, size));
    await Promise.all([painted, this.run(empty, text, true, [], null)]);
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
    const { info, manifest } = this;
    const [n, t, v] = [tokens.length, text.length, info.codebook_size];
    const { logits, attention } = await this.run(tokens, text, unconditional, suppress, hidden);
    const pairs = source === null ? null : attentionPairs(source, info.single_layers, info.num_heads, manifest.attention_heads);
    return {
      cond: logits.slice(0, n * v),
      uncond: unconditional ? logits.slice(n * v, 2 * n * v) : null,
      attention: pairs && averaged(attention, pairs, info.num_heads, t, n),
      attention_full: full ? attention.slice(0, info.single_layers * info.num_heads * t * n) : null,
    };
  }

  /**
   * Logits "b n v" and attention "b l h t n" of one sample, and of its unconditional half where that is wanted.
   * @param {Int32Array} tokens @param {number[]} text @param {boolean} unconditional @param {readonly number[]} suppress @param {Uint8Array | null} hidden
   * @returns {Promise<{ logits: Float32Array, attention: Float32Array }>}
   */
  async run(tokens, text, unconditional, suppress, hidden) {
    const { ort, manifest } = this;
    const { ids } = manifest;
    const [n, t] = [tokens.length, text.length];
    const b = unconditional ? 2 : 1;
    const empty = [ids.start, ids.end, ...new Array(t - 2).fill(ids.pad)];
    const texts = unconditional ? [...text, ...empty] : text;
    const visible = Uint8Array.from(texts, (id, k) => Number(id !== ids.pad && !(k < t && suppress.includes(k))));
    const codes = BigInt64Array.from({ length: b * n }, (_, i) => BigInt(tokens[i % n] < 0 ? manifest.mask_id : tokens[i % n]));
    const masked = new Uint8Array(b * n * t);
    if (hidden) masked.set(hidden);
    const { logits, attention } = await this.transformer.run({
      tokens: new ort.Tensor("int64", codes, [b, n]),
      text: new ort.Tensor("int64", BigInt64Array.from(texts, BigInt), [b, t]),
      visible: new ort.Tensor("bool", visible, [b, t]),
      hidden: new ort.Tensor("bool", masked, [b, n, t]),
    });
    return { logits: logits.data, attention: attention.data };
  }

  /**
   * Pictures "H W 3" of complete token grids "n".
   * @param {Int32Array[]} grids
   * @returns {Promise<Uint8Array[]>}
   */
  decodeTokens(grids) {
    return this.painter.pictures(grids, this.info.grid);
  }

  /**
   * Small pictures "16 16 3" of single codes.
   * @param {number[]} tokens
   * @returns {Map<number, Uint8Array>}
   */
  tokenPictures(tokens) {
    const size = PATCH_PX * PATCH_PX * 3;
    return new Map(tokens.map((token) => [token, this.tiles.subarray(token * size, (token + 1) * size)]));
  }

  /**
   * What the detector sees in a picture "H W 3", strongest first.
   * @param {Uint8Array} picture
   * @returns {Promise<FoundObject[]>}
   */
  async detect(picture) {
    const { centre, style } = await this.painter.sights(picture, this.info.image_size_px);
    return foundObjects(this.manifest, centre, style);
  }

  /** Give the memory back. */
  async release() {
    await this.transformer.release();
    await this.painter.release();
  }
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

// The embedded model on ONNX Runtime Web: forwards, pictures, detections; as backends/embedded/backend.py.

/** @import { Backend, Device, FoundObject, ForwardOutput, Hand, Manifest, Prompt, Request } from "../types" */
import { attentionPairs } from "../config.js";
import { foundObjects } from "./detector.js";
import { Crew } from "./crew.js";
import { PLAIN } from "./devices.js";
import { LocalHand, PARTS } from "./hands.js";
import { checkManifest, readPart } from "./parts.js";
import { textIds } from "./vocab.js";

const PATCH_PX = 16;

/** @implements {Backend} */
export class EmbeddedBackend {
  /**
   * @param {Manifest} manifest
   * @param {any} ort the runtime
   * @param {Crew} crew reads, draws and detects
   * @param {Uint8Array} tiles "v 16 16 3", what each code draws
   * @param {Device} device what computes
   */
  constructor(manifest, ort, crew, tiles, device = PLAIN) {
    this.manifest = manifest;
    this.ort = ort;
    this.crew = crew;
    this.tiles = tiles;
    this.device = device;
    this.info = manifest.model;
    this.default_blur = manifest.blur;
  }

  /**
   * Open a model.
   * @param {Manifest} manifest from `export-web`
   * @param {any} ort ONNX Runtime Web
   * @param {(part: string) => Promise<Uint8Array>} bytes of a part
   * @param {Promise<Hand> | null} distant one that draws and detects in another worker; null = all is done here
   * @param {Device} device what computes
   * @throws {Error} a manifest of another version, a damaged file, a runtime that does not start; said in a sentence
   */
  static async load(manifest, ort, bytes, distant = null, device = PLAIN) {
    checkManifest(manifest);
    const own = await LocalHand.having([manifest, ort, bytes, device], distant ? ["transformer"] : PARTS);
    const tiles = await readPart(manifest, "tiles", bytes);
    return new EmbeddedBackend(manifest, ort, new Crew(distant ? [own, await distant] : [own]), tiles, device);
  }

  /** Go through everything once, so that a visitor's first run does not wait for code that is compiled on its first use. */
  async warm() {
    const { grid, image_size_px: size } = this.info;
    const painted = this.decodeTokens([new Int32Array(grid[0] * grid[1])]).then(([picture]) => this.crew.sights(picture, size));
    await Promise.all([painted, this.readNothing()]);
  }

  /** A forward whose result is thrown away. */
  readNothing() {
    const { grid } = this.info;
    const text = new Array(this.manifest.text_length).fill(this.manifest.ids.pad);
    return this.run(new Int32Array(grid[0] * grid[1]), text, mixOf(true, 1), [], null);
  }

  /** Once the model is open: two runs keep both workers busy, not one of them. WebGPU is one device, however many ask it. */
  async share() {
    if (this.device.build === "webgpu" || !this.crew.beside) return;
    await this.crew.share();
    await Promise.all(this.crew.hands.map(() => this.readNothing())); // one each
  }

  /** From now on WebAssembly computes everything. @param {((count: number) => Promise<Hand[]>) | null} fresh as the crew's */
  async leaveGraphics(fresh = null) {
    await this.crew.leaveGraphics(fresh);
    this.device = PLAIN;
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
  async forward({ tokens, text, unconditional, guidance, source, full, suppress, hidden }) {
    const { info, manifest } = this;
    const [n, t, v] = [tokens.length, text.length, info.codebook_size];
    const { logits, attention, read } = await this.run(tokens, text, mixOf(unconditional, guidance), suppress, hidden);
    const pairs = source === null ? null : attentionPairs(source, info.single_layers, info.num_heads, manifest.attention_heads);
    return {
      guided: guidance === null ? null : logits,
      cond: logits.subarray(0, n * v), // where guided, there is nothing else
      uncond: unconditional && guidance === null ? logits.subarray(n * v) : null,
      attention: pairs && averaged(attention, pairs, info.num_heads, read, t, n),
      attention_full: full ? padded(attention, info.single_layers * info.num_heads, read, t, n) : null,
    };
  }

  /**
   * Logits "r n v" and attention "b l h read n" of one sample, and of its unconditional half where that is wanted. The padding at the end
   * of a text is not computed: the model never attends to it.
   * @param {Int32Array} tokens @param {number[]} text @param {number[][]} mix "b r", see Reading; a second row = with the unconditional half @param {readonly number[]} suppress @param {Uint8Array | null} hidden "n t"
   * @returns {Promise<{ logits: Float32Array, attention: Float32Array, read: number }>}
   */
  async run(tokens, text, mix, suppress, hidden) {
    const { manifest } = this;
    const { ids } = manifest;
    const [n, t] = [tokens.length, text.length];
    const b = mix.length;
    const read = Math.max(2, ...text.map((id, k) => (id === ids.pad ? 0 : k + 1)));
    const empty = [ids.start, ids.end, ...new Array(read - 2).fill(ids.pad)];
    const texts = [...text.slice(0, read), ...(b > 1 ? empty : [])];
    const visible = Uint8Array.from(texts, (id, k) => Number(id !== ids.pad && !(k < read && suppress.includes(k))));
    const codes = BigInt64Array.from(tokens, (token) => BigInt(token < 0 ? manifest.mask_id : token));
    const masked = new Uint8Array(b * n * read);
    if (hidden) for (let i = 0; i < n; i++) masked.set(hidden.subarray(i * t, i * t + read), i * read);
    const made = await this.crew.read({ b, codes, texts: BigInt64Array.from(texts, BigInt), visible, hidden: masked, mix: Float32Array.from(mix.flat()) });
    return { ...made, read };
  }

  /**
   * Pictures "H W 3" of complete token grids "n".
   * @param {Int32Array[]} grids
   * @returns {Promise<Uint8Array[]>}
   */
  decodeTokens(grids) {
    return this.crew.pictures(grids, this.info.grid);
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
    const { centre, style } = await this.crew.sights(picture, this.info.image_size_px);
    return foundObjects(this.manifest, centre, style);
  }

  /** Give the memory back. */
  async release() {
    await this.crew.release();
  }
}

/** How the answers with the text and without it are mixed, "b r". @param {boolean} unconditional @param {number | null} guidance as in a request */
function mixOf(unconditional, guidance) {
  if (!unconditional) return [[1]];
  return guidance === null ? [[1, 0], [0, 1]] : [[guidance], [1 - guidance]];
}

/**
 * Mean attention of the first sample over (layer, head) pairs: "t" rows of "n" from "l h read n"; nothing at the padding.
 * @param {Float32Array} all @param {number[][]} pairs @param {number} heads @param {number} read @param {number} t @param {number} n
 */
function averaged(all, pairs, heads, read, t, n) {
  const sum = new Float64Array(read * n);
  for (const [layer, head] of pairs) {
    const from = (layer * heads + head) * read * n;
    for (let i = 0; i < sum.length; i++) sum[i] += all[from + i];
  }
  return Array.from({ length: t }, (_, k) => {
    const mean = new Float32Array(n);
    if (k < read) for (let i = 0; i < n; i++) mean[i] = sum[k * n + i] / pairs.length;
    return mean;
  });
}

/** Attention of the first sample "maps t n" from "maps read n". @param {Float32Array} all @param {number} maps @param {number} read @param {number} t @param {number} n */
function padded(all, maps, read, t, n) {
  const out = new Float32Array(maps * t * n);
  for (let map = 0; map < maps; map++) out.set(all.subarray(map * read * n, (map + 1) * read * n), map * t * n);
  return out;
}

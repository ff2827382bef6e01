// Pictures and detections: the decoder and the detector on ONNX Runtime Web, in this worker or in one of their own beside it.

/** @import { Device, Manifest, Painter } from "../types" */
import { PLAIN, openOnGraphics } from "./devices.js";
import { openPart } from "./parts.js";

const PICTURES_AT_ONCE = 4;

/** @implements {Painter} */
export class LocalPainter {
  /** @param {any} ort the runtime @param {Record<string, any>} sessions by part */
  constructor(ort, sessions) {
    this.ort = ort;
    this.sessions = sessions;
    this.beside = false;
  }

  /**
   * Open decoder and detector.
   * @param {Manifest} manifest from `export-web`
   * @param {any} ort ONNX Runtime Web
   * @param {(part: string) => Promise<Uint8Array>} read the bytes of a part
   * @param {Device} device what draws; the detector looks once at a picture and stays on WebAssembly
   * @throws {Error} a damaged file, a runtime that does not start; said in a sentence
   */
  static async load(manifest, ort, read, device = PLAIN) {
    const decoder = device.build === "webgpu" ? await openOnGraphics(manifest, ort, "decoder", read, device.hurry) : await openPart(manifest, ort, "decoder", read);
    const sessions = { decoder, detector: await openPart(manifest, ort, "detector", read) };
    return new LocalPainter(ort, sessions);
  }

  /**
   * Pictures "H W 3" of complete token grids "n".
   * @param {Int32Array[]} grids
   * @param {readonly number[]} size rows, columns
   * @returns {Promise<Uint8Array[]>}
   */
  async pictures(grids, [rows, columns]) {
    const made = [];
    for (let at = 0; at < grids.length; at += PICTURES_AT_ONCE) {
      const part = grids.slice(at, at + PICTURES_AT_ONCE);
      const codes = BigInt64Array.from(part.flatMap((grid) => Array.from(grid, BigInt)));
      const { pictures } = await this.sessions.decoder.run({ codes: new this.ort.Tensor("int64", codes, [part.length, rows, columns]) });
      const size = pictures.data.length / part.length;
      made.push(...part.map((_, k) => /** @type {Uint8Array} */ (pictures.data.slice(k * size, (k + 1) * size))));
    }
    return made;
  }

  /**
   * The detector's logits of a picture "H W 3".
   * @param {Uint8Array} picture
   * @param {readonly number[]} size height, width
   * @returns {Promise<{ centre: Float32Array, style: Float32Array }>}
   */
  async sights(picture, [height, width]) {
    const { centre, style } = await this.sessions.detector.run({ pictures: new this.ort.Tensor("uint8", picture, [1, height, width, 3]) });
    return { centre: centre.data, style: style.data };
  }

  /** Give the memory back. */
  async release() {
    for (const session of Object.values(this.sessions)) await session.release();
  }
}

/** Let a painter be asked from another worker. @param {MessagePort} port @param {LocalPainter} painter */
export function answerOn(port, painter) {
  port.onmessage = async ({ data: { id, name, args } }) => {
    try {
      const value = name === "pictures" ? await painter.pictures(args[0], args[1]) : await painter.sights(args[0], args[1]);
      const buffers = (Array.isArray(value) ? value : Object.values(value)).map(({ buffer }) => buffer);
      port.postMessage({ id, value }, [...new Set(buffers)]);
    } catch (error) {
      port.postMessage({ id, text: error instanceof Error ? error.message : String(error) });
    }
  };
  port.postMessage({ id: 0, value: true });
}

/** A painter that works in another worker, while this one decodes the next step. @implements {Painter} */
export class DistantPainter {
  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port;
    this.beside = true;
    this.lastId = 0;
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
    this.asked = new Map();
    port.onmessage = ({ data: { id, value, text } }) => {
      const waiting = this.asked.get(id);
      this.asked.delete(id);
      if (waiting) text === undefined ? waiting.resolve(value) : waiting.reject(new Error(text));
    };
  }

  /** Resolves once the other worker is ready. @param {MessagePort} port @returns {Promise<DistantPainter>} */
  static async open(port) {
    const painter = new DistantPainter(port);
    await new Promise((resolve, reject) => painter.asked.set(0, { resolve, reject }));
    return painter;
  }

  /** @param {string} name @param {unknown[]} args @returns {Promise<any>} */
  ask(name, args) {
    const id = ++this.lastId;
    this.port.postMessage({ id, name, args });
    return new Promise((resolve, reject) => this.asked.set(id, { resolve, reject }));
  }

  /** @param {Int32Array[]} grids @param {readonly number[]} size @returns {Promise<Uint8Array[]>} */
  pictures(grids, size) {
    return this.ask("pictures", [grids, size]);
  }

  /** @param {Uint8Array} picture @param {readonly number[]} size @returns {Promise<{ centre: Float32Array, style: Float32Array }>} */
  sights(picture, size) {
    return this.ask("sights", [picture, size]);
  }

  /** The other worker gives its memory back when it is told to open another model, or ends. */
  async release() {
    this.port.close();
  }
}

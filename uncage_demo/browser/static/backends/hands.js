// Who computes: the sessions of one worker's runtime, in this worker or in another one beside it.

/** @import { Device, Hand, Manifest, Reading } from "../types" */
import { PLAIN, openOnGraphics } from "./devices.js";
import { openPart } from "./parts.js";
import { GraphicsLost, GraphicsSilent } from "./patience.js";

const PICTURES_AT_ONCE = 4;
/** What a hand can do once it has a part of the model. @type {Record<string, string>} */
const ABLE = { transformer: "read", decoder: "pictures", detector: "sights" };
export const PARTS = Object.keys(ABLE);

/** @implements {Hand} */
export class LocalHand {
  /**
   * @param {Manifest} manifest from `export-web`
   * @param {any} ort ONNX Runtime Web
   * @param {(part: string) => Promise<Uint8Array>} bytes of a part
   * @param {Device} device what reads and draws; the detector looks once at a picture and stays on WebAssembly
   */
  constructor(manifest, ort, bytes, device = PLAIN) {
    this.manifest = manifest;
    this.ort = ort;
    this.bytes = bytes;
    this.device = device;
    /** @type {Set<string>} */
    this.able = new Set();
    /** @type {Map<string, Promise<any>>} */
    this.sessions = new Map();
    /** @type {Promise<void> | null} */
    this.leaving = null;
    this.released = false;
  }

  /**
   * A hand that has some parts.
   * @param {ConstructorParameters<typeof LocalHand>} given
   * @param {readonly string[]} parts
   * @throws {Error} a damaged file, a runtime that does not start; said in a sentence
   */
  static async having(given, parts) {
    const hand = new LocalHand(...given);
    for (const part of parts) await hand.open(part);
    return hand;
  }

  /** Whether WebGPU computes a part. @param {string} part */
  onGraphics(part) {
    return this.device.build === "webgpu" && part !== "detector";
  }

  /** Take a part. @param {string} part */
  async open(part) {
    if (this.released) throw new Error("This model was closed.");
    const { manifest, ort, bytes, device, sessions } = this;
    const session = sessions.get(part) || (this.onGraphics(part) ? openOnGraphics(manifest, ort, part, bytes, device) : openPart(manifest, ort, part, bytes));
    sessions.set(part, session);
    session.catch(() => sessions.delete(part));
    await session;
    this.able.add(ABLE[part]);
  }

  /**
   * @param {string} part
   * @param {Record<string, any>} feeds
   * @returns {Promise<any>} the outputs by name
   * @throws {GraphicsLost} WebGPU failed; GraphicsSilent: it does not answer, so this runtime computes nothing any more
   */
  async run(part, feeds) {
    const session = await this.sessions.get(part);
    try {
      return await session.run(feeds);
    } catch (error) {
      if (error instanceof GraphicsSilent) throw error;
      throw this.onGraphics(part) ? new GraphicsLost(error instanceof Error ? error.message : String(error)) : error;
    }
  }

  /** From now on WebAssembly computes everything. */
  leaveGraphics() {
    this.leaving ||= this.movedToWebAssembly();
    return this.leaving;
  }

  async movedToWebAssembly() {
    const parts = [...this.sessions.keys()].filter((part) => this.onGraphics(part));
    this.device = PLAIN;
    for (const part of parts) {
      const lost = await this.sessions.get(part);
      this.sessions.delete(part);
      await Promise.resolve(lost.release()).catch(() => {}); // nobody knows what is left of it
      await this.open(part);
    }
  }

  /** @param {Reading} reading @returns {Promise<{ logits: Float32Array, attention: Float32Array }>} */
  async read({ b, codes, texts, visible, hidden, mix }) {
    const { Tensor } = this.ort;
    const t = texts.length / b;
    const { logits, attention } = await this.run("transformer", {
      tokens: new Tensor("int64", codes, [1, codes.length]),
      text: new Tensor("int64", texts, [b, t]),
      visible: new Tensor("bool", visible, [b, t]),
      hidden: new Tensor("bool", hidden, [b, codes.length, t]),
      mix: new Tensor("float32", mix, [b, mix.length / b]),
    });
    return { logits: logits.data, attention: attention.data };
  }

  /** @param {Int32Array[]} grids @param {readonly number[]} size rows, columns @returns {Promise<Uint8Array[]>} */
  async pictures(grids, [rows, columns]) {
    const made = [];
    for (let at = 0; at < grids.length; at += PICTURES_AT_ONCE) {
      const part = grids.slice(at, at + PICTURES_AT_ONCE);
      const codes = BigInt64Array.from(part.flatMap((grid) => Array.from(grid, BigInt)));
      const { pictures } = await this.run("decoder", { codes: new this.ort.Tensor("int64", codes, [part.length, rows, columns]) });
      const size = pictures.data.length / part.length;
      made.push(...part.map((_, k) => /** @type {Uint8Array} */ (pictures.data.slice(k * size, (k + 1) * size))));
    }
    return made;
  }

  /** @param {Uint8Array} picture @param {readonly number[]} size height, width @returns {Promise<{ centre: Float32Array, style: Float32Array }>} */
  async sights(picture, [height, width]) {
    const { centre, style } = await this.run("detector", { pictures: new this.ort.Tensor("uint8", picture, [1, height, width, 3]) });
    return { centre: centre.data, style: style.data };
  }

  /** Give the memory back, that of parts which are still being opened, too. */
  async release() {
    this.released = true;
    this.able.clear();
    for (const opening of this.sessions.values()) {
      const session = await opening.catch(() => null);
      if (session) await session.release();
    }
    this.sessions.clear();
  }
}

/** What is told apart in what goes wrong, the narrower kind first; else it is an error. */
const FAILURES = [GraphicsSilent, GraphicsLost, Error];

/** What went wrong, for the other side of a port. @param {unknown} error */
export function refusal(error) {
  return { text: error instanceof Error ? error.message : String(error), failure: FAILURES.findIndex((kind) => error instanceof kind) };
}

/** What may be asked of a hand from another worker. */
const ASKED = ["open", "read", "pictures", "sights", "leaveGraphics"];

/** Let a hand be asked from another worker. @param {MessagePort} port @param {LocalHand} hand */
export function answerOn(port, hand) {
  port.onmessage = async ({ data: { id, name, args } }) => {
    try {
      if (!ASKED.includes(name)) throw new Error(`${name} is nothing that a hand does`);
      const value = await /** @type {any} */ (hand)[name](...args);
      const buffers = value ? (Array.isArray(value) ? value : Object.values(value)).map(({ buffer }) => buffer) : [];
      port.postMessage({ id, value }, [...new Set(buffers)]);
    } catch (error) {
      port.postMessage({ id, ...refusal(error) });
    }
  };
  port.postMessage({ id: 0, value: [...hand.able] });
}

/** A hand in another worker. @implements {Hand} */
export class DistantHand {
  /** @param {MessagePort} port */
  constructor(port) {
    this.port = port;
    /** @type {Set<string>} */
    this.able = new Set();
    this.lastId = 0;
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
    this.asked = new Map();
    port.onmessage = ({ data: { id, value, text, failure } }) => {
      const waiting = this.asked.get(id);
      this.asked.delete(id);
      if (waiting) text === undefined ? waiting.resolve(value) : waiting.reject(new (FAILURES[failure] || Error)(text));
    };
  }

  /** Resolves once the other worker is ready. @param {MessagePort} port @returns {Promise<DistantHand>} */
  static async reached(port) {
    const hand = new DistantHand(port);
    hand.able = new Set(await new Promise((resolve, reject) => hand.asked.set(0, { resolve, reject })));
    return hand;
  }

  /** @param {string} name @param {unknown[]} args @returns {Promise<any>} */
  ask(name, args) {
    const id = ++this.lastId;
    this.port.postMessage({ id, name, args });
    return new Promise((resolve, reject) => this.asked.set(id, { resolve, reject }));
  }

  /** @param {string} part */
  async open(part) {
    await this.ask("open", [part]);
    this.able.add(ABLE[part]);
  }

  async leaveGraphics() {
    await this.ask("leaveGraphics", []);
  }

  /** @param {Reading} reading @returns {Promise<{ logits: Float32Array, attention: Float32Array }>} */
  read(reading) {
    return this.ask("read", [reading]);
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

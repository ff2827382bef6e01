// The files of an exported model: refused unless they are the ones that were exported, opened as sessions of the runtime.

/** @import { Manifest } from "../types" */
/** @import { Watch } from "./patience.js" */
import { GraphicsSilent, answeredWithin } from "./patience.js";

export const MANIFEST_VERSION = 4;

/**
 * Refuse a model that this page does not read.
 * @param {Manifest} manifest
 * @throws {Error}
 */
export function checkManifest(manifest) {
  if (!manifest || manifest.version !== MANIFEST_VERSION) {
    throw new Error(`This page reads models of version ${MANIFEST_VERSION}; the one here is of version ${manifest ? manifest.version : "unknown"}. Export it again.`);
  }
}

/**
 * A part's bytes, checked.
 * @param {Manifest} manifest
 * @param {string} part
 * @param {(part: string) => Promise<Uint8Array>} read
 */
export async function readPart(manifest, part, read) {
  const bytes = await read(part);
  await checkFile(part, bytes, manifest.files[part]);
  return bytes;
}

/** The turns of each runtime. @type {WeakMap<object, Turns>} */
const turns = new WeakMap();

/**
 * One thing at a time in a runtime: on WebGPU, where a run lets others in, a second one in the same runtime would never end. So nothing comes
 * after one that never ends.
 */
class Turns {
  constructor() {
    /** @type {Promise<unknown>} */
    this.last = Promise.resolve();
    /** @type {GraphicsSilent | null} */
    this.stuck = null;
  }

  /**
   * @template T
   * @param {() => Promise<T>} compute
   * @returns {Promise<T>}
   */
  take(compute) {
    const made = this.last.then(() => {
      if (this.stuck) throw this.stuck;
      return compute();
    });
    this.last = made.catch((error) => {
      if (error instanceof GraphicsSilent) this.stuck = error;
    });
    return made;
  }
}

/** @param {object} ort */
function turnsOf(ort) {
  const known = turns.get(ort) || new Turns();
  turns.set(ort, known);
  return known;
}

/**
 * A part as a session.
 * @param {Manifest} manifest
 * @param {any} ort ONNX Runtime Web
 * @param {string} part
 * @param {(part: string) => Promise<Uint8Array>} read
 * @param {Watch | null} watch over its answers where WebGPU is to compute; null = WebAssembly computes
 * @throws {Error} a damaged file, a runtime that does not start; said in a sentence
 */
export async function openPart(manifest, ort, part, read, watch = null) {
  const bytes = await readPart(manifest, part, read);
  try {
    // Every forward asks for the same pieces of memory: an arena that remembers their places saves a twentieth of its time.
    const memory = { enableCpuMemArena: true, enableMemPattern: true };
    const options = { executionProviders: [watch ? "webgpu" : "wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3, ...memory };
    const starting = ort.InferenceSession.create(bytes, options);
    const session = await (watch ? answeredWithin(starting, watch.patience.start_ms) : starting);
    const run = session.run.bind(session);
    session.run = (/** @type {Record<string, any>} */ feeds) => turnsOf(ort).take(() => (watch ? watch.over(feeds, () => run(feeds)) : run(feeds)));
    return session;
  } catch (error) {
    if (error instanceof GraphicsSilent) throw error;
    throw new Error(`The model's ${part} could not be started in this browser: ${error instanceof Error ? error.message : error}`, { cause: error });
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

// The files of an exported model: refused unless they are the ones that were exported, opened as sessions of the runtime.

/** @import { Manifest } from "../types" */
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

/** What the runtime of this worker computes last. @type {Promise<unknown>} */
let last = Promise.resolve();

/**
 * One thing at a time: on WebGPU, where a run lets others in, a second one in the same runtime would never end.
 * @template T
 * @param {() => Promise<T>} compute
 * @returns {Promise<T>}
 */
function inTurn(compute) {
  const made = last.then(compute);
  last = made.catch(() => {});
  return made;
}

/**
 * A part as a session.
 * @param {Manifest} manifest
 * @param {any} ort ONNX Runtime Web
 * @param {string} part
 * @param {(part: string) => Promise<Uint8Array>} read
 * @param {string[]} providers in which to compute, the first that works
 * @throws {Error} a damaged file, a runtime that does not start; said in a sentence
 */
export async function openPart(manifest, ort, part, read, providers = ["wasm"]) {
  const bytes = await readPart(manifest, part, read);
  try {
    // Every forward asks for the same pieces of memory: an arena that remembers their places saves a twentieth of its time.
    const memory = { enableCpuMemArena: true, enableMemPattern: true };
    const session = await ort.InferenceSession.create(bytes, { executionProviders: providers, graphOptimizationLevel: "all", logSeverityLevel: 3, ...memory });
    const run = session.run.bind(session);
    session.run = (/** @type {Record<string, any>} */ feeds) => inTurn(() => run(feeds));
    return session;
  } catch (error) {
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

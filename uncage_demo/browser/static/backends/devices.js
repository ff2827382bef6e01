// A part of the model on WebGPU: taken only after it was held against WebAssembly on the same input.

/** @import { Device, Manifest } from "../types" */
import { openPart, readPart } from "./parts.js";
import { GraphicsSilent, Watch } from "./patience.js";

/** What there is everywhere. @type {Device} */
export const PLAIN = { build: "wasm", name: "WebAssembly", hurry: false };

/** How a device's arithmetic may differ. Logits are in the tens; the same graph on two processors differs by 1e-4 or so. */
const MOST_OF_LOGITS = 1e-2;
const MOST_OF_LEVELS = 2;

/**
 * A part as a session on WebGPU.
 * @param {Manifest} manifest
 * @param {any} ort ONNX Runtime Web, of the build with WebGPU
 * @param {string} part "transformer" or "decoder"
 * @param {(part: string) => Promise<Uint8Array>} read the bytes of a part
 * @param {Device} device
 * @returns {Promise<any>}
 * @throws {Error} it does not start, gives no answer, differs, or is slower; said in a sentence
 */
export async function openOnGraphics(manifest, ort, part, read, { hurry, patience }) {
  const bytes = await readPart(manifest, part, read);
  const again = async () => bytes;
  const graphics = await openPart(manifest, ort, part, again, new Watch(patience));
  const plain = await openPart(manifest, ort, part, again);
  try {
    const feeds = part === "transformer" ? transformerInput(manifest, ort) : decoderInput(manifest, ort);
    const [wanted, plainMs] = await answered(plain, feeds);
    const [made, graphicsMs] = await answered(graphics, feeds);
    const most = part === "transformer" ? MOST_OF_LOGITS : MOST_OF_LEVELS;
    const difference = largestDifference(made, wanted);
    if (!(difference <= most)) throw new Error(`WebGPU computes the ${part} differently here (by ${difference.toPrecision(2)})`);
    if (hurry && graphicsMs > plainMs) throw new Error(`WebGPU is slower here (the ${part} takes ${Math.round(graphicsMs)} instead of ${Math.round(plainMs)} ms)`);
    await plain.release();
    return graphics;
  } catch (error) {
    if (error instanceof GraphicsSilent) throw error; // nothing can be released in a runtime that waits
    await Promise.all([graphics.release(), plain.release()]);
    throw error;
  }
}

/** The first output, and how long it took when everything was compiled. @param {any} session @param {Record<string, any>} feeds @returns {Promise<[ArrayLike<number>, number]>} */
async function answered(session, feeds) {
  await session.run(feeds);
  const from = performance.now();
  const outputs = await session.run(feeds);
  return [outputs[session.outputNames[0]].data, performance.now() - from];
}

/** Infinity where something is no number. @param {ArrayLike<number>} made @param {ArrayLike<number>} wanted */
export function largestDifference(made, wanted) {
  if (made.length !== wanted.length) return Infinity;
  let most = 0;
  for (let i = 0; i < wanted.length; i++) {
    const difference = Math.abs(made[i] - wanted[i]);
    if (!(difference <= most)) most = difference;
    if (Number.isNaN(difference)) return Infinity;
  }
  return most;
}

/** A grid of which every third cell is there, read with a text and with none. @param {Manifest} manifest @param {any} ort */
function transformerInput(manifest, ort) {
  const { ids, model } = manifest;
  const [n, read] = [model.grid[0] * model.grid[1], 4];
  const tokens = BigInt64Array.from({ length: n }, (_, i) => BigInt(i % 3 ? manifest.mask_id : (i * 37) % model.codebook_size));
  const text = [ids.start, ids.end + 1, ids.end + 2, ids.end, ids.start, ids.end, ids.pad, ids.pad];
  return {
    tokens: new ort.Tensor("int64", tokens, [1, n]),
    text: new ort.Tensor("int64", BigInt64Array.from(text, BigInt), [2, read]),
    visible: new ort.Tensor("bool", Uint8Array.from(text, (id) => Number(id !== ids.pad)), [2, read]),
    hidden: new ort.Tensor("bool", new Uint8Array(2 * n * read), [2, n, read]),
    mix: new ort.Tensor("float32", Float32Array.of(1, 0, 0, 1), [2, 2]),
  };
}

/** @param {Manifest} manifest @param {any} ort */
function decoderInput(manifest, ort) {
  const { grid, codebook_size: v } = manifest.model;
  return { codes: new ort.Tensor("int64", BigInt64Array.from({ length: grid[0] * grid[1] }, (_, i) => BigInt((i * 37) % v)), [1, ...grid]) };
}

// How what the player reads travels: to the page as it is, with nothing copied or written as text; as text in a file.

import { base64 } from "./pictures.js";

/** Files of pictures as the page gets them, made once. @type {WeakMap<Uint8Array, Blob>} */
const blobs = new WeakMap();

/** @param {Uint8Array} file */
function blobOf(file) {
  const known = blobs.get(file) || new Blob([/** @type {BlobPart} */ (file)], { type: "image/bmp" });
  blobs.set(file, known);
  return known;
}

/** @param {any} value @param {(bytes: Uint8Array, packed: boolean) => unknown} make @returns {any} */
function mapped(value, make) {
  if (Array.isArray(value)) return value.map((one) => mapped(one, make));
  if (!value || typeof value !== "object") return value;
  if (value instanceof Uint8Array) return make(value, false);
  if (value.d instanceof Uint8Array) return { ...value, d: make(value.d, true) };
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, mapped(one, make)]));
}

/**
 * For a page: pictures as files that are not copied, arrays to be handed over.
 * @param {object} content of `buildPayload` or `liveRuns`; it is used up
 * @returns {{ content: any, transfer: ArrayBuffer[] }}
 */
export function asMessage(content) {
  /** @type {Set<ArrayBuffer>} */
  const transfer = new Set();
  const made = mapped(content, (bytes, packed) => {
    if (!packed) return blobOf(bytes);
    transfer.add(/** @type {ArrayBuffer} */ (bytes.buffer));
    return bytes;
  });
  return { content: made, transfer: [...transfer] };
}

/** As a text of JSON, with bytes in base64. @param {object} content as `asMessage` @returns {string} */
export function asText(content) {
  return JSON.stringify(mapped(content, base64));
}

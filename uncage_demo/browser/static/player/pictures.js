/** @import { Trace } from "../types" */
// Pictures for the player: it takes any that a browser decodes, as base64. Bitmaps need no encoder and are the same everywhere.

const HEADER_BYTES = 54;

/**
 * A picture as the bytes of a .bmp file.
 * @param {Uint8Array} pixels "H W 3"
 * @param {number} height
 * @param {number} width
 */
export function bitmapFile(pixels, height, width) {
  const row = Math.ceil((width * 3) / 4) * 4;
  const out = new Uint8Array(HEADER_BYTES + row * height);
  const view = new DataView(out.buffer);
  out.set([0x42, 0x4d]);
  view.setUint32(2, out.length, true);
  view.setUint32(10, HEADER_BYTES, true);
  view.setUint32(14, 40, true);
  view.setInt32(18, width, true);
  view.setInt32(22, height, true);
  view.setUint16(26, 1, true);
  view.setUint16(28, 24, true);
  for (let y = 0; y < height; y++) {
    let to = HEADER_BYTES + (height - 1 - y) * row;
    for (let from = y * width * 3; from < (y + 1) * width * 3; from += 3) {
      out[to++] = pixels[from + 2];
      out[to++] = pixels[from + 1];
      out[to++] = pixels[from];
    }
  }
  return out;
}

/** Bytes as base64. @param {Uint8Array} bytes */
export function base64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

/** Pictures of a step are shown while it is decoded and again with every later step: encoded once. @type {WeakMap<Uint8Array, Uint8Array>} */
const encoded = new WeakMap();

/** A picture's file; message.js hands it over. @param {Uint8Array} pixels @param {number} height @param {number} width */
export function encodePicture(pixels, height, width) {
  const known = encoded.get(pixels) || bitmapFile(pixels, height, width);
  encoded.set(pixels, known);
  return known;
}

/**
 * What a page shows of runs that are still decoding, where their steps have pictures: the last picture, and the cells that are still masked (bits, lowest first).
 * @param {Trace[]} traces
 */
export function liveRuns(traces) {
  return traces.map(({ steps, frames, model }) => {
    const { masked_before, committed, reopened } = steps[steps.length - 1];
    const bits = new Uint8Array(Math.ceil(committed.length / 8));
    masked_before.forEach((masked, i) => ((masked && !committed[i]) || (reopened && reopened[i])) && (bits[i >> 3] |= 1 << (i & 7)));
    const [height, width] = model.image_size_px;
    return { picture: encodePicture(/** @type {Uint8Array[]} */ (frames)[steps.length - 1], height, width), masked: base64(bits), grid: model.grid };
  });
}

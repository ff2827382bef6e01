// Arrays as the player unpacks them; as player/packing.py.

const KINDS = { Float32Array: "f4", Uint8Array: "u1", Uint16Array: "u2", Int16Array: "i2" };

/** A typed array as the player unpacks it; its bytes are made a text where that is wanted, see message.js. @param {Float32Array | Uint8Array | Uint16Array | Int16Array} values @param {number[]} shape */
export function packed(values, shape) {
  const kind = /** @type {Record<string, string>} */ (KINDS)[values.constructor.name];
  return { t: kind, s: shape, d: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

/** @param {Float32Array | Uint8Array | Uint16Array | Int16Array} values */
export function packedList(values) {
  return packed(values, [values.length]);
}

/** Masks as bits, lowest first. @param {Uint8Array[]} masks */
export function bits(masks) {
  const row = Math.ceil(masks[0].length / 8);
  const out = new Uint8Array(row * masks.length);
  masks.forEach((mask, s) => mask.forEach((on, i) => on && (out[s * row + (i >> 3)] |= 1 << (i & 7))));
  return packed(out, [masks.length, row]);
}

/** @param {number[][]} values of each step's candidates */
export function candidateValues(values) {
  const at = values.map((step) => step.some((value) => value !== 0));
  return { at, values: packedList(Float32Array.from(values.filter((_, s) => at[s]).flat())) };
}

// What travelled as base64, or came from a worker -> typed arrays; as packed by player/packing.py.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const TYPES = { f4: Float32Array, u1: Uint8Array, u2: Uint16Array, i2: Int16Array, u4: Uint32Array, i4: Int32Array };

  function bytes(text) {
    const raw = atob(text);
    const out = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) out[i] = raw.charCodeAt(i);
    return out;
  }

  // Attention of the 256 codes: fine steps where values are small.
  const decoder = (max) => Float32Array.from({ length: 256 }, (_, q) => max * (q / 255) ** 2);

  // What a worker handed over is no text any more; it lies where the worker put it.
  /** @param {PackedArray | null} entry */
  function typed(entry) {
    if (!entry) return null;
    const Type = TYPES[entry.t];
    const raw = typeof entry.d === "string" ? bytes(entry.d) : entry.d;
    return new Type(raw.buffer, raw.byteOffset, raw.byteLength / Type.BYTES_PER_ELEMENT);
  }

  /** A picture's file: base64 from a server or a file, as it is from a worker. @param {string | Blob} picture */
  function file(picture) {
    return typeof picture === "string" ? new Blob([bytes(picture)]) : picture;
  }

  parts.unpack = { bytes, decoder, file, typed };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

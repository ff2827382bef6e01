// What travelled as base64 -> typed arrays; as packed by player/packing.py.
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

  /** @param {PackedArray | null} entry */
  function typed(entry) {
    return entry ? new TYPES[entry.t](bytes(entry.d).buffer) : null;
  }

  parts.unpack = { bytes, decoder, typed };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

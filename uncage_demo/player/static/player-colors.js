// Colour tables: values -> RGBA. The tables come with the payload, the colours of the two looks with the style sheet: both from render/palette.py.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const LITTLE = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;

  function pack(r, g, b, a) {
    return LITTLE ? ((a << 24) | (b << 16) | (g << 8) | r) >>> 0 : ((r << 24) | (g << 16) | (b << 8) | a) >>> 0;
  }

  function tableOf(rgb) {
    const out = new Uint32Array(256);
    for (let k = 0; k < 256; k++) out[k] = pack(rgb[3 * k], rgb[3 * k + 1], rgb[3 * k + 2], 255);
    return out;
  }

  function parseHex(hex) {
    const n = parseInt(String(hex).slice(1), 16) || 0;
    return [n >> 16, (n >> 8) & 255, n & 255];
  }

  function css(table, k) {
    const v = table[k];
    return LITTLE ? `rgb(${v & 255} ${(v >> 8) & 255} ${(v >> 16) & 255})` : `rgb(${v >>> 24} ${(v >> 16) & 255} ${(v >> 8) & 255})`;
  }

  function gradient(table) {
    const stops = [];
    for (let k = 0; k <= 16; k++) stops.push(css(table, Math.round((255 * k) / 16)));
    return `linear-gradient(to right, ${stops.join(", ")})`;
  }

  // Values -> pixels through a table; NaN stays transparent.
  function paint(values, low, high, table, pixels) {
    const factor = 255 / (high - low || 1);
    for (let i = 0; i < values.length; i++) {
      const v = values[i];
      if (v !== v) { pixels[i] = 0; continue; }
      const k = Math.round((v - low) * factor);
      pixels[i] = table[k < 0 ? 0 : k > 255 ? 255 : k];
    }
  }

  // What canvases are painted with, by the names of the style sheet.
  const NAMES = { mask: "mask", maskMark: "mask-mark", fresh: "fresh", halo: "fresh-halo", accent: "accent", bar: "strong", whatIf: "what-if" };

  function themeOf(node) {
    const style = getComputedStyle(node);
    return Object.fromEntries(Object.entries(NAMES).map(([key, name]) => [key, style.getPropertyValue(`--up-${name}`).trim()]));
  }

  parts.colors = { pack, tableOf, parseHex, gradient, paint, css, themeOf };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// Colour tables and ramps: values -> RGBA. Perceptually uniform tables come with the payload; an object's ramp is made here in OKLab.
(function (parts) {
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

  const toLinear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const toGamma = (c) => (c <= 0.0031308 ? 12.92 * c : 1.055 * c ** (1 / 2.4) - 0.055);

  // Source: B. Ottosson, "A perceptual color space for image processing" (OKLab), 2020.
  function oklab([r, g, b]) {
    const [x, y, z] = [r, g, b].map((c) => toLinear(c / 255));
    const l = Math.cbrt(0.4122214708 * x + 0.5363325363 * y + 0.0514459929 * z);
    const m = Math.cbrt(0.2119034982 * x + 0.6806995451 * y + 0.1073969566 * z);
    const s = Math.cbrt(0.0883024619 * x + 0.2817188376 * y + 0.6299787005 * z);
    return [
      0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
      1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
      0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
    ];
  }

  function fromOklab(L, a, b) {
    const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
    const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
    const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
    const linear = [
      4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
      -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
      -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s,
    ];
    return linear.map((c) => Math.round(255 * Math.min(1, Math.max(0, toGamma(Math.max(0, c))))));
  }

  // Dark to light through the object's own hue, with even steps of lightness.
  function ramp(hex) {
    const [, a, b] = oklab(parseHex(hex));
    const out = new Uint32Array(256);
    for (let k = 0; k < 256; k++) {
      const t = k / 255;
      const chroma = Math.min(1, 1.25 * Math.sin(Math.PI * (0.12 + 0.8 * t)));
      const [r, g, v] = fromOklab(0.17 + 0.79 * t, a * chroma, b * chroma);
      out[k] = pack(r, g, v, 255);
    }
    return out;
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

  parts.colors = { pack, tableOf, parseHex, ramp, gradient, paint, css };
})((window.UncagePlayerParts = window.UncagePlayerParts || {}));

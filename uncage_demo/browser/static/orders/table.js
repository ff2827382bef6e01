// Every order that the browser draws in, one entry each; as orders/table.py, where their titles are.
// An order that has no entry here is not offered where the browser draws. A test compares the two tables and decodes with both.

/** @import { AttentionRead, Config, Order, Term } from "../types" */
import { attentionContrast } from "./contrast.js";
import { haltonOrder } from "./halton.js";

const MASKGIT_CHOICE_TEMPERATURE = 4.5;

/** F = F_c + F_g; use_confidence and use_noise drop a term. @param {Config} config @returns {Term[]} */
function baselineTerms(config) {
  /** @type {Term[]} */
  const terms = [];
  if (config.use_confidence) terms.push("confidence");
  if (config.use_noise) terms.push("noise");
  return terms;
}

/** F = F_c + F_g + w_a F_a during the guided steps, afterwards the whole baseline. @param {Config} config @param {number} step @param {number} guided @returns {Term[]} */
function guidedTerms(config, step, guided) {
  return step < guided ? [...baselineTerms(config), "contrast"] : ["confidence", "noise"];
}

/** From noise_temperature[0] at the first step to noise_temperature[1] at the last. @param {Config} config @param {number} step */
function annealedNoise(config, step) {
  const [start, end] = config.noise_temperature;
  return config.num_steps === 1 ? start : start + ((end - start) * step) / (config.num_steps - 1);
}

/** 4.5 (1 - (s+1)/T). @param {Config} config @param {number} step */
function maskgitNoise(config, step) {
  return MASKGIT_CHOICE_TEMPERATURE * (1 - (step + 1) / config.num_steps);
}

/** F_a as published; with a radius, F_n. @param {AttentionRead} read @param {Config} config @param {number | null} [anchorRadius] */
export function publishedContrast(read, config, anchorRadius = null) {
  return attentionContrast(read, { rescale: config.contrast_rescale, mode: config.contrast_mode, anchorRadius });
}

/** F_n: the published contrast, held to one place per object. @param {AttentionRead} read @param {Config} config */
function anchoredContrast(read, config) {
  return publishedContrast(read, config, config.anchor_radius);
}

/** F = w_a F_a - place / n in the guided steps, in float32. @param {import("../types").StepContext} context */
function awareHaltonValue({ rank, contrast, weight }) {
  const f = Math.fround;
  const places = /** @type {Int32Array} */ (rank);
  return Float32Array.from(places, (place, i) => (weight ? f(f(f(weight) * contrast[i]) - f(place / places.length)) : -f(place / places.length)));
}

/** @type {Record<string, Order>} */
export const ORDERS = {
  random: { terms: () => ["noise"], noise: () => 1 },
  confidence: { terms: () => ["confidence"] },
  meissonic: { terms: baselineTerms, noise: annealedNoise },
  maskgit: { terms: baselineTerms, noise: maskgitNoise },
  halton: { value: ({ rank }) => Float32Array.from(/** @type {Int32Array} */ (rank), (place) => -place), needs: ["rank"], visits: haltonOrder },
  halton_aware: { value: awareHaltonValue, contrast: publishedContrast, needs: ["rank"], visits: haltonOrder },
  margin: { value: ({ margin }) => /** @type {Float32Array} */ (margin), needs: ["margin"] },
  entropy: { value: ({ entropy }) => Float32Array.from(/** @type {Float32Array} */ (entropy), (nats) => -nats), needs: ["entropy"] },
  uncage: { terms: guidedTerms, noise: annealedNoise, contrast: publishedContrast },
  anchored: { terms: guidedTerms, noise: annealedNoise, contrast: anchoredContrast },
  redraw: { terms: baselineTerms, noise: annealedNoise, redrawShare: 4 },
  mend: { terms: guidedTerms, noise: annealedNoise, contrast: publishedContrast, redrawShare: 3, ownWords: true },
};

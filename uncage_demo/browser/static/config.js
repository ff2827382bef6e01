// The settings of a run with what was left to the model filled in, and what follows from them; as config.py.

/** @import { Config, GivenConfig, ModelInfo } from "./types" */
import { VARIES } from "./orders/counts.js";
import { REVISIONS } from "./orders/revise.js";
import { ORDERS } from "./orders/table.js";

/** What holds where nothing is said: a test compares it with DecodingConfig(). */
export const DEFAULTS = Object.freeze({
  order: "meissonic", num_steps: null, seed: 0, schedule: null, schedule_power: 2, guidance_scale: null, guidance_schedule: "constant",
  token_temperature: 1, noise_temperature: null, contrast_weight: 3, contrast_steps: null, contrast_blur: null, contrast_mode: "both",
  contrast_rescale: "max", anchor_radius: 0.33, redraw_steps: null, redraw_words: null, use_confidence: true, use_noise: true,
  attention_source: "default", halton_randomize: false, guidance_interval: Object.freeze([0, 1]), entropy_heat: 0, entropy_decay: 1,
  how_many: "schedule", entropy_budget: 1, confidence_threshold: 0.9, spacing: 0, composition: 0, self_guidance: 0, logit_noise: 0,
  differential: 0, revise: "none", revise_strength: null,
});
/** Settings that are computed on the server only, at the values that turn them off. Anything else is refused by its name. */
export const ELSEWHERE = Object.freeze({ reuse_steps: 0, reuse_from: 0.25 });
/** Settings that a trace leaves out where they are at their defaults, as Python does: older files do not know them. */
export const LATER = Object.freeze([
  "redraw_steps", "redraw_words", "guidance_interval", "entropy_heat", "entropy_decay", "how_many", "entropy_budget", "confidence_threshold", "spacing",
  "composition", "self_guidance", "logit_noise", "differential", "revise", "revise_strength",
]);
const LEFT_OPEN = Object.freeze(["contrast_steps", "redraw_steps", "redraw_words", "revise_strength"]);
const NO_REVISION = "none";

/**
 * @param {GivenConfig} given
 * @param {ModelInfo} info
 * @param {number} blur the model's own
 * @returns {Config} nothing left to the model
 * @throws {RangeError} an unknown order or setting
 */
export function resolved(given, info, blur) {
  given = { ...given };
  for (const [name, off] of Object.entries(ELSEWHERE)) {
    const value = /** @type {Record<string, unknown>} */ (given)[name];
    if (value !== undefined && value !== null && JSON.stringify(value) !== JSON.stringify(off)) {
      throw new RangeError(`${name}=${value}: this setting is computed on the server only.`);
    }
    delete (/** @type {Record<string, unknown>} */ (given)[name]);
  }
  const unknown = Object.keys(given).filter((name) => !(name in DEFAULTS));
  if (unknown.length) throw new RangeError(`unknown setting ${unknown[0]}; allowed: ${Object.keys(DEFAULTS).join(", ")}`);
  /** @type {Record<string, unknown>} */
  const own = {
    num_steps: info.default_steps, guidance_scale: info.default_guidance_scale, noise_temperature: info.default_noise_temperature,
    schedule: info.default_schedule, contrast_blur: blur,
  };
  /** @type {Record<string, unknown>} */
  const config = { ...DEFAULTS, ...given };
  for (const [name, value] of Object.entries(own)) if (config[name] === null || config[name] === undefined) config[name] = value;
  for (const name of LEFT_OPEN) if (config[name] === undefined) config[name] = null;
  const full = /** @type {Config} */ (/** @type {unknown} */ (config));
  if (!(full.order in ORDERS)) throw new RangeError(`order=${full.order}: choose one of ${Object.keys(ORDERS).join(", ")}`);
  if (!Number.isInteger(full.num_steps) || full.num_steps < 1 || full.num_steps > 256) throw new RangeError(`num_steps=${full.num_steps}: give a whole number from 1 to 256`);
  if (!(full.how_many in VARIES)) throw new RangeError(`how_many=${full.how_many}: choose one of ${Object.keys(VARIES).join(", ")}`);
  if (full.revise !== NO_REVISION && !(full.revise in REVISIONS)) throw new RangeError(`revise=${full.revise}: choose one of ${[NO_REVISION, ...Object.keys(REVISIONS)].join(", ")}`);
  const [from, to] = full.guidance_interval;
  if (!(from >= 0 && from <= to && to <= 1)) throw new RangeError(`guidance_interval=${from},${to}: give shares from 0 to 1, a start that is not after the end`);
  if (full.contrast_steps !== null && full.contrast_steps > full.num_steps) throw new RangeError(`contrast_steps=${full.contrast_steps}: at most num_steps=${full.num_steps}`);
  if (full.redraw_steps !== null && full.redraw_steps >= full.num_steps) throw new RangeError(`redraw_steps=${full.redraw_steps}: give a whole number from 0 to ${full.num_steps - 1}`);
  return full;
}

/** What is taken back in every step, or null. @param {Config} config */
export function revisionOf(config) {
  return revisionStrength(config) === 0 ? null : REVISIONS[config.revise];
}

/** How much of it: revise_strength, or the revision's own strength; 0 without one. @param {Config} config */
export function revisionStrength({ revise, revise_strength }) {
  return revise === NO_REVISION ? 0 : revise_strength ?? REVISIONS[revise].strength;
}

/** Steps of the redraw: redraw_steps, or the order's own share. @param {Config} config */
export function redrawnSteps(config) {
  if (config.redraw_steps !== null) return config.redraw_steps;
  const share = ORDERS[config.order].redrawShare || 0;
  return share ? Math.floor(config.num_steps / share) : 0;
}

/** Steps before the redraw. @param {Config} config */
export function draftSteps(config) {
  return config.num_steps - redrawnSteps(config);
}

/** Guided steps: contrast_steps, or a quarter of the draft's, never more than those. @param {Config} config */
export function guidedSteps(config) {
  const draft = draftSteps(config);
  return Math.min(config.contrast_steps === null ? Math.max(1, Math.floor(draft / 4)) : config.contrast_steps, draft);
}

/** Whether each place reads only its own object's words in the redraw. @param {Config} config */
export function redrawsByOwnWords(config) {
  return config.redraw_words === null ? Boolean(ORDERS[config.order].ownWords) : config.redraw_words === "own";
}

/**
 * The (layer, head) pairs that an attention source averages over.
 * @param {string} source "default", "all" or "layers:A-B"
 * @param {number} layers how many the model has
 * @param {number} heads of each layer
 * @param {number[][]} chosen the model's own pairs; none = all
 * @returns {number[][]}
 */
export function attentionPairs(source, layers, heads, chosen) {
  const every = Array.from({ length: layers * heads }, (_, i) => [Math.floor(i / heads), i % heads]);
  if (source === "all" || (source === "default" && !chosen.length)) return every;
  if (source === "default") return chosen;
  const band = /^layers:(\d{1,6})-(\d{1,6})$/.exec(source);
  if (!band || Number(band[1]) > Number(band[2])) throw new RangeError(`attention_source=${source}: use "default", "all" or "layers:A-B" with A <= B`);
  if (Number(band[2]) >= layers) throw new RangeError(`attention_source=${source}: this model's layers run from 0 to ${layers - 1}`);
  return every.filter(([layer]) => layer >= Number(band[1]) && layer <= Number(band[2]));
}

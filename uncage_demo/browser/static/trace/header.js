// What a trace file says of a run beside its arrays; as trace/header.py.

/** @import { Config, Trace } from "../types" */
import { DEFAULTS, LATER } from "../config.js";

export const SCHEMA_VERSION = 1;
export const FRAMES_KEY = "frames.npy";
const FRAMES_TEXT = "differences from the picture before, modulo 256; the first from black";
/** Before a number that is to stand bare in the text; as JSON it is an escape that no typed text begins with. */
const BARE = "\u0001";
const FLOATS = [
  "schedule_power", "guidance_scale", "token_temperature", "noise_temperature", "contrast_weight", "contrast_blur", "anchor_radius",
  "guidance_interval", "entropy_heat", "entropy_decay", "entropy_budget", "confidence_threshold", "spacing",
  "composition", "self_guidance", "logit_noise", "differential", "revise_strength",
];

/** @param {Trace} trace @param {Record<string, number[]>} present */
export function headerOf(trace, present) {
  const notes = Object.fromEntries((trace.notes || []).map((note, i) => [`note ${i + 1}`, JSON.stringify(note)])); // as trace/notes.py
  const versions = { ...trace.versions, ...(trace.frames ? { [FRAMES_KEY]: FRAMES_TEXT } : {}), ...notes };
  const lineage = trace.lineage ? lineageOf(trace.lineage) : {};
  const header = {
    schema: SCHEMA_VERSION, prompt: trace.prompt, config: configOf(trace.config), model: trace.model, columns: trace.columns,
    first_step: trace.steps[0].step, present, lineage, timings_s: trace.timings_s, versions, created: trace.created,
    ...(trace.origin ? { origin: trace.origin } : {}),
  };
  return withNumbers(JSON.stringify(header));
}

/** Puts in numbers that JSON.stringify would not write as Python does: long seeds, and floats that are whole. @param {string} text from `configOf` */
export function withNumbers(text) {
  return text.replace(/(?<!\\)"\\u0001(-?[0-9.e+-]+)"/g, "$1");
}

/** Settings as a header has them; see `withNumbers`. @param {Config} config */
export function configOf(config) {
  const float = (/** @type {any} */ value) => (Number.isInteger(value) ? `${BARE}${value}.0` : value);
  return Object.fromEntries(Object.entries(config).filter(([name, value]) => !(LATER.includes(name) && same(value, name))).map(([name, value]) => {
    if (name === "seed") return [name, `${BARE}${BigInt(/** @type {any} */ (value))}`];
    if (!FLOATS.includes(name)) return [name, value];
    return [name, Array.isArray(value) ? value.map(float) : float(value)];
  }));
}

/** Whether a setting is at its default. @param {unknown} value @param {string} name */
function same(value, name) {
  return JSON.stringify(value) === JSON.stringify(/** @type {Record<string, unknown>} */ (DEFAULTS)[name]);
}

/** @param {import("../types").Lineage} lineage @returns {object} */
export function lineageOf({ parent, at_step, edits, parent_config, earlier }) {
  const told = { parent, at_step, edits, parent_config: configOf(parent_config) };
  return earlier && earlier.length ? { ...told, earlier: earlier.map(lineageOf) } : told;
}

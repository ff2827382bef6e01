// How many: the number of positions that stay masked after each step, as decoding/schedule.py.

/** @import { Config } from "../types" */
import { aboveThreshold, hittingLevels, least, withinEntropy } from "../orders/counts.js";
import { uniforms } from "./noise.js";

export const SCHEDULE_NAMES = Object.freeze(["cosine", "linear", "arccos", "power", "cosine_float32", "linear_float32"]);
const WHOLE_NUMBER_SLACK = 1e-9;
const FINE = 2 ** 30; // so many positions tell a share before it is rounded
const f = Math.fround;

/**
 * What a schedule asks to stay masked after a step, before the limits that every step obeys.
 * @param {string} schedule one of SCHEDULE_NAMES
 * @param {number} step s, 0..T-1
 * @param {number} numSteps T
 * @param {number} numTokens N, positions that the schedule counts over
 * @param {number} power exponent of "power"
 * @returns {number} may be negative for "arccos" with more steps than tokens
 * @throws {RangeError} an unknown schedule or a step out of range
 */
export function scheduledMasked(schedule, step, numSteps, numTokens, power = 2) {
  if (!SCHEDULE_NAMES.includes(schedule)) throw new RangeError(`schedule=${schedule}: choose one of ${SCHEDULE_NAMES.join(", ")}`);
  if (!(numSteps >= 1 && step >= 0 && step < numSteps)) throw new RangeError(`step=${step}: allowed are 0..${numSteps - 1} for num_steps=${numSteps}`);
  const done = step + 1;
  if (schedule === "linear") return Math.floor((numTokens * (numSteps - done)) / numSteps);
  if (schedule.endsWith("_float32")) return countInFloat32(schedule, done, numSteps, numTokens);
  const ratio = done / numSteps;
  if (schedule === "cosine") return floor(numTokens * Math.cos((Math.PI / 2) * ratio));
  if (schedule === "power") return floor(numTokens * (1 - ratio ** power));
  return numTokens - Math.max(done, floor(numTokens * (1 - (2 / Math.PI) * Math.acos(ratio))));
}

/**
 * Positions that stay masked after a step: max(1, min(masked - 1, scheduled)); 0 after the last step.
 * @param {string} schedule one of SCHEDULE_NAMES
 * @param {number} step s
 * @param {number} numSteps T
 * @param {number} numTokens N
 * @param {number} numMasked still masked when the step begins
 * @param {number} power exponent of "power"
 */
export function maskCount(schedule, step, numSteps, numTokens, numMasked, power = 2) {
  if (numTokens < 0 || numMasked < 0) throw new RangeError(`num_tokens=${numTokens}, num_masked=${numMasked}: counts must be >= 0`);
  const scheduled = scheduledMasked(schedule, step, numSteps, numTokens, power);
  if (step === numSteps - 1 || numMasked === 0) return 0;
  return Math.max(1, Math.min(numMasked - 1, scheduled));
}

/**
 * Positions that stay masked after a step, however it is decided (config.how_many).
 * @param {Config} config of the phase
 * @param {number} step s within it
 * @param {number} total positions that the schedule counts over
 * @param {Uint8Array} masked "n"
 * @param {Float32Array} scores "n" of the order
 * @param {Float32Array} confidence "n" log p of the drawn tokens
 * @param {Float32Array | null} entropy "n" nats
 */
export function stayMasked(config, step, total, masked, scores, confidence, entropy) {
  const { num_steps: steps, schedule, schedule_power: power, how_many } = config;
  const numMasked = masked.reduce((a, b) => a + b, 0);
  if (how_many === "schedule") return maskCount(schedule, step, steps, total, numMasked, power);
  if (step === steps - 1 || numMasked === 0) return 0;
  if (how_many === "first_hitting") {
    const share = scheduledMasked(schedule.replace("_float32", ""), step, steps, FINE, power) / FINE;
    const waiting = hittingLevels(uniforms(config.seed, 0, "hitting", total)).reduce((count, level) => count + Number(level < share), 0);
    return Math.min(numMasked, waiting);
  }
  const wanted = how_many === "entropy"
    ? withinEntropy(scores, /** @type {Float32Array} */ (entropy), masked, config.entropy_budget)
    : aboveThreshold(confidence, masked, config.confidence_threshold);
  return Math.max(0, numMasked - Math.max(wanted, least(numMasked, step, steps)));
}

/**
 * @param {string} schedule @param {number} done @param {number} numSteps @param {number} numTokens
 */
function countInFloat32(schedule, done, numSteps, numTokens) {
  const ratio = f(f(done) / f(numSteps));
  const share = schedule === "linear_float32" ? f(1 - ratio) : f(Math.cos(f(f(ratio * f(Math.PI)) / 2)));
  return Math.floor(f(f(numTokens) * share));
}

/** @param {number} value */
function floor(value) {
  return Math.floor(value + WHOLE_NUMBER_SLACK);
}

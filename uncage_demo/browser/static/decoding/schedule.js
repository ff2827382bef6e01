// How many: the number of positions that stay masked after each step, as decoding/schedule.py.

export const SCHEDULE_NAMES = Object.freeze(["cosine", "linear", "arccos", "power", "cosine_float32", "linear_float32"]);
const WHOLE_NUMBER_SLACK = 1e-9;
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

// Which token: guidance, forbidden ids, sampling, and what the model thought of every position; as decoding/tokens.py.
// Shapes: n positions, v codebook; "n v" lies in one Float32Array, row by row.

/** @import { Config, Forbidden } from "../types" */

const f = Math.fround;
const LOG_OF_NOTHING = -1e4;
/** Powers 2^(-k/64) down to below the least float32, see `exponential`. */
const PARTS = 64;
const POWERS = Float64Array.from({ length: 150 * PARTS + 1 }, (_, k) => 2 ** (-k / PARTS));
const PER_PART = Math.LN2 / PARTS, PARTS_OF_ONE = PARTS / Math.LN2;

/**
 * e^x of a number that is not above 0, as float32 has it; a step takes it 147,456 times, and Math.exp needs more than twice as long.
 * @param {number} x not above 0; what is no number stays none
 */
export function exponential(x) {
  const k = (0.5 - x * PARTS_OF_ONE) | 0;
  if (k >= POWERS.length) return 0;
  const rest = x + k * PER_PART; // at most 0.0055, so five terms are exact to the 13th digit
  return POWERS[k] * (1 + rest * (1 + rest * (0.5 + rest * (1 / 6 + rest / 24))));
}

/**
 * Guidance scale in force at a step: constant, or a ramp from 1 at the first step to guidance_scale at the last; 1 outside of its interval.
 * @param {Config} config resolved
 * @param {number} step s
 */
export function guidanceAt(config, step) {
  const [start, end] = config.guidance_interval;
  const share = step / config.num_steps;
  if (share < start || (share >= end && end < 1)) return 1;
  if (config.guidance_schedule === "constant" || config.num_steps === 1) return config.guidance_scale;
  return 1 + ((config.guidance_scale - 1) * step) / (config.num_steps - 1);
}

/**
 * Classifier-free guidance l = u + g (c - u), in float32.
 * @param {Float32Array} cond "n v"
 * @param {Float32Array | null} uncond "n v"; null where the scale is 1
 * @param {number} scale g
 * @returns {Float32Array} a new array, or `cond` where there is nothing to do
 */
export function applyGuidance(cond, uncond, scale) {
  if (scale === 1) return cond;
  if (!uncond) throw new RangeError(`guidance scale ${scale} needs unconditional logits`);
  const g = f(scale);
  const out = new Float32Array(cond.length);
  for (let i = 0; i < out.length; i++) out[i] = uncond[i] + f(g * f(cond[i] - uncond[i]));
  return out;
}

/**
 * A copy of the logits with the forbidden ids of each position at minus infinity; the same array when nothing is forbidden.
 * @param {Float32Array} logits "n v"
 * @param {Forbidden} forbidden [position, ids] pairs
 * @param {number} codebook v
 */
export function forbidIds(logits, forbidden, codebook) {
  if (!forbidden.length) return logits;
  const out = logits.slice();
  for (const [position, ids] of forbidden) for (const id of ids) out[position * codebook + id] = -Infinity;
  return out;
}

/** What the model thinks of every position: p = softmax(l) after guidance. */
export class TokenOpinion {
  /**
   * @param {Float32Array} logits "n v"; minus infinity means never
   * @param {number} codebook v
   */
  constructor(logits, codebook) {
    this.codebook = codebook;
    this.count = logits.length / codebook;
    /** "n v": logits minus the maximum of their row. */
    this.shifted = new Float32Array(logits.length);
    /** "n v": exp(shifted). */
    this.weights = new Float32Array(logits.length);
    /** "n": row sums of the weights. */
    this.total = new Float64Array(this.count);
    const { count, shifted, weights, total } = this;
    for (let row = 0, at = 0; row < count; row++, at += codebook) {
      let most = -Infinity;
      for (let i = at; i < at + codebook; i++) if (!(logits[i] <= most)) most = logits[i]; // a NaN stays
      let sum = 0;
      for (let i = at; i < at + codebook; i++) {
        const below = logits[i] - most;
        shifted[i] = below < LOG_OF_NOTHING ? LOG_OF_NOTHING : below;
        weights[i] = exponential(shifted[i]);
        sum += weights[i];
      }
      total[row] = sum;
    }
  }

  /**
   * Sample one id a position by inverse CDF.
   * @param {Float64Array} uniforms "n" in (0, 1)
   * @param {number | Float64Array} temperature >= 0, one number or one a position; 0 takes the most probable id
   * @returns {Int32Array} "n"
   */
  sample(uniforms, temperature = 1) {
    const { codebook, count, shifted, weights } = this;
    const ids = new Int32Array(count);
    const cdf = new Float64Array(codebook);
    for (let row = 0; row < count; row++) {
      const at = row * codebook;
      const heat = typeof temperature === "number" ? temperature : temperature[row];
      const divisor = f(heat);
      if (heat === 0) {
        ids[row] = shifted.subarray(at, at + codebook).indexOf(0);
        continue;
      }
      let sum = 0;
      if (heat === 1 && typeof temperature === "number") for (let i = 0; i < codebook; i++) cdf[i] = sum += weights[at + i];
      else for (let i = 0; i < codebook; i++) cdf[i] = sum += f(Math.exp(f(shifted[at + i] / divisor)));
      const target = uniforms[row] * sum;
      let low = 0, high = codebook;
      // The first id whose CDF exceeds the target, so an id of probability 0 is never drawn.
      while (low < high) {
        const middle = (low + high) >> 1;
        if (cdf[middle] > target) high = middle; else low = middle + 1;
      }
      ids[row] = Math.min(low, codebook - 1);
    }
    return ids;
  }

  /**
   * F_c = log p of the given ids.
   * @param {Int32Array} ids "n"
   * @returns {Float32Array} "n"
   */
  confidence(ids) {
    return Float32Array.from(ids, (id, row) => this.shifted[row * this.codebook + id] - Math.log(this.total[row]));
  }

  /** p, "n v". */
  probabilities() {
    const { codebook, weights, total } = this;
    return weights.map((weight, i) => weight / total[Math.floor(i / codebook)]);
  }

  /** Entropy of p, "n", nats. */
  entropy() {
    const out = new Float32Array(this.count);
    const { codebook, count, shifted, weights, total } = this;
    for (let row = 0, at = 0; row < count; row++, at += codebook) {
      let sum = 0;
      for (let i = at; i < at + codebook; i++) sum += weights[i] * shifted[i];
      out[row] = Math.log(total[row]) - f(sum) / total[row];
    }
    return out;
  }

  /**
   * The most probable ids and their probabilities, most probable first.
   * @param {number} wanted how many
   * @returns {{ ids: Int32Array, probs: Float32Array, ranks: number }} "n a" each; a = ranks
   */
  top(wanted) {
    const { codebook, count, weights, total } = this;
    const ranks = Math.min(wanted, codebook);
    const ids = new Int32Array(count * ranks);
    const probs = new Float32Array(count * ranks);
    const best = new Float64Array(ranks);
    for (let row = 0; row < count; row++) {
      best.fill(-1);
      const from = row * codebook, to = row * ranks;
      let least = -1;
      for (let i = 0; i < codebook; i++) {
        const value = weights[from + i];
        if (value <= least) continue;
        let k = ranks - 1;
        for (; k > 0 && best[k - 1] < value; k--) {
          best[k] = best[k - 1];
          ids[to + k] = ids[to + k - 1];
        }
        best[k] = value;
        ids[to + k] = i;
        least = best[ranks - 1];
      }
      for (let k = 0; k < ranks; k++) probs[to + k] = best[k] / total[row];
    }
    return { ids, probs, ranks };
  }

  /** p(1st) - p(2nd), "n"; 1 for a codebook of one. */
  margin() {
    const { probs, ranks } = this.top(2);
    return Float32Array.from({ length: this.count }, (_, row) => (ranks > 1 ? probs[row * 2] - probs[row * 2 + 1] : 1));
  }
}

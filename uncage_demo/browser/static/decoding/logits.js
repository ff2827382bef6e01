// Which token, beyond guidance: what is done to the logits before a token is drawn; as decoding/logits.py. All arithmetic is float32.
// Shapes: n positions, v codebook; "n v" lies in one Float32Array, row by row.

import { uniforms } from "./noise.js";

const f = Math.fround;
/** What a probability that did not grow is set to before the rest is scaled to 1. */
export const LEAST_GROWTH = f(1e-6);

/**
 * Guidance by a product of experts, one for each object: l = u + g ((1 - w)(c - u) + w sum_i (c_i - u)).
 * @param {Float32Array} cond "n v" @param {Float32Array} uncond "n v"
 * @param {Float32Array[]} each logits that read one object's words only
 * @param {number} scale g @param {number} share w, 0..1
 */
export function composed(cond, uncond, each, scale, share) {
  const [g, whole, part] = [f(scale), f(1 - share), f(share)];
  return cond.map((value, i) => {
    let experts = 0;
    for (const one of each) experts = f(experts + f(one[i] - uncond[i]));
    return uncond[i] + f(g * f(f(whole * f(value - uncond[i])) + f(part * experts)));
  });
}

/**
 * Self-guidance: l + w (c - c'), where c' is the same model's answer with a part of what is committed hidden from it.
 * @param {Float32Array} logits "n v" after guidance @param {Float32Array} cond c @param {Float32Array} weaker c' @param {number} weight w
 */
export function awayFromWeaker(logits, cond, weaker, weight) {
  const w = f(weight);
  return logits.map((value, i) => value + f(w * f(cond[i] - weaker[i])));
}

/**
 * Standard normal numbers that depend on seed and step only (Box and Muller).
 * @param {number | string | bigint} seed @param {number} step @param {number} count
 * @returns {Float32Array}
 */
export function normalNoise(seed, step, count) {
  const half = Math.ceil(count / 2);
  const drawn = uniforms(seed, step, "logits", 2 * half);
  const out = new Float32Array(count);
  for (let i = 0; i < half; i++) {
    const size = Math.sqrt(-2 * Math.log(drawn[i])), angle = 2 * Math.PI * drawn[half + i];
    out[i] = size * Math.cos(angle);
    if (half + i < count) out[half + i] = size * Math.sin(angle);
  }
  return out;
}

/**
 * Noise regularisation at a step: amount |cos(pi s / (T - 1))|, so full at both ends and none in the middle.
 * @param {number} amount @param {number} step s @param {number} numSteps T
 */
export function noiseAmount(amount, step, numSteps) {
  return numSteps > 1 ? amount * Math.abs(Math.cos((Math.PI * step) / (numSteps - 1))) : amount;
}

/**
 * Differential sampling: where the model's opinion changed least since the last step, draw from what grew.
 * @param {Float32Array} now "n v" probabilities @param {Float32Array} before "n v"
 * @param {Uint8Array} masked "n"; others are left alone
 * @param {number} share of the masked positions, 0..1
 * @returns {{ chances: Float32Array, rows: number[] }} "n v", and which rows are new
 */
export function grown(now, before, masked, share) {
  const codebook = now.length / masked.length;
  const cells = Array.from(masked.keys()).filter((i) => masked[i]);
  const divergence = new Map(cells.map((cell) => {
    let sum = 0;
    for (let i = cell * codebook; i < (cell + 1) * codebook; i++) if (now[i] > 0) sum += f(now[i] * f(Math.log(f(now[i] / Math.max(before[i], f(1e-30))))));
    return [cell, f(sum)];
  }));
  const rows = cells.sort((a, b) => Number(divergence.get(a)) - Number(divergence.get(b)) || a - b).slice(0, roundHalfEven(share * cells.length));
  const chances = now.slice();
  for (const row of rows) {
    let sum = 0;
    for (let i = row * codebook; i < (row + 1) * codebook; i++) sum += chances[i] = Math.max(f(now[i] - before[i]), LEAST_GROWTH);
    for (let i = row * codebook; i < (row + 1) * codebook; i++) chances[i] /= f(sum);
  }
  return { chances, rows };
}

/**
 * Temperature of each position: T = T0 exp(-H / alpha) + theta.
 * @param {Float32Array} entropy H, "n", nats
 * @param {number} heat T0
 * @param {number} decay alpha
 * @param {number} base theta
 * @returns {Float64Array}
 */
export function entropyTemperature(entropy, heat, decay, base) {
  return Float64Array.from(entropy, (nats) => heat * Math.exp(-nats / decay) + base);
}

/** As Python's round: a half goes to the even number. @param {number} value */
export function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest < 0.5 || (rest === 0.5 && below % 2 === 0) ? below : below + 1;
}

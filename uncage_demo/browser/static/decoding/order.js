// Where next: an order's scores pick the positions that are committed; as decoding/order.py.

/** @import { Config, Order, StepContext, Term } from "../types" */
import { guidedSteps } from "../config.js";
import { sumTerms } from "../orders/base.js";
import { spread } from "../orders/spacing.js";
import { ORDERS } from "../orders/table.js";

/**
 * The terms that an order's score is the sum of at a step; none for a score that is a value of its own.
 * @param {Order} order
 * @param {Config} config resolved
 * @param {number} step s
 * @returns {readonly Term[]}
 */
export function termsAt(order, config, step) {
  return order.terms ? order.terms(config, step, guidedSteps(config)) : [];
}

/**
 * Whether the contrast counts in the score of a step: as a term, or in the guided steps of a value of its own.
 * @param {Order} order
 * @param {Config} config resolved
 * @param {number} step s
 */
export function readsContrast(order, config, step) {
  return order.terms ? termsAt(order, config, step).includes("contrast") : Boolean(order.contrast) && step < guidedSteps(config);
}

/**
 * The score of every position, "n".
 * @param {Order} order
 * @param {StepContext} context
 * @param {Config} config resolved
 */
export function scoreOf(order, context, config) {
  return order.value ? order.value(context) : sumTerms(context, termsAt(order, config, context.step));
}

/**
 * Factor of the Gumbel noise in the score at a step; 0 where the noise is not one of the terms.
 * @param {Config} config resolved
 * @param {number} step s
 */
export function noiseScale(config, step) {
  const order = ORDERS[config.order];
  return termsAt(order, config, step).includes("noise") && order.noise ? order.noise(config, step) : 0;
}

/**
 * w_a in force at a step: contrast_weight where the order's score reads the contrast, else 0.
 * @param {Config} config resolved
 * @param {number} step s
 */
export function weightAt(config, step) {
  return readsContrast(ORDERS[config.order], config, step) ? config.contrast_weight : 0;
}

/**
 * The `count` candidates of highest score; ties go to the lower index.
 * @param {Float32Array} scores "n"
 * @param {Uint8Array} candidates "n"; others are never looked at
 * @param {number} count how many; limited by the number of candidates
 * @param {Uint8Array} [forced] "n" candidates taken first, whatever their score; they use up places of `count`
 * @param {[number, number]} [grid] @param {number} [spacing] least distance that chosen cells keep where that is possible
 * @returns {Uint8Array} "n"
 * @throws {Error} where a candidate's score is not a number
 */
export function select(scores, candidates, count, forced, grid, spacing = 0) {
  const chosen = new Uint8Array(scores.length);
  const free = [];
  let taken = 0;
  for (let i = 0; i < scores.length; i++) {
    if (!candidates[i]) continue;
    if (forced && forced[i]) taken += chosen[i] = 1;
    else free.push(i);
  }
  const lost = free.filter((i) => Number.isNaN(scores[i])).length;
  if (lost) throw new Error(`${lost} of ${free.length} scores are NaN: the model's logits are not finite`);
  if (grid && spacing > 1) {
    for (const i of spread(scores, free, count - taken, chosen, grid, spacing)) chosen[i] = 1;
    return chosen;
  }
  free.sort((a, b) => scores[b] - scores[a] || a - b);
  for (const i of free.slice(0, Math.max(0, count - taken))) chosen[i] = 1;
  return chosen;
}

// What an order is, and the sum of terms; as orders/base.py.

/** @import { StepContext, Term } from "../types" */

export const CONTRAST_MODES = Object.freeze(["both", "positive", "negative"]);
export const RESCALE_MODES = Object.freeze(["none", "max", "minmax", "mean"]);

const f = Math.fround;

/**
 * F_c + F_g + w_a F_a, as far as named, in float32 and in this order. A weight of 0 adds nothing at all.
 * @param {StepContext} context
 * @param {readonly Term[]} terms
 * @returns {Float32Array} "n"
 */
export function sumTerms(context, terms) {
  const total = terms.includes("confidence") ? context.confidence.slice() : new Float32Array(context.confidence.length);
  const weight = f(context.weight);
  if (terms.includes("noise")) for (let i = 0; i < total.length; i++) total[i] += context.noise[i];
  if (terms.includes("contrast") && context.weight !== 0) {
    for (let i = 0; i < total.length; i++) total[i] += f(weight * context.contrast[i]);
  }
  return total;
}

// How many cells a step commits where the model or chance decides it; as orders/counts.py.

/** Ways of deciding how many: whether a run may end before its last step. @type {Readonly<Record<string, boolean>>} */
export const VARIES = Object.freeze({ schedule: false, entropy: true, confidence: true, first_hitting: true });

/** What a step commits at least, so that T steps are always enough. @param {number} numMasked @param {number} step @param {number} numSteps */
export function least(numMasked, step, numSteps) {
  return Math.ceil(numMasked / (numSteps - step));
}

/**
 * How many cells, in the order's ranking, keep sum(H) - max(H) within the budget.
 * @param {Float32Array} scores "n"
 * @param {Float32Array} entropy "n" nats
 * @param {Uint8Array} masked "n"
 * @param {number} budget nats
 */
export function withinEntropy(scores, entropy, masked, budget) {
  const ranked = Array.from(masked.keys()).filter((i) => masked[i]).sort((a, b) => scores[b] - scores[a] || a - b);
  let sum = 0, most = -Infinity;
  for (const [place, cell] of ranked.entries()) {
    sum += entropy[cell];
    most = Math.max(most, entropy[cell]);
    if (sum - most > budget) return place;
  }
  return ranked.length;
}

/**
 * How many masked cells drew a token of at least this probability.
 * @param {Float32Array} confidence "n" log p
 * @param {Uint8Array} masked "n"
 * @param {number} threshold 0..1
 */
export function aboveThreshold(confidence, masked, threshold) {
  return masked.reduce((count, on, i) => count + Number(on && Math.exp(confidence[i]) >= threshold), 0);
}

/** Mask levels at which cells are unmasked one after the other, falling. @param {Float64Array} uniforms "n" in (0, 1) */
export function hittingLevels(uniforms) {
  let sum = 0;
  return uniforms.map((u, i) => {
    sum += Math.log(u) / (uniforms.length - i);
    return Math.exp(sum);
  });
}

// Which token, beyond guidance; as decoding/logits.py. Of its ways, the browser has the temperature that follows the entropy.

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

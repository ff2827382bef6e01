// Randomness that depends only on (seed, step, position, purpose): Philox-4x64 read at fixed places, bit for bit as decoding/noise.py.

/** One number a purpose; those of the Python file. The start of one-step models is not drawn in the browser. */
export const PURPOSES = Object.freeze({ token: 1, order: 2, halton: 3, revise: 5, hitting: 6, logits: 7 });

const WORD = (1n << 64n) - 1n;
const MULTIPLIERS = [0xd2e7470ee14c6c93n, 0xca5a826395121157n];
const WEYL = [0x9e3779b97f4a7c15n, 0xbb67ae8584caa73bn];
const ROUNDS = 10;
const STEP_BITS = 32n;
const LARGEST_SEED = (1n << 63n) - 1n;

/**
 * One block of Philox-4x64-10 (Salmon et al. 2011).
 * @param {bigint} counter the lowest word of the counter; the others are 0
 * @param {bigint} first first word of the key
 * @param {bigint} second second word of the key
 * @returns {bigint[]} four 64-bit words
 */
export function philoxBlock(counter, first, second) {
  let [a, b, c, d] = [counter, 0n, 0n, 0n];
  let [key0, key1] = [first, second];
  for (let round = 0; round < ROUNDS; round++) {
    const one = MULTIPLIERS[0] * a;
    const two = MULTIPLIERS[1] * c;
    [a, b, c, d] = [(two >> 64n) ^ b ^ key0, two & WORD, (one >> 64n) ^ d ^ key1, one & WORD];
    key0 = (key0 + WEYL[0]) & WORD;
    key1 = (key1 + WEYL[1]) & WORD;
  }
  return [a, b, c, d];
}

/**
 * Uniform numbers strictly between 0 and 1, one per position: (k + 1/2) / 2^52 with k the upper 52 bits of each output.
 * @param {number | string | bigint} seed 0..2^63-1
 * @param {number} step 0..2^32-1
 * @param {string} purpose a key of PURPOSES
 * @param {number} count how many
 * @returns {Float64Array}
 * @throws {RangeError} a seed or step out of range, or an unknown purpose
 */
export function uniforms(seed, step, purpose, count) {
  const key0 = BigInt(seed);
  if (key0 < 0n || key0 > LARGEST_SEED) throw new RangeError(`seed=${seed}: give a whole number from 0 to 2^63-1`);
  if (!Number.isInteger(step) || step < 0 || step >= 2 ** Number(STEP_BITS)) throw new RangeError(`step=${step}: give a whole number from 0 to 2^32-1`);
  const number = /** @type {Record<string, number>} */ (PURPOSES)[purpose];
  if (!number) throw new RangeError(`purpose=${purpose}: choose one of ${Object.keys(PURPOSES).join(", ")}`);
  const key1 = (BigInt(number) << STEP_BITS) | BigInt(step);
  const out = new Float64Array(count);
  for (let at = 0, counter = 1n; at < count; counter++) {
    for (const word of philoxBlock(counter, key0, key1)) {
      if (at < count) out[at++] = (Number(word >> 12n) + 0.5) * 2 ** -52;
    }
  }
  return out;
}

/**
 * Gumbel(0, 1) noise of the order score, taken in double precision.
 * @param {number | string | bigint} seed as `uniforms`
 * @param {number} step as `uniforms`
 * @param {number} count how many
 * @returns {Float32Array}
 */
export function gumbel(seed, step, count) {
  return Float32Array.from(uniforms(seed, step, "order", count), (u) => -Math.log(-Math.log(u)));
}

/**
 * Offset 0..count-1 by which a randomised Halton list is rolled.
 * @param {number | string | bigint} seed as `uniforms`
 * @param {number} count n
 */
export function rollOffset(seed, count) {
  return Math.trunc(uniforms(seed, 0, "halton", 1)[0] * count);
}

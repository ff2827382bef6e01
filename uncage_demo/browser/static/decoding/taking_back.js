// What a step takes back: the revision of the settings, and what a draft opens when it is full; as decoding/taking_back.py.

/** @import { Ask, State } from "./sampler.js" */
import { redrawsByOwnWords, revisionOf, revisionStrength } from "../config.js";
import { wordMaps } from "../orders/contrast.js";
import { ELSEWHERE, UNVOUCHED, opened } from "../orders/revise.js";
import { guided } from "./answers.js";
import { uniforms } from "./noise.js";
import { select } from "./order.js";
import { keptCells, objectPlaces } from "./redraw.js";
import { doubtfulObjects, ownSight } from "./sight.js";
import { TokenOpinion } from "./tokens.js";

/**
 * What the settings' revision takes back, which may ask for a forward of its own.
 * @param {State} state at the step, before anything is committed in it
 * @param {{ masked: Uint8Array, sampled: Int32Array, scores: Float32Array, likelihood: Float32Array, confidence: Float32Array, stay: number }} step
 *   masked when it began; likelihood = log p of what each position holds or drew; stay = how many stay masked after it
 * @param {Ask} ask
 * @returns {Promise<Uint8Array>} "n" the reason (a place in REASONS) of each cell that this step opens again, else 0
 */
export async function takeBack(state, { masked, sampled, scores, likelihood, confidence, stay }, ask) {
  const codes = new Uint8Array(masked.length);
  const [config, step] = state.phase;
  const revision = revisionOf(config);
  if (!revision) return codes;
  state.likelihoods.push(likelihood.map((value, i) => (masked[i] ? NaN : value)));
  const held = Uint8Array.from(masked, (on, i) => Number(!on && state.scheduled[i] && !state.pinned[i]));
  if (!stay || !held.includes(1)) return codes;
  const { codebook_size: codebook } = state.backend.info;
  const there = state.tokens.map((token) => Math.max(token, 0));
  let leftOut = null;
  if (revision.hides) {
    const half = state.half();
    const hidden = held.map((on, i) => on & half[i]);
    const output = await ask(state.request({ tokens: state.tokens.map((token, i) => (hidden[i] ? -1 : token)) }));
    leftOut = new TokenOpinion(guided(state, output), codebook).confidence(there).map((value, i) => (hidden[i] ? value : NaN));
  } else if (revision.ahead) {
    const committed = select(scores, masked, masked.reduce((a, b) => a + b, 0) - stay);
    const { uncond } = await ask(state.request({ tokens: state.tokens.map((token, i) => (committed[i] ? sampled[i] : token)), unconditional: true }));
    leftOut = new TokenOpinion(/** @type {Float32Array} */ (uncond), codebook).confidence(there).map((value, i) => (held[i] ? value : NaN));
  }
  const look = {
    step, num_steps: config.num_steps, held, masked, likelihood, trust: meanSinceCommitted(state.likelihoods), left_out: leftOut, confidence,
    total: state.numScheduled, stay, lots: uniforms(state.config.seed, state.step, "revise", masked.length),
  };
  for (const cell of opened(revision, look, revisionStrength(config))) codes[cell] = revision.reason;
  return codes;
}

/**
 * When the draft is full: mask everything but one place an object; what was given or kept by an edit stays.
 * @param {State} state at the draft's last step; its tokens, sight and schedule change
 * @param {Float32Array[]} attention "k n" of that step
 * @returns {Uint8Array} "n" why each cell is opened, else 0
 */
export function openAroundPlaces(state, attention) {
  const { grid } = state.backend.info;
  const words = /** @type {Float64Array[]} */ (state.words);
  const { subjects } = state.prompt;
  const byOwnWords = redrawsByOwnWords(state.config);
  // Whose place it is, nouns alone tell where the words are to be hidden: attention to colours may be what is wrong.
  const named = byOwnWords ? subjects.map((subject) => ({ ...subject, attributes: [] })) : subjects;
  const [contrasts, distances] = objectPlaces(attention, words, named, { grid, sigma: state.sigma, radiusFrac: state.config.anchor_radius });
  const kept = keptCells(contrasts, distances, grid);
  const codes = Uint8Array.from(state.tokens, (_, i) => (kept.some((row) => row[i]) ? 0 : ELSEWHERE));
  if (byOwnWords) {
    state.sight = ownSight(kept, distances, grid);
    const doubtful = doubtfulObjects(wordMaps(words, attention), kept, subjects);
    for (const o of doubtful) kept[o].forEach((own, i) => own && (codes[i] = UNVOUCHED));
  }
  state.pinned.forEach((pinned, i) => pinned && (codes[i] = 0));
  state.tokens = state.tokens.map((token, i) => (codes[i] ? -1 : token));
  state.scheduled = Uint8Array.from(state.tokens, (token) => Number(token < 0));
  return codes;
}

/**
 * Mean over the newest rows of each cell back to the last one where it was masked; 0 for a cell that is masked now.
 * @param {Float32Array[]} rows "n" each, oldest first, NaN where masked
 * @returns {Float32Array}
 */
export function meanSinceCommitted(rows) {
  return rows[rows.length - 1].map((_, i) => {
    let total = 0, count = 0;
    for (let s = rows.length - 1; s >= 0 && !Number.isNaN(rows[s][i]); s--) {
      total += rows[s][i];
      count++;
    }
    return count ? total / count : 0;
  });
}

// Revise: which committed cells a step opens again, and why; as orders/revise.py. Shapes: n image tokens.

/** @import { Committed, Revision } from "../types" */
import { roundHalfEven } from "../decoding/logits.js";

/** What people read after "Opened again: "; a record holds a place in this list. The first means "not opened". */
export const REASONS = Object.freeze([
  "",
  "in every step some of the committed cells, chosen at random, are opened.",
  "the model now finds its token less probable than one that waited.",
  "since it was committed, the model has found its token less probable than any other cell's.",
  "with the cell itself hidden, the model finds its token less probable than any other cell's.",
  "it belongs to no object's kept place.",
  "attention cannot vouch for the attributes of the object in this place.",
  "beside what this step commits, the model without the prompt finds its token less probable than any other cell's.",
  "it looks around in the picture less as the guiding picture does than cells that wait.",
]);
export const ELSEWHERE = 5;
export const UNVOUCHED = 6;

/** Ways of revising, by their names in the settings. @type {Readonly<Record<string, Revision>>} */
export const REVISIONS = Object.freeze({
  remask: { reason: 1, strength: 0.05, doubt: ({ lots }) => lots.map((lot) => -lot), count: lotsDrawn },
  plan: { reason: 2, strength: 1, doubt: ({ likelihood }) => likelihood.map((value) => -value), count: outranked },
  correct: { reason: 3, strength: 1 / 64, doubt: ({ trust }) => trust.map((value) => -value), count: tapered },
  critic: { reason: 4, strength: 0.1, doubt: byLeftOut, count: shareOfTested, hides: true },
  zigzag: { reason: 7, strength: 0.1, doubt: byLeftOut, count: shareOfTested, ahead: true },
});

/**
 * Which cells are opened again: never one that is not held, never more than stay masked, none at strength 0.
 * @param {Revision} revision @param {Committed} look @param {number} strength >= 0
 * @returns {number[]}
 */
export function opened(revision, look, strength) {
  if (!(strength > 0)) return [];
  const doubt = revision.doubt(look);
  const ranked = cells(look.held).filter((i) => doubt[i] > -Infinity).sort((a, b) => doubt[b] - doubt[a] || a - b);
  return ranked.slice(0, Math.max(0, Math.min(revision.count(look, strength), look.stay)));
}

/** ReMDM's cap: each held cell is opened with probability min(strength, sigma_max). @param {Committed} look @param {number} strength */
function lotsDrawn({ held, masked, total, stay, lots }, strength) {
  const unmasked = total - cells(masked).length;
  const most = unmasked ? Math.min(1, stay / unmasked) : 0;
  return cells(held).filter((i) => lots[i] < Math.min(strength, most)).length;
}

/** P2: of all cells those of the highest log p stay or become unmasked. @param {Committed} look @param {number} strength */
function outranked({ held, masked, likelihood, confidence, stay }, strength) {
  const doubts = cells(held).map((i) => -(strength * likelihood[i])).sort((a, b) => b - a);
  const waiting = cells(masked).map((i) => confidence[i]).sort((a, b) => b - a);
  const committed = Math.max(0, waiting.length - stay); // that the schedule commits without a revision
  let count = 0;
  while (count < Math.min(doubts.length, stay) && committed + count < waiting.length && waiting[committed + count] > -doubts[count]) count++;
  return count;
}

/** A share of all cells after 40 % of the steps, half of it after 60 %, a quarter after 80 %, none in the last step. @param {Committed} look @param {number} strength */
function tapered({ step, num_steps, total }, strength) {
  // 5 s against 2 T, so that whole numbers decide.
  if (5 * step <= 2 * num_steps || step === num_steps - 1) return 0;
  return roundHalfEven((strength * total) / [1, 1, 1, 2, 4][Math.min(Math.floor((5 * step) / num_steps), 4)]);
}

/** A share of the cells that the second forward judged. @param {Committed} look @param {number} strength */
function shareOfTested({ held, left_out }, strength) {
  return left_out ? roundHalfEven(strength * cells(held).filter((i) => !Number.isNaN(left_out[i])).length) : 0;
}

/** @param {Committed} look */
function byLeftOut({ left_out }) {
  return /** @type {Float32Array} */ (left_out).map((value) => (Number.isNaN(value) ? -Infinity : -value));
}

/** @param {Uint8Array} mask */
function cells(mask) {
  return Array.from(mask.keys()).filter((i) => mask[i]);
}

// Own words only: in the redraw each place reads the words of its own object; as decoding/sight.py.

/** @import { Prompt, Subject } from "../types" */
import { argmax } from "../orders/contrast.js";
import { KEPT_REACH_FRAC } from "./redraw.js";

export const LEAST_CELLS = 10;
export const VOUCHED = 0.02;

/**
 * Objects whose attributes attention cannot vouch for: their place may have been drawn after somebody else's word.
 * @param {Float64Array[]} maps "w n" before rescaling and blur
 * @param {Uint8Array[]} kept "o n"
 * @param {Subject[]} subjects
 * @returns {number[]} indices of subjects
 */
export function doubtfulObjects(maps, kept, subjects) {
  return subjects.flatMap((subject, o) => {
    const own = subject.attributes.filter((group) => group.length);
    const foreign = subjects.flatMap((other, i) => (i === o ? [] : other.attributes.filter((group) => group.length)));
    if (!kept[o].some(Boolean) || !own.length || !foreign.length) return [];
    const read = (/** @type {number[]} */ group) => meanAt(maps, group, kept[o]);
    return Math.min(...own.map(read)) < Math.max(VOUCHED, ...foreign.map(read)) ? [o] : [];
  });
}

/**
 * Whose words each cell may read while the rest is redrawn, as one bit per object.
 * @param {Uint8Array[]} kept "o n"
 * @param {Float64Array[]} distances "o n"
 * @param {[number, number]} grid
 * @returns {Uint16Array} "n"
 */
export function ownSight(kept, distances, grid) {
  const placed = kept.map((row) => row.reduce((a, b) => a + b, 0) >= LEAST_CELLS);
  const missing = placed.reduce((bits, here, o) => (here ? bits : bits | (1 << o)), 0);
  const reach = KEPT_REACH_FRAC * Math.max(...grid);
  return Uint16Array.from(distances[0], (_, i) => {
    const near = distances.map((row, o) => (placed[o] ? row[i] : Infinity));
    const owner = argmax(near.map((value) => -value));
    return near[owner] <= reach ? 1 << owner : missing;
  });
}

/**
 * Which text tokens each cell may not attend to.
 * @param {Uint16Array} sight "n"
 * @param {Prompt} prompt
 * @returns {Uint8Array} "n t"
 */
export function hiddenTokens(sight, prompt) {
  const t = prompt.tokens.length;
  const of = new Uint16Array(t);
  prompt.subjects.forEach((subject, o) => {
    for (const word of [subject.object, ...subject.attributes].flat()) for (const token of prompt.words[word].tokens) of[token] |= 1 << o;
  });
  const hidden = new Uint8Array(sight.length * t);
  for (let i = 0; i < sight.length; i++) for (let k = 0; k < t; k++) hidden[i * t + k] = Number(of[k] !== 0 && !(of[k] & sight[i]));
  return hidden;
}

/** Mean over a group's maps and a place's cells. @param {Float64Array[]} maps @param {number[]} group @param {Uint8Array} cells */
function meanAt(maps, group, cells) {
  let sum = 0, count = 0;
  cells.forEach((inside, i) => {
    if (!inside) return;
    sum += group.reduce((total, word) => total + maps[word][i], 0) / group.length;
    count++;
  });
  return sum / count;
}

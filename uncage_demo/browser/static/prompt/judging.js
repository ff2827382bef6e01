// What detections mean for a prompt's objects; as prompt/judging.py.

/** @import { FoundObject, Subject } from "../types" */

/**
 * Detections matched to subjects: right noun and colour first, then right noun.
 * @param {Subject[]} subjects
 * @param {FoundObject[]} found strongest first
 * @returns {{ own: number[][], left: number[] }} indices of detections, by subject, and those that nobody asked for
 */
export function match(subjects, found) {
  let left = found.map((_, i) => i);
  /** @type {number[][]} */
  const own = subjects.map(() => []);
  for (const wantColor of [true, false]) {
    subjects.forEach((subject, s) => {
      const fitting = left.filter((i) => found[i].noun === subject.noun && (colorFits(found[i], subject) || !wantColor));
      const taken = fitting.slice(0, Math.max(0, subject.count - own[s].length));
      own[s].push(...taken);
      left = left.filter((i) => !taken.includes(i));
    });
  }
  return { own, left };
}

/** Whether a detection has a colour that was asked for; any will do where none was. @param {FoundObject} found @param {Subject} subject */
export function colorFits(found, subject) {
  return !subject.colors.length || subject.colors.includes(found.color);
}

/**
 * What a picture has too many of, one phrase a noun.
 * @param {Subject[]} subjects
 * @param {FoundObject[]} found
 * @param {Record<string, string>} plurals
 * @returns {string[]}
 */
export function tooMany(subjects, found, plurals) {
  const asked = new Set(subjects.map((subject) => subject.noun));
  /** @type {Map<string, number>} */
  const counts = new Map();
  for (const i of match(subjects, found).left) counts.set(found[i].noun, (counts.get(found[i].noun) || 0) + 1);
  return Array.from(counts, ([noun, number]) => {
    const unasked = number === 1 ? "that was not asked for" : "that were not asked for";
    return `${number} ${number === 1 ? noun : plurals[noun] || noun} ${asked.has(noun) ? "too many" : unasked}`;
  });
}

// Spread: cells that are committed in one step keep a distance from each other; as orders/spacing.py.

/**
 * The `count` free cells of highest score that keep their distance; where too few do, the distance shrinks by one cell.
 * @param {Float32Array} scores "n"; ties go to the lower index
 * @param {number[]} free cells that may be taken, lowest index first
 * @param {number} count how many to take
 * @param {Uint8Array} taken "n" cells of this step that are taken already
 * @param {[number, number]} grid
 * @param {number} spacing least distance between the centres of two cells, in cells
 * @returns {number[]} the chosen cells
 */
export function spread(scores, free, count, taken, [, width], spacing) {
  const near = Array.from(taken.keys()).filter((i) => taken[i]);
  /** @type {number[]} */
  const chosen = [];
  let ranked = free.slice().sort((a, b) => scores[b] - scores[a] || a - b);
  for (; chosen.length < count && ranked.length; spacing--) {
    /** @type {number[]} */
    const left = [];
    for (const cell of ranked) {
      const [y, x] = [Math.floor(cell / width), cell % width];
      const apart = near.every((i) => (Math.floor(i / width) - y) ** 2 + ((i % width) - x) ** 2 >= spacing ** 2);
      if (chosen.length < count && apart) {
        chosen.push(cell);
        near.push(cell);
      } else left.push(cell);
    }
    ranked = left;
  }
  return chosen;
}

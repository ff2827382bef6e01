// The Halton visiting list in whole numbers; as orders/halton.py.

/**
 * Cells of a grid by Halton points: bases 2 (rows) and 3 (columns), from index 1, first visits only, every cell once.
 * @param {number} height 1..1024
 * @param {number} width 1..1024
 * @returns {Int32Array} a permutation of the cells
 */
export function haltonOrder(height, width) {
  for (const [name, value] of Object.entries({ height, width })) {
    if (!Number.isInteger(value) || value < 1 || value > 1024) throw new RangeError(`${name}=${value}: give a whole number from 1 to 1024`);
  }
  const order = new Int32Array(height * width);
  const seen = new Uint8Array(height * width);
  for (let found = 0, index = 1; found < order.length; index++) {
    const cell = radicalFloor(index, 2, height) * width + radicalFloor(index, 3, width);
    if (seen[cell]) continue;
    seen[cell] = 1;
    order[found++] = cell;
  }
  return order;
}

/**
 * Place of every cell in a visiting order (0 = first), after rolling the list so that it begins at `offset`.
 * @param {Int32Array} order from `haltonOrder`
 * @param {number} offset 0..n-1
 * @returns {Int32Array}
 */
export function visitingRank(order, offset = 0) {
  const rank = new Int32Array(order.length);
  order.forEach((cell, place) => {
    rank[cell] = (place - offset + order.length) % order.length;
  });
  return rank;
}

/** floor(size * radical inverse of index). @param {number} index @param {number} base @param {number} size */
function radicalFloor(index, base, size) {
  let [rest, mirrored, scale] = [index, 0, 1];
  for (; rest; rest = Math.floor(rest / base)) {
    mirrored = mirrored * base + (rest % base);
    scale *= base;
  }
  return Math.floor((mirrored * size) / scale);
}

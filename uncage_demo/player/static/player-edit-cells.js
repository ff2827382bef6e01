// Cells of an edit: boxes, lines, margins, what moving frees, which cells are an object's. Pure: no DOM, no state.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const OWNED = 0.35; // attention of a cell to its object, as a share of the object's largest

  // [top, left, bottom, right], half-open, of the rectangle between two cells.
  function boxOf(a, b, columns) {
    const [y, x, v, u] = [Math.floor(a / columns), a % columns, Math.floor(b / columns), b % columns];
    return [Math.min(y, v), Math.min(x, u), Math.max(y, v) + 1, Math.max(x, u) + 1];
  }

  /** @param {any} box @param {number} i @param {number} columns */
  function inBox([top, left, bottom, right], i, columns) {
    const y = Math.floor(i / columns), x = i % columns;
    return y >= top && y < bottom && x >= left && x < right;
  }

  // What moving down and right by so many cells frees: 1 where a cell has to be drawn.
  function freed([down, right], [rows, columns]) {
    return Uint8Array.from({ length: rows * columns }, (_, i) => {
      const y = Math.floor(i / columns) - down, x = (i % columns) - right;
      return y < 0 || y >= rows || x < 0 || x >= columns ? 1 : 0;
    });
  }

  // The cells and those beside them, corners included.
  function grown(cells, [rows, columns]) {
    const out = cells.slice();
    cells.forEach((v, i) => {
      if (!v) return;
      const y = Math.floor(i / columns), x = i % columns;
      for (let b = Math.max(0, y - 1); b <= Math.min(rows - 1, y + 1); b++) {
        for (let a = Math.max(0, x - 1); a <= Math.min(columns - 1, x + 1); a++) out[b * columns + a] = 1;
      }
    });
    return out;
  }

  // All cells on the way from one to the other, so that a quick finger leaves no gaps.
  function line(from, to, columns) {
    const [y, x, v, u] = [Math.floor(from / columns), from % columns, Math.floor(to / columns), to % columns];
    const steps = Math.max(Math.abs(v - y), Math.abs(u - x), 1);
    return Array.from({ length: steps + 1 }, (_, k) => Math.round(y + ((v - y) * k) / steps) * columns + Math.round(x + ((u - x) * k) / steps));
  }

  // Whose each cell is by attention at step s: the object that it attends to most, and much; -1 for nobody's.
  function owners(run, s, subjects) {
    const maps = subjects.map((subject) => run.wordsInto(s, subject.object, new Float32Array(run.cells)));
    const most = maps.map((map) => Math.max(1e-9, ...map));
    return Int16Array.from({ length: run.cells }, (_, i) => {
      let best = -1, share = OWNED;
      maps.forEach((map, o) => {
        if (map[i] / most[o] >= share) [best, share] = [o, map[i] / most[o]];
      });
      return best;
    });
  }

  // An object's cells with a margin that leaves the other objects alone.
  function objectCells(run, s, subjects, o, grid) {
    const whose = owners(run, s, subjects);
    const own = Uint8Array.from(whose, (owner) => (owner === o ? 1 : 0));
    return grown(own, grid).map((v, i) => (v && (whose[i] < 0 || whose[i] === o) ? 1 : 0));
  }

  const count = (cells) => cells.reduce((sum, v) => sum + v, 0);

  parts.cells = { boxOf, inBox, freed, grown, line, owners, objectCells, count };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// The contrastive attention score of UNCAGE; as orders/contrast.py. Inner sums are doubles, results float32.
// Shapes: w words, n image tokens, k text columns, o objects. A matrix is a list of rows.

/** @import { AttentionRead, Prompt, Subject } from "../types" */
import { CONTRAST_MODES, RESCALE_MODES } from "./base.js";

const BLUR_REACH_SIGMAS = 4;
const GATHER_FRAC = 0.6;
const APART_FRAC = 0.35;

/** @type {Map<string, Float64Array[]>} */
const blurs = new Map();

/**
 * F_a of each object (eq. 2), before the best object a position is taken.
 * @param {Float64Array[]} maps "w n"
 * @param {Subject[]} subjects
 * @param {string} mode "both", "positive" or "negative"
 * @returns {Float64Array[]} "o n"
 */
export function objectContrasts(maps, subjects, mode = "both") {
  if (!CONTRAST_MODES.includes(mode)) throw new RangeError(`mode=${mode}: choose one of ${CONTRAST_MODES.join(", ")}`);
  const groups = subjects.map((subject) => [subject.object, ...subject.attributes].map((group) => groupMap(maps, group)));
  return groups.map((own, o) => {
    const positive = mode === "negative" ? own[0].slice() : reduced(own, Math.min);
    const foreign = groups.flatMap((others, other) => (other === o ? [] : others));
    if (!foreign.length || mode === "positive") return positive;
    const most = reduced(foreign, Math.max);
    return positive.map((value, i) => value - most[i]);
  });
}

/**
 * The cells around which each object is being built, the strongest first.
 * @param {Float64Array[]} maps "w n" before rescaling and blur
 * @param {Subject[]} subjects
 * @param {[number, number]} grid
 * @param {number} radiusFrac
 * @returns {number[][]} for each object its anchors
 */
export function anchors(maps, subjects, grid, radiusFrac) {
  const nouns = subjects.map((subject) => groupMap(maps, subject.object));
  const side = Math.max(...grid);
  const gathered = blurMaps(nouns, grid, GATHER_FRAC * radiusFrac * side);
  return subjects.map((subject, o) => {
    const places = [argmax(gathered[o])];
    while (places.length < subject.count) {
      const [far] = squaredDistances([places], grid);
      const room = gathered[o].map((value, i) => (far[i] >= (APART_FRAC * side) ** 2 ? value : -Infinity));
      if (!room.some((value) => value !== -Infinity)) break;
      places.push(argmax(room));
    }
    return places;
  });
}

/**
 * Squared distance, in cells, of every cell from the nearest anchor of each object.
 * @param {number[][]} places
 * @param {[number, number]} grid
 * @returns {Float64Array[]} "o n"
 */
export function squaredDistances(places, [height, width]) {
  return places.map((own) => Float64Array.from({ length: height * width }, (_, i) => {
    const [y, x] = [Math.floor(i / width), i % width];
    return Math.min(...own.map((at) => (y - Math.floor(at / width)) ** 2 + (x - (at % width)) ** 2));
  }));
}

/**
 * F_n = max(0, F_a^o) (2 K_o - 1): hurried near the object's anchor, held back away from it.
 * @param {Float64Array[]} contrasts "o n"
 * @param {number[][]} places from `anchors`
 * @param {[number, number]} grid
 * @param {number} radiusFrac
 * @returns {Float32Array} "n"
 */
export function anchoredScore(contrasts, places, grid, radiusFrac) {
  const out = new Float32Array(grid[0] * grid[1]);
  if (!contrasts.length) return out;
  const distances = squaredDistances(places, grid);
  const spread = 2 * (radiusFrac * Math.max(...grid)) ** 2;
  return out.map((_, i) => {
    const owner = argmax(contrasts.map((row) => row[i]));
    return Math.max(contrasts[owner][i], 0) * (2 * Math.exp(-distances[owner][i] / spread) - 1);
  });
}

/**
 * Rescale every map on its own, so that words of different strength can be compared.
 * @param {Float64Array[]} maps "w n"
 * @param {string} mode "none", "max", "minmax" or "mean"
 * @returns {Float64Array[]}
 */
export function rescaleMaps(maps, mode) {
  if (!RESCALE_MODES.includes(mode)) throw new RangeError(`contrast_rescale=${mode}: choose one of ${RESCALE_MODES.join(", ")}`);
  if (mode === "none") return maps;
  return maps.map((map) => {
    const least = mode === "minmax" ? map.reduce((a, b) => Math.min(a, b)) : 0;
    const values = map.map((value) => value - least);
    const size = mode === "mean" ? values.reduce((a, b) => a + b, 0) / values.length : values.reduce((a, b) => Math.max(a, b));
    return values.map((value) => (size > 0 ? value / size : 0));
  });
}

/**
 * Separable Gaussian blur; weights that fall outside are left out and the rest sum to 1.
 * @param {Float64Array[]} maps "w n"
 * @param {[number, number]} grid
 * @param {number} sigma in cells; 0 leaves the maps alone
 * @returns {Float64Array[]}
 */
export function blurMaps(maps, [height, width], sigma) {
  if (!(sigma > 0)) return maps;
  const rows = blurMatrix(height, sigma), columns = blurMatrix(width, sigma);
  return maps.map((map) => {
    const down = new Float64Array(map.length), out = new Float64Array(map.length);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) for (let k = 0; k < height; k++) down[y * width + x] += rows[y][k] * map[k * width + x];
    }
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) for (let k = 0; k < width; k++) out[y * width + x] += down[y * width + k] * columns[x][k];
    }
    return out;
  });
}

/**
 * Averages text columns into words: row w is 1/m at the m recorded columns of word w.
 * @param {Prompt} prompt
 * @param {number[]} columns recorded text tokens
 * @returns {Float64Array[]} "w k"
 */
export function wordMatrix(prompt, columns) {
  return prompt.words.map((word) => {
    const present = word.tokens.map((token) => columns.indexOf(token)).filter((k) => k >= 0);
    const row = new Float64Array(columns.length);
    for (const k of present) row[k] = 1 / present.length;
    return row;
  });
}

/**
 * Maps of words: "w k" times "k n".
 * @param {Float64Array[]} words
 * @param {Float32Array[]} attention
 * @returns {Float64Array[]} "w n"
 */
export function wordMaps(words, attention) {
  return words.map((row) => {
    const map = new Float64Array(attention[0].length);
    row.forEach((share, k) => {
      if (share) for (let i = 0; i < map.length; i++) map[i] += share * attention[k][i];
    });
    return map;
  });
}

/**
 * From captured attention to F_a, or to F_n where an anchor radius is given.
 * @param {AttentionRead} read
 * @param {{ rescale: string, mode: string, anchorRadius: number | null }} how
 * @returns {Float32Array} "n"
 */
export function attentionContrast({ attention, words, subjects, grid, sigma }, { rescale, mode, anchorRadius }) {
  const raw = wordMaps(words, attention);
  const contrasts = objectContrasts(blurMaps(rescaleMaps(raw, rescale), grid, sigma), subjects, mode);
  if (!subjects.length) return new Float32Array(grid[0] * grid[1]);
  if (anchorRadius === null) return Float32Array.from(reduced(contrasts, Math.max));
  return anchoredScore(contrasts, anchors(raw, subjects, grid, anchorRadius), grid, anchorRadius);
}

/** Blur given in attention-grid cells, in token-grid cells. @param {number} sigma @param {number[]} grid @param {number[]} attentionGrid */
export function blurInCells(sigma, grid, attentionGrid) {
  return (sigma * grid[0]) / attentionGrid[0];
}

/** Subject words that the text encoder gave no token to. @param {Prompt} prompt */
export function untokenizedWords(prompt) {
  return prompt.subjects.flatMap((s) => [s.object, ...s.attributes]).flat().map((w) => prompt.words[w]).filter((word) => !word.tokens.length).map((word) => word.text);
}

/** The first place of the greatest value. @param {ArrayLike<number>} values */
export function argmax(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}

/** @param {Float64Array[]} maps @param {number[]} rows */
function groupMap(maps, rows) {
  if (!rows.length || rows.some((row) => !maps[row])) throw new RangeError(`word group ${rows}: give at least one word index from 0 to ${maps.length - 1}`);
  return maps[rows[0]].map((_, i) => rows.reduce((sum, row) => sum + maps[row][i], 0) / rows.length);
}

/** @param {Float64Array[]} rows @param {(a: number, b: number) => number} take */
function reduced(rows, take) {
  return rows[0].map((_, i) => rows.reduce((best, row) => take(best, row[i]), rows[0][i]));
}

/** @param {number} size @param {number} sigma */
function blurMatrix(size, sigma) {
  const key = `${size} ${sigma}`;
  const known = blurs.get(key);
  if (known) return known;
  if (blurs.size >= 64) blurs.clear();
  const reach = Math.ceil(BLUR_REACH_SIGMAS * sigma);
  const matrix = Array.from({ length: size }, (_, y) => {
    const row = Float64Array.from({ length: size }, (_, x) => (Math.abs(y - x) > reach ? 0 : Math.exp(-0.5 * ((y - x) / sigma) ** 2)));
    const sum = row.reduce((a, b) => a + b, 0);
    return row.map((value) => value / sum);
  });
  blurs.set(key, matrix);
  return matrix;
}

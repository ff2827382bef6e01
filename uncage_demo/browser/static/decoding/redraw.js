// Draft and redraw: keep one place per object and draw the rest again; as decoding/redraw.py.

/** @import { Config, Subject } from "../types" */
import { draftSteps, guidedSteps, redrawnSteps } from "../config.js";
import { anchors, argmax, blurMaps, objectContrasts, rescaleMaps, squaredDistances, wordMaps } from "../orders/contrast.js";

export const OWNED_CONTRAST = 0.2;
export const KEPT_REACH_FRAC = 0.29;

/**
 * Settings and step as the draft or the redraw sees them: each is a whole run of its own.
 * @param {Config} config resolved
 * @param {number} step of the whole run
 * @returns {[Config, number]}
 */
export function phaseAt(config, step) {
  const redrawn = redrawnSteps(config);
  if (!redrawn) return [config, step];
  const draft = draftSteps(config);
  if (step < draft) return [{ ...config, num_steps: draft, redraw_steps: 0, contrast_steps: guidedSteps(config) }, step];
  return [{ ...config, num_steps: redrawn, redraw_steps: 0, contrast_steps: 0 }, step - draft];
}

/**
 * Each object's contrast at every cell, and every cell's distance from the object's nearest anchor.
 * @param {Float32Array[]} attention "k n"
 * @param {Float64Array[]} words "w k"
 * @param {Subject[]} subjects at least one
 * @param {{ grid: [number, number], sigma: number, radiusFrac: number }} how
 * @returns {[Float64Array[], Float64Array[]]} "o n" each; distances in cells
 */
export function objectPlaces(attention, words, subjects, { grid, sigma, radiusFrac }) {
  const raw = wordMaps(words, attention);
  const contrasts = objectContrasts(blurMaps(rescaleMaps(raw, "max"), grid, sigma), subjects);
  return [contrasts, squaredDistances(anchors(raw, subjects, grid, radiusFrac), grid).map((row) => row.map(Math.sqrt))];
}

/**
 * The cells of one place per object: its own by contrast, and near its anchor.
 * @param {Float64Array[]} contrasts "o n"
 * @param {Float64Array[]} distances "o n"
 * @param {[number, number]} grid
 * @returns {Uint8Array[]} "o n"
 */
export function keptCells(contrasts, distances, grid) {
  const reach = KEPT_REACH_FRAC * Math.max(...grid);
  const owner = contrasts[0].map((_, i) => argmax(contrasts.map((row) => row[i])));
  return contrasts.map((row, o) => Uint8Array.from(row, (value, i) => Number(owner[i] === o && value > OWNED_CONTRAST && distances[o][i] <= reach)));
}

// What one run is: which attention it records, and its settings checked against the model; as decoding/run.py.

/** @import { Backend, Config, Prompt, Run, Start } from "../types" */
import { attentionPairs, redrawnSteps, resolved } from "../config.js";
import { untokenizedWords } from "../orders/contrast.js";
import { ORDERS } from "../orders/table.js";

/** Alternatives that a trace keeps of each position. */
export const ALTERNATIVES = 4;

/**
 * Text columns whose attention a trace records: every token of the text, and the first of each kind of special token but padding.
 * @param {Prompt} prompt
 * @returns {number[]}
 */
export function recordedColumns(prompt) {
  const seen = new Set(["<pad>"]);
  return prompt.tokens.flatMap((token, index) => {
    if (!token.special) return [index];
    if (seen.has(token.text)) return [];
    seen.add(token.text);
    return [index];
  });
}

/**
 * The run's settings with the model's defaults filled in, checked against model, prompt and start.
 * @param {Backend} backend
 * @param {Run} run
 * @returns {Config}
 * @throws {RangeError} naming the setting, its value and what is allowed
 */
export function resolve(backend, run) {
  const { info } = backend;
  let config = resolved(run.config, info, backend.default_blur);
  attentionPairs(config.attention_source, info.single_layers, info.num_heads, []);
  const lost = untokenizedWords(run.prompt);
  if (redrawnSteps(config) && (lost.length || !run.prompt.subjects.length)) config = { ...config, redraw_steps: 0 };
  if (lost.length && ORDERS[config.order].contrast) {
    throw new RangeError(`${lost.join(", ")}: the text encoder cut this off, so guidance cannot read it; shorten the prompt`);
  }
  if (run.start) checkStart(run.start, config, info.grid[0] * info.grid[1], info.codebook_size);
  return config;
}

/**
 * @param {Start} start
 * @param {Config} config resolved
 * @param {number} count n
 * @param {number} codebook v
 * @throws {RangeError} naming what is wrong and what is allowed
 */
export function checkStart(start, config, count, codebook) {
  const { tokens, step, keep = [], hold = [], forbid = [] } = start;
  const refuse = (/** @type {string} */ what) => {
    throw new RangeError(`start.${what}`);
  };
  if (tokens.length !== count || tokens.some((token) => token < -1 || token >= codebook)) refuse(`tokens: give ${count} numbers from -1 (masked) to ${codebook - 1}`);
  if (!Number.isInteger(step) || step < 0 || step >= config.num_steps) refuse(`step=${step}: allowed are 0..${config.num_steps - 1}`);
  if (start.unmask_step && start.unmask_step.some((since, i) => tokens[i] >= 0 && since >= step)) refuse(`unmask_step: present tokens were committed before step ${step}`);
  for (const [name, places] of Object.entries({ keep: keep.map(([at]) => at), hold })) {
    for (const at of places) if (!(at >= 0 && at < count) || tokens[at] >= 0) refuse(`${name}: position ${at} is not masked at step ${step}`);
  }
  if (keep.some(([at]) => hold.includes(at))) refuse("keep and start.hold name the same position");
  if (hold.length && step === config.num_steps - 1) refuse(`hold: position ${hold[0]} cannot be held back, the last step commits everything`);
  for (const [at, ids] of forbid) {
    if (!(at >= 0 && at < count) || ids.some((id) => id < 0 || id >= codebook)) refuse(`forbid: position ${at} and ids ${ids} are not of this model`);
    if (new Set(ids).size >= codebook) refuse(`forbid: every id is forbidden at position ${at}`);
    if (ids.includes(tokens[at]) || keep.some(([kept, id]) => kept === at && ids.includes(id))) refuse(`forbid: position ${at} holds a forbidden id already`);
  }
}

// Cells of a picture that are erased and drawn again; as editing/plans.py and editing/edit.py.

/** @import { Config, Origin, Progress, Trace } from "./types" */
/** @import { EmbeddedBackend } from "./backends/embedded.js" */
import { stateBefore } from "./branching.js";
import { stream } from "./runner.js";
import { framesTold } from "./trace/frames.js";
import { traceId } from "./trace/id.js";

const SEEDS = 2n ** 63n;

/**
 * Erase cells of a run's picture and draw them again with the run's settings and the next seed; everything else stays, token for token.
 * @param {EmbeddedBackend} backend the model that made it
 * @param {Trace} trace
 * @param {readonly number[]} cells row by row, from 0
 * @param {number} after_step over the whole run, from 0: the picture is taken as it was after this step
 * @returns {AsyncGenerator<Progress, void, void>} the new run so far after every step
 */
export async function* edited(backend, trace, cells, after_step) {
  const count = trace.tokens.length;
  const strange = cells.find((cell) => !(Number.isInteger(cell) && cell >= 0 && cell < count));
  if (strange !== undefined) throw new RangeError(`mask: cell ${strange} is not one of 0..${count - 1}`);
  const last = trace.steps[trace.steps.length - 1].step;
  const tokens = after_step === last ? trace.tokens.slice() : stateBefore(trace, after_step + 1).tokens;
  for (const cell of cells) tokens[cell] = -1;
  const drawn = tokens.filter((token) => token < 0).length;
  if (!drawn) throw new RangeError("mask: no cell is masked, so there is nothing to draw; mask at least one");
  const { prompt, config } = trace;
  /** @type {Origin} */
  const origin = { kind: "edit", source: await traceId(trace), source_prompt: prompt.text, after_step, shift: [0, 0], strength: null, round: null, regions: [] };
  const seed = String((BigInt(config.seed) + 1n) % SEEDS);
  const run = { prompt, config: { ...fitted(config, drawn), seed }, start: { tokens, step: 0, origin } };
  yield* stream(backend, [run], trace.frames ? framesTold(trace.versions) : 0);
}

/** The settings with no more steps than cells, or some would have nothing to do. @param {Config} config @param {number} most */
function fitted(config, most) {
  const num_steps = Math.min(config.num_steps, most);
  const within = (/** @type {number | null} */ steps, /** @type {number} */ limit) => (steps === null ? null : Math.min(steps, limit));
  return { ...config, num_steps, contrast_steps: within(config.contrast_steps, num_steps), redraw_steps: within(config.redraw_steps, num_steps - 1) };
}

// Branches of a recorded run: edit it at a step and decode on from there; as branching.py.

/** @import { Config, Edits, Lineage, Progress, Prompt, Start, Trace } from "./types" */
/** @import { EmbeddedBackend } from "./backends/embedded.js" */
import { hiddenTokens } from "./decoding/sight.js";
import { stream } from "./runner.js";
import { framesTold } from "./trace/frames.js";
import { traceId } from "./trace/id.js";

/** @type {Edits} */
const NOTHING = { keep: [], drop: [], forbid: [], suppress_word: null };

/**
 * Continue a run from a step on with edits. Without edits the result equals the parent.
 * @param {EmbeddedBackend} backend the model that made it
 * @param {Trace} trace the parent
 * @param {number} at_step over the whole run, from 0
 * @param {Partial<Edits>} changes what is edited now
 * @param {Partial<Config>} config other settings from here on
 * @returns {AsyncGenerator<Progress, void, void>} the whole branch so far after every step
 */
export async function* branched(backend, trace, at_step, changes = {}, config = {}) {
  const edits = editsInForce(trace, at_step, { ...NOTHING, ...changes });
  const start = branchStart(trace, at_step, edits, new Set(changes.drop || []));
  const suppress = edits.suppress_word === null ? [] : trace.prompt.words[edits.suppress_word].tokens;
  const before = at_step - trace.steps[0].step;
  const run = { prompt: trace.prompt, config: { ...trace.config, ...config }, start, suppress };
  const id = await traceId(trace);
  const earlier = lines(trace).filter((line) => line.at_step <= at_step).map((line) => ({ ...line, earlier: null }));
  /** @type {Lineage} */
  const lineage = { parent: id, at_step, edits, parent_config: trace.config, earlier };
  for await (const progress of stream(backend, [run], trace.frames ? framesTold(trace.versions) : 0)) {
    const [made] = progress.traces;
    const frames = trace.frames && made.frames ? [...trace.frames.slice(0, before), ...made.frames] : made.frames;
    const token_pictures = new Map([...trace.token_pictures, ...made.token_pictures]);
    yield { ...progress, traces: [{ ...made, steps: [...trace.steps.slice(0, before), ...made.steps], frames, token_pictures, lineage }] };
  }
}

/**
 * What was committed before a step.
 * @param {Trace} trace
 * @param {number} at_step
 * @returns {{ tokens: Int32Array, since: Int32Array }} -1 where masked; since also where given
 */
export function stateBefore(trace, at_step) {
  const first = trace.steps[0].step;
  const at = trace.steps[at_step - first];
  if (!at) throw new RangeError(`at_step=${at_step}: this run has steps ${first} to ${first + trace.steps.length - 1}`);
  const tokens = at.sampled.map((token, i) => (at.masked_before[i] ? -1 : token));
  const since = trace.unmask_step.map((step, i) => (trace.steps[0].masked_before[i] ? -1 : step));
  for (const record of trace.steps.slice(0, at_step - first)) record.committed.forEach((chosen, i) => chosen && (since[i] = record.step));
  at.masked_before.forEach((masked, i) => masked && (since[i] = -1));
  return { tokens, since };
}

/** The edits of a branch, those of the parent that still hold at this step included. @param {Trace} trace @param {number} at_step @param {Edits} asked @returns {Edits} */
function editsInForce(trace, at_step, asked) {
  const count = trace.tokens.length;
  const kept = new Set(asked.keep), dropped = new Set(asked.drop);
  for (const at of [...kept, ...dropped, ...asked.forbid.map(([place]) => place)]) if (!(at >= 0 && at < count)) throw new RangeError(`position ${at} is not one of 0..${count - 1}`);
  const both = [...kept].find((at) => dropped.has(at));
  if (both !== undefined) throw new RangeError(`position ${both} is both kept and dropped`);
  /** @type {Map<number, Set<number>>} */
  const forbidden = new Map(asked.forbid.map(([at, ids]) => [at, new Set(ids)]));
  let word = asked.suppress_word;
  const { lineage } = trace;
  if (lineage && lineage.at_step <= at_step) {
    for (const [at, ids] of lineage.edits.forbid) forbidden.set(at, new Set([...(forbidden.get(at) || []), ...ids]));
    if (word === null) word = lineage.edits.suppress_word;
    if (lineage.at_step === at_step) {
      for (const at of lineage.edits.keep) if (!dropped.has(at)) kept.add(at);
      for (const at of lineage.edits.drop) if (!kept.has(at)) dropped.add(at);
    }
  }
  const ascending = (/** @type {Iterable<number>} */ values) => [...values].sort((a, b) => a - b);
  const forbid = ascending(forbidden.keys()).map((at) => /** @type {[number, number[]]} */ ([at, ascending(/** @type {Set<number>} */ (forbidden.get(at)))])).filter(([, ids]) => ids.length);
  return { keep: ascending(kept), drop: ascending(dropped), forbid, suppress_word: word };
}

/** @param {Trace} trace @param {number} at_step @param {Edits} edits @param {Set<number>} asked @returns {Start} */
function branchStart(trace, at_step, edits, asked) {
  const { tokens, since } = stateBefore(trace, at_step);
  const at = trace.steps[at_step - trace.steps[0].step];
  const masked = tokens.map((token) => Number(token < 0));
  // What the parent's own drop masked again was free to come back at this very step; only what is dropped now is held back.
  const once = new Uint8Array(tokens.length);
  for (const record of trace.steps.slice(0, at_step - trace.steps[0].step)) record.committed.forEach((chosen, i) => chosen && (once[i] = 1));
  const opened = [...edits.drop.filter((i) => !masked[i]), ...edits.forbid.filter(([i, ids]) => ids.includes(tokens[i])).map(([i]) => i)];
  for (const i of opened) tokens[i] = since[i] = -1;
  return {
    tokens,
    step: at_step,
    unmask_step: since,
    keep: edits.keep.filter((i) => masked[i]).map((i) => [i, at.sampled[i]]),
    hold: edits.drop.filter((i) => masked[i] && (asked.has(i) || !once[i])),
    forbid: edits.forbid,
    sight: at.sight,
    before: seenBefore(trace, at_step),
    origin: trace.origin,
    likelihoods: trace.steps.slice(0, at_step - trace.steps[0].step).flatMap(({ likelihood, masked_before }) =>
      (likelihood ? [likelihood.map((value, i) => (masked_before[i] ? NaN : value))] : [])),
  };
}

/** What the model saw one step earlier; null at the first step on record. @param {Trace} trace @param {number} at_step */
function seenBefore(trace, at_step) {
  if (at_step === trace.steps[0].step) return null;
  const { sampled, masked_before, sight } = trace.steps[at_step - 1 - trace.steps[0].step];
  return { tokens: sampled.map((token, i) => (masked_before[i] ? -1 : token)), sight };
}

/** The branches that led to a run, the newest first. @param {Trace} trace @returns {Lineage[]} */
function lines({ lineage }) {
  return lineage ? [lineage, ...(lineage.earlier || [])] : [];
}

/**
 * Attention of every layer and head to a word at one step: what the model saw then is in the trace, so one forward gives it again.
 * @param {EmbeddedBackend} backend the model that made it
 * @param {Trace} trace
 * @param {number} step over the whole run, from 0
 * @param {readonly number[]} tokens text tokens of the word, averaged over
 * @param {Prompt} [other] another prompt to read in; then every cell reads everything
 * @returns {Promise<Float32Array>} "l h n"
 */
export async function headsAt(backend, trace, step, tokens, other) {
  if (!tokens.length) throw new RangeError("this model does not read that word; try another one");
  const { tokens: before } = stateBefore(trace, step);
  const { sight } = trace.steps[step - trace.steps[0].step];
  const prompt = other || trace.prompt;
  const { attention_full } = await backend.forward({
    tokens: before, step, num_steps: trace.config.num_steps, text: backend.encode(prompt), unconditional: false, guidance: null, source: null, full: true,
    suppress: hiddenAt(trace, step), hidden: sight && !other ? hiddenTokens(sight, prompt) : null,
  });
  const full = /** @type {Float32Array} */ (attention_full);
  const [t, n] = [prompt.tokens.length, before.length];
  const maps = new Float32Array(full.length / t);
  for (let head = 0; head < maps.length / n; head++) {
    for (const token of tokens) for (let i = 0; i < n; i++) maps[head * n + i] += full[(head * t + token) * n + i] / tokens.length;
  }
  return maps;
}

/** Text tokens that a knock-out hid from the model at a step. @param {Trace} trace @param {number} step @returns {number[]} */
function hiddenAt(trace, step) {
  const last = lines(trace).filter((line) => line.at_step <= step).sort((a, b) => b.at_step - a.at_step)[0];
  const word = last ? last.edits.suppress_word : null;
  return word === null ? [] : trace.prompt.words[word].tokens;
}

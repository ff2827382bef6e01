// From runs to finished traces, told step by step; as runner.py.

/** @import { Config, Progress, Run, StepRecord, Trace } from "./types" */
/** @import { EmbeddedBackend } from "./backends/embedded.js" */
import { decodeMany } from "./decoding/sampler.js";
import { recordedColumns, resolve } from "./decoding/run.js";
import { recordedFrames } from "./trace/frames.js";

/** Where a trace's versions say what computed it in a browser: the last digits are the device's. */
export const COMPUTED_KEY = "computed_on";

/**
 * Decode runs in lockstep and tell after every step; close the generator to cancel.
 * @param {EmbeddedBackend} backend
 * @param {Run[]} runs at least one
 * @param {number} every of which steps the picture is decoded, from `parseFrames`; where not every step has one, the last one that has stands in its place
 * @returns {AsyncGenerator<Progress, void, void>} after every step the traces so far, and a last time the finished ones
 */
export async function* stream(backend, runs, every = 1) {
  const began = performance.now();
  const timings = { forward: 0, decode: 0, total: 0 };
  const configs = runs.map((run) => resolve(backend, run));
  /** @type {StepRecord[][]} */
  const records = runs.map(() => []);
  /** @type {Promise<Uint8Array>[][]} */
  const frames = runs.map(() => []);
  const num_steps = Math.max(...configs.map((config) => config.num_steps));
  /** @type {Map<string, Promise<Uint8Array>>} */
  const drawn = new Map();
  const draw = (/** @type {Int32Array} */ grid) => {
    const key = grid.join();
    const known = drawn.get(key) || backend.decodeTokens([grid]).then(([picture]) => picture);
    if (drawn.size > 16) drawn.clear();
    drawn.set(key, known);
    known.catch(() => {}); // it is told where it is waited for, or what failed first is
    return known;
  };
  const steps = decodeMany(backend, runs);
  let step = 0;
  /** Told once the pictures are there. */
  const told = async () => {
    const [at, taken] = [step, records.map((list) => list.slice())];
    const from = performance.now();
    const made = await Promise.all(frames.map((list) => Promise.all(list)));
    timings.decode += (performance.now() - from) / 1000;
    const traces = runs.map((run, i) => traceOf(backend, run, configs[i], taken[i], made[i], timings, every));
    return { step: at, num_steps, elapsed_s: (performance.now() - began) / 1000, traces, finished: false };
  };
  // Where another worker helps, a step is drawn while the next one is decoded; the first one is shown before anything else is done.
  /** @type {Promise<Progress> | null} */
  let before = null;
  try {
    for (;;) {
      const from = performance.now();
      const { value: latest, done } = await steps.next();
      timings.forward += (performance.now() - from) / 1000;
      if (before) yield await before;
      before = null;
      if (done || !latest) break;
      const first = !records[0].length;
      for (let i = 0; i < runs.length; i++) {
        if (records[i].at(-1) === latest[i]) continue;
        const due = records[i].length % every === 0 || leavesNothing(latest[i]);
        records[i].push(latest[i]);
        if (every) frames[i].push(due ? draw(latest[i].sampled) : /** @type {Promise<Uint8Array>} */ (frames[i].at(-1)));
      }
      step = Math.max(...latest.map((record) => record.step));
      before = told();
      before.catch(() => {});
      if (first || !backend.crew.beside) {
        yield await before;
        before = null;
      }
    }
  } finally {
    await steps.return();
  }
  const made = await Promise.all(frames.map((list) => Promise.all(list)));
  const traces = runs.map((run, i) => traceOf(backend, run, configs[i], records[i], made[i], timings, every));
  for (const trace of traces) {
    const ids = new Set(trace.steps.flatMap((record) => Array.from(record.alternatives || [])));
    trace.image = await draw(trace.tokens);
    trace.token_pictures = backend.tokenPictures([...ids].sort((a, b) => a - b));
  }
  timings.total = (performance.now() - began) / 1000;
  yield { step, num_steps, elapsed_s: timings.total, traces, finished: true };
}

/**
 * Whether no cell is masked any more after a step.
 * @param {StepRecord} record
 */
function leavesNothing({ masked_before, committed, reopened }) {
  return !reopened && masked_before.every((masked, i) => !masked || committed[i]);
}

/**
 * The trace of what was decoded so far, without the pictures of tokens.
 * @param {EmbeddedBackend} backend
 * @param {Run} run
 * @param {Config} config resolved
 * @param {StepRecord[]} steps at least one
 * @param {Uint8Array[]} frames one per step, or none at all
 * @param {Record<string, number>} timings_s
 * @param {number} every as `stream`
 * @returns {Trace}
 */
function traceOf(backend, run, config, steps, frames, timings_s, every) {
  const { start } = run;
  const tokens = start ? Int32Array.from(start.tokens) : new Int32Array(steps[0].sampled.length).fill(-1);
  const unmask_step = tokens.map((token, i) => (token >= 0 && start && start.unmask_step ? start.unmask_step[i] : -1));
  for (const record of steps) {
    record.committed.forEach((chosen, i) => {
      if (chosen) [tokens[i], unmask_step[i]] = [record.sampled[i], record.step];
    });
  }
  return {
    prompt: run.prompt,
    config,
    model: backend.info,
    columns: recordedColumns(run.prompt),
    steps: steps.slice(),
    tokens,
    unmask_step,
    image: frames[frames.length - 1] || new Uint8Array(0),
    frames: every ? frames.slice() : null,
    token_pictures: new Map(),
    lineage: null,
    origin: (start && start.origin) || null,
    timings_s,
    versions: { ...backend.manifest.recorded, "onnxruntime-web": backend.ort.env.versions.web, [COMPUTED_KEY]: backend.device.name, ...recordedFrames(every) },
    created: `${new Date().toISOString().slice(0, 19)}+00:00`,
  };
}

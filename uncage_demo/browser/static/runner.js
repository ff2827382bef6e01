// From runs to finished traces, told step by step; as runner.py.

/** @import { Progress, Run, StepRecord, Trace } from "./types" */
/** @import { EmbeddedBackend } from "./backends/embedded.js" */
import { decodeMany } from "./decoding/sampler.js";
import { recordedColumns, resolve } from "./decoding/run.js";

/**
 * Decode runs in lockstep and tell after every step; close the generator to cancel.
 * @param {EmbeddedBackend} backend
 * @param {Run[]} runs at least one
 * @returns {AsyncGenerator<Progress, void, void>} a Progress after every step, and a last one with the finished traces
 */
export async function* stream(backend, runs) {
  const began = performance.now();
  const timings = { forward: 0, decode: 0, total: 0 };
  const configs = runs.map((run) => resolve(backend, run));
  /** @type {StepRecord[][]} */
  const records = runs.map(() => []);
  /** @type {Uint8Array[][]} */
  const frames = runs.map(() => []);
  const num_steps = Math.max(...configs.map((config) => config.num_steps));
  /** @type {Map<string, Uint8Array>} */
  const drawn = new Map();
  const draw = async (/** @type {Int32Array} */ grid) => {
    const key = grid.join();
    const known = drawn.get(key) || (await backend.decodeTokens([grid]))[0];
    if (drawn.size > 16) drawn.clear();
    drawn.set(key, known);
    return known;
  };
  const steps = decodeMany(backend, runs);
  let step = 0;
  try {
    for (;;) {
      let from = performance.now();
      const { value: latest, done } = await steps.next();
      timings.forward += (performance.now() - from) / 1000;
      if (done || !latest) break;
      from = performance.now();
      for (let i = 0; i < runs.length; i++) {
        if (records[i].at(-1) === latest[i]) continue;
        records[i].push(latest[i]);
        frames[i].push(await draw(latest[i].sampled));
      }
      timings.decode += (performance.now() - from) / 1000;
      step = Math.max(...latest.map((record) => record.step));
      yield { step, num_steps, records: latest, frames: frames.map((all) => /** @type {Uint8Array} */ (all.at(-1))), elapsed_s: (performance.now() - began) / 1000, traces: null };
    }
  } finally {
    await steps.return();
  }
  /** @type {Trace[]} */
  const traces = [];
  for (let i = 0; i < runs.length; i++) {
    const tokens = runs[i].start ? Int32Array.from(/** @type {NonNullable<Run["start"]>} */ (runs[i].start).tokens) : new Int32Array(backend.info.grid[0] * backend.info.grid[1]).fill(-1);
    const since = runs[i].start?.unmask_step;
    const unmask = tokens.map((token, k) => (token >= 0 && since ? since[k] : -1));
    for (const record of records[i]) {
      record.committed.forEach((chosen, k) => {
        if (chosen) [tokens[k], unmask[k]] = [record.sampled[k], record.step];
      });
    }
    const ids = new Set(records[i].flatMap((record) => Array.from(record.alternatives || [])));
    traces.push({
      prompt: runs[i].prompt,
      config: configs[i],
      model: backend.info,
      columns: recordedColumns(runs[i].prompt),
      steps: records[i],
      tokens,
      unmask_step: unmask,
      image: await draw(tokens),
      frames: frames[i],
      token_pictures: await backend.tokenPictures([...ids].sort((a, b) => a - b)),
      lineage: null,
      timings_s: timings,
      versions: { ...backend.manifest.recorded, "onnxruntime-web": backend.ort.env.versions.web },
      created: `${new Date().toISOString().slice(0, 19)}+00:00`,
    });
  }
  timings.total = (performance.now() - began) / 1000;
  yield { step, num_steps, records: records.map((all) => /** @type {StepRecord} */ (all.at(-1))), frames: frames.map((all) => /** @type {Uint8Array} */ (all.at(-1))), elapsed_s: timings.total, traces };
}

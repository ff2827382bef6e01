// One run as the player shows it; as player/run_view.py.

/** @import { StepRecord, Term, Trace } from "../types" */
import { redrawnSteps } from "../config.js";
import { termsAt } from "../decoding/order.js";
import { phaseAt } from "../decoding/redraw.js";
import { stayMasked } from "../decoding/schedule.js";
import { VARIES } from "../orders/counts.js";
import { REASONS } from "../orders/revise.js";
import { ORDERS } from "../orders/table.js";
import { attentionView, marksOf, massOf, objectMap, overlap, specialOf } from "./attention.js";
import { bits, candidateValues, packed, packedList } from "./packing.js";
import { encodePicture } from "./pictures.js";

/** @type {readonly Term[]} */
const TERMS = ["confidence", "noise", "contrast"];

/** Steps of the whole run: as many as there were where the model decided how many, else num_steps. @param {Trace} trace */
export function lengthOf({ steps, config }) {
  const last = steps[steps.length - 1];
  const full = !last.reopened && last.masked_before.every((masked, i) => !masked || last.committed[i]);
  return VARIES[config.how_many] && full ? last.step + 1 : config.num_steps;
}

/** @param {Trace} trace @param {Float64Array[][] | null} maps */
export function runOf(trace, maps) {
  const { steps, config, prompt } = trace;
  const [height, width] = trace.model.image_size_px;
  const n = trace.tokens.length;
  const candidates = steps.map((record) => Array.from(record.masked_before.keys()).filter((i) => record.masked_before[i]));
  const total = candidates.reduce((sum, list) => sum + list.length, 0);
  /** Values of each step's candidates, one after the other. @template {Uint16Array | Float32Array} T @param {T} out @param {(record: StepRecord) => ArrayLike<number>} of */
  const joined = (out, of) => {
    let to = 0;
    steps.forEach((record, s) => {
      const values = of(record);
      for (const i of candidates[s]) out[to++] = values[i];
    });
    return packedList(out);
  };
  const terms = steps.map((record) => termsOf(trace, record));
  const unmask = new Int16Array(n).fill(-1);
  for (const record of steps) record.committed.forEach((chosen, i) => chosen && (unmask[i] = record.step));
  const complete = steps[0].step + steps.length === lengthOf(trace);
  const shown = prompt.words.map((_, w) => w).filter((w) => prompt.words[w].tokens.length);
  const pairs = prompt.subjects.flatMap((_, a) => prompt.subjects.slice(a + 1).map((__, b) => [a, a + 1 + b]));
  return {
    config: { ...config, seed: Number(config.seed) },
    lineage: trace.lineage || {},
    origin: trace.origin,
    notes: trace.notes || [],
    order: config.order,
    guided: Boolean(ORDERS[config.order].contrast),
    seed: String(config.seed),
    num_steps: lengthOf(trace),
    first_step: steps[0].step,
    steps_done: steps.length,
    masked: bits(steps.map((record) => record.masked_before)),
    committed: bits(steps.map((record) => record.committed)),
    drawn: joined(new Uint16Array(total), (record) => record.sampled),
    tokens: packedList(Uint16Array.from(steps[steps.length - 1].sampled)),
    unmask_step: packedList(unmask),
    maps: Object.fromEntries(TERMS.map((name) => [name, candidateValues(steps.map((record, s) => candidates[s].map((i) => record[name][i])))])),
    // The player adds in float32 as this engine does; a score that is no sum travels.
    scores: terms.every(Boolean) ? null : joined(new Float32Array(total), (record) => record.scores),
    weight: packedList(Float32Array.from(steps, (record) => record.weight)),
    cutoff: packedList(Float32Array.from(steps, (record) => record.cutoff)),
    terms,
    attention: maps && attentionView(maps, shown),
    marks: marksOf(trace),
    mass: maps && packed(Float32Array.from(maps.flatMap((step) => prompt.subjects.map((subject) => massOf(subject.object.map((w) => step[w]))))), [steps.length, prompt.subjects.length]),
    overlap: maps && packed(Float32Array.from(maps.flatMap((step) => pairs.map(([a, b]) => overlap(objectMap(step, prompt.subjects[a].object), objectMap(step, prompt.subjects[b].object))))), [steps.length, pairs.length]),
    pairs,
    health: healthOf(trace),
    sight: sightOf(steps),
    taken_back: takenBackOf(steps),
    alternatives: complete ? alternativesOf(steps, candidates, n) : null,
    frames: trace.frames && trace.frames.map((frame) => encodePicture(frame, height, width)),
    image: complete ? encodePicture(trace.image, height, width) : null,
  };
}

/** Which terms a step's score is the sum of; null for a value of its own. @param {Trace} trace @param {StepRecord} record */
function termsOf(trace, record) {
  const [config, step] = phaseAt(trace.config, record.step);
  const order = ORDERS[config.order];
  if (!order.terms) return null;
  const used = termsAt(order, config, step);
  return { confidence: used.includes("confidence"), noise: used.includes("noise"), contrast: used.includes("contrast") && record.weight !== 0 };
}

/** @param {Trace} trace */
function healthOf(trace) {
  const { steps, config } = trace;
  let total = steps[0].masked_before.filter((on, i) => on || trace.unmask_step[i] >= 0).length;
  const redrawn = redrawnSteps(config);
  const begins = config.num_steps - redrawn; // of the redraw
  const back = (/** @type {StepRecord} */ { reopened }) => (reopened ? reopened.filter(Boolean).length : 0);
  const scheduled = steps.map((record) => {
    const masked = record.masked_before.reduce((a, b) => a + b, 0);
    const [phase, step] = phaseAt(config, record.step);
    if (redrawn && step === 0 && record.step) total = masked;
    // A draft that is full is opened when its last step ends; the redraw's schedule counts from there.
    const more = redrawn && record.step === begins - 1 ? 0 : back(record);
    return masked - stayMasked(phase, step, total, record.masked_before, record.scores, record.confidence, record.entropy) + more;
  });
  const branches = new Set(trace.lineage ? [trace.lineage, ...(trace.lineage.earlier || [])].map(({ at_step }) => at_step) : []);
  let altered = 0;
  steps.slice(1).forEach((record, s) => {
    const before = steps[s];
    const anywhere = branches.has(record.step) || (redrawn > 0 && record.step === begins);
    before.masked_before.forEach((masked, i) => {
      const opened = record.masked_before[i] && (anywhere || (before.reopened && before.reopened[i]));
      const fixed = (!masked || before.committed[i]) && !opened;
      if (fixed && (record.masked_before[i] || before.sampled[i] !== record.sampled[i])) altered++;
    });
  });
  const counts = steps.map((record) => record.committed.reduce((a, b) => a + b, 0));
  const takenBack = steps.reduce((sum, record) => sum + back(record), 0);
  const right = counts.every((count, s) => count === scheduled[s]);
  return { scheduled, counts_ok: right, changed: altered, taken_back: takenBack, special: specialOf(trace) };
}

/** Which cells each step opened again and why; null where none did. @param {StepRecord[]} steps */
function takenBackOf(steps) {
  if (steps.every(({ reopened }) => !reopened)) return null;
  // A cell that was committed in this very step had no token before it.
  const known = (/** @type {StepRecord} */ { likelihood, masked_before }, /** @type {number} */ cell) => (likelihood && !masked_before[cell] ? Number(likelihood[cell].toFixed(4)) : null);
  const told = steps.map((record) => Array.from(record.reopened || [], (code, cell) => [cell, code, known(record, cell)]).filter(([, code]) => code));
  return { reasons: [...REASONS], steps: told };
}

/** Whose words each cell could read; null where every cell read all words. @param {StepRecord[]} steps */
function sightOf(steps) {
  /** @type {string[]} */
  const known = [];
  const at = steps.map(({ sight }) => {
    if (!sight) return -1;
    const text = sight.join();
    if (!known.includes(text)) known.push(text);
    return known.indexOf(text);
  });
  return known.length ? { at, maps: known.map((text) => text.split(",").map(Number)) } : null;
}

/** @param {StepRecord[]} steps @param {number[][]} candidates @param {number} n */
function alternativesOf(steps, candidates, n) {
  if (steps.some((record) => !record.alternatives)) return null;
  const count = /** @type {Int32Array} */ (steps[0].alternatives).length / n;
  const rows = candidates.reduce((sum, list) => sum + list.length, 0);
  const ids = new Uint16Array(rows * count), probs = new Uint16Array(rows * count);
  let to = 0;
  steps.forEach(({ alternatives, alternative_probs }, s) => {
    for (const i of candidates[s]) {
      for (let k = 0; k < count; k++, to++) {
        ids[to] = /** @type {Int32Array} */ (alternatives)[i * count + k];
        probs[to] = Math.round(Math.min(1, Math.max(0, /** @type {Float32Array} */ (alternative_probs)[i * count + k])) * 65535);
      }
    }
  });
  return { count, ids: packed(ids, [rows, count]), probs: packed(probs, [rows, count]) };
}

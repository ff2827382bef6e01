// Traces -> the one object that the player reads; as player/payload.py. Every key is in player/static/payload.d.ts.
// What needs the diagnosis (findings, the binding table) stays with the server: those keys are empty here.

/** @import { FoundObject, Manifest, Prompt, Trace, Verdict } from "../types" */
import { ORDERS } from "../orders/table.js";
import { match, tooMany } from "../prompt/judging.js";
import { mapsOf, markMaps, objectMap } from "./attention.js";
import { encodePicture } from "./pictures.js";
import { lengthOf, runOf } from "./run_view.js";
import { titlesOf } from "./titles.js";

const VERSION = 2;
const TILE_PX = 16;
const QUANTILE = 0.995;

/**
 * Everything the player shows of some runs of one prompt.
 * @param {Manifest} manifest
 * @param {Trace[]} traces finished or not
 * @param {(Verdict | null)[]} verdicts one per run
 * @param {string[]} [titles] of the stages
 * @returns {Payload}
 */
export function buildPayload(manifest, traces, verdicts, titles) {
  const [first] = traces;
  const names = titles || titlesOf(manifest, traces);
  const maps = traces.map(mapsOf);
  return {
    version: VERSION,
    detail: "full",
    grid: first.model.grid,
    num_steps: Math.max(...traces.map(lengthOf)),
    model: { id: first.model.id, title: first.model.title, weights: first.model.weight_hash },
    prompt: promptView(manifest, first.prompt),
    scales: scalesOf(traces, maps),
    tables: manifest.display.tables,
    atlas: atlasOf(traces),
    orders: manifest.orders.filter(({ name }) => name in ORDERS).map(({ name, title }) => [name, title]),
    runs: traces.map((trace, index) => ({
      ...runOf(trace, maps[index]),
      title: names[index],
      id: String(index),
      divergence: index ? firstDivergence(first, trace) : null,
      verdict: verdictView(manifest, verdicts[index], trace.prompt),
      binding: null,
      findings: [],
    })),
  };
}

/** First step at which two runs committed other cells or tokens; null when they never differ. @param {Trace} one @param {Trace} other */
export function firstDivergence(one, other) {
  for (let s = 0; s < Math.min(one.steps.length, other.steps.length); s++) {
    const [a, b] = [one.steps[s], other.steps[s]];
    if (a.committed.some((chosen, i) => chosen !== b.committed[i] || (chosen && a.sampled[i] !== b.sampled[i]))) return a.step;
  }
  return null;
}

/** @param {Manifest} manifest @param {Prompt} prompt */
function promptView(manifest, prompt) {
  /** @type {Map<number, [number, string]>} */
  const owner = new Map();
  prompt.subjects.forEach((subject, s) => subject.object.forEach((w) => owner.has(w) || owner.set(w, [s, "object"])));
  prompt.subjects.forEach((subject, s) => subject.attributes.flat().forEach((w) => owner.has(w) || owner.set(w, [s, "attribute"])));
  return {
    text: prompt.text,
    truncated: prompt.truncated,
    words: prompt.words.map(({ text, start, end, kind }, w) => {
      const [subject, role] = owner.get(w) || [-1, ""];
      return { text, start, end, kind, subject, role };
    }),
    subjects: prompt.subjects.map((subject, s) => {
      const look = manifest.display.subjects[s % manifest.display.subjects.length];
      return { label: subject.label, color: look.color, ramp: look.ramp, object: subject.object, groups: [subject.object, ...subject.attributes] };
    }),
  };
}

/** All token pictures of the runs in one; null when there are none. @param {Trace[]} traces */
function atlasOf(traces) {
  /** @type {Map<number, Uint8Array>} */
  const found = new Map();
  for (const trace of traces) {
    const used = new Set(trace.steps.flatMap((record) => [...record.sampled, ...(record.alternatives || [])]));
    for (const [id, picture] of trace.token_pictures) if (used.has(id)) found.set(id, picture);
  }
  if (!found.size) return null;
  const ids = [...found.keys()].sort((a, b) => a - b);
  const columns = Math.ceil(Math.sqrt(ids.length));
  const [height, width] = [Math.ceil(ids.length / columns) * TILE_PX, columns * TILE_PX];
  const sheet = new Uint8Array(height * width * 3);
  ids.forEach((id, k) => {
    const picture = /** @type {Uint8Array} */ (found.get(id));
    const [top, left] = [Math.floor(k / columns) * TILE_PX, (k % columns) * TILE_PX];
    for (let y = 0; y < TILE_PX; y++) sheet.set(picture.subarray(y * TILE_PX * 3, (y + 1) * TILE_PX * 3), ((top + y) * width + left) * 3);
  });
  return { tile: TILE_PX, columns, ids, image: encodePicture(sheet, height, width) };
}

/** One scale a kind of map for all runs and steps. @param {Trace[]} traces @param {(Float64Array[][] | null)[]} maps */
function scalesOf(traces, maps) {
  const records = traces.flatMap(({ steps }) => steps);
  const confidence = ascending(records.map((record) => record.confidence.filter((_, i) => record.masked_before[i])));
  let [low, high] = [quantile(confidence, 1 - QUANTILE), quantile(confidence, QUANTILE)];
  if (!(high > low)) [low, high] = [low - 1, low];
  const contrast = quantile(ascending(records.map((record) => record.contrast.map(Math.abs))), QUANTILE) || 1;
  /** @type {Record<string, number[]>} */
  const scales = { confidence: [low, high], contrast: [-contrast, contrast], order: [0, Math.max(...traces.map(lengthOf)) - 1] };
  if (maps.every(Boolean)) {
    const steps = /** @type {Float64Array[][][]} */ (maps).flatMap((run, r) => run.map((step) => ({ step, subjects: traces[r].prompt.subjects })));
    scales.object = [0, quantile(ascending(steps.flatMap(({ step, subjects }) => subjects.map((s) => objectMap(step, s.object)))), QUANTILE) || 1];
    scales.word = [0, quantile(ascending(steps.flatMap(({ step }) => step)), QUANTILE) || 1];
  }
  if (maps.every(Boolean)) {
    const marks = traces.flatMap((trace) => markMaps(trace).maps.flat());
    scales.mark = [0, marks.length ? Math.max(...marks.map((map) => Math.max(...map))) : 1];
  }
  return scales;
}

/** All values in order. @param {(Float32Array | Float64Array)[]} parts */
function ascending(parts) {
  const out = new Float64Array(parts.reduce((sum, part) => sum + part.length, 0));
  let to = 0;
  for (const part of parts) {
    out.set(part, to);
    to += part.length;
  }
  return out.sort();
}

/** As numpy's, with linear interpolation; 0 of nothing. @param {Float64Array} sorted ascending @param {number} share */
function quantile(sorted, share) {
  if (!sorted.length) return 0;
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  return sorted[below] + (at - below) * (sorted[Math.min(below + 1, sorted.length - 1)] - sorted[below]);
}

/** A verdict as the player shows it. @param {Manifest} manifest @param {Verdict | null} verdict @param {Prompt} prompt */
export function verdictView(manifest, verdict, prompt) {
  if (!verdict) return null;
  const { own } = match(prompt.subjects, verdict.detections);
  const detections = verdict.detections.map((/** @type {FoundObject} */ found, i) => ({ ...found, subject: own.findIndex((mine) => mine.includes(i)) }));
  return { ...verdict, detections, too_many: tooMany(prompt.subjects, verdict.detections, manifest.plurals) };
}

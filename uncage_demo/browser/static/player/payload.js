// Traces -> the one object that the player reads; as player/payload.py. Every key is in player/static/payload.d.ts.
// What needs the diagnosis (findings, the binding table) stays with the server: those keys are empty here.

/** @import { FoundObject, Manifest, Prompt, StepRecord, Term, Trace, Verdict } from "../types" */
import { redrawnSteps } from "../config.js";
import { termsAt } from "../decoding/order.js";
import { phaseAt } from "../decoding/redraw.js";
import { stayMasked } from "../decoding/schedule.js";
import { wordMaps, wordMatrix } from "../orders/contrast.js";
import { VARIES } from "../orders/counts.js";
import { REASONS } from "../orders/revise.js";
import { ORDERS } from "../orders/table.js";
import { match, tooMany } from "../prompt/judging.js";
import { encodePicture } from "./pictures.js";

const VERSION = 2;
const TILE_PX = 16;
const QUANTILE = 0.995;
const KINDS = { Float32Array: "f4", Uint8Array: "u1", Uint16Array: "u2", Int16Array: "i2" };
/** @type {readonly Term[]} */
const TERMS = ["confidence", "noise", "contrast"];

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

/** Steps of the whole run: as many as there were where the model decided how many, else num_steps. @param {Trace} trace */
function lengthOf({ steps, config }) {
  const last = steps[steps.length - 1];
  const full = !last.reopened && last.masked_before.every((masked, i) => !masked || last.committed[i]);
  return VARIES[config.how_many] && full ? last.step + 1 : config.num_steps;
}

/** A typed array as the player unpacks it; its bytes are made a text where that is wanted, see message.js. @param {Float32Array | Uint8Array | Uint16Array | Int16Array} values @param {number[]} shape */
export function packed(values, shape) {
  const kind = /** @type {Record<string, string>} */ (KINDS)[values.constructor.name];
  return { t: kind, s: shape, d: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}

/** First step at which two runs committed other cells or tokens; null when they never differ. @param {Trace} one @param {Trace} other */
export function firstDivergence(one, other) {
  for (let s = 0; s < Math.min(one.steps.length, other.steps.length); s++) {
    const [a, b] = [one.steps[s], other.steps[s]];
    if (a.committed.some((chosen, i) => chosen !== b.committed[i] || (chosen && a.sampled[i] !== b.sampled[i]))) return a.step;
  }
  return null;
}

/** @param {Manifest} manifest @param {Trace[]} traces */
function titlesOf(manifest, traces) {
  const seeds = new Set(traces.map((trace) => String(trace.config.seed))).size > 1;
  return traces.map((trace) => {
    const { config, lineage } = trace;
    const order = (manifest.orders.find(({ name }) => name === config.order) || { title: config.order }).title;
    const name = lineage ? `${changed(manifest, trace)} · step ${lineage.at_step + 1} · ${order}` : order;
    return seeds ? `${name}, seed ${config.seed}` : name;
  });
}

/** What a branch changed in the run that it continues, as in Python (player/titles.py). @param {Manifest} manifest @param {Trace} trace */
function changed(manifest, { lineage, model, config, prompt }) {
  if (!lineage) return "";
  const { edits, earlier, parent_config } = lineage;
  const columns = model.grid[1];
  /** @type {import("../types").Edits} */
  const old = earlier && earlier.length ? earlier[0].edits : { keep: [], drop: [], forbid: [], suppress_word: null };
  /** @type {[string, number[]][]} */
  const named = [
    ["Commit now at", edits.keep.filter((cell) => !old.keep.includes(cell))],
    ["Delay at", edits.drop.filter((cell) => !old.drop.includes(cell))],
    ["Forbid token at", edits.forbid.filter((line) => !old.forbid.some((known) => String(known) === String(line))).map(([cell]) => cell)],
  ];
  const said = named.flatMap(([name, cells]) => cells.map((cell) => `${name} row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`));
  const hidden = edits.suppress_word;
  if (hidden !== null && hidden !== old.suppress_word) said.push(`Without “${prompt.words[hidden].text}”`);
  const before = manifest.orders.find(({ name }) => name === parent_config.order);
  if (before && before.name !== config.order) said.push(`Switch from ${before.title}`);
  return said.join(" and ") || "Other settings";
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

/** Attention to every word at every step, "s" lists of "w n", or null where a step has none. @param {Trace} trace */
function mapsOf(trace) {
  if (trace.steps.some((record) => !record.attention)) return null;
  const words = wordMatrix(trace.prompt, trace.columns);
  return trace.steps.map((record) => wordMaps(words, /** @type {Float32Array[]} */ (record.attention)));
}

/** @param {Trace} trace @param {Float64Array[][] | null} maps */
function runOf(trace, maps) {
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
    origin: null,
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

/** @param {Float32Array | Uint8Array | Uint16Array | Int16Array} values */
function packedList(values) {
  return packed(values, [values.length]);
}

/** Masks as bits, lowest first. @param {Uint8Array[]} masks */
function bits(masks) {
  const row = Math.ceil(masks[0].length / 8);
  const out = new Uint8Array(row * masks.length);
  masks.forEach((mask, s) => mask.forEach((on, i) => on && (out[s * row + (i >> 3)] |= 1 << (i & 7))));
  return packed(out, [masks.length, row]);
}

/** @param {number[][]} values of each step's candidates */
function candidateValues(values) {
  const at = values.map((step) => step.some((value) => value !== 0));
  return { at, values: packedList(Float32Array.from(values.filter((_, s) => at[s]).flat())) };
}

/** Which terms a step's score is the sum of; null for a value of its own. @param {Trace} trace @param {StepRecord} record */
function termsOf(trace, record) {
  const [config, step] = phaseAt(trace.config, record.step);
  const order = ORDERS[config.order];
  if (!order.terms) return null;
  const used = termsAt(order, config, step);
  return { confidence: used.includes("confidence"), noise: used.includes("noise"), contrast: used.includes("contrast") && record.weight !== 0 };
}

/** @param {Float64Array[][]} maps @param {number[]} shown */
function attentionView(maps, shown) {
  const n = maps[0][0].length;
  let most = 0;
  for (const step of maps) for (const w of shown) for (let i = 0; i < n; i++) if (step[w][i] > most) most = step[w][i];
  const max = most > 0 ? most : 1;
  const codes = new Uint8Array(maps.length * shown.length * n);
  let to = 0;
  for (const step of maps) {
    for (const w of shown) for (let i = 0; i < n; i++) codes[to++] = Math.round(Math.sqrt(Math.min(1, Math.max(0, step[w][i] / max))) * 255);
  }
  return { words: shown, max, codes: packed(codes, [maps.length, shown.length, n]) };
}

/** Attention to the start and the end token, which stand for no word, coded as words are; null where none was recorded. @param {Trace} trace */
function marksOf(trace) {
  const { names, maps } = markMaps(trace);
  if (!names.length) return null;
  const { max, codes } = attentionView(maps, names.map((_, k) => k));
  return { names, max, codes };
}

/** @param {Trace} trace @returns {{ names: string[], maps: Float64Array[][] }} */
function markMaps(trace) {
  if (trace.steps.some((record) => !record.attention)) return { names: [], maps: [] };
  const rows = new Map(trace.columns.map((token, k) => [trace.prompt.tokens[token].special ? trace.prompt.tokens[token].text.replace(/[<>|]/g, "") : "", k]));
  const names = ["start", "end"].filter((name) => rows.has(name));
  const row = (/** @type {StepRecord} */ record, /** @type {string} */ name) => Float64Array.from((/** @type {Float32Array[]} */ (record.attention))[/** @type {number} */ (rows.get(name))]);
  return { names, maps: trace.steps.map((record) => names.map((name) => row(record, name))) };
}

/** Mean of an object's words. @param {Float64Array[]} step @param {number[]} words */
function objectMap(step, words) {
  return words.length === 1 ? step[words[0]] : step[words[0]].map((_, i) => words.reduce((sum, w) => sum + step[w][i], 0) / words.length);
}

/** Mean over cells of the sum of maps. @param {Float64Array[]} rows */
function massOf(rows) {
  return rows.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0) / row.length, 0);
}

/** The summed minimum of two maps that each sum to 1. @param {Float64Array} a @param {Float64Array} b */
function overlap(a, b) {
  const [sumA, sumB] = [a, b].map((map) => map.reduce((x, y) => x + y, 0));
  return a.reduce((sum, value, i) => sum + Math.min(sumA > 0 ? value / sumA : 0, sumB > 0 ? b[i] / sumB : 0), 0);
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

/** Share of the attention on start, end and padding tokens. @param {Trace} trace */
function specialOf({ steps, columns, prompt }) {
  if (steps.some((record) => !record.attention)) return null;
  const out = new Float32Array(steps.length * 3).fill(NaN);
  columns.forEach((token, k) => {
    const { special, text } = prompt.tokens[token];
    if (!special) return;
    const kind = { "<start>": 0, "<end>": 1 }[text] ?? 2;
    steps.forEach((record, s) => {
      const row = /** @type {Float32Array[]} */ (record.attention)[k];
      out[s * 3 + kind] = (out[s * 3 + kind] || 0) + row.reduce((a, b) => a + b, 0) / row.length;
    });
  });
  return packed(out, [steps.length, 3]);
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

// Opening a trace file: the inverse of file.js. A file of another model, or of what only the server computes, is refused by name.

/** @import { Config, Manifest, StepRecord, Trace } from "../types" */
import { DEFAULTS, ELSEWHERE } from "../config.js";
import { ORDERS } from "../orders/table.js";
import { FRAMES_KEY, SCHEMA_VERSION } from "./header.js";
import { arrayOf, unzipped } from "./unzip.js";

const IN_THE_APP = "Open it in the app.";
/** What is drawn by the server alone. @type {Record<string, string>} */
const BEGAN = { extend: "an extended picture", remix: "a picture that was remixed", compose: "pins or regions", picture: "a picture of its own", sketch: "a picture's structure" };
const NOTE = /^note \d+$/;

/**
 * A trace from the bytes of an .npz file.
 * @param {Uint8Array} bytes
 * @param {Manifest} manifest of the model that is open
 * @returns {Promise<Trace>}
 * @throws {Error} a damaged or foreign file, or a run of another model; said in a sentence
 */
export async function traceFromBytes(bytes, manifest) {
  let read;
  try {
    read = await membersOf(bytes);
  } catch (error) {
    throw new Error(`This is no trace file that can be read: ${error instanceof Error ? error.message : error}.`, { cause: error });
  }
  const { header, take } = read;
  if (header.schema !== SCHEMA_VERSION) throw new Error(`This trace file has version ${header.schema}; this page reads version ${SCHEMA_VERSION}.`);
  const { model } = header;
  if (!model || model.weight_hash !== manifest.model.weight_hash) {
    throw new Error(`This run was made by “${model ? model.title : "?"}” with other weights than those in this page (“${manifest.model.title}”). ${IN_THE_APP}`);
  }
  const { origin } = header;
  if (origin && (origin.kind !== "edit" || origin.regions.length)) throw new Error(`This run began with ${BEGAN[origin.kind] || "regions for its objects"}. ${IN_THE_APP}`);
  const config = configFrom(header.config);
  if (header.lineage && header.lineage.parent) withConfigs(header.lineage);
  try {
    return assembled(header, config, take, manifest);
  } catch (error) {
    throw new Error(`This trace file is damaged: ${error instanceof Error ? error.message : error}.`, { cause: error });
  }
}

/** @param {Uint8Array} bytes */
async function membersOf(bytes) {
  const members = await unzipped(bytes);
  const named = (/** @type {string} */ name) => {
    if (!members[`${name}.npy`]) throw new Error(`it has no ${name}`);
    return arrayOf(members[`${name}.npy`]);
  };
  // A seed may have more digits than a number holds: it stays a text.
  const text = new TextDecoder().decode(named("header").values).replace(/("seed": ?)(\d+)/g, '$1"$2"');
  const header = JSON.parse(text);
  if (!header || typeof header !== "object") throw new Error("its header is empty");
  /** The values of an array of a shape. @param {string} name @param {readonly number[]} shape */
  const take = (name, shape) => {
    const found = named(name);
    if (found.shape.join() !== shape.join()) throw new Error(`${name} has the shape ${found.shape.join(" ")} instead of ${shape.join(" ")}`);
    return found.values;
  };
  return { header, take: Object.assign(take, { named, has: (/** @type {string} */ name) => `${name}.npy` in members }) };
}

/** Settings as the engine has them. @param {Record<string, unknown>} told @returns {Config} */
function configFrom(told) {
  const config = { ...DEFAULTS, ...told };
  for (const [name, off] of Object.entries(ELSEWHERE)) {
    const value = /** @type {Record<string, unknown>} */ (config)[name];
    if (value !== undefined && value !== null && JSON.stringify(value) !== JSON.stringify(off)) {
      throw new Error(`This run was made with ${name}=${value}, which is shown by the server's page only. ${IN_THE_APP}`);
    }
    delete (/** @type {Record<string, unknown>} */ (config)[name]);
  }
  const unknown = Object.keys(config).find((name) => !(name in DEFAULTS));
  if (unknown) throw new Error(`This run has a setting that this page does not know: ${unknown}. ${IN_THE_APP}`);
  if (!(String(config.order) in ORDERS)) throw new Error(`This run has an order that this page does not know: ${config.order}. ${IN_THE_APP}`);
  return /** @type {Config} */ (/** @type {unknown} */ (config));
}

/** @param {any} lineage changed in place */
function withConfigs(lineage) {
  lineage.parent_config = configFrom(lineage.parent_config);
  lineage.earlier = lineage.earlier || null;
  for (const line of lineage.earlier || []) withConfigs(line);
}

/** @param {any} header @param {Config} config @param {any} take @param {Manifest} manifest @returns {Trace} */
function assembled(header, config, take, manifest) {
  const { model, columns, present, first_step: first } = header;
  const n = model.grid[0] * model.grid[1], k = columns.length;
  if (model.grid.join() !== manifest.model.grid.join()) throw new Error(`its grid is ${model.grid.join(" x ")}`);
  const tokens = take("tokens", model.grid);
  const [count] = take.named("sampled").shape;
  if (!(count >= 1 && first >= 0 && first + count <= config.num_steps)) throw new Error(`it has ${count} ${count === 1 ? "step" : "steps"} from step ${first} on, of ${config.num_steps}`);
  if (tokens.some((/** @type {number} */ id) => id < 0 || id >= model.codebook_size)) throw new Error("a token is not of this model");
  /** @type {Record<string, any>} */
  const all = { weight: take("weight", [count]), cutoff: take("cutoff", [count]), passes: take.has("passes") ? take("passes", [count]) : [] };
  for (const name of ["sampled", "committed", "masked_before", "confidence", "noise", "contrast", "scores"]) all[name] = take(name, [count, n]);
  const ranks = take.has("alternatives") ? take.named("alternatives").shape[2] : 0;
  const kept = { attention: [k, n], alternatives: [n, ranks], alternative_probs: [n, ranks], entropy: [n], sight: [n], reopened: [n], likelihood: [n] };
  /** @type {Record<string, (s: number) => any>} */
  const optional = {};
  for (const [name, shape] of Object.entries(kept)) {
    const places = present[name] || [];
    const size = shape.reduce((a, b) => a * b, 1);
    const values = places.length ? take(name, [places.length, ...shape]) : null;
    optional[name] = (s) => (places.includes(s) ? values.slice(places.indexOf(s) * size, (places.indexOf(s) + 1) * size) : null);
  }
  /** @type {StepRecord[]} */
  const steps = Array.from({ length: count }, (_, s) => {
    const row = (/** @type {string} */ name) => all[name].slice(s * n, (s + 1) * n);
    const attention = optional.attention(s);
    return {
      step: first + s,
      sampled: row("sampled"), committed: row("committed"), masked_before: row("masked_before"), confidence: row("confidence"), noise: row("noise"),
      contrast: row("contrast"), weight: all.weight[s], scores: row("scores"), cutoff: all.cutoff[s],
      attention: attention && Array.from({ length: k }, (_, at) => attention.subarray(at * n, (at + 1) * n)),
      attention_full: null,
      alternatives: optional.alternatives(s), alternative_probs: optional.alternative_probs(s), entropy: optional.entropy(s), sight: optional.sight(s),
      reopened: optional.reopened(s), likelihood: optional.likelihood(s), passes: all.passes[s] ?? null,
    };
  });
  const versions = { ...header.versions };
  delete versions[FRAMES_KEY];
  const notes = Object.keys(versions).filter((name) => NOTE.test(name)).sort((a, b) => Number(a.slice(5)) - Number(b.slice(5))).map((name) => JSON.parse(versions[name]));
  for (const name of Object.keys(versions)) if (NOTE.test(name)) delete versions[name];
  return {
    prompt: header.prompt, config, model, columns, steps, tokens, unmask_step: take("unmask_step", model.grid), image: take("image", [...model.image_size_px, 3]),
    frames: take.has("frames") ? summed(take("frames", [count, ...model.image_size_px, 3]), count, FRAMES_KEY in header.versions) : null,
    token_pictures: tilesOf(take),
    lineage: header.lineage && header.lineage.parent ? header.lineage : null,
    origin: header.origin || null,
    timings_s: header.timings_s, versions, created: header.created, notes,
  };
}

/** Pictures "H W 3" of the steps, from differences modulo 256 or as they are. @param {Uint8Array} values @param {number} count @param {boolean} differences */
function summed(values, count, differences) {
  const size = values.length / count;
  const frames = Array.from({ length: count }, (_, s) => values.slice(s * size, (s + 1) * size));
  if (differences) for (let s = 1; s < count; s++) for (let i = 0; i < size; i++) frames[s][i] += frames[s - 1][i];
  return frames;
}

/** @param {any} take @returns {Map<number, Uint8Array>} */
function tilesOf(take) {
  if (!take.has("picture_ids")) return new Map();
  const { values: ids } = take.named("picture_ids");
  const { values } = take.named("pictures");
  const size = values.length / Math.max(1, ids.length);
  return new Map(Array.from(ids, (id, at) => [id, values.slice(at * size, (at + 1) * size)]));
}

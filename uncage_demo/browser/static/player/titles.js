// What the stages of some runs are called; as player/titles.py.

/** @import { Manifest, Trace } from "../types" */

const SWITCH = "Switch from";

/** @param {Manifest} manifest @param {Trace[]} traces */
export function titlesOf(manifest, traces) {
  const seeds = new Set(traces.map((trace) => String(trace.config.seed))).size > 1;
  return traces.map((trace) => {
    const { config, lineage } = trace;
    const order = (manifest.orders.find(({ name }) => name === config.order) || { title: config.order }).title + editMade(trace);
    let parts = lineage ? [changed(manifest, trace), `step ${lineage.at_step + 1}`, order] : [order];
    if (parts[0].startsWith(SWITCH)) parts = [parts[2], parts[1], parts[0].replace("S", "s")]; // the new order tells the branch from others
    const name = parts.join(" · ");
    return seeds ? `${name}, seed ${config.seed}` : name;
  });
}

/** What an edit did; "" for a run from an empty grid. @param {Trace} trace */
function editMade({ origin, steps }) {
  if (!origin) return "";
  const drawn = steps[0].masked_before.filter(Boolean).length;
  return ` · ${drawn} ${drawn === 1 ? "cell" : "cells"} drawn again`;
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
  if (before && before.name !== config.order) said.push(`${SWITCH} ${before.title}`);
  return said.join(" and ") || "Other settings";
}

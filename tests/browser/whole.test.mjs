// Whole runs with the exported model, from menus to verdict, against the Python engine (see whole_runs.py).
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { EmbeddedBackend } from "../../uncage_demo/browser/static/backends/embedded.js";
import { MANIFEST_VERSION } from "../../uncage_demo/browser/static/backends/parts.js";
import { placeOf, verdictOf } from "../../uncage_demo/browser/static/backends/verdict.js";
import { textIds } from "../../uncage_demo/browser/static/backends/vocab.js";
import { compose } from "../../uncage_demo/browser/static/prompt/compose.js";
import { stream } from "../../uncage_demo/browser/static/runner.js";
import { openModel } from "./node_model.mjs";

const folder = process.env.UNCAGE_WEB_MODEL;
const { runs, menus, typed } = JSON.parse(fs.readFileSync(path.join(folder, "whole.json"), "utf-8"));
const backend = await openModel(folder);
const { manifest } = backend;
const LEAST_EQUAL = Number(process.env.UNCAGE_LEAST_EQUAL);

test("what the menus say is what the parser reads", () => {
  for (const { choices, place, prompt, ids } of menus) {
    assert.deepEqual(compose(manifest, choices, place), prompt);
    assert.deepEqual(textIds(manifest, prompt.tokens), ids, prompt.text);
  }
  assert.throws(() => compose(manifest, [], ""), /0 objects: choose 1 to 3/);
  assert.throws(() => compose(manifest, [{ noun: "zebra", color: "", count: 1, side: "" }]), /"zebra" is not drawn/);
});

test("typed prompts have the text ids that Python gives them", () => {
  for (const { tokens, ids } of typed) assert.deepEqual(textIds(manifest, tokens), ids, tokens.map((token) => token.text).join(" "));
});

/** A verdict with scores of three digits; objects that are equally sure stand in the order of their boxes. */
function comparable(verdict) {
  const rounded = JSON.parse(JSON.stringify(verdict, (key, v) => (key === "score" ? Math.round(v * 1000) / 1000 : v)));
  rounded.detections.sort((a, b) => b.score - a.score || (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  return rounded;
}

test(`${runs.length} whole runs: tokens equal in at least ${LEAST_EQUAL * 100} %`, async (t) => {
  const differing = [];
  let pictures = 0, verdicts = 0;
  for (const run of runs) {
    let traces = null;
    for await (const progress of stream(backend, [{ prompt: compose(manifest, run.choices, run.place), config: run.config }])) traces = progress.traces;
    const [trace] = traces;
    const first = trace.steps.findIndex((record, s) => record.sampled.some((token, i) => token !== run.sampled[s][i]) || record.committed.some((on, i) => Boolean(on) !== run.committed[s].includes(i)));
    if (first >= 0) {
      const cell = trace.steps[first].sampled.findIndex((token, i) => token !== run.sampled[first][i] || Boolean(trace.steps[first].committed[i]) !== run.committed[first].includes(i));
      differing.push(`"${run.text}", ${run.config.order}, seed ${run.config.seed}: first at step ${first + 1}, cell ${cell}`);
      continue;
    }
    assert.deepEqual(Array.from(trace.tokens), run.tokens);
    const found = await backend.detect(trace.image);
    const verdict = verdictOf(manifest, found, trace.prompt, placeOf(manifest, trace.image));
    assert.deepEqual(comparable(verdict), comparable(run.verdict), `verdict of "${run.text}"`);
    verdicts++;
    if (run.image) {
      assert.ok(trace.image.every((value, i) => Math.abs(value - run.image[i]) <= 1), "the picture, to one level");
      pictures++;
    }
  }
  for (const line of differing) t.diagnostic(line);
  t.diagnostic(`${runs.length - differing.length} of ${runs.length} runs equal, ${verdicts} verdicts, ${pictures} pictures compared`);
  assert.ok(runs.length - differing.length >= LEAST_EQUAL * runs.length, differing.join("\n"));
});

test("a damaged file is refused in a sentence", async () => {
  const read = async (part) => {
    const bytes = new Uint8Array(fs.readFileSync(path.join(folder, manifest.files[part].file)));
    bytes[1000] ^= 1;
    return bytes;
  };
  await assert.rejects(EmbeddedBackend.load(manifest, {}, read), /The model's transformer \(transformer\.onnx\) is damaged: its content is not what was exported/);
  await assert.rejects(EmbeddedBackend.load(manifest, {}, async () => new Uint8Array(3)), /it has 3 bytes instead of/);
  await assert.rejects(EmbeddedBackend.load({ version: 99 }, {}, read), new RegExp(`reads models of version ${MANIFEST_VERSION}; the one here is of version 99`));
});

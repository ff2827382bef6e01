// Draws in node what a page would draw: `node draw.mjs MODEL_FOLDER OUT_FOLDER JSON` writes a trace file per run and the player's payload.
import fs from "node:fs";
import path from "node:path";
import { placeOf, verdictOf } from "../../uncage_demo/browser/static/backends/verdict.js";
import { branched } from "../../uncage_demo/browser/static/branching.js";
import { edited } from "../../uncage_demo/browser/static/editing.js";
import { asText } from "../../uncage_demo/browser/static/player/message.js";
import { buildPayload } from "../../uncage_demo/browser/static/player/payload.js";
import { compose } from "../../uncage_demo/browser/static/prompt/compose.js";
import { stream } from "../../uncage_demo/browser/static/runner.js";
import { traceToBytes } from "../../uncage_demo/browser/static/trace/file.js";
import { openModel } from "./node_model.mjs";

const [folder, out, asked] = process.argv.slice(2);
const { choices, place, configs } = JSON.parse(asked);
const backend = await openModel(folder);
const prompt = compose(backend.manifest, choices, place);
let traces = [];
for await (const progress of stream(backend, configs.map((config) => ({ prompt, config })))) traces = progress.traces;
const verdicts = [];
for (const trace of traces) verdicts.push(verdictOf(backend.manifest, await backend.detect(trace.image), prompt, placeOf(backend.manifest, trace.image)));
for (const [i, trace] of traces.entries()) fs.writeFileSync(path.join(out, `${i}.npz`), await traceToBytes(trace));
for await (const { traces: [branch], finished } of branched(backend, traces[0], 2, {}, { order: "confidence" })) {
  if (finished) fs.writeFileSync(path.join(out, "branch.npz"), await traceToBytes(branch));
}
for await (const { traces: [made], finished } of edited(backend, traces[0], [17, 18, 19, 33, 34, 35], 3)) {
  if (!finished) continue;
  fs.writeFileSync(path.join(out, "edit.npz"), await traceToBytes(made));
  fs.writeFileSync(path.join(out, "edit.json"), asText(buildPayload(backend.manifest, [traces[0], made], [verdicts[0], null])));
}
fs.writeFileSync(path.join(out, "payload.json"), asText(buildPayload(backend.manifest, traces, verdicts)));
fs.writeFileSync(path.join(out, "verdicts.json"), JSON.stringify(verdicts));

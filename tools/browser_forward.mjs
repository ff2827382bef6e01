// One guided forward of an exported model in node, on the runtime that browsers use: processor time, so that a busy machine matters little.
// `node tools/browser_forward.mjs FOLDER JSON` prints JSON; see tools/browser_speed.py.
import fs from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-web";
import { EmbeddedBackend } from "../uncage_demo/browser/static/backends/embedded.js";

const [folder, asked] = process.argv.slice(2);
const { repeats, threads, level, calls } = JSON.parse(asked);
ort.env.wasm.numThreads = threads;
const manifest = JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf-8"));
const read = async (part) => new Uint8Array(fs.readFileSync(path.join(folder, manifest.files[part].file)));
const { create } = ort.InferenceSession;
ort.InferenceSession.create = (bytes, options) => create.call(ort.InferenceSession, bytes, { ...options, graphOptimizationLevel: level });
const backend = await EmbeddedBackend.load(manifest, ort, read);
const n = manifest.model.grid[0] * manifest.model.grid[1];
const text = [manifest.ids.start, 5, 9, 7, manifest.ids.end, ...new Array(manifest.text_length - 5).fill(manifest.ids.pad)];
const request = { tokens: new Int32Array(n).fill(-1), step: 0, num_steps: 16, text, source: "default", full: false, suppress: [], hidden: null };
const once = async () => {
  if (calls === 1) return backend.forward({ ...request, unconditional: true });
  await backend.forward({ ...request, unconditional: false });
  return backend.forward({ ...request, unconditional: false, source: null });
};
await once();
const spent = [], walls = [];
for (let i = 0; i < repeats; i++) {
  const from = process.cpuUsage(), began = performance.now();
  await once();
  const { user, system } = process.cpuUsage(from);
  spent.push((user + system) / 1000);
  walls.push(performance.now() - began);
}
const picture = process.cpuUsage();
await backend.decodeTokens([new Int32Array(n)]);
const drawn = process.cpuUsage(picture);
console.log(JSON.stringify({ cpu_ms: Math.min(...spent), wall_ms: Math.min(...walls), picture_ms: (drawn.user + drawn.system) / 1000 }));
process.exit(0);

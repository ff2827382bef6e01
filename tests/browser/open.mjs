// Opens a trace file as the page in one file does: `node open.mjs MODEL_FOLDER FILE` tells its name, its steps and its notes.
import fs from "node:fs";
import path from "node:path";
import { traceId } from "../../uncage_demo/browser/static/trace/id.js";
import { traceFromBytes } from "../../uncage_demo/browser/static/trace/read.js";

const [folder, file] = process.argv.slice(2);
const manifest = JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf-8"));
const trace = await traceFromBytes(new Uint8Array(fs.readFileSync(file)), manifest);
console.log(JSON.stringify({ id: await traceId(trace), steps: trace.steps.length, frames: trace.frames && trace.frames.length, text: trace.prompt.text }));

// The exported model in node, on the same runtime as in the browser.
import fs from "node:fs";
import path from "node:path";
import * as ort from "onnxruntime-web";
import { EmbeddedBackend } from "../../uncage_demo/browser/static/backends/embedded.js";

ort.env.wasm.numThreads = 1;

/** @param {string} folder written by export-web */
export async function openModel(folder) {
  const manifest = JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf-8"));
  const read = async (part) => new Uint8Array(fs.readFileSync(path.join(folder, manifest.files[part].file)));
  return EmbeddedBackend.load(manifest, ort, read);
}

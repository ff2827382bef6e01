// The worker in node: asked and answered by messages, as a page does it, with an exported model (UNCAGE_WEB_MODEL).
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import zlib from "node:zlib";
import * as ort from "onnxruntime-web";
import { Engine } from "../../uncage_demo/browser/static/live/engine.js";
import { compose } from "../../uncage_demo/browser/static/prompt/compose.js";
import { traceToBytes } from "../../uncage_demo/browser/static/trace/file.js";
import { traceFromBytes } from "../../uncage_demo/browser/static/trace/read.js";
import { sha256Plain } from "../../uncage_demo/browser/static/trace/id.js";
import { serve } from "../../uncage_demo/browser/static/worker.js";

const folder = process.env.UNCAGE_WEB_MODEL;
const options = { skip: folder ? false : "UNCAGE_WEB_MODEL names no folder; tests/browser/test_traces.py writes one" };
const manifest = folder ? JSON.parse(fs.readFileSync(path.join(folder, "manifest.json"), "utf-8")) : null;
const packed = (bytes) => zlib.gzipSync(bytes, { level: 1 }).toString("base64");
const STEPS = 4;

/** A worker without a thread: `ask` resolves with the first answer of one of the kinds, `told` holds all. */
function started(runtime = ort) {
  const told = [];
  let wait = null, hear = null;
  const scope = {
    addEventListener: (_, listener) => (hear = listener),
    postMessage(message) {
      told.push(message);
      if (wait && wait.kinds.includes(message.kind)) wait.resolve(message);
    },
  };
  serve(runtime, scope);
  const ask = (message, kinds) => new Promise((resolve) => {
    wait = { kinds: [...kinds, "failed"], resolve };
    hear({ data: message });
  });
  return { told, ask };
}

function opening() {
  const parts = Object.fromEntries(Object.entries(manifest.files).map(([part, { file }]) => [part, packed(fs.readFileSync(path.join(folder, file)))]));
  return { kind: "open", manifest, wasm: packed(fs.readFileSync("node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm")), parts };
}

test("a page's whole conversation", options, async () => {
  const { told, ask } = started();
  assert.equal((await ask(opening(), ["opened"])).kind, "opened");
  const prompt = compose(manifest, [{ noun: "turtle", color: "", count: 1, side: "" }, { noun: "apple", color: "pink", count: 1, side: "" }]);
  const runs = ["meissonic", "uncage"].map((order) => ({ prompt, config: { order, num_steps: STEPS, seed: 3, spacing: 0, guidance_interval: [0, 1] } }));
  const drawn = await ask({ kind: "draw", ticket: 1, runs, live: true }, ["finished"]);
  assert.equal(drawn.kind, "finished", drawn.text);
  const live = told.filter(({ kind }) => kind === "progress");
  assert.equal(live.length, STEPS);
  assert.ok(live.every(({ runs: shown, payload }) => shown.length === 2 && shown[0].picture instanceof Blob && !payload));
  assert.equal(drawn.payload.runs.length, 2);
  // What is saved opens again as it was, and what is not a run of this model is refused by its name.
  const files = [];
  for (const run of [0, 1]) files.push(new Uint8Array((await ask({ kind: "save", ticket: 1, run, notes: [{ step: 1, text: "“Here”", cell: 3 }] }, ["saved"])).bytes));
  const opened = await ask({ kind: "show", ticket: 1, files }, ["finished"]);
  assert.equal(opened.kind, "finished", opened.text);
  assert.deepEqual(opened.payload.runs.map((run) => run.notes), [[{ step: 1, text: "“Here”", cell: 3 }], [{ step: 1, text: "“Here”", cell: 3 }]]);
  const plain = (payload) => JSON.parse(JSON.stringify({ ...payload, runs: payload.runs.map((run) => ({ ...run, notes: [] })) }));
  assert.deepEqual(plain(opened.payload), plain(drawn.payload));
  assert.deepEqual(opened.hashes, drawn.hashes);
  const refusedFile = async (bytes) => (await ask({ kind: "show", ticket: 1, files: [bytes] }, ["finished"])).text;
  assert.match(await refusedFile(new TextEncoder().encode("a picture")), /no trace file that can be read: it is no archive/);
  assert.match(await refusedFile(files[0].slice(0, 5000)), /it is no archive, or it is cut off/);
  const bent = files[0].slice();
  bent[Math.floor(bent.length / 2)] ^= 255;
  assert.match(await refusedFile(bent), /is damaged/);
  const foreign = await traceToBytes({ ...(await traceFromBytes(files[0], manifest)), model: { ...manifest.model, weight_hash: "f".repeat(16) } });
  assert.match(await refusedFile(foreign), /made by “.+” with other weights than those in this page/);
  const elsewhere = await traceFromBytes(files[0], manifest);
  const revised = await traceToBytes({ ...elsewhere, config: { ...elsewhere.config, reuse_steps: 2 } });
  assert.match(await refusedFile(revised), /reuse_steps=2, which is shown by the server's page only/);
  // Pictures of some steps: of the first and every third after it, or of none; the finished picture always comes.
  for (const [frames, wanted] of [["every 3", STEPS], ["final", null]]) {
    const some = await ask({ kind: "draw", ticket: 1, runs: runs.slice(0, 1), live: true, frames, keep: false }, ["finished"]);
    assert.equal(some.kind, "finished", some.text);
    const [run] = some.payload.runs;
    assert.equal(run.frames && run.frames.length, wanted, frames);
    assert.ok(run.image instanceof Blob);
    if (run.frames) assert.deepEqual(run.frames.map((frame) => run.frames.indexOf(frame)), [0, 0, 0, 3]);
  }
  assert.match((await ask({ kind: "draw", ticket: 1, runs, frames: "often" }, ["finished"])).text, /frames='often': give "all", "final" \(or "none"\) or "every K"/);
  // What was taken back in a run opens again, and a branch of it remembers the steps before.
  const revising = { kind: "draw", ticket: 1, runs: [{ prompt, config: { order: "meissonic", num_steps: 8, seed: 3, revise: "correct", revise_strength: 0.2 } }], live: true };
  const takes = await ask(revising, ["finished"]);
  assert.ok(takes.payload.runs[0].taken_back.steps.flat().length > 0 && takes.payload.runs[0].health.counts_ok, takes.text);
  const kept = new Uint8Array((await ask({ kind: "save", ticket: 1, run: 0, notes: [] }, ["saved"])).bytes);
  const reopened = await ask({ kind: "show", ticket: 1, files: [kept] }, ["finished"]);
  assert.deepEqual(plain(reopened.payload), plain(takes.payload));
  const sameAgain = await ask({ kind: "branch", ticket: 1, run: 0, at_step: 5, edits: {}, config: {}, most: 6 }, ["finished"]);
  assert.deepEqual(plain(sameAgain.payload).runs[1].unmask_step, plain(takes.payload).runs[0].unmask_step);
  await ask({ kind: "show", ticket: 1, files }, ["finished"]);
  const branched = await ask({ kind: "branch", ticket: 2, run: 1, at_step: 0, edits: {}, config: { contrast_weight: 9 }, most: 6 }, ["finished"]);
  assert.deepEqual(branched.payload.runs.map((run) => run.config.contrast_weight), [3, 3, 9], branched.text);
  const again = await ask({ kind: "branch", ticket: 3, run: 1, at_step: 0, edits: {}, config: { contrast_weight: 0 }, replace: 2, most: 6 }, ["finished"]);
  assert.deepEqual(again.payload.runs.map((run) => run.config.contrast_weight), [3, 3, 0], again.text);
  const { value: slim } = await ask({ kind: "files", id: 7, slim: true }, ["answer"]);
  const { value: whole } = await ask({ kind: "files", id: 8, slim: false }, ["answer"]);
  assert.equal(slim.length, 3);
  assert.ok(slim[0].data.length < whole[0].data.length);
  assert.equal(slim[0].verdict.objects_found.length, 2);
  const { value: archive } = await ask({ kind: "archive", id: 9 }, ["answer"]);
  assert.equal(archive.name, "uncage-a-turtle-and-a-pink-apple-seed3.zip");
  assert.equal(Buffer.from(archive.data, "base64").subarray(0, 2).toString(), "PK");
  const { value, text } = await ask({ kind: "heads", id: 10, run: 1, step: 1, word: 1 }, ["answer"]);
  assert.ok(value, text);
  assert.deepEqual([value.heads.layers, value.heads.heads], [manifest.model.single_layers, manifest.model.num_heads]);
  const refused = await ask({ kind: "draw", ticket: 4, runs: [{ prompt, config: { ...runs[0].config, reuse_steps: 2 } }] }, ["finished"]);
  assert.match(refused.text, /reuse_steps=2: this setting is computed on the server only/);
  const other = await ask({ kind: "branch", ticket: 5, run: 9, at_step: 0, edits: {}, config: {} }, ["finished"]);
  assert.match(other.text, /no run 10/);
});

/**
 * A runtime with WebGPU: WebAssembly whose logits are a little off, as another processor's are, and which can be told to fail.
 * @returns {{ runtime: any, failing: Record<string, number> }} failing = after how many further runs the session with an output fails for good
 */
function withGraphics() {
  const failing = { logits: Infinity, pictures: Infinity };
  const create = async (bytes, options) => {
    const session = await ort.InferenceSession.create(bytes, { ...options, executionProviders: ["wasm"] });
    const [output] = session.outputNames;
    if (options.executionProviders[0] !== "webgpu") return session;
    const run = session.run.bind(session);
    session.run = async (feeds) => {
      if (failing[output]-- <= 0) throw new Error("the device was lost");
      const outputs = await run(feeds);
      if (output === "logits") outputs.logits.data.forEach((value, i) => (outputs.logits.data[i] = value + 0.002 * Math.sin(i)));
      return outputs;
    };
    return session;
  };
  return { failing, runtime: { env: ort.env, Tensor: ort.Tensor, InferenceSession: { create } } };
}

test("WebGPU that fails in the middle of a run: WebAssembly draws it from the beginning, to the last bit", options, async (t) => {
  const prompt = compose(manifest, [{ noun: "cat", color: "red", count: 1, side: "" }]);
  const draw = { kind: "draw", ticket: 1, runs: ["meissonic", "uncage"].map((order) => ({ prompt, config: { order, num_steps: STEPS, seed: 4 } })), live: true };
  const plain = started();
  await plain.ask(opening(), ["opened"]);
  const wanted = await plain.ask(draw, ["finished"]);
  const device = { build: "webgpu", name: "WebGPU (a maker)", hurry: false };
  for (const [output, runs, beside] of [["logits", 3, false], ["pictures", 2, true]]) {
    const { runtime, failing } = withGraphics();
    const { told, ask } = started(runtime);
    const message = { ...opening(), device };
    if (beside) {
      const { port1, port2 } = new MessageChannel();
      t.after(() => port1.close());
      started(runtime).ask({ ...message, kind: "help", port: port1 }, []);
      message.helper = port2;
    }
    assert.equal((await ask(message, ["opened"])).kind, "opened");
    failing[output] = runs;
    const drawn = await ask(draw, ["finished"]);
    assert.equal(drawn.kind, "finished", drawn.text);
    assert.deepEqual(told.filter(({ kind }) => kind === "device"), [{ kind: "device", device: { build: "wasm", name: "WebAssembly", hurry: false }, text: "the device was lost", silent: false }]);
    assert.deepEqual([drawn.payload, drawn.hashes], [wanted.payload, wanted.hashes], output);
    const steps = told.filter(({ kind }) => kind === "progress").map(({ step }) => step);
    assert.ok(steps.length > STEPS && steps.lastIndexOf(0) > 0, `it began again: ${steps}`);
    // What is asked for afterwards is WebAssembly's, too.
    const branch = { kind: "branch", ticket: 2, run: 0, at_step: 1, edits: {}, config: { order: "confidence" } };
    assert.deepEqual((await ask(branch, ["finished"])).payload, (await plain.ask(branch, ["finished"])).payload);
    await plain.ask(draw, ["finished"]); // its first runs again
  }
});

/**
 * A page's workers in this thread, each with a runtime of its own. One whose WebGPU waits is stuck for good: whoever still enters it is told.
 * @returns {{ Worker: any, silent: Record<string, number>, begun: any[] }} silent = after how many further runs a session with an output answers no more
 */
function workersInThisThread() {
  const silent = { logits: Infinity, pictures: Infinity };
  const begun = [];
  class Worker {
    constructor() {
      let stuck = false;
      const entered = () => assert.ok(!stuck, "nothing enters a runtime that waits");
      const create = async (bytes, options) => {
        entered();
        const session = await ort.InferenceSession.create(bytes, { ...options, executionProviders: ["wasm"] });
        const [output] = session.outputNames;
        const run = session.run.bind(session);
        session.run = (feeds) => {
          entered();
          if (options.executionProviders[0] !== "webgpu" || silent[output]-- > 0) return run(feeds);
          stuck = true;
          return new Promise(() => {});
        };
        return session;
      };
      this.heard = [];
      const scope = { addEventListener: (_, listener) => (this.hear = listener), postMessage: (data) => queueMicrotask(() => this.heard.forEach((listener) => listener({ data }))) };
      serve({ env: ort.env, Tensor: ort.Tensor, InferenceSession: { create } }, scope);
      this.ended = false;
      begun.push(this);
    }

    addEventListener(kind, listener) {
      if (kind === "message") this.heard.push(listener);
    }

    postMessage(data) {
      for (const port of [data.port, data.helper]) if (port) ports.push(port);
      if (!this.ended) this.hear({ data });
    }

    terminate() {
      this.ended = true;
    }
  }
  const ports = [];
  return { Worker, silent, begun, close: () => ports.forEach((port) => port.close()) };
}

test("WebGPU that answers no more in the middle of a run: others draw it with WebAssembly, to the last bit", options, async (t) => {
  const prompt = compose(manifest, [{ noun: "cat", color: "red", count: 1, side: "" }]);
  const runs = ["meissonic", "uncage"].map((order) => ({ prompt, config: { order, num_steps: STEPS, seed: 4 } }));
  const plain = started();
  await plain.ask(opening(), ["opened"]);
  const wanted = await plain.ask({ kind: "draw", ticket: 1, runs, live: true }, ["finished"]);
  const branch = { at_step: 1, config: { order: "confidence" } };
  const wantedBranch = await plain.ask({ kind: "branch", ticket: 2, run: 0, edits: {}, ...branch }, ["finished"]);
  const device = { build: "webgpu", name: "WebGPU (a maker)", hurry: false, patience: { start_ms: 60_000, first_ms: 60_000, least_ms: 400, times: 10 } };
  const { wasm, parts } = opening();
  for (const [output, after, cores] of [["logits", 1, 2], ["pictures", 2, 2], ["logits", 2, 1]]) {
    const { Worker, silent, begun, close } = workersInThisThread();
    t.after(close);
    globalThis.Worker = Worker;
    Object.defineProperty(globalThis, "navigator", { value: { hardwareConcurrency: cores }, configurable: true });
    const told = [];
    let settle;
    const answer = () => new Promise((resolve, reject) => (settle = { resolve, reject }));
    const engine = new Engine("worker.js", {
      opened: () => settle.resolve(),
      progress: ({ step }) => told.push(step),
      finished: (message) => settle.resolve(message),
      failed: (text) => settle.reject(new Error(text)),
      device: (...what) => told.push(what),
      saved() {},
    });
    const asked = (act) => {
      const answered = answer();
      act();
      return answered;
    };
    await asked(() => engine.open(manifest, wasm, parts, device));
    // An answer for each size that is to come, so that none is compiled any more.
    await asked(() => engine.draw(runs.map((run) => ({ ...run, config: { ...run.config, seed: 5 } })), { live: true }));
    told.length = 0;
    silent[output] = after;
    const drawn = await asked(() => engine.draw(runs, { live: true }));
    const changes = told.filter((one) => Array.isArray(one));
    assert.equal(changes.length, 1, `${output} on ${cores} cores`);
    const [to, text, isSilent] = changes[0];
    assert.deepEqual([to.build, isSilent], ["wasm", true]);
    assert.match(text, /^WebGPU gave no answer for [\d.]+ seconds?$/);
    const steps = told.filter((one) => !Array.isArray(one));
    assert.deepEqual(steps.slice(steps.lastIndexOf(0)), [0, 1, 2, 3].slice(0, steps.length - steps.lastIndexOf(0)));
    assert.deepEqual([drawn.payload, drawn.hashes], [wanted.payload, wanted.hashes], `${output} on ${cores} cores`);
    assert.deepEqual(begun.map(({ ended }) => ended), cores === 1 ? [false, false] : [false, true, false, false], "one for each that computed");
    // The runs are still there, and what is asked for afterwards is WebAssembly's.
    const later = await asked(() => engine.branch(0, branch.at_step, {}, branch.config));
    assert.deepEqual(later.payload, wantedBranch.payload);
  }
});

test("too little memory and a damaged model are said in a sentence", options, async () => {
  const full = { env: { wasm: {} }, InferenceSession: { create: async () => { throw new RangeError("WebAssembly.Memory(): could not allocate memory"); } } };
  assert.match((await started(full).ask(opening(), ["opened"])).text, /^This browser has not enough memory for the model\./);
  const message = opening();
  message.parts.decoder = packed(Buffer.from("not a model"));
  message.parts.transformer = message.parts.decoder;
  assert.match((await started(full).ask(message, ["opened"])).text, /transformer \(transformer\.onnx\) is damaged: it has 11 bytes/);
});

test("SHA-256 without crypto.subtle", async () => {
  for (const text of ["", "abc", "a".repeat(55), "a".repeat(56), "a".repeat(64), "ü".repeat(333)]) {
    const bytes = new TextEncoder().encode(text);
    assert.deepEqual(new Uint8Array(sha256Plain(bytes)), new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)), String(text.length));
  }
});

// What computes in a browser: when WebGPU is taken, and what is told where it is not.
import assert from "node:assert/strict";
import test from "node:test";
import { Crew } from "../../uncage_demo/browser/static/backends/crew.js";
import { largestDifference, openOnGraphics } from "../../uncage_demo/browser/static/backends/devices.js";
import { openPart } from "../../uncage_demo/browser/static/backends/parts.js";
import { GraphicsSilent, PATIENCE, Watch, answeredWithin } from "../../uncage_demo/browser/static/backends/patience.js";
import { chooseDevice, webAssembly } from "../../uncage_demo/browser/static/live/device.js";

const having = (adapter) => ({ requestAdapter: async () => adapter });

test("without a graphics processor WebAssembly computes, and why is told", async () => {
  globalThis.isSecureContext = true;
  const lost = { requestAdapter: async () => { throw new Error("lost"); } };
  for (const [gpu, reason] of [
    [null, "this browser has no WebGPU"],
    [having(null), "this browser has WebGPU, but no graphics processor for it"],
    [lost, "this browser has WebGPU, but no graphics processor for it"],
    [having({ info: { isFallbackAdapter: true } }), "WebGPU would be computed by the processor itself here"],
    [having({ isFallbackAdapter: true }), "WebGPU would be computed by the processor itself here"],
  ]) {
    for (const wish of ["auto", "webgpu"]) assert.deepEqual(await chooseDevice(wish, gpu), webAssembly(reason));
  }
  globalThis.isSecureContext = false;
  assert.match((await chooseDevice("auto", null)).reason, /over https only/);
  assert.deepEqual(await chooseDevice("wasm", having({ info: { vendor: "maker" } })), webAssembly());
});

test("a graphics processor is taken where it is faster, or because it was chosen", async () => {
  const gpu = having({ info: { vendor: "maker", architecture: "kind" } });
  assert.deepEqual(await chooseDevice("auto", gpu), { build: "webgpu", name: "WebGPU (maker kind)", reason: "", hurry: true });
  assert.deepEqual(await chooseDevice("webgpu", gpu), { build: "webgpu", name: "WebGPU (maker kind)", reason: "", hurry: false });
  assert.equal((await chooseDevice("software", having({ isFallbackAdapter: true }))).build, "webgpu");
});

test("a difference is the largest one, and what is no number differs", () => {
  assert.equal(largestDifference([1, 2, 3], [1, 2.5, 2.75]), 0.5);
  assert.equal(largestDifference([1], [1, 2]), Infinity);
  assert.equal(largestDifference([NaN, 1], [1, 1]), Infinity);
});

const clock = { now: 0, running: 0 };

/** A runtime whose sessions answer with given logits after a given time, and which of them were given back. */
function runtime(answers) {
  const released = [];
  const create = async (bytes, { executionProviders: [provider] }) => ({
    outputNames: ["logits"],
    run: async () => {
      assert.equal(clock.running++, 0, "one run at a time");
      await null;
      clock.running--;
      const { logits, ms = 0 } = answers[provider];
      clock.now += ms;
      return { logits: { data: logits } };
    },
    release: async () => released.push(provider),
    provider,
  });
  return { released, ort: { InferenceSession: { create }, Tensor: class {} } };
}

const manifest = { ids: { pad: 0, start: 1, end: 2 }, mask_id: 9, model: { grid: [2, 2], codebook_size: 9 }, files: { transformer: { file: "t", bytes: 1, sha256: "" } } };
const read = async () => new Uint8Array(1);

test("a runtime computes one thing at a time", async (t) => {
  t.mock.method(globalThis.crypto.subtle, "digest", async () => new ArrayBuffer(0));
  const { ort } = runtime({ wasm: { logits: [1] } });
  const sessions = [await openPart(manifest, ort, "transformer", read), await openPart(manifest, ort, "transformer", read)];
  const outputs = await Promise.all([...sessions, ...sessions].map((session) => session.run({})));
  assert.equal(outputs.length, 4);
});

test("WebGPU is held against WebAssembly before it draws", async (t) => {
  t.mock.method(performance, "now", () => clock.now);
  t.mock.method(globalThis.crypto.subtle, "digest", async () => new ArrayBuffer(0)); // the files of this test have no hash
  const same = runtime({ webgpu: { logits: [1.001, 2] }, wasm: { logits: [1, 2], ms: 20 } });
  assert.equal((await openOnGraphics(manifest, same.ort, "transformer", read, { hurry: true })).provider, "webgpu");
  assert.deepEqual(same.released, ["wasm"]);
  const other = runtime({ webgpu: { logits: [1.5, 2] }, wasm: { logits: [1, 2] } });
  await assert.rejects(openOnGraphics(manifest, other.ort, "transformer", read, { hurry: false }), /WebGPU computes the transformer differently here \(by 0\.50\)/);
  assert.deepEqual(other.released.sort(), ["wasm", "webgpu"]);
  const slow = { webgpu: { logits: [1, 2], ms: 30 }, wasm: { logits: [1, 2] } };
  await assert.rejects(openOnGraphics(manifest, runtime(slow).ort, "transformer", read, { hurry: true }), /WebGPU is slower here \(the transformer takes 30 instead of 0 ms\)/);
  assert.equal((await openOnGraphics(manifest, runtime(slow).ort, "transformer", read, { hurry: false })).provider, "webgpu");
});

const NEVER = new Promise(() => {});
const SHORT = { start_ms: 60, first_ms: 60, least_ms: 20, times: 10 };

test("an answer is waited for as long as earlier ones allow", async (t) => {
  t.mock.method(performance, "now", () => clock.now);
  const watch = new Watch();
  const small = { tokens: { dims: [1, 256] }, text: { dims: [2, 4] } }, large = { tokens: { dims: [1, 256] }, text: { dims: [2, 8] } };
  const taking = (ms, feeds = small) => watch.over(feeds, async () => (clock.now += ms));
  const sizes = ["tokens 1,256, text 2,4", "tokens 1,256, text 2,8"];
  assert.deepEqual(sizes.map((size) => watch.most(size)), [20_000, 20_000]);
  await taking(15_000); // compiles: it says nothing of those that follow
  assert.deepEqual(sizes.map((size) => watch.most(size)), [5_000, 20_000]);
  for (const ms of [900, 100, 30_000]) await taking(ms);
  assert.equal(watch.most(sizes[0]), 9_000, "ten times the median");
  await taking(18_000, large);
  assert.equal(watch.most(sizes[1]), 9_000);
  assert.equal(PATIENCE.start_ms, 45_000);
});

test("what never answers is told after its time, which a computer that sleeps does not spend", async (t) => {
  assert.equal(await answeredWithin(Promise.resolve(3), 1000), 3);
  await assert.rejects(answeredWithin(Promise.reject(new Error("lost")), 1000), /^Error: lost$/);
  await assert.rejects(answeredWithin(NEVER, 20), (error) => error instanceof GraphicsSilent && error.message === "WebGPU gave no answer for 0.02 seconds");
  t.mock.timers.enable({ apis: ["setInterval"] });
  let said = "";
  answeredWithin(NEVER, 20_000).catch((error) => (said = error.message));
  for (let tick = 0; tick < 19; tick++) t.mock.timers.tick(1000);
  await null;
  assert.equal(said, "");
  t.mock.timers.tick(1000);
  for (let turn = 0; turn < 4; turn++) await null;
  assert.equal(said, "WebGPU gave no answer for 20 seconds");
});

test("nothing is asked of a runtime that waits for good", async (t) => {
  t.mock.method(globalThis.crypto.subtle, "digest", async () => new ArrayBuffer(0));
  const { ort, released } = runtime({ webgpu: { logits: [1] }, wasm: { logits: [1] } });
  const plain = await openPart(manifest, ort, "transformer", read), { create } = ort.InferenceSession;
  ort.InferenceSession.create = async (...given) => ({ ...(await create(...given)), run: () => NEVER });
  const graphics = await openPart(manifest, ort, "transformer", read, new Watch(SHORT));
  await Promise.all([graphics.run({}), plain.run({}), graphics.run({})].map((answer) => assert.rejects(answer, GraphicsSilent)));
  await assert.rejects(plain.run({}), GraphicsSilent);
  // One that is silent from the start is refused, and one that never starts.
  const other = runtime({ webgpu: {}, wasm: { logits: [1, 2] } });
  const started = other.ort.InferenceSession.create;
  other.ort.InferenceSession.create = async (bytes, options) => ({ ...(await started(bytes, options)), ...(options.executionProviders[0] === "webgpu" ? { run: () => NEVER } : {}) });
  await assert.rejects(openOnGraphics(manifest, other.ort, "transformer", read, { hurry: false, patience: SHORT }), GraphicsSilent);
  other.ort.InferenceSession.create = () => NEVER;
  await assert.rejects(openOnGraphics(manifest, other.ort, "transformer", read, { hurry: false, patience: SHORT }), /^GraphicsSilent|WebGPU gave no answer for 0\.06 seconds/);
  assert.deepEqual([...released, ...other.released], [], "its memory cannot be given back");
});

/** A hand that does things when it is told to, and what it was asked for. */
function hand(...able) {
  const asked = [], end = [];
  const act = (name) => () => new Promise((resolve) => (asked.push(name), end.push(resolve)));
  return { asked, end, able: new Set(able), read: act("read"), pictures: act("pictures"), sights: act("sights"), async open(part) { if (part === "decoder" && !able.length) throw new Error("no memory"); this.able.add({ transformer: "read", decoder: "pictures" }[part]); } };
}

test("whoever has least to do reads and draws", async () => {
  const [own, other] = [hand("read"), hand("pictures", "sights")];
  const crew = new Crew([own, other]);
  for (const [name, count] of [["read", 2], ["pictures", 2]]) for (let i = 0; i < count; i++) crew[name]();
  assert.deepEqual([own.asked, other.asked], [["read", "read"], ["pictures", "pictures"]], "each what it can");
  for (const done of [...own.end, ...other.end]) done();
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual(crew.load, [0, 0]);
  await crew.share();
  for (const one of [own, other]) one.asked.length = 0;
  crew.pictures(), crew.pictures(), crew.read(), crew.read(), crew.sights();
  assert.deepEqual([own.asked, other.asked], [["pictures", "read"], ["pictures", "read", "sights"]]);
  // One that gets no memory for its part goes on without it.
  const poor = hand();
  const two = new Crew([hand("read", "pictures"), poor]);
  await two.share();
  assert.deepEqual([...poor.able], ["read"]);
});

// The browser's engine decides as the Python engine did (see make_fixture.py): given the same logits, every decision of every order.
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import test from "node:test";
import { DEFAULTS, ELSEWHERE, LATER } from "../../uncage_demo/browser/static/config.js";
import { PURPOSES, gumbel, rollOffset, uniforms } from "../../uncage_demo/browser/static/decoding/noise.js";
import { decodeMany } from "../../uncage_demo/browser/static/decoding/sampler.js";
import { maskCount } from "../../uncage_demo/browser/static/decoding/schedule.js";
import { haltonOrder } from "../../uncage_demo/browser/static/orders/halton.js";
import { ORDERS } from "../../uncage_demo/browser/static/orders/table.js";
import { exponential } from "../../uncage_demo/browser/static/decoding/tokens.js";

const folder = process.env.UNCAGE_ENGINE_FIXTURE;
const options = { skip: folder ? false : "UNCAGE_ENGINE_FIXTURE names no folder; tests/browser/test_engine.py writes one" };
const truth = folder ? JSON.parse(fs.readFileSync(path.join(folder, "runs.json"), "utf-8")) : null;
const bytes = folder ? fs.readFileSync(path.join(folder, "arrays.bin")) : null;
const floats = bytes && new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

const array = (entry) => entry && floats.subarray(entry.at, entry.at + entry.shape.reduce((a, b) => a * b, 1));
const rows = (entry) => {
  const all = array(entry);
  return all && Array.from({ length: entry.shape[0] }, (_, k) => all.subarray(k * entry.shape[1], (k + 1) * entry.shape[1]));
};
const places = (mask) => Array.from(mask.keys()).filter((i) => mask[i]);

/** A model that answers with what the Python model answered, step by step. */
function recorded(run) {
  let step = 0;
  return {
    info: truth.model,
    default_blur: truth.blur,
    encode: () => run.text,
    async forward(request) {
      const given = run.given[step++];
      assert.ok(given, "no more forwards than in Python");
      assert.equal(request.unconditional, given.uncond !== null, "guided as in Python");
      return { cond: array(given.cond), uncond: array(given.uncond), attention: rows(given.attention), attention_full: null };
    },
  };
}

function close(got, wanted, tolerance, what) {
  assert.equal(got.length, wanted.length, what);
  for (let i = 0; i < got.length; i++) {
    const limit = tolerance * Math.max(1, Math.abs(wanted[i]));
    assert.ok(Math.abs(got[i] - wanted[i]) <= limit || (wanted[i] === Math.fround(-1e30) && got[i] === -Infinity), `${what} at cell ${i}: ${got[i]} instead of ${wanted[i]}`);
  }
}

test("the noise is that of Python, bit for bit", options, () => {
  for (const { seed, step, uniforms: wanted, gumbel: bits, offset } of truth.noise) {
    for (const purpose of Object.keys(PURPOSES)) {
      const got = uniforms(seed, step, purpose, wanted[purpose].length);
      assert.deepEqual(Array.from(got), wanted[purpose].map(fromHex), `seed ${seed}, step ${step}, ${purpose}`);
    }
    assert.deepEqual(Array.from(new Uint32Array(gumbel(seed, step, bits.length).buffer)), bits, `Gumbel noise of seed ${seed}`);
    assert.equal(rollOffset(seed, 144), offset);
  }
});

test("the exponential is Math.exp to a float32, and nothing where that is nothing", () => {
  const random = uniforms(7, 0, "token", 40_000);
  const differing = Array.from(random, (u) => Math.fround(-110 * u * u)).filter((x) => Math.fround(exponential(x)) !== Math.fround(Math.exp(x)));
  assert.ok(differing.length <= 1, `differs at ${differing.slice(0, 4)}`);
  assert.deepEqual([0, -1e4, -150, NaN, Math.fround(-Math.LN2)].map(exponential).map(Math.fround), [1, 0, 0, NaN, 0.5]);
});

/** Python's float.hex() of a number in 0..1, exactly. */
function fromHex(text) {
  const [, whole, digits, power] = /^0x([01])\.([0-9a-f]{13})p([+-]\d+)$/.exec(text);
  return (Number(whole) + Number(BigInt(`0x${digits}`)) / 2 ** 52) * 2 ** Number(power);
}

test("every schedule counts as Python does", options, () => {
  for (const [name, step, steps, tokens, stay] of truth.schedule) {
    assert.equal(maskCount(name, step, steps, tokens, tokens, 1.7), stay, `${name}, step ${step} of ${steps}, ${tokens} tokens`);
  }
});

test("the Halton list is Python's", options, () => {
  for (const [size, cells] of Object.entries(truth.halton)) assert.deepEqual(Array.from(haltonOrder(...size.split(" ").map(Number))), cells);
});

test("the browser's orders are Python's", options, () => {
  assert.ok(Object.keys(ORDERS).length >= 12, "an order was lost");
  for (const [name, order] of Object.entries(ORDERS)) {
    const got = {
      redraw_share: order.redrawShare || 0, own_words: Boolean(order.ownWords), guided: Boolean(order.contrast),
      needs: [...(order.needs || [])].sort(), terms: Boolean(order.terms),
    };
    assert.deepEqual(got, truth.orders[name], name);
  }
});

test("settings that are not given are Python's", options, () => {
  const here = { ...DEFAULTS, ...ELSEWHERE };
  assert.deepEqual(here, Object.fromEntries(Object.keys(here).map((name) => [name, truth.defaults[name]])));
  assert.deepEqual([...LATER, ...Object.keys(ELSEWHERE)].sort(), truth.later.filter((name) => name in here).sort());
  // A setting that is not known here is refused by its name; at its default Python does not write it.
  assert.deepEqual(Object.keys(truth.defaults).filter((name) => !(name in here) && !truth.later.includes(name)), []);
});

for (const run of truth ? truth.runs : []) {
  if (!(run.config.order in ORDERS)) continue;
  test(`decides as Python: ${run.name}`, async () => {
    const start = run.start && { ...run.start, tokens: Int32Array.from(run.start.tokens), unmask_step: run.start.unmask_step && Int32Array.from(run.start.unmask_step), before: run.start.before && { tokens: Int32Array.from(run.start.before), sight: null }, likelihoods: run.start.likelihoods.map((row) => Float32Array.from(row, (value) => value ?? NaN)) };
    const made = [];
    for await (const [record] of decodeMany(recorded(run), [{ prompt: run.prompt, config: run.config, start, suppress: run.suppress }])) made.push(record);
    assert.equal(made.length, run.steps.length, "steps");
    made.forEach((record, s) => {
      const wanted = run.steps[s];
      const what = `step ${wanted.step}`;
      assert.equal(record.step, wanted.step);
      assert.deepEqual(places(record.masked_before), wanted.masked, `${what}: masked cells`);
      assert.deepEqual(Array.from(record.sampled), wanted.sampled, `${what}: tokens`);
      assert.deepEqual(places(record.committed), wanted.committed, `${what}: committed cells`);
      assert.deepEqual(record.sight && Array.from(record.sight), wanted.sight, `${what}: whose words`);
      assert.deepEqual(record.reopened && Array.from(record.reopened), wanted.reopened, `${what}: taken back`);
      assert.equal(record.passes, wanted.passes, `${what}: passes`);
      assert.equal(record.likelihood === null, wanted.likelihood === null, `${what}: remembers`);
      if (record.likelihood) close(record.likelihood, array(wanted.likelihood), 1e-5, `${what}: likelihood`);
      assert.equal(record.weight, wanted.weight, `${what}: weight`);
      close([Number.isFinite(record.cutoff) ? record.cutoff : 0], [wanted.cutoff ?? 0], 1e-5, `${what}: cutoff`);
      // Noise that follows the entropy has the last digits of a sum over the codebook in it; all other noise has no arithmetic.
      if (run.config.entropy_heat) close(record.noise, array(wanted.noise), 1e-6, `${what}: noise`);
      else assert.deepEqual(Array.from(record.noise), Array.from(array(wanted.noise)), `${what}: noise, bit for bit`);
      for (const name of ["confidence", "contrast", "scores", "entropy", "alternative_probs"]) close(record[name], array(wanted[name]), 1e-5, `${what}: ${name}`);
    });
  });
}

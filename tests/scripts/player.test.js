// What the player says of a run is what the trace and the engine say of it.
const test = require("node:test");
const assert = require("node:assert/strict");
const { parts, payload, truth, fresh, pair } = require("./load.js");

const model = fresh();
const close = (got, wanted, tolerance, what) => assert.ok(Math.abs(got - wanted) <= tolerance, `${what}: ${got} instead of ${wanted}`);
const cellsOf = (mask) => Array.from(mask.keys()).filter((i) => mask[i]);

test("a step hides exactly the cells that the trace still masks", () => {
  model.runs.forEach((run, index) => {
    for (let s = 0; s < run.steps; s++) {
      const hidden = Array.from({ length: model.cells }, (_, i) => i).filter((i) => run.hidden(s, i));
      assert.deepEqual(hidden, truth.hidden[index][s], `run ${run.letter}, step ${s}`);
    }
  });
});

test("every cell has the token of the trace, drawn now or decided before", () => {
  model.runs.forEach((run, index) => {
    for (let s = 0; s < run.steps; s++) {
      assert.deepEqual(Array.from({ length: model.cells }, (_, i) => run.token(s, i)), truth.tokens[index][s]);
    }
  });
});

test("why now: terms, score, rank and cutoff are the engine's", () => {
  assert.ok(truth.why.length > 30);
  for (const wanted of truth.why) {
    const data = model.runs[wanted.run].candidate(wanted.step, wanted.cell);
    const what = `run ${wanted.run}, step ${wanted.step}, cell ${wanted.cell}`;
    for (const key of ["confidence", "noise", "contrast", "score", "cutoff", "weight", "rank", "picked", "candidates"]) {
      assert.equal(data[key], wanted[key], `${what}: ${key}`);
    }
    assert.equal(data.margin, wanted.score - wanted.cutoff);
  }
  const decided = Array.from({ length: model.cells }, (_, i) => i).find((i) => !model.runs[0].masked(5, i));
  assert.equal(model.runs[0].candidate(5, decided), null);
});

test("what if picks the cells that the engine would", () => {
  let moved = 0;
  for (const { run: index, step, change, cells } of truth.what_if) {
    const run = model.runs[index];
    const chosen = cellsOf(run.pick(step, run.changedTerms(step, change)));
    assert.deepEqual(chosen, cells, `run ${run.letter}, step ${step}, ${JSON.stringify(change)}`);
    moved += chosen.some((i) => !run.committed(step, i)) ? 1 : 0;
  }
  assert.ok(moved > 5, "the changes change something");
});

test("a region tells which words its cells read when they were decided", () => {
  const run = model.runs[1];
  for (const { box, times } of truth.regions) {
    const cells = parts.data.cellsOf(box, model.grid[1]);
    times.forEach((wanted, w) => close(run.timesRead(w, cells), wanted, 0.001 * wanted, `word ${w} of region ${box}`));
  }
  assert.deepEqual(parts.data.regionOf(3 * 12 + 5, 1 * 12 + 2, 12), [1, 2, 3, 5]);
  assert.equal(parts.phrases.area([1, 2, 3, 2]), "Rows 2 to 4, column 3");
});

test("the start and the end token have maps of their own, after the words", () => {
  const first = payload.prompt.words.length;
  assert.deepEqual(model.words.slice(first).map((word) => word.text), ["start token", "end token"]);
  truth.marks.forEach((maps, index) => maps.forEach((map, k) => {
    const run = model.runs[index], most = payload.runs[index].marks.max;
    map.forEach((wanted, i) => close(run.wordAt(run.steps - 1, first + k, i), wanted, most * 0.005, `${model.words[first + k].text}, cell ${i}`));
  }));
  assert.equal(model.runs[0].hasWord(first + 2), false);
  assert.equal(parts.data.cutPrompt(model.text, model.words.filter((word) => !word.mark)).map((piece) => piece.text).join(""), model.text);
});

test("a caption says what a step did", () => {
  const { caption } = parts.phrases;
  const fork = payload.runs[1].divergence;
  const said = caption(model, { step: fork, layer: "object" }, "About the layer.");
  assert.match(said, new RegExp(`^Step ${fork + 1} of 8: \\d+ cells? decided, ${truth.hidden[0][fork].length} still masked\\. Here .*B.* first differ`));
  assert.ok(said.endsWith("About the layer."));
});

test("a card says whose words a cell could read", () => {
  const { readOnly } = parts.phrases;
  const [run] = fresh().runs;
  assert.equal(run.readers(0, 0), null, "no sight on record: every word");
  const map = Array.from({ length: model.cells }, (_, i) => [2, 0, 3][i % 3]);
  run.raw.sight = { at: Array.from({ length: run.steps }, (_, s) => (s < 4 ? -1 : 0)), maps: [map] };
  assert.equal(run.readers(3, 0), null);
  assert.deepEqual([0, 1, 2].map((i) => run.readers(4, i)), [[1], [], [0, 1]]);
  assert.equal(readOnly(null, 2), "");
  assert.equal(readOnly(["turtle", "pink apple"], 2), "", "all words of all objects");
  assert.equal(readOnly(["pink apple"], 2), "This cell read only the words of: pink apple.");
  assert.equal(readOnly([], 2), "This cell read no object’s words.");
});

test("the binding table is the one of the diagnosis, and says what committed the deciding cell", () => {
  const { committedBy, readTimes, drawnAfter } = parts.phrases;
  model.runs.forEach((run, index) => assert.deepEqual(run.raw.binding.objects.map((o) => o.times), truth.binding[index]));
  for (const run of model.runs) {
    for (const object of run.raw.binding.objects.filter((o) => o.decision)) {
      const { step, cell, lead, last, needed } = object.decision;
      const why = run.candidate(step - run.firstStep, cell);
      assert.ok(why.picked);
      const sum = ["confidence", "noise"].reduce((all, key) => all + why[key], 0) + why.weight * why.contrast;
      const least = run.scores.slice(run.offsets[step - run.firstStep], run.offsets[step - run.firstStep + 1]);
      const mean = least.reduce((all, v) => all + v, 0) / least.length;
      close(Object.values(lead).reduce((all, v) => all + v, 0), sum - mean, 1e-3, "leads add up to the score's lead");
      assert.ok(!last || !needed.length);
    }
  }
  const made = { word: 1, step: 4, cell: 13, lead: { confidence: -0.25, noise: 3.06 }, needed: ["noise"], last: false };
  assert.equal(committedBy(made, ""), "Committed by noise (3.1 above the average candidate): without it the cell would have waited.");
  assert.equal(committedBy({ ...made, needed: ["confidence", "noise"] }, ""),
    "Committed by confidence (0.3 below the average candidate) and noise (3.1 above the average candidate): without any one of them the cell would have waited.");
  assert.match(committedBy({ ...made, needed: [] }, ""), /^No single term was needed.*strongest was noise/);
  assert.equal(committedBy({ ...made, last: true }, ""), "The last step commits all cells that are left.");
  assert.equal(committedBy({ ...made, lead: {} }, ""), "The order’s own score committed the cell.");
  assert.equal(committedBy(made, "keep"), "This branch forced the cell.");
  assert.equal(drawnAfter(model, { ...made, cell: 0 }), `read “${model.words[1].text}” most from step 5 on (row 1, column 1).`);
  assert.deepEqual([0, 2.44, 12.3].map(readTimes), ["0.0×", "2.4×", "12×"]);
});

test("detector boxes: wrong is what nobody asked for, or has another colour", () => {
  const boxes = model.runs[0].boxes(model.subjects);
  assert.deepEqual(boxes.map(({ label, wrong }) => [label, wrong]), truth.boxes);
  assert.deepEqual(model.runs[1].boxes(model.subjects), []);
});

test("what if starts from each stage's own settings", () => {
  for (const run of model.runs.slice(0, 2)) {
    for (let s = 0; s < run.steps; s++) {
      const chosen = cellsOf(run.pick(s, run.changedTerms(s, { noiseFactor: 1 })));
      assert.deepEqual(chosen, Array.from({ length: model.cells }, (_, i) => i).filter((i) => run.committed(s, i)));
    }
  }
  const [plain, guided] = model.runs;
  assert.deepEqual(plain.changedTerms(0, { noiseFactor: 2 }), { confidence: true, noise: true, contrast: false, weight: 0, noiseFactor: 2 });
  assert.equal(guided.changedTerms(0, { noiseFactor: 2 }).weight, 3);
  assert.equal(plain.changedTerms(0, { weight: 4 }).contrast, true, "a weight that was set brings its term in");
  assert.equal(plain.changedTerms(0, { weight: 4, contrast: false }).contrast, false);
});

test("layers give the values of the trace", () => {
  const painter = new parts.layers.Painter(model);
  const [, run] = model.runs;
  const out = new Float32Array(model.cells);
  const wanted = truth.why.filter((w) => w.run === 1 && w.step === 2);
  for (const key of ["confidence", "contrast"]) {
    painter.values(run, 2, { layer: key }, out);
    for (const w of wanted) assert.equal(out[w.cell], w[key], key);
    assert.ok(Array.from(out).some(Number.isNaN), "decided cells have no value");
  }
  painter.values(run, run.steps - 1, { layer: "order" }, out);
  assert.deepEqual(Array.from(out), truth.order[1]);
  const most = Math.max(...truth.words.flat());
  truth.words.forEach((values, word) => {
    if (!run.hasWord(word)) return;
    painter.values(run, 2, { layer: "word", word }, out);
    values.forEach((v, i) => close(out[i], v, most / 100, `word ${word}, cell ${i}`));
  });
  const { object } = model.subjects[1];
  painter.values(run, 2, { layer: "object", object: 1 }, out);
  out.forEach((v, i) => close(v, object.reduce((sum, w) => sum + truth.words[w][i], 0) / object.length, most / 100, `object, cell ${i}`));
});

test("a difference is this run minus run A", () => {
  const painter = new parts.layers.Painter(model);
  const [a, b] = model.runs;
  const out = new Float32Array(model.cells), other = new Float32Array(model.cells);
  painter.difference(b, 1, { layer: "difference", of: "confidence" }, out, other);
  let compared = 0;
  for (let i = 0; i < model.cells; i++) {
    const one = a.candidate(1, i), two = b.candidate(1, i);
    if (!one || !two) assert.ok(Number.isNaN(out[i]));
    else {
      assert.equal(out[i], Math.fround(two.confidence - one.confidence));
      compared++;
    }
  }
  assert.ok(compared > 10);
  const scale = painter.scale({ layer: "difference", of: "confidence" });
  assert.equal(scale.low, -scale.high);
});

test("every layer of the table is whole", () => {
  const painter = new parts.layers.Painter(model);
  const keys = parts.layers.LAYERS.map((l) => l.key);
  assert.equal(new Set(keys).size, keys.length);
  for (const layer of parts.layers.LAYERS) {
    assert.ok(layer.name && layer.about, layer.key);
    if (!layer.values || !layer.available(model)) continue;
    const state = { layer: layer.key, of: layer.key, object: 0, word: 1, locked: true };
    const { low, high, table, unit } = painter.scale(state);
    assert.ok(low < high && table.length === 256 && unit, layer.key);
  }
  assert.ok(!painter.available("no such layer"));
});

test("scales of one map keep their zero", () => {
  const { range } = parts.layers;
  assert.deepEqual(range([1, 3, NaN], "low"), [0, 3]);
  assert.deepEqual(range([-1, 3], "middle"), [-3, 3]);
  assert.deepEqual(range([-4, -2], "free"), [-4, -2]);
  assert.deepEqual(range([NaN], "free"), [0, 1]);
  assert.deepEqual(range([2, 2], "free"), [1, 2]);
});

test("a forced pick says that it was forced, a delayed one that it was delayed", () => {
  const { step, keep, drop } = truth.forced;
  const branch = model.runs[2];
  const { standing } = parts.phrases;
  const kept = branch.candidate(branch.local(step), keep[0]), delayed = branch.candidate(branch.local(step), drop[0]);
  assert.deepEqual([kept.picked, standing(kept).word, standing(kept).note], [true, "picked", "forced by this branch"]);
  assert.deepEqual([delayed.picked, standing(delayed).note], [false, "delayed by this branch"]);
  assert.equal(standing({ ...kept, margin: -1.6 }).margin, "lacks, but was forced");
  assert.equal(standing({ ...kept, edited: "", margin: -1.6 }).margin, "lacks");
  assert.equal(branch.edited(branch.local(step + 1), keep[0]), "", "only at the step of the branch");
  assert.equal(model.runs[1].edited(step, keep[0]), "");
  assert.equal(branch.title, payload.runs[2].title);
  assert.match(branch.title, /^Commit now at row \d+, column \d+ and Delay at row \d+, column \d+ · step 4/);
  assert.equal(branch.divergence, payload.runs[2].divergence);
});

test("words are cut where Python counts, emoji included", () => {
  const text = "a red 🍎 and a 🐱 next to a cat"; // 🍎 and 🐱 are one code point, two UTF-16 units
  const words = [["red", 2, 5], ["🍎", 6, 7], ["🐱", 14, 15], ["cat", 26, 29]].map(([word, start, end]) => ({ text: word, start, end }));
  const pieces = parts.data.cutPrompt(text, words);
  assert.equal(pieces.map((p) => p.text).join(""), text);
  assert.deepEqual(pieces.filter((p) => p.word >= 0).map((p) => p.text), ["red", "🍎", "🐱", "cat"]);
  assert.deepEqual(pieces.filter((p) => p.word < 0).map((p) => p.text), ["a ", " ", " and a ", " next to a "]);
  assert.deepEqual(parts.data.cutPrompt("", []), []);
});

test("colours: values run through the table, what has none stays clear", () => {
  const table = model.tables.order;
  const packed = parts.colors.tableOf(table);
  const pixels = new Uint32Array(4);
  parts.colors.paint([0, 5, 10, NaN], 0, 10, packed, pixels);
  const bytes = new Uint8Array(pixels.buffer);
  for (const [slot, k] of [[0, 0], [1, 128], [2, 255]]) {
    assert.deepEqual([...bytes.slice(4 * slot, 4 * slot + 4)], [table[3 * k], table[3 * k + 1], table[3 * k + 2], 255]);
  }
  assert.equal(bytes[15], 0);
  assert.deepEqual(parts.colors.parseHex("#D55E00"), [213, 94, 0]);
  assert.equal(parts.colors.css(packed, 255), `rgb(${table[765]} ${table[766]} ${table[767]})`);
  const ramp = model.subjects[0].ramp;
  assert.equal(ramp.length, 768);
  assert.deepEqual([...ramp.slice(3 * 128, 3 * 129)], [194, 77, 0]);
});

test("sentences say numbers as people do", () => {
  const { number, significant, specialShare, picksChanged, spoken } = parts.phrases;
  const shown = { 0: "0", 0.00004: "0", 0.00006: "0.0001", 0.0123456: "0.0123", 0.123456: "0.123", 1.5: "1.50", 9.996: "10.0", 99.96: "100", 1234.5: "1235" };
  for (const [value, text] of Object.entries(shown)) assert.equal(significant(Number(value)), text);
  assert.deepEqual([-0.00001, -1.234, NaN, null, -Infinity].map(significant), ["0", "−1.23", "–", "–", "−∞"]);
  assert.equal(number(-0.0001, 2), "0.00");
  assert.equal(number(-1.5, 1), "−1.5");
  assert.equal(number(Infinity, 1), "∞");
  assert.equal(number(NaN, 1), "–");
  assert.deepEqual(payload.runs[0].verdict.too_many, ["1 turtle too many"]);
  assert.equal(specialShare([["start", 0.4], ["padding", 0]]), "40 % to the start token, 0 % to padding: attention on no word");
  assert.equal(picksChanged(5, 3), "2 of 5 picks would change");
  assert.equal(picksChanged(1, 1), "the same pick");
  const { step, keep } = truth.forced;
  assert.match(spoken(model, keep[0], step), /^Row \d+, column \d+\. A: .*; B: waits, rank \d+ of \d+, .*; C: picked, rank/);
});

test("a payload of another version is refused with a reason", () => {
  assert.throws(() => parts.data.parse({ ...payload, version: 1 }), /payloads of version 2/);
  assert.throws(() => parts.data.parse({ ...payload, runs: [] }), /at least one run/);
});

test("a cell that was taken back says when and why, from its step on", () => {
  const { takenBack } = parts.phrases;
  const run = model.runs[3];
  assert.ok(truth.taken_back.length > 3);
  for (const [step, cell, why] of truth.taken_back) {
    const found = run.takenBack(step, cell);
    assert.deepEqual([found.step, found.why], [step, why]);
    assert.ok(!run.masked(step, cell) && run.masked(step + 1, cell), "it is open in the next step");
    assert.match(takenBack(found), new RegExp(`^Opened again at the end of step ${step + 1}: .*had a probability of`));
  }
  const [step, cell] = truth.taken_back[0];
  assert.equal(run.takenBack(step - 1, cell), null);
  assert.equal(model.runs[0].takenBack(3, cell), null);
  assert.equal(takenBack(null), "");
  assert.equal(takenBack({ step: 5, why: "so.", logp: null }), "Opened again at the end of step 6: so.");
});

test("runs of two prompts share what both say, and each has its own words for it", () => {
  const both = pair();
  const [one, two] = both.runs;
  const word = (text) => both.words.findIndex((w) => w.text === text);
  assert.deepEqual(both.subjects.map(({ label }) => label), ["turtle", "pink apple", "blue cat"]);
  assert.deepEqual([one.text, two.text], ["a turtle and a pink apple", "a blue cat and a turtle"]);
  assert.equal(parts.data.cutPrompt(two.text, two.spoken).map((piece) => piece.text).join(""), two.text);
  assert.deepEqual([one.objects, two.objects], [[0, 1], [2, 0]]);
  assert.equal(two.labels[2], "blue cat");
  assert.deepEqual(["turtle", "pink", "blue"].map((text) => [one.says(word(text)), two.says(word(text))]), [[true, true], [true, false], [false, true]]);
  assert.equal(two.spoken[two.ownWord(word("turtle"))].text, "turtle");
  assert.equal(one.ownWord(word("cat")), -1);
  truth.two.turtle.forEach((wanted, i) => close(two.wordAt(1, word("turtle"), i), wanted, truth.two.max * 0.005, `turtle, cell ${i}`));
  const map = new Float32Array(both.cells);
  const layer = (key, state) => new parts.layers.Painter(both).values(two, 1, { layer: key, of: "picture", ...state }, map);
  layer("word", { word: word("pink") });
  assert.ok(map.every((v) => v !== v), "a word that its prompt does not have is nowhere");
  layer("object", { object: 1 });
  assert.ok(map.every((v) => v !== v));
  layer("object", { object: 0 });
  assert.ok(map.some((v) => v > 0));
  assert.equal(one.timesRead(word("cat"), [0, 1]), NaN);
  assert.equal(parts.phrases.madeFrom(both, two), "Everything else is A’s, token for token.");
  assert.equal(parts.phrases.madeFrom(both, one), "");
  const extended = (shift) => parts.phrases.madeFrom(both, { raw: { source: 0, origin: { kind: "extend", shift } } });
  assert.equal(extended([0, 3]), "Everything else is A’s, 3 columns further right.");
  assert.equal(extended([-1, -2]), "Everything else is A’s, 2 columns further left and 1 row further up.");
});

test("why now tells regions: who goes first, and why a high score waits", () => {
  const [one, two] = pair().runs;
  const { leads, outside, inside, committed } = truth.two;
  const margin = (cell) => parts.phrases.standing(two.candidate(0, cell)).margin;
  assert.equal(two.raw.origin.leads, leads);
  assert.ok(outside.length, "some cell waits in spite of its score");
  for (const cell of outside) assert.equal(margin(cell), "exceeds, but cells of regions go first");
  for (const cell of inside) assert.equal(margin(cell), "lacks, but is in a region, which goes first");
  assert.ok(committed.every((cell) => two.regionOf(cell) === 2), "the cat's region goes first");
  assert.equal(parts.phrases.inRegion(two, 0, committed[0]), `In the region of blue cat. The first ${leads} steps commit cells of regions before any other.`);
  assert.equal(parts.phrases.inRegion(two, leads, two.cells - 1), "Outside of all regions.");
  assert.equal(parts.phrases.inRegion(one, 0, 0), "");
  assert.equal(two.led(leads, committed[0]), "", "later all cells are equal");
});

test("cells of an edit: boxes, lines, margins, what moving frees, whose cells", () => {
  const { boxOf, inBox, freed, grown, line, objectCells, owners, count } = parts.cells;
  assert.deepEqual(boxOf(14, 1, 6), [0, 1, 3, 3]);
  assert.deepEqual([6, 7, 8, 13].map((i) => inBox([1, 1, 2, 3], i, 6)), [false, true, true, false]);
  assert.deepEqual(cellsOf(freed([1, -2], [3, 4])), [0, 1, 2, 3, 6, 7, 10, 11]);
  assert.deepEqual(cellsOf(grown(Uint8Array.from({ length: 16 }, (_, i) => (i === 5 ? 1 : 0)), [4, 4])), [0, 1, 2, 4, 5, 6, 8, 9, 10]);
  assert.deepEqual(line(0, 15, 4), [0, 5, 10, 15], "a quick finger leaves no gaps");
  const both = pair();
  const [run] = both.runs;
  const last = run.steps - 1;
  const whose = owners(run, last, both.subjects);
  const own = objectCells(run, last, both.subjects, 0, both.grid);
  assert.ok(count(own) >= whose.filter((o) => o === 0).length);
  assert.ok(whose.every((o, i) => !(own[i] && o > 0)), "a margin leaves other objects alone");
  assert.ok(whose.every((o, i) => o !== 0 || own[i]));
});

test("one cell is said as one", () => {
  const { announced, knockedOut } = parts.phrases;
  const run = { local: (step) => step, counts: [1, 2], unmask: Int32Array.of(0, 5, 5), raw: { lineage: { at_step: 1, edits: { suppress_word: 0 } } } };
  const small = { runs: [run], steps: 2, words: [{ text: "cat" }] };
  assert.equal(announced(small, 0), "Step 1 of 2; 1 cell committed.");
  assert.equal(announced(small, 1), "Step 2 of 2; 2 cells committed.");
  assert.match(knockedOut(small, run), /1 cell was decided before and stays as it is\./);
  assert.match(knockedOut(small, { ...run, unmask: Int32Array.of(0, 0, 5) }), /2 cells were decided before and stay as they are\./);
});

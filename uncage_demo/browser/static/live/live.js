// The page that draws by itself: a prompt from menus, two orders, the player. Everything it needs lies in the page.

/** @import { Manifest } from "../types" */
/** @import { Lessons } from "./lessons.js" */
import { ORDERS } from "../orders/table.js";
import { compose } from "../prompt/compose.js";
import { Engine, unable } from "./engine.js";
import { BRUSH, LivePageLessons } from "./lessons.js";
import { PromptForm, fillSelect } from "./prompt_form.js";
import { doubleCells } from "./shown.js";

const MOST_SEED = 999_999;
const REDRAW_AFTER_MS = 160;
/** Runs that are shown together, as on the app's page. */
const MOST_RUNS = 6;
/** How many pictures a lesson about a mistake looks at. */
const MOST_TRIES = 8;

class LivePage {
  /** @param {{ models: { name: string, manifest: Manifest, parts: Record<string, string> }[], wasm: () => string, part: (id: string) => string, script: string, lessons: Lessons }} held what lies in the page */
  constructor(held) {
    this.held = held;
    /** @type {Record<string, any>} */
    this.hook = {};
    for (const node of document.querySelectorAll("[data-live]")) this.hook[/** @type {HTMLElement} */ (node).dataset.live || ""] = node;
    this.player = null;
    this.decoding = /** @type {any} */ (window).UncagePlayerParts.decoding.Decoding(this.hook.decoding, "live", "--up-mask");
    /** Titles of the runs that are drawing; null = the player stays on show. @type {string[] | null} */
    this.drawing = null;
    this.ready = false;
    this.marks = { asked: 0, first: 0, opened: 0 };
    /** Names of the files that are being opened. */
    this.openedFrom = "";
    /** How the brush stands, for the next player. */
    this.brush = { open: false };
    /** Of the runs that are shown, by their ids. @type {Record<string, any[]>} */
    this.notes = {};
    this.model = held.models[0];
    this.lessons = new LivePageLessons(this.hook.lessons, held.lessons, (lesson) => this.drawLesson(lesson), (detail) => this.editLesson(detail), held.part);
    /** The lesson whose runs are drawn. @type {{ resolve: (payload: any) => void, reject: (error: Error) => void } | null} */
    this.teaching = null;
    const reason = unable();
    this.engine = reason ? null : this.start();
    this.build();
    if (reason) this.fail(`${reason} Open this page with a newer browser.`);
    else this.openModel();
  }

  start() {
    return new Engine(URL.createObjectURL(new Blob([this.held.script], { type: "text/javascript" })), {
      opened: (seconds) => this.opened(seconds),
      progress: (message) => this.progress(message),
      finished: (message) => setTimeout(() => this.finished(message), 0), // to take the message and to show it are two pieces of work
      saved: (message) => saveFile(`${message.order}.npz`, message.bytes),
      failed: (text) => this.fail(text),
    });
  }

  get manifest() {
    return this.model.manifest;
  }

  openModel() {
    this.ready = false;
    this.hook.draw.disabled = this.hook.open.disabled = true;
    this.say("Opening the model…");
    const parts = Object.fromEntries(Object.entries(this.model.parts).map(([part, id]) => [part, this.held.part(id)]));
    this.engine?.open(this.manifest, this.held.wasm(), parts);
  }

  /** @param {number} seconds */
  opened(seconds) {
    this.ready = true;
    this.marks.opened = seconds;
    this.hook.draw.disabled = this.hook.open.disabled = false;
    this.say("Ready. Nothing leaves this page.");
    document.body.dataset.ready = "1";
  }

  build() {
    const { hook, held } = this;
    for (const { name, manifest } of held.models) hook.model.append(new Option(manifest.model.title, name));
    hook.modelField.hidden = held.models.length < 2;
    hook.model.addEventListener("change", () => {
      this.model = held.models.find(({ name }) => name === hook.model.value) || held.models[0];
      this.settings();
      this.form?.use(this.manifest);
      this.openModel();
    });
    for (const select of [hook.orderA, hook.orderB]) fillSelect(select, [...(select === hook.orderB ? [["", "none"]] : []), ...this.manifest.orders.filter(({ name }) => name in ORDERS).map(({ name, title }) => [name, title])]);
    hook.orderA.value = "meissonic";
    hook.orderB.value = "uncage";
    for (const [tab, panel] of [[hook.tabDraw, hook.drawPanel], [hook.tabLearn, hook.learnPanel]]) tab.addEventListener("click", () => this.openTab(tab, panel));
    hook.moreButton.addEventListener("click", () => {
      const open = hook.form.classList.toggle("live-open-more");
      hook.moreButton.setAttribute("aria-expanded", String(open));
    });
    this.settings();
    this.form = new PromptForm({ rows: hook.rows, place: hook.place, chips: hook.chips, prompt: hook.prompt }, this.manifest, {
      changed: (prompt) => (hook.draw.disabled = !prompt || !this.ready),
      chosen: (seed) => {
        hook.seed.value = String(seed);
        this.draw();
      },
    });
    hook.form.addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.draw();
    });
    hook.cancel.addEventListener("click", () => this.cancel());
    hook.dice.addEventListener("click", () => {
      hook.seed.value = String(Math.floor(Math.random() * MOST_SEED));
      this.draw();
    });
    hook.weight.addEventListener("input", () => {
      hook.weightSaid.textContent = hook.weight.value;
      clearTimeout(this.later);
      // What both weights share is remembered, so only the steps that follow are computed.
      this.later = setTimeout(() => this.player && this.draw(false), REDRAW_AFTER_MS);
    });
    hook.open.addEventListener("change", () => this.open([...hook.open.files]));
  }

  /** Runs that were saved, here or by the app. @param {File[]} files */
  async open(files) {
    if (!files.length) return;
    if (files.length > MOST_RUNS) return this.fail(`${files.length} files: at most ${MOST_RUNS} runs are shown together.`);
    this.stopTeaching();
    this.working(true);
    this.say("Opening…");
    this.drawing = null;
    this.notes = {};
    this.openedFrom = files.map(({ name }) => name).join(", ");
    this.engine?.show(await Promise.all(files.map(async (file) => new Uint8Array(await file.arrayBuffer()))));
    this.hook.open.value = "";
  }

  /** @param {HTMLElement} tab @param {HTMLElement} panel */
  openTab(tab, panel) {
    const { hook } = this;
    for (const one of [hook.tabDraw, hook.tabLearn]) one.setAttribute("aria-selected", String(one === tab));
    for (const one of [hook.drawPanel, hook.learnPanel]) one.hidden = one !== panel;
    if (panel === hook.learnPanel) this.lessons.begin();
  }

  /**
   * The runs of a lesson: drawn for it alone, so that the runs on the other tab stay what they are.
   * @param {Lessons["lessons"][number]} lesson
   * @returns {Promise<{ payload: any, shown: object[] }>} with them, where each shows what the lesson asks for
   */
  async drawLesson(lesson) {
    if (!this.ready) throw new Error("The model is not open yet. Choose the lesson again in a moment.");
    this.stopTeaching();
    this.engine?.cancel();
    this.settle();
    this.working(false);
    const { choices, place, seed, mistake } = lesson.draw;
    const prompt = compose(this.manifest, choices, place);
    this.hook.lessonSaid.textContent = `Drawing “${prompt.text}” for this lesson…`;
    for (let more = 0; more < MOST_TRIES; more++) {
      const runs = lesson.stages.map((order) => ({ prompt, config: { order, seed: String(Number(seed) + more) } }));
      const payload = await new Promise((resolve, reject) => {
        this.teaching = { resolve, reject };
        this.engine?.draw(runs, { live: true, keep: false });
      });
      const shown = payload.runs.map((/** @type {any} */ run) => ({ double: doubleCells(run.verdict, prompt.subjects, this.manifest.model.grid) }));
      if (!mistake || (shown[0].double.length && payload.runs.at(-1).verdict.all_correct)) return { payload, shown };
    }
    throw new Error(`In ${MOST_TRIES} pictures this model made no mistake that this lesson could show.`);
  }

  /** What a lesson's brush asks for is drawn on the first tab, beside the lesson's runs. @param {any} detail */
  editLesson(detail) {
    this.openTab(this.hook.tabDraw, this.hook.drawPanel);
    this.notes = {};
    this.edit(detail, true);
  }

  /** @param {any} detail what the brush reports @param {boolean} beside whether it was on a lesson's run */
  edit(detail, beside = false) {
    this.stopTeaching();
    this.begun("Drawing again…");
    this.engine?.edit(detail.run, detail.step, detail.cells, { beside, most: MOST_RUNS });
  }

  /** Something is drawn from a run on show. @param {string} text */
  begun(text) {
    this.working(true);
    this.say(text);
    this.marks = { ...this.marks, asked: performance.now(), first: 0 };
  }

  stopTeaching() {
    this.teaching?.reject(new Error("Drawing stopped. Choose the lesson again."));
    this.teaching = null;
    this.hook.lessonSaid.textContent = "";
  }

  /** What the model's own settings are. */
  settings() {
    this.hook.steps.value = String(this.manifest.model.default_steps);
  }

  /** @param {boolean} live whether the pictures are shown while they are decoding */
  draw(live = true) {
    const { hook } = this;
    const prompt = this.form?.prompt();
    if (!prompt || !this.ready) return;
    const seed = hook.seed.value.trim();
    const steps = Number(hook.steps.value);
    if (!/^\d{1,18}$/.test(seed)) return this.fail(`Seed “${seed}”: give a whole number.`);
    if (!Number.isInteger(steps) || steps < 1 || steps > 64) return this.fail(`Steps ${hook.steps.value}: give a whole number from 1 to 64.`);
    const orders = [hook.orderA.value, hook.orderB.value].filter(Boolean);
    this.stopTeaching();
    const runs = orders.map((order) => ({ prompt, config: { order, num_steps: steps, seed, contrast_weight: Number(hook.weight.value) } }));
    this.working(true);
    this.say("Drawing…");
    this.marks = { ...this.marks, asked: performance.now(), first: 0 };
    this.notes = {};
    this.drawing = live ? orders.map((order) => this.manifest.orders.find(({ name }) => name === order)?.title || order) : null;
    this.engine?.draw(runs, { live: true });
  }

  cancel() {
    this.engine?.cancel();
    this.settle();
    this.working(false);
    this.say("Cancelled.");
  }

  /** @param {any} message */
  progress(message) {
    const { hook, marks, drawing } = this;
    if (this.teaching) {
      hook.lessonSaid.textContent = `Drawing for this lesson: step ${message.step + 1} of ${message.num_steps}`;
      return;
    }
    if (!marks.first) marks.first = performance.now() - marks.asked;
    this.say(`Step ${message.step + 1} of ${message.num_steps}`);
    if (!drawing) return;
    hook.player.hidden = true;
    this.decoding.show({ ...message, runs: message.runs.map((/** @type {object} */ run, /** @type {number} */ i) => ({ ...run, label: drawing[i] })) });
  }

  /** Back to the player. */
  settle() {
    this.drawing = null;
    this.decoding.hide();
    this.hook.player.hidden = false;
  }

  /** @param {any} message of finished runs */
  finished(message) {
    const { teaching } = this;
    if (!teaching) return this.show(message);
    this.teaching = null;
    this.hook.lessonSaid.textContent = "";
    teaching.resolve(message.payload);
  }

  /** @param {any} message of the finished runs */
  show(message) {
    const { hook, marks } = this;
    const { payload } = message;
    this.settle();
    /** @type {any} */
    const state = this.player ? { ...this.player.state } : {};
    state.step = this.branchAt === undefined ? message.num_steps - 1 : this.branchAt;
    if (this.player) this.player.destroy();
    const { UncagePlayer } = /** @type {any} */ (window);
    const heads = async (/** @type {any} */ { id, step, word, other }) => {
      if (other) return { error: "A word that is not in the prompt is read by the server's page." };
      return this.engine?.heads({ run: Number(id), step, word }).catch((error) => ({ error: error.message }));
    };
    this.player = UncagePlayer.mount(hook.player, payload, {
      state, autoplay: false, actions: ["branch", "knockout", "edit"], edit: { ...BRUSH, ...this.brush, run: payload.runs.length - 1 }, heads, notes: this.notes, onEvent: (/** @type {string} */ name, /** @type {any} */ detail) => this.asked(name, detail),
    });
    this.branchAt = undefined;
    this.working(false);
    this.offerSaving(payload.runs);
    const seconds = (performance.now() - marks.asked) / 1000;
    if (this.openedFrom) this.say(`Opened ${this.openedFrom}.`);
    else this.say(`Drawn in ${seconds.toFixed(1)} s; the first step was there after ${(marks.first / 1000).toFixed(1)} s.`);
    this.openedFrom = "";
    Object.assign(document.body.dataset, {
      done: String(Number(document.body.dataset.done || 0) + 1), firstMs: marks.first.toFixed(0), wholeMs: (seconds * 1000).toFixed(0),
      openMs: (marks.opened * 1000).toFixed(0),
    });
  }

  /** A button for every run on show. @param {any[]} runs */
  offerSaving(runs) {
    const buttons = runs.map((run, index) => {
      const node = document.createElement("button");
      node.type = "button";
      node.className = "live-plain";
      node.dataset.live = `save${letterOf(index)}`;
      node.textContent = `Save run ${letterOf(index)}`;
      node.addEventListener("click", () => this.engine?.save(index, this.notes[run.id] || run.notes || []));
      return node;
    });
    this.hook.save.replaceChildren(...buttons);
    this.hook.save.hidden = false;
  }

  /** What a visitor asks of the player. @param {string} name @param {any} detail */
  asked(name, detail) {
    if (name === "editing") this.brush = { open: detail.open };
    if (name === "edit") this.edit(detail);
    if (name === "notes") this.notes = { ...this.notes, [detail.id]: detail.notes };
    if (name !== "branch" && name !== "knockout") return;
    /** @type {Record<string, any>} */
    const edits = {};
    const config = detail.order ? { order: detail.order } : {};
    if (name === "knockout") edits.suppress_word = detail.word;
    else if (!detail.order) edits[detail.action] = detail.action === "forbid" ? [[detail.cell, [detail.token]]] : [detail.cell];
    this.stopTeaching();
    this.begun(name === "branch" ? "Branching…" : "Knocking the word out…");
    this.branchAt = detail.step;
    this.engine?.branch(detail.run, detail.step, edits, config);
  }

  /** @param {boolean} on */
  working(on) {
    this.hook.draw.hidden = on;
    this.hook.cancel.hidden = !on;
  }

  /** @param {string} text */
  fail(text) {
    this.teaching?.reject(new Error(text));
    this.teaching = null;
    this.settle();
    this.working(false);
    this.openedFrom = "";
    this.say(text);
    this.hook.said.classList.add("live-wrong");
    document.body.dataset.failed = text;
  }

  /** @param {string} text */
  say(text) {
    this.hook.said.classList.remove("live-wrong");
    this.hook.said.textContent = text;
  }
}

/** @param {number} index of a run on show */
function letterOf(index) {
  return String.fromCharCode(65 + index);
}

/** @param {string} name @param {Uint8Array} bytes */
function saveFile(name, bytes) {
  const link = document.createElement("a");
  link.download = name;
  link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)], { type: "application/octet-stream" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Read what lies in the page, and begin. */
export function begin() {
  const text = (/** @type {string} */ id) => document.getElementById(id)?.textContent || "";
  const models = JSON.parse(text("live-models"));
  const page = new LivePage({ models, wasm: () => text("live-wasm"), part: text, script: text("live-worker"), lessons: JSON.parse(text("live-lessons")) });
  /** @type {any} */ (window).uncageLive = page;
}

begin();

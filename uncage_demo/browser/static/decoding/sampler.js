// The decoding loop: forward -> which token -> how many -> where next -> commit; as decoding/sampler.py.

/** @import { Backend, Config, ForwardOutput, Prompt, Request, Run, Start, StepContext, StepRecord, Subject } from "../types" */
import { draftSteps, redrawnSteps, redrawsByOwnWords } from "../config.js";
import { blurInCells, untokenizedWords, wordMaps, wordMatrix } from "../orders/contrast.js";
import { VARIES } from "../orders/counts.js";
import { visitingRank } from "../orders/halton.js";
import { ELSEWHERE, UNVOUCHED } from "../orders/revise.js";
import { ORDERS, publishedContrast } from "../orders/table.js";
import { forwardAll } from "./batching.js";
import { gumbel, rollOffset, uniforms } from "./noise.js";
import { noiseScale, scoreOf, select, weightAt } from "./order.js";
import { keptCells, objectPlaces, phaseAt } from "./redraw.js";
import { ALTERNATIVES, recordedColumns, resolve } from "./run.js";
import { entropyTemperature } from "./logits.js";
import { stayMasked } from "./schedule.js";
import { doubtfulObjects, hiddenTokens, ownSight } from "./sight.js";
import { TokenOpinion, applyGuidance, forbidIds, guidanceAt } from "./tokens.js";

/**
 * Decode several samples in lockstep; each comes out exactly as alone. Runs whose tokens and prompt are equal share one forward.
 * @param {Backend} backend
 * @param {Run[]} runs at least one
 * @param {{ full_attention?: boolean }} [options]
 * @yields {StepRecord[]} one record a run after every step; a run that has fewer steps than the others repeats its last one
 * @returns {AsyncGenerator<StepRecord[], void, void>}
 */
export async function* decodeMany(backend, runs, options = {}) {
  if (!runs.length) throw new RangeError("runs: give at least one run");
  const states = runs.map((run) => new State(backend, run, Boolean(options.full_attention)));
  /** @type {StepRecord[]} */
  const latest = [];
  while (states.some((state) => !state.finished)) {
    const active = states.map((_, i) => i).filter((i) => !states[i].finished);
    const outputs = await forwardAll(backend, active.map((i) => states[i].request()));
    active.forEach((i, k) => {
      latest[i] = states[i].advance(outputs[k]);
    });
    yield latest.slice();
  }
}

/** One run between two steps. */
class State {
  /** @param {Backend} backend @param {Run} run @param {boolean} full */
  constructor(backend, run, full) {
    const { grid } = backend.info;
    const count = grid[0] * grid[1];
    this.backend = backend;
    this.prompt = run.prompt;
    this.suppress = run.suppress || [];
    this.full = full;
    this.config = resolve(backend, run);
    this.text = backend.encode(run.prompt);
    /** @type {Start} */
    this.start = run.start || { tokens: new Int32Array(count).fill(-1), step: 0 };
    this.tokens = Int32Array.from(this.start.tokens);
    this.step = this.start.step;
    this.total = this.config.num_steps;
    const since = this.start.unmask_step;
    /** Given from outside or kept by an edit. */
    this.pinned = Uint8Array.from(this.tokens, (token, i) => Number(token >= 0 && (!since || since[i] < 0)));
    const draft = draftSteps(this.config);
    const redrawing = redrawnSteps(this.config) > 0 && this.step >= draft && since;
    this.numScheduled = this.tokens.filter((token, i) => (redrawing ? token < 0 || since[i] >= draft : !this.pinned[i])).length;
    const { visits } = ORDERS[this.config.order];
    this.rank = visits ? visitingRank(visits(...grid), this.config.halton_randomize ? rollOffset(this.config.seed, count) : 0) : null;
    this.columns = recordedColumns(run.prompt);
    this.words = run.prompt.subjects.length && !untokenizedWords(run.prompt).length ? wordMatrix(run.prompt, this.columns) : null;
    this.sight = this.start.sight || null;
  }

  get finished() {
    if (this.step >= this.total) return true;
    // Where the model decides how many, a run is over when it is full; it has one step at least, to have something to tell.
    return VARIES[this.config.how_many] && this.step > this.start.step && !this.tokens.some((token) => token < 0);
  }

  /** Settings and step in force: the whole run's, or those of its draft or redraw. */
  get phase() {
    return phaseAt(this.config, this.step);
  }

  get endsDraft() {
    return redrawnSteps(this.config) > 0 && this.step === draftSteps(this.config) - 1;
  }

  get sigma() {
    return blurInCells(this.config.contrast_blur, this.backend.info.grid, this.backend.info.attention_grid);
  }

  /** @returns {Request} */
  request() {
    const [config, step] = this.phase;
    return {
      tokens: this.tokens,
      step,
      num_steps: config.num_steps,
      text: this.text,
      unconditional: guidanceAt(config, step) !== 1,
      source: this.config.attention_source,
      full: this.full,
      suppress: this.suppress,
      hidden: this.sight ? hiddenTokens(this.sight, this.prompt) : null,
    };
  }

  /**
   * Take the three decisions of one step, commit, and tell what was done.
   * @param {ForwardOutput} output
   * @returns {StepRecord}
   */
  advance(output) {
    const [config, step] = this.phase;
    const at = this.step;
    const order = ORDERS[config.order];
    const needs = order.needs || [];
    const first = at === this.start.step;
    const { sight } = this;
    const masked = Uint8Array.from(this.tokens, (token) => Number(token < 0));
    const logits = applyGuidance(output.cond, output.uncond, guidanceAt(config, step));
    const codebook = this.backend.info.codebook_size;
    const opinion = new TokenOpinion(forbidIds(logits, this.start.forbid || [], codebook), codebook);
    const entropy = opinion.entropy();
    const { entropy_heat: heat, entropy_decay: decay, token_temperature: base } = this.config;
    const temperature = heat > 0 ? entropyTemperature(entropy, heat, decay, base) : base;
    const sampled = this.chooseTokens(opinion, temperature, masked, first);
    const confidence = opinion.confidence(sampled).map((value, i) => (masked[i] ? value : 0));
    const alternatives = opinion.top(ALTERNATIVES);
    const attention = output.attention ? this.columns.map((column) => /** @type {Float32Array[]} */ (output.attention)[column]) : null;
    /** @type {StepContext} */
    const context = {
      step,
      num_steps: config.num_steps,
      masked,
      confidence,
      noise: this.noise(masked, temperature),
      contrast: this.contrast(attention),
      weight: this.words ? weightAt(config, step) : 0,
      margin: needs.includes("margin") ? opinion.margin() : null,
      entropy,
      rank: this.rank,
    };
    const scores = scoreOf(order, context, config).map((value, i) => (masked[i] ? value : -Infinity));
    const stay = stayMasked(config, step, this.numScheduled, masked, scores, confidence, entropy);
    const [committed, cutoff] = this.choosePositions(scores, masked, masked.reduce((a, b) => a + b, 0) - stay, first);
    this.tokens = this.tokens.map((token, i) => (committed[i] ? sampled[i] : token));
    const reopened = this.endsDraft ? this.openAgain(/** @type {Float32Array[]} */ (attention)) : null;
    this.step++;
    return {
      step: at,
      sampled,
      committed,
      masked_before: masked,
      confidence,
      noise: context.noise,
      contrast: context.contrast,
      weight: context.weight,
      scores,
      cutoff,
      attention,
      attention_full: output.attention_full,
      alternatives: alternatives.ids,
      alternative_probs: alternatives.probs,
      entropy,
      sight,
      reopened: reopened && reopened.some(Boolean) ? reopened : null,
      passes: guidanceAt(config, step) !== 1 ? 2 : 1,
    };
  }

  /** Which token: x0 at masked positions, the committed id elsewhere. @param {TokenOpinion} opinion @param {number | Float64Array} temperature @param {Uint8Array} masked @param {boolean} first */
  chooseTokens(opinion, temperature, masked, first) {
    const drawn = opinion.sample(uniforms(this.config.seed, this.step, "token", masked.length), temperature);
    const sampled = drawn.map((id, i) => (masked[i] ? id : this.tokens[i]));
    if (first) {
      for (const [position, token] of this.start.keep || []) {
        sampled[position] = token;
        this.pinned[position] = 1;
      }
    }
    return sampled;
  }

  /**
   * Where next: the `count` committed positions and the lowest score that won its place (infinity when none did).
   * @param {Float32Array} scores @param {Uint8Array} masked @param {number} count @param {boolean} first
   * @returns {[Uint8Array, number]}
   */
  choosePositions(scores, masked, count, first) {
    const forced = new Uint8Array(masked.length);
    const candidates = masked.slice();
    if (first) {
      for (const [position] of this.start.keep || []) forced[position] = 1;
      for (const position of this.start.hold || []) candidates[position] = 0;
    }
    const committed = select(scores, candidates, count, forced, this.backend.info.grid, this.config.spacing);
    let cutoff = Infinity;
    committed.forEach((chosen, i) => {
      if (chosen && !forced[i]) cutoff = Math.min(cutoff, scores[i]);
    });
    return [committed, cutoff];
  }

  /** Mask everything but one place an object; what was given or kept by an edit stays. Why each cell is opened, "n". @param {Float32Array[]} attention */
  openAgain(attention) {
    const { grid } = this.backend.info;
    const words = /** @type {Float64Array[]} */ (this.words);
    const { subjects } = this.prompt;
    const byOwnWords = redrawsByOwnWords(this.config);
    // Whose place it is, nouns alone tell where the words are to be hidden: attention to colours may be what is wrong.
    const named = byOwnWords ? subjects.map((subject) => ({ ...subject, attributes: [] })) : subjects;
    const [contrasts, distances] = objectPlaces(attention, words, named, { grid, sigma: this.sigma, radiusFrac: this.config.anchor_radius });
    const kept = keptCells(contrasts, distances, grid);
    const opened = Uint8Array.from(this.tokens, (_, i) => (kept.some((row) => row[i]) ? 0 : ELSEWHERE));
    if (byOwnWords) {
      this.sight = ownSight(kept, distances, grid);
      const doubtful = doubtfulObjects(wordMaps(words, attention), kept, subjects);
      for (const o of doubtful) kept[o].forEach((own, i) => own && (opened[i] = UNVOUCHED));
    }
    this.pinned.forEach((pinned, i) => pinned && (opened[i] = 0));
    this.tokens = this.tokens.map((token, i) => (opened[i] ? -1 : token));
    this.numScheduled = this.tokens.filter((token) => token < 0).length;
    return opened;
  }

  /** F_g "n"; where the temperature follows the entropy, it does so on this noise, too. @param {Uint8Array} masked @param {number | Float64Array} temperature */
  noise(masked, temperature) {
    const scale = Math.fround(noiseScale(...this.phase));
    if (scale === 0) return new Float32Array(masked.length);
    return gumbel(this.config.seed, this.step, masked.length).map((value, i) => {
      if (!masked[i]) return 0;
      const noise = Math.fround(scale * value);
      return typeof temperature === "number" ? noise : Math.fround(temperature[i]) * noise;
    });
  }

  /** F_a "n". @param {Float32Array[] | null} attention */
  contrast(attention) {
    const { grid } = this.backend.info;
    if (!attention || !this.words) return new Float32Array(grid[0] * grid[1]);
    const contrast = ORDERS[this.config.order].contrast || publishedContrast;
    return contrast({ attention, words: this.words, subjects: this.prompt.subjects, grid, sigma: this.sigma }, this.config);
  }
}

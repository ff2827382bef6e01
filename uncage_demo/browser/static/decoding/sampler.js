// The decoding loop: forward -> which token -> how many -> where next -> commit; as decoding/sampler.py.

/** @import { Backend, ForwardOutput, Request, Run, Start, StepContext, StepRecord } from "../types" */
import { draftSteps, redrawnSteps, revisionOf } from "../config.js";
import { blurInCells, untokenizedWords, wordMatrix } from "../orders/contrast.js";
import { VARIES } from "../orders/counts.js";
import { visitingRank } from "../orders/halton.js";
import { ORDERS, publishedContrast } from "../orders/table.js";
import { lookBack, stepLogits } from "./answers.js";
import { sharing } from "./batching.js";
import { entropyTemperature, grown } from "./logits.js";
import { gumbel, rollOffset, uniforms } from "./noise.js";
import { noiseScale, scoreOf, select, weightAt } from "./order.js";
import { phaseAt } from "./redraw.js";
import { ALTERNATIVES, recordedColumns, resolve } from "./run.js";
import { stayMasked } from "./schedule.js";
import { hiddenTokens } from "./sight.js";
import { openAroundPlaces, takeBack } from "./taking_back.js";
import { TokenOpinion, forbidIds, guidanceAt } from "./tokens.js";

/** @typedef {(request: Request) => Promise<ForwardOutput>} Ask asks the model */

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
    const ask = sharing(backend);
    // All ask before one is answered, so that two of them can be read at once.
    const records = await Promise.all(active.map((i) => states[i].advance(ask)));
    active.forEach((i, k) => (latest[i] = records[k]));
    yield latest.slice();
  }
}

/** One run between two steps. */
export class State {
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
    /** What the schedule counts over. */
    this.scheduled = Uint8Array.from(this.tokens, (token, i) => Number(redrawing ? token < 0 || since[i] >= draft : !this.pinned[i]));
    /** Of every step so far that a revision looked at; see Start. @type {Float32Array[]} */
    this.likelihoods = [...(this.start.likelihoods || [])];
    /** "n v" probabilities of the step before, where differential sampling compares with them. @type {Float32Array | null} */
    this.previous = null;
    /** Of the network, for one sample, in the step at hand; a guided forward takes two. */
    this.passes = 0;
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

  get numScheduled() {
    return this.scheduled.reduce((a, b) => a + b, 0);
  }

  /**
   * A forward of this step, counted.
   * @param {{ tokens?: Int32Array, own?: boolean, suppress?: number[], unconditional?: boolean }} [other] tokens = what the model is to see; own = the step's own
   *   forward, whose attention is read; suppress = further text tokens hidden; unconditional = not left to guidance, and told apart
   * @returns {Request}
   */
  request({ tokens = this.tokens, own = false, suppress = [], unconditional } = {}) {
    const [config, step] = this.phase;
    const scale = guidanceAt(config, step);
    const composes = config.composition > 0 && this.prompt.subjects.length > 1;
    const both = unconditional ?? (scale !== 1 || composes);
    const apart = unconditional !== undefined || composes || config.self_guidance > 0;
    this.passes += both ? 2 : 1;
    return {
      tokens,
      step,
      num_steps: config.num_steps,
      text: this.text,
      unconditional: both,
      guidance: both && !apart ? scale : null,
      source: own ? this.config.attention_source : null,
      full: own && this.full,
      suppress: suppress.length ? [...new Set([...this.suppress, ...suppress])].sort((a, b) => a - b) : this.suppress,
      hidden: this.sight ? hiddenTokens(this.sight, this.prompt) : null,
    };
  }

  /** The same run with something changed; this one stays. @param {Partial<State>} changes @returns {State} */
  replaced(changes) {
    return Object.assign(Object.create(State.prototype), this, changes);
  }

  /** Every second cell, as on a chessboard: the black ones in even steps, the white ones in odd steps. */
  half() {
    const columns = this.backend.info.grid[1];
    return Uint8Array.from(this.tokens, (_, i) => Number((Math.floor(i / columns) + (i % columns) + this.step) % 2 === 0));
  }

  /**
   * Ask for the forwards of one step, take its decisions, commit, and tell what was done.
   * @param {Ask} ask
   * @returns {Promise<StepRecord>}
   */
  async advance(ask) {
    const [config, step] = this.phase;
    const at = this.step;
    const order = ORDERS[config.order];
    const needs = order.needs || [];
    const first = at === this.start.step;
    const { sight } = this;
    const masked = Uint8Array.from(this.tokens, (token) => Number(token < 0));
    this.passes = 0;
    await lookBack(this, ask);
    const output = await ask(this.request({ own: true }));
    const logits = await stepLogits(this, output, masked, ask);
    const codebook = this.backend.info.codebook_size;
    const opinion = new TokenOpinion(forbidIds(logits, this.start.forbid || [], codebook), codebook);
    const entropy = opinion.entropy();
    const { entropy_heat: heat, entropy_decay: decay, token_temperature: base } = this.config;
    const temperature = heat > 0 ? entropyTemperature(entropy, heat, decay, base) : base;
    const sampled = this.chooseTokens(opinion, temperature, masked, first);
    const likelihood = opinion.confidence(sampled);
    const confidence = likelihood.map((value, i) => (masked[i] ? value : 0));
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
    let reopened = await takeBack(this, { masked, sampled, scores, likelihood, confidence, stay }, ask);
    const back = reopened.reduce((sum, code) => sum + Number(code > 0), 0);
    const [committed, cutoff] = this.choosePositions(scores, masked, masked.reduce((a, b) => a + b, 0) - stay + back, first);
    this.tokens = this.tokens.map((token, i) => (reopened[i] ? -1 : committed[i] ? sampled[i] : token));
    if (this.endsDraft) reopened = openAroundPlaces(this, /** @type {Float32Array[]} */ (attention));
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
      reopened: reopened.some(Boolean) ? reopened : null,
      likelihood: revisionOf(config) ? likelihood.map((value, i) => (masked[i] ? 0 : value)) : null,
      passes: this.passes,
    };
  }

  /** Which token: x0 at masked positions, the committed id elsewhere. @param {TokenOpinion} opinion @param {number | Float64Array} temperature @param {Uint8Array} masked @param {boolean} first */
  chooseTokens(opinion, temperature, masked, first) {
    let from = opinion;
    if (this.config.differential > 0) {
      const [now, before] = [opinion.probabilities(), this.previous];
      this.previous = now;
      if (before) {
        const { chances, rows } = grown(now, before, masked, this.config.differential);
        if (rows.length) from = new TokenOpinion(chances.map(Math.log), opinion.codebook);
      }
    }
    const drawn = from.sample(uniforms(this.config.seed, this.step, "token", masked.length), temperature);
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

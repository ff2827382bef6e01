// What the model answers in a step: its logits after all that is done to them; as decoding/answers.py. Further forwards are asked for.

/** @import { ForwardOutput, Prompt } from "../types" */
/** @import { Ask, State } from "./sampler.js" */
import { awayFromWeaker, composed, noiseAmount, normalNoise } from "./logits.js";
import { TokenOpinion, applyGuidance, forbidIds, guidanceAt } from "./tokens.js";

const f = Math.fround;

/** Logits "n v" after classifier-free guidance. @param {State} state @param {ForwardOutput} output */
export function guided(state, output) {
  return output.guided || applyGuidance(output.cond, output.uncond, guidanceAt(...state.phase));
}

/**
 * Logits "n v" of a step after everything that is done to them.
 * @param {State} state at the step
 * @param {ForwardOutput} output of the step's own forward
 * @param {Uint8Array} masked "n", when the step began
 * @param {Ask} ask
 */
export async function stepLogits(state, output, masked, ask) {
  const [config, step] = state.phase;
  const { cond, uncond } = output;
  const experts = [];
  if (config.composition > 0) {
    for (const others of othersWords(state.prompt)) experts.push((await ask(state.request({ suppress: others, unconditional: false }))).cond);
  }
  let weaker = null;
  if (config.self_guidance > 0 && masked.includes(0)) {
    const half = state.half();
    const tokens = state.tokens.map((token, i) => (!masked[i] && half[i] ? -1 : token));
    weaker = (await ask(state.request({ tokens, unconditional: false }))).cond;
  }
  let logits = guided(state, output);
  if (experts.length) logits = composed(cond, /** @type {Float32Array} */ (uncond), experts, guidanceAt(config, step), config.composition);
  if (weaker) logits = awayFromWeaker(logits, cond, weaker, config.self_guidance);
  const amount = f(noiseAmount(config.logit_noise, step, config.num_steps));
  if (amount > 0) {
    const noise = normalNoise(state.config.seed, state.step, logits.length);
    logits = logits.map((value, i) => value + f(amount * noise[i]));
  }
  return logits;
}

/** For each object of the prompt the text tokens of all others; nothing for a prompt of fewer than two. @param {Prompt} prompt @returns {number[][]} */
function othersWords(prompt) {
  const own = prompt.subjects.map(({ object, attributes }) => new Set([object, ...attributes].flat().flatMap((w) => prompt.words[w].tokens)));
  if (own.length < 2) return [];
  const all = [...new Set(own.flatMap((words) => [...words]))].sort((a, b) => a - b);
  return own.map((mine) => all.filter((token) => !mine.has(token)));
}

/**
 * A run that is continued asks once more what the model said one step earlier, where differential sampling compares with it.
 * @param {State} state changed in place
 * @param {Ask} ask
 */
export async function lookBack(state, ask) {
  const { before } = state.start;
  if (!state.config.differential || state.previous || !before || !state.step) return;
  const earlier = state.replaced({ tokens: Int32Array.from(before.tokens), sight: before.sight, step: state.step - 1 });
  const output = await ask(earlier.request());
  const logits = await stepLogits(earlier, output, Uint8Array.from(before.tokens, (token) => Number(token < 0)), ask);
  const { codebook_size: codebook } = state.backend.info;
  state.previous = new TokenOpinion(forbidIds(logits, state.start.forbid || [], codebook), codebook).probabilities();
}

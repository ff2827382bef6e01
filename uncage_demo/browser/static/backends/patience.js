// How long WebGPU may take for an answer. A driver that hangs reports nothing: it only never answers.

/** @import { Patience } from "../types" */

/** WebGPU failed while it computed: the graphics processor was taken away, reset, or has no memory left. */
export class GraphicsLost extends Error {}

/** WebGPU gives no answer. The runtime that waits for it waits for good, so others must compute. */
export class GraphicsSilent extends GraphicsLost {}

/** An input of a new size is compiled first. Later answers come in a fraction of a second, or the graphics processor has other work. @type {Patience} */
export const PATIENCE = { start_ms: 45_000, first_ms: 20_000, least_ms: 5_000, times: 10 };
/** A computer that slept has not waited: it counts as many of these as it saw pass. */
const TICKS = 20;
/** Answers of which the median is taken. */
const MEASURED = 32;

/**
 * @template T
 * @param {Promise<T>} answer
 * @param {number} most_ms
 * @returns {Promise<T>}
 * @throws {GraphicsSilent}
 */
export function answeredWithin(answer, most_ms) {
  return new Promise((resolve, reject) => {
    let left = TICKS;
    const timer = setInterval(() => {
      if (--left > 0) return;
      clearInterval(timer);
      reject(new GraphicsSilent(`WebGPU gave no answer for ${said(most_ms)}`));
    }, most_ms / TICKS);
    answer.then(resolve, reject).finally(() => clearInterval(timer));
  });
}

/** @param {number} ms */
function said(ms) {
  const seconds = Math.round(ms / 1000);
  return seconds === 1 ? "1 second" : `${seconds || (ms / 1000).toPrecision(1)} seconds`;
}

/** Waits for one session: long for the first input of a size, later as long as its earlier answers allow. */
export class Watch {
  /** @param {Patience} patience */
  constructor(patience = PATIENCE) {
    this.patience = patience;
    /** @type {Set<string>} */
    this.sizes = new Set();
    /** @type {number[]} */
    this.took = [];
  }

  /** How long an input of a size may take. @param {string} size */
  most(size) {
    const { first_ms, least_ms, times } = this.patience;
    return this.sizes.has(size) ? Math.max(least_ms, times * median(this.took)) : first_ms;
  }

  /**
   * @template T
   * @param {Record<string, { dims: readonly number[] }>} feeds
   * @param {() => Promise<T>} run
   * @returns {Promise<T>}
   * @throws {GraphicsSilent}
   */
  async over(feeds, run) {
    const size = Object.entries(feeds).map(([name, { dims }]) => `${name} ${dims}`).join(", ");
    const began = performance.now();
    const outputs = await answeredWithin(run(), this.most(size));
    if (this.sizes.has(size)) this.took = [...this.took, performance.now() - began].slice(-MEASURED);
    this.sizes.add(size);
    return outputs;
  }
}

/** @param {number[]} values @returns {number} 0 of none */
function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] || 0;
}

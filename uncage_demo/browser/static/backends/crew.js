// Who does what: forwards, pictures and detections go to the hand that has least to do. Which one it is changes no result.

/** @import { Hand, Reading } from "../types" */

/** How long each takes, roughly and in relation to the others. @type {Record<string, number>} */
const COST = { read: 5, pictures: 2, sights: 2 };

export class Crew {
  /** @param {Hand[]} hands this worker's own one first */
  constructor(hands) {
    this.hands = hands;
    /** What each has to do. */
    this.load = hands.map(() => 0);
    /** Once there are others. @type {Promise<void> | null} */
    this.relieved = null;
  }

  /** Whether something is drawn while this worker does something else. */
  get beside() {
    return this.hands.length > 1;
  }

  /** @param {Reading} reading @returns {Promise<{ logits: Float32Array, attention: Float32Array }>} */
  read(reading) {
    return this.given("read", (hand) => hand.read(reading));
  }

  /** @param {Int32Array[]} grids @param {readonly number[]} size @returns {Promise<Uint8Array[]>} */
  pictures(grids, size) {
    return this.given("pictures", (hand) => hand.pictures(grids, size));
  }

  /** @param {Uint8Array} picture @param {readonly number[]} size @returns {Promise<{ centre: Float32Array, style: Float32Array }>} */
  sights(picture, size) {
    return this.given("sights", (hand) => hand.sights(picture, size));
  }

  /**
   * Whoever has least to do does it. Of two that have as little, this worker's own hand reads (nothing travels then) and the other one draws.
   * @template T
   * @param {string} name
   * @param {(hand: Hand) => Promise<T>} act
   * @returns {Promise<T>}
   */
  async given(name, act) {
    const { load } = this;
    const able = this.hands.map((_, i) => i).filter((i) => this.hands[i].able.has(name));
    if (name !== "read") able.reverse();
    const chosen = able.reduce((best, i) => (load[i] < load[best] ? i : best));
    load[chosen] += COST[name];
    try {
      return await act(this.hands[chosen]);
    } finally {
      load[chosen] -= COST[name];
    }
  }

  /**
   * Every hand takes what it lacks for reading and drawing, so that two runs keep both busy. One that cannot (there is too little memory)
   * stays as it is. The others take theirs first: this worker may be asked to draw at any time.
   */
  async share() {
    for (const hand of [...this.hands].reverse()) {
      for (const part of ["transformer", "decoder"]) await hand.open(part).catch(() => {});
    }
  }

  /**
   * From now on WebAssembly computes everything.
   * @param {((count: number) => Promise<Hand[]>) | null} fresh others, who draw and detect, in place of hands whose runtime waits for good; null = each goes on
   */
  async leaveGraphics(fresh = null) {
    if (fresh) return (this.relieved ||= this.replaced(fresh));
    for (const hand of this.hands) await hand.leaveGraphics();
  }

  /** The old ones are not asked any more, not even to release what they have. @param {(count: number) => Promise<Hand[]>} fresh */
  async replaced(fresh) {
    const hands = await fresh(this.hands.length);
    await hands[0].open("transformer");
    this.hands = hands;
    this.load = hands.map(() => 0);
  }

  async release() {
    for (const hand of this.hands) await hand.release();
  }
}

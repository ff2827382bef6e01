// A model that remembers its last answers: what is decoded again with another weight shares its first steps with what was decoded before.

/** @import { Request } from "../types" */
/** @import { EmbeddedBackend } from "./embedded.js" */
import { inputKey } from "../decoding/batching.js";

/** Answers kept: 1.2 MB each, so 60 MB. */
const KEPT = 48;

/**
 * Make a model remember; answers are the very same.
 * @template {EmbeddedBackend} T
 * @param {T} backend changed in place
 * @param {number} kept how many answers
 * @returns {T}
 */
export function remembering(backend, kept = KEPT) {
  /** @type {Map<string, Promise<import("../types").ForwardOutput>>} */
  const known = new Map();
  const forward = backend.forward.bind(backend);
  backend.forward = (/** @type {Request} */ request) => {
    const key = inputKey(request);
    const answer = known.get(key) || forward(request);
    known.delete(key); // the newest is the last to go
    known.set(key, answer);
    answer.catch(() => known.delete(key));
    for (const oldest of known.keys()) {
      if (known.size <= kept) break;
      known.delete(oldest);
    }
    return answer;
  };
  // What WebGPU answered has last digits of its own.
  const leave = backend.leaveGraphics.bind(backend);
  backend.leaveGraphics = (fresh) => {
    known.clear();
    return leave(fresh);
  };
  return backend;
}

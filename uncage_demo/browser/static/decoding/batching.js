// Forwards for several runs at once: equal inputs share one forward; as decoding/batching.py.
// Different inputs are never put in one batch here: a sample must come out the same alone and beside another one, bit for bit, and on one
// thread a batch saves nothing.

/** @import { Backend, ForwardOutput, Request } from "../types" */

/**
 * What tells two requests apart.
 * @param {Request} request
 */
export function inputKey({ tokens, text, unconditional, guidance, source, full, suppress, hidden }) {
  return JSON.stringify([tokens.join(), text.join(), unconditional, guidance, source, full, suppress, hidden && hidden.join("")]);
}

/**
 * A model that answers equal requests of one step with the same object.
 * @param {Backend} backend
 * @returns {(request: Request) => Promise<ForwardOutput>}
 */
export function sharing(backend) {
  /** @type {Map<string, Promise<ForwardOutput>>} */
  const made = new Map();
  return (request) => {
    const key = inputKey(request);
    const known = made.get(key) || backend.forward(request);
    made.set(key, known);
    return known;
  };
}

// Forwards for several runs at once: equal inputs share one forward; as decoding/batching.py.
// Different inputs are never put in one batch here: a sample must come out the same alone and beside another one, bit for bit, and on one
// thread a batch saves nothing.

/** @import { Backend, ForwardOutput, Request } from "../types" */

/**
 * What tells two requests apart.
 * @param {Request} request
 */
export function inputKey({ tokens, text, unconditional, source, full, suppress, hidden }) {
  return JSON.stringify([tokens.join(), text.join(), unconditional, source, full, suppress, hidden && hidden.join("")]);
}

/**
 * Outputs of all requests in order; equal requests get the same object.
 * @param {Backend} backend
 * @param {Request[]} requests
 * @returns {Promise<ForwardOutput[]>}
 */
export async function forwardAll(backend, requests) {
  /** @type {Map<string, ForwardOutput>} */
  const made = new Map();
  const outputs = [];
  for (const request of requests) {
    const key = inputKey(request);
    const known = made.get(key) || (await backend.forward(request));
    made.set(key, known);
    outputs.push(known);
  }
  return outputs;
}

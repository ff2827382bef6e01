// Of which steps a run has pictures: what people ask for, and how a trace says it; as trace/frames.py.

/** Where a trace's versions say that not every step has a picture of its own ("every 8", "final"). */
export const PICTURES_KEY = "step_pictures";
/** @type {Record<string, number>} */
const NAMED = { true: 1, all: 1, false: 0, none: 0, final: 0 };
const MOST = 256;

/**
 * How often the picture of a step is decoded: every how many steps, 0 = of no step.
 * @param {unknown} value "all", "final" (or "none") or "every K": the first step and every K-th after it; the finished picture always comes
 * @returns {number}
 * @throws {RangeError} naming the value and what is allowed
 */
export function parseFrames(value) {
  const text = String(value).trim().toLowerCase().replaceAll(":", " ");
  if (Object.hasOwn(NAMED, text)) return NAMED[text];
  const count = text.replace(/^every /, "").trim();
  if (/^\d+$/.test(count) && Number(count) >= 1 && Number(count) <= MOST) return Number(count);
  throw new RangeError(`frames='${String(value).slice(0, 40)}': give "all", "final" (or "none") or "every K" with K from 1 to ${MOST}`);
}

/** What a trace says of it among its versions: nothing where every step has its picture. @param {number} every from `parseFrames` @returns {Record<string, string>} */
export function recordedFrames(every) {
  return every === 1 ? {} : { [PICTURES_KEY]: every ? `every ${every}` : "final" };
}

/** Inverse of recordedFrames, from a file, so of anything: 1 where nothing readable is said. @param {Record<string, string>} versions */
export function framesTold(versions) {
  try {
    return parseFrames(versions[PICTURES_KEY] ?? "all");
  } catch {
    return 1;
  }
}

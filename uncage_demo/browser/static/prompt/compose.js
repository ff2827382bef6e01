// A prompt built from menus: objects with number, colour and side, and a place. What it makes is what prompt/parse.py reads in its text.

/** @import { Choice, Manifest, Prompt, Subject, Word } from "../types" */

/** Said without an article. */
const PLURAL_OF_ONE = ["glasses"];

/**
 * The prompt of what was chosen.
 * @param {Manifest} manifest
 * @param {Choice[]} choices one to three objects, in all at most as many as a picture holds
 * @param {string} place a key of manifest.places, or ""
 * @returns {Prompt}
 * @throws {RangeError} naming what the model does not have
 */
export function compose(manifest, choices, place = "") {
  const total = choices.reduce((sum, { count }) => sum + count, 0);
  if (!choices.length || total > manifest.most_objects) throw new RangeError(`${total} objects: choose 1 to ${manifest.most_objects}`);
  /** @type {Word[]} */
  const words = [];
  /** @type {Subject[]} */
  const subjects = [];
  let text = "";
  const say = (/** @type {string} */ said, /** @type {string} */ kind = "other") => {
    const start = text ? text.length + 1 : 0;
    text = text ? `${text} ${said}` : said;
    words.push({ text: said, start, end: text.length, tokens: [words.length + 1], kind });
    return words.length - 1;
  };
  choices.forEach(({ noun, color, count, side }, k) => {
    if (!manifest.nouns.includes(noun)) throw new RangeError(`"${noun}" is not drawn by this model: choose one of ${manifest.nouns.join(", ")}`);
    if (color && !manifest.colors.includes(color)) throw new RangeError(`"${color}" is no colour of this model: choose one of ${manifest.colors.join(", ")}`);
    if (side && !(side in manifest.positions)) throw new RangeError(`"${side}" is no side: choose one of ${Object.keys(manifest.positions).join(", ")}`);
    if (k) say("and");
    const number = Object.keys(manifest.numbers).find((name) => manifest.numbers[name] === count);
    const named = count > 1 ? manifest.plurals[noun] : noun;
    if (count > 1) say(/** @type {string} */ (number));
    else if (!PLURAL_OF_ONE.includes(noun)) say("aeiou".includes((color || named)[0]) ? "an" : "a");
    const attributes = color ? [[say(color, "attribute")]] : [];
    const object = [say(named, "object")];
    subjects.push({ object, attributes, label: color ? `${color} ${named}` : named, noun, colors: color ? [color] : [], count });
    if (side) for (const word of manifest.positions[side].split(" ")) say(word);
  });
  if (place) {
    if (!(place in manifest.places)) throw new RangeError(`"${place}" is no place: choose one of ${Object.keys(manifest.places).join(", ")}`);
    for (const word of manifest.places[place].split(" ")) say(word);
  }
  if (words.length > manifest.text_length - 2) throw new RangeError(`the prompt has ${words.length} words; the model reads ${manifest.text_length - 2}`);
  const special = (/** @type {string} */ name, at = text.length) => ({ text: name, start: at, end: at, special: true });
  const tokens = [special("<start>", 0), ...words.map((word) => ({ text: word.text, start: word.start, end: word.end, special: false })), special("<end>")];
  while (tokens.length < manifest.text_length) tokens.push(special("<pad>"));
  return { text, tokens, words, subjects, unknown: [], truncated: "", given: "" };
}

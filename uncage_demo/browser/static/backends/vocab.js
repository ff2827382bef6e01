// The words of the closed vocabulary, as backends/embedded/vocab.py reads them; the lists come with the manifest.

/** @import { Manifest, TextToken } from "../types" */

/**
 * The vocabulary's own form of a typed word; the word itself, in lower case, where there is none.
 * @param {Manifest} manifest
 * @param {string} word
 */
export function canonical(manifest, word) {
  const lower = word.toLowerCase();
  return Object.hasOwn(manifest.aliases, lower) ? manifest.aliases[lower] : lower;
}

/**
 * The position that a word says, or ""; "under" in "under the sea" says a place, no position.
 * @param {Manifest} manifest
 * @param {string[]} words of the whole text
 * @param {number} index of the word
 */
export function position(manifest, words, index) {
  const name = canonical(manifest, words[index]);
  if (!(name in manifest.positions)) return "";
  const following = words.slice(index + 1, index + 3).find((word) => !["a", "an", "the"].includes(word.toLowerCase())) || "";
  return canonical(manifest, following) in manifest.places ? "" : name;
}

/**
 * Text ids of the tokens of a text: padding for what the model reads over.
 * @param {Manifest} manifest
 * @param {TextToken[]} tokens start, words, end and padding
 * @returns {number[]} "t"
 */
export function textIds(manifest, tokens) {
  const { ids, words, read_over, text_length } = manifest;
  const known = new Map(words.map((word, id) => [word, id]));
  const over = new Set(read_over);
  const said = tokens.filter((token) => !token.special).map((token) => token.text);
  const read = said.map((word, index) => {
    const name = canonical(manifest, word);
    const skipped = !known.has(name) || over.has(name) || (name in manifest.positions && !position(manifest, said, index));
    return skipped ? ids.pad : /** @type {number} */ (known.get(name));
  });
  const all = [ids.start, ...read, ids.end];
  if (all.length > text_length) throw new RangeError(`the text has ${said.length} words; the model reads ${text_length - 2}`);
  return [...all, ...new Array(text_length - all.length).fill(ids.pad)];
}

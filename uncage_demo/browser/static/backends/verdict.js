// From what the detector sees to a verdict on a prompt; as backends/embedded/verdict.py.

/** @import { FoundObject, Manifest, Prompt, Verdict, Wish } from "../types" */
import { colorFits, match } from "../prompt/judging.js";
import { canonical, position } from "./vocab.js";

/**
 * @param {Manifest} manifest
 * @param {FoundObject[]} found strongest first
 * @param {Prompt} prompt
 * @param {string | null} place where the picture is; null = not judged
 * @returns {Verdict}
 */
export function verdictOf(manifest, found, prompt, place) {
  const { own, left } = match(prompt.subjects, found);
  const matched = own.map((mine) => mine.map((i) => found[i]));
  const objects = prompt.subjects.map((subject, s) => matched[s].length === subject.count);
  const colors = prompt.subjects.map((subject, s) => objects[s] && matched[s].every((one) => colorFits(one, subject)));
  const wishes = [...positionsMet(manifest, prompt, matched), ...placesMet(manifest, prompt, place)];
  const all = [...objects, ...colors, ...wishes.map((wish) => wish.met)].every(Boolean) && !left.length && objects.length > 0;
  return {
    objects_found: objects, colors_right: colors, extra_objects: left.length, all_correct: all, detections: found,
    scorer: manifest.verdict.scorer, wishes,
  };
}

/**
 * The place whose paper most of the background has; "" for plain paper or none; null where the model has no papers.
 * @param {Manifest} manifest
 * @param {Uint8Array} picture "H W 3"
 */
export function placeOf(manifest, picture) {
  const papers = Object.entries(manifest.papers);
  if (!papers.length) return null;
  const tolerance = manifest.verdict.paper_tolerance;
  let best = "", share = -1;
  for (const [place, [red, green, blue]] of papers) {
    let count = 0;
    for (let i = 0; i < picture.length; i += 3) {
      if (Math.abs(picture[i] - red) <= tolerance && Math.abs(picture[i + 1] - green) <= tolerance && Math.abs(picture[i + 2] - blue) <= tolerance) count++;
    }
    if ((3 * count) / picture.length > share) [best, share] = [place, (3 * count) / picture.length];
  }
  return share >= manifest.verdict.least_paper_frac ? best : "";
}

/** @param {Manifest} manifest @param {Prompt} prompt @param {FoundObject[][]} matched @returns {Wish[]} */
function positionsMet(manifest, prompt, matched) {
  const indices = prompt.tokens.map((_, i) => i).filter((i) => !prompt.tokens[i].special);
  const said = indices.map((i) => prompt.tokens[i].text);
  const at = new Map(indices.map((token, k) => [token, k]));
  const placesOf = (/** @type {number[]} */ words) => words.flatMap((w) => prompt.words[w].tokens).flatMap((t) => at.get(t) ?? []);
  const spans = prompt.subjects.map((s) => placesOf([s.object, ...s.attributes].flat()));
  const nouns = prompt.subjects.map((s) => Math.max(-1, ...placesOf(s.object)));
  const order = prompt.subjects.map((_, i) => i).filter((i) => nouns[i] >= 0).sort((a, b) => nouns[a] - nouns[b]);
  return order.flatMap((index, number) => {
    const following = order[number + 1];
    const end = following === undefined ? said.length : Math.min(...spans[following].filter((k) => k > nouns[index]));
    const there = [];
    for (let k = nouns[index] + 1; k < end; k++) if (position(manifest, said, k)) there.push(k);
    if (there.length !== 1) return [];
    const name = position(manifest, said, there[0]);
    const { noun } = prompt.subjects[index];
    if (following === undefined || said.slice(there[0], end).some((word) => ["and", "with", ","].includes(word.toLowerCase()))) {
      const met = matched[index].length > 0 && matched[index].every((found) => apart(name, found, null) >= manifest.verdict.aside_frac);
      return [{ kind: "position", label: `${noun} ${manifest.positions[name]}`, met }];
    }
    const pairs = matched[index].flatMap((a) => matched[following].map((b) => [a, b]));
    const met = pairs.length > 0 && pairs.every(([a, b]) => apart(name, a, b) >= manifest.verdict.clearly_frac);
    const joint = name === "left" || name === "right" ? "of " : "";
    return [{ kind: "position", label: `${noun} ${name} ${joint}${prompt.subjects[following].noun}`, met }];
  });
}

/** How far an object lies to a side of another one, or of the middle, as a share of the picture. @param {string} name @param {FoundObject} a @param {FoundObject | null} b */
function apart(name, a, b) {
  const axis = name === "above" || name === "below" ? 0 : 1;
  const middle = (/** @type {FoundObject} */ found) => (found.box[axis] + found.box[axis + 2]) / 2;
  const distance = (b ? middle(b) : 0.5) - middle(a);
  return name === "above" || name === "left" ? distance : -distance;
}

/** @param {Manifest} manifest @param {Prompt} prompt @param {string | null} place @returns {Wish[]} */
function placesMet(manifest, prompt, place) {
  const asked = [...new Set(prompt.tokens.map((token) => canonical(manifest, token.text)).filter((name) => name in manifest.places))];
  if (place === null || asked.length !== 1) return [];
  return [{ kind: "place", label: asked[0], met: asked[0] === place }];
}

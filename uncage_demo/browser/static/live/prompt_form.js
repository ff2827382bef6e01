// The prompt of the page that draws by itself, from menus: objects, their colours, numbers and sides, and a place.

/** @import { Choice, Manifest, Prompt } from "../types" */
import { compose } from "../prompt/compose.js";

/** Prompts to begin with. @type {{ choices: Choice[], place: string, seed: number }[]} */
const CHIPS = [
  { choices: [one("turtle"), one("apple", "pink")], place: "", seed: 0 },
  { choices: [one("car", "red"), one("clock", "blue")], place: "", seed: 1 },
  { choices: [one("bird", "yellow"), one("frog", "green")], place: "night", seed: 3 },
  { choices: [one("cat"), one("dog"), one("crown")], place: "", seed: 2 },
  { choices: [one("rabbit", "", 2), one("balloon", "orange")], place: "meadow", seed: 4 },
];

/** @param {string} noun @param {string} color @param {number} count @returns {Choice} */
function one(noun, color = "", count = 1) {
  return { noun, color, count, side: "" };
}

export class PromptForm {
  /**
   * @param {{ rows: HTMLElement, place: HTMLSelectElement, chips: HTMLElement, prompt: HTMLElement }} nodes menus go into `rows` and `chips`, the prompt is shown in `prompt`
   * @param {Manifest} manifest the words that the model knows
   * @param {{ changed: (prompt: Prompt | null) => void, chosen: (seed: number) => void }} told another prompt is on show; a prompt to begin with was pressed
   */
  constructor(nodes, manifest, told) {
    this.nodes = nodes;
    this.manifest = manifest;
    this.told = told;
    this.rows = Array.from({ length: manifest.most_objects }, (_, k) => this.row(k));
    fillSelect(nodes.place, [["", "anywhere"], ...Object.entries(manifest.places)]);
    nodes.chips.append(...CHIPS.map((chip) => this.chip(chip)));
    this.fill(CHIPS[0].choices, CHIPS[0].place);
  }

  /** Prompts are for another model from now on. @param {Manifest} manifest with the same words */
  use(manifest) {
    this.manifest = manifest;
    this.preview();
  }

  /** @param {(typeof CHIPS)[number]} chip */
  chip({ choices, place, seed }) {
    const node = document.createElement("button");
    node.type = "button";
    node.className = "live-chip";
    node.textContent = compose(this.manifest, choices, place).text;
    node.addEventListener("click", () => {
      this.fill(choices, place);
      this.told.chosen(seed);
    });
    return node;
  }

  /** @param {number} k */
  row(k) {
    const node = document.createElement("fieldset");
    node.className = "live-row";
    node.setAttribute("aria-label", `Object ${k + 1}`);
    const name = document.createElement("span");
    name.className = "live-row-name";
    name.textContent = k ? "and" : "Draw";
    node.append(name);
    /** @type {Record<string, HTMLSelectElement>} */
    const fields = {};
    const { manifest } = this;
    const counts = Object.entries(manifest.numbers).map(([word, number]) => [String(number), word]);
    const lists = {
      count: counts,
      color: [["", "any colour"], ...manifest.colors.map((color) => [color, color])],
      noun: [...(k ? [["", "nothing"]] : []), ...manifest.nouns.map((noun) => [noun, noun])],
      side: [["", "anywhere"], ...Object.entries(manifest.positions)],
    };
    for (const [field, list] of Object.entries(lists)) {
      const select = document.createElement("select");
      select.setAttribute("aria-label", `Object ${k + 1}: ${{ count: "how many", color: "colour", noun: "what", side: "where" }[field]}`);
      fillSelect(select, list);
      select.addEventListener("change", () => this.preview());
      fields[field] = select;
      node.append(select);
    }
    this.nodes.rows.append(node);
    return fields;
  }

  /** @param {Choice[]} choices @param {string} place */
  fill(choices, place) {
    this.rows.forEach((fields, k) => {
      const { noun, color, count, side } = choices[k] || one("");
      fields.noun.value = noun;
      fields.color.value = color;
      fields.count.value = String(count);
      fields.side.value = side;
    });
    this.nodes.place.value = place;
    this.preview();
  }

  /** The prompt as chosen, or null with the reason told. */
  prompt() {
    const chosen = this.rows.filter((fields) => fields.noun.value).map(({ noun, color, count, side }) => ({ noun: noun.value, color: color.value, count: Number(count.value), side: side.value }));
    try {
      return compose(this.manifest, chosen, this.nodes.place.value);
    } catch (error) {
      this.nodes.prompt.textContent = error instanceof Error ? error.message : String(error);
      return null;
    }
  }

  preview() {
    const prompt = this.prompt();
    if (prompt) this.nodes.prompt.textContent = `“${prompt.text}”`;
    this.nodes.prompt.classList.toggle("live-wrong", !prompt);
    this.told.changed(prompt);
  }
}

/** @param {HTMLSelectElement} select @param {string[][]} list value and text */
export function fillSelect(select, list) {
  select.replaceChildren(...list.map(([value, text]) => new Option(text, value)));
}

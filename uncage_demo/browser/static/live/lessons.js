// The lessons of the app's page, whose script knows no server but what it is handed: here it is handed runs that this page draws itself.

/** @import { Choice } from "../types" */

/**
 * @typedef {object} Lessons what lies in the page, as live_lessons.py puts it there
 * @property {{ title: string, about: string, minutes: number, stages: string[], draw: { choices: Choice[], place: string, seed: string } }[]} lessons
 * @property {object[]} terms
 * @property {object[]} papers
 * @property {string[]} elsewhere titles of those that need the app
 * @property {string} markup
 */

export class LivePageLessons {
  /**
   * @param {HTMLElement} root
   * @param {Lessons} held
   * @param {(lesson: Lessons["lessons"][number]) => Promise<any>} draw the payload of a lesson's runs; throws where it is stopped
   */
  constructor(root, held, draw) {
    this.held = held;
    this.draw = draw;
    this.root = root;
    this.begun = false;
  }

  /** Show the list, the first time. */
  begin() {
    if (this.begun) return;
    this.begun = true;
    const { dom } = /** @type {any} */ (window).UncagePlayerParts;
    const { root, held } = this;
    root.innerHTML = held.markup; // fixed markup of ours; texts of lessons never become markup
    /** @type {any} */ (window).UncagePage = {
      make: dom.make, button: dom.button, parse: (/** @type {any} */ value) => (typeof value === "string" ? JSON.parse(value) : value), address: { place() {} },
    };
    /** @type {any} */ (window).UncageLessons.attach({
      element: root,
      props: { value: JSON.stringify({ kind: "lesson", seq: 1, number: 0 }) },
      server: { lesson: (/** @type {any} */ asked) => this.lesson(asked), payload: (/** @type {any} */ asked) => this.payload(asked) },
      watch() {},
    });
    const elsewhere = document.createElement("p");
    elsewhere.className = "live-elsewhere";
    elsewhere.textContent = `The app has ${held.elsewhere.length} further lessons, on runs of other models and with the brush: ${held.elsewhere.map((title) => `“${title}”`).join(", ")}.`;
    (root.querySelector(".uc-lesson-list") || root).after(elsewhere);
    new MutationObserver(() => (elsewhere.hidden = root.classList.contains("uc-in-lesson"))).observe(root, { attributes: true, attributeFilter: ["class"] });
  }

  /** @param {{ number: number }} asked 0 = the list */
  async lesson({ number }) {
    const { lessons, terms, papers } = this.held;
    return number ? { ...lessons[number - 1], number, count: lessons.length, ids: [String(number - 1)], shown: [] } : { lessons, terms, papers };
  }

  /** @param {{ ids: string[] }} asked the lesson's place in the list */
  async payload({ ids }) {
    try {
      const payload = await this.draw(this.held.lessons[Number(ids[0])]);
      for (const run of payload.runs) run.findings = findingsOf(payload, run);
      return { payload };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** What a lesson says of a run, from the detector's verdict and the weights: the diagnosis proper is the app's. @param {any} payload @param {any} run */
function findingsOf(payload, run) {
  const { verdict } = run;
  const told = payload.prompt.subjects.map((/** @type {any} */ subject, /** @type {number} */ s) => {
    const ok = verdict.objects_found[s];
    return `${subject.label} ${ok && verdict.colors_right[s] ? "✓" : ok ? "in another colour" : "missing"}`;
  });
  if (verdict.extra_objects) told.push(`${verdict.extra_objects} more than asked for`);
  const steps = new Float32Array(run.weight.d.buffer, run.weight.d.byteOffset, run.weight.d.byteLength / 4).filter((weight) => weight !== 0).length;
  const guidance = { kind: "guidance", severity: "info", text: steps ? `Contrast counted in ${steps} of ${run.num_steps} steps.` : "Contrast counted in no step." };
  return [{ kind: "clear", severity: "info", text: `The detector sees: ${told.join(", ")}.` }, guidance];
}

// The lessons of the app's page, whose script knows no server but what it is handed: here it is handed runs that this page draws itself, or
// that lie in it.

/** @import { Choice } from "../types" */

/**
 * @typedef {object} Lessons what lies in the page, as live_lessons.py puts it there
 * @property {{ title: string, about: string, minutes: number, stages: string[], shown?: object[], held?: string, draw: { choices: Choice[], place: string, seed: string, mistake?: boolean } }[]} lessons
 *   draw = what is drawn for it, mistake = until an object is there too often in the first picture and the last one is right; held =
 *   where its runs lie in the page instead, shown = where each of them shows what is asked for
 * @property {object[]} terms
 * @property {object[]} papers
 * @property {string[]} elsewhere titles of those that need the app
 * @property {string} markup
 */

/** The brush here: nothing reads a prompt that is typed, and runs are edited in their own order. */
export const BRUSH = { modes: ["edit"], fixed: true };

export class LivePageLessons {
  /**
   * @param {HTMLElement} root
   * @param {Lessons} held
   * @param {(lesson: Lessons["lessons"][number]) => Promise<{ payload: any, shown: object[] }>} draw a lesson's runs, and where they show what is asked for; throws where it is stopped
   * @param {(detail: any) => void} edit draws again what was painted on one of them
   * @param {(id: string) => string} part what lies in the page, base64 of gzipped bytes
   */
  constructor(root, held, draw, edit, part) {
    this.edit = edit;
    /** The lesson that was asked for last. @type {any} */
    this.told = null;
    this.part = part;
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
      edits: { brush: BRUSH, fromLesson: (/** @type {number} */ number, /** @type {string[]} */ ids, /** @type {any} */ detail) => this.edit(detail) },
    };
    /** @type {any} */ (window).UncageLessons.attach({
      element: root,
      props: { value: JSON.stringify({ kind: "lesson", seq: 1, number: 0 }) },
      server: { lesson: (/** @type {any} */ asked) => this.lesson(asked), payload: (/** @type {any} */ asked) => this.payload(asked) },
      watch() {},
    });
    if (!held.elsewhere.length) return;
    const elsewhere = document.createElement("p");
    elsewhere.className = "live-elsewhere";
    const count = held.elsewhere.length === 1 ? "one further lesson" : `${held.elsewhere.length} further lessons`;
    elsewhere.textContent = `The app has ${count}: ${held.elsewhere.map((title) => `“${title}”`).join(", ")}.`;
    (root.querySelector(".uc-lesson-list") || root).after(elsewhere);
    new MutationObserver(() => (elsewhere.hidden = root.classList.contains("uc-in-lesson"))).observe(root, { attributes: true, attributeFilter: ["class"] });
  }

  /** @param {{ number: number }} asked 0 = the list */
  async lesson({ number }) {
    const { lessons, terms, papers } = this.held;
    if (!number) return { lessons, terms, papers };
    this.told = { ...lessons[number - 1], number, count: lessons.length, ids: [String(number - 1)], shown: lessons[number - 1].shown || [] };
    return this.told;
  }

  /** @param {{ ids: string[] }} asked the lesson's place in the list */
  async payload({ ids }) {
    try {
      const lesson = this.held.lessons[Number(ids[0])];
      if (lesson.held) return { payload: await unpacked(this.part(lesson.held)) };
      const { told } = this;
      const { payload, shown } = await this.draw(lesson);
      told.shown = shown;
      for (const run of payload.runs) run.findings = findingsOf(payload, run);
      return { payload };
    } catch (error) {
      return { error: error instanceof Error ? error.message : String(error) };
    }
  }
}

/** @param {string} text base64 of gzipped JSON @returns {Promise<any>} */
function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
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

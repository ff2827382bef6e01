// "What if" over all steps that follow: a slider whose weight decodes the rest of a run again (page-here.js does that).
(function (page) {
  "use strict";

  const { shared, make } = page;
  const FOLLOW_MS = 160;
  const MOST_WEIGHT = 12; // of the slider, as the player's "What if"

  const guidedSteps = (run) => run.weight.reduce((last, weight, s) => (weight !== 0 ? run.firstStep + s + 1 : last), 0);

  // The step on show; where guidance is over by then (at a run's end, say), the whole run.
  const startOf = (run) => (shared.step < guidedSteps(run) ? Math.max(run.firstStep, shared.step) : run.firstStep);

  page.Follow = class {
    /** @param {(from: number, weight: number) => void} decode decodes the run again from a step on, with this weight */
    constructor(decode) {
      this.decode = decode;
      this.run = null;
      this.nodes = null;
      this.timer = 0;
      this.of = null; // the runs that the slider's weight belongs to
    }

    build() {
      const box = document.querySelector("#uc-stage .uc-follow");
      if (this.nodes || !box) return;
      const field = make("label", "");
      const input = make("input", "");
      Object.assign(input, { type: "range", min: "0", max: String(MOST_WEIGHT), step: "0.5" });
      input.setAttribute("aria-label", "Weight of the contrast in this step and all that follow");
      const output = make("output", "");
      const name = make("span", "");
      field.append(name, input, output);
      const said = make("span", "uc-muted");
      said.setAttribute("role", "status");
      box.append(field, said);
      input.addEventListener("input", () => {
        output.textContent = input.value;
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.run && this.decode(startOf(this.run), Number(input.value)), FOLLOW_MS);
      });
      this.nodes = { box, input, output, name, said };
    }

    /**
     * Show what the slider would do now.
     * @param {any} run the guided run on stage that was drawn here; null = there is none
     * @param {any} made tells the runs on stage from others: the slider begins at their weight
     */
    update(run, made) {
      this.run = run;
      this.build();
      if (!this.nodes) return;
      const { box, input, output, name } = this.nodes;
      box.hidden = !run;
      if (!run) return;
      const from = startOf(run);
      name.textContent = from === run.firstStep ? `What if, in all guided steps of ${run.letter}: weight wₐ` : `What if, from step ${from + 1} of ${run.letter} on: weight wₐ`;
      if (this.of !== made) {
        this.of = made;
        input.value = String(run.raw.config.contrast_weight);
        output.textContent = input.value;
      }
    }

    say(text) {
      if (this.nodes) this.nodes.said.textContent = text;
    }
  };
})(window.UncagePage);

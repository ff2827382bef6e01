// What a visitor can do to a run: "What if" in the browser, and the requests that the page sends to the server (branch, knock-out, export).
(function (parts) {
  "use strict";

  const { make, button, number } = parts.dom;

  const EXPORTS = { html: "HTML player", trace: "Trace file", webp: "Animation", figures: "Figures", code: "Code", link: "Link" };

  function allowed(player, action) {
    return (player.options.actions || []).includes(action);
  }

  // Re-ranks this step's candidates with another weight or without a term; nothing is decoded.
  class WhatIf {
    constructor(player) {
      this.player = player;
      this.cache = new Map();
      this.box = make("section", "up-whatif");
      const head = make("header", "up-inspector-head");
      head.append(make("h3", "up-heading", "What if"), make("span", "up-tag", "this step only"));
      this.reset = button("up-pill", "Off", () => this.set(null));
      head.append(this.reset);
      const weight = this.slider("weight", "weight wₐ", "Weight of the contrast", 12);
      const factor = this.slider("factor", "noise ×", "Factor of the noise", 3);
      this.switches = {};
      const row = make("div", "up-switches");
      for (const key of ["confidence", "noise", "contrast"]) {
        const field = make("label", "up-check");
        const input = make("input", "");
        input.type = "checkbox";
        input.checked = true;
        input.addEventListener("change", () => this.change());
        field.append(input, make("span", "", key));
        row.append(field);
        this.switches[key] = input;
      }
      this.result = make("div", "up-results");
      this.result.setAttribute("aria-live", "polite");
      this.box.append(head, weight, factor, row, this.result);
      this.sync();
    }

    slider(name, label, about, most) {
      const field = make("label", "up-field up-weight");
      const input = (this[name] = make("input", ""));
      Object.assign(input, { type: "range", min: "0", max: String(most), step: "0.1" });
      input.setAttribute("aria-label", about);
      const text = (this[`${name}Text`] = make("output", "up-number"));
      field.append(make("span", "up-weight-name", label), input, text);
      input.addEventListener("input", () => this.change());
      return field;
    }

    start() {
      const { model } = this.player;
      const guided = model.runs.find((r) => r.raw.guided);
      return { weight: guided ? guided.raw.config.contrast_weight : 3, noiseFactor: 1, confidence: true, noise: true, contrast: true };
    }

    change() {
      const next = { weight: Number(this.weight.value), noiseFactor: Number(this.factor.value) };
      for (const [key, input] of Object.entries(this.switches)) next[key] = input.checked;
      this.set(next);
    }

    set(value) {
      this.player.clock.stop();
      this.player.setState({ whatIf: value });
    }

    picked(run, s) {
      const { whatIf } = this.player.state;
      if (!whatIf || !run.terms[s]) return null;
      const key = `${run.index} ${s}`;
      if (this.for !== whatIf) {
        this.for = whatIf;
        this.cache.clear();
      }
      if (!this.cache.has(key)) this.cache.set(key, run.pick(s, whatIf));
      return this.cache.get(key);
    }

    sync() {
      const value = this.player.state.whatIf || this.start();
      this.weight.value = String(value.weight);
      this.weightText.textContent = number(value.weight, 1);
      this.factor.value = String(value.noiseFactor);
      this.factorText.textContent = number(value.noiseFactor, 1);
      this.factor.disabled = !value.noise;
      for (const [key, input] of Object.entries(this.switches)) input.checked = value[key];
    }

    update(changed) {
      if (!["whatIf", "step", "model"].some((k) => changed.has(k))) return;
      const { state, model } = this.player;
      if (changed.has("whatIf") || changed.has("model")) this.sync();
      this.reset.hidden = !state.whatIf;
      this.box.classList.toggle("up-on", !!state.whatIf);
      this.result.replaceChildren();
      if (!state.whatIf) {
        this.result.append(make("p", "up-hint", "Move a slider or switch a term off: dashed outlines show which cells this step would pick."));
        return;
      }
      for (const run of model.runs.slice(0, 6)) {
        const s = run.local(state.step);
        const line = make("p", "up-result");
        line.append(make("span", "up-letter", run.letter));
        const chosen = this.picked(run, s);
        let words;
        if (!chosen) words = "this order is not a sum of these terms";
        else {
          let same = 0;
          for (let i = 0; i < model.cells; i++) same += chosen[i] && run.committed(s, i) ? 1 : 0;
          const other = run.counts[s] - same;
          words = other ? `${other} of ${run.counts[s]} ${run.counts[s] === 1 ? "pick" : "picks"} would change` : run.counts[s] === 1 ? "the same pick" : `the same ${run.counts[s]} picks`;
          if (run.contrastOffsets[s] < 0 && state.whatIf.contrast) words += "; no contrast at this step";
          line.dataset.same = String(same);
        }
        line.append(make("span", "", words));
        this.result.append(line);
      }
    }
  }

  // Requests for the pinned cell; the page sends them to the server.
  class Branch {
    constructor(player) {
      this.player = player;
      this.box = make("section", "up-branch");
      this.box.hidden = true;
      if (!allowed(player, "branch")) return;
      const head = make("header", "up-inspector-head");
      head.append(make("h3", "up-heading", "Branch from here"), make("span", "up-tag", "decodes again"));
      const line = make("div", "up-branch-line");
      this.run = make("select", "");
      this.run.setAttribute("aria-label", "Run to branch from");
      for (const run of player.model.runs) this.run.append(new Option(`${run.letter}: ${run.title}`, String(run.index)));
      line.append(this.run);
      const words = { keep: ["Keep this token", "Commit the drawn token here in this step"], drop: ["Put it off", "Do not commit this cell in this step"], forbid: ["Forbid this token", "Never choose this token at this cell"] };
      this.cellButtons = Object.entries(words).map(([action, [name, about]]) => {
        const node = button("up-pill", name, () => this.send(action));
        node.title = about;
        node.dataset.action = action;
        line.append(node);
        return node;
      });
      this.order = make("select", "");
      this.order.setAttribute("aria-label", "Continue with another order from this step");
      this.order.append(new Option("Another order…", ""));
      for (const [key, name] of player.model.orders) this.order.append(new Option(name, key));
      this.order.addEventListener("change", () => {
        if (this.order.value) this.send("keep", this.order.value);
        this.order.value = "";
      });
      line.append(this.order);
      this.about = make("p", "up-hint");
      this.box.append(head, line, this.about);
    }

    send(action, order) {
      const { player } = this;
      const { state, model } = player;
      const run = model.runs[Number(this.run.value)];
      player.clock.stop();
      const s = run.local(state.step);
      const detail = { run: run.index, id: run.id, step: run.firstStep + s, cell: order ? -1 : state.pin, action };
      if (order) detail.order = order;
      else detail.token = run.token(s, state.pin);
      player.emit("branch", detail);
    }

    update(changed) {
      if (!this.run || !["pin", "step", "model", "touched"].some((k) => changed.has(k))) return;
      const { state, model } = this.player;
      this.box.hidden = model.done < model.steps;
      if (changed.has("touched") && state.touched !== undefined) this.run.value = String(state.touched);
      const run = model.runs[Number(this.run.value)];
      const open = state.pin >= 0 && run.masked(run.local(state.step), state.pin);
      for (const node of this.cellButtons) node.disabled = !open;
      // The last step keeps every cell that is left, whatever the order.
      const last = state.step >= model.steps - 1;
      this.order.disabled = last;
      const orders = last ? " Another order needs an earlier step: in the last one all cells that are left are kept." : " Or continue with another order.";
      this.about.textContent = state.pin < 0 ? `Pin a cell to keep, put off or forbid its token.${orders}` :
        open ? "Everything before this step stays; the rest is decoded anew." : `This cell was decided before this step; step back to change it.${last ? orders : ""}`;
    }
  }

  // Buttons beside the prompt: knock out the chosen word, take the run away.
  function tools(player) {
    const { hook } = player;
    hook.tools.replaceChildren();
    if (allowed(player, "knockout")) {
      const node = button("up-pill", "Knock out word", () => {
        const { state, model } = player;
        const run = model.runs[state.touched || 0] || model.runs[0];
        player.clock.stop();
        player.emit("knockout", { run: run.index, id: run.id, step: run.firstStep + run.local(state.step), word: state.word });
      });
      node.title = "Decode again from this step without attention to the chosen word: what does that word draw?";
      node.dataset.up = "knockout";
      player.knockout = node;
      hook.tools.append(node);
    }
    if (allowed(player, "export")) {
      const select = make("select", "");
      select.setAttribute("aria-label", "Take this run away");
      select.append(new Option("Take away…", ""));
      for (const [kind, name] of Object.entries(EXPORTS)) select.append(new Option(name, kind));
      select.addEventListener("change", () => {
        if (select.value) player.emit("export", { kind: select.value, step: player.state.step, runs: player.model.runs.map((r) => r.id) });
        select.value = "";
      });
      hook.tools.append(select);
    }
  }

  function updateTools(player) {
    const { knockout, state, model } = player;
    if (!knockout) return;
    knockout.hidden = state.layer !== "word" || state.word < 0 || model.done < model.steps;
    if (knockout.hidden) return;
    const run = model.runs[state.touched || 0] || model.runs[0];
    knockout.textContent = `Knock out “${model.words[state.word].text}”` + (model.runs.length > 1 ? ` on ${run.letter}` : "");
  }

  parts.actions = { WhatIf, Branch, tools, updateTools };
})((window.UncagePlayerParts = window.UncagePlayerParts || {}));

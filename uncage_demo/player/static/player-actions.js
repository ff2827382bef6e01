// What a visitor can do to a run: "What if" in the browser, and the requests that the page sends to the server (branch, knock-out).
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { number, picksChanged } = parts.phrases;
  const TERMS = ["confidence", "noise", "contrast"];
  const MOST_SHARE = 0.6; // of the window for pictures that stay in view
  const CLEAR_PX = 20; // between the panel of "What if" and what stays in view beside it

  function allowed(player, action) {
    return (player.options.actions || []).includes(action);
  }

  // Re-ranks this step's candidates with another weight or without a term; nothing is decoded.
  // What is not touched stays as each stage has it: state.whatIf holds only what was changed.
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
      const factor = this.slider("noiseFactor", "noise ×", "Noise multiplier", 3);
      this.weight = weight.input;
      this.weightText = weight.text;
      this.factor = factor.input;
      this.factorText = factor.text;
      this.switches = {};
      const row = make("div", "up-switches");
      for (const key of TERMS) {
        const field = make("label", "up-check");
        const input = make("input", "");
        input.type = "checkbox";
        input.checked = true;
        input.addEventListener("change", () => this.change({ [key]: input.checked }));
        field.append(input, make("span", "", key));
        row.append(field);
        this.switches[key] = input;
      }
      this.result = make("div", "up-results");
      this.result.setAttribute("aria-live", "polite");
      this.box.append(head, weight.field, factor.field, row, this.result);
      this.on = false;
      this.asked = null;
      this.sync();
    }

    slider(key, label, about, most) {
      const field = make("label", "up-field up-weight");
      const input = make("input", "");
      Object.assign(input, { type: "range", min: "0", max: String(most), step: "0.1" });
      input.setAttribute("aria-label", about);
      const text = make("output", "up-number");
      field.append(make("span", "up-weight-name", label), input, text);
      input.addEventListener("input", () => this.change({ [key]: Number(input.value) }));
      return { field, input, text };
    }

    change(patch) {
      this.set({ ...this.player.state.whatIf, ...patch });
    }

    set(value) {
      this.player.clock.stop();
      this.player.setState({ whatIf: value });
    }

    // While it is used the pictures stay in view, smaller if they must. Where the panel is below them, not beside, it keeps clear of them.
    follow(on) {
      const { root, stages, clock } = this.player.hook;
      if (this.on !== on) {
        this.on = on;
        root.classList.toggle("up-asks", on);
        if (!on) return this.player.resized();
        if (stages.offsetHeight > window.innerHeight * MOST_SHARE) root.classList.remove("up-asks"); // too many to look past them
      }
      if (!root.classList.contains("up-asks") || this.box.getBoundingClientRect().left >= stages.getBoundingClientRect().right) return;
      const under = parseFloat(getComputedStyle(stages).top) + stages.offsetHeight;
      this.box.style.scrollMargin = `${under + CLEAR_PX}px 0 ${clock.offsetHeight + CLEAR_PX}px`;
      this.box.scrollIntoView({ block: "nearest" });
    }

    picked(run, s) {
      const { whatIf } = this.player.state;
      if (!whatIf || !run.terms[s]) return null;
      const key = `${run.index} ${s}`;
      if (this.for !== whatIf) {
        this.for = whatIf;
        this.cache.clear();
      }
      if (!this.cache.has(key)) this.cache.set(key, run.pick(s, run.changedTerms(s, whatIf)));
      return this.cache.get(key);
    }

    // What stands where nothing was changed: each stage's own setting at this step.
    sync() {
      const { model, state } = this.player;
      const wish = state.whatIf || {};
      const own = model.runs.map((run) => run.ownTerms(run.local(state.step))).filter(Boolean);
      const guided = model.runs.find((run) => run.raw.guided);
      const weights = [...new Set(own.map((terms) => number(terms.weight, 1)))];
      const weight = wish.weight === undefined ? (guided ? guided.raw.config.contrast_weight : 0) : wish.weight;
      this.weight.value = String(weight);
      this.weightText.textContent = wish.weight !== undefined ? number(wish.weight, 1) : weights.length <= 2 ? weights.join(" / ") : "own";
      this.weightText.title = wish.weight === undefined ? "Each stage’s own weight at this step" : "";
      const factor = wish.noiseFactor === undefined ? 1 : wish.noiseFactor;
      this.factor.value = String(factor);
      this.factorText.textContent = number(factor, 1);
      this.factor.disabled = wish.noise === false;
      for (const key of TERMS) {
        const input = this.switches[key];
        const used = own.filter((terms) => terms[key]).length;
        input.checked = wish[key] === undefined ? used > 0 || (key === "contrast" && wish.weight !== undefined) : wish[key];
        input.indeterminate = wish[key] === undefined && used > 0 && used < own.length && !(key === "contrast" && wish.weight !== undefined);
      }
    }

    update(changed) {
      if (!["whatIf", "step", "model"].some((k) => changed.has(k))) return;
      const { state, model } = this.player;
      this.sync();
      this.reset.hidden = !state.whatIf;
      this.box.classList.toggle("up-on", !!state.whatIf);
      if (state.whatIf !== this.asked) this.follow(!!state.whatIf); // a step by itself moves no page
      this.asked = state.whatIf;
      this.result.replaceChildren();
      if (!state.whatIf) {
        this.result.append(make("p", "up-hint", "Move a slider or switch a term off: dashed outlines show which cells this step would pick. Whatever you leave alone stays as it is on each stage."));
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
          words = picksChanged(run.counts[s], same);
          if (!run.hasValues("contrast", s) && state.whatIf.weight) words += "; no contrast at this step";
          line.dataset.same = String(same);
        }
        line.append(make("span", "", words));
        this.result.append(line);
      }
    }
  }

  // Asks the page to decode on from a step with one cell changed, or with another order (then without a cell).
  function askBranch(player, run, step, cell, action, order) {
    player.clock.stop();
    const detail = { run: run.index, id: run.id, step, cell: order ? -1 : cell, action };
    player.emit("branch", order ? { ...detail, order } : { ...detail, token: run.token(step - run.firstStep, cell) });
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
      const words = {
        keep: ["Commit now", "Commit the drawn token here in this step, whatever its score"],
        drop: ["Delay by one step", "Do not commit this cell in this step"],
        forbid: ["Forbid this token", "Never choose this token for this cell"],
      };
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
      const { state, model } = this.player;
      const run = model.runs[Number(this.run.value)];
      askBranch(this.player, run, run.firstStep + run.local(state.step), state.pin, action, order);
    }

    update(changed) {
      if (!this.run || !["pin", "step", "model", "touched"].some((k) => changed.has(k))) return;
      const { state, model } = this.player;
      this.box.hidden = model.done < model.steps;
      if (changed.has("touched") && state.touched !== undefined) this.run.value = String(state.touched);
      const run = model.runs[Number(this.run.value)];
      const data = state.pin >= 0 ? run.candidate(run.local(state.step), state.pin) : null;
      // Only what would change something: a picked cell can be delayed, one that waits can be committed.
      const offered = { keep: data && !data.picked, drop: data && data.picked, forbid: Boolean(data) };
      for (const node of this.cellButtons) {
        node.disabled = !offered[node.dataset.action];
        node.hidden = Boolean(data) && node.disabled;
      }
      // The last step keeps every cell that is left, whatever the order.
      const last = state.step >= model.steps - 1;
      this.order.disabled = last;
      for (const option of this.order.options) option.disabled = option.value === run.raw.order; // it goes on with that one anyway
      const orders = last ? " To continue with another order, go to an earlier step: the last step keeps every cell that is left." : " Or continue with another order.";
      this.about.textContent = state.pin < 0 ? `Pin a cell to commit it now, delay it or forbid its token.${orders}` :
        data ? "Everything before this step stays; the rest is decoded again." : `This cell was decided before this step; step back to change it.${last ? orders : ""}`;
    }
  }

  // Beside the last picture: the same prompt and settings from another seed. The page chooses it.
  function seedButton(player, head) {
    if (!allowed(player, "seed") || !head) return;
    const node = button("up-pill up-seed", "", () => {
      player.clock.stop();
      player.emit("seed", {});
    });
    node.append(parts.clock.icon("dice"), make("span", "", "Another seed"));
    node.setAttribute("aria-label", "Another seed");
    node.title = "The same prompt and settings, drawn from another seed";
    head.append(node);
  }

  // The button beside the prompt: knock out the chosen word.
  function tools(player) {
    const { hook } = player;
    hook.tools.replaceChildren();
    if (allowed(player, "knockout")) {
      const node = button("up-pill", "Knock out word", () => {
        const { state, model } = player;
        const run = model.runs[state.touched || 0] || model.runs[0];
        player.clock.stop();
        player.emit("knockout", { run: run.index, id: run.id, step: run.firstStep + run.local(state.step), word: run.ownWord(state.word) });
      });
      node.title = parts.phrases.KNOCKOUT;
      node.dataset.up = "knockout";
      player.knockout = node;
      hook.tools.append(node);
    }
  }

  function updateTools(player) {
    const { knockout, state, model } = player;
    if (!knockout) return;
    const run = model.runs[state.touched || 0] || model.runs[0];
    const { edits } = run.raw.lineage;
    const out = edits && edits.suppress_word === state.word; // nothing attends to it any more
    knockout.hidden = state.layer !== "word" || run.ownWord(state.word) < 0 || model.words[state.word].mark || out || model.done < model.steps;
    if (knockout.hidden) return;
    knockout.textContent = `Knock out “${model.words[state.word].text}”` + (model.runs.length > 1 ? ` on ${run.letter}` : "");
  }

  parts.actions = { WhatIf, Branch, seedButton, tools, updateTools, allowed, askBranch };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

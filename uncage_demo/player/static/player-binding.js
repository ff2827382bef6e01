// The binding debugger: objects down, words across; what each object's cells read when they were committed, and where that was decided.
// Everything it tells is in the payload (diagnosis/binding.py).
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { number, place, readTimes, committedBy, drawnAfter } = parts.phrases;
  const SHOWN_TOKENS = 4;
  const TOKEN_PX = 36;

  class Binding {
    constructor(player) {
      this.player = player;
      this.tokens = [];
    }

    // Of many runs only the pointed one is told.
    runs() {
      const { model, state } = this.player;
      const some = model.runs.filter((run) => run.raw.binding);
      if (!model.grid_view) return some;
      const touched = model.runs[state.touched || 0];
      return some.filter((run) => run === touched).concat(some).slice(0, 1);
    }

    build() {
      const home = this.player.hook.binding;
      const shown = this.runs();
      this.shown = shown.map((run) => run.index).join(" ");
      this.tokens = [];
      home.replaceChildren();
      home.hidden = !shown.length;
      if (!shown.length) return;
      home.append(make("h3", "up-heading", "Which words each object read"));
      home.append(make("p", "up-hint", "Attention of an object’s cells when they were committed, as a multiple of the word’s average over the picture. It is evidence, not proof: a colour can be wrong without a trace of it here."));
      const keys = make("p", "up-keys");
      for (const [look, name] of [["up-key-own", "the object’s own word"], ["up-key-leads", "another object’s word that leads"]]) {
        const key = make("span", "up-swatch");
        key.append(make("i", look), make("span", "", name));
        keys.append(key);
      }
      const columns = make("div", "up-binding-runs");
      for (const run of shown) columns.append(this.run(run));
      home.append(keys, columns);
      this.drawTokens();
    }

    /** @param {any} run */
    run(run) {
      const { model } = this.player;
      const box = make("section", "up-binding-run");
      box.dataset.run = String(run.index);
      if (model.runs.length > 1) {
        const head = make("p", "up-finding-head");
        head.append(make("span", "up-letter", run.letter), make("span", "", run.title));
        box.append(head);
      }
      const scroll = make("div", "up-scroll");
      scroll.append(this.table(run));
      const list = make("ul", "up-decisions");
      /** @type {BindingView} */
      const binding = run.raw.binding;
      binding.objects.forEach((object, index) => object && list.append(this.decision(run, object, index)));
      box.append(scroll, list);
      return box;
    }

    table(run) {
      const { model } = this.player;
      /** @type {BindingView} */
      const binding = run.raw.binding;
      const table = make("table", "up-bind");
      table.append(make("caption", "up-hidden", `Attention of each object to each word, run ${run.letter}`));
      const head = make("tr", "");
      head.append(make("td", ""));
      for (const index of binding.words) {
        const word = model.words[index];
        const owner = model.subjects[word.subject];
        const cell = make("th", `up-bind-word up-${word.role || "plain"}`);
        cell.scope = "col";
        cell.append(make("span", "", word.text));
        if (owner) parts.words.tint(cell, owner.color);
        head.append(cell);
      }
      table.append(head);
      binding.objects.forEach((object, o) => {
        if (!object) return; // of another run's prompt
        const row = make("tr", "");
        const name = parts.words.tint(make("th", "up-bind-object"), model.subjects[o].color);
        name.scope = "row";
        name.append(make("span", "", run.labels[o]), make("small", "up-small", cellsOf(object)));
        row.append(name, ...binding.words.map((word, k) => this.cell(run, o, object, word, k)));
        table.append(row);
      });
      return table;
    }

    /**
     * @param {any} run
     * @param {number} o
     * @param {BindingObject} object
     * @param {number} word
     * @param {number} k
     */
    cell(run, o, object, word, k) {
      const { model } = this.player;
      const cell = make("td", "");
      const peak = object.peaks[k], times = object.times[k];
      if (!peak || times === null) {
        cell.append(make("span", "up-bind-none", "–"));
        return cell;
      }
      const look = object.leads[k] ? " up-leads" : object.own[k] ? " up-own" : "";
      const node = button(`up-bind-cell${look}`, readTimes(times), () => this.go(run, peak[0], peak[1], word));
      const { text } = model.words[word];
      const whose = object.own[k] ? "its own word" : object.leads[k] ? "another object’s word, and it leads" : "another object’s word";
      const raw = `attention ${number(object.raw[k], 3)}`;
      node.title = `${run.labels[o]}: “${text}”, ${whose}, ${raw}. Show the cell that read it most: step ${peak[0] + 1}, ${place(peak[1], model.grid[1])}`;
      node.setAttribute("aria-label", `${readTimes(times)}. ${node.title}`);
      Object.assign(node.dataset, { object: String(o), word: String(word), value: String(times) });
      cell.append(node);
      return cell;
    }

    /**
     * @param {any} run
     * @param {BindingObject} object
     * @param {number} o
     */
    decision(run, object, o) {
      const { player } = this;
      const { model } = player;
      const item = parts.words.tint(make("li", "up-decision"), model.subjects[o].color);
      const made = object.decision;
      if (!made) {
        item.append(make("p", "", `${run.labels[o]}: ${object.cells ? "its words were not recorded" : "no cells of its own, so nothing can be told from attention"}.`));
        return item;
      }
      const s = made.step - run.firstStep;
      const column = binding(run).words.indexOf(made.word);
      const foreign = object.leads[column];
      const said = make("p", "");
      said.append(make("span", "", `${run.labels[o]}: ${drawnAfter(model, made)} `));
      if (foreign) said.append(make("strong", "up-warned", "That word is another object’s. "));
      said.append(make("span", "", committedBy(made, run.edited(s, made.cell))));
      const line = make("p", "up-decision-line");
      const go = button("up-link", `Show step ${made.step + 1}`, () => this.go(run, made.step, made.cell, made.word));
      go.setAttribute("aria-label", `Show step ${made.step + 1}: where it was decided which word ${run.labels[o]} follows`);
      line.append(go);
      if (parts.actions.allowed(player, "branch") && !made.last && model.done >= model.steps) {
        const wait = button("up-pill", "What if this cell had waited?", () => {
          this.go(run, made.step, made.cell, made.word);
          parts.actions.askBranch(player, run, made.step, made.cell, "drop");
        });
        wait.title = "Decode again from this step; this cell is not committed in it";
        wait.dataset.wait = String(o);
        line.append(wait);
      }
      item.append(said, this.alternatives(run, s, made.cell), line);
      return item;
    }

    // The tokens the model thought of at the deciding cell, the drawn one marked.
    alternatives(run, s, cell) {
      const list = make("ol", "up-alt-list");
      list.setAttribute("aria-label", "Most probable tokens of that cell");
      const drawn = run.token(s, cell);
      for (const { id, prob } of run.alternatives(s, cell).slice(0, SHOWN_TOKENS)) {
        const item = make("li", `up-alt${id === drawn ? " up-drawn" : ""}`);
        const canvas = parts.stage.makeCanvas(TOKEN_PX, TOKEN_PX);
        canvas.setAttribute("aria-hidden", "true");
        item.append(canvas, make("span", "up-alt-prob", parts.phrases.percent(prob)), make("span", "up-alt-id", id === drawn ? "drawn" : `#${id}`));
        item.title = `Token ${id} of the codebook`;
        list.append(item);
        this.tokens.push({ canvas, id });
      }
      list.hidden = !list.children.length;
      return list;
    }

    drawTokens() {
      const atlas = this.player.atlas();
      if (!atlas || !this.tokens.length) return;
      for (const { canvas, id } of this.tokens) parts.stage.drawToken(canvas, atlas, id);
      this.tokens = [];
    }

    // To the step, the cell and the word's map.
    go(run, step, cell, word) {
      const { player } = this;
      player.clock.stop();
      const patch = { step, pin: cell, word, touched: run.index };
      player.setState(player.painter.available("word") ? { ...patch, layer: "word" } : patch);
      player.hook.stages.scrollIntoView({ block: "nearest", behavior: player.calm ? "auto" : "smooth" });
    }

    update(changed) {
      if (changed.has("touched") && this.player.model.grid_view && this.runs().map((run) => run.index).join(" ") !== this.shown) this.build();
      if (changed.has("pictures")) this.drawTokens();
    }
  }

  /** @returns {BindingView} */
  function binding(run) {
    return run.raw.binding;
  }

  /** @param {BindingObject} object */
  function cellsOf(object) {
    if (!object.source) return "no cells of its own";
    const count = `${object.cells} ${object.cells === 1 ? "cell" : "cells"}`;
    return `${count}, ${object.source === "detector" ? "by the detector" : "by attention"}`;
  }

  parts.binding = { Binding };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

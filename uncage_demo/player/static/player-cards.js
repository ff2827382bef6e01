// The inspector: "Why now?" with the exact arithmetic of one cell on every stage, attended words as bars, and the top tokens.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { inRegion, number, percent, place, readOnly, significant, standing, takenBack } = parts.phrases;
  const SHOWN_ALTERNATIVES = 5;

  const ROWS = [
    ["status", "at this step"], ["confidence", "confidence", "log-probability"], ["noise", "+ noise"], ["contrast", "+ wₐ × contrast"], ["score", "= score"],
    ["rank", "rank"], ["cutoff", "cutoff"], ["margin", "score − cutoff"],
  ];

  // One run's column. Its nodes are made once; another step or cell only changes texts and widths.
  class Column {
    constructor(player, run) {
      this.player = player;
      this.run = run;
      this.head = make("th", "up-col");
      this.head.scope = "col";
      this.head.append(make("span", "up-letter", run.letter));
      this.head.title = run.title;
      this.cells = {};
      for (const [key] of ROWS) {
        const cell = make("td", `up-cell up-cell-${key}`);
        const value = make("span", "up-value");
        value.dataset.term = key;
        value.dataset.run = String(run.index);
        const note = make("small", "up-small");
        cell.append(value, note);
        this.cells[key] = { cell, value, note };
      }
      this.nodes = [this.head, ...Object.values(this.cells).map((c) => c.cell)];
      this.alternatives();
    }

    alternatives() {
      this.altBox = make("div", "up-alts");
      this.altBox.append(make("span", "up-letter", this.run.letter));
      const list = make("ol", "up-alt-list");
      list.setAttribute("aria-label", `Most probable tokens, run ${this.run.letter}`);
      this.alts = [];
      for (let k = 0; k < Math.min(SHOWN_ALTERNATIVES, this.run.altCount || 0); k++) {
        const item = make("li", "up-alt");
        const canvas = parts.stage.makeCanvas(36, 36);
        canvas.setAttribute("aria-hidden", "true");
        const text = make("span", "up-alt-prob");
        const id = make("span", "up-alt-id");
        item.append(canvas, text, id);
        list.append(item);
        this.alts.push({ item, canvas, text, id, shown: -1 });
      }
      this.altBox.append(list);
    }

    put(key, text, value, note) {
      const at = this.cells[key];
      at.value.textContent = text;
      at.value.dataset.value = String(value);
      at.note.textContent = note || "";
      at.note.hidden = !note;
    }

    // The numbers of a decided cell are those of the step that decided it.
    update(cell, step) {
      const { run } = this;
      let s = run.local(step);
      let data = run.candidate(s, cell);
      const past = !data;
      const when = data ? -1 : run.committedAt(s, cell);
      if (past && when >= run.firstStep) {
        s = when - run.firstStep;
        data = run.candidate(s, cell);
      }
      this.past = past ? when : -1;
      this.readers = data ? run.readers(s, cell) : null;
      this.region = inRegion(run, run.firstStep + s, cell);
      this.opened = takenBack(run.takenBack(run.local(step), cell));
      const how = data && standing(data);
      const status = past ? (when < 0 ? "given" : `step ${when + 1}`) : how.word;
      this.put("status", status, status, (how && how.note) || (past && when >= 0 ? "committed" : ""));
      this.cells.status.value.classList.toggle("up-now", !past && data.picked);
      if (data) {
        this.updateSum(data);
        this.updateRank(data);
      } else for (const [key] of ROWS.slice(1)) this.put(key, "–", "", "");
      this.updateAlternatives(data, s, cell);
    }

    updateSum(data) {
      const used = data.terms || { confidence: false, noise: false, contrast: false };
      const weighted = data.weight * data.contrast;
      for (const [key, value] of [["confidence", data.confidence], ["noise", data.noise]]) {
        this.put(key, significant(value), used[key] ? value : 0, used[key] ? "" : "not in the score");
        this.cells[key].cell.classList.toggle("up-off", !used[key]);
      }
      const off = data.weight === 0;
      const weight = data.weight % 1 ? significant(data.weight) : number(data.weight, 0);
      this.put("contrast", significant(weighted), weighted, `${weight} × ${significant(data.contrast)}`);
      this.cells.contrast.value.dataset.weight = String(data.weight);
      this.cells.contrast.value.dataset.contrast = String(data.contrast);
      this.cells.contrast.cell.classList.toggle("up-off", off);
      this.put("score", significant(data.score), data.score, data.terms ? "" : `by the order “${this.run.raw.order}”`);
    }

    updateRank(data) {
      this.put("rank", `${data.rank} of ${data.candidates}`, data.rank, `${data.count} picked`);
      this.put("cutoff", significant(data.cutoff), data.cutoff, "");
      this.put("margin", significant(data.margin), data.margin, standing(data).margin);
      this.cells.margin.cell.classList.toggle("up-enough", data.margin >= 0);
    }

    updateAlternatives(data, s, cell) {
      const list = data ? this.run.alternatives(s, cell) : [];
      this.altBox.hidden = !list.length;
      const atlas = this.player.atlas();
      this.alts.forEach((alt, k) => {
        const entry = list[k];
        alt.item.hidden = !entry;
        if (!entry) return;
        const drawn = entry.id === data.token;
        alt.item.classList.toggle("up-drawn", drawn);
        alt.text.textContent = percent(entry.prob);
        alt.id.textContent = drawn ? "drawn" : `#${entry.id}`;
        alt.item.title = `Token ${entry.id}, probability ${entry.prob.toFixed(4)}${drawn ? "; this one was drawn" : ""}`;
        if (atlas && alt.shown !== entry.id) {
          parts.stage.drawToken(alt.canvas, atlas, entry.id);
          alt.shown = entry.id;
        }
      });
    }
  }

  // Attended words: one row per word, in it a thin bar for every run.
  class WordBars {
    constructor(player) {
      const { model } = player;
      this.player = player;
      this.box = make("div", "up-attends");
      this.box.append(make("h4", "", "Attends to"));
      this.rows = [];
      const words = [...new Set(model.runs.flatMap((run) => run.attentionWords || []))].sort((a, b) => a - b);
      // With many stages the numbers need their letters above them, and leave no room for the bars.
      this.box.classList.toggle("up-attends-many", model.runs.length > 3);
      if (model.runs.length > 2 && words.length) {
        const head = make("div", "up-attend up-attend-head");
        const letters = make("span", "up-attend-values");
        this.letters = model.runs.map((run) => {
          const text = make("span", "up-attend-value", run.letter);
          letters.append(text);
          return { run, text };
        });
        head.append(make("span", "up-attend-word"), make("span", "up-attend-bars"), letters);
        this.box.append(head);
      }
      for (const word of words) {
        const row = button("up-attend", "", () => player.setState({ layer: "word", word }));
        const subject = model.subjects[model.words[word].subject];
        if (subject) parts.words.tint(row, subject.color);
        const bars = make("span", "up-attend-bars");
        const values = make("span", "up-attend-values");
        const each = model.runs.map((run) => {
          const bar = make("span", "up-attend-bar");
          const fill = make("i", "");
          bar.append(fill);
          bars.append(bar);
          const text = make("span", "up-attend-value");
          text.dataset.run = String(run.index);
          values.append(text);
          return { run, bar, fill, text };
        });
        row.dataset.word = String(word);
        row.append(make("span", "up-attend-word", model.words[word].text), bars, values);
        row.title = `Show the map of “${model.words[word].text}”`;
        this.box.append(row);
        this.rows.push({ word, each });
      }
      this.box.hidden = !words.length;
    }

    update(cell, step, shown) {
      const { scales } = this.player.model;
      const high = Math.max(scales.word ? scales.word[1] : 1, 1e-9);
      for (const { run, text } of this.letters || []) text.hidden = !shown(run);
      for (const { word, each } of this.rows) {
        for (const { run, bar, fill, text } of each) {
          const on = shown(run);
          const said = run.hasWord(word);
          bar.hidden = text.hidden = !on;
          if (!on) continue;
          const value = said ? run.wordAt(run.local(step), word, cell) : NaN;
          fill.style.transform = `scaleX(${Math.min(1, (value || 0) / high).toFixed(4)})`;
          text.textContent = significant(value);
        }
      }
    }
  }

  class Inspector {
    constructor(player) {
      this.player = player;
    }

    build() {
      const { hook, model } = this.player;
      hook.inspector.replaceChildren();
      const head = make("header", "up-inspector-head");
      this.title = make("h3", "up-heading", "Why now?");
      this.where = make("span", "up-where");
      this.unpin = button("up-pill", "Unpin", () => this.player.setState({ pin: -1 }));
      head.append(this.title, this.where, this.unpin);
      this.hint = parts.dom.hint("Point at a cell to see what it attends to, and why it is committed now or has to wait. Click it to pin it.",
        "Tap a cell to see what it attends to, and why it is committed now or has to wait. Tap it again to close.");
      this.card = make("section", "up-card");
      this.columns = model.runs.map((run) => new Column(this.player, run));
      this.bars = new WordBars(this.player);
      const alts = make("div", "up-alt-runs");
      alts.append(make("h4", "", "Most probable tokens here; # is the number in the codebook"));
      for (const column of this.columns) alts.append(column.altBox);
      this.altRuns = alts;
      const scroll = make("div", "up-scroll");
      scroll.append(this.table());
      this.note = make("p", "up-hint");
      this.noteGo = button("up-link", "", () => this.player.clock.go(this.goTo));
      this.noteText = make("span", "");
      this.note.append(this.noteText, this.noteGo);
      this.sight = make("p", "up-sight");
      this.card.append(head, this.hint, scroll, this.note, this.sight, this.bars.box, alts);
      this.details = [scroll, this.bars.box, alts];
      this.branch = new parts.actions.Branch(this.player);
      this.whatIf = new parts.actions.WhatIf(this.player);
      this.player.region.build();
      hook.inspector.append(this.card, this.player.region.box, this.branch.box, this.whatIf.box, this.player.notes.box);
      parts.actions.tools(this.player);
    }

    table() {
      const table = make("table", `up-sum${this.columns.length > 3 ? " up-sum-many" : ""}`);
      table.append(make("caption", "up-hidden", "Score of this cell on every stage"));
      const head = make("tr", "");
      head.append(make("td", ""), ...this.columns.map((c) => c.head));
      table.append(head);
      for (const [key, name, unit] of ROWS) {
        const row = make("tr", `up-row-${key}`);
        const label = make("th", "", name);
        label.scope = "row";
        if (unit) label.append(make("small", "up-small", unit));
        row.append(label, ...this.columns.map((c) => c.cells[key].cell));
        table.append(row);
      }
      return table;
    }

    picked(run, s) {
      return this.whatIf.picked(run, s);
    }

    // Of many runs only the pointed one and its reference are explained: the first other run of the same seed.
    shown(run) {
      const { model, state } = this.player;
      if (!model.grid_view) return true;
      const touched = model.runs[state.touched || 0] || model.runs[0];
      const same = model.runs.find((r) => r !== touched && r.raw.seed === touched.raw.seed);
      return run === touched || run === (same || model.runs[touched.index ? 0 : 1]);
    }

    update(changed) {
      const { state, model } = this.player;
      const cell = state.hover >= 0 ? state.hover : state.pin;
      if (["step", "hover", "pin", "model", "touched", "pictures"].some((k) => changed.has(k))) {
        const none = cell < 0;
        this.hint.hidden = !none;
        this.unpin.hidden = state.pin < 0;
        this.where.textContent = none ? "" : place(cell, model.grid[1]);
        for (const node of this.details) node.hidden = none;
        this.note.hidden = this.sight.hidden = true;
        this.card.classList.toggle("up-sheet", state.pin >= 0);
        if (!none) this.explain(cell);
      }
      this.branch.update(changed);
      this.whatIf.update(changed);
    }

    explain(cell) {
      const { state, model } = this.player;
      const past = [];
      for (const column of this.columns) {
        const on = this.shown(column.run);
        for (const node of column.nodes) node.hidden = !on;
        if (on) column.update(cell, state.step);
        else column.altBox.hidden = true;
        if (on && column.past >= 0) past.push(column);
      }
      const read = this.columns.filter((column) => this.shown(column.run) && column.readers);
      const named = (run, said) => (said && model.runs.length > 1 ? `${run.letter}: ${said}` : said);
      const sight = read.map(({ run, readers }) => named(run, readOnly(readers.map((o) => run.labels[o]), run.objects.length)));
      const opened = this.columns.filter((column) => this.shown(column.run)).map((column) => named(column.run, column.opened));
      const regions = this.columns.filter((column) => this.shown(column.run)).map((column) => named(column.run, column.region));
      this.sight.textContent = [...opened, ...regions, ...sight].filter(Boolean).join(" ");
      this.sight.hidden = !this.sight.textContent;
      this.bars.update(cell, state.step, (run) => this.shown(run));
      this.bars.box.hidden = !this.bars.rows.length;
      this.altRuns.hidden = this.columns.every((c) => c.altBox.hidden);
      this.note.hidden = !past.length;
      if (!past.length) return;
      this.goTo = past[0].past;
      const alike = past.every((c) => c.past === this.goTo);
      this.noteGo.textContent = `Go to step ${this.goTo + 1}${alike ? "" : `, of ${past[0].run.letter}`}`;
      const who = model.runs.length > 1 ? ` (${past.map((c) => c.run.letter).join(", ")})` : "";
      this.noteText.textContent = `This cell was decided earlier${who}. The numbers are those of the step that decided it. `;
    }
  }

  parts.cards = { Inspector };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// The inspector: attended words, "Why now?" with the exact arithmetic, alternatives, and branches of the pinned cell.
(function (parts) {
  "use strict";

  const { make, button, number } = parts.dom;
  const SHOWN_ALTERNATIVES = 5;
  const DIGITS = 5; // rounded to this, the four numbers of a card still add up to 1e-4

  // One run's card. Its nodes are made once; a step or another cell only changes texts and widths.
  class Card {
    constructor(player, run) {
      this.player = player;
      this.run = run;
      this.box = make("section", "up-card");
      this.box.dataset.card = String(run.index);
      const head = make("header", "up-card-head");
      this.status = make("span", "up-status");
      head.append(make("span", "up-letter", run.letter), make("span", "up-card-title", run.title), this.status);
      this.note = make("p", "up-card-note");
      this.noteText = make("span", "");
      this.noteGo = button("up-link", "", () => this.player.clock.go(this.shownStep));
      this.note.append(this.noteText, this.noteGo);
      this.box.append(head, this.note, this.sum(), this.rankLine(), this.wordBars(), this.alternatives());
    }

    sum() {
      this.table = make("dl", "up-sum");
      this.terms = {};
      const names = { confidence: "confidence", noise: "+ noise", contrast: "+ wₐ × contrast", score: "= score" };
      for (const [key, name] of Object.entries(names)) {
        const label = make("dt", "", name);
        const value = make("dd", "");
        const bar = make("span", "up-term-bar");
        const fill = make("i", "");
        bar.append(fill);
        const text = make("span", "up-term-value");
        text.dataset.term = key;
        value.append(bar, text);
        if (key === "score") { label.className = "up-total"; value.className = "up-total"; }
        this.table.append(label, value);
        this.terms[key] = { label, text, fill, value };
      }
      return this.table;
    }

    rankLine() {
      this.rank = make("p", "up-rank");
      this.rankParts = {};
      for (const key of ["rank", "cutoff", "margin"]) {
        const part = make("span", "");
        part.dataset.term = key;
        this.rankParts[key] = part;
        this.rank.append(part);
      }
      return this.rank;
    }

    wordBars() {
      const { model } = this.player;
      this.attends = make("div", "up-attends");
      this.attends.append(make("h4", "", "Attends to"));
      this.bars = [];
      if (!this.run.codes) return this.attends;
      for (const word of this.run.attentionWords) {
        const row = button("up-attend", "", () => this.player.setState({ layer: "word", word }));
        const subject = model.subjects[model.words[word].subject];
        if (subject) parts.words.tint(row, subject.color);
        const bar = make("span", "up-attend-bar");
        const fill = make("i", "");
        bar.append(fill);
        const text = make("span", "up-attend-value");
        row.append(make("span", "up-attend-word", model.words[word].text), bar, text);
        row.setAttribute("aria-label", `${model.words[word].text}: show its map`);
        this.attends.append(row);
        this.bars.push({ word, fill, text });
      }
      return this.attends;
    }

    alternatives() {
      this.altBox = make("div", "up-alts");
      this.altBox.append(make("h4", "", "The model’s top tokens here"));
      const list = make("ol", "up-alt-list");
      this.alts = [];
      for (let k = 0; k < Math.min(SHOWN_ALTERNATIVES, this.run.altCount || 0); k++) {
        const item = make("li", "up-alt");
        const canvas = parts.stage.makeCanvas(32, 32);
        canvas.setAttribute("aria-hidden", "true");
        const text = make("span", "up-alt-prob");
        const id = make("span", "up-alt-id");
        item.append(canvas, text, id);
        list.append(item);
        this.alts.push({ item, canvas, text, id, shown: -1 });
      }
      this.altBox.append(list);
      return this.altBox;
    }

    update(cell, step) {
      const { run } = this;
      let s = run.local(step);
      let data = run.candidate(s, cell);
      const past = !data;
      const when = run.unmask[cell];
      if (past && when >= 0) {
        s = when - run.firstStep;
        data = run.candidate(s, cell);
      }
      this.shownStep = run.firstStep + s;
      this.note.hidden = !past;
      if (past) {
        this.noteText.textContent = when < 0 ? "Given from the start; nothing was decided here." : `Decided at step ${when + 1}. The numbers are those of that step. `;
        this.noteGo.hidden = when < 0;
        this.noteGo.textContent = "Go there";
      }
      this.status.textContent = past ? (when < 0 ? "given" : `committed at ${when + 1}`) : data.picked ? "picked now" : "waits";
      this.status.className = `up-status ${!past && data.picked ? "up-now" : ""}`;
      for (const node of [this.table, this.rank, this.altBox]) node.hidden = !data;
      if (data) {
        this.updateSum(data);
        this.updateRank(data);
        this.updateAlternatives(data, s, cell);
      }
      this.updateBars(run.local(step), cell);
    }

    updateSum(data) {
      const terms = data.terms;
      const used = terms || { confidence: false, noise: false, contrast: false };
      const weighted = data.weight * data.contrast;
      const values = { confidence: data.confidence, noise: data.noise, contrast: weighted, score: data.score };
      const most = Math.max(1e-6, ...Object.values(values).map((v) => (Number.isFinite(v) ? Math.abs(v) : 0)));
      for (const [key, value] of Object.entries(values)) {
        const part = this.terms[key];
        const off = key !== "score" && !used[key];
        part.label.classList.toggle("up-off", off);
        part.value.classList.toggle("up-off", off);
        part.text.textContent = off && key === "contrast" && data.weight === 0 ? "not in use" : off ? `(${number(value, DIGITS)})` : number(value, DIGITS);
        part.text.dataset.value = String(off ? 0 : value);
        part.fill.style.transform = `scaleX(${off ? 0 : value / most})`;
      }
      this.terms.contrast.label.textContent = data.weight === 0 ? `wₐ × contrast` : `+ ${number(data.weight, data.weight % 1 ? 2 : 0)} × ${number(data.contrast, DIGITS)} contrast`;
      this.terms.contrast.label.dataset.weight = String(data.weight);
      this.terms.contrast.label.dataset.contrast = String(data.contrast);
      this.terms.score.label.textContent = terms ? "= score" : `score (${this.run.raw.order})`;
    }

    updateRank(data) {
      const { rank, cutoff, margin } = this.rankParts;
      rank.textContent = `Rank ${data.rank} of ${data.candidates}; ${data.count} picked`;
      rank.dataset.value = String(data.rank);
      cutoff.textContent = `cutoff ${number(data.cutoff, DIGITS)}`;
      cutoff.dataset.value = String(data.cutoff);
      const by = number(Math.abs(data.margin), DIGITS);
      margin.textContent = data.margin === 0 ? "exactly at the cutoff" : data.margin > 0 ? `exceeds it by ${by}` : `lacks ${by}`;
      margin.dataset.value = String(data.margin);
    }

    updateBars(s, cell) {
      let most = 0;
      for (const bar of this.bars) {
        bar.value = this.run.wordAt(s, bar.word, cell);
        if (bar.value > most) most = bar.value;
      }
      const scale = this.player.model.scales.word;
      const high = Math.max(scale ? scale[1] : 1, 1e-9);
      for (const bar of this.bars) {
        bar.fill.style.transform = `scaleX(${Math.min(1, bar.value / high)})`;
        bar.text.textContent = number(bar.value, 3);
      }
    }

    updateAlternatives(data, s, cell) {
      const list = this.run.alternatives(s, cell);
      this.altBox.hidden = !list.length;
      const atlas = this.player.atlas();
      this.alts.forEach((alt, k) => {
        const entry = list[k];
        alt.item.hidden = !entry;
        if (!entry) return;
        const drawn = entry.id === data.token;
        alt.item.classList.toggle("up-drawn", drawn);
        alt.text.textContent = entry.prob >= 0.1 ? `${Math.round(entry.prob * 100)} %` : `${(entry.prob * 100).toFixed(1)} %`;
        alt.id.textContent = drawn ? "drawn" : `#${entry.id}`;
        alt.item.title = `Token ${entry.id}, probability ${entry.prob.toFixed(4)}${drawn ? "; this one was drawn" : ""}`;
        if (atlas && alt.shown !== entry.id) {
          const at = atlas.place(entry.id);
          const c = alt.canvas.getContext("2d");
          c.clearRect(0, 0, 32, 32);
          if (at) c.drawImage(atlas.bitmap, at.x, at.y, at.size, at.size, 0, 0, 32, 32);
          alt.shown = entry.id;
        }
      });
    }
  }

  class Inspector {
    constructor(player) {
      this.player = player;
    }

    build() {
      const { hook, model } = this.player;
      hook.inspector.replaceChildren();
      this.head = make("header", "up-inspector-head");
      this.title = make("h3", "up-heading", "Why now?");
      this.unpin = button("up-pill", "Unpin", () => this.player.setState({ pin: -1 }));
      this.head.append(this.title, this.unpin);
      this.hint = make("p", "up-hint", "Point at a cell or tap it: what it attends to, and why it is committed now or has to wait. A click pins it.");
      this.cards = model.runs.map((run) => new Card(this.player, run));
      const box = make("div", "up-cards");
      for (const card of this.cards) box.append(card.box);
      this.branch = new parts.actions.Branch(this.player);
      this.whatIf = new parts.actions.WhatIf(this.player);
      hook.inspector.append(this.head, this.hint, box, this.branch.box, this.whatIf.box);
      parts.actions.tools(this.player);
    }

    picked(run, s) {
      return this.whatIf.picked(run, s);
    }

    // Of many runs only the pointed one and its reference are explained.
    shown(card) {
      const { model, state } = this.player;
      if (model.runs.length <= 6) return true;
      const index = state.touched || 0;
      return card.run.index === index || (index === 0 && card.run.index === 1);
    }

    update(changed) {
      const { state, model } = this.player;
      const cell = state.hover >= 0 ? state.hover : state.pin;
      if (["step", "hover", "pin", "model", "touched", "pictures"].some((k) => changed.has(k))) {
        const columns = model.grid[1];
        const none = cell < 0;
        this.hint.hidden = !none;
        this.unpin.hidden = state.pin < 0;
        this.title.textContent = none ? "Why now?" : `Why now? Row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
        for (const card of this.cards) {
          card.box.hidden = none || !this.shown(card);
          if (!card.box.hidden) card.update(cell, state.step);
        }
      }
      this.branch.update(changed);
      this.whatIf.update(changed);
    }
  }

  parts.cards = { Inspector };
})((window.UncagePlayerParts = window.UncagePlayerParts || {}));

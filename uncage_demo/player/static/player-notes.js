// Notes that a visitor writes on a step or a cell of a run. The page keeps them and puts them into files; they are shown as text only.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { place, plural } = parts.phrases;
  // As in trace/notes.py.
  const MOST_NOTES = 100, MOST_CHARS = 500, MOST_ALL_CHARS = 20000;
  const UNSEEN = /(?![\n\u200c\u200d])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;

  const length = (text) => Array.from(text).length;
  const tidy = (text) => text.replace(/\r\n?/g, "\n").replace(/\t/g, " ").replace(UNSEEN, "").trim();

  // Of anything that claims to be a run's notes, those that are.
  function checked(notes, run) {
    const on = (value, low, high) => Number.isInteger(value) && value >= low && value < high;
    const fits = ({ step, text, cell }) => typeof text === "string" && text && length(text) <= MOST_CHARS &&
      on(step, run.firstStep, run.firstStep + run.steps) && (cell === null || on(cell, 0, run.cells));
    let all = 0;
    return (Array.isArray(notes) ? notes : []).filter((note) => note && fits(note) && (all += length(note.text)) <= MOST_ALL_CHARS).slice(0, MOST_NOTES);
  }

  class Notes {
    constructor(player) {
      this.player = player;
    }

    // Notes can be written where somebody keeps them (options.notes); elsewhere those that there are can be read.
    build() {
      const { player } = this;
      const { model, options } = player;
      const given = options.notes || {};
      for (const run of model.runs) run.notes = checked(given[run.id] || run.raw.notes, run);
      this.editing = null;
      this.gone = null;
      this.box = make("section", "up-card up-notes");
      this.box.hidden = model.grid_view || (!options.notes && !model.runs.some((run) => run.notes.length));
      const head = make("header", "up-inspector-head");
      this.count = make("span", "up-tag");
      this.undo = button("up-pill", "Undo delete", () => this.restore());
      head.append(make("h3", "up-heading", "Notes"), this.count, this.undo);
      this.list = make("ul", "up-note-list");
      this.box.append(head, this.list);
      if (options.notes) this.box.append(this.form());
      this.ticks = make("div", "up-note-ticks");
      this.ticks.setAttribute("aria-hidden", "true");
      player.hook.timeline.querySelector(".up-note-ticks")?.remove();
      player.hook.timeline.append(this.ticks);
    }

    form() {
      const { player } = this;
      const { model } = player;
      const form = make("form", "up-note-form");
      const line = make("div", "up-branch-line");
      this.run = make("select", "");
      this.run.setAttribute("aria-label", "Picture that the note is about");
      for (const run of model.runs) this.run.append(new Option(`${run.letter}: ${run.title}`, String(run.index)));
      this.run.hidden = model.runs.length < 2;
      this.run.addEventListener("change", () => player.setState({}, ["notes"]));
      this.about = make("select", "");
      this.about.setAttribute("aria-label", "What the note is about");
      line.append(this.run, this.about);
      this.text = make("textarea", "up-note-text");
      Object.assign(this.text, { rows: 2, maxLength: MOST_CHARS, placeholder: "What do you see here?" });
      this.text.setAttribute("aria-label", "Text of the note");
      this.text.addEventListener("input", () => this.enable());
      this.text.addEventListener("keydown", (event) => {
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.save();
        else if (event.key === "Escape" && this.editing) this.stopEditing();
        else return;
        event.preventDefault();
        event.stopPropagation();
      });
      this.add = make("button", "up-pill", "Add note");
      this.add.type = "submit";
      this.cancel = button("up-pill", "Cancel", () => this.stopEditing());
      this.hint = make("span", "up-hint");
      const ends = make("div", "up-branch-line");
      ends.append(this.add, this.cancel, this.hint);
      if (player.options.saveCopy) {
        this.copy = button("up-pill", "Save a copy with the notes", () => player.options.saveCopy(this.all()));
        ends.append(this.copy);
      }
      form.append(line, this.text, ends);
      form.addEventListener("submit", (event) => {
        event.preventDefault();
        this.save();
      });
      return form;
    }

    // Every run's notes by its id.
    all() {
      return Object.fromEntries(this.player.model.runs.map((run) => [run.id, run.notes]));
    }

    cellsWith(run) {
      return new Set(run.notes.filter((note) => note.cell !== null).map((note) => note.cell));
    }

    // Notes on whole steps, for the caption of presenter mode.
    onStep(step) {
      return this.player.model.runs.flatMap((run) => run.notes.filter((note) => note.cell === null && note.step === step).map((note) => note.text));
    }

    change(run, notes, said) {
      const { player } = this;
      run.notes = notes;
      player.setState({}, ["notes"]);
      player.say(said);
      player.emit("notes", { run: run.index, id: run.id, notes });
    }

    room(run, text, without) {
      const others = run.notes.filter((note) => note !== without);
      if (others.length >= MOST_NOTES) return `A run can have at most ${MOST_NOTES} notes.`;
      const all = others.reduce((sum, note) => sum + length(note.text), length(text));
      return all > MOST_ALL_CHARS ? `The notes on a run may have at most ${MOST_ALL_CHARS.toLocaleString("en")} characters in all.` : "";
    }

    save() {
      const { player } = this;
      const text = tidy(this.text.value);
      if (!text || this.add.disabled) return;
      if (this.editing) {
        const { run, note } = this.editing;
        this.change(run, run.notes.map((one) => (one === note ? { ...note, text } : one)), "Note changed.");
      } else {
        const run = player.model.runs[Number(this.run.value)];
        const note = { step: run.firstStep + run.local(player.state.step), text, cell: this.about.value === "cell" ? player.state.pin : null };
        this.gone = null;
        this.change(run, [...run.notes, note], "Note added.");
      }
      this.stopEditing();
    }

    edit(run, note) {
      this.editing = { run, note };
      this.goTo(run, note);
      this.text.value = note.text;
      this.enable();
      this.text.focus();
    }

    stopEditing() {
      this.editing = null;
      this.text.value = "";
      this.enable();
      this.text.focus();
    }

    remove(run, note) {
      this.gone = { run, note, at: run.notes.indexOf(note) };
      if (this.editing && this.editing.note === note) this.stopEditing();
      this.change(run, run.notes.filter((one) => one !== note), "Note deleted.");
      requestAnimationFrame(() => requestAnimationFrame(() => this.undo.focus()));
    }

    restore() {
      const { run, note, at } = this.gone;
      this.gone = null;
      this.change(run, [...run.notes.slice(0, at), note, ...run.notes.slice(at)], "Note restored.");
      if (this.text) this.text.focus();
    }

    goTo(run, note) {
      const { player } = this;
      player.clock.stop();
      player.setState({ step: note.step, touched: run.index, ...(note.cell === null ? {} : { pin: note.cell }) });
    }

    enable() {
      const { player } = this;
      const run = this.editing ? this.editing.run : player.model.runs[Number(this.run.value)];
      const text = tidy(this.text.value);
      const problem = text ? this.room(run, text, this.editing && this.editing.note) : "";
      this.add.disabled = !text || Boolean(problem);
      this.add.textContent = this.editing ? "Save note" : "Add note";
      this.cancel.hidden = !this.editing;
      this.run.disabled = this.about.disabled = Boolean(this.editing);
      this.hint.textContent = problem || (this.text.value.length > MOST_CHARS - 100 ? `${length(this.text.value)} of ${MOST_CHARS} characters` : "");
    }

    entry(run, note) {
      const { player } = this;
      const { model, state } = player;
      const item = make("li", "up-note-entry");
      const here = note.step === run.firstStep + run.local(state.step) && (note.cell === null || note.cell === state.pin);
      item.classList.toggle("up-on", here);
      const where = `Step ${note.step + 1}${note.cell === null ? "" : `, ${place(note.cell, model.grid[1])}`}`;
      const line = make("div", "up-note-line");
      if (model.runs.length > 1) line.append(make("span", "up-letter", run.letter));
      const go = button("up-link", where, () => this.goTo(run, note));
      go.title = "Go there";
      line.append(go);
      item.append(line, make("p", "up-note-said", note.text));
      if (player.options.notes) {
        const acts = make("div", "up-note-acts");
        for (const [name, act] of [["Edit", () => this.edit(run, note)], ["Delete", () => this.remove(run, note)]]) {
          const node = button("up-link up-note-act", String(name), act);
          node.setAttribute("aria-label", `${name}: ${note.text}`);
          acts.append(node);
        }
        item.append(acts);
      }
      return item;
    }

    update(changed) {
      if (!["notes", "step", "pin", "model"].some((k) => changed.has(k))) return;
      const { player } = this;
      const { model, state } = player;
      if (this.box.hidden) return;
      const all = model.runs.flatMap((run) => run.notes.map((note) => ({ run, note })));
      all.sort((a, b) => a.note.step - b.note.step || a.run.index - b.run.index);
      this.count.textContent = plural(all.length, "note", "notes");
      this.count.hidden = !all.length;
      this.undo.hidden = !this.gone;
      const kept = document.activeElement && this.list.contains(document.activeElement) ? [...this.list.querySelectorAll("button")].indexOf(/** @type {any} */ (document.activeElement)) : -1;
      this.list.replaceChildren(...all.map(({ run, note }) => this.entry(run, note)));
      if (kept >= 0) this.list.querySelectorAll("button")[kept]?.focus({ preventScroll: true });
      if (changed.has("notes") || changed.has("model")) {
        this.ticks.replaceChildren(...[...new Set(all.map(({ note }) => note.step))].map((step) => {
          const tick = make("i", "");
          tick.style.left = `${((step + 0.5) / model.steps) * 100}%`;
          return tick;
        }));
      }
      if (!this.text) return;
      // where the pointer wanders means nothing here; a pinned cell does
      if (changed.has("pin") && state.pin >= 0 && !this.text.value) this.run.value = String(state.touched || 0);
      const run = model.runs[Number(this.run.value)];
      const chosen = state.pin >= 0 && (changed.has("pin") || this.about.value === "cell") ? "cell" : "step";
      this.about.replaceChildren(new Option(`step ${run.firstStep + run.local(state.step) + 1}`, "step"));
      if (state.pin >= 0) this.about.append(new Option(`${place(state.pin, model.grid[1])}, step ${run.firstStep + run.local(state.step) + 1}`, "cell"));
      this.about.value = chosen;
      this.enable();
    }
  }

  parts.notes = { Notes, checked, tidy };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

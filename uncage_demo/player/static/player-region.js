// Which words drew a region: a rectangle dragged over a picture (Shift with the arrow keys), and how much its cells read each word.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { readTimes } = parts.phrases;
  const FULL_BAR = 4; // a bar is full at this multiple of the average

  // Dragging over a canvas: the region between the cell where it began and the one pointed at. One cell is a click, not a region.
  function watch(player, stage) {
    const { canvas } = stage;
    let from = -1;
    let dragged = false;
    parts.dom.ownStrokes(canvas, () => from >= 0);
    canvas.addEventListener("pointerdown", (event) => {
      dragged = false;
      // the brush has the pointer; a finger scrolls unless it was said that it selects
      if (player.brush.on || event.button !== 0 || (event.pointerType === "touch" && !player.state.selecting)) return;
      from = stage.cellAt(event);
      if (from >= 0) canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from < 0) return;
      const cell = stage.cellNear(event);
      if (cell === from && !dragged) return;
      dragged = true;
      player.setState({ region: parts.data.regionOf(from, cell, stage.columns), touched: stage.run.index, hover: -1 });
    });
    const end = () => {
      if (from >= 0 && dragged) player.region.told();
      from = -1;
    };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, end);
    // the click that ends a drag pins nothing
    canvas.addEventListener("click", (event) => {
      if (!dragged) return;
      dragged = false;
      event.stopImmediatePropagation();
    }, true);
  }

  class Region {
    constructor(player) {
      this.player = player;
    }

    build() {
      const { player } = this;
      const { model } = player;
      this.box = make("section", "up-card up-region");
      this.box.hidden = model.grid_view || !model.hasAttention;
      const head = make("header", "up-inspector-head");
      head.append(make("h3", "up-heading", "Which words drew a region?"));
      this.clear = button("up-pill", "Clear", () => this.set(null));
      this.select = button("up-pill up-touch-only", "Select", () => player.setState({ selecting: !player.state.selecting }));
      head.append(this.select, this.clear);
      this.where = make("p", "up-region-where");
      this.hint = parts.dom.hint("Drag over a part of a picture, or move with Shift and the arrow keys.", "Press “Select”, then drag over a part of a picture.");
      this.rows = [];
      const list = make("div", "up-region-words");
      const letters = make("div", "up-region-row up-attend-head");
      const names = make("span", "up-attend-values");
      for (const run of model.runs) names.append(make("span", "up-attend-value", run.letter));
      letters.append(make("span", "up-attend-word"), make("span", "up-attend-bars"), names);
      if (model.runs.length > 1) list.append(letters);
      const words = model.words.map((_, i) => i).filter((i) => !model.words[i].mark && player.heard(i));
      for (const word of words) {
        const row = button("up-region-row", "", () => player.setState({ layer: "word", word }));
        const subject = model.subjects[model.words[word].subject];
        if (subject) parts.words.tint(row, subject.color);
        row.title = `Show the map of “${model.words[word].text}”`;
        row.dataset.word = String(word);
        const bars = make("span", "up-attend-bars"), values = make("span", "up-attend-values");
        const each = model.runs.map((run) => {
          const bar = make("span", "up-attend-bar"), fill = make("i", ""), text = make("span", "up-attend-value");
          bar.append(fill);
          bars.append(bar);
          values.append(text);
          return { run, fill, text };
        });
        row.append(make("span", "up-attend-word", model.words[word].text), bars, values);
        this.rows.push({ word, row, each });
      }
      list.append(...this.rows.map(({ row }) => row));
      this.list = list;
      this.note = make("p", "up-hint", "Attention when each cell was decided, as a multiple of the average cell. Attention is a hint, not a proof.");
      this.acts = make("p", "up-region-acts");
      for (const [mode, name] of [["edit", "Erase these cells"], ["compose", "Place an object here"]]) {
        const act = button("up-pill", name, () => player.brush.fromRegion(mode, player.state.region));
        act.dataset.region = mode;
        this.acts.append(act);
      }
      this.box.append(head, this.where, this.hint, this.acts, list, this.note);
    }

    set(region) {
      this.player.setState({ region });
    }

    // The words of a run by how much the region read them, most first: [[word, times], ...].
    read(run) {
      const { model, state } = this.player;
      const cells = parts.data.cellsOf(state.region, model.grid[1]);
      return this.rows.map(({ word }) => [word, run.timesRead(word, cells)]).filter(([, times]) => times === times).sort((a, b) => b[1] - a[1]);
    }

    // For those who listen: the strongest word on the stage that was dragged over.
    told() {
      const { player } = this;
      const { model, state } = player;
      if (!state.region) return;
      const run = model.runs[state.touched || 0] || model.runs[0];
      const [first] = this.read(run);
      if (first) player.say(`${parts.phrases.area(state.region)}: read “${model.words[first[0]].text}” most, ${readTimes(first[1])} the average.`);
    }

    update(changed) {
      if (!["region", "selecting", "pin", "model"].some((k) => changed.has(k))) return;
      const { player } = this;
      const { model, state, hook } = player;
      hook.root.classList.toggle("up-selecting", state.selecting);
      this.select.setAttribute("aria-pressed", String(state.selecting));
      this.select.textContent = state.selecting ? "Selecting" : "Select";
      const { region } = state;
      for (const node of [this.clear, this.where, this.list, this.note]) node.hidden = !region;
      this.acts.hidden = !region || !player.brush.allowed;
      this.hint.hidden = Boolean(region);
      if (changed.has("region")) this.latest = Boolean(region);
      else if (changed.has("pin") && state.pin >= 0) this.latest = false;
      this.box.classList.toggle("up-on", Boolean(region));
      this.box.classList.toggle("up-latest", this.latest);
      this.box.classList.toggle("up-sheet", Boolean(region) && state.pin < 0);
      if (!region) return;
      this.where.textContent = parts.phrases.area(region);
      const cells = parts.data.cellsOf(region, model.grid[1]);
      const strength = new Map();
      for (const { word, each } of this.rows) {
        for (const { run, fill, text } of each) {
          const times = run.timesRead(word, cells);
          fill.style.transform = `scaleX(${Math.min(1, (times || 0) / FULL_BAR).toFixed(4)})`;
          text.textContent = readTimes(times);
          text.dataset.value = String(times);
          strength.set(word, Math.max(strength.get(word) || 0, times || 0));
        }
      }
      this.list.append(...[...this.rows].sort((a, b) => strength.get(b.word) - strength.get(a.word)).map(({ row }) => row));
    }
  }

  parts.region = { Region, watch };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

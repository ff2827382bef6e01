// Layers and heads on request: one small map per head, of one word at this step, or of one cell: where it looks in the picture.
// Asked of options.heads({id, step, word}) -> {heads} or {error}; a page without a server has what lies in its payload, or says why it has none.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { number, place } = parts.phrases;
  const PAUSE_MS = 250; // while scrubbing, only the step where it rests is asked for
  const KEPT = 64;
  const CELL = "cell"; // the choice of the pinned cell instead of a word

  class Heads {
    constructor(player) {
      this.player = player;
      this.open = false;
      this.ticket = 0;
    }

    build() {
      const { hook, model, options } = this.player;
      const box = hook.heads;
      box.replaceChildren();
      this.cache = new Map();
      this.shown = null;
      const words = model.words.map((_, i) => i).filter((i) => this.player.heard(i) && !model.words[i].mark);
      const kept = model.payload.heads;
      const maps = new Map(Object.entries((kept && kept.maps) || {}));
      const look = async ({ id, step, word }) => (maps.has(`${id} ${step} ${word}`) ? { heads: maps.get(`${id} ${step} ${word}`) } : { error: kept.note });
      this.source = options.heads || (maps.size ? look : null);
      box.hidden = !(this.source || kept) || !words.length || model.grid_view || model.done < model.steps;
      if (box.hidden) return;
      const head = make("header", "up-curve-head");
      const about = [make("h4", "", "Layers and heads"), make("span", "up-curve-about", "where every head of the model looks at this step")];
      if (!this.source) {
        head.append(...about);
        box.append(head, make("p", "up-hint", kept.note));
        return;
      }
      this.toggle = button("up-pill", "", () => {
        this.open = !this.open;
        this.show();
      });
      this.run = make("select", "");
      this.run.setAttribute("aria-label", "Run whose layers and heads are shown");
      for (const run of model.runs) this.run.append(new Option(`${run.letter}: ${run.title}`, String(run.index)));
      this.word = make("select", "");
      this.word.setAttribute("aria-label", "Word whose attention is shown by layer and head");
      for (const i of words) this.word.append(new Option(model.words[i].text, String(i)));
      if (options.heads) this.word.append(new Option("the pinned cell", CELL));
      this.word.value = String(this.player.firstWord());
      // a word that is not in the prompt: only a server has a model to ask
      this.other = make("input", "up-other");
      Object.assign(this.other, { type: "text", maxLength: 40, placeholder: "a word not in the prompt" });
      this.other.setAttribute("aria-label", "A word that is not in the prompt");
      this.word.addEventListener("change", () => (this.other.value = ""));
      for (const field of [this.run, this.word, this.other]) field.addEventListener("change", () => this.ask());
      head.append(...about, this.run, this.word, this.other, this.toggle);
      this.status = make("p", "up-hint");
      this.status.setAttribute("role", "status");
      this.scale = make("div", "up-scale");
      this.high = make("span", "up-number");
      this.ramp = make("span", "up-ramp");
      this.unit = make("span", "up-unit");
      this.scale.append(make("span", "up-number", "0"), this.ramp, this.high, this.unit);
      this.grid = make("div", "up-heads-grid");
      box.append(head, this.status, this.scale, this.grid);
      this.show();
    }

    show() {
      const { open } = this;
      this.toggle.textContent = open ? "Hide" : "Show";
      this.toggle.setAttribute("aria-expanded", String(open));
      for (const node of [this.run, this.word, this.status]) node.hidden = !open;
      this.other.hidden = !open || !this.player.options.heads;
      if (open) this.ask();
      else for (const node of [this.scale, this.grid]) node.hidden = true;
    }

    update(changed) {
      const { hook, state, model } = this.player;
      if (hook.heads.hidden || !this.source || !this.open) return;
      if (changed.has("word") && state.word >= 0 && state.layer === "word" && !model.words[state.word].mark) {
        this.word.value = String(state.word);
        this.other.value = "";
      }
      const pinned = changed.has("pin") && this.word.value === CELL;
      if (pinned || ["step", "playing", "word", "layer"].some((k) => changed.has(k))) this.ask();
      if (changed.has("hover") || changed.has("pin")) this.tell();
      if (changed.has("theme")) this.paint();
    }

    ask() {
      const { model, state } = this.player;
      if (!this.open || state.playing) return;
      const run = model.runs[Number(this.run.value)];
      const other = this.other.value.trim(), looks = !other && this.word.value === CELL;
      const shared = Number(this.word.value);
      /** @type {any} */
      const detail = { id: run.id, step: run.firstStep + run.local(state.step), word: looks || other ? -1 : run.ownWord(shared) };
      if (other) detail.other = other;
      if (looks) detail.cell = state.pin;
      const key = [detail.id, detail.step, detail.word, other, looks ? `cell ${state.pin}` : ""].join(" ");
      const mine = ++this.ticket;
      clearTimeout(this.timer);
      if (looks && state.pin < 0) return this.fail("Click a cell: the maps show where it looks, and whether two areas attend to each other.");
      if (!looks && !other && detail.word < 0) return this.fail(`The prompt of ${run.letter} has no “${model.words[shared].text}”.`);
      let said = other ? `“${other}”, which is not in the prompt, read as if the prompt went on with it` : "";
      if (looks) said = `from ${place(state.pin, model.grid[1])} to every cell`;
      said = said || `“${model.words[shared].text}”`;
      if (this.cache.has(key)) return this.put(this.cache.get(key), said);
      this.status.textContent = "Reading the model…";
      this.timer = setTimeout(async () => {
        let answer = null;
        try {
          answer = await this.source(detail);
        } catch {
          answer = null;
        }
        if (mine !== this.ticket) return;
        if (!answer || !answer.heads) {
          this.fail((answer && answer.error) || "The server did not answer. Is it still running?");
          return;
        }
        this.cache.set(key, answer.heads);
        if (this.cache.size > KEPT) this.cache.delete(this.cache.keys().next().value);
        this.put(answer.heads, said);
      }, PAUSE_MS);
    }

    fail(words) {
      this.status.textContent = words;
      this.scale.hidden = this.grid.hidden = true; // maps of another step would be taken for this one's
    }

    put(data, said) {
      this.shown = data;
      this.codes = parts.unpack.typed(data.codes);
      this.status.textContent = `Step ${data.step + 1}, ${said}: ${data.layers} layers of ${data.heads} ${data.heads === 1 ? "head" : "heads"}.`;
      this.scale.hidden = this.grid.hidden = false;
      this.grid.replaceChildren();
      this.grid.style.setProperty("--heads", String(Math.min(8, data.heads)));
      this.maps = [];
      const { model } = this.player;
      const [rows, columns] = model.grid;
      for (let layer = 0; layer < data.layers; layer++) {
        const line = make("div", "up-heads-row");
        line.append(make("span", "up-heads-layer", `Layer ${layer + 1}`));
        const cells = make("div", "up-heads-cells");
        for (let head = 0; head < data.heads; head++) {
          const figure = make("figure", "up-head-map");
          const canvas = parts.stage.makeCanvas(columns, rows);
          canvas.setAttribute("role", "img");
          canvas.style.aspectRatio = `${columns} / ${rows}`;
          canvas.addEventListener("pointermove", (event) => {
            const at = canvas.getBoundingClientRect();
            const x = Math.floor(((event.clientX - at.left) / at.width) * columns), y = Math.floor(((event.clientY - at.top) / at.height) * rows);
            if (x >= 0 && y >= 0 && x < columns && y < rows) this.player.setState({ hover: y * columns + x });
          });
          canvas.addEventListener("pointerleave", () => this.player.setState({ hover: -1 }));
          const caption = make("figcaption", "");
          figure.append(canvas, caption);
          cells.append(figure);
          this.maps.push({ canvas, caption, layer, head });
        }
        line.append(cells);
        this.grid.append(line);
      }
      this.paint();
    }

    at(index, cell) {
      return this.shown.max * (this.codes[index * this.player.model.cells + cell] / 255) ** 2;
    }

    paint() {
      if (!this.shown || !this.open) return;
      const { model, painter } = this.player;
      const { cells } = model;
      const table = this.shown.word < 0 ? painter.tables.sequential : painter.rampOf(this.shown.word);
      this.high.textContent = number(this.shown.max, 3);
      this.unit.textContent = "attention; one scale for all heads of this step";
      this.ramp.style.backgroundImage = parts.colors.gradient(table);
      const values = new Float32Array(cells);
      this.maps.forEach(({ canvas }, index) => {
        for (let i = 0; i < cells; i++) values[i] = this.at(index, i);
        const context = canvas.getContext("2d");
        const image = context.createImageData(canvas.width, canvas.height);
        parts.colors.paint(values, 0, this.shown.max, table, new Uint32Array(image.data.buffer));
        context.putImageData(image, 0, 0);
      });
      this.tell();
    }

    // Under each map its mean, or the value of the cell that is pointed at or pinned.
    tell() {
      if (!this.shown) return;
      const { model, state } = this.player;
      const cell = state.hover >= 0 ? state.hover : state.pin;
      this.maps.forEach(({ canvas, caption, layer, head }, index) => {
        let value = 0;
        if (cell >= 0) value = this.at(index, cell);
        else for (let i = 0; i < model.cells; i++) value += this.at(index, i) / model.cells;
        const what = cell >= 0 ? "here" : "mean";
        caption.textContent = `head ${head + 1}: ${number(value, 3)} ${what}`;
        canvas.setAttribute("aria-label", `Layer ${layer + 1}, ${caption.textContent}`);
      });
    }
  }

  parts.heads = { Heads };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// The brush: paint cells of a picture, then ask the page to draw them again; or move the picture, change it without a mask, place objects.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { plural } = parts.phrases;
  const MODES = [
    { key: "edit", name: "Erase", about: "Paint what should be drawn again. Everything else stays, token for token." },
    { key: "extend", name: "Move", about: "Move the picture within its grid; the freed border is drawn." },
    { key: "remix", name: "Without a mask", about: "Write another prompt. The cells that it finds least likely are opened and drawn, in some rounds." },
    { key: "compose", name: "Place objects", about: "Start from an empty canvas: drag a box for each object. Painted cells can stay as they are." },
  ];
  const TOOLS = [
    ["brush", "Brush", "Paint cells; start on a painted cell to take cells back. Keys: arrows move, Space paints, Shift and arrows paint on."],
    ["box", "Rectangle", "Drag from corner to corner. Keys: Space sets one corner, then the other."],
  ];
  const OWNED = 0.35; // attention of a cell to its object, as a share of the object's largest
  const MOST_UNDO = 50;

  class Brush {
    constructor(player) {
      this.player = player;
      this.on = false;
      this.mode = "edit";
      this.tool = "brush";
      this.run = 0;
      this.steps = [];
      this.regions = new Map();
      this.shift = [0, 0];
      this.allowed = parts.actions.allowed(player, "edit");
    }

    // --- building ---
    build() {
      const { hook, model, options } = this.player;
      hook.editOpen.hidden = !this.allowed || model.grid_view || model.done < model.steps;
      if (hook.editOpen.hidden) return;
      this.cells = new Uint8Array(model.cells);
      hook.editOpen.onclick = () => this.open(!this.on);
      for (const stage of this.player.stages) this.watch(stage);
      this.panel();
      const kept = options.edit || {};
      if (kept.mode) this.setMode(kept.mode);
      if (kept.open) this.open(true);
    }

    panel() {
      const { hook, model } = this.player;
      hook.edit.replaceChildren();
      const head = make("header", "up-inspector-head");
      this.title = make("h3", "up-heading");
      this.undoEdit = button("up-pill", "Undo last edit", () => this.player.emit("unedit", {}));
      this.undoEdit.hidden = !(this.player.options.edit || {}).undo;
      this.undoEdit.dataset.edit = "unedit";
      const close = button("up-pill", "Close", () => this.open(false));
      const right = make("span", "up-edit-right");
      right.append(this.undoEdit, close);
      head.append(this.title, right);
      this.modes = this.choice("up-edit-modes", "What to do", MODES.map(({ key, name, about }) => [key, name, about]), (key) => this.setMode(key));
      this.about = make("p", "up-hint");
      this.rows = { edit: this.painting(), extend: this.moving(), remix: this.mixing(), compose: this.placing() };
      hook.edit.append(head, this.modes.box, this.about, ...Object.values(this.rows), this.asking());
      this.setMode(this.mode);
      this.player.hook.edit.dataset.cells = String(model.cells);
    }

    // One of several, as a bar of buttons that arrow keys walk through.
    choice(className, label, entries, choose) {
      const box = make("div", `up-layers ${className}`);
      box.setAttribute("role", "radiogroup");
      box.setAttribute("aria-label", label);
      const nodes = entries.map(([key, name, about]) => {
        const node = button("up-layer", name, () => choose(key));
        node.setAttribute("role", "radio");
        node.dataset.edit = key;
        node.title = about;
        box.append(node);
        return node;
      });
      box.addEventListener("keydown", (event) => {
        const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!turn) return;
        const next = nodes[(nodes.findIndex((n) => n.tabIndex === 0) + turn + nodes.length) % nodes.length];
        next.click();
        next.focus();
        event.preventDefault();
        event.stopPropagation();
      });
      const show = (chosen) => nodes.forEach((node) => {
        node.setAttribute("aria-checked", String(node.dataset.edit === chosen));
        node.tabIndex = node.dataset.edit === chosen ? 0 : -1;
      });
      return { box, show };
    }

    painting() {
      const { model } = this.player;
      const row = make("div", "up-edit-row");
      this.tools = this.choice("up-edit-tools", "Tool", TOOLS, (key) => this.setTool(key));
      this.object = make("select", "");
      this.object.setAttribute("aria-label", "Paint all cells of an object");
      this.object.append(new Option("All cells of…", ""));
      model.subjects.forEach((subject, o) => this.object.append(new Option(subject.label, String(o))));
      this.object.hidden = !model.subjects.length || !model.hasAttention;
      this.object.addEventListener("change", () => {
        if (this.object.value) this.change(() => this.addObject(Number(this.object.value)));
        this.object.value = "";
      });
      const action = (key, name, about, act) => {
        const node = button("up-pill", name, act);
        node.title = about;
        node.dataset.edit = key;
        return node;
      };
      this.undoNode = action("undo", "Undo", "Take the last change of the painted cells back", () => this.undo());
      row.append(
        this.tools.box, this.object,
        action("grow", "Grow", "Add the cells beside the painted ones", () => this.change(() => this.grow())),
        action("invert", "Invert", "Paint what is not painted, and the other way round", () => this.change(() => this.cells.forEach((v, i) => { this.cells[i] = v ? 0 : 1; }))),
        action("clear", "Clear", "Paint nothing", () => this.change(() => this.cells.fill(0))),
        this.undoNode,
      );
      return row;
    }

    moving() {
      const { model } = this.player;
      const row = make("div", "up-edit-row");
      const [rows, columns] = model.grid;
      ["Down", "Right"].forEach((name, axis) => {
        const field = make("label", "up-field");
        const most = (axis ? columns : rows) - 1;
        const input = make("input", "");
        Object.assign(input, { type: "range", min: String(-most), max: String(most), step: "1", value: "0" });
        input.dataset.edit = axis ? "right" : "down";
        input.setAttribute("aria-label", axis ? "Cells to the right; less than 0 is to the left" : "Cells down; less than 0 is up");
        const text = make("output", "up-number", "0");
        input.addEventListener("input", () => {
          this.shift[axis] = Number(input.value);
          text.textContent = input.value;
          this.changed();
        });
        field.append(make("span", "", name), input, text);
        row.append(field);
      });
      return row;
    }

    mixing() {
      const row = make("div", "up-edit-row");
      const slider = (key, name, low, high, step, start, say) => {
        const field = make("label", "up-field");
        const input = make("input", "");
        Object.assign(input, { type: "range", min: low, max: high, step, value: start });
        input.dataset.edit = key;
        input.setAttribute("aria-label", name);
        const text = make("output", "up-number", say(start));
        input.addEventListener("input", () => { text.textContent = say(input.value); });
        field.append(make("span", "", name), input, text);
        row.append(field);
        return input;
      };
      this.strength = slider("strength", "Strength", "0.05", "1", "0.05", "0.5", (v) => `${Math.round(100 * Number(v))} %`);
      this.rounds = slider("rounds", "Rounds", "1", "6", "1", "3", String);
      return row;
    }

    placing() {
      const { model } = this.player;
      const row = make("div", "up-edit-row");
      this.placed = make("select", "");
      this.placed.setAttribute("aria-label", "Object to place");
      model.subjects.forEach((subject, o) => this.placed.append(new Option(subject.label, String(o))));
      const without = button("up-pill", "Remove its box", () => {
        this.regions.delete(Number(this.placed.value));
        this.changed();
      });
      const field = make("label", "up-check");
      this.pinned = make("input", "");
      this.pinned.type = "checkbox";
      this.pinned.dataset.edit = "pins";
      this.pinned.addEventListener("change", () => this.changed());
      this.pinnedName = make("span", "");
      field.append(this.pinned, this.pinnedName);
      row.append(this.placed, without, field);
      return row;
    }

    asking() {
      const { model } = this.player;
      const row = make("form", "up-edit-row up-edit-ask");
      this.prompt = make("input", "up-edit-prompt");
      Object.assign(this.prompt, { type: "text", value: model.text, maxLength: 1000 });
      this.prompt.setAttribute("aria-label", "Prompt for what is drawn");
      this.prompt.dataset.edit = "prompt";
      this.prompt.addEventListener("input", () => this.show());
      this.order = make("select", "");
      this.order.setAttribute("aria-label", "Order in which it is drawn");
      this.order.dataset.edit = "order";
      this.order.append(new Option("Same order", ""));
      if (model.runs.length > 1) this.order.append(new Option("Orders on stage", "stage"));
      this.order.append(new Option("Six orders", "six"));
      for (const [key, name] of model.orders) this.order.append(new Option(name, key));
      this.send = make("button", "up-edit-send", "Draw again");
      this.send.type = "submit";
      this.send.dataset.edit = "send";
      this.count = make("p", "up-hint up-edit-count");
      this.count.setAttribute("role", "status");
      row.addEventListener("submit", (event) => {
        event.preventDefault();
        if (!this.send.disabled) this.ask();
      });
      row.append(this.prompt, this.order, this.send, this.count);
      return row;
    }

    // --- state ---
    open(on) {
      const { hook, stages } = this.player;
      this.on = on && this.allowed;
      this.corner = -1;
      hook.edit.hidden = !this.on;
      hook.root.classList.toggle("up-editing", this.on);
      hook.editOpen.setAttribute("aria-expanded", String(this.on));
      for (const { canvas } of stages) canvas.style.touchAction = this.on ? "none" : "";
      if (this.on) {
        this.player.clock.stop();
        if (this.player.state.layer !== "picture") this.player.setState({ layer: "picture" });
        this.player.setState({ pin: -1 });
      } else if (hook.edit.contains(document.activeElement)) hook.editOpen.focus();
      this.player.emit("editing", { open: this.on, mode: this.mode });
      this.changed();
    }

    setMode(mode) {
      this.mode = mode;
      const found = MODES.find(({ key }) => key === mode);
      this.modes.show(mode);
      this.about.textContent = found.about;
      for (const [key, row] of Object.entries(this.rows)) row.hidden = key !== mode;
      this.prompt.hidden = mode === "compose";
      this.send.textContent = { edit: "Draw again", extend: "Draw the border", remix: "Draw", compose: "Generate" }[mode];
      if (this.order.options[1].value === "stage") this.order.options[1].disabled = mode === "remix";
      this.setTool(this.tool);
      if (this.on) this.player.emit("editing", { open: true, mode });
    }

    setTool(tool) {
      this.tool = tool;
      this.corner = -1;
      this.tools.show(tool);
      this.changed();
    }

    // A change of the painted cells that can be taken back.
    change(act) {
      this.steps.push(this.cells.slice());
      if (this.steps.length > MOST_UNDO) this.steps.shift();
      act();
      this.changed();
    }

    undo() {
      if (!this.steps.length) return;
      this.cells = this.steps.pop();
      this.changed();
      this.player.say(`Undone. ${this.said()}`);
    }

    changed() {
      this.show();
      this.player.setState({}, ["brush"]);
    }

    painted() {
      return this.cells.reduce((sum, v) => sum + v, 0);
    }

    said() {
      return `${plural(this.painted(), "cell", "cells")} of ${this.cells.length} painted.`;
    }

    show() {
      if (!this.send) return;
      const { model, state } = this.player;
      const run = model.runs[this.run];
      this.title.textContent = model.runs.length > 1 ? `Edit picture ${run.letter}` : "Edit picture";
      const count = this.painted();
      const s = run.local(state.step);
      let open = 0;
      for (let i = 0; i < model.cells; i++) open += run.hidden(s, i) ? 1 : 0;
      const text = this.prompt.value.trim();
      const says = {
        edit: open ? `${this.said()} ${plural(open, "cell that is", "cells that are")} still masked at this step will be drawn, too.` : this.said(),
        extend: this.shift.some(Boolean) ? `${plural(this.freed().reduce((sum, v) => sum + v, 0), "cell", "cells")} will be drawn.` : "Choose how far to move.",
        remix: text === model.text ? "Change the prompt first." : "",
        compose: model.subjects.length ? `${plural(this.regions.size, "object has", "objects have")} a box.` : "This prompt names no object.",
      };
      this.count.textContent = says[this.mode];
      this.pinned.disabled = !count;
      this.pinnedName.textContent = count ? `Keep the ${plural(count, "painted cell", "painted cells")} of ${run.letter}` : "Keep painted cells (paint them under Erase)";
      const pins = this.pinned.checked && count > 0;
      this.send.disabled = !{
        edit: count + open > 0 && text, extend: this.shift.some(Boolean) && text, remix: text && text !== model.text,
        compose: this.regions.size > 0 || (pins && count < model.cells),
      }[this.mode];
      this.undoNode.disabled = !this.steps.length;
    }

    // --- cells ---
    addObject(o) {
      const { model, state } = this.player;
      const run = model.runs[this.run];
      const s = run.local(state.step);
      const maps = model.subjects.map((subject) => run.wordsInto(s, subject.object, new Float32Array(model.cells)));
      const most = maps.map((map) => Math.max(1e-9, ...map));
      for (let i = 0; i < model.cells; i++) {
        const share = maps.map((map, k) => map[i] / most[k]);
        if (share[o] >= OWNED && share.every((v, k) => k === o || share[o] > v)) this.cells[i] = 1;
      }
      this.player.say(this.said());
    }

    grow() {
      const [rows, columns] = this.player.model.grid;
      const old = this.cells.slice();
      old.forEach((v, i) => {
        if (!v) return;
        const y = Math.floor(i / columns), x = i % columns;
        for (let b = Math.max(0, y - 1); b <= Math.min(rows - 1, y + 1); b++) {
          for (let a = Math.max(0, x - 1); a <= Math.min(columns - 1, x + 1); a++) this.cells[b * columns + a] = 1;
        }
      });
    }

    // [top, left, bottom, right], half-open, of the rectangle between two cells.
    boxOf(a, b) {
      const { columns } = this.player.stages[0];
      const [y, x, v, u] = [Math.floor(a / columns), a % columns, Math.floor(b / columns), b % columns];
      return [Math.min(y, v), Math.min(x, u), Math.max(y, v) + 1, Math.max(x, u) + 1];
    }

    /** @param {any} box @param {number} i */
    inBox([top, left, bottom, right], i) {
      const { columns } = this.player.stages[0];
      const y = Math.floor(i / columns), x = i % columns;
      return y >= top && y < bottom && x >= left && x < right;
    }

    // What moving frees.
    freed() {
      const [rows, columns] = this.player.model.grid;
      const [down, right] = this.shift;
      return Uint8Array.from({ length: rows * columns }, (_, i) => {
        const y = Math.floor(i / columns) - down, x = (i % columns) - right;
        return y < 0 || y >= rows || x < 0 || x >= columns ? 1 : 0;
      });
    }

    // All cells on the way from one to the other, so that a quick finger leaves no gaps.
    line(from, to) {
      const { columns } = this.player.stages[0];
      const [y, x, v, u] = [Math.floor(from / columns), from % columns, Math.floor(to / columns), to % columns];
      const steps = Math.max(Math.abs(v - y), Math.abs(u - x), 1);
      return Array.from({ length: steps + 1 }, (_, k) => Math.round(y + ((v - y) * k) / steps) * columns + Math.round(x + ((u - x) * k) / steps));
    }

    // --- pointer and keys on a stage ---
    watch(stage) {
      const { canvas } = stage;
      const own = (event) => this.on && this.mode !== "remix" && this.mode !== "extend" && (event.button === undefined || event.button <= 0);
      canvas.addEventListener("pointerdown", (event) => {
        if (!own(event)) return;
        const cell = stage.cellAt(event);
        if (cell < 0) return;
        event.preventDefault();
        canvas.focus({ preventScroll: true });
        try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
        this.start(stage, cell);
      });
      canvas.addEventListener("pointermove", (event) => {
        if (!this.on || this.last === undefined || this.last < 0) return;
        for (const moved of event.getCoalescedEvents ? [...event.getCoalescedEvents(), event] : [event]) {
          const cell = stage.cellAt(moved);
          if (cell >= 0 && cell !== this.last) this.moveTo(cell);
        }
      });
      for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => this.end());
      canvas.addEventListener("click", (event) => {
        if (this.on) event.stopImmediatePropagation();
      }, true);
      canvas.addEventListener("keydown", (event) => {
        if (!this.on) return;
        if (event.key === "Escape") this.open(false);
        else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.undo();
        else if ((event.key === " " || event.key === "Enter") && own(event)) this.press(stage);
        else return;
        event.preventDefault();
        event.stopImmediatePropagation();
      }, true);
      canvas.addEventListener("keydown", (event) => {
        if (this.on && this.mode === "edit" && event.shiftKey && event.key.startsWith("Arrow") && this.player.state.hover >= 0) {
          this.change(() => { this.cells[this.player.state.hover] = 1; });
        }
      });
    }

    start(stage, cell) {
      this.run = stage.run.index;
      this.last = cell;
      this.from = cell;
      this.boxing = this.mode === "compose" || this.tool === "box";
      if (this.boxing) return this.changed();
      this.value = this.cells[cell] ? 0 : 1;
      this.change(() => { this.cells[cell] = this.value; });
    }

    moveTo(cell) {
      if (!this.boxing) for (const one of this.line(this.last, cell)) this.cells[one] = this.value;
      this.last = cell;
      this.changed();
    }

    end() {
      if (this.last === undefined || this.last < 0) return;
      if (this.boxing) this.fill(this.boxOf(this.from, this.last));
      this.last = -1;
      this.boxing = false;
      this.changed();
      if (this.mode === "edit") this.player.say(this.said());
    }

    // A rectangle is painted, or becomes the box of the chosen object.
    fill(box) {
      if (this.mode === "compose") {
        if (this.player.model.subjects.length) {
          const o = Number(this.placed.value);
          this.regions.set(o, box);
          const next = this.player.model.subjects.findIndex((_, k) => !this.regions.has(k));
          if (next >= 0) this.placed.value = String(next);
        }
      } else this.change(() => this.cells.forEach((v, i) => { if (this.inBox(box, i)) this.cells[i] = 1; }));
    }

    press(stage) {
      const { model, state } = this.player;
      const [rows, columns] = model.grid;
      const cell = state.hover >= 0 ? state.hover : Math.floor(rows / 2) * columns + Math.floor(columns / 2);
      if (state.hover < 0) this.player.setState({ hover: cell });
      this.run = stage.run.index;
      if (this.mode !== "compose" && this.tool === "brush") this.change(() => { this.cells[cell] = this.cells[cell] ? 0 : 1; });
      else if (this.corner < 0) {
        this.corner = cell;
        this.player.say("First corner set. Move to the other corner and press Space.");
        return this.changed();
      } else {
        this.fill(this.boxOf(this.corner, cell));
        this.corner = -1;
        this.changed();
      }
      this.player.say(this.mode === "compose" ? this.count.textContent : this.said());
    }

    // --- drawing over a stage ---
    draw(stage) {
      if (!this.on || !this.cells) return;
      const { model, state } = this.player;
      const mine = stage.run.index === this.run;
      const unit = stage.canvas.width / Math.max(1, stage.canvas.clientWidth);
      const theme = this.player.theme;
      const shown = (inside, color) => {
        this.shade(stage, inside, color);
        stage.stroke(stage.border(inside), color, "rgba(12,14,20,.85)", 2 * unit);
      };
      if (this.mode === "extend" && mine && this.shift.some(Boolean)) {
        const freed = this.freed();
        this.move(stage);
        shown((i) => freed[i], theme.accent);
      }
      const keeps = this.mode === "compose" && this.pinned.checked;
      if (mine && (this.mode === "edit" || keeps) && this.painted()) shown((i) => this.cells[i], theme.accent);
      if (this.mode === "compose" && mine) {
        for (const [o, box] of this.regions) this.label(stage, box, model.subjects[o], unit);
      }
      const from = this.boxing ? this.from : this.corner;
      const to = this.boxing ? this.last : state.hover;
      if (mine && from >= 0 && to >= 0) {
        const box = this.boxOf(from, to);
        stage.stroke(stage.border((i) => this.inBox(box, i)), "#ffffff", "rgba(12,14,20,.85)", 2 * unit, [6 * unit, 4 * unit]);
      }
    }

    shade(stage, inside, color) {
      const c = stage.context;
      const w = stage.canvas.width / stage.columns, h = stage.canvas.height / stage.rows;
      const tiles = new Path2D();
      for (let i = 0; i < stage.rows * stage.columns; i++) {
        if (inside(i)) tiles.rect((i % stage.columns) * w, Math.floor(i / stage.columns) * h, w, h);
      }
      c.save();
      c.globalAlpha = 0.5;
      c.fillStyle = color;
      c.fill(tiles);
      c.clip(tiles);
      c.globalAlpha = 0.55;
      c.strokeStyle = "#ffffff";
      c.lineWidth = Math.max(1, w / 14);
      const lines = new Path2D();
      for (let x = -stage.canvas.height; x < stage.canvas.width; x += w / 2) {
        lines.moveTo(x, stage.canvas.height);
        lines.lineTo(x + stage.canvas.height, 0);
      }
      c.stroke(lines);
      c.restore();
    }

    // The picture where moving puts it.
    move(stage) {
      const c = stage.context;
      const { width, height } = stage.canvas;
      const copy = parts.stage.makeCanvas(width, height);
      copy.getContext("2d").drawImage(stage.canvas, 0, 0);
      c.fillStyle = this.player.theme.mask;
      c.fillRect(0, 0, width, height);
      c.drawImage(copy, (this.shift[1] * width) / stage.columns, (this.shift[0] * height) / stage.rows);
    }

    label(stage, box, subject, unit) {
      const c = stage.context;
      const w = stage.canvas.width / stage.columns, h = stage.canvas.height / stage.rows;
      this.shade(stage, (i) => this.inBox(box, i), subject.color);
      stage.stroke(stage.border((i) => this.inBox(box, i)), subject.color, "rgba(12,14,20,.85)", 2.5 * unit);
      const size = Math.round(12 * unit);
      c.font = `600 ${size}px system-ui, sans-serif`;
      c.textBaseline = "middle";
      const wide = c.measureText(subject.label).width + size;
      c.fillStyle = "rgba(12,14,20,.85)";
      c.fillRect(box[1] * w, box[0] * h, wide, size * 1.6);
      c.fillStyle = "#ffffff";
      c.fillText(subject.label, box[1] * w + size / 2, box[0] * h + size * 0.8);
    }

    update(changed) {
      if (this.on && (changed.has("step") || changed.has("model"))) this.show();
    }

    // --- asking the page ---
    ask() {
      const { model, state } = this.player;
      const run = model.runs[this.run];
      const cells = Array.from(this.cells.keys()).filter((i) => this.cells[i]);
      const detail = { run: run.index, kind: this.mode, step: run.firstStep + run.local(state.step), order: this.order.value, prompt: this.prompt.value.trim() };
      if (this.mode === "edit") detail.cells = cells;
      else if (this.mode === "extend") detail.shift = this.shift.slice();
      else if (this.mode === "remix") Object.assign(detail, { strength: Number(this.strength.value), rounds: Number(this.rounds.value) });
      else {
        detail.regions = [...this.regions].map(([subject, box]) => ({ subject, box }));
        detail.pins = this.pinned.checked ? cells : [];
      }
      this.player.clock.stop();
      this.player.emit("edit", detail);
    }
  }

  parts.edit = { Brush, MODES };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// The brush's panel: its modes, tools and fields. It shows what the brush holds and tells it what was chosen.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { plural } = parts.phrases;
  const MODES = [
    { key: "edit", name: "Erase", send: "Draw again", about: "Paint what should be drawn again, or choose an object. Everything else stays, token for token." },
    { key: "extend", name: "Extend", send: "Draw the border", about: "Makes room on one side: the picture moves, what leaves on the other side is lost, and the new border is drawn." },
    { key: "remix", name: "Remix", send: "Draw", about: "No mask: write another prompt. In each round the cells that fit it least are opened and drawn again." },
    { key: "sketch", name: "Structure", send: "Draw", about: "A new picture with the structure of this one: each cell is to attend to the other cells as it does here. Write what to draw instead. Costs half as many forward passes again." },
    { key: "compose", name: "Place objects", send: "Generate", about: "A new picture of the same prompt, from an empty canvas: drag a box for each object. Cells that you painted under Erase can keep their tokens: tick “Keep” below." },
  ];
  const TOOLS = [
    ["brush", "Brush", "Paint cells; start on a painted cell to take cells back. Keys: arrows move, Enter or Space paints, Shift and arrows paint on."],
    ["box", "Rectangle", "Drag from corner to corner. Keys: Enter or Space sets one corner, then the other."],
  ];
  // Rows down and columns right that make room on a side.
  const SIDES = { left: [0, 1], right: [0, -1], above: [1, 0], below: [-1, 0] };

  class Panel {
    constructor(brush, home) {
      this.brush = brush;
      this.player = brush.player;
      const head = make("header", "up-inspector-head");
      this.picture = make("select", "");
      this.picture.setAttribute("aria-label", "Picture to edit");
      this.picture.dataset.edit = "picture";
      for (const run of this.player.model.runs) this.picture.append(new Option(`${run.letter}: ${run.title}`, String(run.index)));
      this.picture.hidden = this.player.model.runs.length < 2;
      this.picture.addEventListener("change", () => {
        brush.pick(Number(this.picture.value));
        brush.show();
      });
      this.undoEdit = button("up-pill", "Undo last edit", () => this.player.emit("unedit", {}));
      this.undoEdit.hidden = !(this.player.options.edit || {}).undo;
      this.undoEdit.dataset.edit = "unedit";
      const right = make("span", "up-edit-right");
      right.append(this.undoEdit, button("up-pill", "Close", () => brush.open(false)));
      head.append(make("h3", "up-heading", "Edit picture"), this.picture, right);
      const { modes, fixed } = this.player.options.edit || {};
      this.fixed = Boolean(fixed);
      this.offered = MODES.filter(({ key }) => (modes ? modes.includes(key) : key !== "sketch" || brush.sketches));
      this.modes = choice("up-edit-modes", "What to do", this.offered.map(({ key, name, about }) => [key, name, about]), (key) => {
        brush.proposes = true;
        brush.setMode(key);
      });
      this.modes.box.hidden = this.offered.length < 2;
      this.about = make("p", "up-hint");
      this.rows = { edit: this.painting(), extend: this.extending(), remix: this.mixing(), sketch: this.sketching(), compose: this.placing() };
      home.replaceChildren(head, this.modes.box, this.about, ...Object.values(this.rows), this.asking());
      home.dataset.cells = String(this.player.model.cells);
    }

    // --- rows ---
    painting() {
      const { brush } = this;
      const row = make("div", "up-edit-row");
      this.tools = choice("up-edit-tools", "Tool", TOOLS, (key) => brush.setTool(key));
      this.object = make("select", "");
      this.object.setAttribute("aria-label", "Paint all cells of an object");
      this.object.dataset.edit = "object";
      this.object.addEventListener("change", () => {
        if (this.object.value) brush.paintObject(Number(this.object.value));
        this.object.value = "";
      });
      const action = (key, name, about, act) => {
        const node = button("up-pill", name, act);
        node.title = about;
        node.dataset.edit = key;
        return node;
      };
      this.undoNode = action("undo", "Undo", "Undo the last change to the painted cells", () => brush.undo());
      row.append(
        this.tools.box, this.object,
        action("grow", "Grow", "Add the cells beside the painted ones", () => brush.change((cells) => parts.cells.grown(cells, this.player.model.grid))),
        action("invert", "Invert", "Swap painted and unpainted cells", () => brush.change((cells) => cells.map((v) => (v ? 0 : 1)))),
        action("clear", "Clear", "Paint nothing", () => brush.change((cells) => cells.fill(0))),
        this.undoNode,
      );
      return row;
    }

    extending() {
      const row = make("div", "up-edit-row");
      const names = { left: "Left", right: "Right", above: "Above", below: "Below" };
      const sides = Object.entries(names).map(([key, name]) => [key, name, `New cells ${key === "left" || key === "right" ? `on the ${key}` : key} of the picture`]);
      this.sides = choice("up-edit-sides", "On which side", sides, (key) => this.brush.propose(key, this.brush.by));
      this.by = slider("by", "Columns or rows that are drawn", "Cells", 1, 1, 1, 1, (value) => this.brush.propose(this.brush.side, value));
      row.append(this.sides.box, this.by.field);
      return row;
    }

    mixing() {
      const row = make("div", "up-edit-row");
      this.strength = slider("strength", "Strength: share of the cells that are opened", "Strength", 0.05, 1, 0.05, 0.5, () => {}, percent);
      this.rounds = slider("rounds", "Rounds", "Rounds", 1, 6, 1, 3, () => {});
      row.append(this.strength.field, this.rounds.field);
      return row;
    }

    sketching() {
      const row = make("div", "up-edit-row");
      this.likeness = slider("likeness", "Likeness: how much the structure counts against the model's own probability", "Likeness", 0, 1, 0.05, 0.5, () => {}, percent);
      row.append(this.likeness.field);
      return row;
    }

    placing() {
      const row = make("div", "up-edit-row");
      this.placed = make("select", "");
      this.placed.setAttribute("aria-label", "Object to place");
      this.placed.dataset.edit = "placed";
      this.without = button("up-pill", "Remove its box", () => this.brush.unplace(Number(this.placed.value)));
      this.placed.addEventListener("change", () => this.show());
      const field = make("label", "up-check");
      this.pinned = make("input", "");
      this.pinned.type = "checkbox";
      this.pinned.dataset.edit = "pins";
      this.pinned.addEventListener("change", () => this.brush.changed());
      this.pinnedName = make("span", "");
      field.append(this.pinned, this.pinnedName);
      row.append(this.placed, this.without, field);
      return row;
    }

    asking() {
      const { model } = this.player;
      const row = make("form", "up-edit-row up-edit-ask");
      this.prompt = make("input", "up-edit-prompt");
      Object.assign(this.prompt, { type: "text", maxLength: 1000, enterKeyHint: "go" });
      this.prompt.setAttribute("aria-label", "Prompt for what is drawn");
      this.prompt.dataset.edit = "prompt";
      this.prompt.addEventListener("input", () => this.show());
      this.order = make("select", "");
      this.order.setAttribute("aria-label", "Order in which it is drawn");
      this.order.dataset.edit = "order";
      this.order.append(new Option("Same order", ""));
      if (model.runs.length > 1) this.order.append(new Option("Orders on stage", "stage"));
      this.order.append(new Option("Five orders", "five"));
      for (const [key, name] of model.orders) this.order.append(new Option(name, key));
      this.send = make("button", "up-edit-send", "Draw again");
      this.send.type = "submit";
      this.send.dataset.edit = "send";
      this.count = make("p", "up-hint up-edit-count");
      this.count.setAttribute("role", "status");
      row.addEventListener("submit", (event) => {
        event.preventDefault();
        if (!this.send.disabled) this.brush.ask();
      });
      this.problem = make("p", "up-note up-edit-problem");
      this.problem.setAttribute("role", "alert");
      this.problem.hidden = true;
      row.append(this.prompt, this.order, this.send, this.problem, this.count);
      return row;
    }

    // What was wrong with what was asked for; it stays until something is changed.
    wrong(text) {
      this.problem.textContent = text;
      this.problem.hidden = false;
    }

    // --- showing ---
    // Another picture: its objects and its prompt, where the field still held the other one's.
    pick(run, before) {
      const { model } = this.player;
      const options = run.objects.map((o) => new Option(run.labels[o], String(o)));
      this.object.replaceChildren(new Option("All cells of…", ""), ...options.map((option) => option.cloneNode(true)));
      this.object.hidden = !options.length || !model.hasAttention;
      this.placed.replaceChildren(...options);
      this.placed.hidden = this.without.hidden = !options.length;
      if (!before || this.prompt.value.trim() === before.text) this.prompt.value = run.text;
      this.picture.value = String(run.index);
    }

    offers(mode) {
      return this.offered.some(({ key }) => key === mode);
    }

    mode(mode) {
      const found = MODES.find(({ key }) => key === mode);
      this.modes.show(mode);
      this.about.textContent = found.about;
      for (const [key, row] of Object.entries(this.rows)) row.hidden = key !== mode;
      this.prompt.hidden = this.fixed || mode === "compose";
      this.order.hidden = this.fixed || mode === "sketch"; // likeness decides, no order is asked
      this.send.textContent = found.send;
      // a remix is drawn in one order at a time
      for (const option of this.order.options) if (option.value === "stage" || option.value === "five") option.disabled = mode === "remix";
      if (this.order.selectedOptions[0].disabled) this.order.value = "";
    }

    side(side, by, most) {
      this.sides.show(side);
      this.by.input.max = String(most);
      this.by.set(by);
    }

    // For an object that was painted: its colour, or the place before its name, is ready to be written over.
    readyToWrite(run, o) {
      const { prompt } = this;
      if (this.fixed) return;
      // on a phone the keyboard would cover the picture
      if (prompt.value !== run.text || matchMedia("(pointer: coarse)").matches) return;
      const words = run.spoken.filter(({ subject }) => subject === o);
      const colors = words.filter(({ role }) => role === "attribute");
      const name = words.find(({ role }) => role === "object");
      if (!name) return;
      const at = (points) => Array.from(run.text).slice(0, points).join("").length;
      prompt.focus({ preventScroll: true });
      const [start, end] = colors.length ? [colors[0].start, colors[colors.length - 1].end] : [name.start, name.start];
      prompt.setSelectionRange(at(start), at(end));
    }

    show() {
      const { brush } = this;
      const { model, state } = this.player;
      const run = model.runs[brush.run];
      const count = brush.painted();
      this.problem.hidden = true;
      const s = run.local(state.step);
      let open = 0;
      for (let i = 0; i < model.cells; i++) open += run.hidden(s, i) ? 1 : 0;
      const text = this.prompt.value.trim();
      const says = {
        edit: open ? `${brush.said()} ${plural(open, "cell that is", "cells that are")} still masked at this step will be drawn, too.` : brush.said(),
        extend: `${plural(parts.cells.count(parts.cells.freed(brush.shift, model.grid)), "cell", "cells")} will be drawn.`,
        remix: text === run.text ? "Change the prompt first." : "",
        sketch: "",
        compose: !run.objects.length ? "This prompt names no object." : brush.regions.size ? `${plural(brush.regions.size, "object has", "objects have")} a box.`
          : `Drag a box on the picture for the ${run.labels[Number(this.placed.value)]}.`,
      };
      this.count.textContent = says[brush.mode];
      this.without.disabled = !brush.regions.has(Number(this.placed.value));
      this.pinned.disabled = !count;
      this.pinnedName.textContent = count ? `Keep the ${plural(count, "painted cell", "painted cells")} of ${run.letter}` : "Keep painted cells (paint them under Erase)";
      const pins = this.pinned.checked && count > 0;
      this.send.disabled = !{
        edit: count + open > 0 && text, extend: Boolean(text), remix: text && text !== run.text, sketch: Boolean(text),
        compose: brush.regions.size > 0 || (pins && count < model.cells),
      }[brush.mode];
      this.undoNode.disabled = !brush.steps.length;
    }
  }

  const percent = (share) => `${Math.round(100 * share)} %`;

  // One of several, as a bar of buttons that arrow keys walk through.
  function choice(className, label, entries, choose) {
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

  function slider(key, about, name, low, high, step, start, told, say = (value) => String(value)) {
    const field = make("label", "up-field");
    const input = make("input", "");
    Object.assign(input, { type: "range", min: String(low), max: String(high), step: String(step), value: String(start) });
    input.dataset.edit = key;
    input.setAttribute("aria-label", about);
    const text = make("output", "up-number", say(start));
    const set = (value) => {
      input.value = String(value);
      text.textContent = say(value);
    };
    input.addEventListener("input", () => {
      text.textContent = say(Number(input.value));
      told(Number(input.value));
    });
    field.append(make("span", "", name), input, text);
    return { field, input, set };
  }

  parts.editPanel = { Panel, MODES, SIDES };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

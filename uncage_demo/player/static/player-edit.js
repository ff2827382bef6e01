// The brush: paint cells of a picture, then ask the page to draw them again; or extend it, change it without a mask, place objects.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const MOST_UNDO = 50;
  const PANEL_GAP_PX = 24; // between the edited picture, with what is said below it, and the panel

  class Brush {
    constructor(player) {
      this.player = player;
      this.on = false;
      this.mode = "edit";
      this.tool = "brush";
      this.run = 0;
      this.steps = [];
      this.regions = new Map();
      this.side = "left";
      this.by = 1;
      this.corner = this.last = this.from = -1;
      this.boxing = this.proposes = false;
      this.allowed = parts.actions.allowed(player, "edit");
      this.sketches = parts.actions.allowed(player, "sketch");
    }

    build() {
      const { hook, model, options } = this.player;
      const { elsewhere } = options;
      const complete = !model.grid_view && model.done >= model.steps;
      this.allowed = this.allowed && complete;
      hook.editOpen.hidden = !this.allowed && !(elsewhere && complete);
      if (!this.allowed) return elsewhere && this.explain(elsewhere);
      this.cells = new Uint8Array(model.cells);
      hook.editOpen.onclick = () => {
        this.open(!this.on);
        if (this.on) this.show();
      };
      for (const stage of this.player.stages) this.watch(stage);
      this.panel = new parts.editPanel.Panel(this, hook.edit);
      const kept = options.edit || {};
      this.pick(Number.isInteger(kept.run) && kept.run < model.runs.length ? kept.run : 0);
      this.extend(this.side, Math.max(1, Math.round(model.grid[1] / 4)));
      this.setMode(kept.mode && this.panel.offers(kept.mode) ? kept.mode : this.mode);
      if (kept.open) this.open(true);
    }

    // Where nobody draws edits of these runs: why, and the way to where somebody does.
    explain({ text, label, act }) {
      const { editOpen } = this.player.hook;
      const said = parts.dom.make("p", "up-edit-elsewhere", `${text} `);
      said.hidden = true;
      said.append(parts.dom.button("up-pill", label, act));
      editOpen.closest(".up-layerbar").after(said);
      editOpen.onclick = () => {
        said.hidden = !said.hidden;
        editOpen.setAttribute("aria-expanded", String(!said.hidden));
        if (!said.hidden) this.player.say(text);
      };
    }

    // --- state ---
    open(on) {
      const { hook } = this.player;
      this.on = on && this.allowed;
      this.corner = -1;
      hook.edit.hidden = !this.on;
      hook.root.classList.toggle("up-editing", this.on);
      hook.editOpen.setAttribute("aria-expanded", String(this.on));
      this.touch();
      this.label();
      if (this.on) {
        // who opens it while the run plays means the finished picture; a step chosen by hand stays
        if (this.player.state.playing) this.player.setState({ step: this.player.clock.last() });
        this.player.clock.stop();
        if (this.player.state.layer !== "picture") this.player.setState({ layer: "picture" });
        this.player.setState({ pin: -1 });
      } else if (hook.edit.contains(document.activeElement)) hook.editOpen.focus();
      this.told();
      this.changed();
    }

    get paints() {
      return this.on && (this.mode === "edit" || this.mode === "compose");
    }

    // What keys do on a picture, beside the arrows that move between its cells.
    get keys() {
      if (!this.on) return "Enter pins a cell, Shift with arrow keys selects a region";
      if (!this.paints) return "Escape closes the editor";
      const paints = this.mode === "edit" && this.tool === "brush";
      const acts = paints ? "Enter or Space paints a cell or takes it back" : "Enter or Space sets one corner of a rectangle, then the other";
      return `${acts}, ${this.mode === "edit" ? "Shift with arrow keys paints on, " : ""}Escape closes the editor`;
    }

    label() {
      for (const { canvas, run } of this.player.stages) canvas.setAttribute("aria-label", parts.arrange.stageLabel(run, this.keys));
    }

    // While cells are painted a finger on a picture does not scroll.
    touch() {
      for (const { canvas } of this.player.stages) canvas.style.touchAction = this.paints ? "none" : "";
    }

    // The panel comes into view, with as much of the pictures above it as fits; where it stays in view by itself, the edited picture does.
    show() {
      const { hook, stages, calm } = this.player;
      const stays = getComputedStyle(hook.edit).position === "sticky";
      const { box } = stages[this.run];
      box.style.scrollMarginBottom = `${hook.edit.offsetHeight + PANEL_GAP_PX}px`;
      (stays ? box : hook.edit).scrollIntoView({ block: "nearest", behavior: calm ? "auto" : "smooth" });
    }

    // The page keeps how the brush stands for the next player.
    told() {
      this.player.emit("editing", { open: this.on, mode: this.mode, run: this.run });
    }

    setMode(mode) {
      this.mode = mode;
      this.panel.mode(mode);
      this.touch();
      this.setTool(this.tool);
      if (this.on) this.told();
    }

    setTool(tool) {
      this.tool = tool;
      this.corner = -1;
      this.panel.tools.show(tool);
      this.label();
      this.changed();
    }

    // Another picture is edited. Boxes of objects that its prompt does not have are let go.
    pick(index) {
      const { runs } = this.player.model;
      if (this.picked === index) return;
      const before = runs[this.picked];
      this.run = this.picked = index;
      for (const stage of this.player.stages) stage.box.classList.toggle("up-edited", stage.run.index === index);
      for (const o of this.regions.keys()) if (!runs[index].objects.includes(o)) this.regions.delete(o);
      this.panel.pick(runs[index], before);
      if (this.on) this.told();
      this.changed();
    }

    extend(side, by) {
      const [rows, columns] = this.player.model.grid;
      const most = (side === "left" || side === "right" ? columns : rows) - 1;
      this.side = side;
      this.by = Math.min(by, most);
      this.panel.side(side, this.by, most);
      this.changed();
    }

    // What was chosen by hand is shown on the picture; what an earlier edit left chosen would only hide its result.
    propose(side, by) {
      this.proposes = true;
      this.extend(side, by);
    }

    get shift() {
      const [down, right] = parts.editPanel.SIDES[this.side];
      return [down * this.by, right * this.by];
    }

    // A change of the painted cells that can be taken back; `act` gives the new ones.
    change(act) {
      this.steps.push(this.cells);
      if (this.steps.length > MOST_UNDO) this.steps.shift();
      this.cells = act(this.cells.slice());
      this.changed();
    }

    undo() {
      if (!this.steps.length) return;
      this.cells = this.steps.pop();
      this.changed();
      this.player.say(`Undone. ${this.said()}`);
    }

    changed() {
      this.panel.show();
      this.player.setState({}, ["brush"]);
    }

    painted() {
      return parts.cells.count(this.cells);
    }

    said() {
      return `${parts.phrases.plural(this.painted(), "cell", "cells")} of ${this.cells.length} painted.`;
    }

    paintObject(o) {
      const { model, state } = this.player;
      const run = model.runs[this.run];
      const own = parts.cells.objectCells(run, run.local(state.step), model.subjects, o, model.grid);
      this.change((cells) => cells.map((v, i) => (v || own[i] ? 1 : 0)));
      this.player.say(this.said());
      this.panel.readyToWrite(run, o);
    }

    unplace(o) {
      this.regions.delete(o);
      this.changed();
    }

    // A region that was dragged on a stage: its cells are erased, or it becomes the box of an object.
    fromRegion(mode, [top, left, bottom, right]) {
      this.open(true);
      this.pick(this.player.state.touched || 0);
      this.setMode(mode);
      this.fill([top, left, bottom + 1, right + 1]);
      this.player.setState({ region: null });
      this.show();
    }

    // --- pointer and keys on a stage ---
    watch(stage) {
      const { canvas } = stage;
      canvas.addEventListener("pointerdown", (event) => {
        if (!this.on || event.button > 0) return;
        const cell = stage.cellAt(event);
        if (cell < 0) return;
        this.pick(stage.run.index);
        if (!this.paints) return;
        event.preventDefault();
        canvas.focus({ preventScroll: true });
        try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
        this.start(cell);
      });
      parts.dom.ownStrokes(canvas, () => this.on && this.last >= 0);
      canvas.addEventListener("pointermove", (event) => {
        if (!this.on || this.last < 0) return;
        for (const moved of event.getCoalescedEvents ? [...event.getCoalescedEvents(), event] : [event]) {
          // a rectangle follows a pointer that leaves the picture, a brush does not
          const cell = this.boxing ? stage.cellNear(moved) : stage.cellAt(moved);
          if (cell >= 0 && cell !== this.last) this.moveTo(cell);
        }
      });
      canvas.addEventListener("pointerup", () => this.end());
      canvas.addEventListener("pointercancel", () => this.end(true));
      canvas.addEventListener("click", (event) => {
        if (this.on) event.stopImmediatePropagation();
      }, true);
      canvas.addEventListener("keydown", (event) => {
        if (!this.on) return;
        if (event.key === "Escape") this.open(false);
        else if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") this.undo();
        else if ((event.key === " " || event.key === "Enter") && this.paints) this.press(stage);
        else if (event.key === "Enter") return event.stopImmediatePropagation(); // as a click, it pins nothing here
        else return;
        event.preventDefault();
        event.stopImmediatePropagation();
      }, true);
      canvas.addEventListener("keydown", (event) => {
        if (!this.on || this.mode !== "edit" || !event.shiftKey || !event.key.startsWith("Arrow") || this.player.state.hover < 0) return;
        this.pick(stage.run.index);
        this.paint(this.player.state.hover, 1);
      });
    }

    paint(cell, value) {
      this.change((cells) => {
        cells[cell] = value;
        return cells;
      });
    }

    start(cell) {
      this.last = cell;
      this.from = cell;
      this.boxing = this.mode === "compose" || this.tool === "box";
      if (this.boxing) return this.changed();
      this.value = this.cells[cell] ? 0 : 1;
      this.paint(cell, this.value);
    }

    // One stroke is one change, so what a pointer paints on its way joins the cells that its start made.
    moveTo(cell) {
      if (!this.boxing) for (const one of parts.cells.line(this.last, cell, this.player.model.grid[1])) this.cells[one] = this.value;
      this.last = cell;
      this.changed();
    }

    // A rectangle that the system broke off is no rectangle.
    end(broken) {
      if (this.last < 0) return;
      if (this.boxing && !broken) this.fill(parts.cells.boxOf(this.from, this.last, this.player.model.grid[1]));
      this.last = -1;
      this.boxing = false;
      this.changed();
      if (this.mode === "edit") this.player.say(this.said());
    }

    // A rectangle is painted, or becomes the box of the chosen object.
    fill(box) {
      const { columns } = this.player.stages[0];
      if (this.mode === "edit") return this.change((cells) => cells.map((v, i) => (v || parts.cells.inBox(box, i, columns) ? 1 : 0)));
      const { objects } = this.player.model.runs[this.run];
      if (!objects.length) return;
      const { placed } = this.panel;
      this.regions.set(Number(placed.value), box);
      const next = objects.find((o) => !this.regions.has(o));
      if (next !== undefined) placed.value = String(next);
      this.changed();
    }

    press(stage) {
      const { model, state } = this.player;
      const [rows, columns] = model.grid;
      const cell = state.hover >= 0 ? state.hover : Math.floor(rows / 2) * columns + Math.floor(columns / 2);
      if (state.hover < 0) this.player.setState({ hover: cell });
      this.pick(stage.run.index);
      if (this.mode === "edit" && this.tool === "brush") this.paint(cell, this.cells[cell] ? 0 : 1);
      else if (this.corner < 0) {
        this.corner = cell;
        this.player.say("First corner set. Move to the other corner and press Space.");
        return this.changed();
      } else {
        this.fill(parts.cells.boxOf(this.corner, cell, columns));
        this.corner = -1;
        this.changed();
      }
      this.player.say(this.mode === "compose" ? this.panel.count.textContent : this.said());
    }

    // --- for the player ---
    draw(stage) {
      if (this.on) parts.editDraw.drawEdit(this, stage);
    }

    update(changed) {
      if (this.on && (changed.has("step") || changed.has("model"))) this.panel.show();
    }

    // --- asking the page ---
    ask() {
      const { model, state } = this.player;
      const { panel } = this;
      const run = model.runs[this.run];
      const cells = Array.from(this.cells.keys()).filter((i) => this.cells[i]);
      const detail = { run: run.index, kind: this.mode, step: run.firstStep + run.local(state.step), order: panel.order.value, prompt: panel.prompt.value.trim() };
      if (this.mode === "edit") detail.cells = cells;
      else if (this.mode === "extend") detail.shift = this.shift;
      else if (this.mode === "sketch") Object.assign(detail, { strength: Number(panel.likeness.input.value), order: "" });
      else if (this.mode === "remix") Object.assign(detail, { strength: Number(panel.strength.input.value), rounds: Number(panel.rounds.input.value) });
      else {
        detail.regions = [...this.regions].map(([o, box]) => ({ subject: run.objects.indexOf(o), box }));
        detail.pins = panel.pinned.checked ? cells : [];
      }
      this.player.clock.stop();
      this.player.emit("edit", detail);
    }
  }

  parts.edit = { Brush };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// Curves under the stages, on the same clock: attention per object, overlap of pairs, commits per step; and the health strip.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, svg, ownStrokes } = parts.dom;
  const { number } = parts.phrases;
  const WIDTH = 320, HEIGHT = 84, LEFT = 34, RIGHT = 6, TOP = 8, BOTTOM = 16;

  class Chart {
    constructor(player, run, high, label, whole) {
      this.player = player;
      this.run = run;
      this.high = high || 1;
      this.inset = whole ? (WIDTH - LEFT - RIGHT) / player.model.steps / 2 : 0; // bars stand on their steps and need room at both ends
      this.root = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "up-chart", role: "img", "aria-label": label });
      for (const [value, anchor] of [[this.high, TOP], [0, HEIGHT - BOTTOM]]) {
        this.root.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: anchor, y2: anchor, class: "up-axis" }));
        const text = svg("text", { x: LEFT - 5, y: anchor + 3.5, class: "up-tick", "text-anchor": "end" });
        text.textContent = number(value, whole || value >= 10 || value === 0 ? 0 : value >= 1 ? 1 : value >= 0.1 ? 2 : 3);
        this.root.append(text);
      }
      for (const step of [0, player.model.steps - 1]) {
        const text = svg("text", { x: this.x(step), y: HEIGHT - 3, class: "up-tick", "text-anchor": step ? "end" : "start" });
        text.textContent = step ? String(step + 1) : "step 1";
        this.root.append(text);
      }
      this.head = svg("line", { y1: TOP - 4, y2: HEIGHT - BOTTOM, x1: 0, x2: 0, class: "up-head" });
      this.root.append(this.head);
      const scrub = (event) => {
        const box = this.root.getBoundingClientRect();
        const share = ((event.clientX - box.left) / box.width) * WIDTH;
        player.clock.go(((share - this.x(0)) / (WIDTH - LEFT - RIGHT - 2 * this.inset)) * (player.model.steps - 1));
      };
      this.root.addEventListener("pointerdown", (event) => {
        this.root.setPointerCapture(event.pointerId);
        this.dragging = true;
        this.began = event;
        scrub(event);
      });
      // up and down a finger scrolls the page
      const across = (touch) => Math.abs(touch.clientX - this.began.clientX) > Math.abs(touch.clientY - this.began.clientY);
      ownStrokes(this.root, (touch) => this.dragging && across(touch));
      this.root.addEventListener("pointermove", (event) => this.dragging && scrub(event));
      for (const name of ["pointerup", "pointercancel"]) this.root.addEventListener(name, () => (this.dragging = false));
    }

    x(step) {
      return LEFT + this.inset + ((WIDTH - LEFT - RIGHT - 2 * this.inset) * step) / Math.max(1, this.player.model.steps - 1);
    }

    y(value) {
      return HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * Math.min(this.high, value)) / this.high;
    }

    // An object that the run's prompt does not have has no line.
    line(values, color, dash) {
      if (values.every((v) => v !== v)) return;
      let d = "";
      for (let s = 0; s < values.length; s++) d += `${s ? "L" : "M"}${this.x(this.run.firstStep + s).toFixed(2)} ${this.y(values[s]).toFixed(2)}`;
      this.root.insertBefore(svg("path", { d, class: "up-line", stroke: color, ...(dash ? { "stroke-dasharray": dash } : {}) }), this.head);
    }

    bars(values, expected) {
      const width = Math.max(1, ((WIDTH - LEFT - RIGHT) / this.player.model.steps) * 0.68);
      for (let s = 0; s < values.length; s++) {
        const top = this.y(values[s]);
        const rect = svg("rect", { x: this.x(this.run.firstStep + s) - width / 2, y: top, width, height: HEIGHT - BOTTOM - top, class: "up-bar", rx: Math.min(1.5, width / 3) });
        if (values[s] !== expected[s]) rect.classList.add("up-wrong");
        this.root.insertBefore(rect, this.head);
      }
    }

    move(step) {
      const x = this.x(step).toFixed(2);
      this.head.setAttribute("transform", `translate(${x} 0)`);
    }
  }

  function column(values, width, index) {
    const out = new Float32Array(values.length / width);
    for (let s = 0; s < out.length; s++) out[s] = values[s * width + index];
    return out;
  }

  function most(runs, key) {
    let high = 0;
    for (const run of runs) for (const v of run[key] || []) if (v > high) high = v;
    return high;
  }

  class Curves {
    constructor(player) {
      this.player = player;
      this.charts = [];
    }

    build() {
      const { hook, model } = this.player;
      hook.curves.replaceChildren();
      this.charts = [];
      this.health = [];
      hook.curves.hidden = model.grid_view;
      if (model.grid_view) return;
      const objects = model.subjects.length;
      if (model.hasAttention && objects) {
        const high = most(model.runs, "mass");
        this.row("Attention on each object", "share of a cell’s attention, mean over cells", model.subjects.map((s) => [s.label, [s.color]]), (run) => {
          const chart = new Chart(this.player, run, high, `Attention on each object by step, run ${run.letter}`);
          model.subjects.forEach((s, o) => chart.line(column(run.mass, objects, o), s.color));
          return chart;
        });
        const pairs = model.runs[0].raw.pairs;
        if (pairs.length) {
          const overlap = most(model.runs, "overlap");
          const names = pairs.map(([a, b]) => [`${model.subjects[a].label} and ${model.subjects[b].label}`, [model.subjects[a].color, model.subjects[b].color]]);
          this.row("Overlap of two objects", "0: they look at different cells; 1: at the same", pairs.length <= 6 ? names : [], (run) => {
            const chart = new Chart(this.player, run, Math.max(0.1, overlap), `Overlap of the objects’ attention by step, run ${run.letter}`);
            pairs.forEach(([a, b], p) => {
              const values = column(run.overlap, pairs.length, p);
              chart.line(values, model.subjects[a].color);
              chart.line(values, model.subjects[b].color, "5 5");
            });
            return chart;
          });
        }
      }
      const counts = most(model.runs, "counts");
      this.row("Cells committed", "in each step", [], (run) => {
        const chart = new Chart(this.player, run, counts, `Cells committed in each step, run ${run.letter}`, true);
        chart.bars(run.counts, run.raw.health.scheduled);
        return chart;
      });
      this.healthRow();
    }

    row(title, about, legend, draw) {
      const { hook, model } = this.player;
      const box = make("section", "up-curve-row");
      const head = make("header", "up-curve-head");
      head.append(make("h4", "", title), make("span", "up-curve-about", about));
      for (const [label, colors] of legend) {
        const entry = make("span", "up-key");
        const dot = make("i", "");
        dot.style.background = colors.length > 1 ? `linear-gradient(to right, ${colors[0]} 50%, ${colors[1]} 50%)` : colors[0];
        entry.append(dot, make("span", "", label));
        head.append(entry);
      }
      const cells = make("div", "up-curve-cells");
      cells.style.setProperty("--count", String(model.runs.length));
      for (const run of model.runs) {
        const cell = make("div", "up-curve");
        const chart = draw(run);
        if (model.runs.length > 1) cell.append(make("span", "up-letter", run.letter));
        cell.append(chart.root);
        cells.append(cell);
        this.charts.push(chart);
      }
      box.append(head, cells);
      hook.curves.append(box);
    }

    healthRow() {
      const { hook, model } = this.player;
      const cells = make("div", "up-curve-cells up-health-row");
      cells.style.setProperty("--count", String(model.runs.length));
      for (const run of model.runs) {
        const said = run.raw.health;
        const strip = make("div", "up-health");
        strip.setAttribute("role", "group");
        strip.setAttribute("aria-label", `Checks of run ${run.letter}`);
        if (model.runs.length > 1) strip.append(make("span", "up-letter", run.letter));
        const check = (good, yes, no) => strip.append(make("span", `up-check-mark ${good ? "up-good" : "up-bad"}`, `${good ? "✓" : "✗"} ${good ? yes : no}`));
        check(said.counts_ok, "Right number of cells in each step", "Not the scheduled number of cells");
        const kept = said.taken_back ? `${said.taken_back} decided ${said.taken_back === 1 ? "cell was" : "cells were"} opened again; none of the others was altered` : "No decided cell was altered";
        check(said.changed === 0, kept, `${said.changed} decided cells were altered`);
        let special = null;
        if (run.special) {
          special = make("span", "up-check-mark", "");
          special.title = "Share of attention on tokens that stand for no word: start, end, padding";
          strip.append(special);
        }
        this.health.push({ run, special });
        cells.append(strip);
      }
      hook.curves.append(cells);
    }

    update(changed) {
      parts.actions.updateTools(this.player);
      if (!changed.has("step") && !changed.has("model")) return;
      const { step } = this.player.state;
      for (const chart of this.charts) chart.move(step);
      for (const { run, special } of this.health || []) {
        if (!special) continue;
        const s = run.local(step);
        const said = ["start", "end", "padding"].map((name, k) => [name, run.special[3 * s + k]]).filter(([, share]) => !Number.isNaN(share));
        special.hidden = !said.length;
        special.textContent = parts.phrases.specialShare(said);
      }
    }
  }

  parts.curves = { Curves };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

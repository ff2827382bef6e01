// Layers: what a stage can show. Each says in words what it is, which scale it uses, and paints one run at one step.
(function (parts) {
  "use strict";

  const { pack, parseHex, paint } = parts.colors;

  const LAYERS = [
    { key: "picture", name: "Picture", about: "Decided cells show their picture; the others are still masked." },
    { key: "guess", name: "Guess", about: "What the model would put in every cell at this step, decided or not." },
    { key: "order", name: "Order", about: "The step at which each cell was committed." },
    { key: "confidence", name: "Confidence", about: "Log-probability of the token drawn for each cell that is still open in this step." },
    { key: "object", name: "Objects", about: "How much each cell attends to the word of an object." },
    { key: "word", name: "Word", about: "How much each cell attends to the chosen word." },
    { key: "contrast", name: "Contrast", about: "Contrast score of each open cell: its own object's words against all other objects' words." },
    { key: "difference", name: "Difference", about: "How far the picture is from that of run A at the same step, channel by channel; black is equal." },
  ];

  // What the difference layer can compare: pictures, or one of the maps, run minus run A.
  const COMPARED = [
    { key: "picture", name: "picture" },
    { key: "object", name: "object" },
    { key: "word", name: "word" },
    { key: "confidence", name: "confidence" },
    { key: "contrast", name: "contrast" },
    { key: "order", name: "order" },
  ];

  // The layer whose numbers a stage paints: the chosen one, or the one whose difference is chosen.
  function painted(state) {
    return state.layer === "difference" ? state.of : state.layer;
  }

  class Painter {
    constructor(model) {
      this.model = model;
      this.tables = Object.fromEntries(Object.entries(model.tables).map(([k, v]) => [k, parts.colors.tableOf(v)]));
      this.ramps = model.subjects.map((s) => parts.colors.ramp(s.color));
      this.rgb = model.subjects.map((s) => parseHex(s.color));
    }

    available(key) {
      const { model } = this;
      if (key === "object") return model.hasAttention && model.subjects.length > 0;
      if (key === "word") return model.hasAttention;
      if (key === "contrast") return model.hasContrast;
      if (key === "difference") return model.runs.length > 1 && COMPARED.some((c) => this.comparable(c.key));
      return true;
    }

    comparable(key) {
      return key === "picture" ? this.model.runs.every((r) => r.frames) : this.available(key);
    }

    // {low, high, table, unit} of a layer, or null where colours are not numbers.
    scale(state) {
      if (state.layer !== "difference") return this.plainScale(state, state.layer);
      const plain = state.of === "picture" ? null : this.plainScale(state, state.of);
      if (!plain) return null;
      const most = this.mostDifferent(state);
      const who = this.model.runs.length === 2 ? "B − A" : "run − A";
      const digits = state.of === "order" ? 0 : plain.digits;
      return { low: -most, high: most, table: this.tables.diverging, unit: `${plain.unit}${state.of === "order" ? "s later" : ""}, ${who}`, digits };
    }

    // The largest difference to run A over all runs and steps, so that one scale serves them all.
    mostDifferent(state) {
      const key = [state.of, state.object, state.word].join(" ");
      if (!this.most) this.most = new Map();
      if (!this.most.has(key)) {
        const { model } = this;
        const out = new Float32Array(model.cells), other = new Float32Array(model.cells);
        let most = 0;
        for (const run of model.runs.slice(1)) {
          for (let clock = run.firstStep; clock < run.firstStep + run.steps; clock++) {
            this.difference(run, clock, state, out, other);
            for (const v of out) if (Math.abs(v) > most) most = Math.abs(v);
          }
        }
        this.most.set(key, most || 1);
      }
      return this.most.get(key);
    }

    // This run's map minus run A's at the same step; no value where either has none.
    difference(run, clock, state, out, other) {
      const base = this.model.runs[0];
      this.values(run, run.local(clock), state, out);
      this.values(base, base.local(clock), state, other);
      for (let i = 0; i < out.length; i++) out[i] -= other[i];
      return out;
    }

    plainScale(state, key) {
      const { scales } = this.model;
      if (key === "order") return { low: 0, high: scales.order[1], table: this.tables.order, unit: "step", offset: 1, digits: 0, end: ["early", "late"] };
      if (key === "confidence") return { low: scales.confidence[0], high: scales.confidence[1], table: this.tables.sequential, unit: "log-probability", digits: 2 };
      if (key === "contrast") return { low: scales.contrast[0], high: scales.contrast[1], table: this.tables.diverging, unit: "contrast", digits: 2 };
      if (key === "object" && state.object >= 0) {
        return { low: 0, high: scales.object[1], table: this.ramps[state.object], unit: `attention to “${this.model.subjects[state.object].label}”`, digits: 3 };
      }
      if (key === "object") return { low: 0, high: scales.object[1], table: null, unit: "attention, strongest object", digits: 3 };
      if (key === "word" && state.word >= 0) {
        const word = this.model.words[state.word];
        const table = word.subject >= 0 ? this.ramps[word.subject] : this.tables.sequential;
        return { low: 0, high: scales.word[1], table, unit: `attention to “${word.text}”`, digits: 3 };
      }
      return null;
    }

    // A function (stage, s) that fills the stage's pixels, or null for layers that are pictures.
    painter(state) {
      const scale = this.scale(state);
      if (!scale) return null;
      if (state.layer === "difference") return (stage, s) => this.paintDifference(stage, s, scale, state);
      if (state.layer === "object" && state.object < 0) return (stage, s) => this.allObjects(stage, s, scale, state);
      return (stage, s) => {
        this.values(stage.run, s, state, stage.values);
        const [low, high] = state.locked || state.layer === "order" ? [scale.low, scale.high] : this.range(stage.values, state.layer);
        stage.shown = [low, high];
        paint(stage.values, low, high, scale.table, stage.pixels);
      };
    }

    // False for run A itself: it is what the others are compared with.
    paintDifference(stage, s, scale, state) {
      if (stage.run === this.model.runs[0]) {
        stage.shown = [NaN, NaN];
        return false;
      }
      if (!stage.other) stage.other = new Float32Array(this.model.cells);
      this.difference(stage.run, stage.run.firstStep + s, state, stage.values, stage.other);
      const [low, high] = state.locked ? [scale.low, scale.high] : this.range(stage.values, "difference");
      stage.shown = [low, high];
      paint(stage.values, low, high, scale.table, stage.pixels);
      return true;
    }

    values(run, s, state, out) {
      const key = painted(state);
      if (key === "order") return run.orderInto(s, out);
      if (key === "confidence") return run.confidenceInto(s, out);
      if (key === "contrast") return run.contrastInto(s, out);
      if (key === "object") return run.wordsInto(s, this.model.subjects[state.object].object, out);
      return run.wordsInto(s, [state.word], out);
    }

    range(values, layer) {
      let low = Infinity, high = -Infinity;
      for (const v of values) {
        if (v !== v) continue;
        if (v < low) low = v;
        if (v > high) high = v;
      }
      if (!(high >= low)) return [0, 1];
      if (layer === "contrast" || layer === "difference") {
        const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
        return [-most, most];
      }
      if (layer !== "confidence") low = 0;
      return high > low ? [low, high] : [low - 1, high];
    }

    // Every cell in the colour of the object it attends to most, the stronger the more opaque.
    allObjects(stage, s, scale, state) {
      const { subjects, cells } = this.model;
      const count = subjects.length;
      if (!stage.maps || stage.maps.length !== count) stage.maps = subjects.map(() => new Float32Array(cells));
      subjects.forEach((subject, o) => stage.run.wordsInto(s, subject.object, stage.maps[o]));
      let high = scale.high;
      if (!state.locked) {
        high = 0;
        for (const map of stage.maps) for (const v of map) if (v > high) high = v;
      }
      stage.shown = [0, high];
      for (let i = 0; i < cells; i++) {
        let best = 0, most = -1;
        for (let o = 0; o < count; o++) if (stage.maps[o][i] > most) { most = stage.maps[o][i]; best = o; }
        const [r, g, b] = this.rgb[best];
        stage.pixels[i] = pack(r, g, b, Math.round(255 * Math.min(1, most / (high || 1))));
      }
    }

    gradient(state) {
      if (state.layer === "difference" && state.of === "picture") return "linear-gradient(to right, #000, #fff)";
      const scale = this.scale(state);
      return scale && scale.table ? parts.colors.gradient(scale.table) : "";
    }
  }

  parts.layers = { LAYERS, COMPARED, Painter, painted };
})((window.UncagePlayerParts = window.UncagePlayerParts || {}));

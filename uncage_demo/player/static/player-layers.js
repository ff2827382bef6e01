// Layers: what a stage can show. The table is the one place that knows them; buttons, fields, legends and painting read it.
//
// An entry: key (also of its scale in the payload), name, about;
//   available(model)                   whether these runs have it;
//   scale(painter, state)              {low, high, table, unit, digits, ...} of its numbers; null where it is a picture;
//   values(run, s, state, out, model)  its number of every cell at step s, NaN where there is none (a word that a run's prompt lacks);
//   compared                           what the difference layer calls it, where runs can be compared in it;
//   zero                               "free" (a scale of its own range), "low" (from 0) or "middle" (0 in the middle).
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { pack, parseHex, paint } = parts.colors;

  const ofScale = (painter, key, table, unit, digits) => {
    const [low, high] = painter.model.scales[key];
    return { low, high, table, unit, digits };
  };
  const everyRun = (model) => model.runs.every((run) => run.frames);

  const LAYERS = [
    {
      key: "picture", name: "Picture", compared: "picture",
      about: "Decided cells show their picture; the others are still masked.",
      available: () => true, scale: () => null,
    },
    {
      key: "guess", name: "Guess",
      about: "What the model would put in every cell at this step, decided or not.",
      available: () => true, scale: () => null,
    },
    {
      key: "order", name: "Order", compared: "order", zero: "low", fixed: true,
      about: "The step at which each cell was committed.",
      available: () => true,
      scale: (painter) => ({ ...ofScale(painter, "order", painter.tables.order, "step", 0), offset: 1 }),
      values: (run, s, state, out) => run.orderInto(s, out),
    },
    {
      key: "confidence", name: "Confidence", compared: "confidence", zero: "free",
      about: "Log-probability of the token drawn for each cell that is still open in this step.",
      available: () => true,
      scale: (painter) => ofScale(painter, "confidence", painter.tables.sequential, "log-probability", 2),
      values: (run, s, state, out) => run.candidatesInto(s, out, "confidence"),
    },
    {
      key: "object", name: "Objects", compared: "object", zero: "low",
      about: "How much each cell attends to the word of an object.",
      available: (model) => model.hasAttention && model.subjects.length > 0,
      scale: (painter, state) => {
        const one = painter.model.subjects[state.object];
        const unit = one ? `attention to “${one.label}”` : "attention, strongest object";
        return ofScale(painter, "object", one ? painter.ramps[state.object] : null, unit, 3);
      },
      values: (run, s, state, out, model) => (run.objects.includes(state.object) ? run.wordsInto(s, model.subjects[state.object].object, out) : out.fill(NaN)),
    },
    {
      key: "word", name: "Word", compared: "word", zero: "low",
      about: "How much each cell attends to the chosen word.",
      available: (model) => model.hasAttention,
      scale: (painter, state) => {
        const word = painter.model.words[state.word];
        if (!word) return null;
        return ofScale(painter, word.mark ? "mark" : "word", painter.rampOf(state.word), `attention to ${word.mark ? `the ${word.text}` : `“${word.text}”`}`, 3);
      },
      values: (run, s, state, out) => (run.says(state.word) ? run.wordsInto(s, [state.word], out) : out.fill(NaN)),
    },
    {
      key: "contrast", name: "Contrast", compared: "contrast", zero: "middle",
      about: "Contrast score of each open cell: its own object's words against all other objects' words.",
      available: (model) => model.hasContrast,
      scale: (painter) => ofScale(painter, "contrast", painter.tables.diverging, "contrast", 2),
      values: (run, s, state, out) => run.candidatesInto(s, out, "contrast"),
    },
    {
      key: "difference", name: "Difference", zero: "middle",
      about: "How far the picture is from that of run A at the same step, channel by channel; black means equal.",
      aboutMaps: "This run’s map minus run A’s at the same step: orange is more than in A, purple is less.",
      available: (model) => model.runs.length > 1 && LAYERS.some((layer) => comparable(layer, model)),
      scale: (painter, state) => painter.differenceScale(state),
    },
  ];

  const BY_KEY = new Map(LAYERS.map((layer) => [layer.key, layer]));

  // Whether runs can be compared in a layer: pictures where every run has them, maps where there are any.
  function comparable(layer, model) {
    return Boolean(layer.compared) && (layer.values ? layer.available(model) : everyRun(model));
  }

  // The layer whose numbers a stage paints: the chosen one, or the one whose difference is chosen.
  function painted(state) {
    return state.layer === "difference" ? state.of : state.layer;
  }

  class Painter {
    constructor(model) {
      this.model = model;
      this.tables = Object.fromEntries(Object.entries(model.tables).map(([k, v]) => [k, parts.colors.tableOf(v)]));
      this.ramps = model.subjects.map((subject) => parts.colors.tableOf(subject.ramp));
      this.rgb = model.subjects.map((subject) => parseHex(subject.color));
      this.most = new Map();
    }

    available(key) {
      const layer = BY_KEY.get(key);
      return Boolean(layer) && layer.available(this.model);
    }

    comparable(key) {
      const layer = BY_KEY.get(key);
      return Boolean(layer) && comparable(layer, this.model);
    }

    // The layers that the difference layer offers.
    compared() {
      return LAYERS.filter((layer) => comparable(layer, this.model));
    }

    // A word is painted in its object's colours, another word in neutral ones.
    rampOf(word) {
      const { subject } = this.model.words[word];
      return subject >= 0 ? this.ramps[subject] : this.tables.sequential;
    }

    // {low, high, table, unit, digits} of what is painted, or null where colours are not numbers.
    scale(state) {
      return BY_KEY.get(state.layer).scale(this, state);
    }

    differenceScale(state) {
      const plain = BY_KEY.get(state.of).scale(this, state);
      if (!plain) return null;
      const most = this.mostDifferent(state);
      const who = this.model.runs.length === 2 ? "B − A" : "run − A";
      const later = state.of === "order" ? "s later" : "";
      return { low: -most, high: most, table: this.tables.diverging, unit: `${plain.unit}${later}, ${who}`, digits: plain.digits };
    }

    // The largest difference to run A over all runs and steps, so that one scale serves them all.
    mostDifferent(state) {
      const key = [state.of, state.object, state.word].join(" ");
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

    values(run, s, state, out) {
      return BY_KEY.get(painted(state)).values(run, s, state, out, this.model);
    }

    // A function (stage, s) that fills the stage's pixels, or null for layers that are pictures.
    painter(state) {
      const scale = this.scale(state);
      if (!scale) return null;
      const layer = BY_KEY.get(state.layer);
      if (state.layer === "difference") return (stage, s) => this.paintDifference(stage, s, scale, state);
      if (!scale.table) return (stage, s) => this.allObjects(stage, s, scale, state);
      return (stage, s) => {
        this.values(stage.run, s, state, stage.values);
        this.paintValues(stage, scale, state.locked || layer.fixed, layer.zero);
      };
    }

    paintValues(stage, scale, locked, zero) {
      const [low, high] = locked ? [scale.low, scale.high] : range(stage.values, zero);
      stage.shown = [low, high];
      paint(stage.values, low, high, scale.table, stage.pixels);
    }

    // False for run A itself: it is what the others are compared with.
    paintDifference(stage, s, scale, state) {
      if (stage.run === this.model.runs[0]) {
        stage.shown = [NaN, NaN];
        return false;
      }
      if (!stage.other) stage.other = new Float32Array(this.model.cells);
      this.difference(stage.run, stage.run.firstStep + s, state, stage.values, stage.other);
      this.paintValues(stage, scale, state.locked, "middle");
      return true;
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

    about(state) {
      const layer = BY_KEY.get(state.layer);
      return layer.aboutMaps && state.of !== "picture" ? layer.aboutMaps : layer.about;
    }

    gradient(state) {
      if (state.layer === "difference" && state.of === "picture") return "linear-gradient(to right, #000, #fff)";
      const scale = this.scale(state);
      return scale && scale.table ? parts.colors.gradient(scale.table) : "";
    }
  }

  // The scale of one map by itself.
  function range(values, zero) {
    let low = Infinity, high = -Infinity;
    for (const v of values) {
      if (v !== v) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
    if (!(high >= low)) return [0, 1];
    if (zero === "middle") {
      const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
      return [-most, most];
    }
    if (zero === "low") low = 0;
    return high > low ? [low, high] : [low - 1, high];
  }

  parts.layers = { LAYERS, Painter, painted, range };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

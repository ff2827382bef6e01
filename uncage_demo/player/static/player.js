// The player: one state, one clock, any number of stages. UncagePlayer.mount(root, payload, options) -> instance.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { LAYERS, Painter, painted } = parts.layers;

  const START = {
    step: 0, playing: false, speed: 1, layer: "picture", of: "picture", object: -1, word: -1, cover: 100, blend: 82, locked: true,
    pin: -1, hover: -1, boxes: false, region: null, selecting: false, touched: 0, whatIf: null,
  };
  const SHEET_PX = 620; // as in the style sheet
  const LEAST_PX = 160, MARGIN_PX = 20; // the smallest side of a stage; what stays free around the clock
  const SLIDE_PX = 44; // and more of it around caption and keys in presenter mode
  const VERDICT_PX = 32; // a verdict of one line
  const LINE_PX = 30; // the first line of the legend: the scale of a map
  const WIDE_PX = 400, LEAST_SHARE = 0.5; // less room than this share of a stage's width is none
  const SHORT = 0.52; // stages of this share of the window stay in view as they are while "What if" is used
  const PRELOAD_MS = 8; // of unpacking pictures in one piece
  const FIRST_SCREEN = 0.75; // a player that begins below this share of the window is scrolled to
  const SHARED = ["step", "speed", "layer", "of", "object", "word", "cover", "blend", "locked", "pin", "boxes", "region", "touched"];

  class Player {
    constructor(root, payload, options) {
      this.options = options || {};
      this.root = root;
      // The skeleton is fixed markup shipped with this script; nothing of a payload is ever parsed as markup.
      if (!root.querySelector("[data-up=root]")) root.innerHTML = parts.skeleton;
      this.hook = {};
      for (const node of root.querySelectorAll("[data-up]")) this.hook[node.dataset.up] = node;
      this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.state = { ...START };
      this.pictures = new parts.stage.Pictures(() => this.redraw());
      this.clock = new parts.clock.Clock(this);
      this.words = new parts.words.Words(this);
      this.findings = new parts.words.Findings(this);
      this.inspector = new parts.cards.Inspector(this);
      this.binding = new parts.binding.Binding(this);
      this.curves = new parts.curves.Curves(this);
      this.heads = new parts.heads.Heads(this);
      this.region = new parts.region.Region(this);
      this.brush = new parts.edit.Brush(this);
      this.notes = new parts.notes.Notes(this);
      this.changed = new Set();
      this.cleanups = [];
      this.legend = new parts.legend.Legend(this);
      this.present = new parts.present.Present(this);
      this.model = payload.payload ? payload : parts.data.parse(payload);
      this.painter = new Painter(this.model);
      const { state, autoplay, held } = this.options;
      const still = this.model.done < this.model.steps || (autoplay && this.calm);
      Object.assign(this.state, still ? { step: this.model.done - 1 } : {}, this.pickState(state));
      this.watchTheme();
      this.wire();
      this.repair();
      this.observer = new ResizeObserver(() => this.resized());
      this.build();
      if (!held) this.begin();
    }

    // To lay the player out for the first time takes as long as to build it, so a page that is busy asks for it in a piece of its own.
    begin() {
      if (this.gone) return;
      this.begun = true;
      this.used = false;
      this.resized();
      this.setState({}, ["model", ...Object.keys(this.state)]);
      this.observer.observe(this.hook.root);
      for (const stage of this.stages) this.observer.observe(stage.canvas);
      this.observer.observe(document.body); // what stands above the player may grow or go
      // Whoever asked for little motion sees the finished picture instead of a grid of masks.
      if (this.options.autoplay && !this.calm) this.clock.start();
    }

    // --- data ---
    // Settings that this payload does not have fall back to ones it has.
    repair() {
      const { state, model } = this;
      const whole = (v, low, high, other) => (Number.isInteger(v) && v >= low && v <= high ? v : other);
      state.step = whole(state.step, 0, model.done - 1, Math.max(0, Math.min(model.done - 1, Number(state.step) || 0)));
      state.object = whole(state.object, 0, model.subjects.length - 1, -1);
      state.word = whole(state.word, 0, model.words.length - 1, -1);
      state.pin = whole(state.pin, 0, model.cells - 1, -1);
      if (!LAYERS.some((l) => l.key === state.layer) || !this.painter.available(state.layer)) state.layer = "picture";
      if (!this.painter.comparable(state.of)) state.of = (this.painter.compared()[0] || LAYERS[0]).key;
      this.choose();
      state.boxes = state.boxes === true;
      state.touched = whole(state.touched, 0, model.runs.length - 1, 0);
      const [rows, columns] = model.grid;
      const inside = Array.isArray(state.region) && state.region.length === 4 && state.region.every((v, k) => Number.isInteger(v) && v >= 0 && v < (k % 2 ? columns : rows));
      if (!inside || state.region[0] > state.region[2] || state.region[1] > state.region[3]) state.region = null;
      if (!parts.clock.SPEEDS.includes(state.speed)) state.speed = 1;
    }

    // A map of one word or one object needs one to be chosen.
    choose() {
      const { state } = this;
      if (painted(state) === "word" && state.word < 0) state.word = this.firstWord();
      if (state.layer === "difference" && state.of === "object" && state.object < 0) state.object = 0;
    }

    firstWord() {
      const { model } = this;
      const subject = model.subjects.find((s) => this.heard(s.object[0]));
      return subject ? subject.object[0] : model.words.findIndex((_, i) => this.heard(i));
    }

    // Whether any run has a map of a word.
    heard(word) {
      return this.model.runs.some((run) => run.hasWord(word));
    }

    pickState(given) {
      return Object.fromEntries(Object.entries(given || {}).filter(([k]) => SHARED.includes(k)));
    }

    setStep(step) {
      this.clock.go(step);
    }

    setState(patch, also) {
      for (const [key, value] of Object.entries(patch)) {
        if (this.state[key] === value) continue;
        this.state[key] = value;
        this.changed.add(key);
      }
      for (const key of also || []) this.changed.add(key);
      if (["layer", "of", "object", "word"].some((k) => this.changed.has(k))) this.choose();
      if (this.begun && this.changed.size && !this.frame) this.frame = requestAnimationFrame(() => this.render());
    }

    emit(name, detail) {
      const handler = this.options.onEvent;
      if (handler) handler(name, detail);
      this.root.dispatchEvent(new CustomEvent(`uncage-${name}`, { detail, bubbles: true }));
    }

    // --- building what a payload needs ---
    build() {
      const { hook, model } = this;
      hook.note.hidden = !model.truncated;
      hook.note.textContent = model.truncated ? `Too long for this model; it did not read “${model.truncated}”.` : "";
      hook.root.classList.toggle("up-is-grid", model.grid_view);
      this.words.build();
      this.legend.build();
      this.buildStages();
      this.findings.build();
      this.notes.build();
      this.inspector.build();
      this.binding.build();
      this.curves.build();
      this.heads.build();
      this.brush.build();
      this.clock.drawForks();
      this.preload();
    }

    buildStages() {
      const { model, hook } = this;
      hook.stages.replaceChildren();
      hook.stages.style.setProperty("--count", String(model.runs.length));
      hook.stages.style.setProperty("--up-shape", String(model.grid[1] / model.grid[0]));
      hook.stages.dataset.count = String(model.runs.length);
      hook.body.classList.toggle("up-wide", model.runs.length > 2);
      this.stages = parts.arrange.stages(this, hook.stages);
    }

    // Pictures of steps that were still to be drawn when the runs were mounted: payload runs, by their ids.
    givePictures(runs) {
      for (const run of this.model.runs) {
        const given = runs.find((one) => one.id === run.raw.id);
        if (given) run.frames = given.frames;
      }
      this.legend.build();
      this.preload();
      this.setState({}, ["layer", "pictures"]);
    }

    // All pictures are asked for, those near the clock first, a few at a time: the page answers in between.
    preload() {
      const { model, state } = this;
      const wanted = new Set();
      const order = Array.from({ length: model.done }, (_, i) => i).sort((a, b) => Number(a < state.step) - Number(b < state.step) || a - b);
      for (const run of model.runs) if (run.image) wanted.add(run.image);
      for (const step of order) for (const run of model.runs) if (run.frames) wanted.add(run.frames[run.local(step)]);
      if (model.atlas) wanted.add(model.atlas.image);
      this.pictures.keep(wanted);
      const queue = [...wanted];
      const some = () => {
        const began = performance.now();
        while (queue.length && performance.now() - began < PRELOAD_MS) this.pictures.get(queue.shift());
        if (queue.length) this.later = setTimeout(some, 0);
      };
      clearTimeout(this.later);
      some();
    }

    // --- showing ---
    redraw() {
      this.setState({}, ["pictures"]);
    }

    view() {
      const { state, model } = this;
      return {
        step: state.step, layer: state.layer, blend: (state.layer === "picture" ? state.cover : state.blend) / 100, paint: this.paint,
        reference: model.runs[0], region: state.region, hover: state.hover, pin: state.pin, boxes: state.boxes,
        whatIf: state.whatIf ? (run, s) => this.inspector.picked(run, s) : null, theme: this.theme, atlas: this.atlas(),
        notes: (run) => this.notes.cellsWith(run),
      };
    }

    atlas() {
      const { atlas } = this.model;
      if (!atlas) return null;
      const bitmap = this.pictures.get(atlas.image);
      if (!bitmap) return null;
      if (!atlas.index) Object.defineProperty(atlas, "index", { value: new Map(atlas.ids.map((id, k) => [id, k])) });
      return {
        bitmap,
        place: (id) => {
          const k = atlas.index.get(id);
          return k === undefined ? null : { x: (k % atlas.columns) * atlas.tile, y: Math.floor(k / atlas.columns) * atlas.tile, size: atlas.tile };
        },
      };
    }

    render() {
      this.frame = 0;
      const { state, changed, hook } = this;
      this.changed = new Set();
      const started = performance.now();
      const look = ["layer", "of", "object", "word", "locked", "model", "theme"].some((k) => changed.has(k));
      if (look) this.paint = this.painter.painter(state);
      if (changed.has("theme") || changed.has("model") || changed.has("size")) this.clock.drawBars();
      const view = this.view();
      for (const stage of this.stages) {
        stage.resize();
        stage.draw(view);
        this.brush.draw(stage);
      }
      this.clock.update(changed);
      this.words.update(changed);
      if (changed.has("step") || changed.has("model")) parts.words.tellEarly(this);
      this.legend.update(changed);
      this.inspector.update(changed);
      this.binding.update(changed);
      this.curves.update(changed);
      this.heads.update(changed);
      this.region.update(changed);
      this.notes.update(changed);
      this.present.update(changed);
      this.brush.update(changed);
      if (changed.has("step") || changed.has("playing")) this.announce();
      if (SHARED.some((k) => changed.has(k)) && !state.playing) this.emit("state", this.pickState(state));
      this.lastFrameMs = performance.now() - started;
      hook.root.dataset.step = String(state.step);
    }

    announce() {
      const { state, model } = this;
      if (state.playing) return;
      this.say(parts.phrases.announced(model, state.step));
    }

    // Into the live region, for those who listen.
    say(words) {
      if (this.hook.live.textContent !== words) this.hook.live.textContent = words;
    }

    // On a phone the answer to a tap is a sheet at the bottom; the stages go to the top so that both are seen.
    toSheet() {
      if (this.state.pin < 0 || this.hook.root.clientWidth > SHEET_PX) return;
      this.hook.stages.scrollIntoView({ block: "start", behavior: this.calm ? "auto" : "smooth" });
    }

    // Where the player begins on its page, for the size of its pictures. Once somebody uses the page, what comes to stand above it (a
    // notice) moves the pictures and leaves them their size; a window of another size lays everything out anew.
    begins(top) {
      const shape = `${window.innerWidth} ${window.innerHeight}`;
      if (shape !== this.shape) this.used = false;
      if (!this.used || top < this.top) this.top = top;
      this.shape = shape;
      return this.top;
    }

    // Stages grow with the window as far as they, what is said below them and the clock fit on one screen: the page's first one, or one of
    // their own where the player begins further down.
    resized() {
      const { root, stages, clock, caption, legend } = this.hook;
      if (!stages.clientWidth) return; // out of sight: whoever shows it again is told
      if (root.classList.contains("up-asks")) return this.setState({}, ["size"]); // the stages are not where they belong
      const { canvas } = this.stages[0];
      const top = (node) => node.getBoundingClientRect().top;
      const bottom = (node) => node.getBoundingClientRect().bottom;
      const first = this.begins(top(root) + window.scrollY) + top(canvas) - top(root);
      const said = this.model.grid_view ? 0 : Math.max(...this.stages.map((stage) => bottom(stage.box.querySelector(".up-verdict") || stage.canvas) - bottom(stage.canvas)));
      const below = said + (this.present.on ? caption.offsetHeight + legend.offsetHeight + this.present.help.offsetHeight + SLIDE_PX : LINE_PX);
      const roomUnder = (above, words = below) => window.innerHeight - above - clock.offsetHeight - words - MARGIN_PX;
      const wide = Math.min(WIDE_PX, stages.clientWidth / Math.min(this.stages.length, 3));
      // By the shortest verdict: smaller pictures break it into more lines, and a decision by those would undo itself.
      const cramped = roomUnder(first, Math.min(below, VERDICT_PX)) < wide * LEAST_SHARE;
      const further = !this.present.on && (cramped || first >= window.innerHeight * FIRST_SCREEN);
      root.classList.toggle("up-further-down", further);
      const room = roomUnder(this.present.on ? top(canvas) : further ? top(canvas) - top(stages) : first);
      const side = `${Math.max(LEAST_PX, Math.round(further && cramped ? Math.min(room, WIDE_PX) : room))}px`;
      // On the stages, whose alone it is: what inherits it is styled anew, and all of the player would be 500 nodes.
      if (stages.style.getPropertyValue("--up-room") !== side) stages.style.setProperty("--up-room", side);
      stages.classList.toggle("up-short", stages.offsetHeight <= window.innerHeight * SHORT);
      const size = [side, root.clientWidth, this.hook.forks.clientWidth, ...this.stages.flatMap(({ canvas: one }) => [one.clientWidth, one.clientHeight])].join();
      if (size === this.size) return; // whoever watches is told once more, without a change
      this.size = size;
      this.setState({}, ["size"]);
    }

    // --- theme: data-theme on the root or above wins, then a "dark" class (Gradio), then the system ---
    watchTheme() {
      const system = matchMedia("(prefers-color-scheme: dark)");
      const read = () => {
        const named = this.root.closest("[data-theme]");
        const dark = named ? named.dataset.theme === "dark" : this.root.closest(".dark") ? true : document.querySelector(".gradio-container") ? false : system.matches;
        this.hook.root.dataset.upTheme = dark ? "dark" : "light";
        this.theme = parts.colors.themeOf(this.hook.root);
        this.setState({}, ["theme"]);
      };
      system.addEventListener("change", read);
      const watcher = new MutationObserver(read);
      for (let node = this.root; node; node = node.parentElement) watcher.observe(node, { attributes: true, attributeFilter: ["data-theme", "class"] });
      this.cleanups.push(() => system.removeEventListener("change", read), () => watcher.disconnect());
      read();
    }

    wire() {
      parts.arrange.wire(this);
      this.legend.wire();
      const use = () => (this.used = true);
      for (const kind of ["pointerdown", "keydown"]) {
        document.addEventListener(kind, use, true);
        this.cleanups.push(() => document.removeEventListener(kind, use, true));
      }
    }

    destroy() {
      this.gone = true;
      this.clock.stop();
      cancelAnimationFrame(this.frame);
      clearTimeout(this.later);
      this.observer.disconnect();
      for (const clean of this.cleanups) clean();
      this.root.replaceChildren();
    }
  }

  window.UncagePlayer = {
    layers: LAYERS.map((l) => l.key),
    // What mount takes as well as a payload: to read one and to build the player are then two pieces of work.
    read: (payload) => parts.data.parse(payload),
    mount(root, payload, options) {
      const player = new Player(root, payload, options);
      return {
        setStep: (step) => player.setStep(step),
        setState: (state) => { Object.assign(player.state, player.pickState(state)); player.repair(); player.setState({}, Object.keys(player.state)); },
        play: () => player.clock.start(),
        pause: () => player.clock.stop(),
        get state() { return { ...player.state }; },
        get frameMs() { return player.lastFrameMs; },
        destroy: () => player.destroy(),
        player,
      };
    },
  };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

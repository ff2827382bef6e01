// The bar of layers, and below the stages what the chosen one shows: its fields, its scale, its colours.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const { number } = parts.phrases;
  const { LAYERS, painted } = parts.layers;

  // What the legend tells of; the scale of single maps follows every change.
  const SHOWN = ["layer", "of", "object", "word", "locked", "model", "theme", "boxes", "blend", "cover"];

  class Legend {
    constructor(player) {
      this.player = player;
    }

    build() {
      this.buildLayers();
      this.buildSelects();
    }

    buildLayers() {
      const { player } = this;
      const { hook } = player;
      hook.layers.replaceChildren();
      this.buttons = LAYERS.filter((l) => player.painter.available(l.key)).map((layer) => {
        const node = button("up-layer", layer.name, () => player.setState({ layer: layer.key }));
        node.setAttribute("role", "radio");
        node.dataset.layer = layer.key;
        hook.layers.append(node);
        return node;
      });
    }

    buildSelects() {
      const { player } = this;
      const { model, hook } = player;
      hook.of.replaceChildren();
      for (const { key, compared } of player.painter.compared()) hook.of.append(new Option(compared, key));
      hook.object.replaceChildren();
      hook.object.append(new Option("All objects", "-1"));
      model.subjects.forEach((s, i) => hook.object.append(new Option(s.label, String(i))));
      hook.word.replaceChildren();
      model.words.forEach((w, i) => player.heard(i) && hook.word.append(new Option(w.text, String(i))));
    }

    update(changed) {
      if (SHOWN.some((k) => changed.has(k))) this.show();
      else if (!this.player.state.locked) this.showScale();
    }

    show() {
      const { player } = this;
      const { state, hook, model, painter } = player;
      for (const node of this.buttons) {
        const on = node.dataset.layer === state.layer;
        node.setAttribute("aria-checked", String(on));
        node.tabIndex = on ? 0 : -1;
        if (on) this.reveal(node);
      }
      const compared = state.layer === "difference" && state.of !== "picture";
      const judged = model.grid_view && model.runs.some((run) => run.raw.verdict); // single stages say it themselves
      hook.about.textContent = painter.about(state) + (judged ? " The detector judges the finished pictures." : "");
      hook.ofField.hidden = state.layer !== "difference";
      hook.of.value = state.of;
      hook.objectField.hidden = painted(state) !== "object";
      hook.wordField.hidden = painted(state) !== "word";
      hook.object.options[0].disabled = compared;
      hook.object.value = String(state.object);
      hook.word.value = String(state.word);
      const scale = painter.scale(state);
      const picture = state.layer === "picture";
      hook.blendField.hidden = !picture && !scale;
      hook.blendName.textContent = picture ? "Mask opacity" : "Blend";
      hook.blend.value = String(picture ? state.cover : state.blend);
      hook.blend.setAttribute("aria-label", picture ? "How opaque the masked cells are" : "How much of the map lies over the picture");
      hook.boxesField.hidden = !model.runs.some((run) => (run.raw.verdict && run.raw.verdict.detections.length) || (run.raw.origin && run.raw.origin.regions.length));
      hook.boxes.checked = state.boxes;
      hook.lockField.hidden = !scale || state.layer === "order";
      hook.keys.hidden = Boolean(scale) || state.layer === "difference";
      hook.maskedKey.hidden = !picture;
      hook.lock.checked = state.locked;
      hook.lockName.textContent = model.runs.length > 1 ? "one scale for all stages and steps" : "one scale for all steps";
      this.showScale();
    }

    // The bar of layers scrolls sideways on a phone; scrollIntoView would move the page as well.
    reveal(node) {
      const bar = this.player.hook.layers;
      if (bar.scrollWidth > bar.clientWidth) bar.scrollLeft = node.offsetLeft - bar.offsetLeft - (bar.clientWidth - node.offsetWidth) / 2;
    }

    showScale() {
      const { player } = this;
      const { state, hook, model, painter } = player;
      const scale = painter.scale(state);
      const difference = state.layer === "difference" && state.of === "picture";
      hook.scale.hidden = !scale && !difference;
      if (hook.scale.hidden) return;
      const locked = state.locked || difference || state.layer === "order";
      const [low, high] = difference ? [0, 255] : [scale.low + (scale.offset || 0), scale.high + (scale.offset || 0)];
      const digits = difference ? 0 : scale.digits;
      const painting = player.stages.slice(0, 6).filter((stage) => !(state.layer === "difference" && stage.run === model.runs[0]));
      const own = (k) => painting.map((stage) => `${stage.run.letter} ${number(stage.shown ? stage.shown[k] : NaN, digits)}`).join("  ");
      hook.low.textContent = locked ? number(low, digits) : own(0);
      hook.high.textContent = locked ? number(high, digits) : own(1);
      const same = difference || state.layer === "order" ? "" : locked ? "" : ", each map on its own scale: not comparable";
      hook.unit.textContent = (difference ? "difference of channel values" : scale.unit) + same;
      hook.scale.classList.toggle("up-per-map", !locked);
      const ramp = painter.gradient(state);
      hook.ramp.classList.toggle("up-ramp-objects", !ramp);
      hook.ramp.style.backgroundImage = ramp;
      hook.ramp.setAttribute("aria-label", `Colour scale from ${hook.low.textContent} to ${hook.high.textContent}, ${hook.unit.textContent}`);
      if (!ramp && this.rampOf !== model) {
        hook.ramp.replaceChildren();
        for (const s of model.subjects) {
          const band = make("span", "up-band");
          band.style.backgroundImage = `linear-gradient(to right, transparent, ${s.color})`;
          hook.ramp.append(band);
        }
        this.rampOf = model;
      }
    }

    wire() {
      const { player } = this;
      const { hook } = player;
      hook.of.addEventListener("change", () => player.setState({ of: hook.of.value }));
      hook.object.addEventListener("change", () => player.setState({ object: Number(hook.object.value) }));
      hook.word.addEventListener("change", () => player.setState({ word: Number(hook.word.value) }));
      hook.boxes.addEventListener("change", () => player.setState({ boxes: hook.boxes.checked }));
      hook.lock.addEventListener("change", () => player.setState({ locked: hook.lock.checked }));
      hook.blend.addEventListener("input", () => {
        player.setState({ [player.state.layer === "picture" ? "cover" : "blend"]: Number(hook.blend.value) });
      });
      hook.layers.addEventListener("keydown", (event) => {
        const turn = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (!turn) return;
        this.turn(turn).focus();
        event.preventDefault();
        event.stopPropagation();
      });
    }

    // The keys of the layers on offer, in their order.
    get keys() {
      return this.buttons.map((node) => node.dataset.layer);
    }

    // To the layer so many places further, round and round; its button.
    turn(by) {
      const { keys, player } = this;
      const next = (keys.indexOf(player.state.layer) + by + keys.length) % keys.length;
      player.setState({ layer: keys[next] });
      return this.buttons[next];
    }
  }

  parts.legend = { Legend };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

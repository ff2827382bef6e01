// The clock: play, pause, step, replay, speed, and the timeline with the commits of every step and the first difference.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const SPEEDS = [0.25, 0.5, 1, 2, 4];
  const WHOLE_RUN_S = 8; // at speed 1
  const PAGES = 6; // so many times Page Up is a whole run

  // Icons as paths in a 24 x 24 box.
  const ICONS = {
    play: "M8 5.2v13.6L19 12z",
    pause: "M7 5h3.6v14H7zM13.4 5H17v14h-3.6z",
    back: "M15.5 5.5v13L7.2 12zM5 5.5h1.8v13H5z",
    forward: "M8.5 5.5v13l8.3-6.5zM17.2 5.5H19v13h-1.8z",
    dice: "M5 3h14a2 2 0 0 1 2 2v14a2 2 0 0 1-2 2H5a2 2 0 0 1-2-2V5a2 2 0 0 1 2-2zm0 2v14h14V5zM7 7h3v3H7zm3.5 3.5h3v3h-3zM14 14h3v3h-3z",
    present: "M4 4h6v2H6v4H4zM14 4h6v6h-2V6h-4zM4 14h2v4h4v2H4zM18 14h2v6h-6v-2h4z",
    replay: "M12 5V1.8L7 6l5 4.2V7a5.5 5.5 0 1 1-5.5 5.5h-2A7.5 7.5 0 1 0 12 5z",
  };

  function icon(name) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", "0 0 24 24");
    svg.setAttribute("aria-hidden", "true");
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", ICONS[name]);
    svg.append(path);
    return svg;
  }

  const FLAG_PX = 14; // of a flag beside its words: pole, padding, and what stays free

  class Clock {
    constructor(player) {
      this.player = player;
      const { hook } = player;
      this.position = 0;
      this.frame = 0;
      for (const name of ["back", "forward", "replay"]) hook[name].append(icon(name));
      hook.play.append(icon("play"));
      hook.play.addEventListener("click", () => this.toggle());
      hook.back.addEventListener("click", () => this.go(player.state.step - 1));
      hook.forward.addEventListener("click", () => this.go(player.state.step + 1));
      hook.replay.addEventListener("click", () => this.replay());
      hook.speed.addEventListener("click", () => this.faster());
      const line = hook.timeline;
      line.addEventListener("pointerdown", (event) => {
        line.setPointerCapture(event.pointerId);
        this.dragging = true;
        this.go(this.stepAt(event));
      });
      parts.dom.ownStrokes(line, () => this.dragging);
      line.addEventListener("pointermove", (event) => this.dragging && this.go(this.stepAt(event)));
      for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) line.addEventListener(name, () => (this.dragging = false));
      line.addEventListener("keydown", (event) => this.keyed(event));
    }

    // A slider's own keys; the others work in all of the player (player-arrange.js).
    keyed(event) {
      const { state, model } = this.player;
      const page = Math.max(2, Math.round(model.steps / PAGES));
      const by = { ArrowUp: 1, ArrowDown: -1, PageUp: page, PageDown: -page }[event.key];
      if (!by || event.altKey || event.ctrlKey || event.metaKey) return;
      this.go(state.step + by);
      event.preventDefault();
      event.stopPropagation();
    }

    stepAt(event) {
      const box = this.player.hook.timeline.getBoundingClientRect();
      const share = (event.clientX - box.left) / box.width;
      return Math.floor(share * this.player.model.steps);
    }

    last() {
      return this.player.model.done - 1;
    }

    // Any step chosen by hand stops playing.
    go(step) {
      this.stop();
      this.player.setState({ step: Math.max(0, Math.min(this.last(), Math.round(step))) });
    }

    toggle() {
      if (this.player.state.playing) this.stop();
      else this.start();
    }

    start() {
      const { player } = this;
      if (player.state.step >= this.last()) player.setState({ step: 0 });
      this.position = player.state.step;
      this.then = 0;
      player.setState({ playing: true });
      cancelAnimationFrame(this.frame);
      this.frame = requestAnimationFrame((now) => this.tick(now));
    }

    stop() {
      cancelAnimationFrame(this.frame);
      if (this.player.state.playing) this.player.setState({ playing: false });
    }

    replay() {
      this.player.setState({ step: 0 });
      this.start();
    }

    faster() {
      const next = (SPEEDS.indexOf(this.player.state.speed) + 1) % SPEEDS.length;
      this.player.setState({ speed: SPEEDS[next] });
    }

    turn(by) {
      const next = Math.max(0, Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.player.state.speed) + by));
      this.player.setState({ speed: SPEEDS[next] });
    }

    tick(now) {
      const { player } = this;
      if (!player.state.playing) return;
      const passed = this.then ? Math.min(0.25, (now - this.then) / 1000) : 0;
      this.then = now;
      this.position += (passed * player.state.speed * player.model.steps) / WHOLE_RUN_S;
      if (this.position >= this.last()) {
        player.setState({ step: this.last() });
        this.stop();
        return;
      }
      if (Math.floor(this.position) !== player.state.step) player.setState({ step: Math.floor(this.position) });
      this.frame = requestAnimationFrame((later) => this.tick(later));
    }

    // Commits per step as bars: run A, or the mean of many runs; drawn once for each size and theme.
    drawBars() {
      const { hook, model, theme } = this.player;
      const width = hook.timeline.clientWidth, height = hook.timeline.clientHeight;
      if (!width) return;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const counts = new Float32Array(model.steps);
      const runs = model.runs.length > 2 ? model.runs : model.runs.slice(0, 1);
      for (const run of runs) for (let s = 0; s < run.steps; s++) counts[run.firstStep + s] += run.counts[s] / runs.length;
      const most = Math.max(1, ...counts);
      for (const [canvas, color] of [[hook.bars, theme.bar], [hook.played, theme.accent]]) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
        const c = canvas.getContext("2d");
        c.fillStyle = color;
        const step = canvas.width / model.steps;
        const gap = Math.min(2 * ratio, step * 0.25);
        for (let s = 0; s < model.steps; s++) {
          const bar = s < model.done ? Math.max(3 * ratio, (counts[s] / most) * (canvas.height - 2 * ratio)) : 2 * ratio;
          c.globalAlpha = s < model.done ? 1 : 0.5;
          c.beginPath();
          c.roundRect(s * step + gap / 2, canvas.height - bar, step - gap, bar, Math.min(3 * ratio, (step - gap) / 2));
          c.fill();
        }
      }
    }

    // A flag where a run first differs from run A; one click goes there.
    drawForks() {
      const { hook, model } = this.player;
      hook.forks.replaceChildren();
      this.flags = [];
      const at = new Map();
      for (const run of model.runs) {
        if (run.divergence === null || run.divergence === undefined) continue;
        at.set(run.divergence, [...(at.get(run.divergence) || []), run.letter]);
      }
      const first = Math.min(...at.keys());
      for (const [step, letters] of at) {
        if (model.runs.length > 6 && step !== first) continue;
        const flag = parts.dom.button("up-fork", "", () => this.go(step));
        flag.dataset.step = String(step);
        flag.style.left = `${((step + 0.5) / model.steps) * 100}%`;
        const name = model.runs.length === 2 ? "First difference" : `${letters.join(", ")}: first difference from A`;
        flag.setAttribute("aria-label", `${name}: go to step ${step + 1}`);
        const text = parts.dom.make("span", "up-fork-text");
        flag.append(text);
        hook.forks.append(flag);
        this.flags.push({ flag, text, share: (step + 0.5) / model.steps, names: [model.runs.length > 6 ? "First difference from A" : name, letters.join(", "), ""] });
      }
      this.flags.sort((a, b) => a.share - b.share);
    }

    // Words of flags that stand close together would run into each other: they turn to the other side, then to the run's letter, then go.
    // Their widths are measured on a canvas: words that were put in and measured in turn would lay the page out again each time.
    placeForks() {
      const width = this.player.hook.forks.clientWidth;
      const flags = this.flags;
      if (!width || !flags.length) return;
      this.ruler = this.ruler || document.createElement("canvas").getContext("2d");
      this.ruler.font = getComputedStyle(flags[0].flag).font;
      const taken = flags.map(({ share }) => [share * width - 3, share * width + 3]);
      flags.forEach(({ flag, text, share, names }, index) => {
        const at = share * width;
        const free = (from, to) => from >= -8 && to <= width + 8 && taken.every(([a, b], k) => k === index || to < a || from > b);
        for (const [name, left] of names.flatMap((name) => [[name, share > 0.7], [name, share <= 0.7]])) {
          const far = Math.ceil(this.ruler.measureText(name).width) + FLAG_PX;
          const [from, to] = left ? [at - far, at + 3] : [at - 3, at + far];
          if (name && !free(from, to)) continue;
          if (name) taken[index] = [from, to];
          text.textContent = name;
          flag.classList.toggle("up-fork-left", left);
          break;
        }
      });
    }

    update(changed) {
      const { hook, state, model } = this.player;
      if (changed.has("size")) this.placeForks();
      if (changed.has("playing")) {
        hook.play.replaceChildren(icon(state.playing ? "pause" : "play"));
        hook.play.setAttribute("aria-label", state.playing ? "Pause" : "Play");
      }
      if (changed.has("speed")) {
        hook.speed.textContent = `${state.speed}×`;
        hook.speed.setAttribute("aria-label", `Speed ${state.speed} times; press to change`);
      }
      if (changed.has("step") || changed.has("model")) {
        const share = ((state.step + 1) / model.steps) * 100;
        hook.played.style.clipPath = `inset(0 ${100 - share}% 0 0)`;
        hook.thumb.style.left = `${share}%`;
        hook.timeline.setAttribute("aria-valuemax", String(model.done));
        hook.timeline.setAttribute("aria-valuenow", String(state.step + 1));
        hook.timeline.setAttribute("aria-valuetext", `Step ${state.step + 1} of ${model.steps}`);
        hook.count.replaceChildren(parts.dom.make("span", "up-count-word", "Step "), `${state.step + 1} of ${model.steps}`);
      }
    }
  }

  parts.clock = { Clock, SPEEDS, icon };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

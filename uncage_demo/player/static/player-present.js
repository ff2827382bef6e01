// Presenter mode: the stages as large as the screen allows, one caption a step, and everything by key. For a classroom.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;
  const KEYS = [
    ["Space", "play, pause"], ["← →", "step"], ["Home End", "first, last step"], ["L", "next layer"], ["1 to 8", "a layer"], ["W", "next word"],
    ["B", "detector boxes"], ["+ −", "faster, slower"], ["F", "present, leave"],
  ];

  class Present {
    constructor(player) {
      this.player = player;
      this.on = false;
      const { hook } = player;
      this.toggle = button("up-round up-present", "", () => this.set(!this.on));
      this.toggle.append(parts.clock.icon("present"));
      hook.clock.append(this.toggle);
      this.help = make("p", "up-present-keys");
      for (const [key, what] of KEYS) {
        const entry = make("span", "");
        entry.append(make("kbd", "", key), ` ${what}`);
        this.help.append(entry);
      }
      hook.clock.after(this.help);
      this.left = () => document.fullscreenElement !== hook.root && this.on && this.full && this.set(false);
      document.addEventListener("fullscreenchange", this.left);
      // keys also where nothing has the focus, as after a click on the slide
      this.keyed = (event) => this.on && event.target === document.body && this.player.keyed(event);
      document.addEventListener("keydown", this.keyed);
      player.cleanups.push(() => {
        document.removeEventListener("fullscreenchange", this.left);
        document.removeEventListener("keydown", this.keyed);
        document.documentElement.classList.remove("up-page-presents");
      });
      this.show();
    }

    show() {
      const { hook } = this.player;
      this.toggle.setAttribute("aria-label", this.on ? "Leave presenter mode" : "Present: full screen, large, with captions");
      this.toggle.title = this.on ? "Leave (F or Esc)" : "Present (F)";
      hook.root.classList.toggle("up-presenting", this.on);
      document.documentElement.classList.toggle("up-page-presents", this.on);
      this.help.hidden = hook.caption.hidden = !this.on;
    }

    // Full screen where the browser lets us, otherwise over the whole window (in a frame, in a test, on a phone).
    async set(on) {
      if (on === this.on) return;
      const { player } = this;
      const { root } = player.hook;
      this.on = on;
      this.full = false;
      this.show();
      if (on) {
        try {
          await root.requestFullscreen();
          this.full = true;
        } catch {
          this.full = false;
        }
      } else if (document.fullscreenElement === root) await document.exitFullscreen();
      if (on) root.focus({ preventScroll: true });
      else this.toggle.focus({ preventScroll: true });
      player.resized();
      player.setState({}, ["size", "caption"]);
    }

    update(changed) {
      if (!this.on || !["step", "layer", "word", "object", "of", "caption", "model", "notes"].some((k) => changed.has(k))) return;
      const { player } = this;
      const said = parts.phrases.caption(player.model, player.state, player.painter.about(player.state));
      player.hook.caption.textContent = [said, ...player.notes.onStep(player.state.step)].join(" ");
      player.resized(); // a longer caption takes room
    }

    // What a key means, here and on the page; false where it means nothing.
    key(name) {
      const { player } = this;
      const { state, model } = player;
      const layers = player.legend.keys;
      if (name === "f" || name === "F") this.set(!this.on);
      else if (name === "Escape" && this.on) this.set(false);
      else if (name === "l" || name === "L") player.legend.turn(name === "l" ? 1 : -1);
      else if (/^[1-9]$/.test(name) && layers[Number(name) - 1]) player.setState({ layer: layers[Number(name) - 1] });
      else if ((name === "w" || name === "W") && model.hasAttention) {
        const words = model.words.map((_, i) => i).filter((i) => player.heard(i));
        player.setState({ layer: "word", word: words[(words.indexOf(state.word) + 1) % words.length] });
      } else if ((name === "b" || name === "B") && !player.hook.boxesField.hidden) player.setState({ boxes: !state.boxes });
      else if (name === "+" || name === "-") player.clock.turn(name === "+" ? 1 : -1);
      else return false;
      return true;
    }
  }

  parts.present = { Present };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

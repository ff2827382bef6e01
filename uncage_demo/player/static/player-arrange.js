// The stages on the page, and what keys and pointers do.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make } = parts.dom;
  const { Stage } = parts.stage;

  // For those who listen: whose picture, and what keys do on it. The brush tells it anew when it is opened and closed.
  const stageLabel = (run, keys) => `Run ${run.letter}, ${run.title}. Arrow keys move between cells, ${keys}.`;

  function stageNode(player, run, compact) {
    const { model } = player;
    const box = make("article", "up-stage");
    box.dataset.run = String(run.index);
    const head = make("header", "up-stage-head");
    const title = make(compact ? "span" : "h3", "up-title", compact ? `Seed ${run.raw.seed}` : run.title);
    title.title = run.title;
    box.classList.toggle("up-branched", !compact && Boolean(run.raw.lineage.edits || run.raw.origin)); // its name says what was changed, so it is long
    head.append(make("span", "up-letter", run.letter), title);
    const canvas = make("canvas", "up-canvas");
    canvas.tabIndex = 0;
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", stageLabel(run, player.brush.keys));
    canvas.style.aspectRatio = `${model.grid[1]} / ${model.grid[0]}`;
    const frame = make("div", "up-frame");
    frame.append(canvas);
    box.append(head, frame);
    const verdict = parts.words.verdict(run, model);
    if (verdict) box.append(verdict);
    const told = parts.phrases.knockedOut(model, run) || parts.phrases.madeFrom(model, run);
    if (told && !compact) box.append(make("p", "up-knocked", told));
    return { box, canvas, head };
  }

  function watchStage(player, stage) {
    const { canvas } = stage;
    parts.region.watch(player, stage);
    canvas.addEventListener("pointermove", (event) => {
      if (event.pointerType !== "touch") player.setState({ hover: stage.cellAt(event), touched: stage.run.index });
    });
    canvas.addEventListener("pointerleave", () => player.setState({ hover: -1 }));
    canvas.addEventListener("click", (event) => {
      const cell = stage.cellAt(event);
      player.setState({ pin: cell === player.state.pin ? -1 : cell, touched: stage.run.index });
      player.toSheet();
    });
    canvas.addEventListener("keydown", (event) => {
      const { columns, rows } = stage;
      const at = player.state.hover >= 0 ? player.state.hover : player.state.pin;
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (moves[event.key]) {
        const from = at >= 0 ? at : Math.floor(rows / 2) * columns + Math.floor(columns / 2);
        const x = Math.max(0, Math.min(columns - 1, (from % columns) + moves[event.key][0]));
        const y = Math.max(0, Math.min(rows - 1, Math.floor(from / columns) + moves[event.key][1]));
        const cell = at >= 0 ? y * columns + x : from;
        if (event.shiftKey && !player.brush.on) {
          if (!player.state.region || !(stage.anchor >= 0)) stage.anchor = from;
          player.setState({ hover: cell, region: parts.data.regionOf(stage.anchor, cell, columns), touched: stage.run.index });
          player.region.told();
        } else {
          stage.anchor = -1;
          player.setState({ hover: cell, touched: stage.run.index });
          player.say(parts.phrases.spoken(player.model, cell, player.state.step));
        }
      } else if (event.key === "Enter") {
        const pin = at === player.state.pin ? -1 : at;
        player.setState({ pin, touched: stage.run.index });
        player.say(pin < 0 ? "Unpinned." : `Pinned. ${parts.phrases.spoken(player.model, pin, player.state.step)}`);
      }
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    canvas.addEventListener("blur", () => player.setState({ hover: -1 }));
  }

  // Up to six stages side by side; more become a grid of small ones, one row per order and one column per seed.
  function stages(player, home) {
    const { model } = player;
    const out = [];
    const add = (run, into, compact) => {
      const { box, canvas } = stageNode(player, run, compact);
      into.append(box);
      const stage = new Stage(canvas, run, model, player.pictures);
      stage.box = box;
      watchStage(player, stage);
      out.push(stage);
    };
    if (!model.grid_view) {
      for (const run of model.runs) add(run, home, false);
      parts.actions.seedButton(player, out[out.length - 1].box.querySelector(".up-stage-head"));
      return out;
    }
    const rows = new Map();
    for (const run of model.runs) {
      const name = run.title.replace(/, seed \d+$/, "");
      rows.set(name, [...(rows.get(name) || []), run]);
    }
    for (const [name, runs] of rows) {
      const line = make("section", "up-grid-row");
      line.append(make("h3", "up-grid-name", name));
      const cells = make("div", "up-grid-cells");
      for (const run of runs) add(run, cells, true);
      line.append(cells);
      home.append(line);
    }
    return out;
  }

  function wire(player) {
    const { hook } = player;
    player.keyed = (event) => {
      if (!player.model || event.altKey || event.ctrlKey || event.metaKey) return;
      const tag = event.target.tagName;
      if (tag === "INPUT" || tag === "SELECT" || tag === "TEXTAREA") return;
      const { step } = player.state;
      if (event.key === "ArrowLeft" || event.key === ",") player.clock.go(step - 1);
      else if (event.key === "ArrowRight" || event.key === ".") player.clock.go(step + 1);
      else if (event.key === "Home") player.clock.go(0);
      else if (event.key === "End") player.clock.go(player.clock.last());
      else if (event.key === " " && tag !== "BUTTON") player.clock.toggle();
      else if (event.key === "Escape" && player.state.region) player.setState({ region: null });
      else if (event.key === "Escape" && player.state.pin >= 0) {
        player.setState({ pin: -1 });
        player.say("Unpinned.");
      } else if (!player.present.key(event.key)) return;
      event.preventDefault();
    };
    hook.root.addEventListener("keydown", player.keyed);
  }

  parts.arrange = { stages, stageLabel, wire };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

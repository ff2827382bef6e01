// What an edit draws over a stage: painted cells, the picture where moving puts it, boxes of objects.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const OUTLINE = "rgba(12,14,20,.85)";

  // `brush` says what is painted; `stage` is the one that is drawn.
  function drawEdit(brush, stage) {
    const { inBox, freed, boxOf, count } = parts.cells;
    const { model, state, theme } = brush.player;
    if (stage.run.index !== brush.run) return;
    const unit = stage.canvas.width / Math.max(1, stage.canvas.clientWidth);
    const shown = (inside, color) => {
      shade(stage, inside, color);
      stage.stroke(stage.border(inside), color, OUTLINE, 2 * unit);
    };
    if (brush.mode === "extend" && brush.proposes) {
      const open = freed(brush.shift, model.grid);
      move(stage, brush.shift, theme.mask);
      shown((i) => open[i], theme.accent);
    }
    const keeps = brush.mode === "compose" && brush.panel.pinned.checked;
    if ((brush.mode === "edit" || keeps) && count(brush.cells)) shown((i) => brush.cells[i], theme.accent);
    if (brush.mode === "compose") {
      for (const [o, box] of brush.regions) region(stage, box, model.subjects[o].color, stage.run.labels[o], unit);
    }
    const from = brush.boxing ? brush.from : brush.corner;
    const to = brush.boxing ? brush.last : state.hover;
    if (from >= 0 && to >= 0) {
      const box = boxOf(from, to, stage.columns);
      stage.stroke(stage.border((i) => inBox(box, i, stage.columns)), "#ffffff", OUTLINE, 2 * unit, [6 * unit, 4 * unit]);
    }
  }

  function shade(stage, inside, color) {
    const c = stage.context;
    const w = stage.canvas.width / stage.columns, h = stage.canvas.height / stage.rows;
    const tiles = new Path2D();
    for (let i = 0; i < stage.rows * stage.columns; i++) {
      if (inside(i)) tiles.rect((i % stage.columns) * w, Math.floor(i / stage.columns) * h, w, h);
    }
    c.save();
    c.globalAlpha = 0.5;
    c.fillStyle = color;
    c.fill(tiles);
    c.clip(tiles);
    c.globalAlpha = 0.55;
    c.strokeStyle = "#ffffff";
    c.lineWidth = Math.max(1, w / 14);
    const lines = new Path2D();
    for (let x = -stage.canvas.height; x < stage.canvas.width; x += w / 2) {
      lines.moveTo(x, stage.canvas.height);
      lines.lineTo(x + stage.canvas.height, 0);
    }
    c.stroke(lines);
    c.restore();
  }

  // The picture where moving puts it.
  function move(stage, [down, right], color) {
    const c = stage.context;
    const { width, height } = stage.canvas;
    const copy = parts.stage.makeCanvas(width, height);
    copy.getContext("2d").drawImage(stage.canvas, 0, 0);
    c.fillStyle = color;
    c.fillRect(0, 0, width, height);
    c.drawImage(copy, (right * width) / stage.columns, (down * height) / stage.rows);
  }

  // Where an object is asked for: its box, with its name.
  function region(stage, box, color, name, unit) {
    const inside = (i) => parts.cells.inBox(box, i, stage.columns);
    const c = stage.context;
    const w = stage.canvas.width / stage.columns, h = stage.canvas.height / stage.rows;
    shade(stage, inside, color);
    stage.stroke(stage.border(inside), color, OUTLINE, 2.5 * unit);
    const size = Math.round(12 * unit);
    c.font = `600 ${size}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    const wide = c.measureText(name).width + size;
    const left = Math.max(0, Math.min(box[1] * w, stage.canvas.width - wide));
    c.fillStyle = OUTLINE;
    c.fillRect(left, box[0] * h, wide, size * 1.6);
    c.fillStyle = "#ffffff";
    c.fillText(name, left + size / 2, box[0] * h + size * 0.8);
  }

  parts.editDraw = { drawEdit };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// One stage: a canvas that shows one run at one step. Pictures are decoded once and kept; maps are painted cell by cell and scaled up.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  // Decoded pictures, shared by all stages and kept over payload updates (a live run sends the same pictures again).
  class Pictures {
    constructor(onReady) {
      this.ready = new Map();
      this.grey = new Map();
      this.pending = new Set();
      this.onReady = onReady;
    }

    get(text) {
      if (!text) return null;
      if (this.ready.has(text)) return this.ready.get(text);
      if (!this.pending.has(text)) this.load(text);
      return null;
    }

    load(text) {
      this.pending.add(text);
      createImageBitmap(parts.unpack.file(text)).then(
        (bitmap) => {
          this.pending.delete(text);
          this.ready.set(text, bitmap);
          this.onReady();
        },
        () => {
          this.pending.delete(text);
          this.ready.set(text, null); // not a picture: the stage stays empty rather than trying again every frame
        }
      );
    }

    // Maps lie on a grey picture, so that every colour seen can be read off the legend.
    getGrey(text) {
      const known = this.grey.get(text);
      if (known) return known;
      const bitmap = this.get(text);
      if (!bitmap) return null;
      const canvas = makeCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      context.globalCompositeOperation = "saturation";
      context.fillStyle = "#808080";
      context.fillRect(0, 0, canvas.width, canvas.height);
      this.grey.set(text, canvas);
      return canvas;
    }

    keep(texts) {
      for (const map of [this.ready, this.grey]) {
        for (const [text, picture] of map) {
          if (texts.has(text)) continue;
          if (picture && picture.close) picture.close();
          map.delete(text);
        }
      }
    }
  }

  function makeCanvas(width, height) {
    const canvas = document.createElement("canvas");
    canvas.width = width;
    canvas.height = height;
    return canvas;
  }

  // A token's picture from the atlas, filling a small canvas.
  function drawToken(canvas, atlas, id) {
    const at = atlas.place(id);
    const c = canvas.getContext("2d");
    c.imageSmoothingQuality = "high";
    c.clearRect(0, 0, canvas.width, canvas.height);
    if (at) c.drawImage(atlas.bitmap, at.x, at.y, at.size, at.size, 0, 0, canvas.width, canvas.height);
  }

  class Stage {
    constructor(canvas, run, model, pictures) {
      this.canvas = canvas;
      this.context = canvas.getContext("2d");
      this.run = run;
      this.model = model;
      this.pictures = pictures;
      const [rows, columns] = model.grid;
      this.rows = rows;
      this.columns = columns;
      this.small = makeCanvas(columns, rows);
      this.smallContext = this.small.getContext("2d");
      this.image = this.smallContext.createImageData(columns, rows);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.values = new Float32Array(model.cells);
      this.last = null;
    }

    resize() {
      const width = this.canvas.clientWidth;
      if (!width) return false;
      const ratio = Math.min(2, window.devicePixelRatio || 1);
      const w = Math.min(1200, Math.round(width * ratio));
      const h = Math.round((w * this.rows) / this.columns);
      if (this.canvas.width === w && this.canvas.height === h) return false;
      this.canvas.width = w;
      this.canvas.height = h;
      return true;
    }

    cellAt(event) {
      const box = this.canvas.getBoundingClientRect();
      const x = Math.floor(((event.clientX - box.left) / box.width) * this.columns);
      const y = Math.floor(((event.clientY - box.top) / box.height) * this.rows);
      return x < 0 || y < 0 || x >= this.columns || y >= this.rows ? -1 : y * this.columns + x;
    }

    // The cell nearest to the pointer, for a drag that leaves the picture.
    cellNear(event) {
      const box = this.canvas.getBoundingClientRect();
      const within = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
      return within((event.clientY - box.top) / box.height, this.rows) * this.columns + within((event.clientX - box.left) / box.width, this.columns);
    }

    // view: {step, layer, blend, covered, paint(stage, s), other, hover, pin, pinned, whatIf, theme}
    draw(view) {
      const s = this.run.local(view.step);
      const c = this.context;
      const { width, height } = this.canvas;
      c.globalAlpha = 1;
      c.globalCompositeOperation = "source-over";
      c.imageSmoothingEnabled = true;
      c.fillStyle = view.theme.mask;
      c.fillRect(0, 0, width, height);
      const finished = s === this.run.numSteps - 1 - this.run.firstStep;
      // The finished picture stands in for those of steps that have none, but it is not what the model would have put there: "" = the tokens'.
      const without = view.layer === "guess" && view.atlas ? "" : this.run.image;
      const text = finished && this.run.image ? this.run.image : this.run.frames ? this.run.frames[s] : without;
      if (view.layer === "difference" && !view.paint) this.difference(view, text);
      else if (view.paint) {
        this.picture(this.pictures.getGrey(text) || this.pictures.get(text), s, view);
        if (view.paint(this, s) !== false) {
          this.smallContext.putImageData(this.image, 0, 0);
          c.globalAlpha = view.blend;
          c.imageSmoothingEnabled = false;
          c.drawImage(this.small, 0, 0, width, height);
          c.globalAlpha = 1;
        }
      } else {
        this.picture(text === "" ? null : this.pictures.get(text), s, view);
        if (view.layer === "picture") this.cover(s, view);
      }
      this.outlines(s, view);
      this.noted(view.notes(this.run), view.theme);
      if (view.boxes) this.regions();
      if (view.boxes) this.boxes(this.run.boxes(this.model.subjects), view.theme);
    }

    // Cells with a note: a dot in the corner.
    noted(cells, theme) {
      const c = this.context;
      const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
      const size = Math.max(2.5 * (this.canvas.width / Math.max(1, this.canvas.clientWidth)), w * 0.15);
      for (const cell of cells) {
        c.beginPath();
        c.arc((cell % this.columns + 1) * w - size, Math.floor(cell / this.columns) * h + size, size, 0, 2 * Math.PI);
        c.fillStyle = theme.accent;
        c.strokeStyle = "#ffffff";
        c.lineWidth = size * 0.5;
        c.stroke();
        c.fill();
      }
    }

    // Where objects were asked for: dotted in the object's colour.
    regions() {
      const { width, height } = this.canvas;
      const unit = width / Math.max(1, this.canvas.clientWidth);
      for (const { subject, box: [top, left, bottom, right] } of (this.run.raw.origin && this.run.raw.origin.regions) || []) {
        const path = new Path2D();
        const w = width / this.columns, h = height / this.rows;
        path.rect(left * w, top * h, (right - left) * w, (bottom - top) * h);
        this.stroke(path, this.model.subjects[subject].color, "rgba(12,14,20,.85)", 2 * unit, [2 * unit, 3 * unit]);
      }
    }

    // What the detector saw: a box and a name, dashed where the prompt asks for something else.
    boxes(found, theme) {
      const c = this.context;
      const { width, height } = this.canvas;
      const unit = width / Math.max(1, this.canvas.clientWidth);
      const size = Math.round(12 * unit);
      c.font = `600 ${size}px system-ui, sans-serif`;
      c.textBaseline = "middle";
      for (const { box: [top, left, bottom, right], label, color, wrong } of found) {
        const path = new Path2D();
        path.rect(left * width, top * height, (right - left) * width, (bottom - top) * height);
        this.stroke(path, color || theme.wrong, "rgba(12,14,20,.85)", 2 * unit, wrong ? [6 * unit, 4 * unit] : null);
        const text = wrong ? `✗ ${label}` : label;
        const w = c.measureText(text).width + size, h = size * 1.5;
        const x = Math.max(0, Math.min(left * width, width - w)), y = top * height >= h ? top * height - h : top * height;
        c.fillStyle = "rgba(12,14,20,.85)";
        c.fillRect(x, y, w, h);
        c.fillStyle = "#ffffff";
        c.fillText(text, x + size / 2, y + h / 2);
      }
    }

    picture(bitmap, s, view) {
      const c = this.context;
      if (bitmap) this.last = bitmap;
      else if (this.run.frames && this.last && this.last.width) bitmap = this.last;
      if (bitmap) c.drawImage(bitmap, 0, 0, this.canvas.width, this.canvas.height);
      else if (!this.run.frames && view.atlas) this.mosaic(s, view.atlas);
    }

    // Without pictures of the steps: every cell's token picture.
    mosaic(s, atlas) {
      const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
      for (let i = 0; i < this.model.cells; i++) {
        const at = atlas.place(this.run.token(s, i));
        if (at) this.context.drawImage(atlas.bitmap, at.x, at.y, at.size, at.size, (i % this.columns) * w, Math.floor(i / this.columns) * h, w + 1, h + 1);
      }
    }

    difference(view, text) {
      const c = this.context;
      const mine = this.pictures.get(text);
      const base = view.reference && view.reference !== this.run ? view.reference : null;
      if (!mine) return;
      if (!base) {
        this.picture(this.pictures.getGrey(text), 0, view);
        return;
      }
      const at = base.local(view.step);
      const finished = at === base.numSteps - 1 - base.firstStep;
      const theirs = this.pictures.get(finished && base.image ? base.image : base.frames ? base.frames[at] : base.image);
      c.drawImage(mine, 0, 0, this.canvas.width, this.canvas.height);
      if (!theirs) return;
      c.globalCompositeOperation = "difference";
      c.drawImage(theirs, 0, 0, this.canvas.width, this.canvas.height);
      c.globalCompositeOperation = "source-over";
    }

    // The still-masked cells, drawn as closed tiles with a dot: two paths, on whole pixels so that no seam shows.
    cover(s, view) {
      const c = this.context;
      const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
      const dot = Math.max(1, w * 0.07);
      const tiles = new Path2D(), dots = new Path2D();
      for (let y = 0; y < this.rows; y++) {
        const top = Math.round(y * h), bottom = Math.round((y + 1) * h);
        for (let x = 0; x < this.columns; x++) {
          if (!this.run.hidden(s, y * this.columns + x)) continue;
          const left = Math.round(x * w);
          tiles.rect(left, top, Math.round((x + 1) * w) - left, bottom - top);
          if (w < 16) dots.rect((x + 0.5) * w - dot, (y + 0.5) * h - dot, 2 * dot, 2 * dot);
          else {
            dots.moveTo((x + 0.5) * w + dot, (y + 0.5) * h);
            dots.arc((x + 0.5) * w, (y + 0.5) * h, dot, 0, 2 * Math.PI);
          }
        }
      }
      c.globalAlpha = view.blend;
      c.fillStyle = view.theme.mask;
      c.fill(tiles);
      c.fillStyle = view.theme.maskMark;
      c.fill(dots);
      c.globalAlpha = 1;
    }

    // The border of a set of cells as one path.
    border(inside) {
      const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
      const path = new Path2D();
      for (let y = 0; y < this.rows; y++) {
        for (let x = 0; x < this.columns; x++) {
          const i = y * this.columns + x;
          if (!inside(i)) continue;
          const left = x * w, top = y * h, right = left + w, bottom = top + h;
          if (y === 0 || !inside(i - this.columns)) { path.moveTo(left, top); path.lineTo(right, top); }
          if (y === this.rows - 1 || !inside(i + this.columns)) { path.moveTo(left, bottom); path.lineTo(right, bottom); }
          if (x === 0 || !inside(i - 1)) { path.moveTo(left, top); path.lineTo(left, bottom); }
          if (x === this.columns - 1 || !inside(i + 1)) { path.moveTo(right, top); path.lineTo(right, bottom); }
        }
      }
      return path;
    }

    stroke(path, color, halo, width, dash) {
      const c = this.context;
      c.lineCap = dash ? "butt" : "square";
      c.setLineDash([]);
      c.strokeStyle = halo;
      c.lineWidth = width * 2.1;
      c.stroke(path);
      c.setLineDash(dash || []);
      c.strokeStyle = color;
      c.lineWidth = width;
      c.stroke(path);
      c.setLineDash([]);
    }

    outlines(s, view) {
      const unit = Math.max(1, Math.min(2, this.canvas.width / this.columns / 9)) * (this.canvas.width / Math.max(1, this.canvas.clientWidth));
      this.stroke(this.border((i) => this.run.committed(s, i)), view.theme.fresh, view.theme.halo, unit * 0.9);
      if (view.whatIf) {
        const chosen = view.whatIf(this.run, s);
        if (chosen) this.stroke(this.border((i) => chosen[i]), view.theme.whatIf, "rgba(12,14,20,.85)", unit * 1.2, [unit * 3.2, unit * 2.2]);
      }
      if (view.region) {
        const [top, left, bottom, right] = view.region;
        const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
        const path = new Path2D();
        path.rect(left * w, top * h, (right - left + 1) * w, (bottom - top + 1) * h);
        this.stroke(path, "#ffffff", "rgba(12,14,20,.9)", unit * 1.4, [unit * 4, unit * 3]);
      }
      for (const [cell, pinned] of [[view.pin, true], [view.hover, false]]) {
        if (cell < 0 || (!pinned && cell === view.pin)) continue;
        const w = this.canvas.width / this.columns, h = this.canvas.height / this.rows;
        const path = new Path2D();
        const grow = unit * 1.2;
        path.rect((cell % this.columns) * w - grow, Math.floor(cell / this.columns) * h - grow, w + 2 * grow, h + 2 * grow);
        this.stroke(path, pinned ? view.theme.accent : "#ffffff", pinned ? "#ffffff" : "rgba(12,14,20,.9)", unit * (pinned ? 1.7 : 1.3));
      }
    }
  }

  parts.stage = { Stage, Pictures, makeCanvas, drawToken };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// Runs that are still decoding: the cells that are decided, and the model's guess behind the veil over the others. Knows no player.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make } = parts.dom;

  function unpackBits(text, count) {
    const bytes = parts.unpack.bytes(text);
    return Array.from({ length: count }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1);
  }

  /**
   * @param {HTMLElement} root where the pictures are shown
   * @param {string} prefix of the class names
   * @param {string} veil name of the style sheet's colour
   */
  function Decoding(root, prefix, veil) {
    const cells = [];
    const about = make("p", `${prefix}-live-about`, "Clear cells are decided. Veiled cells show what the model would put there now, which can change until they are decided.");
    // A picture: an address from the server, a file from a worker.
    async function drawable(picture) {
      if (typeof picture !== "string") return createImageBitmap(picture);
      const image = new Image();
      image.src = picture;
      await image.decode();
      return image;
    }

    async function draw(cell, run) {
      const picture = await drawable(run.picture).catch(() => null);
      if (!picture || cell.asked !== run.step) return; // a later step was faster
      const { canvas } = cell;
      const [width, height] = [picture.width, picture.height];
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const paint = canvas.getContext("2d");
      paint.globalAlpha = 1;
      paint.drawImage(picture, 0, 0);
      const [rows, columns] = run.grid;
      const mask = unpackBits(run.masked, rows * columns);
      const h = height / rows, w = width / columns;
      paint.globalAlpha = 0.88;
      paint.fillStyle = getComputedStyle(root).getPropertyValue(veil).trim();
      mask.forEach((masked, i) => {
        if (masked) paint.fillRect((i % columns) * w, Math.floor(i / columns) * h, w + 0.5, h + 0.5);
      });
      canvas.dataset.step = String(run.step);
    }
    return {
      show(message) {
        root.hidden = false;
        while (cells.length < message.runs.length) {
          const figure = make("figure", `${prefix}-live-stage`);
          const cell = { figure, title: make("figcaption"), canvas: make("canvas") };
          figure.append(cell.title, cell.canvas);
          root.append(figure);
          cells.push(cell);
        }
        while (cells.length > message.runs.length) cells.pop().figure.remove();
        about.hidden = message.runs.length > 2;
        root.append(about);
        root.style.setProperty("--stages", String(Math.min(message.columns || message.runs.length, message.runs.length)));
        message.runs.forEach((run, i) => {
          cells[i].title.textContent = run.label;
          cells[i].canvas.setAttribute("role", "img");
          cells[i].canvas.setAttribute("aria-label", `${run.label}, step ${message.step + 1} of ${message.num_steps}`);
          cells[i].asked = message.step;
          draw(cells[i], { ...run, step: message.step });
        });
      },
      hide() {
        root.hidden = true;
      },
    };
  }

  parts.decoding = { Decoding };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// Waiting, made visible: a bar with step and time left, the place in the queue, and pictures of the run that is still decoding.
(function (page) {
  "use strict";

  const { make } = page;

  function seconds(value) {
    return value < 9.95 ? `${value.toFixed(1)} s` : value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`;
  }

  function unpackBits(text, count) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return Array.from({ length: count }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1);
  }

  function Progress(root) {
    root.replaceChildren();
    root.setAttribute("role", "status");
    const bar = make("div", "uc-bar");
    const fill = make("i");
    bar.append(fill);
    bar.setAttribute("role", "progressbar");
    bar.setAttribute("aria-valuemin", "0");
    const text = make("span", "uc-progress-text");
    root.append(bar, text);
    return {
      waiting(message) {
        root.hidden = false;
        bar.classList.add("uc-waiting");
        fill.style.width = "0";
        text.textContent = message;
      },
      step(message) {
        root.hidden = false;
        if (message.phase) return this.waiting(message.phase);
        const done = message.step + 1;
        bar.classList.remove("uc-waiting");
        bar.setAttribute("aria-valuemax", String(message.num_steps));
        bar.setAttribute("aria-valuenow", String(done));
        fill.style.width = `${(100 * done) / message.num_steps}%`;
        const left = (message.elapsed_s / Math.max(1, done - (message.from_step || 0))) * (message.num_steps - done);
        text.textContent = `Step ${done} of ${message.num_steps}` + (left > 0.05 ? ` · ${seconds(left)} left` : "");
      },
      hide() {
        root.hidden = true;
      },
    };
  }

  // What is committed so far, and the model's guess behind what is still masked.
  function Live(root) {
    const cells = [];
    const about = make("p", "uc-live-about", "The clear cells are decided. Behind the veil is what the model would put there now; that can change until a cell is decided.");
    function draw(cell, run) {
      const picture = new Image();
      picture.onload = () => {
        const canvas = cell.canvas;
        canvas.width = picture.naturalWidth;
        canvas.height = picture.naturalHeight;
        const paint = canvas.getContext("2d");
        paint.drawImage(picture, 0, 0);
        const [rows, columns] = run.grid;
        const mask = unpackBits(run.masked, rows * columns);
        const h = canvas.height / rows, w = canvas.width / columns;
        paint.globalAlpha = 0.88;
        paint.fillStyle = getComputedStyle(root).getPropertyValue("--uc-mask").trim();
        mask.forEach((masked, i) => {
          if (masked) paint.fillRect((i % columns) * w, Math.floor(i / columns) * h, w + 0.5, h + 0.5);
        });
        canvas.dataset.step = String(run.step);
      };
      picture.src = run.picture;
    }
    return {
      show(message) {
        root.hidden = false;
        while (cells.length < message.runs.length) {
          const figure = make("figure", "uc-live-stage");
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
          draw(cells[i], { ...run, step: message.step });
        });
      },
      hide() {
        root.hidden = true;
      },
    };
  }

  // Gradio tells the place in the queue in a small tracker of its own ("queue: 2/3"); it is said beside the bar instead.
  function watchQueue(selector, running, say) {
    setInterval(() => {
      if (!document.body.classList.contains(running)) return;
      const node = document.querySelector(selector);
      const place = node && /queue:\s*(\d+)\s*\/\s*(\d+)/.exec(node.textContent);
      if (place) say(`Waiting: ${place[1]} ${place[1] === "1" ? "run" : "runs"} ahead of you`);
    }, 200);
  }

  Object.assign(page, { Progress, Live, watchQueue });
})(window.UncagePage);

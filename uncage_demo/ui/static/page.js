// The page around the player: progress, live pictures, cancel, sharing and taking away. Plain DOM, no dependencies.
// Messages from the server are JSON strings in a component's value; every text in them goes through textContent.
(function () {
  "use strict";

  const shared = { ids: [], step: 0, stage: null, query: {}, restoreStep: null };

  function make(tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return node;
  }

  function button(className, text, onClick) {
    const node = make("button", className, text);
    node.type = "button";
    node.addEventListener("click", onClick);
    return node;
  }

  function parse(text) {
    try {
      return JSON.parse(text || "null");
    } catch {
      return null;
    }
  }

  function seconds(value) {
    return value < 9.95 ? `${value.toFixed(1)} s` : value < 90 ? `${Math.round(value)} s` : `${Math.round(value / 60)} min`;
  }

  function unpackBits(text, count) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return Array.from({ length: count }, (_, i) => (bytes[i >> 3] >> (i & 7)) & 1);
  }

  // ---- Progress bar: shown at the click, before the server has said anything ----------------------------------------

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

  // ---- Live view: what is committed so far, the model's guess behind what is still masked ----------------------------

  function Live(root) {
    const cells = [];
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
        const dark = document.body.classList.contains("dark");
        paint.fillStyle = dark ? "rgba(42,47,58,.88)" : "rgba(198,203,216,.88)";
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
      if (place) say(`Waiting: place ${place[1]} of ${place[2]} in the queue`);
    }, 200);
  }

  function setRunning(running) {
    document.body.classList.toggle("uc-running", running);
  }

  // ---- The stage: progress, live view, player ------------------------------------------------------------------------

  function stage(context) {
    const { element, props, server, trigger, watch } = context;
    const progress = Progress(element.querySelector(".uc-progress"));
    const live = Live(element.querySelector(".uc-live"));
    const host = element.querySelector(".uc-player-host");
    const note = element.querySelector(".uc-stage-note");
    const about = element.querySelector(".uc-stage-about");
    let player = null;
    let wanted = 0;
    let lastSeq = null;

    function onEvent(name, detail) {
      if (name === "state") shared.step = detail.step;
      if (name === "branch" || name === "knockout") {
        busy("Branching…");
        trigger("branch", { ids: shared.ids, event: { ...detail, name } });
      }
    }

    async function show(message) {
      const ticket = ++wanted;
      const text = await server.payload({ ids: message.ids });
      if (ticket !== wanted) return;
      const answer = parse(text);
      if (!answer || answer.error) return fail(answer ? answer.error : "The server did not answer. Is it still running?");
      live.hide();
      progress.hide();
      setRunning(false);
      host.hidden = false;
      note.hidden = true;
      about.hidden = !message.about;
      about.textContent = message.about || "";
      shared.ids = message.ids;
      shared.query = message.query || {};
      const startAt = shared.restoreStep !== null ? shared.restoreStep : message.step;
      shared.restoreStep = null;
      const options = { onEvent, autoplay: Boolean(message.autoplay), actions: ["branch", "knockout"] };
      if (Number.isInteger(startAt)) options.state = { step: startAt };
      if (player && player.destroy) player.destroy();
      host.replaceChildren();
      player = window.UncagePlayer.mount(host, answer.payload, options) || null;
      shared.stage = player;
      element.dataset.ready = String(message.seq);
      document.dispatchEvent(new CustomEvent("uc-shown", { detail: message }));
    }

    function fail(text) {
      settle();
      note.hidden = false;
      note.textContent = text;
    }

    function settle() {
      progress.hide();
      live.hide();
      host.hidden = false;
      setRunning(false);
    }

    function busy(text) {
      setRunning(true);
      note.hidden = true;
      progress.waiting(text);
    }

    function receive() {
      const message = parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      if (message.restore_step !== undefined) shared.restoreStep = message.restore_step;
      if (message.kind === "traces") show(message);
      else if (message.kind === "progress") {
        setRunning(true);
        progress.step(message);
        if (message.runs) {
          host.hidden = true;
          about.hidden = true;
          live.show(message);
        }
      } else if (message.kind === "restored") {
        if (message.run) setTimeout(() => document.querySelector("#uc-generate").click(), 0);
      } else if (message.kind === "idle") {
        settle();
        if (message.text) {
          note.hidden = false;
          note.textContent = message.text;
        }
      }
    }

    // A trace file dropped on the stage takes the same way as one chosen with the button.
    element.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      element.classList.add("uc-drop");
    });
    element.addEventListener("dragleave", () => element.classList.remove("uc-drop"));
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      element.classList.remove("uc-drop");
      const open = document.querySelector("#uc-open");
      const field = open && open.parentElement.querySelector('input[type="file"]');
      const file = event.dataTransfer.files[0];
      if (!field || !file) return;
      const files = new DataTransfer();
      files.items.add(file);
      field.files = files.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
    watchQueue("#uc-queue", "uc-running", (text) => progress.waiting(text));
    api.busy = busy;
    api.showOnStage = (message) => {
      const tab = [...document.querySelectorAll('#uc-tabs button[role="tab"]')].find((t) => t.textContent.trim() === "Play");
      if (tab) tab.click();
      show({ seq: Date.now(), ...message });
    };
    api.settle = settle;
    watch("value", receive);
    receive();
    element.dataset.attached = "1";
  }

  // ---- Take away: files made by the server from the runs on stage; texts to copy -------------------------------------

  function download(answer) {
    const bytes = Uint8Array.from(atob(answer.data), (c) => c.charCodeAt(0));
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([bytes], { type: answer.mime }));
    link.download = answer.name;
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = make("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  }

  function shareLink() {
    const link = new URL(window.location.pathname, window.location.origin);
    for (const [name, value] of Object.entries(shared.query)) link.searchParams.set(name, value);
    link.searchParams.set("step", String(shared.step));
    return link.toString();
  }

  function takeaway(context) {
    const { element, server } = context;
    const row = element.querySelector(".uc-take-row");
    const status = element.querySelector(".uc-take-status");
    const texts = element.querySelector(".uc-take-texts");

    function file(label, kind, title) {
      const node = button("uc-small", label, async () => {
        node.disabled = true;
        status.textContent = `Making ${label}…`;
        const answer = parse(await server.export_file({ ids: shared.ids, kind, step: shared.step }));
        node.disabled = false;
        if (!answer || answer.error) {
          status.textContent = answer ? answer.error : "The server did not answer.";
          return;
        }
        status.textContent = `${answer.name}, ${Math.max(1, Math.round((answer.data.length * 3) / 4 / 1024))} kB`;
        download(answer);
      });
      node.title = title;
      node.dataset.kind = kind;
      return node;
    }

    function copied(label, read, title) {
      const node = button("uc-small", label, async () => {
        const text = read();
        await copy(text);
        status.textContent = `${label} copied.`;
        texts.hidden = false;
        texts.textContent = text;
      });
      node.title = title;
      return node;
    }

    row.append(
      make("span", "uc-take-title", "Take it away"),
      file("Trace", "npz", "The whole run of every stage; open it here again or in Python"),
      file("Player", "html", "This player as one HTML file that opens offline"),
      file("WebP", "webp", "Animated picture of the stages"),
      file("GIF", "gif", "Animated picture of the stages"),
      file("Figure PNG", "png", "Pictures and heatmaps of this step"),
      file("Figure SVG", "svg", "The same figure as vectors, for a paper"),
      copied("Link", shareLink, "A link that restores prompt, seed, settings and step"),
      copied("Command", () => shared.command || "", "The command line that reproduces this run"),
      copied("Python", () => shared.python || "", "Python that reproduces this run"),
    );
    document.addEventListener("uc-shown", (event) => {
      shared.command = event.detail.command;
      shared.python = event.detail.python;
      row.classList.toggle("uc-no-query", !event.detail.query);
      status.textContent = "";
      texts.hidden = true;
    });
  }

  // ---- Start ---------------------------------------------------------------------------------------------------------

  function theme() {
    const dark = !document.body.classList.contains("dark");
    document.body.classList.toggle("dark", dark);
    document.dispatchEvent(new CustomEvent("uc-theme", { detail: { dark } }));
  }

  function header(context) {
    const toggle = context.element.querySelector(".uc-theme");
    if (toggle) toggle.addEventListener("click", theme);
  }

  function model(context) {
    const { element, props, watch } = context;
    const root = element.querySelector(".uc-model");
    function render() {
      const message = parse(props.value);
      root.replaceChildren();
      if (!message) return;
      root.append(make("strong", "", message.title), make("span", "", message.draws), make("span", "uc-muted", message.cost));
      if (!message.present) root.append(make("span", "uc-absent", `Not on this machine: the first use downloads about ${message.download_gb} GB.`));
      const consent = document.querySelector("#uc-download");
      if (consent) consent.hidden = Boolean(message.present);
    }
    watch("value", render);
    render();
  }

  const api = {
    shared,
    make,
    button,
    parse,
    seconds,
    unpackBits,
    Progress,
    Live,
    setRunning,
    watchQueue,
    busy() {},
    settle() {},
    showOnStage() {},
    attach: { stage, takeaway, header, model },
    shareLink,
  };
  window.UncagePage = api;

  // Generate by Enter in the prompt shows the bar as quickly as by click.
  document.addEventListener("click", (event) => {
    if (event.target.closest && event.target.closest("#uc-generate")) api.busy("Starting…");
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && event.target.closest && event.target.closest("#uc-prompt")) api.busy("Starting…");
  }, true);
})();

// Runs in this browser: the server reads the prompt, a worker decodes. What it draws comes on stage as a server's run does.
(function (page) {
  "use strict";

  const { shared, make, parse } = page;
  const STORE = "uncage-runs";
  const PREPARE_MS = 300, EXPLAIN_MS = 900, FRAME_MS = 50, UNSEEN_MS = 100;
  const UNTOLD = `${page.OUT_OF_REACH}: only the trace can be taken away.`;

  // The same seed is the same picture on one device; last digits are the device's own.
  const DEVICE_NOTES = { wasm: "", webgpu: " WebGPU computed it: its last digits are its own, so a cell may come out otherwise with WebAssembly or on the server." };

  let told = null; // what the server says of fields and models
  /** @type {(name: string, data: object) => void} */
  let trigger = () => {};
  let work = null; // what the worker is doing for us
  let turn = 0;
  let awaited = 0; // the turn that waits for the model to be loaded
  let stage = null; // the runs of ours that are on stage
  let explainTimer = 0, prepareTimer = 0;
  const nodes = {};

  function remembered() {
    try {
      return localStorage.getItem(STORE) === "browser" ? "browser" : "server";
    } catch {
      return "server";
    }
  }

  const TO_SERVER = {
    label: "Run on the server",
    act() {
      choose("server");
      click("#uc-generate");
    },
  };

  let mode = remembered();
  const on = () => mode === "browser";
  let ready = null; // called when the switch is on the page; a run that a link asks for waits for it
  const attached = new Promise((resolve) => (ready = resolve));

  // The corrections of the prompt as the chips show them.
  function editsOf(text) {
    const chips = page.chips || {};
    return chips.text === text ? chips.edits || "" : "";
  }

  const hears = {
    again(silent) {
      nodes.root.dataset.device = model.computing.build;
      if (work) work.again = ` WebGPU ${silent ? "gave no answer" : "failed meanwhile"}, so WebAssembly drew it from the beginning.`;
    },
    failed: (text) => refuse(text),
    progress(message) {
      if (!work) return;
      if (work.follow) return follow.say(`Step ${message.step + 1} of ${message.num_steps}`);
      const runs = message.runs && message.runs.map((run, i) => ({ ...run, label: model.orders[work.orders[i]] || work.orders[i] }));
      if (message.step === 0) mark("first");
      page.onStage({ kind: "progress", step: message.step, num_steps: message.num_steps, elapsed_s: message.elapsed_s, from_step: work.from || 0, runs });
    },
    finished(message) {
      if (!work) return;
      const done = work;
      work = null;
      setTimeout(() => show(message, done), 0); // to take the message and to show it are two pieces of work
    },
  };
  const model = new page.HereModel(hears, {
    say,
    loading(text, share) {
      say(text);
      if (awaited) page.onStage({ kind: "progress", phase: text, share });
    },
    opened(key, device) {
      mark("opened");
      nodes.root.dataset.opened = key;
      nodes.root.dataset.device = device.build;
    },
  });
  // A prompt as the server reads it.
  const read = (text, name) => model.read(text, name, editsOf(text));

  // --- runs ---
  // When what happened, for tools/measure_browser.py and a browser's own tools.
  const mark = (what) => performance.mark(`uncage:${what}`);

  // Once the page has painted what was asked of it, and the player what followed from it; a page that nobody sees paints nothing.
  const painted = () => new Promise((done) => {
    const late = setTimeout(done, UNSEEN_MS);
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => (clearTimeout(late), done()), 0)));
  });

  async function generate(values) {
    const mine = ++turn;
    let offer = false;
    await attached;
    page.busy("Starting…");
    try {
      const asked = page.hereFields.given(told, values);
      offer = !told.models.includes(asked.model);
      const prompt = await read(asked.text, asked.model);
      offer = true;
      if (nodes.root.dataset.opened !== `${asked.model} ${asked.age}`) page.busy("Loading the model…");
      awaited = mine;
      await model.open(asked.model, asked.age);
      if (mine !== turn) return;
      mark("asked");
      await painted(); // the workers take every core: the page says first that it begins
      if (mine !== turn) return;
      work = { orders: asked.orders, model: asked.model, age: asked.age, edits: editsOf(asked.text), began: performance.now() };
      model.engine.draw(asked.orders.map((order) => ({ prompt, config: { ...asked.config, order } })), { live: true, frames: asked.frames });
    } catch (error) {
      if (mine === turn) refuse(error.message, offer, error.words);
    } finally {
      if (awaited === mine) awaited = 0;
    }
  }

  // Before anybody presses: the model is loaded and the prompt read, so that the run needs no server.
  async function prepare(values) {
    await attached;
    if (!on()) return;
    try {
      const asked = page.hereFields.given(told, values);
      await model.open(asked.model, asked.age);
      await read(asked.text, asked.model);
      nodes.root.dataset.read = asked.text;
    } catch {
      // what is wrong is said when somebody asks for a run
    }
  }

  // Beside the prompt, as what is wrong with a server's run; with an offer where the server could draw it.
  function refuse(text, offer = true, words = false) {
    work = null;
    page.onStage({ kind: "problem", text, words, offer: offer ? TO_SERVER : null });
  }

  async function show(message, done) {
    const { payload, hashes } = message;
    payload.runs.forEach((run, i) => (run.id = `here:${i}`));
    const branch = Boolean(done.branch || done.follow);
    stage = { ...(branch ? stage : null), model: done.model, age: done.age, edits: done.edits, count: payload.runs.length };
    if (!branch) stage.follow = -1;
    if (done.follow) stage.follow = payload.runs.length - 1;
    stage.guided = branch ? stage.guided : payload.runs.findIndex((run) => run.guided);
    const seconds = (performance.now() - done.began) / 1000;
    const step = branch ? done.from : message.num_steps - 1;
    await page.onStage({
      kind: "traces", here: true, seq: Date.now(), payload, ids: payload.runs.map((run) => run.id), hashes, heads, branch,
      ...(done.follow ? {} : { step }), note: `Drawn in this browser in ${seconds.toFixed(1)} s.${done.again || ""}${DEVICE_NOTES[model.computing.build]}`, untold: "The server is asked for command and link…",
    });
    mark("shown");
    updateFollow();
    if (done.follow) follow.say(`Decoded again from step ${done.from + 1} in ${seconds.toFixed(1)} s.`);
    clearTimeout(explainTimer);
    explainTimer = setTimeout(explain, done.follow ? EXPLAIN_MS : 0);
  }

  // What needs the server's rules: the diagnosis, the binding table, link, command and Python. It keeps nothing of what it is sent.
  async function explain() {
    const mine = stage;
    try {
      const answer = await model.ask("here_told", { ...(await sent(true)), edits: mine.edits });
      if (mine !== stage || !shared.here) return;
      const { player } = shared.stage;
      answer.runs.forEach((run, i) => Object.assign(player.model.runs[i].raw, run));
      player.findings.build();
      player.binding.build();
      player.setState({}, ["model"]);
      if (answer.query) {
        shared.query = answer.query;
        page.address.runs(answer.query);
      }
      page.tellTakeaway(answer);
    } catch (error) {
      if (mine === stage && shared.here) page.tellTakeaway({ untold: error.away ? UNTOLD : error.message });
    }
    nodes.root.dataset.explained = String(Number(nodes.root.dataset.explained || 0) + 1);
  }

  async function sent(slim) {
    const runs = await model.engine.files(slim);
    return { traces: runs.map(({ data }) => data), verdicts: runs.map(({ verdict }) => verdict) };
  }

  // A file of the runs on stage: traces are written here, all else by the server, which keeps nothing.
  async function file(asked) {
    try {
      return asked.kind === "npz" ? await model.engine.archive(asked.ids.map((id) => asked.notes[id] || [])) : await model.ask("here_export", { ...asked, ...(await sent(false)) });
    } catch (error) {
      return { error: error.away ? UNTOLD : error.message };
    }
  }

  const place = (id) => Number(id.split(":")[1]);

  async function heads({ id, step, word, other }) {
    try {
      if (!other) return await model.engine.heads({ run: place(id), step, word });
      const text = shared.stage.player.model.text;
      const prompt = await read(`${text} and ${/^[aeiou]/i.test(other) ? "an" : "a"} ${other}`, stage.model);
      const tokens = prompt.words.filter((one) => one.start >= prompt.text.length - other.length).flatMap((one) => one.tokens);
      const answer = await model.engine.heads({ run: place(id), step, word: -1, prompt, tokens });
      return { heads: { ...answer.heads, other } };
    } catch (error) {
      return { error: error.message };
    }
  }

  // --- branches, and the weight of all following steps ---
  async function branch(detail, name) {
    const config = detail.order ? { order: detail.order } : {};
    const edits = {};
    if (name === "knockout") edits.suppress_word = detail.word;
    else if (!detail.order) edits[detail.action] = detail.action === "forbid" ? [[detail.cell, [detail.token]]] : [detail.cell];
    page.busy(name === "branch" ? "Branching…" : "Knocking the word out…");
    await decodeOn({ branch: true, from: detail.step }, detail.run, edits, config, {});
  }

  async function decodeOn(kind, run, edits, config, how) {
    const mine = ++turn;
    try {
      await model.open(stage.model, stage.age);
      if (mine !== turn) return;
      work = { ...kind, orders: [], model: stage.model, age: stage.age, edits: stage.edits, began: performance.now() };
      model.engine.branch(run, kind.from, edits, config, { most: told.most, ...how });
    } catch (error) {
      if (mine === turn) refuse(error.message);
    }
  }

  const guidedRun = () => (shared.here && stage && stage.guided >= 0 && shared.stage ? shared.stage.player.model.runs[stage.guided] : null);

  // The steps that follow are decoded again at once; steps that two weights share are not computed twice.
  const follow = new page.Follow((from, weight) =>
    decodeOn({ follow: true, from }, stage.guided, {}, { contrast_weight: weight }, { replace: stage.follow }));
  const updateFollow = () => follow.update(guidedRun(), stage && stage.made);

  // --- the page ---
  function onEvent(name, detail) {
    if (!shared.here) return false;
    if (name === "state") updateFollow();
    if (name !== "branch" && name !== "knockout") return false;
    branch(detail, name);
    return true;
  }

  // Another seed goes into its field, and from there into the run.
  function anotherSeed() {
    if (on()) trigger("here_seed", {});
    return on();
  }

  // A node may be made after us: it is waited for.
  function whenThere(selector, act) {
    const node = document.querySelector(selector);
    if (node) act(node);
    else setTimeout(() => whenThere(selector, act), FRAME_MS);
  }
  const click = (selector) => setTimeout(() => whenThere(selector, (node) => node.click()), 0);
  const press = () => click("#uc-here-generate");

  function prepareSoon() {
    if (!on()) return;
    clearTimeout(prepareTimer);
    prepareTimer = setTimeout(() => click("#uc-here-prepare"), PREPARE_MS);
  }

  function say(text, wrong) {
    nodes.status.textContent = text;
    nodes.status.classList.toggle("uc-here-wrong", Boolean(wrong));
  }

  function choose(value, keep = true) {
    mode = value;
    try {
      if (keep) localStorage.setItem(STORE, value);
    } catch {
      // a browser that stores nothing asks again next time
    }
    for (const input of nodes.root.querySelectorAll("input")) input.checked = input.value === value;
    nodes.device.hidden = !on();
    say("");
    if (on()) prepareSoon();
  }

  // Made by the server, from the model that is on stage; says what came of it.
  async function offlinePage() {
    try {
      const id = (shared.stage && shared.stage.player.model.payload.model.id) || told.models[0];
      const { name } = await model.ask("here_page", { model: id });
      const link = make("a");
      link.href = model.address(name);
      link.download = name.split("/").pop();
      document.body.append(link);
      link.click();
      link.remove();
      return `${link.download} opens from disk and draws without a network.`;
    } catch (error) {
      return error.message;
    }
  }

  function attach(context) {
    trigger = context.trigger;
    const root = context.element.querySelector(".uc-here");
    told = parse(context.props.value);
    model.attach(context.server, told);
    Object.assign(nodes, { root, status: root.querySelector(".uc-here-status"), device: root.querySelector(".uc-here-device") });
    const devices = nodes.device.querySelector("select");
    devices.value = model.wish === "software" ? "webgpu" : model.wish;
    devices.addEventListener("change", () => {
      model.wish = devices.value;
      delete nodes.root.dataset.opened;
      prepareSoon();
    });
    for (const input of root.querySelectorAll("input")) {
      input.addEventListener("change", () => choose(input.value));
      if (input.value === "browser") input.disabled = Boolean(told.lacking);
    }
    document.addEventListener("uc-shown", (event) => {
      if (!event.detail.here) stage = null;
      else if (!event.detail.branch) stage.made = event.detail.seq;
      updateFollow();
    });
    document.addEventListener("uc-chips", prepareSoon);
    // The settings' fields are made once they are opened; their frame is there from the start.
    whenThere("#uc-settings > .label-wrap + div", (frame) => frame.prepend(root));
    choose(told.lacking ? "server" : mode, false);
    say(told.lacking);
    ready();
  }

  // A run that is asked for here never reaches the server: its event ends before Gradio hears of it.
  function ended(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }
  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    if (on() && event.target.closest("#uc-generate")) {
      ended(event);
      press();
    } else if ((work || on()) && event.target.closest("#uc-cancel")) {
      ended(event);
      turn++;
      awaited = 0;
      work = null;
      if (model.engine) model.engine.cancel();
      page.onStage({ kind: "idle", text: "Stopped. The last finished run is still here." });
    }
  }, true);
  for (const kind of ["keydown", "keypress"]) {
    document.addEventListener(kind, (/** @type {KeyboardEvent} */ event) => {
      if (!on() || event.key !== "Enter" || event.shiftKey || !(event.target instanceof Element) || !event.target.closest("#uc-prompt")) return;
      ended(event);
      if (kind === "keydown") press();
    }, true);
  }

  const offlineOffered = () => attached.then(() => !told.lacking);

  page.here = { on, toServer: TO_SERVER, generate, prepare, press, onEvent, anotherSeed, file, offlineOffered, offlinePage };
  page.attach.here = attach;
})(window.UncagePage);

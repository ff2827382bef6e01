// The stage of the first tab: what is decoding, then the player with the finished runs; files dropped on it open.
(function (page) {
  "use strict";

  const { shared, parse, setRunning } = page;

  function stage(context) {
    const { element, props, server, trigger, watch } = context;
    const bar = element.querySelector(".uc-progress");
    const progress = page.Progress(bar);
    const live = page.Live(element.querySelector(".uc-live"));
    const host = element.querySelector(".uc-player-host");
    const note = element.querySelector(".uc-stage-note");
    const about = element.querySelector(".uc-stage-about");
    const [aboutText, more] = about.children;
    let player = null;
    let wanted = 0;
    let lastSeq = null;
    let keepView = false; // another seed is looked at as the one before
    let unread = ""; // of the address: said once its runs are there
    let held = null; // what had the focus in the player while the next runs were drawn

    // What is said above the player. On a phone it is one line, and the button shows the rest.
    function tell(text) {
      aboutText.textContent = text;
      about.hidden = !text;
      open(false);
      more.hidden = !text;
      if (text) requestAnimationFrame(() => setTimeout(fit, 0)); // once the frame has laid it out: asked now, it would be laid out for this alone
    }

    function fit() {
      more.hidden = aboutText.scrollWidth <= aboutText.clientWidth;
    }

    function open(on) {
      about.classList.toggle("uc-open", on);
      more.textContent = on ? "less" : "more";
      more.setAttribute("aria-expanded", String(on));
    }
    more.addEventListener("click", () => open(!about.classList.contains("uc-open")));

    // The player goes out of sight with what has the focus: the bar has it meanwhile, then what takes its place.
    function hold() {
      if (!host.contains(document.activeElement)) return;
      held = document.activeElement;
      bar.focus({ preventScroll: true });
    }

    function giveBack(node) {
      const { activeElement } = document;
      if (held && node && (activeElement === document.body || bar.contains(activeElement))) node.focus({ preventScroll: true });
      held = null;
    }

    function onEvent(name, detail) {
      if (name === "state") {
        shared.step = detail.step;
        page.address.view(detail);
      }
      if (name === "seed") {
        busy("Another seed…");
        keepView = true;
        if (!page.here.anotherSeed()) trigger("another_seed", {});
      }
      if (name === "notes") page.notes.changed(detail);
      if (page.here.onEvent(name, detail)) return;
      if (page.edits.onEvent(name, detail, { trigger, show })) return;
      if (name === "branch" || name === "knockout") {
        busy(name === "branch" ? "Branching…" : "Knocking the word out…");
        trigger("branch", { ids: shared.ids, event: { ...detail, name } });
      }
    }

    async function show(message) {
      const ticket = ++wanted;
      // A run that was made in this browser comes with its payload.
      const answer = message.payload ? { payload: message.payload } : parse(await server.payload({ ids: message.ids }));
      if (ticket !== wanted) return;
      if (!answer || answer.error) return fail(answer ? answer.error : "The server did not answer. Is it still running?");
      // Reading the runs, building the player and telling the rest of the page are pieces of work of their own: the page answers in between.
      const model = window.UncagePlayer.read(answer.payload);
      await page.pause();
      if (ticket !== wanted) return;
      live.hide();
      progress.hide();
      setRunning(false);
      page.problem(""); // of another try
      note.textContent = message.problem || unread;
      note.hidden = !note.textContent;
      unread = "";
      tell([message.about, message.note, page.edits.fromWhere(message), answer.owed ? page.stepPictures.LATER : ""].filter(Boolean).join(" "));
      shared.ids = message.ids;
      shared.query = message.query || {};
      shared.example = message.example || "";
      shared.here = Boolean(message.here);
      const asked = page.address.asked(answer.payload.grid[1]);
      const startAt = shared.restoreStep !== null ? shared.restoreStep : message.step;
      // the runs of a link are here; its branches are still to be made
      const branches = message.here ? null : message.branches || shared.branches;
      if (message.here && shared.branches) {
        note.hidden = false;
        note.textContent = "The branches of this link are made on the server: choose “on the server”, and open the link again.";
      }
      shared.branches = null;
      shared.incomplete = Boolean(branches);
      if (!branches) shared.restoreStep = null;
      const options = { onEvent, autoplay: Boolean(message.autoplay) && !branches && !Object.keys(asked).length, actions: ["branch", "knockout", ...(message.own ? [] : ["seed"])] };
      page.edits.prepare(options, message);
      page.notes.prepare(options, message, answer.payload.runs);
      options.held = true;
      options.heads = message.heads || (async (detail) => parse(await server.heads(detail)));
      // a branch joins what the visitor was looking at: the same layer, word and cell
      options.state = (message.branch || keepView) && player ? { ...player.state } : {};
      keepView = false;
      if (Number.isInteger(startAt)) options.state.step = startAt;
      Object.assign(options.state, asked);
      if (host.contains(document.activeElement)) held = document.activeElement;
      const again = held && held.matches(".up-seed"); // whoever asked for another seed may ask for one more
      if (player && player.destroy) player.destroy();
      host.replaceChildren();
      host.hidden = false; // not before: the last player would be laid out once more
      player = window.UncagePlayer.mount(host, model, options) || null;
      shared.stage = player;
      const built = player.player;
      await page.pause();
      built.begin();
      if (ticket !== wanted) return;
      giveBack(again ? host.querySelector(".up-seed") : built.stages[built.stages.length - 1].canvas);
      // what was asked for below is seen where the pictures are
      if ((message.edit && !message.own) || message.branch) requestAnimationFrame(() => built.hook.stages.scrollIntoView({ block: "nearest" }));
      element.dataset.ready = String(message.seq);
      if (answer.owed) page.stepPictures.ask(message.ids);
      await page.pause();
      if (ticket !== wanted) return;
      document.dispatchEvent(new CustomEvent("uc-shown", { detail: message }));
      if (!branches) return;
      busy("Reproducing the branches…");
      trigger("branch", { ids: shared.ids, event: { name: "again", branches } });
    }

    function fail(text) {
      settle();
      note.hidden = false;
      note.textContent = text;
    }

    function settle() {
      keepView = false;
      shared.branches = null;
      shared.incomplete = false;
      progress.hide();
      live.hide();
      if (!player) host.replaceChildren(); // nothing is coming: no more empty stages
      host.hidden = false;
      setRunning(false);
      giveBack(held);
    }

    function busy(text) {
      setRunning(true);
      note.hidden = true;
      page.problem("");
      page.edits.asking = false;
      progress.waiting(text);
    }

    function receive() {
      const message = parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      take(message);
    }

    function take(message) {
      if (message.restore_step !== undefined) shared.restoreStep = message.restore_step;
      if (message.kind === "traces") return show(message);
      else if (message.kind === "progress") {
        setRunning(true);
        if (message.query) page.address.runs(message.query);
        progress.step(message);
        if (message.runs) {
          hold();
          host.hidden = true;
          about.hidden = true;
          live.show(message);
        }
      } else if (message.kind === "problem") {
        settle();
        if (page.edits.problem(message.text)) return;
        if (message.words) document.dispatchEvent(new CustomEvent("uc-refused")); // said beside them
        else page.problem(message.text, message.offer);
      } else if (message.kind === "restored") {
        shared.branches = message.branches || null;
        unread = message.problem || "";
        if (message.run) setTimeout(() => document.querySelector("#uc-generate").click(), 0);
        else if (unread) fail(unread);
      } else if (message.kind === "idle") {
        settle();
        if (message.text) {
          note.hidden = false;
          note.textContent = message.text;
        }
      }
    }

    // Trace files or a picture dropped on the stage take the same way as those chosen with the buttons.
    element.addEventListener("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      element.classList.add("uc-drop");
    });
    element.addEventListener("dragleave", () => element.classList.remove("uc-drop"));
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      element.classList.remove("uc-drop");
      const dropped = [...event.dataTransfer.files];
      const picture = dropped.length && dropped[0].type.startsWith("image/");
      const field = document.querySelector(`#uc-bar input[type="file"][accept*=".${picture ? "png" : "npz"}"]`);
      if (!field || !dropped.length) return;
      const files = new DataTransfer();
      for (const file of picture ? dropped.slice(0, 1) : dropped) files.items.add(file);
      field.files = files.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    });
    page.watchQueue("#uc-queue", "uc-running", (text) => progress.waiting(text));
    page.busy = busy;
    page.tellAbove = tell;
    page.edits.stage = { trigger, show };
    page.showOnStage = (message) => {
      page.openTab("play");
      show({ seq: Date.now(), ...message });
    };
    page.settle = settle;
    page.onStage = take;
    watch("value", receive);
    receive();
    element.dataset.attached = "1";
  }

  page.attach.stage = stage;
})(window.UncagePage);

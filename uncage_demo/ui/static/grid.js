// Comparison grid: many orders and seeds on one clock, shown by the player; a row opens on the stage of the first tab.
(function () {
  "use strict";

  const api = { settle() {} };
  window.UncageGrid = api;

  api.attach = function attach(context) {
    const page = window.UncagePage;
    const { element, props, server, watch } = context;
    const progress = page.Progress(element.querySelector(".uc-progress"));
    const live = page.Live(element.querySelector(".uc-live"));
    const host = element.querySelector(".uc-player-host");
    const top = element.querySelector(".uc-grid-top");
    const rows = element.querySelector(".uc-grid-rows");
    const counts = element.querySelector(".uc-grid-counts");
    const note = element.querySelector(".uc-stage-note");
    const often = element.querySelector(".uc-often");
    let player = null;
    let lastSeq = null;

    function settle() {
      progress.hide();
      live.hide();
      host.hidden = false;
      top.hidden = !player;
      document.body.classList.remove("uc-comparing");
    }
    api.settle = settle;

    function busy(text) {
      document.body.classList.add("uc-comparing");
      note.hidden = true;
      often.hidden = true;
      progress.waiting(text);
    }

    function tell(text) {
      settle();
      note.hidden = false;
      note.textContent = text;
    }

    async function show(message) {
      const answer = page.parse(await server.payload({ ids: message.ids, small: true }));
      if (!answer || answer.error) return tell(answer ? answer.error : "The server did not answer. Is it still running?");
      const judged = message.counts.filter((c) => c.judged);
      counts.replaceChildren();
      if (judged.length) counts.append(page.make("span", "uc-muted", "Fully correct, judged by a detector:"));
      for (const one of judged) {
        const count = page.make("span", "uc-count", one.title);
        count.append(page.make("strong", "", `${one.correct} of ${one.judged}`));
        counts.append(count);
      }
      rows.replaceChildren(page.make("span", "uc-muted", "Open on the stage:"));
      for (const row of message.rows) {
        rows.append(page.button("uc-small", `Seed ${row.seed}`, () => page.showOnStage({ ...row, kind: "traces", step: 0 })));
      }
      if (player) player.destroy();
      host.replaceChildren();
      player = window.UncagePlayer.mount(host, answer.payload, { autoplay: true });
      document.body.classList.add("uc-has-grid");
      settle();
      element.dataset.ready = String(message.seq);
    }

    function receive() {
      const message = page.parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      if (message.kind === "grid") show(message);
      else if (message.kind === "progress") {
        document.body.classList.add("uc-comparing", "uc-has-grid");
        progress.step(message);
        if (message.runs) {
          host.hidden = true;
          top.hidden = true;
          live.show(message);
        }
      } else if (message.kind === "stopped" || message.kind === "problem") tell(message.text);
      else if (message.kind === "often") {
        document.body.classList.add("uc-has-grid");
        if (player) player.destroy();
        player = null;
        host.replaceChildren();
        page.showOften(often, message, (run) => page.showOnStage({ ...run, kind: "traces", step: 0 }));
        if (message.rows.length === message.of) settle();
      }
    }

    document.addEventListener("click", (event) => {
      if (event.target instanceof Element && event.target.closest("#uc-compare, #uc-compare-ages, #uc-compare-often")) busy("Starting…");
    }, true);
    page.watchQueue(".uc-queue", "uc-comparing", (text) => progress.waiting(text));
    watch("value", receive);
    receive();
  };

  // What Compare would make of the settings as they are: in words, and as a grid of closed tiles until there is a real one.
  api.plan = function plan(context) {
    const { make, button, parse, openTab } = window.UncagePage;
    const { element, props, watch } = context;
    const line = element.querySelector(".uc-plan-line");
    const tiles = element.querySelector(".uc-plan-grid");

    function render() {
      const message = parse(props.value);
      line.replaceChildren();
      tiles.replaceChildren();
      if (!message) return;
      line.classList.toggle("uc-absent", Boolean(message.problem));
      if (message.problem) return line.append(make("span", "", message.problem));
      const { rows, columns, prompt, steps } = message;
      const some = (count, one) => `${count} ${one}${count === 1 ? "" : "s"}`;
      line.append(
        `${some(rows.length * columns.length, "picture")} of `, make("strong", "", prompt || "an empty prompt"),
        `: ${some(rows.length, "order")} × ${some(columns.length, "seed")}, ${some(steps, "step")}, on one clock.`,
        button("uc-small", "Change prompt or settings", () => {
          openTab("play");
          document.querySelector("#uc-prompt textarea, #uc-prompt input").focus();
        }),
      );
      tiles.style.setProperty("--columns", String(columns.length));
      tiles.append(make("span", ""), ...columns.map((seed) => make("span", "uc-plan-seed", `Seed ${seed}`)));
      for (const title of rows) tiles.append(make("span", "uc-plan-order", title), ...columns.map(() => make("i", "uc-plan-tile")));
    }

    watch("value", render);
    render();
  };
})();

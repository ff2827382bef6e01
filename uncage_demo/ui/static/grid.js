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
    const rows = element.querySelector(".uc-grid-rows");
    const note = element.querySelector(".uc-stage-note");
    const intro = element.querySelector(".uc-grid-intro");
    let player = null;
    let lastSeq = null;

    function settle() {
      progress.hide();
      live.hide();
      host.hidden = false;
      rows.hidden = false;
      document.body.classList.remove("uc-comparing");
    }
    api.settle = settle;

    function busy(text) {
      document.body.classList.add("uc-comparing");
      note.hidden = true;
      intro.hidden = true;
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
      settle();
      rows.replaceChildren(page.make("span", "uc-muted", "Open on the stage:"));
      for (const row of message.rows) {
        rows.append(page.button("uc-small", `Seed ${row.seed}`, () => page.showOnStage({ ...row, kind: "traces", step: 0 })));
      }
      if (player) player.destroy();
      host.replaceChildren();
      player = window.UncagePlayer.mount(host, answer.payload, { autoplay: true });
      element.dataset.ready = String(message.seq);
    }

    function receive() {
      const message = page.parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      if (message.kind === "grid") show(message);
      else if (message.kind === "progress") {
        document.body.classList.add("uc-comparing");
        progress.step(message);
        if (message.runs) {
          host.hidden = true;
          rows.hidden = true;
          live.show(message);
        }
      } else if (message.kind === "stopped") tell(message.text);
    }

    document.addEventListener("click", (event) => {
      if (event.target.closest && event.target.closest("#uc-compare")) busy("Starting…");
    }, true);
    page.watchQueue(".uc-queue", "uc-comparing", (text) => progress.waiting(text));
    watch("value", receive);
    receive();
  };
})();

// The address: a link that restores what is looked at, Back and Forward, reload, and the player alone in another page (?embed=1).
(function (page) {
  "use strict";

  const VIEW = ["step", "layer", "of", "object", "word", "cell", "stage", "region"]; // how the player looks at the runs
  const PLACE = ["tab", "lesson"]; // where on the page
  const START = { layer: "picture", of: "picture", object: -1, word: -1, pin: -1, touched: 0, region: null };
  const WRITE_MS = 400; // browsers count how often an address is written
  const whole = (text) => (/^[0-9]{1,6}$/.test(text || "") ? Number(text) : null);

  // Rows, columns and stages count from 1 and A in an address, as the page says them.
  function viewOf(params, columns) {
    const state = {};
    if (whole(params.get("step")) !== null) state.step = whole(params.get("step"));
    for (const name of ["layer", "of"]) if (params.get(name)) state[name] = params.get(name);
    for (const name of ["object", "word"]) if (whole(params.get(name))) state[name] = whole(params.get(name)) - 1;
    const at = (params.get("cell") || "").split("-").map(whole);
    if (columns && at.length === 2 && at[0] && at[1] && at[1] <= columns) state.pin = (at[0] - 1) * columns + at[1] - 1;
    const box = (params.get("region") || "").split("-").map(whole);
    if (box.length === 4 && box.every(Boolean)) state.region = box.map((v) => v - 1);
    if (/^[A-X]$/.test(params.get("stage") || "")) state.touched = params.get("stage").charCodeAt(0) - 65;
    return state;
  }

  function putView(params, state, columns) {
    for (const name of VIEW) params.delete(name);
    const said = (key) => state[key] !== undefined && state[key] !== START[key];
    if (Number.isInteger(state.step)) params.set("step", String(state.step));
    if (said("layer")) params.set("layer", state.layer);
    if (state.layer === "difference" && said("of")) params.set("of", state.of);
    for (const name of ["object", "word"]) if (said(name)) params.set(name, String(state[name] + 1));
    if (said("pin")) params.set("cell", `${Math.floor(state.pin / columns) + 1}-${(state.pin % columns) + 1}`);
    if (said("region") && state.region) params.set("region", state.region.map((v) => v + 1).join("-"));
    if ((said("pin") || state.region) && said("touched")) params.set("stage", String.fromCharCode(65 + state.touched));
    return params;
  }

  // What names the runs: all of an address but the view, the place on the page and how it is shown.
  function runPart(address) {
    const params = new URLSearchParams(new URL(address, window.location.href).search);
    for (const name of [...VIEW, ...PLACE, "embed"]) params.delete(name);
    params.sort();
    return params.toString();
  }

  const embedded = new URLSearchParams(window.location.search).get("embed") === "1";
  document.documentElement.classList.toggle("uc-embed", embedded);

  const arrival = new URLSearchParams(window.location.search);
  let arriving = true; // the first runs on stage are those that the address asked for
  let first = "";
  let timer = 0;
  let current = {};
  let looked = null;

  function write(link, push) {
    if (link.toString() === window.location.href) return;
    history[push ? "pushState" : "replaceState"](null, "", link);
  }

  function named(message) {
    if (message.example) return { example: message.example };
    if (message.here && !message.query) return {}; // known to this browser alone
    return message.query || { runs: message.ids.join(",") };
  }

  // Runs that are asked for, or came on stage: their address, a new entry where they are others than before.
  function runs(names) {
    if (arriving && runPart(window.location.href)) return; // the link that was followed stays as it is
    const link = new URL(window.location.pathname, window.location.origin);
    for (const [name, value] of Object.entries(names)) link.searchParams.set(name, value);
    if (embedded) link.searchParams.set("embed", "1");
    if (runPart(link) !== runPart(window.location.href)) write(link, true);
  }

  function place(tab, lesson) {
    const link = new URL(window.location.href);
    for (const name of PLACE) link.searchParams.delete(name);
    if (lesson) link.searchParams.set("lesson", String(lesson));
    else if (tab !== "play") link.searchParams.set("tab", tab);
    write(link, true);
  }

  const columnsOf = () => (page.shared.stage ? page.shared.stage.player.model.grid[1] : 0);

  // What is looked at goes into the address once the visitor has changed it.
  function view(state) {
    current = state;
    const said = putView(new URLSearchParams(), state, columnsOf()).toString();
    if (looked === null) looked = said; // how the runs came on stage needs no words
    if (said === looked || !page.shared.stage) return;
    looked = said;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const link = new URL(window.location.href);
      putView(link.searchParams, current, columnsOf());
      write(link, false);
      tellFull();
    }, WRITE_MS);
  }

  // A link to what is on stage as it is looked at.
  function shareLink(extra) {
    const link = new URL(window.location.pathname, window.location.origin);
    for (const [name, value] of Object.entries(named({ ...page.shared, example: page.shared.example }))) link.searchParams.set(name, value);
    putView(link.searchParams, page.shared.stage ? page.shared.stage.state : {}, columnsOf());
    for (const [name, value] of Object.entries(extra || {})) link.searchParams.set(name, value);
    return link.toString();
  }

  const embedCode = () => `<iframe src="${shareLink({ embed: "1" }).replace(/&/g, "&amp;").replace(/"/g, "&quot;")}" width="100%" height="720" style="border:0" title="Uncage player" allowfullscreen></iframe>`;

  function tellFull() {
    const link = document.querySelector(".uc-open-full");
    if (!link || !embedded) return;
    const full = new URL(window.location.href);
    full.searchParams.delete("embed");
    link.href = full.toString();
    link.hidden = false;
  }

  document.addEventListener("uc-shown", (event) => {
    clearTimeout(timer);
    looked = null;
    if (page.shared.incomplete) return; // the link that was followed stays until its branches are there
    const names = named(event.detail);
    if (arriving && (event.detail.autoplay || event.detail.example || runPart(window.location.href))) first = new URLSearchParams(Object.entries(names)).toString();
    else runs(names);
    arriving = false;
    tellFull();
  });

  document.addEventListener("click", (event) => {
    const tab = event.isTrusted && event.target instanceof Element && event.target.closest('#uc-tabs button[role="tab"]');
    if (tab) place(tab.getAttribute("data-tab-id"));
  });

  let before = runPart(window.location.href);
  window.addEventListener("popstate", () => {
    const now = runPart(window.location.href);
    if (now !== before && !(now === "" && before === first) && !(before === "" && now === first)) {
      window.location.reload(); // other runs, with other settings: as if the link had been opened
      return;
    }
    const params = new URLSearchParams(window.location.search);
    const lesson = params.get("lesson");
    page.openTab(lesson ? "learn" : params.get("tab") || "play");
    document.dispatchEvent(new CustomEvent("uc-lesson", { detail: { number: whole(lesson) || 0 } }));
    if (page.shared.stage) page.shared.stage.setState({ ...START, ...viewOf(params, columnsOf()) });
    before = now;
  });
  for (const name of ["pushState", "replaceState"]) {
    const plain = history[name].bind(history);
    history[name] = (...given) => {
      plain(...given);
      before = runPart(window.location.href);
    };
  }

  page.address = { runs, place, view, shareLink, embedCode, embedded, asked: (columns) => (arriving ? viewOf(arrival, columns) : {}) };
})(window.UncagePage);

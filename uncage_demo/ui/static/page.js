// The page around the player: what its parts share, the header, the model's facts. Plain DOM, no dependencies.
// Messages from the server are JSON strings in a component's value; every text in them goes through textContent.
(function () {
  "use strict";

  const { make, button } = window.UncagePlayerParts.dom;

  // What is on stage, for everything that acts on it.
  const shared = { ids: [], step: 0, stage: null, query: {}, restoreStep: null };

  function parse(text) {
    try {
      return JSON.parse(text || "null");
    } catch {
      return null;
    }
  }

  // Generate and Cancel take each other's place; whoever stood on one with the keyboard then stands on the other.
  function setRunning(running) {
    const [from, to] = running ? ["#uc-generate", "#uc-cancel"] : ["#uc-cancel", "#uc-generate"];
    const held = document.activeElement && document.activeElement.matches(from);
    document.body.classList.toggle("uc-running", running);
    const next = document.querySelector(to);
    if (held && next) next.focus({ preventScroll: true });
  }

  function openTab(id) {
    const tab = document.querySelector(`#uc-tabs button[role="tab"][data-tab-id="${id}"]`);
    if (tab) tab.click();
  }

  function theme() {
    const dark = !document.body.classList.contains("dark");
    document.body.classList.toggle("dark", dark);
    document.dispatchEvent(new CustomEvent("uc-theme", { detail: { dark } }));
  }

  function header(context) {
    const toggle = context.element.querySelector(".uc-theme");
    if (toggle) toggle.addEventListener("click", theme);
    // At once, not by way of the address: the next Tab may come before the browser has gone there.
    const skip = context.element.querySelector(".uc-skip");
    if (!skip) return;
    skip.addEventListener("click", (event) => {
      const stage = document.querySelector("#uc-stage .uc-stage");
      if (!stage) return;
      event.preventDefault();
      const hidden = !stage.offsetParent;
      if (hidden) openTab("play");
      if (hidden) setTimeout(() => stage.focus(), 50);
      else stage.focus();
    });
  }

  function model(context) {
    const { element, props, watch } = context;
    const root = element.querySelector(".uc-model");
    function render() {
      const message = parse(props.value);
      root.replaceChildren();
      if (!message) return;
      if (message.problem) return root.append(make("span", "uc-absent", message.problem));
      root.append(make("strong", "", message.title), make("span", "", message.draws), make("span", "uc-muted", message.cost));
      const fetched = message.download_gb ? `Not on this machine: the first use downloads about ${message.download_gb} GB.` : "Not all of it is on this machine.";
      if (!message.present) root.append(make("span", "uc-absent", fetched));
      const consent = document.querySelector("#uc-download");
      if (consent) consent.hidden = Boolean(message.present);
    }
    watch("value", render);
    render();
  }

  // What is wrong stands beside the prompt until the next try or another prompt, and where there is another way, a button that takes it.
  function problem(context) {
    const node = context.element.querySelector(".uc-problem");
    const tell = (text, offer = null) => {
      node.hidden = !text;
      node.textContent = text || "";
      if (text && offer) node.append(" ", button("uc-small", offer.label, offer.act));
      if (text) node.scrollIntoView({ block: "nearest" });
    };
    document.addEventListener("input", ({ target }) => {
      if (target instanceof Element && target.closest("#uc-prompt")) tell("");
    });
    page.problem = tell;
  }

  const page = (window.UncagePage = {
    shared,
    make,
    button,
    parse,
    setRunning,
    // Lets the page answer to its visitor between two pieces of work.
    pause: () => new Promise((resolve) => setTimeout(resolve, 0)),
    openTab,
    busy() {},
    tellAbove() {},
    settle() {},
    problem() {},
    showOnStage() {},
    onStage() {},
    attach: { header, model, problem },
  });

  // Open settings lie beside the pictures on a wide window: Escape puts them away.
  document.addEventListener("keydown", (event) => {
    const label = event.key === "Escape" && event.target instanceof Element && event.target.closest("#uc-settings") && document.querySelector("#uc-settings > .label-wrap.open");
    if (!label || event.defaultPrevented) return;
    label.click();
    label.focus();
  });

  // Generate by click or by Enter in the prompt shows the bar at once, before the server has said anything. Where open settings lie
  // above the pictures and not beside them, they are put away: else nothing seems to happen.
  function begin() {
    window.UncagePage.busy("Starting…");
    if (matchMedia("(max-width: 1059px)").matches) document.querySelector("#uc-settings > .label-wrap.open")?.click();
  }
  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest("#uc-generate")) begin();
  }, true);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && event.target instanceof Element && event.target.closest("#uc-prompt")) begin();
  }, true);
})();

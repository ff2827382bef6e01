// Guided first play: prompt, attention, score, pick. Four callouts on the runs on stage; Escape or "Skip" ends them at any time.
(function (page) {
  "use strict";

  const { make, button } = page;
  const STORE = "uncage-tour";
  const EARLY = 1; // a step with few picks, counted from 0

  // Each callout: where it points, what it says, and what it shows first.
  /** @type {{ at: string, title: string, says: string, show: (on: { view: any, picked: number }) => void }[]} */
  const STOPS = [
    {
      at: "#uc-chips .uc-chips", title: "1. The prompt",
      says: "The model reads words. A coloured word is an object, with its colour beside it. If a word is misread, click it.",
      show: ({ view }) => view({ layer: "picture", step: 0, pin: -1, region: null }),
    },
    {
      at: "#uc-stage .up-canvas", title: "2. Attention",
      says: "Every cell looks at some words more than at others. Here each cell has the colour of the object that it attends to most.",
      show: ({ view }) => view({ layer: "object", object: -1, step: EARLY, pin: -1 }),
    },
    {
      at: "#uc-stage .up-card", title: "3. The score",
      says: "Each open cell gets a score. The baseline adds confidence and random noise; guidance adds weight × contrast, read from attention. This is the sum for one cell.",
      show: ({ view, picked }) => view({ layer: "picture", step: EARLY, pin: picked }),
    },
    {
      at: "#uc-stage .up-canvas", title: "4. The pick",
      says: "The highest scores are decided now: the outlined cells. All others stay masked, and the next step begins. Play shows the rest.",
      show: ({ view }) => view({ layer: "picture", step: EARLY, pin: -1 }),
    },
  ];

  let box = null;
  let number = 0;
  let anchor = null;
  let came = null; // where the focus was

  function remember() {
    try {
      localStorage.setItem(STORE, "seen");
    } catch {
      // a browser that stores nothing offers it again
    }
    for (const node of document.querySelectorAll(".uc-tour-start")) node.classList.remove("uc-new");
  }

  function seen() {
    try {
      return localStorage.getItem(STORE) !== null;
    } catch {
      return true;
    }
  }

  function place() {
    if (!box || !anchor) return;
    const at = anchor.getBoundingClientRect(), own = box.getBoundingClientRect(), gap = 12;
    const below = at.bottom + gap + own.height < window.innerHeight, above = at.top - gap - own.height > 0;
    const beside = at.right + gap + own.width < window.innerWidth;
    let top = below ? at.bottom + gap : above ? at.top - gap - own.height : Math.max(8, at.top), left = at.left;
    if (!below && !above) left = beside ? at.right + gap : at.left - gap - own.width;
    if (left < 8 && !below && !above) top = 8; // no room anywhere beside it: over the top of the window
    box.style.left = `${Math.max(8, Math.min(window.innerWidth - own.width - 8, left))}px`;
    box.style.top = `${Math.max(8, Math.min(window.innerHeight - own.height - 8, top))}px`;
  }

  function end(play) {
    if (anchor) anchor.classList.remove("uc-tour-at");
    if (box) box.remove();
    box = anchor = null;
    window.removeEventListener("resize", place);
    window.removeEventListener("scroll", place, true);
    remember();
    if (play && page.shared.stage) page.shared.stage.play();
    if (came && came.isConnected) came.focus({ preventScroll: true });
  }

  function show() {
    const stop = STOPS[number];
    const { stage } = page.shared;
    const { model } = stage.player;
    const run = model.runs[model.runs.length - 1];
    const picked = Math.max(0, Array.from({ length: model.cells }, (_, i) => i).findIndex((i) => run.committed(run.local(EARLY), i)));
    stage.pause();
    stop.show({ view: (state) => stage.setState(state), picked });
    if (anchor) anchor.classList.remove("uc-tour-at");
    anchor = document.querySelector(stop.at);
    anchor.classList.add("uc-tour-at");
    const top = anchor.getBoundingClientRect().top;
    if (top < 0 || top > window.innerHeight * 0.7) anchor.scrollIntoView({ block: "center" });
    const last = number === STOPS.length - 1;
    const next = button("uc-tour-next", last ? "Play" : "Next", () => {
      number += 1;
      if (last) end(true);
      else show();
    });
    const row = make("div", "uc-tour-row");
    row.append(make("span", "uc-tour-count", `${number + 1} of ${STOPS.length}`), button("uc-small", last ? "Close" : "Skip", () => end(false)), next);
    const title = make("h2", "", stop.title), says = make("p", "", stop.says);
    title.id = "uc-tour-title";
    says.id = "uc-tour-says";
    box.replaceChildren(title, says, row);
    requestAnimationFrame(() => requestAnimationFrame(place));
    place();
    next.focus({ preventScroll: true });
  }

  function start() {
    if (!page.shared.stage || box) return;
    came = document.activeElement;
    number = 0;
    page.openTab("play");
    box = make("div", "uc-tour");
    box.setAttribute("role", "dialog");
    box.setAttribute("aria-labelledby", "uc-tour-title");
    box.setAttribute("aria-describedby", "uc-tour-says");
    box.addEventListener("keydown", (event) => {
      if (event.key === "Escape") end(false);
    });
    document.body.append(box);
    window.addEventListener("resize", place);
    window.addEventListener("scroll", place, true);
    show();
  }

  document.addEventListener("click", (event) => {
    if (event.target instanceof Element && event.target.closest(".uc-tour-start")) start();
  });
  document.addEventListener("uc-shown", () => {
    if (box) end(false); // other runs on stage: what it spoke of is gone
    if (!seen()) for (const node of document.querySelectorAll(".uc-tour-start")) node.classList.add("uc-new");
  });

  page.tour = { start };
})(window.UncagePage);

// Lessons: a text with goals beside a player on a shipped run. A goal is met by doing it in the player; nothing is asked of the server.
(function () {
  "use strict";

  const STORE = "uncage-lessons-done";
  const CHECK_MS = 150;

  function done() {
    try {
      return new Set(JSON.parse(localStorage.getItem(STORE) || "[]"));
    } catch {
      return new Set();
    }
  }

  function remember(number) {
    try {
      localStorage.setItem(STORE, JSON.stringify([...done().add(number)]));
    } catch {
      // a browser that stores nothing still teaches
    }
  }

  // Every condition that a goal may ask for, with the value that it gives.
  const GOALS = {
    layer: ({ wanted, state }) => state.layer === wanted,
    layers: ({ wanted, seen }) => wanted.every((name) => seen.layers.has(name)),
    step_at_least: ({ wanted, state }) => state.step + 1 >= wanted,
    step_at_most: ({ wanted, state }) => state.step + 1 <= wanted,
    to_end: ({ state, seen }) => state.step >= seen.last,
    pin: ({ wanted, state }) => (state.pin >= 0) === wanted,
    pins_both: ({ seen }) => seen.kept && seen.waits,
    object: ({ wanted, state }) => (wanted === true ? state.object >= 0 : state.object === wanted),
    word: ({ state }) => state.word >= 0 && state.layer === "word",
    words: ({ wanted, seen }) => wanted.every((word) => seen.words.has(word)),
    at_fork: ({ state, seen }) => seen.fork !== null && state.step === seen.fork,
    pin_differs: ({ state, seen }) => state.pin >= 0 && seen.differs(state.step, state.pin),
    unguided: ({ state, seen }) => state.step >= seen.guided,
    what_if: ({ state }) => Boolean(state.whatIf),
    what_if_weight: ({ wanted, state }) => Boolean(state.whatIf) && Math.abs(state.whatIf.weight - wanted) < 0.051,
    what_if_weight_at_least: ({ wanted, state }) => Boolean(state.whatIf) && state.whatIf.weight >= wanted,
    what_if_off: ({ wanted, state }) => Boolean(state.whatIf) && state.whatIf[wanted] === false,
    finds: ({ wanted, state, seen }) => state.pin >= 0 && seen.shown(wanted, state.touched, state.pin),
    unlocked: ({ state }) => state.locked === false,
    paints: ({ wanted, seen }) => seen.covers(seen.shownCells(wanted)),
    paints_around: ({ wanted, seen }) => seen.covers(seen.around(seen.shownCells(wanted))),
    asks: ({ seen }) => seen.asked,
  };

  // A goal is a set of conditions on the player's state, all of which must hold at once.
  function met(goal, state, seen) {
    return Object.entries(goal).every(([name, wanted]) => (GOALS[name] ? GOALS[name]({ wanted, state, seen }) : false));
  }

  // The findings that judge a run: its problems, or that there is none, or that nothing can be said.
  const JUDGING = ["clear", "weak", "detector"];
  const judges = (finding) => finding.severity !== "info" || JUDGING.includes(finding.kind);
  const findingsOf = (run) => (run && run.raw.findings) || [];
  const first = (findings, wanted) => findings.filter(wanted).map((finding) => finding.text)[0];

  // What a lesson says of a run's diagnosis: the first finding that judges it, as the list under the player has it.
  const judgement = (findings) => first(findings, judges) || "Nothing wrong was found.";

  // Every {word} that a lesson's text may hold. What it says comes from the run itself: a step, a count, a sentence of the diagnosis.
  const WORDS = {
    steps: ({ model }) => String(model.steps),
    guided: ({ guided }) => String(guided),
    fork: ({ fork }) => String((fork || 0) + 1),
    diagnosis: ({ one }) => judgement(findingsOf(one)),
    diagnosis_guided: ({ two }) => judgement(findingsOf(two)),
    guidance: ({ two }) => first(findingsOf(two), (finding) => finding.kind === "guidance") || "",
  };

  function facts(model, payload) {
    const forks = payload.runs.map((r) => r.divergence).filter((v) => v !== null && v !== undefined);
    const guidedSteps = (run) => run.weight.reduce((last, w, s) => (w !== 0 ? run.firstStep + s + 1 : last), 0);
    const guided = Math.max(0, ...model.runs.map(guidedSteps));
    const fork = forks.length ? Math.min(...forks) : null;
    const [one, two] = [model.runs[0], model.runs[1]];
    const kept = (run, step, cell) => Boolean(run.committed(run.local(step), cell));
    return {
      fork,
      guided,
      last: model.done - 1,
      keeps: (step, cell) => kept(one, step, cell),
      leaves: (step, cell) => one.hidden(one.local(step), cell),
      differs: (step, cell) => Boolean(two) && kept(one, step, cell) !== kept(two, step, cell),
      words: Object.fromEntries(Object.entries(WORDS).map(([name, say]) => [name, say({ model, guided, fork, one, two })])),
    };
  }

  // What a visitor painted, against what there is to paint: the cells of stage A that show a failure, and those around them.
  function brushed(player, shown) {
    const [rows, columns] = player.model.grid;
    const cells = () => (player.brush.on && player.brush.run === 0 ? player.brush.cells : []);
    return {
      asked: false,
      shownCells: (kind) => (shown[0] || {})[kind] || [],
      covers: (wanted) => wanted.length > 0 && wanted.every((cell) => cells()[cell]),
      around: (wanted) => Array.from({ length: rows * columns }, (_, i) => i).filter((i) => wanted.some((cell) => {
        const down = Math.abs(Math.floor(cell / columns) - Math.floor(i / columns)), across = Math.abs((cell % columns) - (i % columns));
        return Math.max(down, across) <= 1;
      })),
    };
  }

  function filled(text, words) {
    return text.replace(/\{(\w+)\}/g, (whole, name) => (name in words ? words[name] : whole));
  }

  function attach(context) {
    const page = window.UncagePage;
    const { make, button, parse } = page;
    const { element, props, server, watch } = context;
    const list = element.querySelector(".uc-lesson-list");
    const terms = element.querySelector(".uc-terms");
    const text = element.querySelector(".uc-lesson");
    const bar = element.querySelector(".uc-lesson-bar"); // on a phone, where the text is above the screen while the player is used
    const host = element.querySelector(".uc-player-host");
    let lastSeq = null;
    let player = null;
    let timer = 0;
    let ticket = 0;
    let shown = 0; // the lesson in view, 0 for the list

    function stop() {
      clearInterval(timer);
      if (player) player.destroy();
      player = null;
      host.replaceChildren();
      bar.hidden = true;
    }

    async function showList() {
      stop();
      text.replaceChildren();
      element.classList.remove("uc-in-lesson");
      const answer = parse(await server.lesson({ number: 0 }));
      if (!answer || answer.error) return tell(answer);
      const finished = done();
      list.hidden = false;
      list.replaceChildren();
      const first = button("uc-lesson-card uc-tour-start");
      first.append(make("span", "uc-lesson-number", "▷"), make("strong", "", "First play"),
        make("span", "uc-muted", "Four callouts on the Play tab: prompt, attention, score, pick."), make("span", "uc-muted uc-lesson-minutes", "half a minute"));
      list.append(first);
      answer.lessons.forEach((lesson, index) => {
        const card = button("uc-lesson-card", undefined, () => visit(index + 1));
        card.append(
          make("span", "uc-lesson-number", finished.has(index + 1) ? "✓" : String(index + 1)),
          make("strong", "", lesson.title),
          make("span", "uc-muted", lesson.about),
          make("span", "uc-muted uc-lesson-minutes", `${lesson.minutes} min`),
        );
        card.setAttribute("aria-label", `Lesson ${index + 1}: ${lesson.title}${finished.has(index + 1) ? ", done" : ""}`);
        list.append(card);
      });
      terms.hidden = false;
      terms.replaceChildren(make("h2", "", "Terms"), make("dl", ""));
      for (const { term, says } of answer.terms) terms.lastElementChild.append(make("dt", "", term), make("dd", "", says));
      terms.append(make("h2", "", "Papers to read next"), make("dl", ""));
      for (const { title, arxiv, says } of answer.papers) {
        const name = make("dt", ""), link = make("a", "", title);
        Object.assign(link, { href: `https://arxiv.org/abs/${arxiv}`, target: "_blank", rel: "noopener" });
        name.append(link);
        terms.lastElementChild.append(name, make("dd", "", `${says} arXiv ${arxiv}`));
      }
    }

    // As a visitor goes: with an entry of its own, so that Back leads here again.
    function visit(number) {
      page.address.place("learn", number);
      open(number);
    }

    function tell(answer) {
      list.hidden = true;
      text.replaceChildren(make("p", "uc-stage-note", answer ? answer.error : "The server did not answer. Is it still running?"));
    }

    async function open(number) {
      const mine = ++ticket;
      shown = number;
      if (!number) return showList();
      stop();
      const lesson = parse(await server.lesson({ number }));
      if (mine !== ticket) return;
      if (!lesson || lesson.error) return tell(lesson);
      const answer = parse(await server.payload({ ids: lesson.ids }));
      if (mine !== ticket) return;
      if (!answer || answer.error) return tell(answer);
      list.hidden = terms.hidden = true;
      element.classList.add("uc-in-lesson");
      run(lesson, answer.payload);
    }

    function run(lesson, payload) {
      const { guided_step: guidedStep, ...start } = lesson.start || {};
      const asksToEdit = lesson.steps.some(({ goal }) => goal.asks);
      player = window.UncagePlayer.mount(host, payload, { state: start, actions: asksToEdit ? ["edit"] : [], edit: page.edits && page.edits.brush, onEvent });
      const known = facts(player.player.model, payload);
      lesson.words = known.words;
      if (guidedStep) player.setStep(known.guided - 1);
      /** @type {any} */
      const seen = { ...known, ...brushed(player.player, lesson.shown), shown: (kind, run, cell) => ((lesson.shown[run] || {})[kind] || []).includes(cell) };
      // What the brush asks for is drawn on the first tab, where the model is.
      function onEvent(name, detail) {
        if (name !== "edit") return;
        seen.asked = true;
        look();
        page.edits.fromLesson(lesson.number, lesson.ids, detail);
      }
      const forget = () => Object.assign(seen, { layers: new Set(), words: new Set(), kept: false, waits: false });
      forget();
      let current = 0;
      render(lesson, current);
      element.dataset.lesson = String(lesson.number);
      element.dataset.step = "0";
      const look = () => {
        if (!player || current >= lesson.steps.length || element.offsetParent === null) return;
        const state = player.state;
        seen.layers.add(state.layer);
        seen.kept = seen.kept || (state.pin >= 0 && seen.keeps(state.step, state.pin));
        seen.waits = seen.waits || (state.pin >= 0 && seen.leaves(state.step, state.pin));
        if (state.layer === "word" && state.word >= 0) seen.words.add(player.player.model.words[state.word].text);
        if (!met(lesson.steps[current].goal, state, seen)) return;
        current += 1;
        forget();
        // what was clicked for this goal must not meet the next one
        if (lesson.steps[current - 1].goal.finds) player.setState({ pin: -1 });
        element.dataset.step = String(current);
        if (current === lesson.steps.length) remember(lesson.number);
        render(lesson, current);
      };
      timer = setInterval(look, CHECK_MS);
    }

    function render(lesson, current) {
      text.replaceChildren();
      const top = make("div", "uc-lesson-top");
      top.append(button("uc-small", "All lessons", () => visit(0)), make("span", "uc-muted", `Lesson ${lesson.number} of ${lesson.count}`));
      text.append(top, make("h2", "", lesson.title));
      for (const paragraph of lesson.intro) text.append(make("p", "", paragraph));
      const steps = make("ol", "uc-lesson-steps");
      lesson.steps.forEach((step, index) => {
        if (index > current) return;
        const item = make("li", index < current ? "uc-done" : "uc-now");
        item.append(make("p", "uc-do", filled(step.do, lesson.words)));
        if (index < current) item.append(make("p", "uc-then", filled(step.then, lesson.words)));
        steps.append(item);
      });
      text.append(steps);
      const left = lesson.steps.length - current;
      if (left) text.append(make("p", "uc-muted", left === 1 ? "Last step." : `${left} steps to go.`));
      else {
        text.append(make("p", "uc-lesson-end", filled(lesson.end, lesson.words)));
        const next = lesson.number < lesson.count;
        text.append(button("uc-small uc-next", next ? "Next lesson" : "Back to all lessons", () => visit(next ? lesson.number + 1 : 0)));
      }
      const now = text.querySelector(".uc-now") || text.querySelector(".uc-lesson-end");
      bar.hidden = false;
      bar.replaceChildren();
      if (current) bar.append(make("span", "uc-lesson-then", filled(lesson.steps[current - 1].then, lesson.words)));
      bar.append(make("strong", "", left ? `${current + 1} of ${lesson.steps.length}: ${filled(lesson.steps[current].do, lesson.words)}` : "✓ Lesson finished. What comes next is above."));
      bar.onclick = () => now.scrollIntoView({ block: "center" });
      element.style.setProperty("--up-above", `${bar.offsetHeight}px`); // pictures that stay in view keep clear of it
      // in a column of its own the text follows: what was just done stays in view above what comes next
      const done = left ? now.previousElementSibling || now : now;
      text.scrollTop += done.getBoundingClientRect().top - text.getBoundingClientRect().top - 12;
      // ... and the column is as high as the window, but begins below the page's head: its end would stay out of view
      if (!left && getComputedStyle(bar).display === "none") text.lastElementChild.scrollIntoView({ block: "nearest" });
    }

    function receive() {
      const message = parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      if (message.kind === "lesson") open(message.number);
    }

    document.addEventListener("uc-lesson", (event) => {
      if (event.detail.number !== shown) open(event.detail.number);
    });
    watch("value", receive);
    receive();
  }

  window.UncageLessons = { attach, judgement, goals: Object.keys(GOALS), words: Object.keys(WORDS) };
})();

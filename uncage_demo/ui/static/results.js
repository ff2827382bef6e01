// Results tab: tables as plots, filters, and single pictures made again. Every text goes through textContent.
(function () {
  "use strict";

  const OUTCOMES = {
    right: "fully correct", wrong: "not correct", better: "correct, baseline not", worse: "not correct, baseline was", "both wrong": "both not correct",
  };
  const FAILURES = { missing: "missing object", mixture: "mixture", miscolored: "wrong colour", leaked: "leaked colour", duplicate: "duplicate", extra: "extra object" };
  const api = { settle() {} };
  window.UncageResults = api;

  // ---- Plot: one row per method, its rate and its difference from the baseline with their intervals --------------------

  function niceTicks(low, high, count) {
    const rough = (high - low) / count || 1;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 5, 10].find((m) => m * power >= rough) || 10);
    const ticks = [];
    for (let v = Math.ceil(low / step - 1e-9) * step; v <= high + step * 1e-9; v += step) ticks.push(Math.abs(v) < step * 1e-6 ? 0 : Number(v.toPrecision(10)));
    return ticks;
  }

  function scaleOf(values, include) {
    const known = values.flat().filter((v) => v !== null && v !== undefined).concat(include);
    let low = Math.min(...known), high = Math.max(...known);
    const room = (high - low || 1) * 0.06;
    low -= room;
    high += room;
    return { low, high, ticks: niceTicks(low, high, 4), at: (v) => (100 * (v - low)) / (high - low) };
  }

  function track(make, scale, numbers, className, reference) {
    const node = make("div", `ur-track ${className}`);
    for (const tick of scale.ticks) {
      const line = make("i", "ur-grid");
      line.style.left = `${scale.at(tick)}%`;
      node.append(line);
    }
    const base = make("i", "ur-zero");
    base.style.left = `${scale.at(reference)}%`;
    node.append(base);
    if (!numbers) return node;
    const [value, low, high] = numbers;
    if (low !== null) {
      const bar = make("i", "ur-interval");
      bar.style.left = `${scale.at(low)}%`;
      bar.style.width = `${scale.at(high) - scale.at(low)}%`;
      node.append(bar);
    }
    const dot = make("i", "ur-dot");
    dot.style.left = `${scale.at(value)}%`;
    node.append(dot);
    return node;
  }

  function axis(make, scale, className) {
    const node = make("div", `ur-track ur-axis ${className}`);
    for (const tick of scale.ticks) {
      const text = make("span", "", String(tick).replace("-", "−"));
      text.style.left = `${scale.at(tick)}%`;
      node.append(text);
    }
    return node;
  }

  function clear(numbers) {
    return numbers && numbers[1] !== null && (numbers[1] > 0 || numbers[2] < 0);
  }

  // A minus sign as on the axes, not a hyphen.
  function minus(text) {
    return text.replace(/-(?=[0-9])/g, "−");
  }

  function plot(make, table, called, onMethod) {
    const base = table.rows.find((r) => r.method === table.baseline);
    const rates = scaleOf(table.rows.map((r) => r.rate), []);
    const differences = scaleOf(table.rows.map((r) => r.difference || [0]), [0]);
    const root = make("div", "ur-plot");
    const head = make("div", "ur-row ur-head");
    head.append(
      make("span", "ur-name"), axis(make, rates, "ur-rate"), make("span", "ur-number ur-rate-text", table.name),
      axis(make, differences, "ur-difference"), make("span", "ur-number ur-difference-text", `against ${table.against}${table.unit ? `, ${table.unit}` : ""}`),
      make("span", "ur-number ur-counts", "win / tie / loss"), make("span", "ur-number ur-p", "p (Holm)"),
    );
    root.append(head);
    for (const row of table.rows) {
      const line = make("div", "ur-row");
      if (row === base) line.classList.add("ur-base");
      if (clear(row.difference)) line.classList.add("ur-clear");
      const name = make("button", "ur-name", called(row.method));
      name.type = "button";
      name.title = "Show its single pictures";
      name.addEventListener("click", () => onMethod(row.method));
      const difference = make("span", "ur-number ur-difference-text", minus(row.difference_text || "baseline"));
      line.append(
        name, track(make, rates, row.rate, "ur-rate", base.rate[0]), make("span", "ur-number ur-rate-text", minus(row.rate_text)),
        track(make, differences, row.difference, "ur-difference", 0), difference,
        make("span", "ur-number ur-counts", row.counts || ""), make("span", "ur-number ur-p", row.holm || ""),
      );
      root.append(line);
    }
    return root;
  }

  function numbersTable(make, table) {
    const node = make("table");
    const rows = [table.headings, ...table.cells].map((cells, i) => {
      const line = make("tr");
      line.append(...cells.map((text, j) => make(i === 0 || j === 0 ? "th" : "td", "", text)));
      return line;
    });
    node.append(...rows);
    return node;
  }

  // ---- The tab -------------------------------------------------------------------------------------------------------

  api.attach = function attach(context) {
    const { make, button, parse, Progress, Live, watchQueue } = window.UncagePage;
    const { element, props, server, trigger, watch } = context;
    const find = (name) => element.querySelector(`.ur-${name}`);
    const progress = Progress(element.querySelector(".uc-progress"));
    const live = Live(element.querySelector(".uc-live"));
    const note = element.querySelector(".uc-stage-note");
    const host = element.querySelector(".uc-player-host");
    const drawn = new Map(); // key of a line -> its finished runs
    const listed = new Map(); // key -> the list item shown
    let overview = null, current = null, shown = [], count = 0, opening = null, opened = null, player = null, lastSeq = null, ticket = 0;

    async function ask(name, data) {
      const answer = parse(await server[name](data));
      if (!answer) throw new Error("The server did not answer. Is it still running?");
      if (answer.error) throw new Error(answer.error);
      return answer;
    }

    function tell(text) {
      note.hidden = !text;
      note.textContent = text || "";
    }

    function fill(select, choices) {
      const before = select.value;
      select.replaceChildren(...choices.map(([value, text]) => new Option(text, value)));
      if (choices.some(([value]) => value === before)) select.value = before;
    }

    // What each closed menu says, over the menu itself, which cuts what is too long on a phone.
    const said = [...element.querySelectorAll(".ur-controls select")].map((menu) => {
      const [box, text] = [make("span", "ur-chosen"), make("span", "ur-said")];
      text.setAttribute("aria-hidden", "true");
      menu.replaceWith(box);
      box.append(text, menu);
      menu.addEventListener("change", sayChosen);
      return { menu, text };
    });

    function sayChosen() {
      for (const { menu, text } of said) {
        const [option] = menu.selectedOptions;
        const group = option && option.parentElement instanceof HTMLOptGroupElement ? `${option.parentElement.label}: ` : "";
        text.textContent = option ? group + option.text : "";
      }
    }

    function select() {
      current = overview.experiments[Number(find("experiment").value)];
      const categories = current.categories.length > 1 ? current.categories : [];
      fill(find("category"), [["", "all prompts"], ...categories.map((c) => [c, c])]);
      fill(find("metric"), current.metrics.map((key) => [key, overview.metrics[key]]));
      find("metric").value = current.primary;
      const before = find("method").value;
      fill(find("method"), current.methods.map((m) => [m, m === current.baseline && called(m) !== "Baseline" ? `${called(m)} (baseline)` : called(m)]));
      const other = current.methods.find((m) => m === "uncage") || current.methods.find((m) => m !== current.baseline);
      if (find("method").value !== before && other) find("method").value = other;
      sayChosen();
      refresh();
    }

    // What the rest of the page calls a method of the result lines.
    function called(method) {
      return overview.methods[method] || method;
    }

    function place() {
      return { experiment: current.experiment, suite: current.suite, category: find("category").value };
    }

    async function refresh() {
      showTable();
      showImages(true);
    }

    async function showTable() {
      const mine = ++ticket;
      if (!find("table").firstChild) find("table").append(make("p", "uc-muted", "Computing the intervals…"));
      find("table").classList.add("ur-busy");
      try {
        const table = await ask("results_table", { ...place(), metric: find("metric").value });
        if (mine !== ticket) return;
        find("table").replaceChildren(plot(make, table, called, (method) => {
          find("method").value = method;
          showImages(true);
          find("heading").scrollIntoView({ behavior: "smooth" });
        }));
        const better = table.higher_is_better ? "" : " Lower is better.";
        find("caption").textContent = `${table.caption} ${table.judge} Lines: 95 % intervals by prompt. On the right, a difference is bold and its dot filled where its interval excludes zero. p (Holm) is another test, corrected for all comparisons of the table: it may be above 0.05 beside a bold difference.${better}`;
        find("numbers").lastElementChild.replaceChildren(numbersTable(make, table));
        element.dataset.table = `${current.experiment} ${current.suite} ${find("category").value} ${table.metric}`;
      } catch (error) {
        if (mine !== ticket) return;
        find("table").replaceChildren(make("p", "uc-muted", error.message));
      }
      find("table").classList.remove("ur-busy");
    }

    async function showImages(fresh) {
      if (fresh) shown = [];
      const wanted = { method: find("method").value, outcome: find("outcome").value, failure: find("failure").value, prompt: find("prompt").value };
      try {
        const answer = await ask("results_images", { ...place(), ...wanted, first: shown.length });
        const now = { method: find("method").value, outcome: find("outcome").value, failure: find("failure").value, prompt: find("prompt").value };
        if (JSON.stringify(now) !== JSON.stringify(wanted)) return;
        shown = shown.concat(answer.rows);
        count = answer.count;
        list();
      } catch (error) {
        tell(error.message);
      }
    }

    function verdict(run) {
      const node = make("div", "ur-verdict");
      node.append(make("span", "ur-who", called(run.method)));
      const word = run.correct === null ? "not judged" : run.correct ? "✓ fully correct" : "✗ not correct";
      node.append(make("span", run.correct === null ? "uc-muted" : run.correct ? "ur-good" : "ur-bad", word));
      for (const failure of run.failures) node.append(make("span", "ur-kind", FAILURES[failure] || failure));
      return node;
    }

    function item(row) {
      const node = make("li", "ur-item");
      const head = make("div", "ur-item-head");
      head.append(make("span", "ur-text", row.prompt), make("span", "uc-muted", `seed ${row.seed}`));
      const runs = make("div", "ur-runs");
      row.runs.forEach((run, i) => {
        const box = make("figure", "ur-run");
        const made = drawn.get(row.key);
        if (made) {
          const picture = new Image(96, 96);
          picture.alt = `${called(run.method)}: ${row.prompt}`;
          picture.src = made[i].picture;
          box.append(picture);
        }
        box.append(verdict(run));
        runs.append(box);
      });
      const open = button("uc-small ur-open", "Open", () => openPair(row));
      open.setAttribute("aria-label", `Open ${row.prompt}, seed ${row.seed}`);
      if (row.unknown) {
        open.disabled = true;
        open.title = row.unknown;
      }
      node.append(head, runs, open);
      return node;
    }

    function list() {
      listed.clear();
      find("list").replaceChildren(...shown.map((row) => {
        const node = item(row);
        listed.set(row.key, node);
        return node;
      }));
      find("count").textContent = count ? `${count.toLocaleString("en")} ${count === 1 ? "picture matches" : "pictures match"}` : "No picture matches.";
      find("more").hidden = shown.length >= count;
      find("draw").hidden = !missing().length;
      find("draw").textContent = `Draw ${missing().length === 1 ? "the next one" : `the next ${missing().length}`}`;
      element.dataset.listed = String(shown.length);
    }

    function missing() {
      return shown.filter((row) => !row.unknown && !drawn.has(row.key)).slice(0, overview.max_drawn);
    }

    // ---- making pictures again -----------------------------------------------------------------------------------------

    function draw(rows) {
      if (document.body.classList.contains("uc-redrawing")) return;
      document.body.classList.add("uc-redrawing");
      tell("");
      find("stop").hidden = false;
      progress.waiting("Starting…");
      trigger("results_draw", { keys: rows.map((row) => row.key) });
    }

    function settle() {
      document.body.classList.remove("uc-redrawing");
      find("stop").hidden = true;
      progress.hide();
      live.hide();
    }
    api.settle = () => {
      opening = null;
      settle();
    };

    function openPair(row) {
      opening = row;
      if (drawn.has(row.key)) return mount();
      draw([row]);
    }

    async function mount() {
      const row = opening, runs = drawn.get(row.key);
      opening = null;
      try {
        const answer = await ask("results_payload", { ids: runs.map((r) => r.id), titles: runs.map((r) => r.title) });
        if (player) player.destroy();
        host.replaceChildren();
        find("opened").hidden = false;
        player = window.UncagePlayer.mount(host, answer.payload, {});
        opened = { ids: runs.map((r) => r.id) };
        find("opened-title").textContent = `${row.prompt}, seed ${row.seed}`;
        const same = runs.every((r) => r.identical);
        find("same").textContent = same ? "the measured pictures, bit for bit" : "not the measured pictures bit for bit (another machine's arithmetic)";
        find("same").className = `ur-same ${same ? "ur-good" : "ur-bad"}`;
        find("opened").scrollIntoView({ behavior: "smooth", block: "start" });
        element.dataset.opened = row.key;
      } catch (error) {
        drawn.delete(row.key); // its run is no longer kept; the next click makes it again
        tell(error.message);
        list();
      }
    }

    function receive() {
      const message = parse(props.value);
      if (!message || message.seq === lastSeq) return;
      lastSeq = message.seq;
      if (message.kind === "progress") {
        progress.step(message);
        if (message.runs) live.show(message);
      } else if (message.kind === "drawn") {
        settle();
        for (const pair of message.pairs) drawn.set(pair.key, pair.runs);
        list();
        if (opening && drawn.has(opening.key)) mount();
      } else if (message.kind === "stopped") {
        api.settle();
        tell(message.text);
      }
    }

    async function start() {
      try {
        overview = await ask("results_overview", {});
      } catch (error) {
        find("nothing").textContent = error.message;
        return;
      }
      if (overview.nothing) {
        find("nothing").textContent = overview.nothing;
        return;
      }
      find("nothing").hidden = true;
      find("all").hidden = false;
      find("warning").hidden = !overview.note;
      find("warning").textContent = overview.note;
      find("experiment").replaceChildren(...Object.entries(overview.models).map(([model, title]) => {
        const group = make("optgroup");
        group.label = title;
        group.append(...overview.experiments.flatMap((e, i) => (e.model === model ? [new Option(e.title, String(i))] : [])));
        return group;
      }));
      fill(find("outcome"), [["", "any"], ...overview.outcomes.map((o) => [o, OUTCOMES[o] || o])]);
      find("outcome").value = "wrong"; // failures teach most
      fill(find("failure"), [["", "any"], ...overview.failures.map((f) => [f, FAILURES[f] || f])]);
      select();
    }

    find("experiment").addEventListener("change", select);
    find("category").addEventListener("change", refresh);
    find("metric").addEventListener("change", showTable);
    for (const name of ["method", "outcome", "failure"]) find(name).addEventListener("change", () => showImages(true));
    let typing = 0;
    find("prompt").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => showImages(true), 250);
    });
    find("more").addEventListener("click", () => showImages(false));
    find("draw").addEventListener("click", () => draw(missing()));
    find("stop").addEventListener("click", () => trigger("results_stop", {}));
    find("to-stage").addEventListener("click", () => opened && window.UncagePage.showOnStage({ kind: "traces", ids: opened.ids, query: null, step: 0 }));
    watchQueue("#uc-results-queue", "uc-redrawing", (text) => progress.waiting(text));
    watch("value", receive);
    receive();
    // Read when the tab is first looked at, not when the page opens.
    const seen = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      seen.disconnect();
      start();
    });
    seen.observe(element);
  };
})();

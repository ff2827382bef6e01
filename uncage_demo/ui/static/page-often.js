// "How often in 20 seeds?": one row per order, its count with its interval, and a mark per seed that opens it on the stage.
(function (page) {
  "use strict";

  const { make, button } = page;
  const percent = (share) => `${Math.round(100 * share)} %`;

  function against(row, name) {
    if (row.p === null) return "the others are compared with this one";
    if (!row.better && !row.worse) return `the same seeds as ${name}`;
    const p = row.p < 0.001 ? "p < 0.001" : `p = ${row.p.toFixed(3)}`;
    return `right where ${name} is wrong: ${row.better}; the other way round: ${row.worse} (${p})`;
  }

  // `message` is of ui/often.py.
  function showOften(root, message, open) {
    root.replaceChildren();
    root.hidden = false;
    const drawn = message.rows.length;
    const head = make("p", "uc-often-head");
    head.append("Fully correct, as a detector judges: ", make("strong", "", message.prompt), `, ${drawn === message.of ? `seeds 0 to ${message.of - 1}` : `${drawn} of ${message.of} seeds so far`}.`);
    root.append(head);
    for (const row of message.tally) {
      const line = make("section", "uc-often-row");
      line.append(make("h3", "", row.title), make("strong", "uc-often-count", `${row.correct} of ${row.judged}`));
      const bar = make("span", "uc-often-bar");
      const interval = make("i", "uc-often-interval"), dot = make("i", "uc-often-dot");
      interval.style.left = percent(row.low);
      interval.style.width = percent(row.high - row.low);
      dot.style.left = percent(row.correct / row.judged);
      bar.append(interval, dot);
      bar.setAttribute("role", "img");
      bar.setAttribute("aria-label", `${percent(row.correct / row.judged)}, 95 % interval ${percent(row.low)} to ${percent(row.high)}`);
      line.append(bar, make("span", "uc-often-text", `${percent(row.correct / row.judged)} [${percent(row.low)}, ${percent(row.high)}]`));
      line.append(make("span", "uc-muted uc-often-against", against(row, message.tally[0].title)));
      const seeds = make("div", "uc-often-seeds");
      row.seeds.forEach((right, k) => {
        const run = message.rows[k];
        const node = button(`uc-often-seed ${right ? "uc-often-right" : "uc-often-wrong"}`, right ? "✓" : "✗", () => open(run));
        node.setAttribute("aria-label", `Seed ${run.seed}: ${right ? "fully correct" : "not correct"}. Open on the stage`);
        node.title = `Seed ${run.seed}`;
        seeds.append(node);
      });
      line.append(seeds);
      root.append(line);
    }
    root.append(make("p", "uc-muted", "95 % intervals by Wilson; p of McNemar’s exact test over the same seeds. One prompt says little about others: see Results."));
  }

  page.showOften = showOften;
})(window.UncagePage);

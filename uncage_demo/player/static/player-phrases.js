// Sentences made of numbers: pure text, no DOM.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  function number(value, digits) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"); // never a minus nought
  }

  const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

  function place(cell, columns) {
    return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
  }

  // How a cell stands at a step, and what a branch did to it. `data` is of Run.candidate.
  function standing(data) {
    const forced = data.edited === "keep" && data.picked;
    const delayed = data.edited === "drop" && !data.picked;
    return {
      word: data.picked ? "picked" : "waits",
      note: forced ? "forced by this branch" : delayed ? "delayed by this branch" : data.edited === "forbid" ? "a token is forbidden here" : "",
      margin: forced && data.margin < 0 ? "lacks, but was forced" : delayed && data.margin >= 0 ? "exceeds, but was delayed"
        : data.margin === 0 ? "just enough" : data.margin > 0 ? "exceeds" : "lacks",
    };
  }

  // One cell on every stage in one sentence, for those who listen.
  function spoken(model, cell, step) {
    const said = model.runs.slice(0, 6).map((run) => {
      const data = run.candidate(run.local(step), cell);
      const who = model.runs.length > 1 ? `${run.letter}: ` : "";
      if (data) return `${who}${standing(data).word}, rank ${data.rank} of ${data.candidates}, score minus cutoff ${number(data.margin, 2)}`;
      const when = run.committedAt(run.local(step), cell);
      return `${who}${when < 0 ? "given" : `decided in step ${when + 1}`}`;
    });
    return `${place(cell, model.grid[1])}. ${said.join("; ")}.`.replace(/^r/, "R");
  }

  // Attention on tokens that stand for no word: [[name, share], ...] -> a sentence.
  function specialShare(shares) {
    const said = shares.map(([name, share]) => `${Math.round(100 * share)} % to ${name === "padding" ? "padding" : `the ${name} token`}`);
    return `${said.join(", ")}: attention on no word`;
  }

  // How many picks of a step other terms would change.
  function picksChanged(count, same) {
    const other = count - same;
    if (other) return `${other} of ${plural(count, "pick", "picks")} would change`;
    return count === 1 ? "the same pick" : `the same ${count} picks`;
  }

  parts.phrases = { number, place, standing, spoken, specialShare, picksChanged };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

// Sentences made of numbers: pure text, no DOM.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  function number(value, digits) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    const text = value.toFixed(digits);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−"); // never a minus nought
  }

  const MOST_DECIMALS = 4;

  // To three significant digits: whole from 100 on, and no more than four decimals.
  function significant(value) {
    const size = Math.abs(Number(Number(value).toPrecision(3)));
    return number(value, size < 0.5 * 10 ** -MOST_DECIMALS ? 0 : Math.max(0, Math.min(MOST_DECIMALS, 2 - Math.floor(Math.log10(size)))));
  }

  const plural = (count, one, many) => `${count} ${count === 1 ? one : many}`;

  function place(cell, columns) {
    return `row ${Math.floor(cell / columns) + 1}, column ${(cell % columns) + 1}`;
  }

  const KNOCKOUT = "Decode again from this step without attention to the chosen word. Shows what the word still adds from here on; " +
    "what was decided before stays, and other words may carry it: the text encoder reads the prompt as a whole.";

  // What a run without a word shows, and what it cannot show; "" for a run in which no word was knocked out.
  function knockedOut(model, run) {
    const { lineage } = run.raw;
    const hidden = lineage && lineage.edits ? lineage.edits.suppress_word : null;
    if (hidden === null || hidden === undefined) return "";
    const before = Array.from(run.unmask).filter((when) => when < lineage.at_step).length;
    const stays = before ? `${plural(before, "cell was decided before and stays as it is", "cells were decided before and stay as they are")}. ` : "";
    return `From step ${lineage.at_step + 1} on nothing attends to “${model.words[hidden].text}”. ${stays}If it still shows, other words may carry it: the text encoder reads the prompt as a whole.`;
  }

  // What an edit owes to the run that it comes from; "" where that run is not on stage.
  function madeFrom(model, run) {
    const source = model.runs[run.raw.source];
    if (!source) return "";
    if (run.raw.origin.kind === "sketch") return `Drawn with ${source.letter}’s structure, from an empty canvas: none of its tokens was kept.`;
    if (run.raw.origin.kind === "extend") {
      const [down, right] = run.raw.origin.shift;
      const ways = [right && `${plural(Math.abs(right), "column", "columns")} further ${right > 0 ? "right" : "left"}`, down && `${plural(Math.abs(down), "row", "rows")} further ${down > 0 ? "down" : "up"}`];
      return `Everything else is ${source.letter}’s, ${ways.filter(Boolean).join(" and ")}.`;
    }
    return `Everything else is ${source.letter}’s, token for token.`;
  }

  // A region [top, left, bottom, right] of rows and columns.
  function area([top, left, bottom, right]) {
    const range = (name, a, b) => (a === b ? `${name} ${a + 1}` : `${name}s ${a + 1} to ${b + 1}`);
    return `${range("Row", top, bottom)}, ${range("column", left, right)}`;
  }

  // What happens in a step, for a class: one or two sentences.
  function caption(model, state, about) {
    const run = model.runs[0];
    const s = run.local(state.step);
    let open = 0;
    for (let i = 0; i < model.cells; i++) open += run.hidden(s, i) ? 1 : 0;
    const said = [`Step ${state.step + 1} of ${model.steps}: ${plural(run.counts[s], "cell", "cells")} decided, ${open} still masked.`];
    const parting = model.runs.filter((one) => one.divergence === state.step).map((one) => one.letter);
    if (parting.length) said.push(`Here ${parting.join(", ")} first ${parting.length === 1 ? "differs" : "differ"} from A.`);
    if (state.layer !== "picture") said.push(about);
    return said.join(" ");
  }

  // A step in one sentence, for those who listen.
  const announced = (model, step) => {
    const run = model.runs[0];
    return `Step ${step + 1} of ${model.steps}; ${plural(run.counts[run.local(step)], "cell", "cells")} committed.`;
  };

  // How a cell stands at a step, and what a branch did to it. `data` is of Run.candidate.
  function standing(data) {
    const forced = data.edited === "keep" && data.picked;
    const delayed = data.edited === "drop" && !data.picked;
    return {
      word: data.picked ? "picked" : "waits",
      note: forced ? "forced by this branch" : delayed ? "delayed by this branch" : data.edited === "forbid" ? "a token is forbidden here" : "",
      margin: !data.picked && !delayed && data.margin > 0 ? (data.led === "out" ? "exceeds, but cells of regions go first" : "exceeds, but is too near to another pick")
        : data.picked && !forced && data.margin < 0 && data.led === "in" ? "lacks, but is in a region, which goes first" : forced && data.margin < 0 ? "lacks, but was forced" : delayed && data.margin >= 0 ? "exceeds, but was delayed"
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

  function percent(probability) {
    const value = 100 * probability;
    return value < 0.05 ? "<0.1 %" : `${value >= 9.95 ? Math.round(value) : value.toFixed(1)} %`;
  }

  // A multiple of the average: "2.4×".
  const readTimes = (times) => (times === times ? `${number(times, times < 9.95 ? 1 : 0)}×` : "–");

  // Where it was decided which word an object is drawn after. `made` is a BindingDecision.
  function drawnAfter(model, made) {
    return `read “${model.words[made.word].text}” most from step ${made.step + 1} on (${place(made.cell, model.grid[1])}).`;
  }

  // What committed a cell: the terms that it needed, with their lead over the average candidate.
  function committedBy(made, edited) {
    const names = Object.keys(made.lead);
    if (edited === "keep") return "This branch forced the cell.";
    if (made.last) return "The last step commits all cells that are left.";
    if (!names.length) return "The order’s own score committed the cell.";
    const told = (name) => `${name} (${number(made.lead[name], 1)} above the average candidate)`.replace(/\(−([\d.]+) above/, "($1 below");
    if (!made.needed.length) {
      const most = names.reduce((best, name) => (made.lead[name] > made.lead[best] ? name : best));
      return `No single term was needed to commit the cell; its strongest was ${told(most)}.`;
    }
    if (made.needed.length === 1) return `Committed by ${told(made.needed[0])}: without it the cell would have waited.`;
    return `Committed by ${made.needed.map(told).join(" and ")}: without any one of them the cell would have waited.`;
  }

  // Whose words a cell could read, by the labels of the objects; null = all words.
  // Nothing is said where they are all the objects there are.
  function readOnly(labels, objects) {
    if (!labels || labels.length === objects) return "";
    return labels.length ? `This cell read only the words of: ${labels.join(", ")}.` : "This cell read no object’s words.";
  }

  // In whose region a cell is, and what that did at the step that is told; "" for a run without regions.
  function inRegion(run, step, cell) {
    const { origin } = run.raw;
    if (!origin || !origin.leads) return "";
    const owner = run.regionOf(cell);
    const where = owner >= 0 ? `In the region of ${run.labels[owner]}.` : "Outside of all regions.";
    const leads = origin.leads;
    if (step >= leads) return where;
    return `${where} ${leads === 1 ? "The first step commits" : `The first ${leads} steps commit`} cells of regions before any other.`;
  }

  // When and why a cell was taken back. `found` is of Run.takenBack.
  function takenBack(found) {
    if (!found) return "";
    const chance = found.logp === null ? "" : ` Its token had a probability of ${percent(Math.exp(found.logp))} by then.`;
    return `Opened again at the end of step ${found.step + 1}: ${found.why}${chance}`;
  }

  parts.phrases = { KNOCKOUT, knockedOut, takenBack, number, significant, plural, place, area, caption, announced, standing, spoken, specialShare, picksChanged, percent, readTimes, drawnAfter, committedBy, readOnly, inRegion, madeFrom };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

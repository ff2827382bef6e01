// Payload -> the model that the other files read: its runs, words, objects and scales. Pure data: no DOM. Names as in player/payload.py.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { typed } = parts.unpack;
  const { Run } = parts.run;
  const VERSION = 2;

  // The cells of a region [top, left, bottom, right] (rows and columns, both ends included), row by row.
  function cellsOf([top, left, bottom, right], columns) {
    const out = [];
    for (let y = top; y <= bottom; y++) for (let x = left; x <= right; x++) out.push(y * columns + x);
    return out;
  }

  // The region that two cells span.
  function regionOf(one, other, columns) {
    const [y, x, v, u] = [Math.floor(one / columns), one % columns, Math.floor(other / columns), other % columns];
    return [Math.min(y, v), Math.min(x, u), Math.max(y, v), Math.max(x, u)];
  }

  /** @param {string | Payload} value */
  function parse(value) {
    /** @type {Payload} */
    const payload = typeof value === "string" ? JSON.parse(value) : value;
    if (!payload || payload.version !== VERSION || !Array.isArray(payload.runs) || !payload.runs.length) {
      throw new Error(`This player reads payloads of version ${VERSION} with at least one run.`);
    }
    const prompt = payload.prompt;
    const named = payload.runs.every((r) => r.marks) ? payload.runs[0].marks.names : [];
    const marks = named.map((name) => ({ text: `${name} token`, start: -1, end: -1, kind: "mark", subject: -1, role: "", mark: true }));
    return {
      payload,
      grid: payload.grid,
      cells: payload.grid[0] * payload.grid[1],
      steps: payload.num_steps,
      // The clock of an unfinished run ends where its records end.
      done: Math.max(...payload.runs.map((r) => r.first_step + r.steps_done)),
      words: [...prompt.words, ...marks],
      subjects: prompt.subjects.map((subject) => ({ ...subject, ramp: typed(subject.ramp) })),
      text: prompt.text,
      truncated: prompt.truncated,
      scales: payload.scales,
      tables: Object.fromEntries(Object.entries(payload.tables).map(([k, v]) => [k, typed(v)])),
      atlas: payload.atlas,
      orders: payload.orders,
      runs: payload.runs.map((raw, i) => new Run(raw, i, payload)),
      hasAttention: payload.runs.every((r) => r.attention),
      hasContrast: payload.runs.some((r) => r.maps.contrast.at.some(Boolean)),
      grid_view: payload.detail === "grid" || payload.runs.length > 6,
    };
  }

  // The prompt cut at its words: [{text, word}], word -1 between them. Offsets count code points, as Python does; an emoji is one.
  function cutPrompt(text, words) {
    const points = Array.from(text);
    const pieces = [];
    let end = 0;
    words.forEach((word, index) => {
      if (word.start > end) pieces.push({ text: points.slice(end, word.start).join(""), word: -1 });
      end = Math.max(end, word.end);
      pieces.push({ text: word.text, word: index });
    });
    if (end < points.length) pieces.push({ text: points.slice(end).join(""), word: -1 });
    return pieces;
  }

  parts.data = { parse, cutPrompt, cellsOf, regionOf, VERSION };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

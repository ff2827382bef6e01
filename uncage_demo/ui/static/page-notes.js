// Notes on the runs of the page: they stay in this browser, by what was decoded, until a visitor takes them away in a file.
(function (page) {
  "use strict";

  const KEY = "uncage-notes";
  const MOST_RUNS = 60; // the runs that were written on longest ago go first
  let ids = {}; // of the runs on stage: id -> what was decoded

  function kept() {
    try {
      const data = JSON.parse(localStorage.getItem(KEY) || "{}");
      return data && typeof data === "object" && !Array.isArray(data) ? data : {};
    } catch {
      return {}; // a browser that keeps nothing, or something else under this name
    }
  }

  function keep(data) {
    const newest = Object.entries(data).filter(([, one]) => one).sort((a, b) => b[1].at - a[1].at).slice(0, MOST_RUNS);
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(newest)));
    } catch {
      // full, or not allowed: the notes stay on stage, and go into files
    }
  }

  // Before a player is mounted: the notes of its runs. A file that was opened brings its own.
  function prepare(options, message, runs) {
    const data = kept();
    const before = page.shared.stage ? page.shared.stage.player.notes.all() : {};
    ids = Object.fromEntries(message.ids.map((id, i) => [id, (message.hashes || [])[i] || id]));
    options.notes = {};
    for (const run of runs) {
      const mine = data[ids[run.id]] ? data[ids[run.id]].notes : before[run.id];
      if (!Array.isArray(mine)) continue;
      const same = (one) => (other) => other.step === one.step && other.cell === one.cell && other.text === one.text;
      options.notes[run.id] = message.opened ? [...mine, ...run.notes.filter((note) => !mine.some(same(note)))] : mine;
    }
  }

  function changed({ id, notes }) {
    const data = kept();
    data[ids[id] || id] = { at: Date.now(), notes };
    keep(data);
  }

  page.notes = { prepare, changed, now: () => (page.shared.stage ? page.shared.stage.player.notes.all() : {}) };
})(window.UncagePage);

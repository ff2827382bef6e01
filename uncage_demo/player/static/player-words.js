// Words of the prompt as chips, verdict badges, and the diagnosis in words.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { make, button } = parts.dom;

  function tint(node, color) {
    if (color) node.style.setProperty("--tint", color);
    return node;
  }

  class Words {
    constructor(player) {
      this.player = player;
    }

    build() {
      const { hook, model } = this.player;
      hook.prompt.replaceChildren();
      this.chips = [];
      const prompts = [...new Set(model.runs.map((run) => run.raw.prompt || 0))].sort((a, b) => a - b);
      for (const number of prompts) {
        const runs = model.runs.filter((run) => (run.raw.prompt || 0) === number);
        if (prompts.length === 1) this.line(hook.prompt, runs[0]);
        else {
          const line = make("span", "up-prompt-line");
          for (const run of runs) line.append(make("span", "up-letter", run.letter));
          this.line(line, runs[0]);
          hook.prompt.append(line);
        }
      }
    }

    // One prompt: its text with its words as buttons.
    line(line, run) {
      const { model } = this.player;
      for (const { text, word: at } of parts.data.cutPrompt(run.text, run.spoken)) {
        if (at < 0) {
          line.append(document.createTextNode(text));
          continue;
        }
        const index = run.spoken[at].word;
        const word = model.words[index];
        const chip = button(`up-word up-${word.role || "plain"}`, text, () => this.choose(index));
        const owner = word.subject >= 0 ? model.subjects[word.subject] : null;
        if (owner) tint(chip, owner.color);
        const what = owner ? `${word.role} of ${run.labels[word.subject]}` : "no object of the prompt";
        chip.title = `${word.text} (${what})`;
        chip.dataset.word = String(index);
        chip.setAttribute("aria-pressed", "false");
        chip.disabled = !model.runs.some((run) => run.hasWord(index));
        line.append(chip);
        this.chips.push(chip);
      }
    }

    choose(index) {
      const { state } = this.player;
      const off = state.layer === "word" && state.word === index;
      this.player.setState(off ? { layer: "picture" } : { layer: "word", word: index });
    }

    update(changed) {
      if (!changed.has("layer") && !changed.has("word") && !changed.has("object") && !changed.has("model")) return;
      const { state, model } = this.player;
      for (const chip of this.chips) {
        const index = Number(chip.dataset.word);
        const word = state.layer === "word" && state.word === index;
        const object = state.layer === "object" && state.object >= 0 && model.subjects[state.object].object.includes(index);
        chip.setAttribute("aria-pressed", String(word || object));
      }
    }
  }

  // What a scorer says of the picture, marked as such: one mark per object.
  function verdict(run, model) {
    const said = run.raw.verdict;
    if (!said) return null;
    const box = make("div", "up-verdict");
    box.setAttribute("role", "group");
    const judge = said.scorer || "a detector";
    // Both texts hold their room, so that nothing moves when the last step comes.
    const by = make("span", "up-judge");
    by.append(make("span", "up-judge-early", "At the end:"), make("span", "up-judge-last", "Detector:"));
    by.title = "What a detector sees in the finished picture: a small model that can be wrong";
    box.append(by);
    box.setAttribute("aria-label", `The finished picture, judged by ${judge}, not the truth`);
    for (const index of run.objects) {
      const label = run.labels[index];
      const found = said.objects_found[index], right = said.colors_right[index];
      const mark = found ? (right ? "✓" : "~") : "✗";
      const badge = tint(make("span", `up-badge ${found ? (right ? "up-good" : "up-half") : "up-bad"}`), model.subjects[index].color);
      badge.append(make("span", "up-mark", mark), make("span", "", label));
      const words = found ? (right ? "found" : "found, but in another colour") : "not found";
      badge.title = `${label}: ${words}, says ${judge}`;
      badge.append(make("span", "up-hidden", `: ${words}`));
      box.append(badge);
    }
    for (const wish of said.wishes || []) {
      const badge = make("span", `up-badge ${wish.met ? "up-good" : "up-bad"}`);
      badge.append(make("span", "up-mark", wish.met ? "✓" : "✗"), make("span", "", wish.label));
      badge.title = `${wish.label}: ${wish.met ? "right" : "wrong"}, says ${judge}`;
      badge.append(make("span", "up-hidden", wish.met ? ": right" : ": wrong"));
      box.append(badge);
    }
    if (said.extra_objects > 0) {
      const extra = make("span", "up-badge up-half", said.too_many.join(", "));
      extra.title = `Objects that the prompt does not ask for, says ${judge}`;
      box.append(extra);
    }
    return box;
  }

  // Until a run is finished its verdict tells of a picture that is still to come.
  function tellEarly(player) {
    for (const { box, run } of player.stages) box.classList.toggle("up-early", player.state.step < run.firstStep + run.steps - 1);
  }

  class Findings {
    constructor(player) {
      this.player = player;
    }

    build() {
      const { hook, model } = this.player;
      hook.findings.replaceChildren();
      const some = model.runs.filter((run) => run.raw.findings && run.raw.findings.length);
      hook.findings.hidden = !some.length;
      if (!some.length) return;
      hook.findings.append(make("h3", "up-heading", "What happened"));
      const columns = make("div", "up-finding-columns");
      for (const run of some) {
        const box = make("div", "up-finding-run");
        const head = make("p", "up-finding-head");
        head.append(make("span", "up-letter", run.letter), make("span", "", run.title));
        const list = make("ul", "up-finding-list");
        for (const finding of run.raw.findings) list.append(this.entry(finding));
        box.append(head, list);
        columns.append(box);
      }
      hook.findings.append(columns);
    }

    entry(finding) {
      const { model } = this.player;
      const item = make("li", "up-finding");
      const subject = model.subjects[finding.subject];
      if (subject) tint(item, subject.color);
      item.append(make("p", "", finding.text));
      const step = Number.isInteger(finding.step) ? finding.step : null;
      if (step !== null || finding.layer) {
        const words = step !== null ? `Show step ${step + 1}` : "Show";
        const go = button("up-link", words, () => this.jump(finding));
        go.setAttribute("aria-label", `${words}: ${finding.text}`);
        item.append(go);
      }
      if (typeof finding.confidence === "string") item.append(make("span", "up-weak", finding.confidence));
      return item;
    }

    jump(finding) {
      const { player } = this;
      const { model } = player;
      const patch = {};
      if (Number.isInteger(finding.word) && model.words[finding.word]) Object.assign(patch, { layer: "word", word: finding.word });
      if (Number.isInteger(finding.subject) && model.subjects[finding.subject]) patch.object = finding.subject;
      if (typeof finding.layer === "string" && player.painter.available(finding.layer)) patch.layer = finding.layer;
      if (patch.layer === "word" && patch.word === undefined && player.state.word < 0 && model.subjects[finding.subject]) {
        patch.word = model.subjects[finding.subject].object[0];
      }
      if (Number.isInteger(finding.cell) && finding.cell >= 0 && finding.cell < model.cells) patch.pin = finding.cell;
      player.clock.stop();
      if (Number.isInteger(finding.step)) patch.step = Math.max(0, Math.min(model.done - 1, finding.step));
      player.setState(patch);
      player.hook.stages.scrollIntoView({ block: "nearest", behavior: player.calm ? "auto" : "smooth" });
    }
  }

  parts.words = { Words, Findings, verdict, tellEarly, tint };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

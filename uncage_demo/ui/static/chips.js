// The prompt as the model reads it: one chip a word, objects in their colours, corrected by click.
// The value is a JSON string written by the server; every text from it goes through textContent.
(function () {
  "use strict";

  const { make, button } = window.UncagePlayerParts.dom;

  function attach(context) {
    const { element, trigger, props, watch } = context;
    let open = -1;
    let focusWord = -1;
    let said = null; // the prompt's words as last shown
    let tried = null; // the prompt that was sent and refused; the field may be ahead of the words here

    function read() {
      try {
        return JSON.parse(props.value || "null");
      } catch {
        return null;
      }
    }

    function send(name, data, word) {
      open = -1;
      tried = null;
      focusWord = word === undefined ? -1 : word;
      trigger(name, data);
    }

    function colorOf(state, word) {
      return word.subject >= 0 && state.subjects[word.subject] ? state.subjects[word.subject].color : "";
    }

    function describe(state, word) {
      const owner = word.subject >= 0 ? state.subjects[word.subject].label : "";
      if (word.role === "object") return `${word.text}: object`;
      if (word.role === "attribute") return `${word.text}: belongs to ${owner}`;
      if (word.role === "unknown") return `${word.text}: this model cannot draw it`;
      if (word.role === "unused") return `${word.text}: not used, the picture is drawn without it`;
      if (word.says) return `${word.text}: ${word.says}, read by the model`;
      return `${word.text}: not used by guidance`;
    }

    function chip(state, word, index) {
      const node = button(`uc-chip uc-${word.role}${word.says ? " uc-says" : ""}`, word.text, () => {
        open = open === index ? -1 : index;
        focusWord = index;
        render();
      });
      const color = colorOf(state, word);
      if (color) node.style.setProperty("--chip", color);
      node.setAttribute("aria-label", `${describe(state, word)}. Change`);
      node.setAttribute("aria-expanded", String(open === index));
      node.title = describe(state, word);
      node.dataset.word = String(index);
      if (word.role === "unused") node.append(make("span", "uc-not-used", "not used"));
      return node;
    }

    function editor(state, word, index) {
      const row = make("div", "uc-editor");
      row.setAttribute("role", "group");
      row.setAttribute("aria-label", `Change ${word.text}`);
      row.append(make("span", "uc-editor-name", describe(state, word)));
      if (word.role === "unknown") {
        for (const near of word.suggestions) {
          row.append(button("uc-small uc-suggest", `Use “${near}”`, () => send("word_replace", { word: index, text: near }, index)));
        }
      }
      if (word.role === "unused" && state.vocabulary) {
        row.append(make("span", "uc-muted", `${state.model} has no word for it. Nothing else changes.`));
        return row;
      }
      if (word.role !== "object" && word.role !== "unknown") {
        row.append(button("uc-small", "Make it an object", () => send("word_edit", { action: "make_object", word: index }, index)));
      }
      if (word.role !== "unknown") {
        state.subjects.forEach((subject, number) => {
          const own = word.role === "object" && number === word.subject;
          const already = word.role === "attribute" && number === word.subject;
          if (own || already) return;
          const node = button("uc-small uc-to", `Attach to ${subject.label}`, () =>
            send("word_edit", { action: "attach", word: index, subject: number }, index));
          node.style.setProperty("--chip", subject.color);
          row.append(node);
        });
      }
      if (word.role === "object" || word.role === "attribute") {
        row.append(button("uc-small", word.role === "object" ? "Not an object" : "Detach", () =>
          send("word_edit", { action: "detach", word: index }, index)));
      }
      return row;
    }

    // What the model is given where it cannot read the text itself.
    function rephrased(state) {
      return make("div", "uc-note uc-given", `The model is given: “${state.given}”`);
    }

    // All words that the model does not know in one line, each with near ones; then the rest that can be drawn.
    function unknownWords(state) {
      const unknown = state.words.map((word, index) => ({ ...word, index })).filter((word) => word.role === "unknown");
      const box = make("div", "uc-note uc-unknown-notes");
      if (!unknown.length) return box;
      box.append(make("span", "", `${refused(state) ? "Nothing was drawn: this" : "This"} model cannot draw`));
      for (const { text, index, suggestions } of unknown) {
        box.append(make("span", "uc-unknown-word", `“${text}”`));
        for (const near of suggestions) {
          const node = button("uc-small uc-suggest", `Use “${near}”`, () => send("word_replace", { word: index, text: near }, index));
          node.title = `Instead of “${text}”`;
          box.append(node);
        }
      }
      if (state.rest) {
        box.append(button("uc-small uc-rest", `Draw the rest: “${state.rest}”`, () => {
          if (window.UncagePage && window.UncagePage.busy) window.UncagePage.busy("Starting…");
          send(window.UncagePage.here.on() ? "word_only" : "word_rest", {});
        }));
      }
      box.append(make("span", "uc-muted", "Or take words from the list, or a large model."));
      return box;
    }

    const refused = (state) => tried !== null && tried === state.text.trim();

    // Why the prompt cannot be drawn, or what came of a click.
    function complaint(state) {
      return make("div", "uc-note", refused(state) ? `Nothing was drawn: ${state.message}` : state.message);
    }

    function vocabulary(state, wasOpen) {
      const details = make("details", "uc-vocabulary");
      details.open = wasOpen;
      details.append(make("summary", "", `What “${state.model}” can draw`));
      if (!state.vocabulary) {
        details.append(make("p", "uc-muted", "Any words. Objects and attributes are found by grammar; correct them by clicking a word."));
        return details;
      }
      for (const { title, kind, words } of state.vocabulary) {
        const line = make("div", "uc-words");
        line.append(make("span", "uc-muted uc-words-title", title));
        for (const { word, said } of words) {
          line.append(button("uc-small", said, () => send("word_add", { kind, text: word })));
        }
        details.append(line);
      }
      return details;
    }

    function render() {
      const state = read();
      const wasOpen = Boolean(element.querySelector(".uc-vocabulary[open]"));
      const root = element.querySelector(".uc-chips-root") || element;
      root.replaceChildren();
      if (!state) return;
      const line = make("div", "uc-chips");
      line.setAttribute("role", "group");
      line.setAttribute("aria-label", "The prompt as the model reads it");
      state.words.forEach((word, index) => line.append(chip(state, word, index)));
      if (state.edited) line.append(button("uc-small uc-reset", "Undo corrections", () => send("word_reset", {})));
      if (open < 0) line.append(vocabulary(state, wasOpen));
      root.append(line);
      if (open >= 0 && state.words[open]) root.append(editor(state, state.words[open], open));
      else open = -1;
      if (open >= 0) line.append(vocabulary(state, wasOpen));
      if (state.truncated && !state.message) root.append(make("div", "uc-note", `Too long: the model does not read “${state.truncated}”.`));
      if (state.cut_off && state.cut_off.length) {
        root.append(make("div", "uc-note", `Left out, because the prompt is too long for this model: ${state.cut_off.join(", ")}.`));
      }
      if (state.message) root.append(complaint(state));
      const unknown = unknownWords(state);
      if (unknown.childNodes.length) root.append(unknown);
      else if (state.given && !state.message) root.append(rephrased(state));
      if (refused(state)) {
        const note = unknown.childNodes.length ? unknown : root.querySelector(".uc-note");
        note?.setAttribute("role", "alert");
        note?.scrollIntoView({ block: "nearest" });
      }
      if (focusWord >= 0) {
        const target = root.querySelector(`[data-word="${focusWord}"]`);
        if (target) target.focus({ preventScroll: true });
        focusWord = -1;
      }
    }

    // The focus stays on the chip that opened the menu, or is nowhere after a click beside it.
    document.addEventListener("keydown", (event) => {
      const { target } = event;
      if (event.key !== "Escape" || event.defaultPrevented || open < 0 || !(target === document.body || (target instanceof Node && element.contains(target)))) return;
      event.preventDefault();
      focusWord = open;
      open = -1;
      render();
    });
    const field = () => document.querySelector("#uc-prompt textarea, #uc-prompt input").value.trim();
    document.addEventListener("uc-refused", () => {
      tried = field();
      render();
    });
    document.addEventListener("input", ({ target }) => {
      if (target instanceof Element && target.closest("#uc-prompt")) tried = null;
    });
    watch("value", () => {
      const state = read();
      const words = state ? state.words.map((word) => word.text).join(" ") : null;
      if (words !== said) { // another prompt: what was being corrected is gone
        open = -1;
      }
      said = words;
      render();
      tell(state);
    });
    render();
    tell(read());

    // For whoever draws without the server: the text and its corrections as they stand here.
    function tell(state) {
      if (window.UncagePage) window.UncagePage.chips = state;
      document.dispatchEvent(new CustomEvent("uc-chips"));
    }
  }

  window.UncageChips = { attach };
})();

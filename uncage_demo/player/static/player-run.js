// One run as the other files read it: what each step did, the arithmetic of every candidate, attention. Pure data: no DOM.
(function (/** @type {PlayerParts} */ parts) {
  "use strict";

  const { decoder, typed } = parts.unpack;

  class Run {
    /**
     * @param {PayloadRun} raw
     * @param {number} index
     * @param {Payload} payload
     */
    constructor(raw, index, payload) {
      this.raw = raw;
      this.index = index;
      this.letter = String.fromCharCode(65 + index);
      this.title = String(raw.title);
      this.id = raw.id;
      this.cells = payload.grid[0] * payload.grid[1];
      this.columns = payload.grid[1];
      this.steps = raw.steps_done;
      this.firstStep = raw.first_step;
      this.numSteps = raw.num_steps;
      this.divergence = raw.divergence;
      this.row = Math.ceil(this.cells / 8);
      this.readPrompt(payload);
      this.maskedBits = typed(raw.masked);
      this.committedBits = typed(raw.committed);
      this.drawn = typed(raw.drawn);
      this.tokens = typed(raw.tokens);
      this.unmask = typed(raw.unmask_step);
      this.weight = typed(raw.weight);
      this.cutoff = typed(raw.cutoff);
      this.mass = typed(raw.mass);
      this.overlap = typed(raw.overlap);
      this.special = typed(raw.health.special);
      this.terms = raw.terms;
      this.frames = raw.frames;
      this.image = raw.image;
      this.atStep = new Array(this.steps);
      this.counts = new Int32Array(this.steps);
      this.offsets = new Int32Array(this.steps + 1);
      for (let s = 0; s < this.steps; s++) {
        const list = [];
        for (let i = 0; i < this.cells; i++) {
          if (this.bit(this.maskedBits, s, i)) list.push(i);
          if (this.bit(this.committedBits, s, i)) this.counts[s]++;
        }
        this.atStep[s] = Int32Array.from(list);
        this.offsets[s + 1] = this.offsets[s] + list.length;
      }
      // Numbers of candidates: a step whose candidates all have 0 did not travel.
      this.maps = Object.fromEntries(Object.entries(raw.maps).map(([key, map]) => {
        let end = 0;
        const starts = map.at.map((some, s) => {
          if (!some) return -1;
          end += this.atStep[s].length;
          return end - this.atStep[s].length;
        });
        return [key, { values: typed(map.values), starts }];
      }));
      this.scores = typed(raw.scores) || this.addUp();
      if (raw.attention) {
        this.attentionWords = raw.attention.words;
        this.attentionRow = new Map(this.attentionWords.map((w, k) => [w, k]));
        this.codes = typed(raw.attention.codes);
        this.decode = decoder(raw.attention.max);
      }
      // Start and end token: their maps go by indices after those of the words.
      this.firstMark = payload.prompt.words.length;
      if (raw.marks) {
        this.markCodes = typed(raw.marks.codes);
        this.markDecode = decoder(raw.marks.max);
      }
      this.commits = new Map();
      if (raw.alternatives) {
        this.altCount = raw.alternatives.count;
        this.altIds = typed(raw.alternatives.ids);
        this.altCodes = typed(raw.alternatives.probs);
        this.altFine = raw.alternatives.probs.t === "u2";
      }
    }

    // Its own prompt. Words and objects have the numbers that they have in the lists of all runs together.
    /** @param {Payload} payload */
    readPrompt({ prompt, prompts }) {
      const own = prompts ? prompts[this.raw.prompt] : null;
      this.text = own ? own.text : prompt.text;
      this.truncated = own ? own.truncated : prompt.truncated;
      const spans = own ? own.words : prompt.words.map(({ start, end }, w) => [w, start, end]);
      this.spoken = spans.map(([w, start, end]) => ({ ...prompt.words[w], word: w, start, end }));
      // its objects in the order of its prompt, and what each is called there
      this.objects = own ? own.subjects : prompt.subjects.map((_, o) => o);
      this.labels = prompt.subjects.map(({ label }, o) => (own ? own.labels[own.subjects.indexOf(o)] || "" : label));
    }

    // What the server, which knows this run's prompt alone, calls a word; -1 for a word of another run's prompt.
    ownWord(w) {
      return this.spoken.findIndex(({ word }) => word === w);
    }

    says(w) {
      return w >= this.firstMark || this.ownWord(w) >= 0;
    }

    // Scores that do not travel are the float32 sum of their terms, bit for bit (checked when the payload was made).
    addUp() {
      const out = new Float32Array(this.offsets[this.steps]);
      for (let s = 0; s < this.steps; s++) this.sumInto(s, { ...this.terms[s], weight: this.weight[s] }, out, this.offsets[s]);
      return out;
    }

    // float32 as the engine adds: (confidence + noise) + weight * contrast. A noise factor is what a hotter or cooler noise would be.
    sumInto(s, terms, out, at) {
      const f = Math.fround;
      const count = this.offsets[s + 1] - this.offsets[s];
      const factor = terms.noiseFactor === undefined ? 1 : terms.noiseFactor;
      for (let k = 0; k < count; k++) {
        let v = 0;
        if (terms.confidence) v = this.valueOf("confidence", s, k);
        if (terms.noise) v = f(v + f(factor * this.valueOf("noise", s, k)));
        if (terms.contrast && terms.weight !== 0) v = f(v + f(f(terms.weight) * this.valueOf("contrast", s, k)));
        out[at + k] = v;
      }
    }

    // The token of a cell at a step: drawn in this step, or committed before. A cell that is drawn again later had another one then.
    token(s, i) {
      const slot = this.slot(s, i);
      if (slot >= 0) return this.drawn[this.offsets[s] + slot];
      if (this.unmask[i] > this.firstStep + s) {
        for (let k = s - 1; k >= 0; k--) if (this.committed(k, i)) return this.drawn[this.offsets[k] + this.slot(k, i)];
      }
      return this.tokens[i];
    }

    bit(bits, s, i) {
      return (bits[s * this.row + (i >> 3)] >> (i & 7)) & 1;
    }

    // The clock counts steps of the whole run; a branch's records may begin later, a shorter run stays at its last step.
    local(clock) {
      return Math.max(0, Math.min(this.steps - 1, clock - this.firstStep));
    }

    masked(s, i) { return this.bit(this.maskedBits, s, i); }
    committed(s, i) { return this.bit(this.committedBits, s, i); }
    hidden(s, i) { return this.masked(s, i) && !this.committed(s, i); }

    slot(s, i) {
      const list = this.atStep[s];
      let low = 0, high = list.length - 1;
      while (low <= high) {
        const mid = (low + high) >> 1;
        if (list[mid] === i) return mid;
        if (list[mid] < i) low = mid + 1; else high = mid - 1;
      }
      return -1;
    }

    // A number of the step's `slot`-th candidate: "confidence", "noise", "contrast", whatever the payload declares.
    valueOf(key, s, slot) {
      const { values, starts } = this.maps[key];
      return starts[s] < 0 ? 0 : values[starts[s] + slot];
    }

    hasValues(key, s) {
      return this.maps[key].starts[s] >= 0;
    }

    // The terms that this step's score is the sum of, as What if starts from them; null where the score is no such sum.
    ownTerms(s) {
      return this.terms[s] && { ...this.terms[s], weight: this.weight[s], noiseFactor: 1 };
    }

    // Its own terms with a visitor's changes; null where the score is no sum of terms. A weight that was set brings its term in.
    changedTerms(s, changes) {
      const own = this.ownTerms(s);
      if (!own) return null;
      const contrast = changes.contrast === undefined ? own.contrast || changes.weight !== undefined : changes.contrast;
      return { ...own, ...changes, contrast };
    }

    // What a visitor did to a cell of this step for the branch that this run is: "keep", "drop", "forbid" or "".
    edited(s, i) {
      const { lineage } = this.raw;
      if (!lineage || lineage.at_step !== this.firstStep + s) return "";
      const { keep, drop, forbid } = lineage.edits;
      return keep.includes(i) ? "keep" : drop.includes(i) ? "drop" : forbid.some(([cell]) => cell === i) ? "forbid" : "";
    }

    // The object in whose region a cell is, -1 for none.
    regionOf(i) {
      const { origin } = this.raw;
      const found = ((origin && origin.regions) || []).find(({ box: [top, left, bottom, right] }) => {
        const y = Math.floor(i / this.columns), x = i % this.columns;
        return y >= top && y < bottom && x >= left && x < right;
      });
      return found ? found.subject : -1;
    }

    // While cells of regions go first: "in" or "out" of one; "" where all cells are equal.
    led(s, i) {
      const { origin } = this.raw;
      if (!origin || !(this.firstStep + s < (origin.leads || 0))) return "";
      return this.regionOf(i) >= 0 ? "in" : "out";
    }

    // The arithmetic of one candidate at one step, or null for a cell that was committed before.
    candidate(s, i) {
      const slot = this.slot(s, i);
      if (slot < 0) return null;
      const at = this.offsets[s] + slot;
      const score = this.scores[at];
      let rank = 1;
      const list = this.atStep[s];
      for (let k = 0; k < list.length; k++) {
        const other = this.scores[this.offsets[s] + k];
        if (other > score || (other === score && k < slot)) rank++;
      }
      return {
        confidence: this.valueOf("confidence", s, slot), noise: this.valueOf("noise", s, slot), contrast: this.valueOf("contrast", s, slot),
        weight: this.weight[s], edited: this.edited(s, i), led: this.led(s, i),
        score, rank, candidates: list.length, count: this.counts[s], cutoff: this.cutoff[s], margin: score - this.cutoff[s],
        picked: !!this.committed(s, i), terms: this.terms[s], token: this.drawn[at],
      };
    }

    alternatives(s, i) {
      const slot = this.slot(s, i);
      if (slot < 0 || !this.altIds) return [];
      const from = (this.offsets[s] + slot) * this.altCount;
      const out = [];
      for (let k = 0; k < this.altCount; k++) {
        const code = this.altCodes[from + k];
        out.push({ id: this.altIds[from + k], prob: this.altFine ? code / 65535 : (code / 255) ** 2 });
      }
      return out;
    }

    // Which cells this step would commit with other terms: the `count` highest scores, ties to the lower index; where the run keeps cells
    // of one step apart, those among them that keep their distance, which shrinks by one cell as long as too few do.
    pick(s, terms) {
      const list = this.atStep[s];
      const values = new Float32Array(list.length);
      this.sumInto(s, terms, values, 0);
      const order = Array.from(list.keys()).sort((a, b) => values[b] - values[a] || a - b);
      const chosen = new Uint8Array(this.cells), taken = [];
      const apart = (i, j, least) => (Math.floor(i / this.columns) - Math.floor(j / this.columns)) ** 2 + (i % this.columns - j % this.columns) ** 2 >= least ** 2;
      for (let spacing = Number(this.raw.config.spacing || 0); ; spacing--) {
        for (const k of order) {
          const i = list[k];
          if (taken.length === this.counts[s]) break;
          if (chosen[i] || (spacing > 1 && !taken.every((j) => apart(i, j, spacing)))) continue;
          chosen[i] = 1;
          taken.push(i);
        }
        if (spacing <= 1 || taken.length === this.counts[s]) return chosen;
      }
    }

    // The objects whose words a cell could read at a step, as indices; null where it could read all words.
    readers(s, i) {
      const { sight } = this.raw;
      if (!sight || sight.at[s] < 0) return null;
      const bits = sight.maps[sight.at[s]][i];
      return Array.from({ length: 16 }, (_, o) => o).filter((o) => (bits >> o) & 1);
    }

    // Where a cell was last opened again, up to and with step s: {step, why, logp}; null for a cell that never was.
    takenBack(s, i) {
      const said = this.raw.taken_back;
      if (!said) return null;
      for (let k = s; k >= 0; k--) {
        const found = said.steps[k].find(([cell]) => cell === i);
        if (found) return { step: this.firstStep + k, why: said.reasons[found[1]], logp: found[2] };
      }
      return null;
    }

    // What the detector saw: [{box, label, color, wrong}]. An object that nobody asked for, or in a wrong colour, is wrong.
    boxes(subjects) {
      /** @type {PayloadVerdict | null} */
      const said = this.raw.verdict;
      return said ? said.detections.map(({ noun, color, box, subject }) => {
        const owner = subjects[subject];
        return { box, label: [color, noun].filter(Boolean).join(" "), color: owner ? owner.color : "", wrong: !owner || !said.colors_right[subject] };
      }) : [];
    }

    hasWord(w) {
      if (w >= this.firstMark) return !!this.markCodes && w - this.firstMark < this.raw.marks.names.length;
      return !!this.codes && this.attentionRow.has(w);
    }

    // Where the attention to a word (or mark) at a step begins: {codes, decode, from}.
    rowAt(s, w) {
      const mark = w >= this.firstMark;
      const count = mark ? this.raw.marks.names.length : this.attentionWords.length;
      const k = mark ? w - this.firstMark : this.attentionRow.get(w);
      return { codes: mark ? this.markCodes : this.codes, decode: mark ? this.markDecode : this.decode, from: (s * count + k) * this.cells };
    }

    wordAt(s, w, i) {
      const { codes, decode, from } = this.rowAt(s, w);
      return decode[codes[from + i]];
    }

    // Attention of every cell to a word at the step that decided the cell as it is at the end; NaN where none did.
    atCommit(w) {
      if (!this.commits.has(w)) {
        const out = new Float32Array(this.cells).fill(NaN);
        for (let i = 0; i < this.cells; i++) {
          const s = this.unmask[i] - this.firstStep;
          if (s >= 0 && s < this.steps && this.hasWord(w)) out[i] = this.wordAt(s, w, i);
        }
        this.commits.set(w, out);
      }
      return this.commits.get(w);
    }

    // How much some cells read a word when they were decided, as a multiple of the mean over the picture; NaN where nothing is known.
    timesRead(w, cells) {
      const map = this.atCommit(w);
      const mean = (list) => {
        const known = list.filter((v) => v === v);
        return known.length ? known.reduce((sum, v) => sum + v, 0) / known.length : NaN;
      };
      return mean(cells.map((i) => map[i])) / mean(Array.from(map));
    }

    // Mean attention to a group of words (those that name an object), into `out`.
    wordsInto(s, words, out) {
      out.fill(0);
      const rows = words.filter((w) => this.hasWord(w));
      for (const w of rows) {
        const { codes, decode, from } = this.rowAt(s, w);
        for (let i = 0; i < this.cells; i++) out[i] += decode[codes[from + i]];
      }
      if (rows.length > 1) for (let i = 0; i < this.cells; i++) out[i] /= rows.length;
      return out;
    }

    candidatesInto(s, out, key) {
      out.fill(NaN);
      const list = this.atStep[s];
      for (let k = 0; k < list.length; k++) out[list[k]] = this.valueOf(key, s, k);
      return out;
    }

    // The step that committed a cell as it stands after step s; -1 where it is masked, or was given from the start.
    // A cell that is drawn again later has another step on record for its end.
    committedAt(s, i) {
      const last = this.unmask[i];
      if (last < 0 || last <= this.firstStep + s) return last;
      if (this.hidden(s, i)) return -1;
      for (let k = s; k >= 0; k--) if (this.committed(k, i)) return this.firstStep + k;
      return -1;
    }

    orderInto(s, out) {
      for (let i = 0; i < this.cells; i++) {
        const when = this.committedAt(s, i);
        out[i] = when >= 0 ? when : NaN;
      }
      return out;
    }
  }

  parts.run = { Run };
})((window.UncagePlayerParts = window.UncagePlayerParts || /** @type {any} */ ({})));

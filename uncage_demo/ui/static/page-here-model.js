// The model that draws in this browser: the worker that holds it, and what the server is asked for it.
(function (page) {
  "use strict";

  const { parse } = page;
  const KEPT_READINGS = 64;
  const OUT_OF_REACH = "The server is out of reach";

  page.OUT_OF_REACH = OUT_OF_REACH;

  page.HereModel = class {
    /**
     * @param {{ progress: (message: any) => void, finished: (message: any) => void, failed: (text: string) => void }} hears what the worker tells while it draws
     * @param {{ say: (text: string, wrong?: boolean) => void, opened: (key: string) => void }} tells where the model stands; which one was opened
     */
    constructor(hears, tells) {
      this.hears = hears;
      this.tells = tells;
      this.server = null;
      this.told = null;
      this.engine = null;
      this.orders = {}; // titles by name
      this.opening = { key: "", done: null };
      this.waiting = null; // resolves when the worker has opened the model
      this.readings = new Map();
    }

    // The server's functions, and what it says of fields and models.
    attach(server, told) {
      Object.assign(this, { server, told });
    }

    async ask(name, data) {
      let answer = null;
      try {
        answer = parse(await this.server[name](data));
      } catch {
        answer = null;
      }
      if (!answer) throw Object.assign(new Error(`${OUT_OF_REACH}.`), { away: true });
      if (answer.error) throw new Error(answer.error);
      return answer;
    }

    // A prompt as the server reads it, with the corrections that the chips show.
    async read(text, model, edits) {
      const { readings } = this;
      const key = JSON.stringify([text, edits, model]);
      if (!readings.has(key)) {
        try {
          readings.set(key, (await this.ask("here_read", { text, edits, model })).prompt);
        } catch (error) {
          throw error.away ? new Error(`${OUT_OF_REACH}, so this prompt cannot be read. Prompts that it has read are still drawn.`) : error;
        }
        if (readings.size > KEPT_READINGS) readings.delete(readings.keys().next().value);
      }
      return readings.get(key);
    }

    // Of a file that the server keeps for browsers.
    address(name) {
      const root = new URL(window.location.pathname.replace(/\/?$/, "/"), window.location.origin);
      return new URL(`${this.told.folder}/${name}`, root).href;
    }

    open(model, age) {
      const key = `${model} ${age}`;
      if (this.opening.key === key && this.opening.done) return this.opening.done;
      // One after the other: the worker answers for the model that it opened last.
      const before = this.opening.done ? this.opening.done.catch(() => {}) : Promise.resolve();
      const done = before.then(() => this.load(model, age, key)).catch((error) => {
        if (this.opening.done === done) this.opening = { key: "", done: null };
        if (this.engine) this.engine.end();
        this.engine = null;
        this.tells.say(error.message, true);
        throw error;
      });
      this.opening = { key, done };
      return done;
    }

    async load(model, age, key) {
      const { told, tells } = this;
      const reason = window.UncageEngine.unable();
      if (reason) throw new Error(reason);
      if (!told.models.includes(model)) throw new Error(`This model is drawn on the server only; in a browser: ${told.models.join(", ")}.`);
      tells.say("Loading the model…");
      const { files } = await this.ask("here_files", { model, age });
      const manifest = await (await fetch(this.address(files.manifest))).json();
      this.orders = Object.fromEntries(manifest.orders.map(({ name, title }) => [name, title]));
      if (!this.engine) this.engine = new window.UncageEngine.Engine(this.address(files.worker), this.listener());
      const parts = Object.fromEntries(Object.entries(files.parts).map(([part, name]) => [part, this.address(name)]));
      await new Promise((resolve, reject) => {
        this.waiting = { resolve, reject };
        this.engine.open(manifest, this.address(files.wasm), parts);
      });
      tells.say("The model is loaded: drawing needs no server now.");
      tells.opened(key);
    }

    // What is told while the model opens is for us; the rest is for who draws.
    listener() {
      const { hears } = this;
      const settle = () => {
        const { waiting } = this;
        this.waiting = null;
        return waiting;
      };
      return {
        opened: () => settle()?.resolve(),
        failed: (text) => {
          const waiting = settle();
          if (waiting) waiting.reject(new Error(text));
          else hears.failed(text);
        },
        progress: hears.progress,
        finished: hears.finished,
        saved() {},
      };
    }
  };
})(window.UncagePage);

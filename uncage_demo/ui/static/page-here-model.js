// The model that draws in this browser: the worker that holds it, and what the server is asked for it.
(function (page) {
  "use strict";

  const { parse } = page;
  const KEPT_READINGS = 64;
  const OUT_OF_REACH = "The server is out of reach";

  const DEVICE = "uncage-device", REFUSED = "uncage-webgpu-refused";

  page.OUT_OF_REACH = OUT_OF_REACH;

  // What a browser keeps for us; one that keeps nothing asks again next time.
  const kept = {
    get(store, name) {
      try {
        return /** @type {any} */ (window)[store].getItem(name) || "";
      } catch {
        return "";
      }
    },
    set(store, name, value) {
      try {
        /** @type {any} */ (window)[store].setItem(name, value);
      } catch {
        // it is asked again
      }
    },
  };

  const megabytes = (bytes) => (bytes / 1e6).toFixed(1);

  page.HereModel = class {
    /**
     * @param {{ again: (silent: boolean) => void, progress: (message: any) => void, finished: (message: any) => void, failed: (text: string) => void }} hears what the worker tells while it draws; again = that it begins anew, with WebAssembly; silent = because WebGPU never answered
     * @param {{ say: (text: string, wrong?: boolean) => void, loading: (text: string, share: number) => void, opened: (key: string, device: any) => void }} tells where the model stands; how much of it has come; which one was opened, and on what
     */
    constructor(hears, tells) {
      this.hears = hears;
      this.tells = tells;
      this.server = null;
      this.told = null;
      this.engine = null;
      this.listening = 0;
      this.device = null; // on which the model was opened
      this.computing = null; // what computes it now
      this.silence = ""; // said of a WebGPU that never answered: while this page is open, it is not tried again
      this.orders = {}; // titles by name
      this.opening = { key: "", done: null };
      this.waiting = null; // resolves when the worker has opened the model
      this.coming = new Map(); // files of the model that is being opened: address -> bytes that it has, and that have come
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
      if (answer.error) throw Object.assign(new Error(answer.error), { words: answer.words });
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

    // What the visitor chose to compute with.
    get wish() {
      const wish = kept.get("localStorage", DEVICE);
      return window.UncageEngine.devices.WISHES.includes(wish) ? wish : "auto";
    }

    set wish(value) {
      kept.set("localStorage", DEVICE, value);
      kept.set("sessionStorage", REFUSED, "");
      this.opening = { ...this.opening, key: "" };
    }

    open(model, age) {
      const key = `${model} ${age}`;
      if (this.opening.key === key && this.opening.done) return this.opening.done;
      // One after the other: the worker answers for the model that it opened last.
      const before = this.opening.done ? this.opening.done.catch(() => {}) : Promise.resolve();
      const done = before.then(() => this.load(model, age, key)).catch((error) => {
        if (this.opening.done === done) this.opening = { key: "", done: null };
        this.end();
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
      // WebGPU where it is there, says the same and is faster; what was found out is not tried again while the browser runs.
      const { devices } = window.UncageEngine;
      const refused = this.wish === "wasm" ? "" : this.silence || (this.wish === "auto" ? kept.get("sessionStorage", REFUSED) : "");
      let device = refused ? devices.webAssembly(refused) : await devices.chooseDevice(this.wish);
      try {
        await this.start(model, age, device);
      } catch (error) {
        if (device.build !== "webgpu") throw error;
        this.end();
        device = devices.webAssembly(error.message.replace(/\.$/, ""));
        if (error.silent) this.silence = device.reason;
        await this.start(model, age, device);
        if (this.wish === "auto") kept.set("sessionStorage", REFUSED, device.reason);
      }
      tells.say(`The model is loaded: drawing needs no server now. ${device.name} computes${device.reason ? `: ${device.reason}` : ""}.`);
      tells.opened(key, device);
    }

    // The model in a worker of the runtime's build that the device needs.
    async start(model, age, device) {
      const { files } = await this.ask("here_files", { model, age, build: device.build });
      const manifest = await (await fetch(this.address(files.manifest))).json();
      this.orders = Object.fromEntries(manifest.orders.map(({ name, title }) => [name, title]));
      if (this.engine && this.device.build !== device.build) this.end();
      this.device = this.computing = device;
      if (!this.engine) this.engine = new window.UncageEngine.Engine(this.address(files.worker), this.listener());
      const parts = Object.fromEntries(Object.entries(files.parts).map(([part, name]) => [part, this.address(name)]));
      this.coming = new Map(Object.entries(files.bytes).map(([name, bytes]) => [this.address(name), { bytes, loaded: 0 }]));
      this.tellLoading();
      let timer = 0;
      await new Promise((resolve, reject) => {
        this.waiting = { resolve, reject };
        this.engine.open(manifest, this.address(files.wasm), parts, { build: device.build, name: device.name, hurry: device.hurry, patience: device.patience });
        const late = () => reject(new Error("WebGPU takes too long to start here"));
        if (device.hurry) timer = setTimeout(late, window.UncageEngine.devices.WEBGPU_PATIENCE_MS);
      }).finally(() => clearTimeout(timer));
    }

    // A graphics processor may be taken away at any time. The worker begins the run again with WebAssembly, and stays with it.
    leftGraphics(device, text, silent) {
      this.computing = device;
      if (silent) this.silence = text;
      if (this.wish === "auto") kept.set("sessionStorage", REFUSED, silent ? text : "WebGPU failed while it drew");
      this.tells.say(silent ? `${text}, so ${device.name} computes now.` : `WebGPU failed while it drew (${text}). ${device.name} computes now.`);
      this.hears.again(silent);
    }

    // Both workers take the runtime: it counts once.
    loading({ address, loaded }) {
      const file = this.coming.get(address);
      if (!file || !this.waiting) return;
      file.loaded = Math.max(file.loaded, loaded);
      this.tellLoading();
    }

    tellLoading() {
      const files = [...this.coming.values()];
      const sum = (name) => files.reduce((all, file) => all + file[name], 0);
      const [loaded, bytes] = [sum("loaded"), sum("bytes")];
      const text = loaded < bytes ? `Loading the model: ${megabytes(loaded)} of ${megabytes(bytes)} MB` : `Starting the model (${megabytes(bytes)} MB)…`;
      this.tells.loading(text, loaded / bytes);
    }

    // Where the worker cannot go on either, the next run is WebAssembly's. What is said of it.
    withoutGraphics(text) {
      this.opening = { ...this.opening, key: "" };
      if (this.wish !== "auto") return `WebGPU failed while it drew (${text}): choose WebAssembly in the settings.`;
      kept.set("sessionStorage", REFUSED, "WebGPU failed while it drew");
      return `WebGPU failed while it drew (${text}). Press Generate again: WebAssembly computes then.`;
    }

    end() {
      this.listening++;
      this.waiting = null;
      if (this.engine) this.engine.end();
      this.engine = null;
    }

    // What is told while the model opens is for us; the rest is for who draws.
    listener() {
      const { hears } = this;
      const mine = ++this.listening; // of one engine: what an ended one still says is nothing to us
      const settle = () => {
        const { waiting } = this;
        this.waiting = null;
        return waiting;
      };
      return {
        loading: (message) => mine === this.listening && this.loading(message),
        opened: () => settle()?.resolve(),
        failed: (text, silent) => {
          if (mine !== this.listening) return;
          const waiting = settle();
          if (waiting) waiting.reject(Object.assign(new Error(text), { silent }));
          else hears.failed(this.device.build === "webgpu" ? this.withoutGraphics(text) : text);
        },
        device: (device, text, silent) => mine === this.listening && this.leftGraphics(device, text, silent),
        progress: hears.progress,
        finished: hears.finished,
        saved() {},
      };
    }
  };
})(window.UncagePage);

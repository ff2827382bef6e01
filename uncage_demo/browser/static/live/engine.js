// The page's side of the worker: asks it to draw and hands on what it tells. Knows no markup.

/**
 * @typedef {object} Told what the page is told of
 * @property {(seconds: number) => void} opened
 * @property {(message: any) => void} progress
 * @property {(message: any) => void} finished
 * @property {(message: any) => void} saved
 * @property {(text: string) => void} failed
 */

export class Engine {
  /**
   * @param {string} script the worker's whole text
   * @param {Told} told
   */
  constructor(script, told) {
    this.ticket = 0;
    this.told = told;
    this.worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
    this.worker.addEventListener("message", ({ data }) => this.receive(data));
    this.worker.addEventListener("error", (event) => told.failed(`This browser could not start the drawing: ${event.message || "its worker did not start"}.`));
  }

  /** @param {any} message */
  receive(message) {
    if (message.ticket !== undefined && message.ticket !== this.ticket && message.kind !== "saved") return;
    if (message.kind === "opened") this.told.opened(message.seconds);
    else if (message.kind === "progress") this.told.progress(message);
    else if (message.kind === "finished") this.told.finished(message);
    else if (message.kind === "saved") this.told.saved(message);
    else if (message.kind === "failed") this.told.failed(message.text);
  }

  /** @param {any} manifest @param {string} wasm @param {Record<string, string>} parts */
  open(manifest, wasm, parts) {
    this.worker.postMessage({ kind: "open", manifest, wasm, parts });
  }

  /** Draw runs; what is being drawn stops. @param {any[]} runs @param {string[]} [titles] */
  draw(runs, titles) {
    this.worker.postMessage({ kind: "draw", ticket: ++this.ticket, runs, titles });
  }

  /** @param {number} run @param {number} at_step @param {any} edits @param {any} config */
  branch(run, at_step, edits, config) {
    this.worker.postMessage({ kind: "branch", ticket: ++this.ticket, run, at_step, edits, config });
  }

  cancel() {
    this.ticket++;
    this.worker.postMessage({ kind: "cancel" });
  }

  /** @param {number} run @param {any[]} notes that were written on it */
  save(run, notes) {
    this.worker.postMessage({ kind: "save", run, notes });
  }
}

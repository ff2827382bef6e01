// The page's side of the worker: asks it to draw and hands on what it tells. Knows no markup.

/** @import { Device } from "../types" */
import { WEBGPU_PATIENCE_MS, WISHES, chooseDevice, webAssembly } from "./device.js";

/** What a page needs to choose what computes. */
export const devices = { WEBGPU_PATIENCE_MS, WISHES, chooseDevice, webAssembly };

/** Why this browser cannot draw, in a sentence; "" where it can. */
export function unable() {
  if (typeof Worker === "undefined") return "This browser has no workers, so it cannot compute the model.";
  if (typeof WebAssembly === "undefined") return "This browser has no WebAssembly, so it cannot compute the model.";
  if (typeof DecompressionStream === "undefined") return "This browser cannot unpack the model (it has no DecompressionStream).";
  return "";
}

/**
 * @typedef {object} Told what the page is told of
 * @property {(message: { address: string, loaded: number }) => void} [loading] bytes of a file that have come so far
 * @property {(seconds: number) => void} opened
 * @property {(message: any) => void} progress
 * @property {(message: any) => void} finished
 * @property {(message: any) => void} saved
 * @property {(text: string, silent: boolean) => void} failed silent = because WebGPU never answered
 * @property {(device: Device, text: string, silent: boolean) => void} [device] another one computes from now on, and why; silent = the one before never answered
 */

export class Engine {
  /**
   * @param {string} address of the worker's script
   * @param {Told} told
   */
  constructor(address, told) {
    this.ticket = 0;
    this.told = told;
    /** @type {Map<number, { resolve: (value: any) => void, reject: (error: Error) => void }>} */
    this.asked = new Map();
    this.lastId = 0;
    this.address = address;
    this.worker = this.begun();
    this.worker.addEventListener("message", ({ data }) => this.receive(data));
    // A second worker draws beside the decoding, and reads one of two runs, where there is a second processor for it.
    this.helpers = (navigator.hardwareConcurrency || 1) > 1 ? [this.begun()] : [];
    /** What whoever helps is to open. @type {object} */
    this.given = {};
  }

  /** A worker; every one loads parts of the model. */
  begun() {
    const worker = new Worker(this.address);
    worker.addEventListener("message", ({ data }) => data.kind === "loading" && this.told.loading?.(data));
    worker.addEventListener("error", (event) => this.told.failed(`This browser could not start the drawing: ${event.message || "its worker did not start"}.`, false));
    return worker;
  }

  get workers() {
    return [this.worker, ...this.helpers];
  }

  /** @param {any} message */
  receive(message) {
    const waiting = this.asked.get(message.id);
    if (waiting) {
      this.asked.delete(message.id);
      if (message.kind === "failed") waiting.reject(new Error(message.text));
      else waiting.resolve(message.value);
      return;
    }
    if (message.ticket !== undefined && message.ticket !== this.ticket && message.kind !== "saved") return;
    if (message.kind === "device") this.told.device?.(message.device, message.text, message.silent);
    else if (message.kind === "relief") this.relieve(message.ports);
    else if (message.kind === "opened") this.told.opened(message.seconds);
    else if (message.kind === "progress") this.told.progress(message);
    else if (message.kind === "finished") this.told.finished(message);
    else if (message.kind === "saved") this.told.saved(message);
    else if (message.kind === "failed") this.told.failed(message.text, Boolean(message.silent));
  }

  /** @param {any} manifest @param {string} wasm @param {Record<string, string>} parts @param {Device} [device] what computes; the worker's script and `wasm` are of its build */
  open(manifest, wasm, parts, device) {
    const shared = Object.fromEntries(Object.entries(parts).filter(([part]) => part !== "tiles"));
    this.given = { manifest, wasm, parts: shared };
    if (!this.helpers.length) return this.worker.postMessage({ kind: "open", manifest, wasm, parts, device });
    const { port1, port2 } = new MessageChannel();
    this.helpers[0].postMessage({ kind: "help", ...this.given, port: port1, device }, [port1]);
    this.worker.postMessage({ kind: "open", manifest, wasm, parts, helper: port2, device }, [port2]);
  }

  /**
   * WebGPU never answers, so no runtime computes any more. The worker keeps the runs and goes on deciding; others compute for it, with
   * WebAssembly.
   * @param {MessagePort[]} ports one for each of them
   */
  relieve(ports) {
    for (const helper of this.helpers) helper.terminate();
    this.helpers = ports.map((port) => {
      const worker = this.begun();
      worker.postMessage({ kind: "help", ...this.given, port }, [port]);
      return worker;
    });
  }

  /** Draw runs; what is being drawn stops. @param {any[]} runs @param {{ titles?: string[], live?: boolean, frames?: string, keep?: boolean }} [how] see worker.js */
  draw(runs, how = {}) {
    this.worker.postMessage({ kind: "draw", ticket: ++this.ticket, runs, ...how });
  }

  /** @param {number} run @param {number} at_step @param {any} edits @param {any} config @param {{ replace?: number, most?: number }} [how] see worker.js */
  branch(run, at_step, edits, config, how = {}) {
    this.worker.postMessage({ kind: "branch", ticket: ++this.ticket, run, at_step, edits, config, ...how });
  }

  /** @param {number} run @param {number} after_step @param {number[]} cells @param {{ beside?: boolean, most?: number }} [how] see worker.js */
  edit(run, after_step, cells, how = {}) {
    this.worker.postMessage({ kind: "edit", ticket: ++this.ticket, run, after_step, cells, ...how });
  }

  /** Show runs of trace files. @param {Uint8Array[]} files */
  show(files) {
    this.worker.postMessage({ kind: "show", ticket: ++this.ticket, files });
  }

  /** Layers and heads as the player asks for them. @param {object} detail run (index), step, word; see worker.js @returns {Promise<any>} */
  heads(detail) {
    return this.ask({ kind: "heads", ...detail });
  }

  /** Trace files of all runs with their verdicts. @param {boolean} slim without pictures @returns {Promise<any>} */
  files(slim = false) {
    return this.ask({ kind: "files", slim });
  }

  /** One file of all runs. @param {any[][]} [notes] what was written on each @returns {Promise<{ name: string, mime: string, data: string }>} data in base64 */
  archive(notes) {
    return this.ask({ kind: "archive", notes });
  }

  /** @param {object} message @returns {Promise<any>} */
  ask(message) {
    const id = ++this.lastId;
    this.worker.postMessage({ ...message, id });
    return new Promise((resolve, reject) => this.asked.set(id, { resolve, reject }));
  }

  /** End the workers and give their memory back. */
  end() {
    for (const worker of this.workers) worker.terminate();
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

// The worker: opens the model and draws, so that the page stays free. Asked and answered by messages (see live/engine.js).

/** @import { Manifest, Run, Trace, Verdict } from "./types" */
import { EmbeddedBackend } from "./backends/embedded.js";
import { remembering } from "./backends/remembered.js";
import { placeOf, verdictOf } from "./backends/verdict.js";
import { branched } from "./branching.js";
import { buildPayload } from "./player/payload.js";
import { stream } from "./runner.js";
import { traceToBytes } from "./trace/file.js";

/** Runs that are kept for saving and branching. */
const KEPT_RUNS = 24;

class Worker {
  /** @param {any} ort @param {(message: object, transfer?: Transferable[]) => void} post */
  constructor(ort, post) {
    this.ort = ort;
    this.post = post;
    /** @type {EmbeddedBackend | null} */
    this.backend = null;
    /** The latest ticket; an older one stops after its step. */
    this.ticket = 0;
    /** @type {{ trace: Trace, verdict: Verdict }[]} */
    this.runs = [];
  }

  /** @param {any} message */
  async receive(message) {
    try {
      if (message.kind === "open") await this.open(message);
      else if (message.kind === "draw") await this.draw(message);
      else if (message.kind === "branch") await this.branch(message);
      else if (message.kind === "cancel") this.ticket++;
      else if (message.kind === "save") await this.save(message);
    } catch (error) {
      this.post({ kind: "failed", ticket: message.ticket, text: error instanceof Error ? error.message : String(error) });
    }
  }

  /** @param {{ manifest: Manifest, wasm: string, parts: Record<string, string> }} message base64 of gzipped bytes, or addresses */
  async open({ manifest, wasm, parts }) {
    if (typeof WebAssembly === "undefined") throw new Error("This browser has no WebAssembly, so it cannot compute the model.");
    if (typeof DecompressionStream === "undefined") throw new Error("This browser cannot unpack the model (it has no DecompressionStream).");
    const began = performance.now();
    const { env } = this.ort;
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = await unpacked(wasm);
    if (this.backend) await this.backend.release();
    this.backend = null;
    this.backend = remembering(await EmbeddedBackend.load(manifest, this.ort, (part) => unpacked(parts[part])));
    this.post({ kind: "opened", seconds: (performance.now() - began) / 1000 });
  }

  /** @param {{ ticket: number, runs: Run[], titles?: string[] }} message */
  async draw({ ticket, runs, titles }) {
    this.ticket = ticket;
    const backend = this.model();
    for await (const progress of stream(backend, runs)) {
      if (!progress.finished) this.tell(ticket, progress, progress.traces.map(() => null), titles);
      else {
        const finished = [];
        for (const trace of progress.traces) finished.push({ trace, verdict: await this.judged(trace) });
        if (this.ticket !== ticket) return;
        this.runs = finished;
        this.tell(ticket, progress, finished.map((run) => run.verdict), titles);
      }
      // Lets messages in: a cancelled run stops here.
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.ticket !== ticket) return;
    }
  }

  /** @param {{ ticket: number, run: number, at_step: number, edits: any, config: any }} message */
  async branch({ ticket, run, at_step, edits, config }) {
    this.ticket = ticket;
    const parent = this.runs[run];
    if (!parent) throw new RangeError(`There is no run ${run + 1} to branch from.`);
    const others = this.runs.slice(-(KEPT_RUNS - 1));
    for await (const progress of branched(this.model(), parent.trace, at_step, edits, config)) {
      const runs = [...others.map((one) => one.trace), progress.traces[0]];
      const verdicts = [...others.map((one) => one.verdict), progress.finished ? await this.judged(progress.traces[0]) : null];
      if (this.ticket !== ticket) return;
      if (progress.finished) this.runs = runs.map((trace, i) => ({ trace, verdict: /** @type {Verdict} */ (verdicts[i]) }));
      this.tell(ticket, { ...progress, traces: runs }, verdicts);
      await new Promise((resolve) => setTimeout(resolve, 0));
      if (this.ticket !== ticket) return;
    }
  }

  /** @param {{ ticket: number, run: number, notes: any[] }} message */
  async save({ ticket, run, notes }) {
    const bytes = await traceToBytes({ ...this.runs[run].trace, notes });
    this.post({ kind: "saved", ticket, run, order: this.runs[run].trace.config.order, bytes }, [bytes.buffer]);
  }

  model() {
    if (!this.backend) throw new Error("The model is not open yet.");
    return this.backend;
  }

  /** @param {Trace} trace */
  async judged(trace) {
    const { manifest } = this.model();
    return verdictOf(manifest, await this.model().detect(trace.image), trace.prompt, placeOf(manifest, trace.image));
  }

  /** @param {number} ticket @param {import("./types").Progress} progress @param {(Verdict | null)[]} verdicts @param {string[]} [titles] */
  tell(ticket, { step, num_steps, elapsed_s, traces, finished }, verdicts, titles) {
    const payload = buildPayload(this.model().manifest, traces, verdicts, titles);
    this.post({ kind: finished ? "finished" : "progress", ticket, step, num_steps, elapsed_s, payload, timings_s: { ...traces[0].timings_s } });
  }
}

/** Bytes of a part: base64 of gzipped bytes, or an address to fetch gzipped bytes from. @param {string} told */
async function unpacked(told) {
  /** @type {ReadableStream} */
  let packed;
  if (/^(https?|blob):/.test(told)) {
    const answer = await fetch(told);
    if (!answer.ok || !answer.body) throw new Error(`A part of the model did not arrive (${answer.status} of ${told.split("/").pop()}). Load the page again.`);
    packed = answer.body;
  } else {
    const text = atob(told);
    packed = new Blob([Uint8Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))]).stream();
  }
  try {
    return new Uint8Array(await new Response(packed.pipeThrough(new DecompressionStream("gzip"))).arrayBuffer());
  } catch (error) {
    throw new Error("A part of the model is damaged: it cannot be unpacked. Load the page again.", { cause: error });
  }
}

/**
 * Start answering.
 * @param {any} ort the runtime
 * @param {any} scope the worker's own scope
 */
export function serve(ort, scope) {
  const worker = new Worker(ort, (message, transfer) => scope.postMessage(message, transfer || []));
  scope.addEventListener("message", (/** @type {MessageEvent} */ event) => worker.receive(event.data));
}

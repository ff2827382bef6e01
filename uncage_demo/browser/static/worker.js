// The worker: opens the model and draws, so that the page stays free. Asked and answered by messages (see live/engine.js).

/** @import { Device, Manifest, Run, Trace, Verdict } from "./types" */
import { EmbeddedBackend } from "./backends/embedded.js";
import { remembering } from "./backends/remembered.js";
import { PLAIN } from "./backends/devices.js";
import { DistantHand, LocalHand, answerOn, refusal } from "./backends/hands.js";
import { GraphicsLost, GraphicsSilent } from "./backends/patience.js";
import { placeOf, verdictOf } from "./backends/verdict.js";
import { branched, headsAt } from "./branching.js";
import { edited } from "./editing.js";
import { packedHeads } from "./player/heads.js";
import { asMessage } from "./player/message.js";
import { buildPayload, verdictView } from "./player/payload.js";
import { base64, liveRuns } from "./player/pictures.js";
import { stream } from "./runner.js";
import { traceToBytes } from "./trace/file.js";
import { parseFrames } from "./trace/frames.js";
import { traceId } from "./trace/id.js";
import { traceFromBytes } from "./trace/read.js";
import { zipped } from "./trace/zip.js";

/** Runs that are kept for saving and branching. */
const KEPT_RUNS = 24;
/** How often is told how much of a file has come. */
const TELL_MS = 150;
/** How runtimes say that there is no memory left. */
const NO_MEMORY = /out of memory|memory access|allocation failed|could not allocate|bad_alloc|invalid (typed )?array length/i;

class Worker {
  /** @param {any} ort @param {(message: object, transfer?: Transferable[]) => void} post */
  constructor(ort, post) {
    this.ort = ort;
    this.post = post;
    /** @type {EmbeddedBackend | null} */
    this.backend = null;
    /** What this worker computes for another one. @type {LocalHand | null} */
    this.hand = null;
    this.started = false;
    this.live = false;
    /** The latest ticket; an older one stops after its step. */
    this.ticket = 0;
    /** @type {{ trace: Trace, verdict: Verdict }[]} */
    this.runs = [];
    /** Those that were drawn beside them last, for a lesson. @type {{ trace: Trace, verdict: Verdict }[]} */
    this.beside = [];
  }

  /** @param {any} message */
  async receive(message) {
    try {
      if (message.kind === "open") await this.open(message);
      else if (message.kind === "help") await this.help(message);
      else if (message.kind === "draw") await this.draw(message);
      else if (message.kind === "branch") await this.branch(message);
      else if (message.kind === "edit") await this.edit(message);
      else if (message.kind === "show") await this.show(message);
      else if (message.kind === "cancel") this.ticket++;
      else if (message.kind === "save") await this.save(message);
      else if (message.kind === "files") await this.files(message);
      else if (message.kind === "archive") await this.archive(message);
      else if (message.kind === "heads") await this.heads(message);
    } catch (error) {
      this.post({ kind: "failed", ticket: message.ticket, id: message.id, text: told(error), silent: error instanceof GraphicsSilent });
    }
  }

  /** @param {{ manifest: Manifest, wasm: string, parts: Record<string, string>, helper?: MessagePort, device?: Device }} message base64 of gzipped bytes, or addresses;
   *   helper = to a worker that is told to help; device = what computes, of which the runtime must be the build */
  async open({ manifest, wasm, parts, helper, device }) {
    const began = performance.now();
    const distant = helper ? DistantHand.reached(helper) : null;
    distant?.catch(() => {}); // it is waited for later, and what is wrong with it is told then
    await this.start(wasm);
    if (this.backend) await this.backend.release();
    this.backend = null;
    const backend = await EmbeddedBackend.load(manifest, this.ort, (part) => this.unpacked(parts[part]), distant, device);
    await backend.warm();
    this.backend = remembering(backend);
    this.post({ kind: "opened", seconds: (performance.now() - began) / 1000 });
    backend.share().catch(() => {}); // it is closed again already
  }

  /** Draw and detect for another worker, and whatever else it wants. @param {{ manifest: Manifest, wasm: string, parts: Record<string, string>, port: MessagePort, device?: Device }} message as of `open` */
  async help({ manifest, wasm, parts, port, device }) {
    try {
      await this.start(wasm);
      if (this.hand) await this.hand.release();
      this.hand = null;
      this.hand = await LocalHand.having([manifest, this.ort, (part) => this.unpacked(parts[part]), device], ["decoder", "detector"]);
      answerOn(port, this.hand);
    } catch (error) {
      port.postMessage({ id: 0, ...refusal(error), text: told(error) });
    }
  }

  /** Make the runtime ready. @param {string} wasm */
  async start(wasm) {
    if (typeof WebAssembly === "undefined") throw new Error("This browser has no WebAssembly, so it cannot compute the model.");
    if (typeof DecompressionStream === "undefined") throw new Error("This browser cannot unpack the model (it has no DecompressionStream).");
    if (this.started) return;
    const { env } = this.ort;
    env.wasm.numThreads = 1;
    env.wasm.wasmBinary = await this.unpacked(wasm);
    this.started = true;
  }

  /** Bytes of a part (see `unpacked`); how much of a file has come is told while it comes. @param {string} told */
  unpacked(told) {
    return unpacked(told, (loaded) => this.post({ kind: "loading", address: told, loaded }));
  }

  /** @param {{ ticket: number, runs: Run[], titles?: string[], live?: boolean, frames?: string, keep?: boolean }} message live = pictures of what is decoding instead of
   *   payloads; frames = of which steps pictures are made, as `parseFrames` takes it; keep = whether they take the place of the runs so far */
  async draw({ ticket, runs, titles, live, frames = "all", keep = true }) {
    this.ticket = ticket;
    this.live = Boolean(live);
    const backend = this.model();
    const every = parseFrames(frames);
    await this.follow(ticket, () => stream(backend, runs, every), async (progress) => {
      const { traces, finished } = progress;
      await this.tell(ticket, progress, traces.map((trace) => (finished ? this.judged(trace) : null)), { titles, keep: finished ? (keep ? "runs" : "beside") : undefined });
    });
  }

  /**
   * Follow a run to its end, or until something else is asked for. One during which WebGPU fails is begun again with WebAssembly: all of it
   * has the digits of one device.
   * @param {number} ticket
   * @param {() => AsyncGenerator<import("./types").Progress, void, void>} begin
   * @param {(progress: import("./types").Progress) => Promise<void>} tell
   */
  async follow(ticket, begin, tell) {
    await this.onAnyDevice(async () => {
      if (this.ticket !== ticket) return;
      for await (const progress of begin()) {
        await tell(progress);
        // Lets messages in: a cancelled run stops here.
        await new Promise((resolve) => setTimeout(resolve, 0));
        if (this.ticket !== ticket) return;
      }
    });
  }

  /** Do something; where WebGPU fails meanwhile, again with WebAssembly, which the page is told of. @template T @param {() => Promise<T>} act @returns {Promise<T>} */
  async onAnyDevice(act) {
    try {
      return await act();
    } catch (error) {
      if (!(error instanceof GraphicsLost)) throw error;
      const silent = error instanceof GraphicsSilent;
      this.post({ kind: "device", device: PLAIN, text: error.message, silent });
      await this.model().leaveGraphics(silent ? (count) => this.others(count) : null);
      if (silent) this.model().share().catch(() => {}); // it is closed again already
      return act();
    }
  }

  /** Hands in workers that the page starts for it. @param {number} count */
  others(count) {
    const channels = Array.from({ length: count }, () => new MessageChannel());
    const ports = channels.map(({ port1 }) => port1);
    this.post({ kind: "relief", ports }, ports);
    return Promise.all(channels.map(({ port2 }) => DistantHand.reached(port2)));
  }

  /**
   * Decode on from a run; the branch joins the others.
   * @param {{ ticket: number, run: number, at_step: number, edits: any, config: any, replace?: number, most?: number }} message
   *   replace = a run whose place the branch takes; most = how many runs there may be, the last ones before it go first
   */
  async branch({ ticket, run, at_step, edits, config, replace = -1, most = KEPT_RUNS }) {
    this.ticket = ticket;
    const parent = this.parent(this.runs, run, "branch from");
    const others = this.runs.filter((_, index) => index !== replace).slice(0, most - 1);
    await this.joining(ticket, others, () => branched(this.model(), parent.trace, at_step, edits, config));
  }

  /**
   * Erase cells of a run and draw them again; the new run joins the others.
   * @param {{ ticket: number, run: number, after_step: number, cells: number[], beside?: boolean, most?: number }} message
   *   beside = the run is one of those that were drawn beside the others, and its neighbours come along; most = as for a branch, but the edited run stays
   */
  async edit({ ticket, run, after_step, cells, beside = false, most = KEPT_RUNS }) {
    this.ticket = ticket;
    const all = beside ? this.beside : this.runs;
    const parent = this.parent(all, run, "edit");
    const rest = new Set([parent, ...all].slice(0, most - 1));
    await this.joining(ticket, all.filter((one) => rest.has(one)), () => edited(this.model(), parent.trace, cells, after_step));
  }

  /** A run to go on from. @param {{ trace: Trace, verdict: Verdict }[]} runs @param {number} run @param {string} to */
  parent(runs, run, to) {
    const parent = runs[run];
    if (!parent) throw new RangeError(`There is no run ${run + 1} to ${to}.`);
    if (parent.trace.model.weight_hash !== this.model().info.weight_hash) throw new RangeError("This run was made by another model than the one that is open: draw it again.");
    return parent;
  }

  /** A run that joins others. @param {number} ticket @param {{ trace: Trace, verdict: Verdict }[]} others @param {() => AsyncGenerator<import("./types").Progress, void, void>} begin */
  async joining(ticket, others, begin) {
    await this.follow(ticket, begin, async (progress) => {
      const runs = [...others.map((one) => one.trace), progress.traces[0]];
      const { finished } = progress;
      await this.tell(ticket, { ...progress, traces: runs }, [...others.map((one) => one.verdict), finished ? this.judged(progress.traces[0]) : null], { keep: finished ? "runs" : undefined });
    });
  }

  /** Trace files of runs of one prompt, opened again; they take the place of all runs. @param {{ ticket: number, files: Uint8Array[] }} message */
  async show({ ticket, files }) {
    this.ticket = ticket;
    /** @type {Trace[]} */
    const traces = [];
    for (const file of files) traces.push(await traceFromBytes(file, this.model().manifest));
    const other = traces.find(({ prompt }) => prompt.text !== traces[0].prompt.text);
    if (other) throw new RangeError(`Runs of two prompts are not shown together: “${traces[0].prompt.text}” and “${other.prompt.text}”.`);
    const runs = [];
    for (const trace of traces) runs.push({ trace, verdict: await this.judged(trace) });
    this.runs = runs;
    const num_steps = Math.max(...traces.map(({ config }) => config.num_steps));
    await this.tell(ticket, { step: num_steps - 1, num_steps, elapsed_s: 0, traces, finished: true }, runs.map(({ verdict }) => verdict));
  }

  /** @param {{ ticket: number, run: number, notes: any[] }} message */
  async save({ ticket, run, notes }) {
    const bytes = await traceToBytes({ ...this.runs[run].trace, notes });
    this.post({ kind: "saved", ticket, run, order: this.runs[run].trace.config.order, bytes }, [bytes.buffer]);
  }

  /** Trace files of all runs in base64, with their verdicts; slim = without pictures. @param {{ id: number, slim: boolean }} message */
  async files({ id, slim }) {
    const runs = [];
    for (const { trace, verdict } of this.runs) {
      const kept = slim ? { ...trace, frames: null, token_pictures: new Map() } : trace;
      runs.push({ verdict, data: base64(await traceToBytes(kept)) });
    }
    this.post({ kind: "answer", id, value: runs });
  }

  /** One file of all runs: a trace file, or an archive of several. @param {{ id: number, notes?: any[][] }} message notes = what was written on each run */
  async archive({ id, notes = [] }) {
    const { text } = this.runs[0].trace.prompt;
    const slug = (/** @type {string} */ said, /** @type {number} */ most) => said.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, most) || "run";
    const stem = `uncage-${slug(text, 48)}-seed${this.runs[0].trace.config.seed}`;
    /** @type {[string, Uint8Array][]} */
    const members = [];
    for (const [index, { trace }] of this.runs.entries()) {
      members.push([`${stem}-${String.fromCharCode(97 + index)}-${slug(trace.config.order, 48)}.npz`, await traceToBytes({ ...trace, notes: notes[index] || [] })]);
    }
    const [[first, bytes]] = members;
    const value = members.length === 1 ? { name: first, mime: "application/octet-stream", data: base64(bytes) } : { name: `${stem}.zip`, mime: "application/zip", data: base64(await zipped(members)) };
    this.post({ kind: "answer", id, value });
  }

  /**
   * Layers and heads of one word at one step of a run, as the player takes them.
   * @param {{ id: number, run: number, step: number, word: number, prompt?: import("./types").Prompt, tokens?: number[] }} message
   *   prompt and tokens = another prompt in which to read, and the text tokens in it
   */
  async heads({ id, run, step, word, prompt, tokens }) {
    const { trace } = this.runs[run];
    const read = tokens || trace.prompt.words[word].tokens;
    const maps = await this.onAnyDevice(() => headsAt(this.model(), trace, step, read, prompt));
    this.post({ kind: "answer", id, value: { heads: packedHeads(maps, this.model().info, step, word) } });
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

  /**
   * Tell the page of runs, unless it has asked for something else since.
   * @param {number} ticket @param {import("./types").Progress} progress
   * @param {(Verdict | Promise<Verdict> | null)[]} judging may still be made: the payload is built meanwhile
   * @param {{ titles?: string[], keep?: "runs" | "beside" }} [how] keep = which runs these are from now on
   */
  async tell(ticket, { step, num_steps, elapsed_s, traces, finished }, judging, { titles, keep } = {}) {
    const live = this.live && !finished;
    const { manifest } = this.model();
    /** @type {any} */
    const shown = live ? { runs: traces.every(({ frames }) => frames) ? liveRuns(traces) : undefined } : { payload: buildPayload(manifest, traces, traces.map(() => null), titles) };
    const named = finished ? { hashes: await Promise.all(traces.map(traceId)) } : {};
    const verdicts = await Promise.all(judging);
    if (!live) shown.payload.runs.forEach((/** @type {any} */ run, /** @type {number} */ i) => (run.verdict = verdictView(manifest, verdicts[i], traces[i].prompt)));
    if (this.ticket !== ticket) return;
    if (keep) this[keep] = traces.map((trace, i) => ({ trace, verdict: /** @type {Verdict} */ (verdicts[i]) }));
    const { content, transfer } = asMessage(shown);
    this.post({ kind: finished ? "finished" : "progress", ticket, step, num_steps, elapsed_s, timings_s: { ...traces[0].timings_s }, ...content, ...named }, transfer);
  }
}

/** What went wrong, as a sentence. @param {unknown} error */
function told(error) {
  const text = error instanceof Error ? error.message : String(error);
  return NO_MEMORY.test(text) ? "This browser has not enough memory for the model. Close other pages, or take a device with more memory." : text;
}

/**
 * Bytes of a part.
 * @param {string} told base64 of gzipped bytes, or an address to fetch gzipped bytes from
 * @param {(loaded: number) => void} heard is told how many of the bytes at an address have come: a few times a second, and at the end
 */
async function unpacked(told, heard) {
  /** @type {ReadableStream} */
  let packed;
  if (/^(https?|blob):/.test(told)) {
    let answer;
    try {
      answer = await fetch(told);
    } catch (error) {
      throw new Error("A part of the model could not be loaded: the server is out of reach.", { cause: error });
    }
    if (!answer.ok || !answer.body) throw new Error(`A part of the model did not arrive (${answer.status} of ${told.split("/").pop()}). Load the page again.`);
    packed = answer.body.pipeThrough(counted(heard));
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

/** Bytes on their way, counted. @param {(loaded: number) => void} heard @returns {TransformStream<Uint8Array, Uint8Array>} */
function counted(heard) {
  let loaded = 0, last = performance.now();
  return new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.length;
      controller.enqueue(chunk);
      if (performance.now() - last < TELL_MS) return;
      last = performance.now();
      heard(loaded);
    },
    flush: () => heard(loaded),
  });
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

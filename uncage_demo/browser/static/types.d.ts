// What the modules of the browser's engine hand to each other. Names of data are those of the Python side.
// Shapes: n image tokens (y x grid, row-major), v codebook, t text tokens, k recorded text columns, w words, o objects, l layers, h heads.

export type Term = "confidence" | "noise" | "contrast";
export type Forbidden = [number, number[]][];

export interface TextToken { text: string; start: number; end: number; special: boolean }
export interface Word { text: string; start: number; end: number; tokens: number[]; kind: string }
export interface Subject { object: number[]; attributes: number[][]; label: string; noun: string; colors: string[]; count: number }

/** As dataclasses.asdict gives a Python Prompt. */
export interface Prompt {
  text: string;
  tokens: TextToken[];
  words: Word[];
  subjects: Subject[];
  unknown: { word: number; suggestions: string[] }[];
  truncated: string;
  given: string;
}

/** Settings with nothing left to the model; seeds may exceed what a double holds. */
export interface Config {
  order: string;
  num_steps: number;
  seed: number | string | bigint;
  schedule: string;
  schedule_power: number;
  guidance_scale: number;
  guidance_schedule: string;
  token_temperature: number;
  noise_temperature: [number, number];
  contrast_weight: number;
  contrast_steps: number | null;
  contrast_blur: number;
  contrast_mode: string;
  contrast_rescale: string;
  anchor_radius: number;
  redraw_steps: number | null;
  redraw_words: string | null;
  use_confidence: boolean;
  use_noise: boolean;
  attention_source: string;
  halton_randomize: boolean;
  guidance_interval: readonly [number, number];
  entropy_heat: number;
  entropy_decay: number;
  how_many: string;
  entropy_budget: number;
  confidence_threshold: number;
  spacing: number;
  composition: number;
  self_guidance: number;
  logit_noise: number;
  differential: number;
  revise: string;
  revise_strength: number | null;
}

/** As asked for: what is missing or null is left to the model. */
export type GivenConfig = { [name in keyof Config]?: Config[name] | null };

export interface ModelInfo {
  id: string;
  title: string;
  weight_hash: string;
  grid: [number, number];
  codebook_size: number;
  image_size_px: [number, number];
  attention_grid: [number, number];
  single_layers: number;
  num_heads: number;
  default_source: string;
  default_steps: number;
  default_guidance_scale: number;
  description: string;
  default_noise_temperature: [number, number];
  default_schedule: string;
  default_negative_prompt: string;
}

export interface StepContext {
  step: number;
  num_steps: number;
  masked: Uint8Array;
  confidence: Float32Array;
  noise: Float32Array;
  contrast: Float32Array;
  weight: number;
  margin: Float32Array | null;
  entropy: Float32Array | null;
  rank: Int32Array | null;
}

export interface AttentionRead {
  /** "k" rows of "n". */
  attention: Float32Array[];
  /** "w" rows of "k". */
  words: Float64Array[];
  subjects: Subject[];
  grid: [number, number];
  sigma: number;
}

export interface Order {
  /** The terms at a step, of which the first `guided` are guided. */
  terms?: (config: Config, step: number, guided: number) => Term[];
  value?: (context: StepContext) => Float32Array;
  noise?: (config: Config, step: number) => number;
  contrast?: (read: AttentionRead, config: Config) => Float32Array;
  needs?: readonly ("margin" | "entropy" | "rank")[];
  visits?: (height: number, width: number) => Int32Array;
  redrawShare?: number;
  ownWords?: boolean;
}

/** Where decoding begins, when not from an all-masked grid. */
export interface Start {
  tokens: Int32Array;
  step: number;
  unmask_step?: Int32Array | null;
  keep?: [number, number][];
  hold?: number[];
  forbid?: Forbidden;
  sight?: Uint16Array | null;
  /** What the model saw one step earlier: differential sampling compares with it. */
  before?: { tokens: Int32Array; sight: Uint16Array | null } | null;
  /** Of each earlier step, "n" log p of the tokens that were there, NaN where masked: what a revision remembers. */
  likelihoods?: Float32Array[];
  /** How the tokens came about; null = from this run itself. */
  origin?: Origin | null;
}

/** What a run began with, where that is no empty grid; see trace/origin.py. Only edits are made and read here. */
export interface Origin {
  kind: "edit";
  source: string;
  source_prompt: string;
  after_step: number | null;
  shift: [number, number];
  strength: null;
  round: null;
  regions: [];
}

/** What a revision may look at when a step ends; arrays "n"; see orders/revise.py. */
export interface Committed {
  step: number;
  num_steps: number;
  held: Uint8Array;
  masked: Uint8Array;
  likelihood: Float32Array;
  trust: Float32Array;
  left_out: Float32Array | null;
  confidence: Float32Array;
  total: number;
  stay: number;
  lots: Float64Array;
}

export interface Revision {
  /** A place in REASONS. */
  reason: number;
  strength: number;
  /** "n", higher = opened sooner; minus infinity = never. */
  doubt: (look: Committed) => Float32Array | Float64Array;
  count: (look: Committed, strength: number) => number;
  hides?: boolean;
  ahead?: boolean;
}

export interface Run { prompt: Prompt; config: GivenConfig; start?: Start | null; suppress?: number[] }

export interface Request {
  tokens: Int32Array;
  step: number;
  num_steps: number;
  text: number[];
  unconditional: boolean;
  /** Scale of classifier-free guidance where nothing but its result is wanted; null = both answers apart. */
  guidance: number | null;
  source: string | null;
  full: boolean;
  suppress: number[];
  /** "n t", 1 where an image token may not attend to a text token. */
  hidden: Uint8Array | null;
}

export interface ForwardOutput {
  /** Logits "n v" after guidance, where these were asked for; the model may give both answers all the same. */
  guided: Float32Array | null;
  cond: Float32Array;
  uncond: Float32Array | null;
  /** "t" rows of "n": attention to every text token, averaged over the source's layers and heads. */
  attention: Float32Array[] | null;
  /** "l h t n" in one array. */
  attention_full: Float32Array | null;
}

export interface Backend {
  info: ModelInfo;
  default_blur: number;
  /** Text ids "t" of a prompt. */
  encode(prompt: Prompt): number[];
  /** One sample. */
  forward(request: Request): Promise<ForwardOutput>;
}

/** What computes: WebGPU or WebAssembly; see live/device.js. */
export interface Device {
  /** Of the runtime. */
  build: "webgpu" | "wasm";
  /** For people, and in a trace. */
  name: string;
  /** Whether WebGPU is taken only where it is the faster one. */
  hurry: boolean;
  /** How long WebGPU may take; left out = as PATIENCE says. */
  patience?: Patience;
}

/** How long WebGPU may take for an answer, in milliseconds. */
export interface Patience {
  /** To start a part of the model. */
  start_ms: number;
  /** For the first input of a size, which is compiled first. */
  first_ms: number;
  /** For a later one at least; more where so many times the median of its answers is more. */
  least_ms: number;
  times: number;
}

/** What one forward reads: an image of n tokens with b texts of t tokens. */
export interface Reading {
  b: number;
  /** "n", the mask's id where masked. */
  codes: BigInt64Array;
  /** "b t" */
  texts: BigInt64Array;
  /** "b t" text tokens that may be attended to. */
  visible: Uint8Array;
  /** "b n t" what an image token may not attend to. */
  hidden: Uint8Array;
  /** "b r" how much of each text's answer is in each of r answers. */
  mix: Float32Array;
}

/** Who computes: in this worker, or in one of its own beside it. */
export interface Hand {
  /** Which of the following it can do. */
  able: Set<string>;
  /** Take a part of the model: "transformer", "decoder" or "detector". */
  open(part: string): Promise<void>;
  /** From now on WebAssembly computes everything. */
  leaveGraphics(): Promise<void>;
  /** Logits "r n v" and attention "b l h t n". */
  read(reading: Reading): Promise<{ logits: Float32Array; attention: Float32Array }>;
  /** Pictures "H W 3" of complete token grids "n". */
  pictures(grids: Int32Array[], size: readonly number[]): Promise<Uint8Array[]>;
  /** The detector's logits of a picture "H W 3". */
  sights(picture: Uint8Array, size: readonly number[]): Promise<{ centre: Float32Array; style: Float32Array }>;
  release(): Promise<void>;
}

export interface StepRecord {
  step: number;
  sampled: Int32Array;
  committed: Uint8Array;
  masked_before: Uint8Array;
  confidence: Float32Array;
  noise: Float32Array;
  contrast: Float32Array;
  weight: number;
  scores: Float32Array;
  cutoff: number;
  /** "k" rows of "n". */
  attention: Float32Array[] | null;
  attention_full: Float32Array | null;
  /** "n a" */
  alternatives: Int32Array | null;
  alternative_probs: Float32Array | null;
  entropy: Float32Array | null;
  sight: Uint16Array | null;
  /** "n" why a cell was opened again when the step ended, a place in REASONS; null where none was. */
  reopened: Uint8Array | null;
  /** "n" log p of what each committed position held when the step began, 0 where masked; null without a revision. */
  likelihood: Float32Array | null;
  passes: number;
}

export interface Edits { keep: number[]; drop: number[]; forbid: Forbidden; suppress_word: number | null }
export interface Lineage { parent: string; at_step: number; edits: Edits; parent_config: Config; earlier: Lineage[] | null }

export interface FoundObject { noun: string; color: string; score: number; box: [number, number, number, number]; rival: string }

/** The finished record of one run; see trace/record.py. */
export interface Trace {
  prompt: Prompt;
  config: Config;
  model: ModelInfo;
  columns: number[];
  steps: StepRecord[];
  tokens: Int32Array;
  unmask_step: Int32Array;
  /** "H W 3" */
  image: Uint8Array;
  frames: Uint8Array[] | null;
  token_pictures: Map<number, Uint8Array>;
  lineage: Lineage | null;
  /** What it began with; null = an empty grid. */
  origin: Origin | null;
  timings_s: { [stage: string]: number };
  versions: { [name: string]: string };
  created: string;
  /** What somebody wrote on its steps and cells; none = []. */
  notes?: { step: number; text: string; cell: number | null }[];
}

export interface Wish { kind: string; label: string; met: boolean }
export interface Verdict {
  objects_found: boolean[];
  colors_right: boolean[];
  extra_objects: number;
  all_correct: boolean;
  detections: FoundObject[];
  scorer: string;
  wishes: Wish[];
}

/** One object chosen from the menus; "" for no colour and no side. */
export interface Choice { noun: string; color: string; count: number; side: string }

/** What the runner tells after every step: the runs so far; token pictures come with the finished ones. */
export interface Progress { step: number; num_steps: number; elapsed_s: number; traces: Trace[]; finished: boolean }

/** As uncage_demo/browser/manifest.py writes it. */
export interface Manifest {
  version: number;
  model: ModelInfo;
  recorded: { [name: string]: string };
  blur: number;
  attention_heads: number[][];
  mask_id: number;
  text_length: number;
  words: string[];
  aliases: { [word: string]: string };
  read_over: string[];
  ids: { pad: number; start: number; end: number };
  nouns: string[];
  plurals: { [noun: string]: string };
  colors: string[];
  places: { [place: string]: string };
  positions: { [position: string]: string };
  numbers: { [word: string]: number };
  most_objects: number;
  styles: string[];
  papers: { [place: string]: number[] };
  detector: { threshold: number; rival: number; object_cells: number };
  verdict: { scorer: string; clearly_frac: number; aside_frac: number; paper_tolerance: number; least_paper_frac: number };
  orders: { name: string; title: string; about: string; guided: boolean }[];
  display: {
    tables: { sequential: PackedArray; order: PackedArray; diverging: PackedArray };
    subjects: { color: string; ramp: PackedArray }[];
  };
  files: { [part: string]: { file: string; bytes: number; sha256: string } };
  checked: { [output: string]: number };
}

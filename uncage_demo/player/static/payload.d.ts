// What the player reads: the one description of the payload that uncage_demo/player/payload.py sends.
// A test compiles a real payload against it, so a key that is missing here, or no longer sent, fails.
// Shapes: s step, n cells (row by row), w words, o objects, c candidates (masked cells of all steps, in order).

/** A typed array: its type ("f4", "u1", "u2", "i2" ...), shape, and base64 of its little-endian bytes. */
/** d: bytes in base64, or as they are where a worker hands them over. */
interface PackedArray { t: string; s: number[]; d: string | Uint8Array }
/** The file of a picture: base64 from a server or a file; as it is where a worker hands it over. */
type PictureFile = string | Blob | Uint8Array;

/** A number per candidate; steps where all candidates have 0 do not travel. */
interface CandidateValues { at: boolean[]; values: PackedArray }

/** Which terms a step's score is the sum of; null where it is no such sum. */
type ScoreTerms = { confidence: boolean; noise: boolean; contrast: boolean } | null;

interface PromptWord {
  text: string;
  /** Offsets into the prompt's text, in code points (an emoji counts as one). */
  start: number;
  end: number;
  kind: string;
  /** Index of the subject it belongs to, or -1. */
  subject: number;
  role: string;
}

interface PayloadSubject {
  label: string;
  /** "#RRGGBB" */
  color: string;
  /** "256 3" uint8: its colour map. */
  ramp: PackedArray;
  /** Words that name it. */
  object: number[];
  /** Its words by group: the object's, then one group per attribute. */
  groups: number[][];
}

interface PayloadPrompt { text: string; words: PromptWord[]; subjects: PayloadSubject[]; truncated: string }

/** One of several prompts: where its words (shared index, start, end) and objects stand in the shared lists, and how it calls the objects. */
interface PayloadOwnPrompt { text: string; truncated: string; words: number[][]; subjects: number[]; labels: string[] }

/** Lists run over the shared objects; null for an object that the run's own prompt does not have. */
interface PayloadVerdict {
  objects_found: (boolean | null)[];
  colors_right: (boolean | null)[];
  extra_objects: number;
  all_correct: boolean;
  /** box: y0, x0, y1, x1 as shares of the picture; subject: the object of the prompt that it stands for, or -1. */
  detections: { noun: string; color: string; score: number; box: number[]; rival: string; subject: number }[];
  scorer: string;
  wishes: { kind: string; label: string; met: boolean }[];
  /** What the detector saw beyond what was asked for, one phrase per noun. */
  too_many: string[];
}

/** A sentence of the diagnosis and where it is seen. */
interface PayloadFinding {
  text: string;
  kind?: string;
  severity?: string;
  step?: number | null;
  layer?: string | null;
  subject?: number | null;
  word?: number | null;
  cell?: number | null;
  confidence?: string | null;
  [more: string]: unknown;
}

/** Where it was decided, as far as attention tells, which word an object was drawn after; and what committed that cell. */
interface BindingDecision {
  word: number;
  /** Over the whole run, from 0. */
  step: number;
  cell: number;
  /** By term of the score: its value minus its mean over the step's candidates; {} where the score is no sum. */
  lead: { [term: string]: number };
  /** Terms without which the cell would have waited. */
  needed: string[];
  /** The step committed all that was left. */
  last: boolean;
}

/** Lists run over the words of the table; null where a number is missing. */
interface BindingObject {
  /** What says which cells are the object's own: "detector", "attention" or "". */
  source: string;
  cells: number;
  /** Attention of its cells at their commits, as a multiple of the word's mean over the picture; raw: the attention itself. */
  times: (number | null)[];
  raw: (number | null)[];
  own: boolean[];
  leads: boolean[];
  /** [step, cell] of the cell that read the word most. */
  peaks: (number[] | null)[];
  decision: BindingDecision | null;
}

/** Objects down, words (indices into the prompt's) across. */
interface BindingView { words: number[]; objects: (BindingObject | null)[] }

interface BranchEdits { keep: number[]; drop: number[]; forbid: [number, number[]][]; suppress_word: number | null }

/** What a branch changed in its parent; {} for a run of its own. */
interface Lineage { parent?: string; at_step?: number; edits?: BranchEdits; parent_config?: object; earlier?: object[] }

/** What a run began with, where that is no empty grid; boxes are top, left, bottom, right in cells. */
interface Origin {
  kind: string;
  source: string;
  source_prompt: string;
  after_step: number | null;
  shift: number[];
  strength: number | null;
  round: number | null;
  regions: { subject: number; box: number[] }[];
  /** With regions: how many of the first steps commit cells of theirs before any other. */
  leads?: number;
}

/** What somebody wrote on a step (from 0) or on one cell at that step. */
interface Note { step: number; text: string; cell: number | null }

interface PayloadRun {
  id: string;
  title: string;
  config: { [setting: string]: unknown };
  lineage: Lineage;
  origin: Origin | null;
  notes: Note[];
  order: string;
  guided: boolean;
  /** As text: seeds may exceed what a double holds. */
  seed: string;
  num_steps: number;
  first_step: number;
  steps_done: number;
  /** "s n/8" bits, lowest first: masked when the step began; committed in it. */
  masked: PackedArray;
  committed: PackedArray;
  /** "c" uint16: the token drawn for each candidate. */
  drawn: PackedArray;
  /** "n" uint16: the tokens at the end. */
  tokens: PackedArray;
  /** "n" int16: the step that committed a cell, -1 for none. */
  unmask_step: PackedArray;
  /** By key: "confidence", "noise", "contrast". */
  maps: { [key: string]: CandidateValues };
  /** "c" float32, or null where the float32 sum of the terms gives every score bit for bit. */
  scores: PackedArray | null;
  /** "s" float32 each. */
  weight: PackedArray;
  cutoff: PackedArray;
  terms: ScoreTerms[];
  /** "s w n" 8-bit codes q of attention, max * (q / 255)^2, of the words whose indices are given. */
  attention: { words: number[]; max: number; codes: PackedArray } | null;
  /** "s k n" codes as those of `attention`, of the text tokens that stand for no word. */
  marks: { names: string[]; max: number; codes: PackedArray } | null;
  /** "s o" and "s pairs" float32. */
  mass: PackedArray | null;
  overlap: PackedArray | null;
  pairs: number[][];
  /** Of each step the index of its map, -1 where every cell reads all words; a map holds per cell one bit per object. */
  sight: { at: number[]; maps: number[][] } | null;
  /** Of each step the cells that it opened again: [cell, reason, log-probability of its token or null]; reasons are sentences. */
  taken_back: { reasons: string[]; steps: (number | null)[][][] } | null;
  health: { scheduled: number[]; counts_ok: boolean; changed: number; taken_back: number; special: PackedArray | null };
  alternatives: { count: number; ids: PackedArray; probs: PackedArray } | null;
  /** Base64 WebP per step, and the finished picture. */
  frames: PictureFile[] | null;
  image: PictureFile | null;
  /** Which of the runs here it is an edit of, where it is one. */
  source?: number;
  /** Which of `prompts` is its own; missing where there is one for all. */
  prompt?: number;
  /** First step at which it differs from run A. */
  divergence: number | null;
  verdict: PayloadVerdict | null;
  binding: BindingView | null;
  findings: PayloadFinding[];
}

/** word: -1 where `other` names one that is not in the prompt. */
interface HeadMaps { step: number; word: number; other?: string; cell?: number | null; layers: number; heads: number; max: number; codes: PackedArray }

interface Payload {
  version: 2;
  detail: "full" | "grid";
  /** Rows, columns. */
  grid: number[];
  num_steps: number;
  model: { id: string; title: string; weights: string };
  /** Of all runs together; words that only later prompts have come last, with the span -1, -1. */
  prompt: PayloadPrompt;
  /** Where the runs have different ones. */
  prompts?: PayloadOwnPrompt[];
  /** [low, high] by layer, for all runs and steps. */
  scales: { [layer: string]: number[] };
  /** "256 3" uint8 colour maps. */
  tables: { sequential: PackedArray; order: PackedArray; diverging: PackedArray };
  atlas: { tile: number; columns: number; ids: number[]; image: PictureFile } | null;
  /** [key, title] of every order. */
  orders: string[][];
  runs: PayloadRun[];
  /** Only in a file that opens offline. */
  heads?: { maps: { [address: string]: HeadMaps }; note: string };
}

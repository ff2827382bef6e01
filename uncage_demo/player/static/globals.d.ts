// Names that the scripts share through `window`. They are plain scripts in one page: no modules, no build step.

/** What the page calls. Everything else of the player lies in UncagePlayerParts. */
interface PlayerHandle {
  setStep(step: number): void;
  setState(state: object): void;
  play(): void;
  pause(): void;
  readonly state: any;
  readonly frameMs: number;
  destroy(): void;
  player: any;
}

/** What each file of the player puts there; see load-order.json. */
interface PlayerParts {
  skeleton: string;
  dom: any; phrases: any; unpack: any; run: any; data: any; colors: any; stage: any; layers: any; clock: any; words: any; actions: any; cards: any; curves: any;
  heads: any; arrange: any; legend: any; binding: any; region: any; present: any; cells: any; editDraw: any; editPanel: any; edit: any; notes: any; decoding: any;
}

interface PlayerOptions {
  state?: object | null;
  autoplay?: boolean;
  actions?: string[];
  onEvent?: (name: string, detail: any) => void;
  /** How the brush begins: open, in a mode, on a run, with an edit that can be taken back. modes = those that there are, where not all; fixed = prompt and order stay. */
  edit?: { open?: boolean; mode?: string; run?: number; undo?: boolean; modes?: string[]; fixed?: boolean };
  /** Runs that cannot be edited here: why, and a button that leads to where they can. */
  elsewhere?: { text: string; label: string; act: () => void };
  /** Notes can be written, and somebody keeps them: those of each run by its id, where they are others than the payload's. */
  notes?: { [id: string]: Note[] };
  /** Saves this page again with notes in it. */
  saveCopy?: (notes: { [id: string]: Note[] }) => void;
  heads?: (detail: { id: string; step: number; word: number; other?: string; cell?: number }) => Promise<{ heads?: HeadMaps; error?: string } | null>;
}

interface Window {
  UncagePlayerParts: PlayerParts;
  UncagePlayer: {
    layers: string[];
    /** A payload, read; mount takes it as well. */
    read(payload: Payload | string): { payload: Payload };
    mount(root: HTMLElement, payload: Payload | string | { payload: Payload }, options?: PlayerOptions): PlayerHandle;
  };
  UncagePage: any;
  UncageEngine: any;
  UncageChips: any;
  UncageGrid: any;
  UncageLessons: any;
  UncageResults: any;
  uncage: PlayerHandle;
  uncageAttach: any;
}

// Scripts look up nodes of markup that they ship themselves; which kind of element that is, the markup says.
interface ParentNode { querySelector(selectors: string): any }
interface DocumentEventMap { "uc-shown": CustomEvent; "uc-theme": CustomEvent; "uc-lesson": CustomEvent; "uc-unknown-words": CustomEvent }

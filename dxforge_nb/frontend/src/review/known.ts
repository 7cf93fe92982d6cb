// What the review panel knows, and what can happen to it: types and the start.

import type { Delta, Entry, Full, Opened, Problem, Stale, Summary, Undo, Verb } from "./model";
import { EVERYTHING, type Filter } from "./rows";

export type Tab = "proposal" | "mine" | "theirs" | "local" | "incoming" | "base";
export type Layout = "unified" | "split";

/** An edit of a proposal that is not saved yet. `from` is the file as it was opened when the edit began. */
export interface Draft {
  readonly content: string;
  readonly start: string;
  readonly from: Opened;
}

export interface FileRef {
  readonly path: string;
  readonly version: string;
}

/** A decision on its way to the kernel, or waiting for one about the same file to be answered. */
export interface Job {
  readonly id: number;
  readonly op: "decide" | "resolve" | "undo";
  readonly verb: Verb | null;
  readonly files: readonly FileRef[];
  readonly hunks: readonly string[] | null;
  readonly content: string | null;
  readonly undo: Undo | null;
  readonly sent: boolean;
}

export type NewJob = Partial<Job> & Pick<Job, "op" | "files">;

/** What the user must read: an error, or what changed meanwhile. `serial` tells one from the next. */
export interface Notice {
  readonly serial: number;
  readonly problem: Problem;
  readonly stale: readonly Stale[];
}

/** A question that stands in the toolbar until it is answered. */
export type Question =
  | { readonly kind: "many"; readonly verb: Verb; readonly scope: "package" | "all"; readonly files: readonly FileRef[] }
  | { readonly kind: "discard"; readonly path: string };

export interface State {
  readonly ready: boolean;
  readonly project: string;
  readonly files: readonly Entry[];
  readonly filter: Filter;
  /** The files that the filter lets through; the list and the decisions on many files are about these. */
  readonly shown: readonly Entry[];
  readonly summary: Summary;
  readonly undo: Undo | null;
  readonly selected: string | null;
  readonly opened: Opened | null;
  /** What an own decision made of the opened file, until that is opened again. */
  readonly own: FileRef | null;
  readonly opening: FileRef | null;
  readonly failed: { readonly path: string; readonly version: string; readonly problem: Problem } | null;
  readonly hunk: number;
  readonly tab: Tab;
  readonly layout: Layout;
  /** Whether long unchanged parts are folded. */
  readonly folded: boolean;
  readonly editing: boolean;
  readonly drafts: ReadonlyMap<string, Draft>;
  readonly jobs: readonly Job[];
  readonly notice: Notice | null;
  readonly question: Question | null;
  /** What the user should do after a decision (such as to restart the kernel), until it is closed. */
  readonly advice: string;
  /** The advice that was closed: the same is not given twice in a row. */
  readonly heeded: string;
  /** What to say to those who do not see the panel; `serial` grows with every change of it. */
  readonly said: { readonly text: string; readonly serial: number };
  readonly serial: number;
}

export const START: State = {
  ready: false,
  project: "",
  files: [],
  filter: EVERYTHING,
  shown: [],
  summary: { yellow: 0, red: 0, decided: 0 },
  undo: null,
  selected: null,
  opened: null,
  own: null,
  opening: null,
  failed: null,
  hunk: 0,
  tab: "proposal",
  layout: "unified",
  folded: true,
  editing: false,
  drafts: new Map(),
  jobs: [],
  notice: null,
  question: null,
  advice: "",
  heeded: "",
  said: { text: "", serial: 0 },
  serial: 0,
};

export type Action =
  | { readonly type: "full"; readonly full: Full; readonly project: string }
  | { readonly type: "push"; readonly delta: Delta }
  | { readonly type: "done"; readonly job: number; readonly delta: Delta }
  | { readonly type: "refused"; readonly job: number; readonly problem: Problem; readonly stale: readonly Stale[] }
  | { readonly type: "job"; readonly job: NewJob }
  | { readonly type: "sent"; readonly job: number }
  | { readonly type: "opening"; readonly file: FileRef }
  | { readonly type: "opened"; readonly opened: Opened }
  | { readonly type: "open-failed"; readonly file: FileRef; readonly problem: Problem; readonly stale: readonly Stale[] }
  | { readonly type: "select"; readonly path: string | null }
  | { readonly type: "filter"; readonly filter: Filter }
  | { readonly type: "hunk"; readonly index: number }
  | { readonly type: "tab"; readonly tab: Tab }
  | { readonly type: "layout"; readonly layout: Layout }
  | { readonly type: "folded"; readonly folded: boolean }
  | { readonly type: "edit"; readonly start: string }
  | { readonly type: "typed"; readonly content: string }
  | { readonly type: "keep-draft" }
  | { readonly type: "drop-draft"; readonly path: string }
  | { readonly type: "restore"; readonly drafts: ReadonlyMap<string, Draft> }
  | { readonly type: "heeded" }
  | { readonly type: "ask"; readonly question: Question | null }
  | { readonly type: "trouble"; readonly problem: Problem }
  | { readonly type: "say"; readonly text: string };

// What the kernel and the page say to each other. The kernel's side is dxforge_nb/panels/.

export type Kind = "review" | "status";

/** An error as the kernel words it: what happened, where, and what to do next. */
export interface ErrorFields {
  kind: string;
  what: string;
  where: string;
  hint: string;
}

/** Something that changed after the page last saw it. */
export interface Stale {
  path: string;
  what: string;
}

/** The answer to `hello`; the topic's full state stands beside these fields. */
export interface Hello {
  kernel: string;
  project: string;
  program: string;
  editor: string;
  seq: number;
}

// ------------------------------------------------------------------------------------------------------------ review

export type Light = "yellow" | "red";

export interface Entry {
  path: string;
  package: string;
  light: Light;
  reason: string;
  hunks: number;
  binary: boolean;
  new_path: string | null;
  set_aside: string | null;
  broken: string;
  version: string;
}

export interface Summary {
  yellow: number;
  red: number;
  decided: number;
}

/** The decision that undo takes back next. */
export interface Undo {
  id: string;
  summary: string;
}

export interface ReviewState {
  files: Entry[];
  summary: Summary;
  undo: Undo | null;
  /** Tells this project from others; says nothing else. */
  place: string;
}

export interface ReviewChange {
  changed: Entry[];
  gone: string[];
  summary: Summary;
  undo: Undo | null;
}

export interface Decided extends ReviewChange {
  operation: string | null;
}

/** Lines `[start, end)` from 0: `old` in `local`, `new` in `proposal`. */
export interface Hunk {
  id: string;
  header: string;
  old: [number, number];
  new: [number, number];
  /** The file is Red, and this changes lines that the user has edited. */
  overlaps: boolean;
}

export interface Opened {
  entry: Entry;
  sides: { base: string | null; local: string | null; incoming: string | null; proposal: string | null };
  hunks: Hunk[];
  encoding: string;
  why_not: string;
}

// ------------------------------------------------------------------------------------------------------------ status

export interface Tool {
  name: string;
  state: string;
  pid: number | null;
  started: number | null;
  cpu_percent: number | null;
  memory_bytes: number | null;
  restarts: number;
  health: string;
  detail: string;
  last_lines: string[];
  owner: "here" | "elsewhere" | "";
}

export interface Task {
  id: number;
  kind: string;
  label: string;
  state: string;
  done: number;
  total: number | null;
  detail: string;
  error: string;
  retry_in_s: number | null;
  can_retry: boolean;
  can_cancel: boolean;
}

export interface Package {
  name: string;
  version: string;
  source: string;
  edited: number;
  pending: number;
  /** How many of the pending ones are Red. */
  red: number;
  leaving: boolean;
}

export interface Status {
  project: string;
  tools: Tool[];
  tasks: Task[];
  packages: Package[];
  pending: { yellow: number; red: number };
  snapshot: { id: string; time: string; label: string } | null;
  sync: { time: string; url: string; detail: string } | null;
}

export interface StatusState {
  state: Status;
}

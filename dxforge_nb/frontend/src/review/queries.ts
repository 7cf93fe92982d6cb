// What the parts of the panel ask of its state. Pure.

import type { Entry, Light, Opened, Summary, Verb } from "./model";
import type { Draft, FileRef, Job, State } from "./state";
import { counted, digits } from "./words";

export function entryOf(state: State, path: string | null): Entry | null {
  return path === null ? null : (state.files.find((entry) => entry.path === path) ?? null);
}

/**
 * A file as the user sees it: as it was opened, or as an own decision left it since, whatever others did meanwhile.
 * A decision is about that, and is refused where the kernel has another.
 */
export function seen(state: State, { path, version }: FileRef): FileRef {
  const opened = state.opened?.entry.path === path ? state.opened.entry.version : version;
  return { path, version: state.own?.path === path ? state.own.version : opened };
}

/** The file that should be asked for now: the chosen one, unless it is here as it is, or under way. */
export function toOpen(state: State): FileRef | null {
  const entry = entryOf(state, state.selected);
  // One at a time: whoever runs down the list asks for what they stop at.
  if (entry === null || state.opening !== null) return null;
  const isIt = (file: FileRef | null | undefined) => file?.path === entry.path && file.version === entry.version;
  if (isIt(state.opened?.entry) || isIt(state.failed)) return null;
  return { path: entry.path, version: entry.version };
}

/** Jobs that can be sent: none before it that is about the same files is unanswered; an undo waits for all. */
export function toSend(state: State): readonly Job[] {
  const busy = new Set<string>();
  const ready: Job[] = [];
  let barrier = false;
  for (const job of state.jobs) {
    const waits = barrier || job.files.some((file) => busy.has(file.path)) || (job.op === "undo" && job !== state.jobs[0]);
    if (!waits && !job.sent) ready.push(job);
    for (const file of job.files) busy.add(file.path);
    if (job.op === "undo") barrier = true;
  }
  return ready;
}

/** What awaits the kernel's answer about a file: for the whole of it (""), and for hunks by their id. */
export function waitingFor(state: State, path: string): ReadonlyMap<string, Verb | "resolve"> {
  const waiting = new Map<string, Verb | "resolve">();
  for (const job of state.jobs) {
    if (!job.files.some((file) => file.path === path)) continue;
    for (const key of job.hunks ?? [""]) waiting.set(key, job.verb ?? "resolve");
  }
  return waiting;
}

export function hunkCount(state: State): number {
  return state.opened?.hunks.length ?? 0;
}

/** Whether the draft of a file differs from what it started from. */
export function isEdited(draft: Draft | undefined): boolean {
  return draft !== undefined && draft.content !== draft.start;
}

/** What has changed about the file since its draft was begun; "" where nothing has, or there is none. */
export function changedSince(state: State, path: string): string {
  const draft = state.drafts.get(path);
  if (draft === undefined) return "";
  const entry = entryOf(state, path);
  if (entry === null) return "it was decided elsewhere, and awaits no decision any more";
  if (entry.version === draft.from.entry.version) return "";
  const now = state.opened;
  return now?.entry.path === path && now.entry.version === entry.version ? differences(draft.from, now) : "it changed";
}

const SIDES = [
  ["local", "your file on disk"],
  ["incoming", "the incoming version"],
  ["base", "the base"],
  ["proposal", "the proposal"],
] as const;

/** In words, what differs between two openings of one file. */
export function differences(before: Opened, after: Opened): string {
  const names = SIDES.filter(([side]) => before.sides[side] !== after.sides[side]).map(([, name]) => name);
  if (names.length === 0) return before.entry.light === after.entry.light ? "some of it was decided" : "its light changed";
  const last = names.pop() ?? "";
  return `${names.length > 0 ? `${names.join(", ")} and ${last}` : last} changed`;
}

/** The progress, as screen readers hear it. */
export function summaryWords(summary: Summary): string {
  const { yellow, red, decided } = summary;
  const left = yellow + red;
  if (left === 0 && decided === 0) return "Nothing awaits a decision";
  const total = left + decided;
  const counts = left === 0 ? "none left" : `${digits(yellow)} yellow, ${digits(red)} red left`;
  return `${digits(decided)} of ${counted(total, "file")} decided, ${counts}`;
}

export function lightsOf(entries: readonly Entry[]): Record<Light, number> {
  const red = entries.filter((entry) => entry.light === "red").length;
  return { yellow: entries.length - red, red };
}


/** Which controls can be used now. */
export interface Abilities {
  /** Accept and reject the chosen file. */
  readonly file: boolean;
  readonly package: boolean;
  readonly all: boolean;
  readonly undo: boolean;
  readonly edit: boolean;
  readonly save: boolean;
}

export function abilities(state: State): Abilities {
  const entry = entryOf(state, state.selected);
  const free = entry !== null && !waitingFor(state, entry.path).has("");
  const text = state.opened?.why_not === "" && Object.values(state.opened.sides).some((side) => side !== null);
  const draft = state.selected === null ? undefined : state.drafts.get(state.selected);
  const many = !state.jobs.some((job) => job.files.length > 1);
  return {
    file: free && !(state.editing && isEdited(draft)),
    package: entry !== null && many,
    all: state.shown.length > 0 && many,
    undo: state.undo !== null && state.jobs.length === 0,
    edit: free && text && !state.editing,
    save: free && state.editing && draft !== undefined,
  };
}

// Everything the review panel knows, and how each thing that happens changes it. Pure: state and action to state.

import type { Action, Draft, FileRef, Job, NewJob, State, Tab } from "./known";
import type { Delta, Entry, Full, Opened, Problem, Stale } from "./model";
import { entryOf, hunkCount, isEdited, seen, waitingFor } from "./queries";
import { compareEntries, filterEntries, successor } from "./rows";
import { counted } from "./words";

export * from "./known";

export function reduce(state: State, action: Action): State {
  switch (action.type) {
    case "full":
      return withFull(state, action.full, action.project);
    case "push":
      return withNews(state, action.delta);
    case "done":
      return withAnswer(state, action.job, action.delta);
    case "refused":
      return withRefusal(state, action.job, action.problem, action.stale);
    case "job":
      return withJob(state, action.job);
    case "sent":
      return { ...state, jobs: state.jobs.map((job) => (job.id === action.job ? { ...job, sent: true } : job)) };
    case "opening":
      return { ...state, opening: action.file, failed: null };
    case "opened":
      return withOpened(state, action.opened);
    case "open-failed":
      return withOpenFailed(state, action.file, action.problem, action.stale);
    case "select":
      return selecting(state, action.path);
    case "filter":
      return { ...state, filter: action.filter, shown: filterEntries(state.files, action.filter), question: null };
    case "hunk":
      return { ...state, hunk: clamp(action.index, hunkCount(state)) };
    case "tab":
      return { ...state, tab: action.tab };
    case "layout":
      return { ...state, layout: action.layout };
    case "folded":
      return { ...state, folded: action.folded };
    case "edit":
      return withEdit(state, action.start);
    case "typed":
      return withTyped(state, action.content);
    case "keep-draft":
      return withDraftKept(state);
    case "drop-draft":
      return withoutDraft(state, action.path);
    case "restore":
      return withRestored(state, action.drafts);
    case "heeded":
      return { ...state, advice: "", heeded: state.advice };
    case "ask":
      return { ...state, question: action.question };
    case "trouble":
      return noting(state, action.problem);
    case "say":
      return saying(state, action.text);
  }
}

function withFull(state: State, full: Full, project: string): State {
  const files = [...full.files].sort(compareEntries);
  const next = { ...state, ready: true, project, summary: full.summary, undo: full.undo };
  const held = new Set(files.map((entry) => entry.path));
  const gone = state.files.filter((entry) => !held.has(entry.path)).map((entry) => entry.path);
  return reselected(state, { ...next, files, shown: filterEntries(files, state.filter) }, new Set(gone));
}

function withDelta(state: State, delta: Delta): State {
  const gone = new Set(delta.gone);
  const changed = new Map(delta.changed.map((entry) => [entry.path, entry]));
  const files: Entry[] = [];
  for (const entry of state.files) {
    const now = changed.get(entry.path);
    changed.delete(entry.path);
    if (now !== undefined) files.push(now);
    else if (!gone.has(entry.path)) files.push(entry);
  }
  files.push(...changed.values());
  files.sort(compareEntries);
  const next = { ...state, summary: delta.summary, undo: delta.undo };
  return reselected(state, { ...next, files, shown: filterEntries(files, state.filter) }, gone);
}

/** Keep the choice while its file is there, or has an unsaved edit; otherwise go on to the next file. */
function reselected(before: State, after: State, gone: ReadonlySet<string>): State {
  const path = after.selected;
  if (path !== null && !gone.has(path) && entryOf(after, path) !== null) return after;
  if (path !== null && isEdited(after.drafts.get(path))) return after;
  const drafts = new Map(after.drafts);
  if (path !== null) drafts.delete(path);
  const left = entryOf(before, path) ?? before.drafts.get(path ?? "")?.from.entry ?? before.opened?.entry;
  const next = left === undefined ? (after.shown[0]?.path ?? null) : successor(after.shown, left);
  return selecting({ ...after, drafts }, next);
}

/** Somebody changed something: this page, if a decision of its own on that file is under way. */
function withNews(state: State, delta: Delta): State {
  const own = new Set(state.jobs.flatMap((job) => job.files.map((file) => file.path)));
  const path = state.selected;
  const known = entryOf(state, path);
  const next = withDelta(state, delta);
  if (state.jobs.some((job) => job.op === "undo")) return next;
  const [more, ...others] = delta.changed.filter((entry) => entryOf(state, entry.path) === null);
  if (more !== undefined && own.size === 0) {
    const which = others.length === 0 ? `${more.path} awaits` : `${counted(others.length + 1, "more file")} await`;
    return saying(next, `${which} a decision`);
  }
  if (path === null || known === null || own.has(path)) return next;
  if (delta.gone.includes(path)) {
    const what = "it was decided elsewhere";
    if (!isEdited(state.drafts.get(path))) return saying(next, `${path}: ${what}`);
    return noting(next, { what, where: path, hint: "Your unsaved edit is kept here until you discard it" });
  }
  const now = entryOf(next, path);
  if (now === null || now.version === known.version) return next;
  if (isEdited(state.drafts.get(path))) return next; // the edit's own bar says what changed
  return saying(next, `${path} changed; it is shown as it is now`);
}

function withAnswer(state: State, id: number, delta: Delta): State {
  const job = state.jobs.find((known) => known.id === id);
  if (job === undefined) return withDelta(state, delta);
  const drafts = new Map(state.drafts);
  const gone = new Set(delta.gone);
  for (const file of job.files) if (job.op === "resolve" || gone.has(file.path)) drafts.delete(file.path);
  const editing = state.editing && state.selected !== null && drafts.has(state.selected);
  const jobs = followed(state.jobs.filter((known) => known.id !== id), job, delta);
  let next = withDelta({ ...state, own: ownAfter(state, job, delta), editing, notice: null, jobs }, delta);
  if (drafts.size < state.drafts.size) next = reselected(next, { ...next, drafts }, gone);
  if (job.op === "undo") {
    const back = delta.changed[0]?.path;
    if (back !== undefined) next = selecting(next, back);
  }
  const isNamed = job.undo?.summary.endsWith(next.selected ?? "") ?? !job.files.some((file) => gone.has(file.path));
  const on = isNamed || next.selected === null ? "" : `; now ${next.selected}`;
  return saying(advising(next, delta.notes ?? []), `${outcome(job)}${on}`);
}

function ownAfter(state: State, job: Job, delta: Delta): FileRef | null {
  const known = state.opened?.entry;
  const file = job.files.find((each) => each.path === known?.path);
  const now = delta.changed.find((entry) => entry.path === known?.path);
  if (known === undefined || now === undefined || file?.version !== seen(state, known).version) return state.own;
  return { path: now.path, version: now.version };
}

/** Later decisions were made knowing what this one does: they are about the file as this one leaves it. */
function followed(jobs: readonly Job[], job: Job, delta: Delta): readonly Job[] {
  const seen = new Map(job.files.map((file) => [file.path, file.version]));
  const now = new Map(delta.changed.map((entry) => [entry.path, entry.version]));
  const gone = new Set(delta.gone);
  return jobs
    .map((later) => ({
      ...later,
      files: later.files
        .filter((file) => !(gone.has(file.path) && seen.has(file.path)))
        .map((file) =>
          seen.get(file.path) === file.version ? { ...file, version: now.get(file.path) ?? file.version } : file,
        ),
    }))
    .filter((later) => later.op === "undo" || later.files.length > 0);
}

const DONE = { accept: "Accepted", reject: "Rejected" } as const;

function outcome(job: Job): string {
  const first = job.files[0]?.path ?? "";
  const what = job.files.length > 1 ? counted(job.files.length, "file") : first;
  if (job.op === "undo") return `Undone: ${job.undo?.summary ?? ""}`;
  if (job.op === "resolve") return `Saved your resolution of ${what}`;
  const piece = job.hunks === null ? "" : job.hunks.length === 1 ? "a hunk of " : `${job.hunks.length} hunks of `;
  return `${DONE[job.verb ?? "accept"]} ${piece}${what}`;
}

function withRefusal(state: State, id: number, problem: Problem, stale: readonly Stale[]): State {
  const job = state.jobs.find((known) => known.id === id);
  const paths = new Set(job?.files.map((file) => file.path));
  // What was decided in the belief that this one would be done is not done either.
  const jobs = state.jobs.filter((known) => known.id !== id && !known.files.some((file) => paths.has(file.path)));
  const dropped = state.jobs.length - jobs.length - 1;
  const next = { ...state, jobs };
  const also = dropped > 0 ? `, nor ${counted(dropped, "later decision")} on it` : "";
  if (problem.kind === "disconnected") return noting(next, problem);
  if (stale.length === 0) return noting(next, { ...problem, what: `not done${also}: ${problem.what}` });
  const reopened = stale.some((file) => file.path === state.selected) ? { ...next, opened: null, own: null } : next;
  const hint = stale.length === 1 ? "It is shown as it is now: look, and decide again" : "Look at them, and decide again";
  return noting(reopened, { what: `Not done${also}: it changed meanwhile`, hint }, stale.slice(0, STALE_NAMED));
}

/** A second click on what is under way is not a second decision. */
function isDouble(state: State, job: NewJob): boolean {
  if (job.op === "undo") return state.jobs.some((known) => known.op === "undo");
  const [first] = job.files;
  if (job.files.length !== 1 || first === undefined) return job.files.length === 0;
  const waiting = waitingFor(state, first.path);
  return waiting.has("") || (job.hunks ?? []).some((hunk) => waiting.has(hunk));
}

/** How many changed files a notice names. */
const STALE_NAMED = 5;

function withJob(state: State, job: NewJob): State {
  if (isDouble(state, job)) return state;
  const id = state.serial + 1;
  const whole: Job = { verb: null, hunks: null, content: null, undo: null, ...job, id, sent: false };
  const next = { ...state, serial: id, jobs: [...state.jobs, whole], question: null };
  if (whole.hunks === null || state.opened === null) return next;
  // Go on to the next hunk at once: the decision on this one is only a matter of time.
  const waiting = waitingFor(next, state.opened.entry.path);
  const order = [...state.opened.hunks.keys()].map((offset) => (state.hunk + offset) % hunkCount(state));
  const free = order.find((index) => !waiting.has(state.opened?.hunks[index]?.id ?? ""));
  return { ...next, hunk: free ?? state.hunk };
}

function withOpened(state: State, opened: Opened): State {
  const { path } = opened.entry;
  const asked = state.opening?.path === path ? state.opening : null;
  const opening = asked === null ? state.opening : null;
  if (path !== state.selected) return { ...state, opening };
  // The answer may know of a change before its push has come; or be older than what has come since it was asked for.
  const isOld = asked !== null && entryOf(state, path)?.version !== asked.version;
  const files = isOld ? state.files : state.files.map((entry) => (entry.path === path ? opened.entry : entry));
  const own = isOld ? state.own : null;
  const next = { ...state, opening, files, shown: filterEntries(files, state.filter), opened, own };
  const now = { ...next, hunk: sameHunk(state, opened), tab: tabFor(state.tab, opened) };
  const before = state.opened?.entry.path === path && state.own?.path !== path ? state.opened.sides.local : null;
  const isDeleted = before !== null && opened.sides.local === null && opened.why_not === "";
  return isDeleted ? saying(now, `${path} was deleted; it is shown as it is now`) : now;
}

/** The hunk at the place of the one that was current, so that deciding one after another goes down the file. */
function sameHunk(state: State, opened: Opened): number {
  if (state.opened?.entry.path !== opened.entry.path) return 0;
  const ids = state.opened.hunks.slice(state.hunk).map((hunk) => hunk.id);
  const kept = ids.map((id) => opened.hunks.findIndex((hunk) => hunk.id === id)).find((index) => index >= 0);
  return kept ?? clamp(0, opened.hunks.length);
}

function tabFor(tab: Tab, opened: Opened): Tab {
  return opened.entry.light === "red" || tab === "proposal" || tab === "mine" || tab === "theirs" ? tab : "proposal";
}

function withOpenFailed(state: State, file: FileRef, problem: Problem, stale: readonly Stale[]): State {
  const opening = state.opening?.path === file.path ? null : state.opening;
  if (state.selected !== file.path) return { ...state, opening };
  const what = stale.find((one) => one.path === file.path)?.what;
  return { ...state, opening, failed: { ...file, problem: what === undefined ? problem : { ...problem, what } } };
}

function selecting(state: State, path: string | null): State {
  if (path === state.selected) return state;
  const left = state.selected;
  const draft = left === null ? undefined : state.drafts.get(left);
  const drafts = new Map(state.drafts);
  if (left !== null && draft !== undefined && !isEdited(draft)) drafts.delete(left);
  const editing = path !== null && drafts.has(path);
  const next = { ...state, selected: path, drafts, editing, opened: null, own: null, failed: null, hunk: 0, question: null };
  if (editing) return { ...next, tab: "proposal" };
  return left !== null && isEdited(draft) ? saying(next, `Your unsaved edit of ${left} is kept`) : next;
}

function withEdit(state: State, start: string): State {
  if (state.opened === null || state.selected === null) return state;
  const drafts = new Map(state.drafts);
  if (!drafts.has(state.selected)) drafts.set(state.selected, { content: start, start, from: state.opened });
  return { ...state, drafts, editing: true, tab: "proposal", question: null };
}

function withTyped(state: State, content: string): State {
  const draft = state.selected === null ? undefined : state.drafts.get(state.selected);
  if (state.selected === null || draft === undefined) return state;
  return { ...state, drafts: new Map(state.drafts).set(state.selected, { ...draft, content }) };
}

/** The user has seen what changed, and wants the edit all the same. */
function withDraftKept(state: State): State {
  const draft = state.selected === null ? undefined : state.drafts.get(state.selected);
  if (state.selected === null || draft === undefined || state.opened?.entry.path !== state.selected) return state;
  return { ...state, drafts: new Map(state.drafts).set(state.selected, { ...draft, from: state.opened }) };
}

/** Edits that outlived their page, or their panel. */
function withRestored(state: State, drafts: ReadonlyMap<string, Draft>): State {
  const paths = [...drafts.keys()];
  const path = paths.find((each) => entryOf(state, each) !== null) ?? paths[0];
  if (path === undefined) return state;
  const next = selecting({ ...state, drafts: new Map([...drafts, ...state.drafts]), selected: null }, path);
  const more = paths.length > 1 ? `, and ${counted(paths.length - 1, "more")}` : "";
  return saying(next, `Your unsaved edit of ${path} is back${more}`);
}

function withoutDraft(state: State, path: string): State {
  const drafts = new Map(state.drafts);
  drafts.delete(path);
  const next = { ...state, drafts, editing: state.editing && path !== state.selected, question: null };
  if (path !== state.selected || entryOf(state, path) !== null) return next;
  return selecting(next, next.shown[0]?.path ?? null);
}

function noting(state: State, problem: Problem, stale: readonly Stale[] = []): State {
  const serial = state.serial + 1;
  return { ...state, serial, notice: { serial, problem, stale } };
}

function advising(state: State, notes: readonly string[]): State {
  const advice = notes.map((note) => `${note.charAt(0).toUpperCase()}${note.slice(1)}.`).join(" ");
  return advice === "" || advice === state.heeded ? state : { ...state, advice, heeded: "" };
}

function saying(state: State, text: string): State {
  return { ...state, said: { text, serial: state.said.serial + 1 } };
}

function clamp(index: number, count: number): number {
  return Math.max(0, Math.min(index, count - 1));
}

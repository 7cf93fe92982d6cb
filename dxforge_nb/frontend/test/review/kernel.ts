// The kernel's side of the review panel over texts in memory: hunks, versions, staleness, undo and pushes as they are.

import type { Entry, Hunk, Opened, Side } from "../../src/review/model";
import type { FakeModel, Sent } from "../fake";

type Texts = Record<Side, string | null>;

export interface FakeFile {
  readonly entry: Omit<Entry, "hunks" | "version">;
  readonly sides: Texts;
  readonly rejected: ReadonlySet<string>;
  /** Counts what others did to it. */
  readonly edition: number;
}

export function file(path: string, sides: Partial<Texts>, more: Partial<Entry> = {}): FakeFile {
  return {
    entry: {
      path, package: path.split("/")[2] ?? "", light: "yellow", reason: "your edit and the update merge cleanly",
      binary: false, new_path: null, set_aside: null, broken: "", ...more,
    },
    sides: { base: null, local: null, incoming: null, proposal: null, ...sides },
    rejected: new Set(),
    edition: 0,
  };
}

interface Decision {
  readonly what?: string;
  readonly files?: readonly { path: string; version: string }[];
  readonly hunks?: readonly string[];
}

export class ReviewKernel {
  files = new Map<string, FakeFile>();
  /** Milliseconds before an answer; `waits` holds everything back until `go()`. */
  delay = 0;
  waits = false;
  decisions = 0;
  editorCode: () => Promise<string> = () => Promise.resolve("");
  readonly #model: FakeModel;
  readonly #answered = new Map<string, () => void>();
  #history: { id: string; summary: string; files: Map<string, FakeFile>; decided: number }[] = [];
  #held: (() => void)[] = [];
  #decided = 0;
  #seq = 0;

  constructor(model: FakeModel, files: readonly FakeFile[]) {
    this.#model = model;
    for (const each of files) this.files.set(each.entry.path, each);
    model.heard = (message) => this.#hear(message);
  }

  /** Somebody else changes a file (or, with null, decides on it). */
  elsewhere(path: string, change: ((known: FakeFile) => FakeFile) | null): void {
    const known = this.files.get(path);
    if (change === null) this.files.delete(path);
    else if (known !== undefined) this.files.set(path, { ...change(known), edition: known.edition + 1 });
    this.#push([path]);
  }

  go(): void {
    this.waits = false;
    for (const each of this.#held.splice(0)) each();
  }

  entryOf(known: FakeFile): Entry {
    const hunks = hunksOf(known);
    const version = `${known.edition}-${[...known.rejected].join("+")}-${(known.sides.local ?? "").length}-${hunks.length}`;
    return { ...known.entry, hunks: hunks.length, version };
  }

  #hear(message: Sent): void {
    const act = (): void => {
      const key = `${message.client} ${message.n}`;
      this.#model.got(message);
      const again = this.#answered.get(key);
      if (again !== undefined) return again();
      void this.#answer(message, (send) => {
        this.#answered.set(key, send);
        if (this.delay > 0) setTimeout(send, this.delay);
        else queueMicrotask(send);
      });
    };
    if (this.waits) this.#held.push(act);
    else act();
  }

  async #answer(message: Sent, done: (send: () => void) => void): Promise<void> {
    const ok = (content: object): void => done(() => this.#model.answer(message, content));
    switch (message.op) {
      case "hello":
        return ok({ kernel: "k", project: "weather-station", place: "here", program: "%dx", editor: "dev", seq: this.#seq, ...this.#full() });
      case "asset":
        return ok({ name: "editor", sha256: "dev", code: await this.editorCode() });
      case "open":
        return this.#open(message, done);
      case "decide":
      case "resolve":
      case "undo":
        return this.#change(message, done);
      default:
        return ok({});
    }
  }

  #full(): object {
    return { files: [...this.files.values()].map((each) => this.entryOf(each)), ...this.#counts() };
  }

  #counts(): object {
    const red = [...this.files.values()].filter((each) => each.entry.light === "red").length;
    const last = this.#history.at(-1);
    return {
      summary: { yellow: this.files.size - red, red, decided: this.#decided },
      undo: last === undefined ? null : { id: last.id, summary: last.summary },
    };
  }

  #open(message: Sent, done: (send: () => void) => void): void {
    const known = this.files.get(String(message["path"]));
    if (known === undefined) {
      const stale = [{ path: String(message["path"]), what: "it was decided meanwhile" }];
      return done(() => this.#model.refuse(message, { kind: "NotPendingError", what: "nothing awaits a decision there" }, stale));
    }
    const binary = known.entry.binary;
    const none = { base: null, local: null, incoming: null, proposal: null };
    const answer: Opened = {
      entry: this.entryOf(known), sides: binary ? none : known.sides, hunks: hunksOf(known),
      encoding: binary ? "" : "utf-8", why_not: binary ? "binary" : "",
    };
    done(() => this.#model.answer(message, answer));
  }

  #change(message: Sent, done: (send: () => void) => void): void {
    const before = new Map(this.files);
    const decided = this.#decided;
    const single = { path: String(message["path"]), version: String(message["version"]) };
    const { files = [single], hunks, what } = message as Decision;
    let paths = files.map((each) => each.path);
    if (message.op === "undo") {
      const last = this.#history.pop();
      if (last === undefined || last.id !== message["operation"]) {
        return done(() => this.#model.refuse(message, { kind: "UndoError", what: "it is not the last operation any more" }));
      }
      paths = [...last.files].filter(([path, each]) => this.files.get(path) !== each).map(([path]) => path);
      this.files = last.files;
      this.#decided = last.decided;
    } else {
      const stale = files.flatMap(({ path, version }) => {
        const known = this.files.get(path);
        if (known === undefined) return [{ path, what: "it awaits no decision any more" }];
        return this.entryOf(known).version === version ? [] : [{ path, what: "your file changed on disk" }];
      });
      if (stale.length > 0) {
        return done(() => this.#model.refuse(message, { kind: "StaleError", what: "something changed meanwhile" }, stale));
      }
      for (const path of paths) this.#decide(path, what ?? "", hunks);
      this.decisions += 1;
      const named = paths.length === 1 ? paths[0] : `${paths.length} files`;
      this.#history.push({ id: `op-${this.decisions}`, summary: `${what ?? "resolve"} ${named}`, files: before, decided });
    }
    this.#push(paths);
    const delta = this.#delta(paths);
    done(() => this.#model.answer(message, { operation: "op", ...delta }));
  }

  #decide(path: string, what: string, ids: readonly string[] | undefined): void {
    const known = this.files.get(path);
    if (known === undefined) return;
    const left = hunksOf(known).filter((hunk) => ids !== undefined && !ids.includes(hunk.id));
    if (left.length === 0) {
      this.files.delete(path);
      this.#decided += 1;
    } else if (what === "accept") {
      const taken = hunksOf(known).filter((hunk) => ids?.includes(hunk.id) === true);
      this.files.set(path, { ...known, sides: { ...known.sides, local: take(known.sides, taken) } });
    } else {
      this.files.set(path, { ...known, rejected: new Set([...known.rejected, ...(ids ?? [])]) });
    }
  }

  #delta(paths: readonly string[]): object {
    const changed = paths.flatMap((path) => {
      const known = this.files.get(path);
      return known === undefined ? [] : [this.entryOf(known)];
    });
    return { changed, gone: paths.filter((path) => !this.files.has(path)), ...this.#counts() };
  }

  #push(paths: readonly string[]): void {
    this.#seq += 1;
    const content = { push: "review", seq: this.#seq, ...this.#delta(paths) };
    if (this.delay > 0) setTimeout(() => this.#model.tell(content), this.delay / 2);
    else this.#model.tell(content);
  }
}

const cache = new WeakMap<FakeFile, Hunk[]>();

/** The open hunks; an id lasts as long as what it changes and where the proposal has it. */
export function hunksOf(known: FakeFile): Hunk[] {
  const kept = cache.get(known);
  if (kept !== undefined) return kept;
  const { local, proposal } = known.sides;
  const found = local === null || proposal === null || known.entry.new_path !== null ? [] : differences(local, proposal);
  const hunks = found
    .map(([oldStart, oldEnd, newStart, newEnd]) => ({
      id: `${newStart}.${newEnd}`, header: `@@ -${oldStart + 1} +${newStart + 1} @@`,
      old: [oldStart, oldEnd] as [number, number], new: [newStart, newEnd] as [number, number],
      overlaps: known.entry.light === "red" && oldStart > 3,
    }))
    .filter((hunk) => !known.rejected.has(hunk.id));
  cache.set(known, hunks);
  return hunks;
}

export function lines(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

/** As the kernel takes hunks (dxforge/traffic/hunks.py, take_hunks). */
export function take(sides: Texts, hunks: readonly Hunk[]): string {
  const [old, next] = [lines(sides.local ?? ""), lines(sides.proposal ?? "")];
  const result: string[] = [];
  let position = 0;
  for (const hunk of hunks) {
    result.push(...old.slice(position, hunk.old[0]), ...next.slice(hunk.new[0], hunk.new[1]));
    position = hunk.old[1];
  }
  result.push(...old.slice(position));
  return result.map((line, at) => (at < result.length - 1 && !line.endsWith("\n") ? `${line}\n` : line)).join("");
}

/** Differing line ranges, by the longest common subsequence; parts with at most one equal line between are one. */
export function differences(old: string, next: string): [number, number, number, number][] {
  const [a, b] = [lines(old), lines(next)];
  let [start, endA, endB] = [0, a.length, b.length];
  while (start < endA && start < endB && a[start] === b[start]) start += 1;
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) [endA, endB] = [endA - 1, endB - 1];
  const [rows, columns] = [endA - start, endB - start];
  if (rows * columns > 4_000_000) return [[start, endA, start, endB]];
  const table = Array.from({ length: rows + 1 }, () => new Uint16Array(columns + 1));
  const at = (i: number, j: number): number => table[i]?.[j] ?? 0;
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      const row = table[i];
      if (row !== undefined) row[j] = a[start + i] === b[start + j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const found: [number, number, number, number][] = [];
  let [i, j] = [0, 0];
  while (i < rows || j < columns) {
    if (i < rows && j < columns && a[start + i] === b[start + j]) {
      [i, j] = [i + 1, j + 1];
      continue;
    }
    const [fromI, fromJ] = [i, j];
    while ((i < rows || j < columns) && !(i < rows && j < columns && a[start + i] === b[start + j])) {
      if (j >= columns || (i < rows && at(i + 1, j) >= at(i, j + 1))) i += 1;
      else j += 1;
    }
    const last = found.at(-1);
    if (last !== undefined && start + fromI - last[1] <= 1) [last[1], last[3]] = [start + i, start + j];
    else found.push([start + fromI, start + i, start + fromJ, start + j]);
  }
  return found;
}

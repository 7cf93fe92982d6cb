import { describe, expect, it } from "vitest";
import type { Delta, Entry, Opened } from "../../src/review/model";
import { abilities, changedSince, seen, summaryWords, toOpen, toSend, waitingFor } from "../../src/review/queries";
import { type Action, type NewJob, reduce, START, type State } from "../../src/review/state";

function entry(path: string, version = "1", more: Partial<Entry> = {}): Entry {
  return {
    path, package: "p", light: "yellow", reason: "why", hunks: 2, binary: false, new_path: null,
    set_aside: null, broken: "", version, ...more,
  };
}

function opened(path: string, version = "1", local = "old\n", ids = ["1", "2"]): Opened {
  return {
    entry: entry(path, version),
    sides: { base: "base\n", local, incoming: "new\n", proposal: "new\n" },
    hunks: ids.map((id, at) => ({ id, header: "", old: [at, at + 1], new: [at, at + 1], overlaps: false })),
    encoding: "utf-8",
    why_not: "",
  };
}

function delta(more: Partial<Delta>): Delta {
  return { changed: [], gone: [], summary: { yellow: 0, red: 0, decided: 0 }, undo: null, ...more };
}

function after(state: State, ...actions: Action[]): State {
  return actions.reduce(reduce, state);
}

function started(...paths: string[]): State {
  const full = { files: paths.map((path) => entry(path)), summary: { yellow: paths.length, red: 0, decided: 0 }, undo: null, place: "here" };
  return after(START, { type: "full", full, project: "x" });
}

const accept = (path: string, hunk: string | null = null, version = "1"): NewJob => ({
  op: "decide", verb: "accept", files: [{ path, version }], hunks: hunk === null ? null : [hunk],
});
const lastJob = (state: State): number => state.jobs.at(-1)?.id ?? -1;

describe("the choice of a file", () => {
  it("begins with the first, and asks for it once", () => {
    const state = started("b", "a");
    expect(state.selected).toBe("a");
    expect(toOpen(state)).toEqual({ path: "a", version: "1" });
    const opening = after(state, { type: "opening", file: { path: "a", version: "1" } });
    expect(toOpen(opening)).toBeNull();
    expect(toOpen(after(opening, { type: "opened", opened: opened("a") }))).toBeNull();
  });

  it("stays where it is while entries come and go", () => {
    const state = after(started("b", "d"), { type: "select", path: "d" });
    const more = after(state, { type: "push", delta: delta({ changed: [entry("a"), entry("c")], gone: ["b"] }) });
    expect(more.selected).toBe("d");
    expect(more.files.map((each) => each.path)).toEqual(["a", "c", "d"]);
  });

  it("goes on to the next file after a decision, to the one before after the last", () => {
    let state = after(started("a", "b", "c"), { type: "select", path: "b" }, { type: "job", job: accept("b") });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ gone: ["b"] }) });
    expect(state.selected).toBe("c");
    expect(state.said.text).toContain("Accepted b; now c");
    state = after(state, { type: "job", job: accept("c") });
    state = after(state, { type: "push", delta: delta({ gone: ["c"] }) });
    expect(state.selected).toBe("a");
    expect(state.notice).toBeNull();
  });

  it("is the next file even where the push comes before the answer", () => {
    let state = after(started("a", "b", "c"), { type: "job", job: accept("a") });
    const job = lastJob(state);
    state = after(state, { type: "push", delta: delta({ gone: ["a"] }) }, { type: "done", job, delta: delta({ gone: ["a"] }) });
    expect([state.selected, state.jobs.length]).toEqual(["b", 0]);
  });

  it("opens again what changed elsewhere, and says so", () => {
    const state = after(started("a"), { type: "opened", opened: opened("a") });
    const now = after(state, { type: "push", delta: delta({ changed: [entry("a", "2")] }) });
    expect(toOpen(now)).toEqual({ path: "a", version: "2" });
    expect(now.said.text).toContain("a changed");
  });

  it("opens again what changed after it was asked for", () => {
    let state = after(started("a"), { type: "opening", file: { path: "a", version: "1" } });
    state = after(state, { type: "push", delta: delta({ changed: [entry("a", "2")] }) }, { type: "opened", opened: opened("a", "1") });
    expect(toOpen(state)).toEqual({ path: "a", version: "2" });
  });

  it("goes to what undo brought back", () => {
    let state = after(started("a", "z"), { type: "job", job: { op: "undo", files: [], undo: { id: "7", summary: "accept m" } } });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ changed: [entry("m")] }) });
    expect([state.selected, state.said.text]).toEqual(["m", "Undone: accept m"]);
    state = after(state, { type: "job", job: { op: "undo", files: [], undo: { id: "6", summary: "reject 2 files" } } });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ changed: [entry("n"), entry("o")] }) });
    expect([state.selected, state.said.text]).toEqual(["n", "Undone: reject 2 files; now n"]);
  });

  it("is kept by a filter that hides it, and counts only what is shown", () => {
    const state = after(started("a", "b"), { type: "filter", filter: { text: "b", lights: new Set() } });
    expect([state.selected, state.shown.length, state.files.length]).toEqual(["a", 1, 2]);
  });
});

describe("decisions", () => {
  it("are never doubled while they are under way", () => {
    const once = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    expect(after(once, { type: "job", job: accept("a", "1") }).jobs).toHaveLength(1);
    expect(after(once, { type: "job", job: accept("a", "2") }).jobs).toHaveLength(2);
    const whole = after(once, { type: "job", job: accept("a") });
    expect(whole.jobs).toHaveLength(2);
    expect(after(whole, { type: "job", job: accept("a", "2") }).jobs).toHaveLength(2);
  });

  it("on one file are sent one after another, on several at once", () => {
    let state = after(started("a", "b"), { type: "opened", opened: opened("a") });
    state = after(state, { type: "job", job: accept("a", "1") }, { type: "job", job: accept("a", "2") }, { type: "job", job: accept("b") });
    expect(toSend(state).map((job) => [job.files[0]?.path, job.hunks])).toEqual([["a", ["1"]], ["b", null]]);
    for (const job of toSend(state)) state = after(state, { type: "sent", job: job.id });
    expect(toSend(state)).toEqual([]);
  });

  it("that follow one are about the file as that one leaves it", () => {
    let state = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    const first = lastJob(state);
    state = after(state, { type: "job", job: accept("a", "2") }, { type: "done", job: first, delta: delta({ changed: [entry("a", "9")] }) });
    expect(toSend(state).map((job) => job.files)).toEqual([[{ path: "a", version: "9" }]]);
  });

  it("do not follow what others did", () => {
    let state = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    state = after(state, { type: "push", delta: delta({ changed: [entry("a", "other")] }) });
    expect(toSend(state).map((job) => job.files)).toEqual([[{ path: "a", version: "1" }]]);
  });

  it("are about the file as it was seen, and as own decisions left it since", () => {
    let state = after(started("a"), { type: "opened", opened: opened("a") });
    state = after(state, { type: "push", delta: delta({ changed: [entry("a", "other")] }) });
    expect(seen(state, entry("a", "other")).version).toBe("1");
    state = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ changed: [entry("a", "2")] }) });
    expect(seen(state, entry("a", "2")).version).toBe("2");
    state = after(state, { type: "push", delta: delta({ changed: [entry("a", "other")] }) });
    expect(seen(state, entry("a", "other")).version).toBe("2");
    state = after(state, { type: "opened", opened: opened("a", "other") });
    expect(seen(state, entry("a", "other")).version).toBe("other");
  });

  it("go on to the next hunk at once, and show what waits", () => {
    const state = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    expect(state.hunk).toBe(1);
    expect([...waitingFor(state, "a")]).toEqual([["1", "accept"]]);
  });

  it("keep the place in the file when it comes back with fewer hunks", () => {
    let state = after(started("a"), { type: "opened", opened: opened("a", "1", "x", ["1", "2", "3"]) }, { type: "hunk", index: 1 });
    state = after(state, { type: "job", job: accept("a", "2") });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ changed: [entry("a", "2")] }) });
    state = after(state, { type: "opened", opened: opened("a", "2", "y", ["1", "3"]) });
    expect(state.hunk).toBe(1);
  });

  it("that are refused say what changed, take those behind them along, and open the file anew", () => {
    let state = after(started("a"), { type: "opened", opened: opened("a") }, { type: "job", job: accept("a", "1") });
    const first = lastJob(state);
    state = after(state, { type: "job", job: accept("a", "2") });
    const stale = [{ path: "a", what: "your file has changed" }];
    state = after(state, { type: "refused", job: first, problem: { what: "stale" }, stale });
    expect(state.jobs).toEqual([]);
    expect(state.notice?.stale).toEqual(stale);
    expect(state.notice?.problem.what).toBe("Not done, nor 1 later decision on it: it changed meanwhile");
    expect(toOpen(state)).toEqual({ path: "a", version: "1" });
  });

  it("that fail otherwise say why, and the next one that is done clears that", () => {
    let state = after(started("a", "b"), { type: "job", job: accept("a") });
    state = after(state, { type: "refused", job: lastJob(state), problem: { what: "the disk is full", hint: "Make room" }, stale: [] });
    expect(state.notice?.problem).toMatchObject({ what: "not done: the disk is full", hint: "Make room" });
    state = after(state, { type: "job", job: accept("b") });
    state = after(state, { type: "done", job: lastJob(state), delta: delta({ gone: ["b"] }) });
    expect(state.notice).toBeNull();
  });

  it("let undo wait for all of them", () => {
    const undo = { id: "1", summary: "accept a" };
    const state = after(started("a"), { type: "push", delta: delta({ undo }) }, { type: "job", job: accept("a") });
    expect(abilities(state).undo).toBe(false);
    const both = after(state, { type: "job", job: { op: "undo", files: [], undo } });
    expect(toSend(both).map((job) => job.op)).toEqual(["decide"]);
  });
});

describe("what is said", () => {
  const decided = (state: State, more: Partial<Delta>): State => {
    const next = after(state, { type: "job", job: accept("a") });
    return after(next, { type: "done", job: lastJob(next), delta: delta({ gone: ["a"], ...more }) });
  };

  it("gives advice apart, whole, until it is closed, and the same not again", () => {
    const advised = decided(started("a", "b"), { notes: ["still loaded: x; restart the kernel"] });
    expect([advised.said.text, advised.advice]).toEqual(["Accepted a; now b", "Still loaded: x; restart the kernel."]);
    expect(after(advised, { type: "say", text: "else" }).advice).toBe(advised.advice);
    const heeded = after(advised, { type: "heeded" }, { type: "push", delta: delta({ changed: [entry("a")] }) });
    expect([heeded.advice, heeded.said.text]).toEqual(["", "a awaits a decision"]);
    expect(decided(heeded, { notes: ["still loaded: x; restart the kernel"] }).advice).toBe("");
    expect(decided(heeded, { notes: ["still loaded: y"] }).advice).toBe("Still loaded: y.");
  });

  it("tells a file that was deleted from one that was changed", () => {
    const state = after(started("a"), { type: "opened", opened: opened("a") });
    const gone = opened("a", "2");
    const now = after(state, { type: "opened", opened: { ...gone, sides: { ...gone.sides, local: null } } });
    expect(now.said.text).toBe("a was deleted; it is shown as it is now");
  });

  it("names how many files have come", () => {
    const state = after(started("a"), { type: "push", delta: delta({ changed: [entry("b"), entry("c"), entry("a", "2")] }) });
    expect(state.said.text).toBe("2 more files await a decision");
  });
});

describe("unsaved edits", () => {
  it("come back from storage, the first of them chosen", () => {
    const draft = { content: "mine", start: "theirs", from: opened("b") };
    const restored = after(started("a", "b"), { type: "restore", drafts: new Map([["gone", draft], ["b", draft]]) });
    expect([restored.selected, restored.editing, restored.drafts.size]).toEqual(["b", true, 2]);
    expect(restored.said.text).toBe("Your unsaved edit of b is back, and 1 more");
    expect(after(started("a"), { type: "restore", drafts: new Map() }).said.text).toBe("");
  });

  const edited = (): State =>
    after(started("a", "b"), { type: "opened", opened: opened("a") }, { type: "edit", start: "new\n" }, { type: "typed", content: "mine\n" });

  it("are kept while another file is looked at, and go on where they were", () => {
    let state = after(edited(), { type: "select", path: "b" });
    expect([state.editing, state.said.text]).toEqual([false, "Your unsaved edit of a is kept"]);
    state = after(state, { type: "select", path: "a" });
    expect([state.editing, state.drafts.get("a")?.content]).toEqual([true, "mine\n"]);
  });

  it("that changed nothing are forgotten", () => {
    let state = after(started("a", "b"), { type: "opened", opened: opened("a") }, { type: "edit", start: "new\n" });
    state = after(state, { type: "select", path: "b" }, { type: "select", path: "a" });
    expect([state.editing, state.drafts.size]).toEqual([false, 0]);
  });

  it("survive a change of the file, and say what changed", () => {
    let state = after(edited(), { type: "push", delta: delta({ changed: [entry("a", "2")] }) });
    expect(changedSince(state, "a")).toBe("it changed");
    state = after(state, { type: "opened", opened: opened("a", "2", "other\n") });
    expect(changedSince(state, "a")).toBe("your file on disk changed");
    expect([state.editing, state.drafts.get("a")?.content]).toEqual([true, "mine\n"]);
    state = after(state, { type: "keep-draft" });
    expect([changedSince(state, "a"), state.drafts.get("a")?.from.entry.version]).toEqual(["", "2"]);
  });

  it("survive a decision made elsewhere, until they are discarded", () => {
    let state = after(edited(), { type: "push", delta: delta({ gone: ["a"] }) });
    expect([state.selected, state.editing, state.drafts.get("a")?.content]).toEqual(["a", true, "mine\n"]);
    expect(state.notice?.problem).toMatchObject({ where: "a", what: "it was decided elsewhere" });
    state = after(state, { type: "drop-draft", path: "a" });
    expect([state.selected, state.drafts.size]).toEqual(["b", 0]);
  });

  it("that are saved end, and the next file follows, even where the push comes first", () => {
    for (const pushFirst of [false, true]) {
      let state = after(edited(), { type: "job", job: { op: "resolve", files: [{ path: "a", version: "1" }], content: "mine\n" } });
      const job = lastJob(state);
      if (pushFirst) state = after(state, { type: "push", delta: delta({ gone: ["a"] }) });
      state = after(state, { type: "done", job, delta: delta({ gone: ["a"] }) });
      expect([state.selected, state.editing, state.drafts.size]).toEqual(["b", false, 0]);
    }
  });

  it("are kept when saving is refused", () => {
    let state = after(edited(), { type: "job", job: { op: "resolve", files: [{ path: "a", version: "1" }], content: "mine\n" } });
    state = after(state, { type: "refused", job: lastJob(state), problem: { what: "stale" }, stale: [{ path: "a", what: "changed" }] });
    expect([state.editing, state.drafts.get("a")?.content]).toEqual([true, "mine\n"]);
  });

  it("keep whole-file decisions from being taken by mistake", () => {
    expect(abilities(edited()).file).toBe(false);
    expect(abilities(edited()).save).toBe(true);
  });
});

describe("a full state", () => {
  it("after a gap keeps the choice, the edits and the filter", () => {
    const state = after(started("a", "b"), { type: "select", path: "b" }, { type: "filter", filter: { text: "b", lights: new Set() } });
    const full = { files: [entry("b", "2"), entry("c")], summary: { yellow: 2, red: 0, decided: 1 }, undo: null, place: "here" };
    const now = after(state, { type: "full", full, project: "x" });
    expect([now.selected, now.shown.map((each) => each.path)]).toEqual(["b", ["b"]]);
    expect(toOpen(now)).toEqual({ path: "b", version: "2" });
  });

  it("with nothing in it chooses nothing", () => {
    const now = after(started("a"), { type: "full", full: { files: [], summary: { yellow: 0, red: 0, decided: 1 }, undo: null, place: "here" }, project: "" });
    expect([now.selected, toOpen(now)]).toEqual([null, null]);
  });
});

describe("the summary", () => {
  it.each([
    [{ yellow: 0, red: 0, decided: 0 }, "Nothing awaits a decision"],
    [{ yellow: 2, red: 1, decided: 9 }, "9 of 12 files decided, 2 yellow, 1 red left"],
    [{ yellow: 0, red: 0, decided: 1 }, "1 of 1 file decided, none left"],
    [{ yellow: 9_000, red: 1_000, decided: 0 }, "0 of 10,000 files decided, 9,000 yellow, 1,000 red left"],
  ])("of %o is %s", (summary, words) => {
    expect(summaryWords(summary)).toBe(words);
  });
});

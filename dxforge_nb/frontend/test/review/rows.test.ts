import { describe, expect, it } from "vitest";
import type { Entry } from "../../src/review/model";
import { compareEntries, EVERYTHING, filterEntries, rowsInSight, rowsOf, scrollToRow, successor, topsOf } from "../../src/review/rows";
import { shortReason } from "../../src/review/words";

function entry(path: string, more: Partial<Entry> = {}): Entry {
  return {
    path, package: path.split("/")[0] ?? "", light: "yellow", reason: "both changed", hunks: 1, binary: false,
    new_path: null, set_aside: null, broken: "", version: "1", ...more,
  };
}

const HEIGHTS = { package: 28, file: 42 };

describe("filtering", () => {
  const entries = [
    entry("a/Number.py"),
    entry("a/time.py", { light: "red", reason: "your edit and the update overlap" }),
    entry("b/number.js", { new_path: "b/sizes/old.js" }),
  ];
  const paths = (text: string, ...lights: ("yellow" | "red")[]): string[] =>
    filterEntries(entries, { text, lights: new Set(lights) }).map((each) => each.path);

  it("wants every word, in path, new path or reason, in any order and case", () => {
    expect(paths("number")).toEqual(["a/Number.py", "b/number.js"]);
    expect(paths("  py NUMBER ")).toEqual(["a/Number.py"]);
    expect(paths("overlap a/")).toEqual(["a/time.py"]);
    expect(paths("sizes")).toEqual(["b/number.js"]);
    expect(paths("number time")).toEqual([]);
  });

  it("takes words as they are, never as a pattern", () => {
    expect(paths(".*")).toEqual([]);
    expect(paths("[")).toEqual([]);
  });

  it("knows lights; none chosen means both", () => {
    expect(paths("", "red")).toEqual(["a/time.py"]);
    expect(paths("", "red", "yellow")).toHaveLength(3);
    expect(filterEntries(entries, EVERYTHING)).toBe(entries);
  });
});

describe("rows", () => {
  it("have a heading before each package", () => {
    const rows = rowsOf([entry("a/1"), entry("a/2"), entry("b/1")]);
    expect(rows.map((row) => (row.kind === "package" ? `${row.name} ${row.count}` : `${row.place} ${row.entry.path}`))).toEqual([
      "a 2", "0 a/1", "1 a/2", "b 1", "2 b/1",
    ]);
    expect([...topsOf(rows, HEIGHTS)]).toEqual([0, 28, 70, 112, 140, 182]);
  });

  it("sort the same everywhere: by package, then path, by code unit", () => {
    const sorted = [entry("b/A"), entry("a/b"), entry("a/Z"), entry("a/a")].sort(compareEntries);
    expect(sorted.map((each) => each.path)).toEqual(["a/Z", "a/a", "a/b", "b/A"]);
  });
});

describe("the window", () => {
  const rows = rowsOf(Array.from({ length: 10_000 }, (_, at) => entry(`p/${String(at).padStart(5, "0")}`)));
  const tops = topsOf(rows, HEIGHTS);

  it("holds what is in sight, and a margin", () => {
    expect(rowsInSight(tops, 0, 420)).toEqual([0, 11]);
    expect(rowsInSight(tops, 28 + 42 * 5000, 420)).toEqual([5001, 5012]);
    expect(rowsInSight(tops, 28 + 42 * 5000, 420, 6)).toEqual([4995, 5018]);
  });

  it("stays small wherever it is, and covers every pixel", () => {
    for (let scroll = 0; scroll <= (tops.at(-1) ?? 0); scroll += 977) {
      const [first, end] = rowsInSight(tops, scroll, 500);
      expect(end - first).toBeLessThanOrEqual(14);
      expect(tops[first]).toBeLessThanOrEqual(scroll);
      if (end < rows.length) expect(tops[end]).toBeGreaterThanOrEqual(scroll + 500);
    }
  });

  it("is sound at the ends and for nothing", () => {
    const [first, end] = rowsInSight(tops, 1e9, 500);
    expect([first <= end, end]).toEqual([true, rows.length]);
    expect(rowsInSight(topsOf([], HEIGHTS), 0, 500)).toEqual([0, 0]);
    expect(rowsInSight(tops, 0, 0)).toEqual([0, 1]);
  });

  it("scrolls no further than it must to show a row", () => {
    expect(scrollToRow(tops, 3, 0, 420)).toBe(0);
    expect(scrollToRow(tops, 100, 0, 420)).toBe(28 + 42 * 100 - 420);
    expect(scrollToRow(tops, 1, 500, 420, 28)).toBe(0);
  });
});

describe("the file after one that left", () => {
  const entries = [entry("a/1"), entry("a/3"), entry("b/1")];
  it("is the one that took its place", () => {
    expect(successor(entries, entry("a/2"))).toBe("a/3");
    expect(successor(entries, entry("a/9"))).toBe("b/1");
  });
  it("is the last where it was the last, and none in none", () => {
    expect(successor(entries, entry("c/1"))).toBe("b/1");
    expect(successor([], entry("c/1"))).toBeNull();
  });
});

describe("the reason in a row", () => {
  it("is short for the two that most files have, and whole for the others", () => {
    expect(shortReason("your edit and the update merge cleanly")).toBe("merges with your edit");
    expect(shortReason("your edit and the update overlap")).toBe("overlaps your edit");
    for (const reason of ["you deleted it, upstream changed it", "constructor"]) expect(shortReason(reason)).toBe(reason);
  });
});

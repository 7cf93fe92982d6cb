import { describe, expect, it } from "vitest";
import { changesInHunks, controlPlaces, hasLongLine, hunkRanges, isHeavy, openProposal, separatorOf } from "../../src/review/hunks";
import type { Hunk, Opened } from "../../src/review/model";
import { differences, lines, take } from "./kernel";

function hunksBetween(old: string, next: string): Hunk[] {
  return differences(old, next).map(([a, b, c, d], at) => ({ id: String(at + 1), header: "", old: [a, b], new: [c, d], overlaps: false }));
}

function opened(local: string | null, proposal: string | null, hunks: Hunk[]): Opened {
  const sides = { base: null, local, incoming: null, proposal };
  return { entry: {} as Opened["entry"], sides, hunks, encoding: "utf-8", why_not: "" };
}

/** Texts that differ in all the ways that lines can, from a small generator with a fixed seed. */
function* pairs(): Generator<[string, string]> {
  let seed = 7;
  const pick = (below: number): number => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return Math.floor((seed / 2147483648) * below);
  };
  const words = ["a", "b", "", "}", "a\r", "long line here"];
  for (let round = 0; round < 400; round += 1) {
    const old = Array.from({ length: pick(9) }, () => words[pick(words.length)] ?? "");
    const next = old.flatMap((line) => [[line], [], [line, "new"], ["other"]][pick(4)] ?? []);
    if (pick(3) === 0) next.push("added at the end");
    const end = (): string => (pick(2) === 0 ? "\n" : "");
    yield [old.join("\n") + end(), next.join("\n") + end()];
  }
}

describe("the open proposal", () => {
  it("is the kernel's proposal where nothing was rejected", () => {
    for (const [local, proposal] of pairs()) {
      expect(openProposal(opened(local, proposal, hunksBetween(local, proposal)))?.text).toBe(proposal);
    }
  });

  it("is what accepting the open hunks writes, where others were rejected", () => {
    for (const [local, proposal] of pairs()) {
      const all = hunksBetween(local, proposal);
      const open = all.filter((_, at) => at % 2 === 1);
      if (open.length === 0) continue;
      const sides = { base: null, local, incoming: null, proposal };
      const shown = openProposal(opened(local, proposal, open));
      expect(shown?.text).toBe(take(sides, open));
      // What was at the kernel's lines of its proposal is at ours of the shown one.
      for (const [at, hunk] of (shown?.hunks ?? []).entries()) {
        const theirs = lines(proposal).slice(...(open[at]?.new ?? [0, 0]));
        const ours = lines(shown?.text ?? "").slice(...hunk.new);
        expect(ours.join("").replace(/\n$/, "")).toBe(theirs.join("").replace(/\n$/, ""));
      }
    }
  });

  it("is all of it where there are no hunks, and none where nothing is proposed", () => {
    expect(openProposal(opened("a\n", "b\n", []))).toEqual({ text: "b\n", hunks: [] });
    expect(openProposal(opened(null, "b\n", []))).toEqual({ text: "b\n", hunks: [] });
    expect(openProposal(opened("a\n", null, []))).toBeNull();
  });
});

describe("hunks as ranges of characters", () => {
  it("cover all differences, so that the rest of both texts is equal", () => {
    for (const [old, next] of pairs()) {
      let [a, b] = [0, 0];
      for (const range of hunkRanges(hunksBetween(old, next), old, next)) {
        const between = [old.slice(a, range.fromA), next.slice(b, range.fromB)];
        // A last line without its end differs from the same line with it, which is a hunk of its own.
        expect(between[0]).toBe(between[1]);
        [a, b] = [range.toA, range.toB];
      }
      expect(old.slice(a)).toBe(next.slice(b));
    }
  });

  it("keep differences found within a hunk at their place in the whole", () => {
    const [old, next] = ["same\nold one\nsame\n", "same\nnew one\nsame\n"];
    const ranges = hunkRanges(hunksBetween(old, next), old, next);
    expect(ranges).toEqual([{ fromA: 5, toA: 13, fromB: 5, toB: 13 }]);
    const changes = changesInHunks(ranges, old, next, (before, after) => {
      expect([before, after]).toEqual(["old one\n", "new one\n"]);
      return [{ fromA: 0, toA: 3, fromB: 0, toB: 3 }];
    });
    expect(changes).toEqual([{ fromA: 5, toA: 8, fromB: 5, toB: 8 }]);
  });
});

describe("the places of the controls", () => {
  const range = (from: number, to: number): { fromA: number; toA: number; fromB: number; toB: number } => ({
    fromA: from, toA: to, fromB: from, toB: to,
  });
  it("are where the marked lines begin", () => {
    expect(controlPlaces([range(10, 20), range(50, 60)], [range(12, 22), range(50, 55), range(57, 60)]).map((each) => each.fromB)).toEqual([12, 50]);
  });
  it("are the hunks' own where nothing is marked, or one mark covers two", () => {
    expect(controlPlaces([range(10, 20)], []).map((each) => each.fromB)).toEqual([10]);
    expect(controlPlaces([range(10, 20), range(30, 40)], [range(10, 40)]).map((each) => each.fromB)).toEqual([10, 30]);
  });
  it("are one per hunk, in order, for every pair of texts", () => {
    for (const [old, next] of pairs()) {
      const ranges = hunkRanges(hunksBetween(old, next), old, next);
      const places = controlPlaces(ranges, ranges).map((each) => each.fromB);
      expect(places).toEqual(ranges.map((each) => each.fromB));
    }
  });
});

describe("texts that need care", () => {
  it("are heavy by what would be drawn at once", () => {
    const long = "x".repeat(20_000);
    expect(hasLongLine(`a\n${long}\nb`)).toBe(true);
    expect(hasLongLine("short\n".repeat(20_000))).toBe(false);
    expect(isHeavy([{ fromA: 0, toA: 20_000, fromB: 0, toB: 1 }], long)).toBe(true);
    expect(isHeavy([{ fromA: 0, toA: 3, fromB: 0, toB: 1 }], long)).toBe(false);
    expect(isHeavy([{ fromA: 0, toA: 120_000, fromB: 0, toB: 1 }], "short\n".repeat(20_000))).toBe(true);
  });
  it("have carriage returns as part of the line end only where all lines of all sides do", () => {
    const sides = { base: null, local: "a\r\nb\r\n", incoming: "a\r\n", proposal: "" };
    expect(separatorOf(sides)).toBe("\r\n");
    expect(separatorOf({ ...sides, incoming: "a\n" })).toBe("\n");
    expect(separatorOf({ ...sides, incoming: "a\r\n\n" })).toBe("\n");
    expect(separatorOf({ ...sides, incoming: "\na\r\n" })).toBe("\n");
    expect(separatorOf({ base: null, local: "a", incoming: null, proposal: "b" })).toBe("\n");
  });
});

// The kernel's hunks in terms of the text that is shown. Pure.

import type { Hunk, Opened, Sides } from "./model";

/** A range of changed characters: from `fromA` to `toA` in the old text, `fromB` to `toB` in the new one. */
export interface Range {
  readonly fromA: number;
  readonly toA: number;
  readonly fromB: number;
  readonly toB: number;
}

/** The proposal as accepting the whole file would write it, and its hunks' lines there. */
export interface Proposal {
  readonly text: string;
  readonly hunks: readonly Hunk[];
}

/**
 * What accepting the file writes: the proposal, but for hunks that were rejected before.
 *
 * The kernel's list has only the hunks that are still open, while its proposal has all of them.
 */
export function openProposal(opened: Opened): Proposal | null {
  const { local, proposal } = opened.sides;
  if (proposal === null) return null;
  if (local === null || opened.hunks.length === 0) return { text: proposal, hunks: [] };
  const mine = splitLines(local);
  const theirs = splitLines(proposal);
  const lines: string[] = [];
  const hunks: Hunk[] = [];
  let position = 0;
  for (const hunk of opened.hunks) {
    append(lines, mine.slice(position, hunk.old[0]));
    const start = lines.length;
    append(lines, theirs.slice(hunk.new[0], hunk.new[1]));
    hunks.push({ ...hunk, new: [start, lines.length] });
    position = hunk.old[1];
  }
  append(lines, mine.slice(position));
  // A last line without its line feed may no longer be the last one.
  const ended = lines.map((line, index) => (line.endsWith("\n") || index === lines.length - 1 ? line : `${line}\n`));
  return { text: ended.join(""), hunks };
}

function append(lines: string[], more: readonly string[]): void {
  for (const line of more) lines.push(line);
}

/** Lines with their ends, by line feed only (as the kernel counts them). */
function splitLines(text: string): string[] {
  const lines = text.split("\n");
  const last = lines.pop() ?? "";
  const ended = lines.map((line) => `${line}\n`);
  return last === "" ? ended : [...ended, last];
}

/** Where each line of the text begins; then its length. */
export function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  starts.push(text.length);
  return starts;
}

/** The hunks as ranges of characters, whole lines each. */
export function hunkRanges(hunks: readonly Hunk[], old: string, next: string): Range[] {
  const [a, b] = [lineStarts(old), lineStarts(next)];
  const at = (starts: number[], line: number) => starts[Math.min(line, starts.length - 1)] ?? 0;
  return hunks.map((hunk) => ({
    fromA: at(a, hunk.old[0]),
    toA: at(a, hunk.old[1]),
    fromB: at(b, hunk.new[0]),
    toB: at(b, hunk.new[1]),
  }));
}

/**
 * Differences within hunks only, by `within` (given the two texts of a hunk), as ranges in the whole texts.
 *
 * Equal ends of a hunk that `within` leaves out are fine: a hunk may span lines that are the same.
 */
export function changesInHunks(
  ranges: readonly Range[],
  old: string,
  next: string,
  within: (old: string, next: string) => readonly Range[],
): Range[] {
  return ranges.flatMap((range) =>
    within(old.slice(range.fromA, range.toA), next.slice(range.fromB, range.toB)).map((change) => ({
      fromA: change.fromA + range.fromA,
      toA: change.toA + range.fromA,
      fromB: change.fromB + range.fromB,
      toB: change.toB + range.fromB,
    })),
  );
}

/**
 * Where the controls of each hunk go in the new text: just above what is marked as changed there.
 *
 * `chunks` are the marked ranges (whole lines), which may begin a line later than the hunk where lines repeat.
 */
export function controlPlaces(ranges: readonly Range[], chunks: readonly Range[]): Range[] {
  let next = 0;
  const chunkBefore = (position: number) => (chunks[next]?.fromB ?? Infinity) <= position;
  return ranges.map((range) => {
    while ((chunks[next]?.toB ?? Infinity) < range.fromB) next += 1;
    const chunk = chunks[next];
    if (chunk === undefined || !chunkBefore(range.toB)) return range;
    while (chunkBefore(range.toB)) next += 1;
    return { ...range, fromA: chunk.fromA, fromB: chunk.fromB };
  });
}

/** More removed text than a unified view should draw (it draws all removed lines of a hunk at once). */
export const LARGE_CHARACTERS = 100_000;
const LONG_LINE_CHARACTERS = 10_000;

/** Whether a unified view of these differences would be slow. */
export function isHeavy(changes: readonly Range[], old: string): boolean {
  const removed = changes.reduce((sum, change) => sum + change.toA - change.fromA, 0);
  return removed > LARGE_CHARACTERS || (hasLongLine(old) && removed > LONG_LINE_CHARACTERS);
}

/** A line of more than 10,000 characters. */
export function hasLongLine(text: string): boolean {
  let from = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", from)) {
    if (at - from > LONG_LINE_CHARACTERS) return true;
    from = at + 1;
  }
  return text.length - from > LONG_LINE_CHARACTERS;
}

/** The line separator of all the texts: carriage returns are part of it only where every line has one. */
export function separatorOf(sides: Sides): "\n" | "\r\n" {
  const texts = Object.values(sides).filter((text): text is string => text !== null && text.includes("\n"));
  const alike = texts.every((text) => !/(^|[^\r])\n/.test(text));
  return texts.length > 0 && alike ? "\r\n" : "\n";
}

// The list's rows: sorted, filtered, grouped by package, and which of them are in sight. Pure.

import type { Entry, Light } from "./model";

export interface Filter {
  readonly text: string;
  /** Only these lights; none chosen means both. */
  readonly lights: ReadonlySet<Light>;
}

export const EVERYTHING: Filter = { text: "", lights: new Set() };

export type Row =
  | { readonly kind: "package"; readonly name: string; readonly count: number }
  | { readonly kind: "file"; readonly entry: Entry; readonly place: number };

type Named = Pick<Entry, "package" | "path">;

/** By package, then path; by code unit, so that the order is the same on every machine. */
export function compareEntries(a: Named, b: Named): number {
  return compare(a.package, b.package) || compare(a.path, b.path);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Files that have every word of the text in their path, new path or reason (in any order, in any case). */
export function filterEntries(entries: readonly Entry[], filter: Filter): readonly Entry[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0 && filter.lights.size === 0) return entries;
  return entries.filter((entry) => {
    if (filter.lights.size > 0 && !filter.lights.has(entry.light)) return false;
    const text = `${entry.path}\n${entry.new_path ?? ""}\n${entry.reason}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

/** Sorted entries with a heading before each package's. `place` counts the files only. */
export function rowsOf(entries: readonly Entry[]): Row[] {
  const rows: Row[] = [];
  let heading = -1;
  entries.forEach((entry, place) => {
    const last = rows[heading];
    if (last?.kind === "package" && last.name === entry.package) {
      rows[heading] = { kind: "package", name: last.name, count: last.count + 1 };
    } else {
      heading = rows.push({ kind: "package", name: entry.package, count: 1 }) - 1;
    }
    rows.push({ kind: "file", entry, place });
  });
  return rows;
}

export interface Heights {
  readonly package: number;
  readonly file: number;
}

/** Where each row begins, in pixels, and last where all of them end. */
export function topsOf(rows: readonly Row[], heights: Heights): Float64Array {
  const tops = new Float64Array(rows.length + 1);
  rows.forEach((row, index) => {
    tops[index + 1] = (tops[index] ?? 0) + heights[row.kind];
  });
  return tops;
}

/** The rows that a view of `height` pixels, scrolled by `scroll`, shows: first, and one past the last. */
export function rowsInSight(tops: Float64Array, scroll: number, height: number, margin = 0): [number, number] {
  const count = tops.length - 1;
  const first = Math.max(0, Math.min(count, lastAtOrBefore(tops, scroll) - margin));
  const end = Math.min(count, lastAtOrBefore(tops, scroll + Math.max(height, 0)) + 1 + margin);
  return [first, Math.max(first, end)];
}

function lastAtOrBefore(tops: Float64Array, position: number): number {
  let low = 0;
  let high = tops.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((tops[middle] ?? 0) <= position) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** How far to scroll so that a row is wholly in sight: `scroll` where it is already. `above`: what to keep above it. */
export function scrollToRow(tops: Float64Array, row: number, scroll: number, height: number, above = 0): number {
  const top = (tops[row] ?? 0) - above;
  const bottom = tops[row + 1] ?? top;
  if (top < scroll) return Math.max(0, top);
  return bottom > scroll + height ? bottom - height : scroll;
}

/** The file to go to when one has left the sorted `entries`: the one that took its place, else the last; null in none. */
export function successor(entries: readonly Entry[], left: Named): string | null {
  return (entries.find((entry) => compareEntries(entry, left) > 0) ?? entries.at(-1))?.path ?? null;
}

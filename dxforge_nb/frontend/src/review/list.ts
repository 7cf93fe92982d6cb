// The list of files: only the rows in sight are in the page, so that ten thousand are as light as ten.

import { h, type Row as Drawn, keyedRows, setAttribute, setText } from "../dom";
import { shown } from "../shown";
import type { Entry } from "./model";
import { isEdited, waitingFor } from "./queries";
import { type Heights, type Row, rowsInSight, rowsOf, scrollToRow, topsOf } from "./rows";
import type { State } from "./state";
import { counted, hunksWords, LIGHTS, shortReason, UNDER_WAY } from "./words";

const HEIGHTS: Heights = { package: 28, file: 42 };
/** Rows kept above and below those in sight. */
const SPARE = 6;

export interface FileList {
  readonly element: HTMLElement;
  render(state: State): void;
  /** Brings the chosen file into sight. */
  reveal(): void;
  focus(): void;
}

let lists = 0;

/** A listbox of files; `select` is told which one was pointed at. */
export function makeList(select: (path: string) => void, signal: AbortSignal): FileList {
  lists += 1;
  const prefix = `dx-file-${lists}-`;
  const space = h("div", { class: "dx-list-space", role: "presentation" });
  const element = h("div", { class: "dx-list", role: "listbox", "aria-label": "Files to decide", tabindex: 0 }, space);
  const draw = keyedRows<Placed>(space, keyOf, (placed) => (placed.row.kind === "package" ? headingRow() : fileRow(prefix)));

  let entries: readonly Entry[] | null = null;
  let rows: readonly Row[] = [];
  let tops = topsOf([], HEIGHTS);
  let state: State | null = null;
  let height = 0;

  const drawVisible = (): void => {
    if (state === null) return;
    const now = state;
    const [first, end] = rowsInSight(tops, element.scrollTop, height, SPARE);
    const chosen = chosenRow();
    const wanted = new Set<number>();
    for (let index = first; index < end; index += 1) wanted.add(index);
    // aria-activedescendant must name something that is there.
    if (chosen >= 0) wanted.add(chosen);
    const placed = [...wanted].sort((a, b) => a - b).flatMap((index) => {
      const row = rows[index];
      return row === undefined ? [] : [{ row, top: tops[index] ?? 0, total: now.shown.length, state: now }];
    });
    draw(placed);
    const active = chosen >= 0 ? rows[chosen] : undefined;
    setAttribute(element, "aria-activedescendant", active?.kind === "file" ? `${prefix}${active.place}` : null);
  };
  const chosenRow = (): number =>
    rows.findIndex((row) => row.kind === "file" && row.entry.path === state?.selected);

  const observer = new ResizeObserver(() => {
    height = element.clientHeight;
    drawVisible();
  });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
  element.addEventListener("scroll", drawVisible, { passive: true });
  element.addEventListener("click", (event) => {
    const target = event.target instanceof Element ? event.target.closest("[data-path]") : null;
    const path = target?.getAttribute("data-path");
    if (path !== null && path !== undefined) select(path);
  });

  return {
    element,
    render(next) {
      const before = state;
      state = next;
      if (next.shown !== entries) {
        const anchor = anchored(rows, tops, element.scrollTop, before?.selected ?? null);
        entries = next.shown;
        rows = rowsOf(next.shown);
        tops = topsOf(rows, HEIGHTS);
        space.style.height = `${tops[rows.length] ?? 0}px`;
        const row = anchor === null ? -1 : rows.findIndex((each) => each.kind === "file" && each.entry.path === anchor.path);
        // Entries that come and go above do not move what is being looked at.
        if (anchor !== null && row >= 0) element.scrollTop = (tops[row] ?? 0) - anchor.offset;
      }
      drawVisible();
      if (next.selected !== before?.selected) this.reveal();
    },
    reveal() {
      const row = chosenRow();
      if (row < 0 || height === 0) return;
      const heading = rows[row - 1]?.kind === "package" ? HEIGHTS.package : 0;
      element.scrollTop = scrollToRow(tops, row, element.scrollTop, height, heading);
      drawVisible();
    },
    focus: () => element.focus({ preventScroll: true }),
  };
}

/** The file that stays where it is on screen when the rows change: the chosen one if in sight, else the first. */
function anchored(
  rows: readonly Row[],
  tops: Float64Array,
  scroll: number,
  chosen: string | null,
): { path: string; offset: number } | null {
  const [first, end] = rowsInSight(tops, scroll, 400);
  let found: { path: string; offset: number } | null = null;
  for (let index = first; index < end; index += 1) {
    const row = rows[index];
    if (row?.kind !== "file") continue;
    if (found === null || row.entry.path === chosen) {
      found = { path: row.entry.path, offset: (tops[index] ?? 0) - scroll };
    }
  }
  return found;
}

interface Placed {
  readonly row: Row;
  readonly top: number;
  readonly total: number;
  readonly state: State;
}

function keyOf({ row }: Placed): string {
  return row.kind === "package" ? `p ${row.name}` : `f ${row.entry.path}`;
}

function headingRow(): Drawn<Placed> {
  const name = h("span", { class: "dx-package-name" });
  const count = h("span", { class: "dx-quiet" });
  const element = h("div", { class: "dx-row dx-row-package", role: "presentation" }, name, count);
  return {
    element,
    update({ row, top }) {
      if (row.kind !== "package") return;
      place(element, top);
      setText(name, shown(row.name));
      setText(count, counted(row.count, "file"));
    },
  };
}

function fileRow(prefix: string): Drawn<Placed> {
  const light = h("span", { class: "dx-light", "aria-hidden": "true" });
  const name = h("span", { class: "dx-name" });
  // What is read out is one sentence; the rest is its picture.
  const spoken = h("span", { class: "dx-hidden" });
  const folder = h("span", { class: "dx-folder" });
  const lightWord = h("span", { class: "dx-light-word" });
  const reason = h("span", { class: "dx-reason" });
  const hunks = h("span", { class: "dx-hunk-count" });
  const mark = h("span", { class: "dx-mark" });
  const seen = (kind: string, ...children: (HTMLElement | string)[]): HTMLElement =>
    h("span", { class: kind, "aria-hidden": "true" }, ...children);
  const element = h(
    "div",
    { class: "dx-row dx-row-file", role: "option" },
    spoken,
    light,
    seen("dx-path", folder, name),
    seen("dx-right", mark, " ", hunks),
    seen("dx-why", lightWord, " · ", reason),
  );
  return {
    element,
    update({ row, top, total, state }) {
      if (row.kind !== "file") return;
      const { entry, place: number } = row;
      place(element, top);
      setAttribute(element, "id", `${prefix}${number}`);
      setAttribute(element, "data-path", entry.path);
      setAttribute(element, "data-light", entry.light);
      setAttribute(element, "aria-setsize", total);
      setAttribute(element, "aria-posinset", number + 1);
      setAttribute(element, "aria-selected", entry.path === state.selected ? "true" : "false");
      setAttribute(element, "title", `${shown(entry.path)}\n${LIGHTS[entry.light].word}: ${shown(entry.reason)}`);
      const path = shown(entry.path);
      const cut = path.lastIndexOf("/") + 1;
      // The heading above says which package it is.
      const from = Math.min(cut, path.indexOf(`/${shown(entry.package)}/`) + entry.package.length + 2);
      setText(folder, path.slice(from > entry.package.length + 1 ? from : 0, cut));
      setText(name, path.slice(cut));
      setText(light, LIGHTS[entry.light].shape);
      setText(lightWord, LIGHTS[entry.light].word);
      setText(reason, shown(shortReason(entry.reason)));
      setText(hunks, hunksWords(entry));
      const waiting = waitingFor(state, entry.path);
      const verb = waiting.get("") ?? [...waiting.values()][0];
      setText(mark, verb !== undefined ? UNDER_WAY[verb] : isEdited(state.drafts.get(entry.path)) ? "unsaved edit" : "");
      const label = [path, LIGHTS[entry.light].word, shown(entry.reason), hunksWords(entry), mark.textContent];
      setText(spoken, label.filter(Boolean).join(", "));
      setAttribute(element, "aria-busy", verb === undefined ? null : "true");
    },
  };
}

function place(element: HTMLElement, top: number): void {
  const transform = `translateY(${top}px)`;
  if (element.style.transform !== transform) element.style.transform = transform;
}

// A table whose rows stay: fixed columns, figures aligned, nothing moves when a figure changes.

import { h, keyedRows, type Row, setShown, setText } from "../dom";

export interface Column {
  readonly name: string;
  readonly title: string;
}

export interface LiveTable<T> {
  readonly element: HTMLElement;
  update(items: readonly T[]): void;
}

/**
 * A table titled `caption`; `empty` stands there while it has no rows. The style sheet lays rows out as grids, which
 * costs tables their meaning in some browsers: hence the explicit roles.
 */
export function liveTable<T>(
  name: string,
  caption: string,
  columns: readonly Column[],
  empty: string,
  key: (item: T) => string,
  make: (item: T) => Row<T>,
): LiveTable<T> {
  const id = `dxs-${crypto.getRandomValues(new Uint32Array(1)).join("")}`;
  const head = row(columns.map(({ name: each, title }) => cell(each, title, "columnheader")));
  // One body per row, since a row may have a second line that folds.
  const bodies = h("div", { class: "dxs-rows", role: "presentation" });
  const header = h("div", { role: "rowgroup", class: "dxs-head" }, head);
  const nothing = h("p", { class: "dxs-empty" }, empty);
  const table = h("div", { role: "table", "aria-labelledby": id }, header, bodies);
  const title = h("h3", { id, class: "dxs-caption" }, caption);
  const update = keyedRows(bodies, key, make);
  return {
    element: h("section", { class: `dxs-table dxs-${name}` }, title, table, nothing),
    update(items) {
      setShown(table, items.length > 0);
      setShown(nothing, items.length === 0);
      update(items);
    },
  };
}

/** A row's lines as one unit. */
export function group(...rows: HTMLElement[]): HTMLElement {
  return h("div", { role: "rowgroup", class: "dxs-group" }, ...rows);
}

export function row(cells: readonly HTMLElement[]): HTMLElement {
  return h("div", { role: "row", class: "dxs-row" }, ...cells);
}

export function cell(name: string, content: Node | string = "", role = "cell"): HTMLElement {
  return h("div", { role, class: `dxs-cell dxs-cell-${name}` }, content === "" ? null : content);
}

/** Shows a figure, or nothing where there is none. */
export function setFigure<V>(element: HTMLElement, value: V | null, format: (value: V) => string): void {
  setText(element, value === null ? "" : format(value));
}

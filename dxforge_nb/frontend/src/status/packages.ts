// The packages: version, edits and what awaits a decision.

import { h, type Row, setAttribute, setText } from "../dom";
import type { Package } from "../protocol";
import { shape } from "../shapes";
import { shown } from "../shown";
import { count } from "./format";
import { cell, group, type LiveTable, liveTable, row } from "./table";

const COLUMNS = [
  { name: "name", title: "Package" },
  { name: "version", title: "Version" },
  { name: "source", title: "Source" },
  { name: "edited", title: "Your edits" },
  { name: "pending", title: "To decide" },
];

export function packageTable(): LiveTable<Package> {
  const empty = "No packages yet: %dx add NAME brings one in.";
  return liveTable<Package>("packages", "Packages", COLUMNS, empty, (each) => each.name, packageRow);
}

function packageRow(first: Package): Row<Package> {
  const name = shown(first.name);
  const version = cell("version");
  const source = cell("source");
  const edited = cell("edited");
  const marks = { yellow: shape("yellow"), red: shape("red") };
  const words = h("span", {});
  const pending = cell("pending");
  const cells = [cell("name", h("span", { class: "dxs-name", title: name }, name)), version, source, edited, pending];
  return {
    element: group(row(cells)),
    update(item) {
      setText(version, shown(item.version) + (item.leaving ? " (removed)" : ""));
      setAttribute(version, "title", item.leaving ? "It was removed; your edits in it await your decision" : null);
      setText(source, shown(item.source));
      setAttribute(source, "title", shown(item.source));
      setText(edited, item.edited === 0 ? "" : count(item.edited, "file"));
      const mark = item.pending > 0 ? marks[item.red > 0 ? "red" : "yellow"] : null;
      if (pending.firstChild !== mark) {
        pending.replaceChildren(...(mark === null ? [] : [mark, words]));
      }
      setText(words, count(item.pending, "file") + (item.red > 0 ? `, ${item.red} red` : ""));
    },
  };
}

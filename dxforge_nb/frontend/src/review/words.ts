// The panel's words about files. Pure.

import type { Entry, Light, Opened, Side } from "./model";
import type { Tab } from "./state";

/** "1 file", "12,000 files". */
export function counted(count: number, noun: string): string {
  return `${digits(count)} ${noun}${count === 1 ? "" : "s"}`;
}

export function digits(count: number): string {
  return count.toLocaleString("en");
}

/** Shape and word beside the colour, which not everybody sees. */
export const LIGHTS: Readonly<Record<Light, { readonly shape: string; readonly word: string }>> = {
  yellow: { shape: "▲", word: "Yellow" },
  red: { shape: "■", word: "Red" },
};

export const UNDER_WAY = { accept: "accepting…", reject: "rejecting…", resolve: "saving…" } as const;

export function hunksWords(entry: Entry): string {
  if (entry.binary) return "binary";
  return entry.hunks === 0 ? "" : counted(entry.hunks, "hunk");
}

const SHORT: Readonly<Record<string, string>> = {
  "your edit and the update merge cleanly": "merges with your edit",
  "your edit and the update overlap": "overlaps your edit",
};

/** The reason, as short as the list needs it. */
export function shortReason(reason: string): string {
  return Object.hasOwn(SHORT, reason) ? (SHORT[reason] ?? reason) : reason;
}

/** What accepting and rejecting the whole file would do, in a sentence each. */
export function meaning(entry: Entry, opened: Opened | null): { readonly accept: string; readonly reject: string } {
  const sides = opened !== null && opened.why_not === "" ? opened.sides : null;
  const reject = sides?.local === null && entry.new_path === null ? "it stays deleted" : "your file stays as it is";
  if (sides !== null && sides.proposal === null) return { accept: "the file is deleted, as upstream did", reject };
  if (entry.new_path !== null) {
    return { accept: "the file moves to its new name, with your edit", reject: "your file stays under its old name" };
  }
  if (sides?.local === null) return { accept: "the file comes back, in the new version", reject };
  if (entry.light === "red") return { accept: "theirs replaces your file", reject };
  if (sides?.base === null) return { accept: "the package's file replaces yours", reject };
  return { accept: "their update comes in, your edit stays", reject };
}

export const TAB_NAMES: Readonly<Record<Tab, string>> = {
  proposal: "Proposal",
  mine: "My edits",
  theirs: "Theirs",
  local: "Local",
  incoming: "Incoming",
  base: "Base",
};

export function tabsFor(entry: Entry): readonly Tab[] {
  const common: readonly Tab[] = ["proposal", "mine", "theirs"];
  return entry.light === "red" ? [...common, "local", "incoming", "base"] : common;
}

/** What a tab compares, or the one side it shows. */
export const TAB_SIDES: Readonly<Record<Tab, readonly [Side, Side] | readonly [Side]>> = {
  proposal: ["local", "proposal"],
  mine: ["base", "local"],
  theirs: ["base", "incoming"],
  local: ["local"],
  incoming: ["incoming"],
  base: ["base"],
};

/** Headings of the sides. */
export function sideName(side: Side, entry: Entry): string {
  switch (side) {
    case "local":
      return "Yours, as it is on disk";
    case "incoming":
      return "Theirs, the new version";
    case "base":
      return "Base, as last installed";
    case "proposal":
      return entry.light === "red" ? "Theirs, after accepting" : "Proposal, after accepting";
  }
}

/** Why a tab has nothing to show; "" where it has. */
export function nothingIn(tab: Tab, opened: Opened): string {
  const { base, local, incoming, proposal } = opened.sides;
  switch (tab) {
    case "proposal":
      return local === null && proposal === null ? "There is no text to show." : "";
    case "mine":
      if (base === null) return "No base is known: there is no installed version that your file came from.";
      return base === local ? "You have not changed this file." : "";
    case "theirs":
      if (base === null && incoming === null) return "There is no text to show.";
      return base === incoming ? "Upstream has not changed its text." : "";
    case "local":
      return local === null ? "You have deleted this file." : "";
    case "incoming":
      return incoming === null ? "The new version has no such file." : "";
    case "base":
      return base === null ? "No base is known: there is no installed version that your file came from." : "";
  }
}

/** What git's modes say beyond the text; "" where nothing. */
export function modeWords(opened: Opened): string {
  const { local, proposal } = opened.modes ?? { local: null, proposal: null };
  const one = Object.values(opened.modes ?? {}).includes("120000") ? "One side is a symbolic link; its text is where it points. " : "";
  if (local === null || proposal === null || local === proposal) return one.trim();
  if (proposal === "100755") return `${one}Accepting makes it executable.`;
  if (local === "100755") return `${one}Accepting makes it not executable.`;
  return one.trim();
}

/** Why a file's text is not shown. */
export function whyNotWords(whyNot: string): string {
  if (whyNot === "binary") return "This file is binary: it can only be decided on as a whole.";
  return `Its text is not shown here (${whyNot}); it can still be decided on as a whole.`;
}

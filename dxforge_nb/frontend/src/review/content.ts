// What the area below the tabs shows for a state: texts for the editor, or a sentence. Pure; part of the editor's chunk.

import { openProposal, separatorOf } from "./hunks";
import type { Entry, Opened, Side } from "./model";
import { entryOf } from "./queries";
import type { Content, Spec } from "./spec";
import type { Draft, State } from "./state";
import { nothingIn, sideName, TAB_SIDES, whyNotWords } from "./words";

export function contentOf(state: State): Content {
  const { selected, opened, failed } = state;
  if (selected === null) return words("");
  const draft = state.drafts.get(selected);
  if (state.editing && draft !== undefined && state.tab === "proposal") return editing(state, selected, draft);
  if (failed?.path === selected) return words(`${failed.problem.what}. ${failed.problem.hint ?? ""}`);
  if (opened?.entry.path !== selected) return words("Opening…");
  if (opened.why_not !== "") return words(whyNotWords(opened.why_not));
  const nothing = nothingIn(state.tab, opened);
  if (nothing !== "") return words(nothing);
  return { kind: "editor", key: keyOf(state, "view", opened), spec: viewing(state, opened) };
}

/** The proposal as accepting would write it; where there is none, what there is. */
export function editStart(opened: Opened): string {
  return openProposal(opened)?.text ?? opened.sides.local ?? opened.sides.incoming ?? "";
}

function words(text: string): Content {
  return { kind: "words", key: `words ${text}`, words: text };
}

function keyOf(state: State, kind: string, opened: Opened): string {
  const { path, version } = opened.entry;
  return JSON.stringify([kind, path, version, state.tab, state.layout, state.folded]);
}

function common(state: State, entry: Entry, opened: Opened): Pick<Spec, "name" | "separator" | "layout" | "collapse"> {
  return {
    name: entry.new_path ?? entry.path,
    separator: separatorOf(opened.sides),
    layout: state.layout,
    collapse: state.folded,
  };
}

function editing(state: State, path: string, draft: Draft): Content {
  const entry = entryOf(state, path) ?? draft.from.entry;
  const spec: Spec = {
    ...common(state, entry, draft.from),
    old: draft.from.sides.local,
    text: draft.content,
    oldLabel: sideName("local", entry),
    textLabel: "Your resolution, being edited",
    tone: "none",
    hunks: [],
    editable: true,
  };
  return { kind: "editor", key: keyOf(state, "edit", draft.from), spec };
}

function viewing(state: State, opened: Opened): Spec {
  const { entry, sides } = opened;
  const [first, second] = TAB_SIDES[state.tab];
  const shared = { ...common(state, entry, opened), editable: false };
  const alone = (side: Side, tone: Spec["tone"]): Spec => {
    const label = sideName(side, entry);
    return { ...shared, old: null, text: sides[side] ?? "", oldLabel: "", textLabel: label, tone, hunks: [] };
  };
  if (second === undefined) return alone(first, "none");
  if (sides[second] === null) {
    const gone = alone(first, "removed");
    return { ...gone, textLabel: `${gone.textLabel}: ${goneWords(second)}` };
  }
  if (sides[first] === null) return alone(second, "added");
  const proposal = state.tab === "proposal" ? openProposal(opened) : null;
  return {
    ...shared,
    old: sides[first],
    text: proposal?.text ?? sides[second],
    oldLabel: sideName(first, entry),
    textLabel: sideName(second, entry),
    tone: "none",
    hunks: proposal?.hunks ?? [],
  };
}

/** Who has deleted, or would delete, a file that a side does not have. */
function goneWords(side: Side): string {
  if (side === "proposal") return "accepting deletes it";
  return side === "local" ? "you deleted it" : "upstream deleted it";
}

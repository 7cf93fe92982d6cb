// The chosen file: what it is, the buttons, the tabs, and the editor below them.

import { button, h, setAttribute, setEnabled, setShown, setText } from "../dom";
import { shown } from "../shown";
import type { Entry, Opened, Verb } from "./model";
import { changedSince, entryOf, isEdited, lightsOf, waitingFor } from "./queries";
import { stepWithArrows } from "./roving";
import type { Content, Editor, EditorModule, Events } from "./spec";
import type { Layout, Question, State, Tab } from "./state";
import type { Toolbar } from "./toolbar";
import { counted, digits, LIGHTS, meaning, modeWords, TAB_NAMES, tabsFor, UNDER_WAY } from "./words";

export interface DetailEvents extends Events {
  tab(tab: Tab): void;
  answer(yes: boolean): void;
  keepDraft(): void;
  dropDraft(): void;
}

export interface Detail {
  readonly element: HTMLElement;
  readonly editor: Editor | null;
  readonly layout: Layout | null;
  /** `module`: the editor's code; a sentence where it cannot be had; null while it is on its way. */
  render(state: State, module: EditorModule | string | null): void;
  /** Puts the focus on the current hunk, or on the text where there is none. */
  focus(state: State): void;
  /** Lets the editor end. */
  destroy(): void;
}

export function makeDetail(toolbar: Toolbar, events: DetailEvents): Detail {
  const head = makeHead();
  const question = makeQuestion(events);
  const draft = makeDraftBar(events);
  const tabs = makeTabs(events);
  const labels = h("div", { class: "dx-labels" });
  const host = h("div", { class: "dx-editor" });
  const panel = h("div", { class: "dx-tabpanel", role: "tabpanel", tabindex: -1 }, labels, host);
  const element = h(
    "div",
    { class: "dx-detail" },
    head.element,
    h("div", { class: "dx-bar" }, toolbar.element, tabs.element),
    question.element,
    draft.element,
    panel,
  );
  let key = "";
  let editor: Editor | null = null;
  let revealed = -1;

  const detail: Detail = {
    element,
    get editor() {
      return editor;
    },
    get layout() {
      return editor?.layout ?? null;
    },
    render(state, module) {
      const entry = entryOf(state, state.selected) ?? draftEntry(state);
      setShown(head.element, entry !== null);
      setShown(tabs.element, entry !== null);
      setShown(panel, entry !== null);
      head.render(entry, state);
      question.render(state.question, state);
      draft.render(state);
      tabs.render(entry, state, panel);
      renderContent(state, module);
      if (editor === null || state.selected === null) return;
      editor.mark(state.hunk, waitingFor(state, state.selected));
      if (revealed !== state.hunk) editor.reveal(state.hunk, false);
      revealed = state.hunk;
    },
    focus(state) {
      const hunks = state.tab === "proposal" && !state.editing ? (state.opened?.hunks.length ?? 0) : 0;
      if (editor === null) panel.focus({ preventScroll: true });
      else if (hunks > 0) editor.reveal(state.hunk, true);
      else editor.focus();
    },
    destroy: () => editor?.destroy(),
  };

  const renderContent = (state: State, module: EditorModule | string | null): void => {
    const content = contentOf(state, module);
    if (content.key === key) return;
    key = content.key;
    if (host.contains(document.activeElement)) {
      // Whatever has the focus goes away: keep the place.
      panel.focus({ preventScroll: true });
    }
    editor?.destroy();
    editor = null;
    revealed = state.hunk;
    if (content.kind === "words" || module === null || typeof module === "string") {
      labels.replaceChildren();
      host.replaceChildren(h("p", { class: "dx-card" }, content.kind === "words" ? shown(content.words) : ""));
      return;
    }
    try {
      editor = module.mountEditor(host, content.spec, events);
    } catch (error) {
      // The decision must not hang on the picture.
      const what = error instanceof Error ? error.message : String(error);
      host.replaceChildren(h("p", { class: "dx-card" }, shown(`This cannot be shown (${what}); it can still be decided on.`)));
      return;
    }
    setAttribute(labels, "data-layout", content.spec.old === null ? null : editor.layout);
    labels.replaceChildren(...labelsOf(content.spec.oldLabel, content.spec.textLabel, content.spec, editor.layout));
    editor.mark(state.hunk, waitingFor(state, state.selected ?? ""));
    if (panel === document.activeElement) detail.focus(state);
    else if (content.spec.hunks.length > 0) editor.reveal(state.hunk, false);
  };
  return detail;
}

function contentOf(state: State, module: EditorModule | string | null): Content {
  if (module !== null && typeof module !== "string") return module.contentOf(state);
  const words = module ?? "Loading the editor…";
  return { kind: "words", key: words, words };
}

function draftEntry(state: State): Entry | null {
  return state.selected === null ? null : (state.drafts.get(state.selected)?.from.entry ?? null);
}

function labelsOf(old: string, text: string, spec: { old: string | null; layout: Layout; tone: string }, now: Layout): HTMLElement[] {
  const label = (kind: string, words: string): HTMLElement => h("span", { class: `dx-label dx-label-${kind}` }, words);
  if (spec.old === null) return [label(spec.tone, text)];
  const forced = spec.layout !== now ? " (side by side, for its size)" : "";
  return [label("removed", old), label("added", `${text}${forced}`)];
}

// ---- the file's name and reason

function makeHead(): { element: HTMLElement; render(entry: Entry | null, state: State): void } {
  const light = h("span", { class: "dx-badge" });
  const folder = h("span", { class: "dx-folder" });
  const name = h("span", { class: "dx-name" });
  const place = h("span", { class: "dx-quiet" });
  const wait = h("span", { class: "dx-wait" });
  const why = h("p", { class: "dx-file-why" });
  const notes = h("p", { class: "dx-file-notes" });
  const element = h(
    "div",
    { class: "dx-file" },
    h("p", { class: "dx-file-path" }, light, h("span", { class: "dx-path" }, folder, name), place, wait),
    why,
    notes,
  );
  return {
    element,
    render(entry, state) {
      if (entry === null) return;
      setAttribute(element, "data-light", entry.light);
      setText(light, `${LIGHTS[entry.light].shape} ${LIGHTS[entry.light].word}`);
      const path = shown(entry.path);
      const cut = path.lastIndexOf("/") + 1;
      setText(folder, path.slice(0, cut));
      setText(name, path.slice(cut));
      const index = state.shown.findIndex((each) => each.path === entry.path);
      setText(place, index < 0 ? "" : `${digits(index + 1)} of ${digits(state.shown.length)}`);
      const verb = waitingFor(state, entry.path).get("");
      setText(wait, verb === undefined ? "" : UNDER_WAY[verb]);
      const opened = state.opened?.entry.path === entry.path ? state.opened : null;
      const { accept, reject } = meaning(entry, opened);
      setText(why, `${sentence(shown(entry.reason))} Accept: ${accept}. Reject: ${reject}.`);
      setText(notes, notesOf(entry, opened));
      setShown(notes, notes.firstChild !== null);
    },
  };
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

/** How many of the hunks would change what the user has edited. */
function overlapWords(opened: Opened | null): string {
  const count = opened?.hunks.filter((hunk) => hunk.overlaps).length ?? 0;
  if (opened === null || count === 0) return "";
  const [some, verb] = [`${digits(count)} of ${counted(opened.hunks.length, "hunk")}`, count === 1 ? "overlaps" : "overlap"];
  return `${some} ${verb} your edit: accepting replaces it there.`;
}

function notesOf(entry: Entry, opened: Opened | null): string {
  const notes = [
    entry.new_path === null ? "" : `New name: ${shown(entry.new_path)}.`,
    entry.set_aside === null ? "" : `Theirs lies beside it as ${shown(entry.set_aside)}.`,
    overlapWords(opened),
    entry.broken === "" ? "" : `Careful: the proposal would not compile (${shown(entry.broken)}).`,
    opened === null ? "" : modeWords(opened),
    opened === null || ["", "utf-8"].includes(opened.encoding) ? "" : `Encoding: ${shown(opened.encoding)}.`,
  ];
  return notes.filter(Boolean).join(" ");
}

// ---- questions

function makeQuestion(events: DetailEvents): { element: HTMLElement; render(question: Question | null, state: State): void } {
  const text = h("span", {});
  const yes = button("Yes", { class: "dx-button dx-primary" }, () => events.answer(true));
  const no = button("No, go back", {}, () => events.answer(false));
  const element = h("div", { class: "dx-question", role: "group", "aria-label": "Are you sure?", hidden: true }, text, yes, no);
  let known: Question | null = null;
  return {
    element,
    render(question, state) {
      if (question === known) return;
      known = question;
      setShown(element, question !== null);
      if (question === null) return;
      const [asked, answer] = questionWords(question, state);
      setText(text, asked);
      setText(yes, answer);
      yes.focus({ preventScroll: true });
    },
  };
}

function questionWords(question: Question, state: State): readonly [string, string] {
  if (question.kind === "discard") return ["Discard your unsaved edit of this file?", "Yes, discard my edit"];
  const paths = new Set(question.files.map((file) => file.path));
  const { yellow, red } = lightsOf(state.files.filter((entry) => paths.has(entry.path)));
  const files = counted(paths.size, "file");
  const hidden = question.scope === "all" ? state.files.length - paths.size : 0;
  const drafts = [...state.drafts].filter(([path, draft]) => paths.has(path) && isEdited(draft)).length;
  const means: Record<Verb, string> = {
    accept: red === 0 ? "Their updates come in." : "Yellow: their updates come in. Red: theirs replaces your file.",
    reject: "All your files stay as they are.",
  };
  const parts = [
    `${digits(yellow)} yellow, ${digits(red)} red.`,
    means[question.verb],
    hidden > 0 ? `${digits(hidden)} that the filter hides are left alone.` : "",
    drafts > 0 ? `${drafts === 1 ? "An unsaved edit is" : `${drafts} unsaved edits are`} discarded.` : "",
    "Undo brings everything back.",
  ];
  return [parts.filter(Boolean).join(" "), `Yes, ${question.verb} ${files}`];
}

// ---- an edit whose file has changed

function makeDraftBar(events: DetailEvents): { element: HTMLElement; render(state: State): void } {
  const text = h("span", {});
  const keep = button("Keep my edit", {}, () => events.keepDraft());
  const drop = button("Discard my edit", {}, () => events.dropDraft());
  const element = h("div", { class: "dx-question dx-draft", role: "group", "aria-label": "Unsaved edit", hidden: true }, text, keep, drop);
  return {
    element,
    render(state) {
      const path = state.selected ?? "";
      const changed = state.editing ? changedSince(state, path) : "";
      setShown(element, changed !== "");
      setText(text, changed === "" ? "" : `Since you began this edit, ${changed}. Your edit is kept, and not saved.`);
      setShown(keep, entryOf(state, path) !== null);
      setEnabled(keep, state.opened?.entry.path === path);
    },
  };
}

// ---- tabs

let tabLists = 0;

function makeTabs(events: DetailEvents): { element: HTMLElement; render(entry: Entry | null, state: State, panel: HTMLElement): void } {
  tabLists += 1;
  const prefix = `dx-tab-${tabLists}-`;
  const names = Object.keys(TAB_NAMES) as Tab[];
  const all = new Map(
    names.map((tab) => {
      const each = button(TAB_NAMES[tab], { class: "dx-tab" }, () => events.tab(tab));
      setAttribute(each, "role", "tab");
      setAttribute(each, "id", `${prefix}${tab}`);
      return [tab, each] as const;
    }),
  );
  const element = h("div", { class: "dx-tabs", role: "tablist", "aria-label": "What to compare" }, ...all.values());
  stepWithArrows(element, (tab) => tab.click());
  return {
    element,
    render(entry, state, panel) {
      if (entry === null) return;
      const offered = new Set(tabsFor(entry));
      for (const [tab, each] of all) {
        const chosen = tab === state.tab;
        setShown(each, offered.has(tab));
        setAttribute(each, "aria-selected", chosen ? "true" : "false");
        each.tabIndex = chosen ? 0 : -1;
        if (chosen) setAttribute(panel, "aria-labelledby", each.id);
      }
    },
  };
}

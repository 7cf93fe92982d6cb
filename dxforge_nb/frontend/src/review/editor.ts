// The editor's chunk (editor.js): one text, a unified comparison, or two sides, with the kernel's hunks as controls.

import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { Change, Chunk, diff, type DiffConfig, getChunks, MergeView, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { Compartment, EditorState, type Extension, RangeSet, StateField, Text } from "@codemirror/state";
import {
  Decoration,
  type DecorationSet,
  drawSelection,
  EditorView,
  highlightActiveLine,
  highlightSpecialChars,
  keymap,
  lineNumbers,
} from "@codemirror/view";
import { changesInHunks, controlPlaces, hunkRanges, isHeavy, type Range } from "./hunks";
import { HunkBar, type HunkBars, OtherSide } from "./hunkbar";
import { languageOf } from "./languages";
import { colours, watchGutter, watchTheme } from "./look";
import type { Verb } from "./model";
import type { Editor, Events, Spec } from "./spec";
import type { Layout } from "./state";

// Finer differences than these limits allow are shown as coarser ones, so that no file makes the page wait.
const DIFF_TIMEOUT_MS = 250;
const SCAN_LIMIT = 500;
const MARGIN_LINES = 3;
const COLLAPSE_FROM_LINES = 6;
/** Space above a hunk that was brought into sight. */
const ABOVE_PX = 28;

export { contentOf, editStart } from "./content";

/** Shows `spec` in `parent`, which is emptied. */
export function mountEditor(parent: HTMLElement, spec: Spec, events: Events): Editor {
  return new Mounted(parent, spec, events);
}

class Mounted implements Editor {
  readonly layout: Layout;
  readonly #parent: HTMLElement;
  readonly #view: EditorView;
  readonly #scroller: HTMLElement;
  readonly #end: { destroy(): void };
  readonly #views: readonly EditorView[];
  readonly #watched: readonly (() => void)[];
  readonly #bars: HunkBars;
  readonly #places: readonly Range[];

  constructor(parent: HTMLElement, spec: Spec, events: Events) {
    const docs = { old: docOf(spec.old ?? "", spec), text: docOf(spec.text, spec) };
    const ranges = hunkRanges(spec.hunks, docs.old.toString(), docs.text.toString());
    const config = diffConfig(docs, ranges);
    this.layout = spec.old === null ? "unified" : layoutFor(spec, docs, ranges);
    this.#parent = parent;
    this.#bars = {
      current: 0,
      waiting: new Map(),
      decide: events.decide,
      choose: events.choose,
      lost: () => this.#keepFocus(),
      focused: null,
      elements: new Map(),
    };
    const dark = new Compartment();
    const common = shared(spec, dark);
    const own = [common, spec.editable ? editing(spec, events) : reading(spec.textLabel)];
    parent.replaceChildren();
    if (spec.old === null) {
      this.#view = new EditorView({ doc: docs.text, extensions: [own, toned(spec.tone)], parent });
      this.#scroller = this.#view.scrollDOM;
      this.#places = [];
      this.#end = this.#view;
    } else if (this.layout === "unified") {
      const merge = unifiedMergeView({
        original: docs.old,
        mergeControls: spec.editable ? useMine : false,
        gutter: true,
        diffConfig: config,
        ...collapsing(spec),
      });
      const extensions = [own, merge, spec.editable ? [] : hunkBars(spec, ranges, this.#bars, "b")];
      this.#view = new EditorView({ doc: docs.text, extensions, parent });
      this.#scroller = this.#view.scrollDOM;
      this.#places = placesIn(this.#view.state, ranges);
      this.#end = this.#view;
    } else {
      const bars = (side: "a" | "b") => (spec.editable ? [] : hunkBars(spec, ranges, this.#bars, side));
      const merge = new MergeView({
        a: { doc: docs.old, extensions: [common, reading(spec.oldLabel), bars("a")] },
        b: { doc: docs.text, extensions: [own, bars("b")] },
        diffConfig: config,
        gutter: true,
        ...(spec.editable ? { revertControls: "a-to-b" as const, renderRevertControl: useMineArrow } : {}),
        ...collapsing(spec),
        parent,
      });
      this.#view = merge.b;
      this.#scroller = merge.dom;
      this.#places = placesIn(merge.b.state, ranges);
      this.#end = merge;
    }
    this.#views = this.#end instanceof MergeView ? [this.#end.a, this.#end.b] : [this.#view];
    this.#watched = [
      ...this.#views.map(watchGutter),
      watchTheme(parent, (isDark) => {
        for (const view of this.#views) view.dispatch({ effects: dark.reconfigure(EditorView.darkTheme.of(isDark)) });
      }),
    ];
  }

  content(): string {
    return this.#view.state.sliceDoc();
  }

  mark(current: number, waiting: ReadonlyMap<string, Verb | "resolve">): void {
    this.#bars.current = current;
    this.#bars.waiting = waiting;
    for (const bar of this.#bars.elements.values()) bar.refresh();
  }

  reveal(hunk: number, focus: boolean): void {
    const place = this.#places[hunk];
    if (place === undefined) return;
    this.#scrollTo(place.fromB, 3, () => {
      if (focus) this.#bars.elements.get(hunk)?.element.focus({ preventScroll: true });
    });
  }

  focus(): void {
    this.#view.contentDOM.focus({ preventScroll: true });
  }

  destroy(): void {
    for (const end of this.#watched) end();
    this.#end.destroy();
    this.#parent.replaceChildren();
  }

  #keepFocus(): void {
    queueMicrotask(() => {
      this.#bars.focused = null;
      if (document.activeElement === document.body && this.#view.dom.isConnected) this.focus();
    });
  }

  // Heights below the visible part are estimates until they have been drawn: hence the repeats. CodeMirror's own way
  // would scroll the notebook too.
  #scrollTo(position: number, times: number, then: () => void): void {
    this.#view.requestMeasure({
      read: (view) => {
        const top = view.documentTop + view.lineBlockAt(Math.min(position, view.state.doc.length)).top;
        return top - this.#scroller.getBoundingClientRect().top;
      },
      write: (offset) => {
        const scroller = this.#scroller;
        const isSeen = offset >= 0 && offset < scroller.clientHeight - 2 * ABOVE_PX;
        if (!isSeen) scroller.scrollTop += offset - ABOVE_PX;
        if (!isSeen && times > 0) requestAnimationFrame(() => this.#scrollTo(position, times - 1, then));
        else then();
      },
    });
  }
}

interface Docs {
  readonly old: Text;
  readonly text: Text;
}

function docOf(text: string, spec: Spec): Text {
  return Text.of(text.split(spec.separator));
}

/** Differences within the kernel's hunks while the texts are as they came; the library's own once they are edited. */
function diffConfig(docs: Docs, ranges: readonly Range[]): DiffConfig {
  const limits = { scanLimit: SCAN_LIMIT, timeout: DIFF_TIMEOUT_MS };
  if (ranges.length === 0) return limits;
  const [old, text] = [docs.old.toString(), docs.text.toString()];
  const override = (a: string, b: string): readonly Change[] => {
    if (a !== old || b !== text) return diff(a, b, limits);
    const until = Date.now() + DIFF_TIMEOUT_MS;
    const within = (before: string, after: string): readonly Range[] =>
      diff(before, after, { scanLimit: SCAN_LIMIT, timeout: Math.max(1, until - Date.now()) });
    return changesInHunks(ranges, a, b, within).map((each) => new Change(each.fromA, each.toA, each.fromB, each.toB));
  };
  return { ...limits, override };
}

function layoutFor(spec: Spec, docs: Docs, ranges: readonly Range[]): Layout {
  if (spec.layout === "split" || docs.old.length < 10_000) return spec.layout;
  const old = docs.old.toString();
  const changes = ranges.length > 0 ? ranges : Chunk.build(docs.old, docs.text, diffConfig(docs, []));
  return isHeavy(changes, old) ? "split" : "unified";
}

function collapsing(spec: Spec): object {
  return spec.collapse ? { collapseUnchanged: { margin: MARGIN_LINES, minSize: COLLAPSE_FROM_LINES } } : {};
}

function shared(spec: Spec, dark: Compartment): Extension {
  const carriage = spec.separator === "\n" ? {} : { specialChars: /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g };
  return [
    EditorState.lineSeparator.of(spec.separator),
    EditorView.clipboardInputFilter.of((text) => text.replace(/\r\n?|\n/g, spec.separator)),
    lineNumbers(),
    highlightSpecialChars({ addSpecialChars: /[\u2066-\u2069\u202a-\u202e]/g, ...carriage }),
    drawSelection(),
    search({ top: true }),
    dark.of(EditorView.darkTheme.of(false)),
    colours,
    languageOf(spec.name, spec.text),
  ];
}

function reading(label: string): Extension {
  return [
    EditorState.readOnly.of(true),
    EditorView.editable.of(false),
    EditorView.contentAttributes.of({ tabindex: "0", "aria-label": label, "aria-readonly": "true" }),
    keymap.of(searchKeymap),
  ];
}

function editing(spec: Spec, events: Events): Extension {
  return [
    EditorView.contentAttributes.of({ "aria-label": spec.textLabel }),
    history(),
    bracketMatching(),
    indentOnInput(),
    highlightActiveLine(),
    highlightSelectionMatches(),
    keymap.of([indentWithTab, ...searchKeymap, ...historyKeymap, ...defaultKeymap]),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) events.typed();
    }),
  ];
}

function toned(tone: Spec["tone"]): Extension {
  return tone === "none" ? [] : EditorView.editorAttributes.of({ class: `dx-tone-${tone}` });
}

/** While editing, each difference has a way back to the user's own lines. */
function useMine(type: "reject" | "accept", action: (event: MouseEvent) => void): HTMLElement {
  if (type === "accept") return document.createElement("span");
  const element = useMineButton("Use mine");
  element.addEventListener("mousedown", action);
  element.addEventListener("click", (event) => {
    // From the keyboard, there is no mousedown before.
    if (event.detail === 0) action(event);
  });
  return element;
}

function useMineArrow(): HTMLElement {
  return useMineButton("→");
}

function useMineButton(text: string): HTMLElement {
  const element = document.createElement("button");
  element.type = "button";
  element.className = "dx-button dx-use-mine";
  element.title = "Use mine: put your own lines here";
  element.setAttribute("aria-label", "Use mine");
  element.textContent = text;
  return element;
}

// ---- hunks

function placesIn(state: EditorState, ranges: readonly Range[]): readonly Range[] {
  return controlPlaces(ranges, getChunks(state)?.chunks ?? []);
}

/** A bar above each hunk. Side by side, the old side gets one of the same height, so that the lines stay level. */
function hunkBars(spec: Spec, ranges: readonly Range[], bars: HunkBars, side: "a" | "b"): Extension {
  const make = (state: EditorState): DecorationSet => {
    const widgets = placesIn(state, ranges).map((place, index) => {
      const hunk = spec.hunks[index];
      if (hunk === undefined) throw new Error("a hunk without a place");
      const widget = side === "a" ? new OtherSide(hunk) : new HunkBar(hunk, index, spec.hunks.length, bars);
      // Above the removed lines, which are a widget at the same place.
      return Decoration.widget({ widget, block: true, side: -2 }).range(side === "a" ? place.fromA : place.fromB);
    });
    return RangeSet.of(widgets, true);
  };
  return StateField.define<DecorationSet>({
    create: () => Decoration.none,
    // The chunks come after the first state is made.
    update: (value, transaction) =>
      value.size === 0 && getChunks(transaction.state) !== null ? make(transaction.state) : value,
    provide: (field) => EditorView.decorations.from(field),
  });
}

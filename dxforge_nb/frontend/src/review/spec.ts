// What the panel asks of the editor, which is loaded only when the first file is opened: types, and nothing else.

import type { Hunk, Opened, Verb } from "./model";
import type { Layout, State } from "./state";

export interface Spec {
  /** A file's name, for its syntax colours. */
  readonly name: string;
  /** The text to compare with; null shows `text` alone. */
  readonly old: string | null;
  readonly text: string;
  /** Headings of the two sides. */
  readonly oldLabel: string;
  readonly textLabel: string;
  readonly separator: "\n" | "\r\n";
  /** How a text that stands alone is tinted. */
  readonly tone: "none" | "added" | "removed";
  /** Pieces to decide on; lines in `old` and `text`. */
  readonly hunks: readonly Hunk[];
  readonly layout: Layout;
  readonly collapse: boolean;
  readonly editable: boolean;
}

export interface Events {
  decide(verb: Verb, hunk: string): void;
  /** A hunk was chosen by pointing or tabbing into it. */
  choose(index: number): void;
  /** The text was changed; `Editor.content()` has it. */
  typed(): void;
}

export interface Editor {
  /** The layout that is shown: side by side even where unified was asked for, if that would be slow. */
  readonly layout: Layout;
  content(): string;
  /** Marks the current hunk, and those whose decision is under way. */
  mark(current: number, waiting: ReadonlyMap<string, Verb | "resolve">): void;
  /** Brings a hunk into sight, with the focus if asked. */
  reveal(hunk: number, focus: boolean): void;
  focus(): void;
  destroy(): void;
}

/** What the area below the tabs shows; while `key` stays the same, the editor that shows it stays. */
export type Content =
  | { readonly kind: "words"; readonly key: string; readonly words: string }
  | { readonly kind: "editor"; readonly key: string; readonly spec: Spec };

/** The module that `editor.js` is. */
export interface EditorModule {
  contentOf(state: State): Content;
  /** The text that an edit begins with. */
  editStart(opened: Opened): string;
  mountEditor(parent: HTMLElement, spec: Spec, events: Events): Editor;
}

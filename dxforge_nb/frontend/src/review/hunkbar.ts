// The bar above a hunk, with its two buttons.

import { type EditorView, WidgetType } from "@codemirror/view";
import { button, h, setAttribute, setEnabled, setText } from "../dom";
import type { Hunk, Verb } from "./model";
import { counted, digits, UNDER_WAY } from "./words";

/** What all bars of one editor share. `elements` are those that are drawn now, by their place. */
export interface HunkBars {
  current: number;
  waiting: ReadonlyMap<string, Verb | "resolve">;
  readonly decide: (verb: Verb, hunk: string) => void;
  readonly choose: (index: number) => void;
  /** The bar that has the focus was taken away, because it is out of sight now. */
  readonly lost: () => void;
  focused: HTMLElement | null;
  readonly elements: Map<number, { readonly element: HTMLElement; refresh(): void }>;
}

const OVERLAPS = "overlaps your edit";
let bars = 0;

export class HunkBar extends WidgetType {
  readonly #hunk: Hunk;
  readonly #index: number;
  readonly #count: number;
  readonly #bars: HunkBars;

  constructor(hunk: Hunk, index: number, count: number, bars: HunkBars) {
    super();
    this.#hunk = hunk;
    this.#index = index;
    this.#count = count;
    this.#bars = bars;
  }

  override eq(other: HunkBar): boolean {
    return other === this;
  }

  override toDOM(_view: EditorView): HTMLElement {
    const name = `Hunk ${this.#index + 1} of ${this.#count}`;
    const decide = (verb: Verb) => (): void => this.#bars.decide(verb, this.#hunk.id);
    const accept = button("Accept hunk", { class: "dx-button dx-accept" }, decide("accept"));
    const reject = button("Reject hunk", { class: "dx-button dx-reject" }, decide("reject"));
    const state = h("span", { class: "dx-hunk-state" });
    bars += 1;
    const overlap = this.#hunk.overlaps ? h("span", { class: "dx-overlap", id: `dx-overlap-${bars}` }, OVERLAPS) : null;
    const element = h(
      "div",
      { class: "dx-hunk", role: "group", "aria-label": name, "aria-describedby": overlap?.id, tabindex: -1 },
      h("span", { class: "dx-hunk-name" }, name),
      overlap,
      h("span", { class: "dx-hunk-lines" }, linesWords(this.#hunk)),
      state,
      accept,
      reject,
    );
    const choose = (): void => this.#bars.choose(this.#index);
    element.addEventListener("focusin", () => {
      this.#bars.focused = element;
      choose();
    });
    element.addEventListener("focusout", (event) => {
      if (event.relatedTarget !== null) this.#bars.focused = null;
    });
    element.addEventListener("mousedown", choose);
    const refresh = (): void => {
      const verb = this.#bars.waiting.get(this.#hunk.id) ?? this.#bars.waiting.get("");
      setText(state, verb === undefined ? "" : UNDER_WAY[verb]);
      setAttribute(element, "aria-busy", verb === undefined ? null : "true");
      setAttribute(element, "data-current", this.#bars.current === this.#index);
      setEnabled(accept, verb === undefined);
      setEnabled(reject, verb === undefined);
    };
    refresh();
    this.#bars.elements.set(this.#index, { element, refresh });
    return element;
  }

  override destroy(element: HTMLElement): void {
    if (this.#bars.focused === element) this.#bars.lost();
    if (this.#bars.elements.get(this.#index)?.element === element) this.#bars.elements.delete(this.#index);
  }

  override get estimatedHeight(): number {
    return 30;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}

/** What stands level with a bar on the other side. */
export class OtherSide extends WidgetType {
  readonly #hunk: Hunk;

  constructor(hunk: Hunk) {
    super();
    this.#hunk = hunk;
  }

  override eq(other: OtherSide): boolean {
    return other === this;
  }

  override toDOM(): HTMLElement {
    return h("div", { class: "dx-hunk dx-hunk-other", "aria-hidden": "true" }, linesWords(this.#hunk), this.#hunk.overlaps && h("span", { class: "dx-overlap" }, OVERLAPS));
  }

  override get estimatedHeight(): number {
    return 30;
  }
}

function linesWords(hunk: Hunk): string {
  const [removed, added] = [hunk.old[1] - hunk.old[0], hunk.new[1] - hunk.new[0]];
  const count = (lines: number): string => counted(lines, "line");
  if (removed === 0) return `adds ${count(added)}`;
  if (added === 0) return `removes ${count(removed)}`;
  if (removed === added) return `changes ${count(removed)}`;
  return `${count(removed)} ${removed === 1 ? "becomes" : "become"} ${digits(added)}`;
}

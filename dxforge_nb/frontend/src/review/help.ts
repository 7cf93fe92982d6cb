// The dialog that shows the keyboard shortcuts.

import { button, h } from "../dom";
import { KEYS } from "./keys";

export interface Help {
  readonly element: HTMLElement;
  readonly isOpen: boolean;
  /** Opens, or closes and gives the focus back. */
  toggle(): void;
}

export function makeHelp(): Help {
  const rows = KEYS.map(([keys, what]) => h("tr", {}, h("th", { scope: "row" }, ...keysOf(keys)), h("td", {}, what)));
  const close = button("Close", {}, () => toggle());
  const box = h(
    "div",
    { class: "dx-help-box", role: "dialog", "aria-modal": "true", "aria-label": "Keyboard shortcuts", tabindex: -1 },
    h("p", { class: "dx-help-title" }, "Keyboard shortcuts"),
    h("table", {}, h("tbody", {}, ...rows)),
    h("p", { class: "dx-quiet" }, "They work while the focus is in this panel, and not while you type in it: Enter leaves the filter for the list, Esc the editor."),
    close,
  );
  const element = h("div", { class: "dx-help", hidden: true }, box);
  let before: HTMLElement | null = null;

  const toggle = (): void => {
    element.hidden = !element.hidden;
    if (!element.hidden) {
      before = document.activeElement instanceof HTMLElement ? document.activeElement : null;
      close.focus({ preventScroll: true });
    } else {
      before?.focus({ preventScroll: true });
    }
  };
  element.addEventListener("click", (event) => {
    if (event.target === element) toggle();
  });
  element.addEventListener("keydown", (event) => {
    // There is one thing to focus.
    if (event.key === "Tab") event.preventDefault();
  });
  return {
    element,
    get isOpen() {
      return !element.hidden;
    },
    toggle,
  };
}

function keysOf(keys: string): (HTMLElement | string)[] {
  return keys.split(" or ").flatMap((key, index) => [...(index > 0 ? [" or "] : []), h("kbd", {}, key)]);
}

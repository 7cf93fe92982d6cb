// Elements and text nodes. Data never becomes markup here: there is no way to set HTML.

export type Child = Node | string | null | undefined | false;
export type Attributes = Record<string, string | number | boolean | null | undefined>;

/** An element with attributes (`true` is an empty one; `false`, null and undefined are none) and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled<T extends Element>(element: T, attributes: Attributes, children: Child[]): T {
  for (const [name, value] of Object.entries(attributes)) {
    setAttribute(element, name, value);
  }
  for (const child of children) {
    if (child !== null && child !== undefined && child !== false) {
      element.append(child);
    }
  }
  return element;
}

/** Sets, changes or removes an attribute; touches the page only where something differs. */
export function setAttribute(element: Element, name: string, value: Attributes[string]): void {
  if (/^(on|src|href|style)/i.test(name)) {
    throw new Error(`attribute ${name} could run or load something`);
  }
  if (value === null || value === undefined || value === false) {
    if (element.hasAttribute(name)) {
      element.removeAttribute(name);
    }
    return;
  }
  const text = value === true ? "" : String(value);
  if (element.getAttribute(name) !== text) {
    element.setAttribute(name, text);
  }
}

/** Makes `text` the element's only content. A text that stays is not touched, so that a selection in it survives. */
export function setText(element: Element, text: string): void {
  const only = element.firstChild;
  if (only !== null && only.nextSibling === null && only.nodeType === Node.TEXT_NODE) {
    if (only.nodeValue !== text) {
      only.nodeValue = text;
    }
  } else if (text !== "" || only !== null) {
    element.replaceChildren(...(text === "" ? [] : [text]));
  }
}

/** Shows or hides without removing. */
export function setShown(element: HTMLElement, shown: boolean): void {
  if (element.hidden === shown) {
    element.hidden = !shown;
  }
}

export interface Row<T> {
  readonly element: HTMLElement;
  update(item: T): void;
}

/**
 * Keeps one row per item in `parent`, by key: rows are made, updated in place, moved and removed, never made anew, so
 * that focus, selection and open folds survive. `parent` holds nothing else. Returns what updates it.
 */
export function keyedRows<T>(
  parent: HTMLElement,
  key: (item: T) => string,
  make: (item: T) => Row<T>,
): (items: readonly T[]) => void {
  const rows = new Map<string, Row<T>>();
  return (items) => {
    const keys = new Set(items.map(key));
    for (const [name, row] of rows) {
      if (!keys.has(name)) {
        row.element.remove();
        rows.delete(name);
      }
    }
    let next = parent.firstElementChild;
    for (const item of items) {
      const name = key(item);
      let row = rows.get(name);
      if (row === undefined) {
        row = make(item);
        rows.set(name, row);
      }
      row.update(item);
      if (row.element === next) {
        next = next.nextElementSibling;
      } else {
        parent.insertBefore(row.element, next);
      }
    }
  };
}

/** A button. `label` is its accessible name and tooltip where its content is a symbol. */
export function button(content: Child, options: { label?: string; class?: string }, press: () => void): HTMLButtonElement {
  const element = h(
    "button",
    { type: "button", class: options.class ?? "dx-button", "aria-label": options.label, title: options.label },
    content,
  );
  element.addEventListener("click", () => {
    if (element.getAttribute("aria-disabled") !== "true") {
      press();
    }
  });
  return element;
}

/** Switches a button off, without taking the focus away from it. */
export function setEnabled(element: HTMLButtonElement, enabled: boolean): void {
  setAttribute(element, "aria-disabled", enabled ? null : "true");
}

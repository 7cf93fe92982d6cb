// A page for the tests: what is in sight is what they say.

import { vi } from "vitest";

const observers = new Map<Element, (seen: boolean) => void>();

class Observer {
  readonly #call: (entries: { isIntersecting: boolean }[]) => void;
  readonly #elements: Element[] = [];

  constructor(call: (entries: { isIntersecting: boolean }[]) => void) {
    this.#call = call;
  }

  observe(element: Element): void {
    this.#elements.push(element);
    observers.set(element, (seen) => this.#call([{ isIntersecting: seen }]));
  }

  disconnect(): void {
    for (const element of this.#elements) {
      observers.delete(element);
    }
  }
}

export function freshPage(): void {
  document.body.replaceChildren();
  observers.clear();
  vi.stubGlobal("IntersectionObserver", Observer);
  setVisible(true);
}

/** Brings an element into sight, or out of it. */
export function setSeen(element: Element, seen: boolean): void {
  observers.get(element)?.(seen);
}

export function observed(): number {
  return observers.size;
}

/** Brings the whole page to the front, or behind another. */
export function setVisible(visible: boolean): void {
  Object.defineProperty(document, "visibilityState", { configurable: true, value: visible ? "visible" : "hidden" });
  document.dispatchEvent(new Event("visibilitychange"));
}

export const HOSTILE = [
  "<img src=x onerror=alert(1)>",
  "<script>alert(1)</script>",
  "\"><svg onload=alert(1)>",
  "a\u202etxt.exe",
  "\x1b[31mred\x1b[0m",
  "line\nbreak\ttab\0nul",
  "javascript:alert(1)",
  "{{constructor.constructor('alert(1)')()}}",
];

// States as shape and colour (the word stands beside them), and the pictures on buttons.

import { svg } from "./dom";

type Colour = "green" | "yellow" | "red" | "none";
type Form = "disc" | "ring" | "half" | "eye" | "square" | "triangle";

const STATES: Record<string, readonly [Form, Colour]> = {
  // Tools.
  stopped: ["ring", "none"],
  starting: ["half", "yellow"],
  running: ["eye", "green"],
  healthy: ["disc", "green"],
  degraded: ["square", "red"],
  // Tasks; "running" looks the same.
  waiting: ["ring", "none"],
  done: ["disc", "green"],
  failed: ["square", "red"],
  cancelled: ["ring", "none"],
  // Lights.
  green: ["disc", "green"],
  yellow: ["triangle", "yellow"],
  red: ["square", "red"],
};

const FORMS: Record<Form, string> = {
  disc: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10z",
  ring: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10zm0 1.6a3.4 3.4 0 1 1 0 6.8a3.4 3.4 0 1 1 0-6.8z",
  half: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10zm0 1.6a3.4 3.4 0 0 1 0 6.8z",
  eye: "M6 1a5 5 0 1 0 0 10a5 5 0 1 0 0-10zm0 1.5a3.5 3.5 0 1 1 0 7a3.5 3.5 0 1 1 0-7zm0 1.5a2 2 0 1 0 0 4a2 2 0 1 0 0-4z",
  square: "M1.5 1.5h9v9h-9z",
  triangle: "M6 1.2L11.4 10.8H.6z",
};

const ICONS = {
  start: "M5 3.2v9.6L12.6 8z",
  stop: "M4 4h8v8H4z",
  restart: "M8 2.5V.6L11.8 3.6L8 6.6V4.1a3.9 3.9 0 1 0 3.9 3.9h1.6A5.5 5.5 0 1 1 8 2.5z",
  logs: "M2.5 3.4h11v1.4h-11zm0 3.3h11v1.4h-11zm0 3.3h7.4v1.4H2.5z",
  cancel: "M4.1 3.1L8 7l3.9-3.9l1 1L9 8l3.9 3.9l-1 1L8 9l-3.9 3.9l-1-1L7 8L3.1 4.1z",
  unfold: "M5.6 3.6l1-1L12 8l-5.4 5.4l-1-1L10 8z",
} as const;

export type Icon = keyof typeof ICONS;

/** The shape of a tool's or task's state or of a light; a ring for a state that this page does not know. */
export function shape(state: string): SVGElement {
  const [form, colour] = STATES[state] ?? ["ring", "none"];
  const path = svg("path", { d: FORMS[form], fill: "currentColor", "fill-rule": "evenodd" });
  return svg("svg", { class: `dx-shape dx-${colour}`, viewBox: "0 0 12 12", "aria-hidden": "true" }, path);
}

/** A picture for a button of class `dx-icon`. */
export function icon(name: Icon): SVGElement {
  const path = svg("path", { d: ICONS[name], fill: "currentColor" });
  return svg("svg", { class: `dx-picture dx-picture-${name}`, viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" }, path);
}

// The buttons above a file: one stop for the Tab key, arrow keys between them.

import { button, h, setAttribute, setEnabled, setShown, setText } from "../dom";
import { shown } from "../shown";
import { abilities, entryOf, waitingFor } from "./queries";
import { keepOneStop, stepWithArrows } from "./roving";
import type { Layout, State } from "./state";

export interface Commands {
  decideFile(verb: "accept" | "reject"): void;
  decidePackage(verb: "accept" | "reject"): void;
  decideAll(verb: "accept" | "reject"): void;
  undo(): void;
  edit(): void;
  save(): void;
  cancelEdit(): void;
  layout(layout: Layout): void;
  folded(folded: boolean): void;
  help(): void;
}

export interface Toolbar {
  readonly element: HTMLElement;
  render(state: State, shownLayout: Layout | null): void;
  focus(name: keyof Buttons): void;
}

type Buttons = ReturnType<typeof makeButtons>;

function makeButtons(commands: Commands) {
  const make = (text: string, kind: string, press: () => void): HTMLButtonElement =>
    button(text, { class: `dx-button ${kind}`.trim() }, press);
  return {
    accept: make("Accept file", "", () => commands.decideFile("accept")),
    reject: make("Reject file", "", () => commands.decideFile("reject")),
    edit: make("Edit proposal", "", () => commands.edit()),
    save: make("Save as resolution", "dx-primary", () => commands.save()),
    cancel: make("Cancel edit", "", () => commands.cancelEdit()),
    undo: make("Undo", "", () => commands.undo()),
    acceptPackage: make("Accept package", "dx-plain", () => commands.decidePackage("accept")),
    rejectPackage: make("Reject package", "dx-plain", () => commands.decidePackage("reject")),
    acceptAll: make("Accept all", "dx-plain", () => commands.decideAll("accept")),
    rejectAll: make("Reject all", "dx-plain", () => commands.decideAll("reject")),
    unified: make("Unified", "dx-segment", () => commands.layout("unified")),
    split: make("Side by side", "dx-segment", () => commands.layout("split")),
    lines: make("All lines", "dx-plain", () => undefined),
    help: button("?", { class: "dx-button dx-plain", label: "Keyboard shortcuts" }, () => commands.help()),
  };
}

export function makeToolbar(commands: Commands): Toolbar {
  const all = makeButtons(commands);
  const group = (area: string, ...children: HTMLElement[]): HTMLElement => h("span", { class: `dx-group dx-${area}` }, ...children);
  const element = h(
    "div",
    { class: "dx-toolbar", role: "toolbar", "aria-label": "File" },
    group("this", all.accept, all.reject, all.save, all.cancel, all.edit, all.undo),
    group("many", all.acceptPackage, all.rejectPackage, all.acceptAll, all.rejectAll),
    group("view", h("span", { class: "dx-segments" }, all.unified, all.split), all.lines, all.help),
  );
  let folded = true;
  all.lines.addEventListener("click", () => commands.folded(!folded));
  stepWithArrows(element);
  element.addEventListener("focusin", () => keepOneStop(element));
  return {
    element,
    render(state, shownLayout) {
      folded = state.folded;
      const can = abilities(state);
      const entry = entryOf(state, state.selected);
      const waiting = entry === null ? undefined : waitingFor(state, entry.path).get("");
      for (const [name, on] of [
        ["accept", can.file],
        ["reject", can.file],
        ["edit", can.edit],
        ["save", can.save],
        ["undo", can.undo],
        ["acceptPackage", can.package],
        ["rejectPackage", can.package],
        ["acceptAll", can.all],
        ["rejectAll", can.all],
      ] as const) {
        setEnabled(all[name], on);
      }
      // Where both sides changed the same lines, taking one whole is the last resort.
      const combines = can.edit && state.opened?.sides.proposal !== null && state.opened?.sides.local !== null;
      const main = entry?.light !== "red" ? all.accept : combines ? all.edit : null;
      for (const each of [all.accept, all.edit]) each.classList.toggle("dx-primary", each === main);
      setAttribute(all.accept, "aria-busy", waiting === "accept" ? "true" : null);
      setAttribute(all.reject, "aria-busy", waiting === "reject" ? "true" : null);
      setAttribute(all.save, "aria-busy", waiting === "resolve" ? "true" : null);
      const some = state.files.length > 0 || state.selected !== null;
      for (const each of Object.values(all)) setShown(each, some || each === all.undo);
      for (const name of ["accept", "reject", "edit"] as const) setShown(all[name], some && !state.editing);
      for (const name of ["save", "cancel"] as const) setShown(all[name], state.editing);
      setAttribute(all.unified, "aria-pressed", (shownLayout ?? state.layout) === "unified" ? "true" : "false");
      setAttribute(all.split, "aria-pressed", (shownLayout ?? state.layout) === "split" ? "true" : "false");
      setAttribute(all.lines, "aria-pressed", state.folded ? "false" : "true");
      setAttribute(all.undo, "title", state.undo === null ? "No decision to undo" : `Undo: ${shown(state.undo.summary)}`);
      const many = state.filter.text.trim() !== "" || state.filter.lights.size > 0 ? " that the filter shows" : "";
      for (const name of ["acceptPackage", "rejectPackage"] as const) {
        setAttribute(all[name], "title", entry === null ? null : `All files of ${shown(entry.package)}${many}`);
      }
      const every = state.shown.length > 0 ? `All files${many}` : "No file matches the filter";
      for (const name of ["acceptAll", "rejectAll"] as const) setAttribute(all[name], "title", every);
      setText(all.lines, "All lines");
      keepOneStop(element);
    },
    focus: (name) => all[name].focus({ preventScroll: true }),
  };
}

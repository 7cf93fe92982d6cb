// What the user can do: from the state and a click or key to the action, or to none where it makes no sense now.

import type { Light, Opened, Verb } from "./model";
import { abilities, entryOf, hunkCount, isEdited, seen } from "./queries";
import type { Action, State } from "./state";
import type { Toolbar } from "./toolbar";

export interface Stage {
  readonly toolbar: Toolbar;
  state(): State;
  do(action: Action): void;
  /** Takes what was typed from the editor. */
  flush(): void;
  /** The text that an edit begins with; undefined while there is no editor. */
  editStart(opened: Opened): string | undefined;
  focusText(): void;
  focusSearch(): void;
}

export class Deeds {
  readonly #stage: Stage;

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  select(path: string): void {
    this.#stage.flush();
    this.#stage.do({ type: "select", path });
  }

  step(by: number): void {
    const { shown: entries, selected } = this.#stage.state();
    const at = entries.findIndex((entry) => entry.path === selected);
    const to = at < 0 ? 0 : Math.max(0, Math.min(entries.length - 1, at + by));
    const path = entries[to]?.path;
    if (path !== undefined) this.select(path);
  }

  stepHunk(by: number): void {
    const count = hunkCount(this.#stage.state());
    if (this.#stage.state().editing || count === 0) return;
    if (this.#stage.state().tab !== "proposal") this.#stage.do({ type: "tab", tab: "proposal" });
    const index = Math.max(0, Math.min(count - 1, this.#stage.state().hunk + by));
    this.#stage.do({ type: "hunk", index });
    this.#stage.focusText();
  }

  decideHunk(verb: Verb, hunk?: string): void {
    const { opened, hunk: current } = this.#stage.state();
    const entry = entryOf(this.#stage.state(), this.#stage.state().selected);
    if (entry === null || opened?.entry.path !== entry.path) return;
    const id = hunk ?? opened.hunks[current]?.id;
    if (id === undefined) {
      const key = verb === "accept" ? "Shift+A accepts" : "Shift+R rejects";
      this.#stage.do({ type: "say", text: `This file has no hunks: ${key} the whole file` });
    } else if (this.#stage.state().tab === "proposal" && !this.#stage.state().editing) {
      this.#stage.do({ type: "job", job: { op: "decide", verb, files: [seen(this.#stage.state(), entry)], hunks: [id] } });
    }
  }

  decideFile(verb: Verb): void {
    const entry = entryOf(this.#stage.state(), this.#stage.state().selected);
    if (entry === null) return;
    if (!abilities(this.#stage.state()).file) {
      if (this.#stage.state().editing) this.#stage.do({ type: "say", text: "Save or cancel your edit first" });
      return;
    }
    this.#stage.do({ type: "job", job: { op: "decide", verb, files: [seen(this.#stage.state(), entry)] } });
  }

  decideMany(verb: Verb, scope: "package" | "all"): void {
    this.#stage.flush();
    const chosen = entryOf(this.#stage.state(), this.#stage.state().selected);
    const entries = this.#stage.state().shown.filter((entry) => scope === "all" || entry.package === chosen?.package);
    const files = entries.map(({ path, version }) => ({ path, version }));
    const drafts = files.some((file) => isEdited(this.#stage.state().drafts.get(file.path)));
    if (scope === "all" || drafts) this.#stage.do({ type: "ask", question: { kind: "many", verb, scope, files } });
    else this.#stage.do({ type: "job", job: { op: "decide", verb, files } });
  }

  answer(yes: boolean): void {
    const { question } = this.#stage.state();
    if (question === null) return;
    if (!yes) {
      this.#stage.do({ type: "ask", question: null });
      this.#stage.toolbar.focus(question.kind === "discard" ? "cancel" : question.verb === "accept" ? "acceptAll" : "rejectAll");
    } else if (question.kind === "discard") {
      this.#stage.do({ type: "drop-draft", path: question.path });
      this.#stage.toolbar.focus("edit");
    } else {
      this.#stage.do({ type: "job", job: { op: "decide", verb: question.verb, files: question.files } });
    }
  }

  undo(): void {
    const { undo } = this.#stage.state();
    if (undo === null || !abilities(this.#stage.state()).undo) return;
    this.#stage.do({ type: "job", job: { op: "undo", files: [], undo } });
  }

  edit(): void {
    const { opened } = this.#stage.state();
    const start = opened === null ? undefined : this.#stage.editStart(opened);
    if (start === undefined || !abilities(this.#stage.state()).edit) return;
    this.#stage.do({ type: "edit", start });
    this.#stage.focusText();
  }

  save(): void {
    this.#stage.flush();
    const { selected, drafts } = this.#stage.state();
    const draft = selected === null ? undefined : drafts.get(selected);
    if (selected === null || draft === undefined || !abilities(this.#stage.state()).save) return;
    const files = [{ path: selected, version: draft.from.entry.version }];
    this.#stage.do({ type: "job", job: { op: "resolve", files, content: draft.content } });
  }

  cancelEdit(): void {
    this.#stage.flush();
    const path = this.#stage.state().selected;
    if (path === null) return;
    if (isEdited(this.#stage.state().drafts.get(path))) {
      this.#stage.do({ type: "ask", question: { kind: "discard", path } });
    } else {
      this.#stage.do({ type: "drop-draft", path });
      this.#stage.toolbar.focus("edit");
    }
  }

  toggleLight(light: Light): void {
    const lights = new Set(this.#stage.state().filter.lights);
    if (!lights.delete(light)) lights.add(light);
    this.filter({ ...this.#stage.state().filter, lights });
  }

  clearFilter(): void {
    this.filter({ text: "", lights: new Set() });
    this.#stage.focusSearch();
  }

  filter(filter: State["filter"]): void {
    this.#stage.flush();
    this.#stage.do({ type: "filter", filter });
    const { shown: entries, selected } = this.#stage.state();
    const first = entries[0];
    if (first !== undefined && !entries.some((entry) => entry.path === selected)) this.select(first.path);
  }
}

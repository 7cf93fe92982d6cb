// The review panel: what happens becomes an action, each state is drawn, and what a state asks for is done.

import { loadAsset } from "../assets";
import type { Channel } from "../channel";
import { button, h, setAttribute, setShown, setText } from "../dom";
import type { Frame } from "../frame";
import { RequestError } from "../requests";
import { shown } from "../shown";
import { Deeds } from "./deeds";
import { makeDetail } from "./detail";
import { DraftStore } from "./drafts";
import { makeHelp } from "./help";
import { type Command, commandOf, type Place } from "./keys";
import { makeList } from "./list";
import type { Delta, Full, Light, Opened, Problem } from "./model";
import { lightsOf, summaryWords, toOpen, toSend } from "./queries";
import type { EditorModule } from "./spec";
import { type Action, type FileRef, type Job, reduce, START, type State } from "./state";
import { makeToolbar } from "./toolbar";
import { LIGHTS } from "./words";

/** Fills the frame with the review panel, until `signal`. */
export function mountPanel(frame: Frame, channel: Channel, signal: AbortSignal): void {
  new Panel(frame, channel, signal);
}

/** An edit's text is taken from the editor so long after the last key. */
const TYPED_AFTER_MS = 250;

class Panel {
  readonly #frame: Frame;
  readonly #channel: Channel;
  readonly #signal: AbortSignal;
  readonly #search = h("input", { type: "search", class: "dx-search", "aria-label": "Filter files", placeholder: "Filter files", spellcheck: "false" });
  readonly #lights: Readonly<Record<Light, HTMLButtonElement>>;
  readonly #help = makeHelp();
  readonly #toolbar = makeToolbar({
    decideFile: (verb) => this.#deeds.decideFile(verb),
    decidePackage: (verb) => this.#deeds.decideMany(verb, "package"),
    decideAll: (verb) => this.#deeds.decideMany(verb, "all"),
    undo: () => this.#deeds.undo(),
    edit: () => this.#deeds.edit(),
    save: () => this.#deeds.save(),
    cancelEdit: () => this.#deeds.cancelEdit(),
    layout: (layout) => this.#do({ type: "layout", layout }),
    folded: (folded) => this.#do({ type: "folded", folded }),
    help: () => this.#help.toggle(),
  });
  readonly #deeds: Deeds = new Deeds({
    toolbar: this.#toolbar,
    state: () => this.#state,
    do: (action) => this.#do(action),
    flush: () => this.#flush(),
    editStart: (opened) => (typeof this.#module === "string" ? undefined : this.#module?.editStart(opened)),
    focusText: () => this.#detail.focus(this.#state),
    focusSearch: () => this.#search.focus(),
  });
  readonly #commands: Readonly<Record<Exclude<Command, "escape">, () => void>> = {
    "next-file": () => this.#deeds.step(1),
    "previous-file": () => this.#deeds.step(-1),
    "next-hunk": () => this.#deeds.stepHunk(1),
    "previous-hunk": () => this.#deeds.stepHunk(-1),
    "accept-hunk": () => this.#deeds.decideHunk("accept"),
    "reject-hunk": () => this.#deeds.decideHunk("reject"),
    "accept-file": () => this.#deeds.decideFile("accept"),
    "reject-file": () => this.#deeds.decideFile("reject"),
    undo: () => this.#deeds.undo(),
    edit: () => this.#deeds.edit(),
    search: () => this.#search.focus(),
    help: () => this.#help.toggle(),
  };
  readonly #list;
  readonly #detail = makeDetail(this.#toolbar, {
    decide: (verb, hunk) => this.#deeds.decideHunk(verb, hunk),
    choose: (index) => index !== this.#state.hunk && this.#do({ type: "hunk", index }),
    typed: () => this.#typedSoon(),
    tab: (tab) => this.#do({ type: "tab", tab }),
    answer: (yes) => this.#deeds.answer(yes),
    keepDraft: () => this.#do({ type: "keep-draft" }),
    dropDraft: () => this.#state.selected !== null && this.#do({ type: "drop-draft", path: this.#state.selected }),
  });
  readonly #spoken = h("p", { class: "dx-said", role: "log" });
  readonly #advice = h("p", { "aria-live": "polite" });
  readonly #advised = h(
    "div",
    { class: "dx-notice dx-advice", hidden: true },
    this.#advice,
    button("×", { class: "dx-icon", label: "Close this advice" }, () => this.#do({ type: "heeded" })),
  );
  readonly #empty = h("p", { class: "dx-empty" });
  readonly #none = h(
    "div",
    { class: "dx-none", hidden: true },
    h("p", { role: "status" }, "No file matches the filter."),
    button("Show all", {}, () => this.#deeds.clearFilter()),
  );
  readonly #store = new DraftStore(() => !this.#signal.aborted && this.#channel.link.state !== "disconnected");
  readonly #main: HTMLElement;
  #state: State = START;
  #module: EditorModule | string | null = null;
  #drawing = false;
  #again = false;
  #typing: ReturnType<typeof setTimeout> | undefined;
  /** Whether the focus was in the panel when something was last drawn or focused. */
  #hadFocus = false;

  constructor(frame: Frame, channel: Channel, signal: AbortSignal) {
    this.#frame = frame;
    this.#channel = channel;
    this.#signal = signal;
    this.#list = makeList((path) => this.#deeds.select(path), signal);
    const toggle = (light: Light): HTMLButtonElement =>
      button(LIGHTS[light].word, { class: "dx-button dx-toggle", label: LIGHTS[light].word }, () => this.#deeds.toggleLight(light));
    this.#lights = { yellow: toggle("yellow"), red: toggle("red") };
    for (const light of ["yellow", "red"] as const) setAttribute(this.#lights[light], "data-light", light);
    const lights = h("div", { class: "dx-lights", role: "group", "aria-label": "Lights" }, this.#lights.yellow, this.#lights.red);
    const filter = h("div", { class: "dx-filter" }, this.#search, lights);
    // The list comes first for the Tab key, so that the keys work at once; the style sheet puts the filter above it.
    const side = h("div", { class: "dx-side" }, this.#list.element, filter, this.#none);
    this.#main = h("div", { class: "dx-review" }, side, this.#detail.element);
    const nothing = h("div", { class: "dx-nothing" }, this.#empty);
    frame.body.append(this.#advised, this.#main, nothing, this.#spoken, this.#help.element);
    this.#listen();
    channel.onState<Full>((full) => {
      this.#heard({ type: "full", full, project: full.project });
      this.#restore(full.place);
    }, signal);
    channel.onPush<Delta>("review", (delta) => this.#heard({ type: "push", delta }), signal);
    signal.addEventListener("abort", () => {
      this.#store.keep(this.#withTyped().drafts);
      clearTimeout(this.#typing);
      this.#detail.destroy();
    });
    this.#draw();
  }

  // ---- unsaved edits

  #restore(place: string): void {
    const drafts = this.#store.open(place);
    if (drafts.size > 0) this.#do({ type: "restore", drafts });
  }

  /** Closing the tab loses what is not saved; reloading the page does not. */
  #leaving(event: Event): void {
    this.#flush();
    if (this.#store.holds) event.preventDefault();
  }

  // ---- state

  #do(action: Action): void {
    if (this.#signal.aborted) return;
    this.#state = reduce(this.#state, action);
    this.#draw();
  }

  /** News from the kernel, which must not find an edit that lags behind what was typed. */
  #heard(action: Action): void {
    this.#flush();
    this.#do(action);
  }

  /** Drawing may move the focus, and so lead to actions: those are drawn after it, not within it. */
  #draw(): void {
    this.#again = true;
    if (this.#drawing) return;
    this.#drawing = true;
    try {
      while (this.#again) {
        this.#again = false;
        this.#drawOnce();
      }
    } finally {
      this.#drawing = false;
    }
    this.#send();
  }

  #drawOnce(): void {
    const state = this.#state;
    this.#hadFocus ||= this.#frame.root.contains(document.activeElement);
    this.#drawFrame(state);
    this.#store.keep(state.drafts);
    const counts = lightsOf(state.files);
    for (const light of ["yellow", "red"] as const) {
      setAttribute(this.#lights[light], "data-count", counts[light].toLocaleString("en"));
      setAttribute(this.#lights[light], "aria-pressed", state.filter.lights.has(light) ? "true" : "false");
    }
    if (this.#search.value !== state.filter.text) this.#search.value = state.filter.text;
    this.#list.render(state);
    this.#detail.render(state, this.#module);
    this.#toolbar.render(state, this.#detail.layout);
    const none = state.files.length === 0 && state.selected === null;
    setText(this.#empty, this.#emptyWords(state));
    setShown(this.#none, !none && state.ready && state.shown.length === 0);
    setAttribute(this.#main, "data-none", none);
    this.#keepFocus();
  }

  #emptyWords(state: State): string {
    if (!state.ready) return "Loading…";
    return state.files.length === 0 && state.selected === null ? "Nothing awaits a decision" : "";
  }

  #shownNotice = 0;
  #shownSaid = 0;

  #drawFrame(state: State): void {
    if (state.ready) this.#frame.summary(summaryWords(state.summary));
    const serial = state.notice?.serial ?? 0;
    if (serial !== this.#shownNotice) {
      this.#shownNotice = serial;
      this.#frame.notice(state.notice === null ? null : errorOf(state.notice));
    }
    if (state.said.serial !== this.#shownSaid) {
      this.#shownSaid = state.said.serial;
      setText(this.#spoken, shown(state.said.text));
      setAttribute(this.#spoken, "title", shown(state.said.text));
    }
    setText(this.#advice, shown(state.advice));
    setShown(this.#advised, state.advice !== "");
  }

  /** The editor draws only what is in sight, so that what had the focus may be gone. */
  #keepFocus(): void {
    if (this.#hadFocus && (document.activeElement === document.body || document.activeElement === null)) {
      this.#list.focus();
      // There is no list where nothing awaits a decision.
      if (document.activeElement === document.body) this.#toolbar.focus("undo");
    }
    this.#hadFocus = this.#frame.root.contains(document.activeElement);
  }

  // ---- the kernel

  #send(): void {
    const file = toOpen(this.#state);
    if (file !== null) {
      this.#loadEditor();
      this.#open(file);
    }
    for (const job of toSend(this.#state)) {
      this.#state = reduce(this.#state, { type: "sent", job: job.id });
      this.#ask(job);
    }
  }

  #open(file: FileRef): void {
    this.#state = reduce(this.#state, { type: "opening", file });
    this.#channel.request<Opened>("open", { path: file.path }).then(
      (opened) => this.#do({ type: "opened", opened }),
      (error: unknown) => {
        const { problem, stale } = refusalOf(error);
        this.#do({ type: "open-failed", file, problem, stale });
      },
    );
  }

  #ask(job: Job): void {
    this.#channel.request<Delta>(job.op, argumentsOf(job)).then(
      (delta) => this.#heard({ type: "done", job: job.id, delta }),
      (error: unknown) => this.#heard({ type: "refused", job: job.id, ...refusalOf(error) }),
    );
  }

  #loading = false;

  #loadEditor(): void {
    if (this.#loading || (this.#module !== null && typeof this.#module !== "string")) return;
    this.#loading = true;
    const sha256 = this.#channel.hello?.editor ?? "";
    loadAsset<EditorModule>(this.#channel, "editor", sha256).then(
      (module) => {
        this.#loading = false;
        this.#module = module;
        this.#draw();
      },
      (error: unknown) => {
        this.#loading = false;
        const what = refusalOf(error).problem.what;
        this.#module = `Differences cannot be shown here (${what}). You can still decide on whole files; the command diff shows them.`;
        this.#draw();
      },
    );
  }

  #typedSoon(): void {
    clearTimeout(this.#typing);
    this.#typing = setTimeout(() => this.#flush(), TYPED_AFTER_MS);
  }

  /** Takes what was typed from the editor. */
  #flush(): void {
    clearTimeout(this.#typing);
    const content = this.#typed();
    if (content !== undefined) this.#do({ type: "typed", content });
  }

  /** What the editor has and the state has not. */
  #typed(): string | undefined {
    const { editing, tab, drafts, selected } = this.#state;
    const content = editing && tab === "proposal" ? this.#detail.editor?.content() : undefined;
    return content === drafts.get(selected ?? "")?.content ? undefined : content;
  }

  #withTyped(): State {
    const content = this.#typed();
    return content === undefined ? this.#state : reduce(this.#state, { type: "typed", content });
  }

  // ---- events

  #listen(): void {
    const { root } = this.#frame;
    this.#search.addEventListener("input", () => this.#deeds.filter({ ...this.#state.filter, text: this.#search.value }));
    this.#search.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === "ArrowDown") {
        event.preventDefault();
        this.#list.focus();
      }
    });
    this.#list.element.addEventListener("keydown", (event) => {
      const { length } = this.#state.shown;
      const by = { Home: -length, End: length, PageDown: 10, PageUp: -10 }[event.key];
      if (by !== undefined) this.#deeds.step(by);
      else if (event.key === "Enter") this.#detail.focus(this.#state);
      else return;
      event.preventDefault();
    });
    root.addEventListener("keydown", (event) => this.#pressed(event));
    // Keys are this panel's own: the notebook's shortcuts listen further out.
    for (const name of ["keydown", "keyup", "keypress"]) root.addEventListener(name, (event) => event.stopPropagation());
    root.addEventListener("focusin", () => (this.#hadFocus = true));
    root.addEventListener("focusout", (event) => {
      if (event.relatedTarget instanceof Node && !root.contains(event.relatedTarget)) this.#hadFocus = false;
    });
    window.addEventListener("beforeunload", (event) => this.#leaving(event), { signal: this.#signal });
    window.addEventListener("pagehide", () => this.#flush(), { signal: this.#signal });
    this.#detail.element.addEventListener("scroll", () => this.#keepFocus(), { capture: true, passive: true });
  }

  #pressed(event: KeyboardEvent): void {
    const isSave = (event.ctrlKey || event.metaKey) && !event.altKey && event.key.toLowerCase() === "s";
    if (isSave && this.#state.editing) {
      event.preventDefault();
      this.#deeds.save();
    }
    if (event.defaultPrevented) return;
    if (this.#help.isOpen && event.key !== "Escape" && event.key !== "?") return;
    const isHelp = event.key === "?" && event.target === this.#search && this.#search.value === "";
    const command = commandOf(event, isHelp ? "elsewhere" : placeOf(event.target));
    if (command === null) return;
    event.preventDefault();
    if (command === "escape") this.#escape(event.target);
    else this.#commands[command]();
  }

  #escape(target: EventTarget | null): void {
    if (this.#help.isOpen) this.#help.toggle();
    else if (this.#state.question !== null) this.#deeds.answer(false);
    else if (this.#state.editing && placeOf(target) === "text" && target !== this.#search) this.#toolbar.focus("save");
    else this.#list.focus();
  }
}

function placeOf(target: EventTarget | null): Place {
  if (!(target instanceof Element)) return "elsewhere";
  if (target.closest("input, textarea, select, [contenteditable=true]") !== null) return "text";
  return target.closest(".dx-tabpanel, [role=tablist], .dx-help") !== null ? "arrows" : "elsewhere";
}

function argumentsOf(job: Job): object {
  const [file] = job.files;
  if (job.op === "undo") return { operation: job.undo?.id };
  if (job.op === "resolve") return { ...file, content: job.content };
  return { what: job.verb, files: job.files, ...(job.hunks === null ? {} : { hunks: job.hunks }) };
}

function refusalOf(error: unknown): { problem: Problem; stale: readonly { path: string; what: string }[] } {
  if (error instanceof RequestError) {
    const { kind, what, where, hint, stale } = error;
    return { problem: { kind, what, where, hint }, stale };
  }
  return { problem: { what: error instanceof Error ? error.message : String(error) }, stale: [] };
}

function errorOf(notice: NonNullable<State["notice"]>): RequestError {
  return new RequestError({ kind: "", where: "", hint: "", ...notice.problem }, [...notice.stale]);
}

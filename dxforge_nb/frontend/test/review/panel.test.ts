import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { openChannel } from "../../src/channel";
import { makeFrame } from "../../src/frame";
import { contentOf, editStart } from "../../src/review/content";
import { mountReview } from "../../src/review/index";
import type { Editor, EditorModule, Events, Spec } from "../../src/review/spec";
import { FakeModel } from "../fake";
import { freshPage } from "../page";
import { type FakeFile, file, ReviewKernel } from "./kernel";

const PATHS = ["src/dx_packages/p/a.py", "src/dx_packages/p/b.py", "src/dx_packages/q/c.py"] as const;
const [A, B, C] = PATHS;

function threeFiles(): FakeFile[] {
  const local = "mine\none\ntwo\nthree\nfour\nfive\n";
  const sides = { base: "one\ntwo\n", local, incoming: "x", proposal: local.replace("one", "ONE").replace("four", "FOUR") };
  return [file(A, sides), file(B, sides), file(C, sides, { light: "red", reason: "your edit and the update overlap" })];
}

/** Stands for the editor's chunk, which needs a real browser. */
class PlainEditor implements Editor {
  static last: PlainEditor;
  readonly layout;
  readonly events: Events;
  readonly spec: Spec;
  text: string;
  waiting: ReadonlyMap<string, string> = new Map();
  current = 0;

  constructor(spec: Spec, events: Events) {
    this.layout = spec.layout;
    [this.spec, this.events, this.text] = [spec, events, spec.text];
    PlainEditor.last = this;
  }

  content(): string {
    return this.text;
  }

  mark(current: number, waiting: ReadonlyMap<string, string>): void {
    [this.current, this.waiting] = [current, waiting];
  }

  reveal(): void {}
  focus(): void {}
  destroy(): void {}

  type(text: string): void {
    this.text = text;
    this.events.typed();
  }
}

let model: FakeModel;
let kernel: ReviewKernel;
let end: AbortController;
let outside: string[];

/** Everything that was asked and answered until now has come to pass. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(300);
}

async function open(files: FakeFile[] = threeFiles()): Promise<void> {
  model = new FakeModel("review");
  kernel = new ReviewKernel(model, files);
  const channel = openChannel(model, "review", end.signal);
  const place = document.createElement("div");
  document.body.append(place);
  const frame = makeFrame(place, "review", channel, end.signal);
  mountReview(frame, channel, end.signal);
  channel.watchWhileVisible(place, end.signal);
  const { setSeen } = await import("../page");
  setSeen(place, true);
  await settle();
}

const one = (selector: string): HTMLElement => {
  const found = document.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`no ${selector}`);
  return found;
};
const named = (name: string): HTMLButtonElement => {
  const found = [...document.querySelectorAll("button")].find((each) => (each.getAttribute("aria-label") ?? each.textContent) === name);
  if (found === undefined) throw new Error(`no button ${name}`);
  return found;
};
const chosen = (): string | null => one('[role="option"][aria-selected="true"]').getAttribute("data-path");
const summary = (): string | null => one('[aria-live="polite"]').textContent;

function press(key: string, options: KeyboardEventInit = {}, target: Element = one('[role="listbox"]')): void {
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...options }));
}

/** The page is loaded again, or the cell run again: the panel is another one, the tab is the same. */
async function reopen(files: FakeFile[] = threeFiles()): Promise<void> {
  end.abort();
  end = new AbortController();
  document.body.replaceChildren();
  await open(files);
}

const leave = (): boolean => window.dispatchEvent(new Event("beforeunload", { cancelable: true }));

beforeEach(() => {
  vi.useFakeTimers();
  freshPage();
  sessionStorage.clear();
  end = new AbortController();
  outside = [];
  document.body.addEventListener("keydown", (event) => outside.push(event.key), { signal: end.signal });
  const module: EditorModule = { contentOf, editStart, mountEditor: (_parent, spec, events) => new PlainEditor(spec, events) };
  Object.assign(globalThis, { __dxforge_assets__: new Map([["editor:dev", Promise.resolve(module)]]) });
});

afterEach(() => {
  end.abort();
  vi.useRealTimers();
});

describe("the panel", () => {
  it("has the names that people and tests find things by", async () => {
    await open();
    expect(one('[role="region"]').getAttribute("aria-label")).toBe("dxforge review");
    expect(one('[role="listbox"]').getAttribute("aria-label")).toBe("Files to decide");
    expect(one('[role="toolbar"]').getAttribute("aria-label")).toBe("File");
    expect(one('[aria-label="Lights"]').getAttribute("role")).toBe("group");
    for (const name of [
      "Accept file", "Reject file", "Accept package", "Reject package", "Accept all", "Reject all", "Undo",
      "Edit proposal", "Unified", "Side by side", "Yellow", "Red", "Proposal", "My edits", "Theirs",
    ]) {
      expect(named(name).hidden, name).toBe(false);
    }
    expect(named("Base").hidden).toBe(true);
    expect(summary()).toBe("0 of 3 files decided, 2 yellow, 1 red left");
  });

  it("shows the first file's proposal with the kernel's hunks", async () => {
    await open();
    expect(chosen()).toBe(A);
    expect(PlainEditor.last.spec.hunks).toHaveLength(2);
    expect(PlainEditor.last.spec.text).toContain("ONE");
  });

  it("offers all three sides of a Red one", async () => {
    await open();
    one(`[data-path="${C}"]`).click();
    await settle();
    for (const [name, text] of [["Local", "mine"], ["Incoming", "x"], ["Base", "one\ntwo"]] as const) {
      named(name).click();
      expect([PlainEditor.last.spec.old, PlainEditor.last.spec.text.startsWith(text)]).toEqual([null, true]);
    }
    named("My edits").click();
    expect([PlainEditor.last.spec.old, PlainEditor.last.spec.text.startsWith("mine")]).toEqual(["one\ntwo\n", true]);
  });

  it("decides by keyboard alone, hunk by hunk and file by file, and undoes", async () => {
    await open();
    press("n");
    press("r");
    await settle();
    expect(kernel.files.get(A)?.rejected.size).toBe(1);
    press("a");
    await settle();
    expect(kernel.files.has(A)).toBe(false);
    expect(chosen()).toBe(B);
    press("A", { shiftKey: true });
    await settle();
    expect([chosen(), kernel.decisions, summary()]).toEqual([C, 3, "2 of 3 files decided, 0 yellow, 1 red left"]);
    press("u");
    await settle();
    expect([kernel.files.has(B), chosen()]).toEqual([true, B]);
    press("u");
    await settle();
    expect([kernel.files.has(A), chosen(), one(".dx-said").textContent]).toEqual([true, A, `Undone: accept ${A}`]);
    press("u");
    await settle();
    expect([kernel.files.get(A)?.rejected.size, named("Undo").title]).toEqual([0, "No decision to undo"]);
    press("u");
    await settle();
    expect(kernel.files.size).toBe(3);
  });

  it("lets no key reach the notebook", async () => {
    await open();
    for (const key of ["j", "a", "Escape", "x", "Enter", "ArrowDown"]) press(key);
    press("a", {}, one('input[type="search"]'));
    expect(outside).toEqual([]);
  });

  it("types letters into the filter, and decides nothing there", async () => {
    await open();
    for (const key of ["a", "r", "A", "u"]) press(key, {}, one("input"));
    await settle();
    expect(kernel.decisions).toBe(0);
  });

  it("does a click once, however often it is made while the kernel is busy, and never loses it", async () => {
    await open();
    kernel.waits = true;
    for (let times = 0; times < 5; times += 1) named("Accept file").click();
    press("A", { shiftKey: true });
    await settle();
    expect(named("Accept file").getAttribute("aria-busy")).toBe("true");
    expect(one(`[data-path="${A}"]`).getAttribute("aria-busy")).toBe("true");
    kernel.go();
    await settle();
    expect([kernel.decisions, kernel.files.has(A)]).toEqual([1, false]);
  });

  it("sends the next hunk's decision after the first one's answer, about the file as it is then", async () => {
    await open();
    kernel.delay = 50;
    press("a");
    press("a");
    await settle();
    await settle();
    expect([kernel.decisions, kernel.files.has(A), document.querySelector('[role="alert"]')?.textContent]).toEqual([2, false, ""]);
  });

  it("says what changed when a decision is refused, and shows the file as it is now", async () => {
    await open();
    kernel.waits = true;
    named("Accept file").click();
    kernel.elsewhere(A, (known) => ({ ...known, sides: { ...known.sides, local: "other\n" } }));
    kernel.go();
    await settle();
    expect(one('[role="alert"]').textContent).toContain("your file changed on disk");
    expect([kernel.decisions, PlainEditor.last.spec.old]).toEqual([0, "other\n"]);
  });

  it("asks once before it decides on all, and only on what the filter shows", async () => {
    await open();
    const search = one("input") as HTMLInputElement;
    search.value = "/p/";
    search.dispatchEvent(new Event("input", { bubbles: true }));
    named("Reject all").click();
    expect(kernel.decisions).toBe(0);
    named("Yes, reject 2 files").click();
    await settle();
    expect([...kernel.files.keys()]).toEqual([C]);
    expect([one(".dx-none").hidden, named("Accept all").title]).toEqual([false, "No file matches the filter"]);
    named("Show all").click();
    expect(one(".dx-none").hidden).toBe(true);
    named("Accept package").click();
    await settle();
    expect(kernel.files.size).toBe(0);
    expect(one(".dx-empty").textContent).toBe("Nothing awaits a decision");
    expect(named("Undo").hidden).toBe(false);
    expect(named("Accept file").hidden).toBe(true);
  });

  it("saves an edit as the resolution", async () => {
    await open();
    named("Edit proposal").click();
    expect(PlainEditor.last.spec.editable).toBe(true);
    PlainEditor.last.type("my own\n");
    named("Save as resolution").click();
    await settle();
    expect(model.last("resolve")).toMatchObject({ path: A, content: "my own\n" });
    expect(chosen()).toBe(B);
  });

  it("keeps an edit through other files and news, even what was typed just now", async () => {
    await open();
    named("Edit proposal").click();
    PlainEditor.last.type("my own\n");
    press("j");
    await settle();
    expect(one(`[data-path="${A}"]`).textContent).toContain("unsaved edit");
    press("k");
    await settle();
    expect([PlainEditor.last.spec.editable, PlainEditor.last.spec.text]).toEqual([true, "my own\n"]);
    PlainEditor.last.type("more\n");
    kernel.elsewhere(A, null);
    await settle();
    expect([PlainEditor.last.content(), PlainEditor.last.spec.editable]).toEqual(["more\n", true]);
    expect(one(".dx-draft").textContent).toContain("decided elsewhere");
  });

  it("has an unsaved edit again after a reload, and until it is saved no later", async () => {
    await open();
    expect(leave()).toBe(true);
    named("Edit proposal").click();
    PlainEditor.last.type("my own\n");
    expect(leave()).toBe(false);
    PlainEditor.last.type("my own, even later\n");
    await reopen();
    expect([PlainEditor.last.spec.editable, PlainEditor.last.content()]).toEqual([true, "my own, even later\n"]);
    expect([one(".dx-said").textContent, one(".dx-draft").hidden]).toEqual([`Your unsaved edit of ${A} is back`, true]);
    named("Save as resolution").click();
    await settle();
    expect(model.last("resolve")).toMatchObject({ path: A, content: "my own, even later\n" });
    expect([sessionStorage.length, leave()]).toEqual([0, true]);
  });

  it("shows that the file of a restored edit has changed, or is decided, and keeps the edit", async () => {
    await open();
    named("Edit proposal").click();
    PlainEditor.last.type("my own\n");
    const [a, ...others] = threeFiles();
    await reopen([{ ...(a as FakeFile), sides: { ...(a as FakeFile).sides, local: "other\n" } }, ...others]);
    expect(PlainEditor.last.content()).toBe("my own\n");
    expect(one(".dx-draft").textContent).toContain("your file on disk changed");
    await reopen(others);
    expect(PlainEditor.last.content()).toBe("my own\n");
    expect(one(".dx-draft").textContent).toContain("decided elsewhere");
    named("Discard my edit").click();
    await settle();
    expect(sessionStorage.length).toBe(0);
    await reopen(others);
    expect([chosen(), PlainEditor.last.spec.editable]).toEqual([B, false]);
  });

  it("leaves an edit to the panel that has it, and takes over what no living one has", async () => {
    await open();
    named("Edit proposal").click();
    PlainEditor.last.type("my own\n");
    await settle();
    const first = end;
    end = new AbortController();
    document.body.replaceChildren();
    await open();
    expect(PlainEditor.last.spec.editable).toBe(false);
    first.abort();
    await reopen();
    expect(PlainEditor.last.content()).toBe("my own\n");
  });

  it("keeps nothing that is too large or was not edited, and survives a storage that is full or garbled", async () => {
    await open();
    named("Edit proposal").click();
    await settle();
    expect(sessionStorage.length).toBe(0);
    PlainEditor.last.type("x".repeat(1_000_001));
    await settle();
    expect([sessionStorage.length, leave()]).toEqual([0, false]);
    named("Cancel edit").click();
    named("Yes, discard my edit").click();
    sessionStorage.setItem(`dxforge.draft:here:${A}`, "{garbled");
    sessionStorage.setItem(`dxforge.draft:here:${B}`, JSON.stringify({ content: "x", start: "y", from: { sides: {}, hunks: [], entry: { path: C } } }));
    await reopen();
    expect([PlainEditor.last.spec.editable, sessionStorage.length]).toEqual([false, 0]);
    vi.spyOn(Object.getPrototypeOf(sessionStorage) as Storage, "setItem").mockImplementation(() => {
      throw new DOMException("full", "QuotaExceededError");
    });
    named("Edit proposal").click();
    PlainEditor.last.type("more\n");
    await settle();
    expect([leave(), kernel.decisions]).toEqual([false, 0]);
  });

  it("says how many hunks overlap the edit, and opens the help from the empty filter", async () => {
    await open();
    one(`[data-path="${C}"]`).click();
    await settle();
    expect(one(".dx-file-notes").textContent).toBe("1 of 2 hunks overlaps your edit: accepting replaces it there.");
    press("?", { shiftKey: true }, one("input"));
    expect(one(".dx-help").hidden).toBe(false);
    press("Escape", {}, one('[role="dialog"]'));
    (one("input") as HTMLInputElement).value = "a";
    press("?", { shiftKey: true }, one("input"));
    expect(one(".dx-help").hidden).toBe(true);
  });

  it("asks before an edit is thrown away", async () => {
    await open();
    named("Edit proposal").click();
    PlainEditor.last.type("my own\n");
    named("Cancel edit").click();
    expect(PlainEditor.last.spec.editable).toBe(true);
    named("Yes, discard my edit").click();
    await settle();
    expect(PlainEditor.last.spec.editable).toBe(false);
  });

  it("shows its keys on ?, and gives the focus back", async () => {
    await open();
    one('[role="listbox"]').focus();
    press("?", { shiftKey: true });
    expect(one('[role="dialog"]').getAttribute("aria-label")).toBe("Keyboard shortcuts");
    expect(one(".dx-help").hidden).toBe(false);
    press("Escape", {}, one('[role="dialog"]'));
    expect([one(".dx-help").hidden, document.activeElement === one('[role="listbox"]')]).toEqual([true, true]);
  });

  it("says why differences cannot be shown where the editor cannot be had", async () => {
    Object.assign(globalThis, { __dxforge_assets__: new Map([["editor:dev", Promise.reject(new Error("blocked by the host"))]]) });
    await open();
    expect(one(".dx-card").textContent).toContain("blocked by the host");
    named("Accept file").click();
    await settle();
    expect(kernel.decisions).toBe(1);
  });
});

describe("names and reasons of strangers", () => {
  const NAMES = [
    "<img src=x onerror=alert(1)>.py", "</div><script>alert(1)</script>", "a\u202egnp.exe", "{{constructor}}", "__proto__",
    "javascript:alert(1)", "\"onclick=\"alert(1)", "new\nline", "constructor", "\u0000",
  ];

  it("are text, and nothing else", async () => {
    const files = NAMES.map((name) => file(`src/dx_packages/p/${name}`, { local: "a\n", proposal: `${name}\n` }, { reason: name, package: name, broken: name, set_aside: name }));
    await open(files);
    let seen = "";
    for (const name of NAMES) {
      await settle();
      seen += one(".dxforge-panel").textContent;
      press("j");
      expect(one(".dxforge-panel").querySelector("script, img, [onclick], [onerror], iframe"), name).toBeNull();
    }
    expect(document.querySelectorAll('[role="option"]').length).toBeGreaterThan(0);
    expect(seen).not.toContain("\u202e");
    for (const name of ["a\\u202egnp.exe", "new\\x0aline", "__proto__", "<img src=x onerror=alert(1)>.py"]) expect(seen).toContain(name);
  });
});

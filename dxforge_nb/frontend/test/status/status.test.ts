import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { openChannel } from "../../src/channel";
import { makeFrame } from "../../src/frame";
import type { Package, Status, Task, Tool } from "../../src/protocol";
import { mountStatus, summaryOf } from "../../src/status/index";
import { FakeModel } from "../fake";
import { freshPage, HOSTILE, setSeen } from "../page";

const START = Date.UTC(2026, 10, 23, 12);

const TOOL: Tool = {
  name: "web", state: "healthy", pid: 812, started: START / 1000 - 30, cpu_percent: 1.25, memory_bytes: 48 * 2 ** 20,
  restarts: 0, health: "GET /health", detail: "", last_lines: ["one", "two"], owner: "here",
};
const TASK: Task = {
  id: 7, kind: "PrefetchPackage", label: "Prefetch humanize", state: "running", done: 3, total: 4, detail: "wheel",
  error: "", retry_in_s: null, can_retry: false, can_cancel: true,
};
const PACKAGE: Package = { name: "humanize", version: "4.9.0", source: "pypi", edited: 2, pending: 1, red: 0, leaving: false };
const STATUS: Status = {
  project: "demo", tools: [TOOL], tasks: [TASK], packages: [PACKAGE], pending: { yellow: 1, red: 0 },
  snapshot: { id: "abcdef0123456789", time: "2026-11-23T11:55:00Z", label: "before upgrade" }, sync: null,
};

let end: AbortController;
let model: FakeModel;
let seq: number;

beforeEach(async () => {
  vi.useFakeTimers({ now: START });
  freshPage();
  end = new AbortController();
  model = new FakeModel("status");
  seq = 0;
  const element = document.createElement("div");
  document.body.append(element);
  const channel = openChannel(model, "status", end.signal);
  mountStatus(makeFrame(element, "status", channel, end.signal), channel, end.signal);
  channel.watchWhileVisible(element, end.signal);
  setSeen(element, true);
  model.answer(model.last("hello"), { kernel: "k", project: "demo", program: "%dx", editor: "", seq: 0, state: STATUS });
  await vi.advanceTimersByTimeAsync(0);
});

afterEach(() => {
  end.abort();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function push(change: Partial<Status>): void {
  seq += 1;
  model.tell({ push: "status", seq, state: { ...STATUS, ...change } });
}

const all = (selector: string): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(selector)];
const one = (selector: string): HTMLElement => {
  const found = all(selector);
  expect(found).toHaveLength(1);
  return found[0] as HTMLElement;
};
const named = (name: string): HTMLElement => one(`[aria-label="${name}"]`);
const cells = (table: string, row = 0): (string | null)[] =>
  [...(all(`.dxs-${table} .dxs-group .dxs-row`)[row]?.children ?? [])].map((cell) => cell.textContent);

describe("what is shown", () => {
  it("of a tool", () => {
    expect(cells("tools").slice(0, 8)).toEqual(["web", "Healthy", "812", "30 s", "1.3%", "48 MiB", "", "GET /health"]);
    expect(one('.dxs-tools [data-state="healthy"] svg').getAttribute("class")).toContain("dx-green");
  });

  it("of a tool that does not run, and of one that is ill", () => {
    const stopped = { ...TOOL, name: "docs", state: "stopped", pid: null, started: null, cpu_percent: null, memory_bytes: null };
    const ill: Tool = { ...TOOL, name: "queue", state: "degraded", restarts: 4, detail: "refused", owner: "elsewhere" };
    push({ tools: [{ ...stopped, health: "" }, ill] });
    expect(cells("tools", 0).slice(0, 8)).toEqual(["docs", "Stopped", "", "", "", "", "", ""]);
    expect(cells("tools", 1).slice(6, 8)).toEqual(["4", "refused · run by another process"]);
  });

  it("of a task: how far it is", () => {
    const bar = one('[role="progressbar"]');
    expect(bar.getAttribute("aria-label")).toBe("Prefetch humanize");
    expect([bar.getAttribute("aria-valuenow"), bar.getAttribute("aria-valuemax")]).toEqual(["3", "4"]);
    expect(cells("tasks").slice(0, 3)).toEqual(["Prefetch humanize", "Running", "3 of 4 · wheel"]);
    push({ tasks: [{ ...TASK, total: null }] });
    expect(bar.hasAttribute("aria-valuenow")).toBe(false);
    expect(bar.dataset).toHaveProperty("unknown");
  });

  it("of a task that waits: when it is tried again, counted here", async () => {
    push({ tasks: [{ ...TASK, state: "waiting", retry_in_s: 12, error: "no answer", can_retry: true }] });
    expect(cells("tasks")[2]).toBe("again in 12 s · no answer");
    await vi.advanceTimersByTimeAsync(2_000);
    expect(cells("tasks")[2]).toBe("again in 10 s · no answer");
    expect(one('[role="progressbar"]').hidden).toBe(true);
  });

  it("of a package", () => {
    expect(cells("packages")).toEqual(["humanize", "4.9.0", "pypi", "2 files", "1 file"]);
    push({ packages: [{ ...PACKAGE, edited: 1, pending: 0, red: 0, leaving: true }] });
    expect(cells("packages")).toEqual(["humanize", "4.9.0 (removed)", "pypi", "1 file", ""]);
  });

  it("of what awaits a decision, the snapshot and the sync", () => {
    const facts = (): (string | null)[] => all(".dxs-fact").map((fact) => [...fact.children].filter((part) => !(part as HTMLElement).hidden).map((part) => part.textContent).join("|"));
    expect(facts()).toEqual([
      "To decide|1 yellow0 red|%dx review", "Last snapshot|5 min ago|before upgrade · abcdef012345", "Last sync|none yet|",
    ]);
    push({ pending: { yellow: 0, red: 0 }, sync: { time: "2026-11-23T12:00:00Z", url: "s3://b", detail: "" } });
    expect(facts()).toEqual(["To decide|nothing", "Last snapshot|5 min ago|before upgrade · abcdef012345", "Last sync|just now|s3://b"]);
  });

  it("when there is nothing: what to do", () => {
    push({ tools: [], tasks: [], packages: [] });
    expect(all(".dxs-empty").every((text) => !text.hidden)).toBe(true);
    expect(all('[role="table"]').every((table) => table.hidden)).toBe(true);
  });

  it("in a sentence", () => {
    expect(summaryOf(STATUS)).toBe("1 of 1 tool up, 1 task running, 1 file to decide");
    expect(document.querySelector('[aria-live="polite"]')?.textContent).toBe(summaryOf(STATUS));
    const ill = [{ ...TOOL, state: "degraded" }, { ...TOOL, name: "b", state: "degraded", pid: null }];
    const lost = [{ ...TASK, state: "failed" }];
    expect(summaryOf({ ...STATUS, tools: ill, tasks: lost, pending: { yellow: 0, red: 0 } })).toBe(
      "1 of 2 tools up, 2 degraded, 1 task failed",
    );
    expect(summaryOf({ ...STATUS, tools: [], tasks: [], pending: { yellow: 0, red: 0 } })).toBe("");
  });
});

describe("live", () => {
  it("times pass without a word from the kernel", async () => {
    await vi.advanceTimersByTimeAsync(20_000);
    expect(cells("tools")[3]).toBe("50 s");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(cells("tools")[3]).toBe("1 min");
    expect(model.ops().filter((op) => op !== "watch")).toEqual(["hello"]);
  });

  it("touches nothing where nothing differs", async () => {
    const changes = vi.fn();
    const observer = new MutationObserver(changes);
    observer.observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
    push({});
    push({});
    await vi.advanceTimersByTimeAsync(50);
    expect(changes).not.toHaveBeenCalled();
    observer.disconnect();
  });

  it("keeps rows, the focus and open folds while everything changes", () => {
    const row = one(".dxs-tools .dxs-group");
    const unfold = named("Last lines of web");
    unfold.click();
    unfold.focus();
    push({ tools: [{ ...TOOL, name: "api", last_lines: [] }, { ...TOOL, state: "stopped", pid: null, last_lines: ["two", "three"] }] });
    expect(all(".dxs-tools .dxs-group")[1]).toBe(row);
    expect(document.activeElement).toBe(unfold);
    expect(unfold.getAttribute("aria-expanded")).toBe("true");
    expect(named("Output of web").textContent).toBe("two\nthree");
    push({ tools: [] });
    expect(all(".dxs-tools .dxs-group")).toHaveLength(0);
  });

  it("stands still when the kernel is gone: it may not be so any more", async () => {
    model.tell({ closed: true });
    await vi.advanceTimersByTimeAsync(20_000);
    expect(cells("tools")[3]).toBe("30 s");
    expect(vi.getTimerCount()).toBe(0);
  });

  it("stops with the panel", async () => {
    end.abort();
    await vi.advanceTimersByTimeAsync(120_000);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("buttons", () => {
  it("stop, start and restart; one at a time, until the kernel has answered", async () => {
    const stop = named("Stop web");
    stop.click();
    stop.click();
    named("Restart web").click();
    expect(model.sent.filter((message) => message.op === "tool")).toMatchObject([{ name: "web", do: "stop" }]);
    expect(stop.hasAttribute("data-waiting")).toBe(true);
    model.answer(model.last("tool"));
    await vi.advanceTimersByTimeAsync(0);
    push({ tools: [{ ...TOOL, state: "stopped", pid: null, started: null }] });
    expect(stop.getAttribute("aria-label")).toBe("Start web");
    expect(named("Restart web").getAttribute("aria-disabled")).toBe("true");
    named("Start web").click();
    expect(model.last("tool")).toMatchObject({ do: "start" });
  });

  it("say what the kernel says where it refuses", async () => {
    named("Restart web").click();
    model.refuse(model.last("tool"), { kind: "ToolError", what: "port 80 is taken", where: "web", hint: "Stop that" });
    await vi.advanceTimersByTimeAsync(0);
    expect(one('[role="alert"]').textContent).toBe("web: port 80 is takenStop that");
    expect(named("Restart web").hasAttribute("aria-disabled")).toBe(false);
  });

  it("open the log, which follows the tool while it is open", async () => {
    const logs = named("Logs of web");
    logs.click();
    expect(model.last("logs")).toMatchObject({ name: "web", lines: 200 });
    model.answer(model.last("logs"), { text: "\x1b[32mgreen\x1b[0m\nline" });
    await vi.advanceTimersByTimeAsync(0);
    expect(named("Output of web").textContent).toBe("green\nline");
    push({ tools: [{ ...TOOL, last_lines: ["more"] }] });
    push({ tools: [{ ...TOOL, last_lines: ["even more"] }] });
    expect(model.ops().filter((op) => op === "logs")).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1_000);
    expect(model.ops().filter((op) => op === "logs")).toHaveLength(2);
    model.answer(model.last("logs"), { text: "" });
    await vi.advanceTimersByTimeAsync(0);
    expect(named("Output of web").textContent).toBe("It has written nothing yet.");
    logs.click();
    push({ tools: [{ ...TOOL, last_lines: ["after"] }] });
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops().filter((op) => op === "logs")).toHaveLength(2);
    expect(one(".dxs-below").hidden).toBe(true);
  });

  it("retry and cancel tasks, where they can be", async () => {
    named("Cancel Prefetch humanize").click();
    expect(model.last("task")).toMatchObject({ id: 7, do: "cancel" });
    model.answer(model.last("task"));
    await vi.advanceTimersByTimeAsync(0);
    expect(named("Retry Prefetch humanize").hidden).toBe(true);
    push({ tasks: [{ ...TASK, state: "failed", error: "gone", can_retry: true, can_cancel: false }] });
    expect(named("Cancel Prefetch humanize").hidden).toBe(true);
    named("Retry Prefetch humanize").click();
    expect(model.last("task")).toMatchObject({ id: 7, do: "retry" });
  });
});

describe("hostile texts", () => {
  it.each(HOSTILE)("%j stays text everywhere", async (text) => {
    push({
      project: text,
      tools: [{ ...TOOL, name: text, state: text, health: text, detail: text, last_lines: [text], owner: "here" }],
      tasks: [{ ...TASK, kind: text, label: text, state: text, detail: text, error: text }],
      packages: [{ ...PACKAGE, name: text, version: text, source: text }],
      snapshot: { id: text, time: text, label: text },
      sync: { time: text, url: text, detail: text },
    });
    one('[aria-label^="Logs of"]').click();
    model.answer(model.last("logs"), { text: `${text}\n${text}` });
    await vi.advanceTimersByTimeAsync(0);
    const foreign = all("*").filter((element) => /^(script|img|iframe|object|embed|a|style|link)$/i.test(element.tagName));
    expect(foreign.filter((element) => document.body.contains(element))).toEqual([]);
    expect(all("svg *").every((element) => element.tagName.toLowerCase() === "path")).toBe(true);
    const attributes = all("body *").flatMap((element) => [...element.attributes]).map((attribute) => attribute.name);
    expect(attributes.filter((name) => /^on|^src|^href/i.test(name))).toEqual([]);
    // Nothing that reorders or hides what stands beside it.
    expect(document.body.textContent).not.toMatch(/[\u202e\x1b\0]/);
  });
});

import { beforeEach, describe, expect, it, vi } from "vitest";

import { RequestError } from "../src/channel";
import panel from "../src/index";
import { loadAsset } from "../src/assets";
import { type Frame, makeFrame } from "../src/frame";
import { openChannel } from "../src/channel";
import { FakeKernel, FakeModel } from "./fake";
import { freshPage, HOSTILE, observed, setSeen } from "./page";

beforeEach(freshPage);

function make(): { frame: Frame; model: FakeModel; end: AbortController } {
  const end = new AbortController();
  const model = new FakeModel("review");
  const frame = makeFrame(document.body, "review", openChannel(model, "review", end.signal), end.signal);
  return { frame, model, end };
}

const byRole = (role: string): HTMLElement => document.querySelector(`[role="${role}"]`) as HTMLElement;

describe("the frame", () => {
  it("is a region with its name, its state in words, and a summary that is read out", () => {
    const { frame, end } = make();
    expect(frame.root.getAttribute("aria-label")).toBe("dxforge review");
    expect(frame.root.dataset).toMatchObject({ state: "loading", lmSuppressShortcuts: "true" });
    expect(byRole("status").textContent).toBe("loading");
    frame.summary("3 of 12 files decided");
    expect(document.querySelector('[aria-live="polite"]')?.textContent).toBe("3 of 12 files decided");
    end.abort();
    expect(document.body.children).toHaveLength(0);
  });

  it("shows what went wrong, what changed meanwhile and what to do, and can be closed", () => {
    const { frame } = make();
    const fields = { kind: "ReviewError", what: "it changed", where: "a.py", hint: "Look again" };
    frame.notice(new RequestError(fields, [{ path: "b.py", what: "was edited" }]));
    expect([...byRole("alert").children].map((line) => line.textContent)).toEqual([
      "a.py: it changed", "b.py was edited", "Look again",
    ]);
    (document.querySelector('[aria-label="Close this message"]') as HTMLElement).click();
    expect(byRole("alert").textContent).toBe("");
    expect(byRole("alert").parentElement?.hidden).toBe(true);
    frame.notice(new Error("plain"));
    expect(byRole("alert").textContent).toBe("plain");
  });

  it.each(HOSTILE)("has %j as text wherever it comes in", async (text) => {
    const { frame, model } = make();
    const scripts = document.querySelectorAll("script, img").length;
    frame.summary(text);
    frame.notice(new RequestError({ kind: text, what: text, where: text, hint: text }, [{ path: text, what: text }]));
    model.refuse({ dx: 1, client: "x", n: 1, op: "hello" }, { what: text });
    await Promise.resolve();
    expect(document.querySelectorAll("script, img")).toHaveLength(scripts);
    expect(document.querySelector(".dx-summary")?.textContent).toBe(text);
  });
});

describe("what anywidget loads", () => {
  interface Panel {
    initialize(context: object): () => void;
    render(context: object): () => void;
  }

  it("has one channel for all views of a model, and each ends on its own", async () => {
    const model = new FakeModel("status", new FakeKernel());
    const loaded = panel() as Panel;
    const close = loaded.initialize({ model });
    const [first, second] = [document.createElement("div"), document.createElement("div")];
    document.body.append(first, second);
    const remove = loaded.render({ model, el: first });
    loaded.render({ model, el: second });
    expect(document.querySelectorAll('[aria-label="dxforge status"]')).toHaveLength(2);
    setSeen(first, true);
    setSeen(second, true);
    expect(model.ops()).toEqual(["hello"]);
    expect(new Set(model.sent.map((message) => message.client)).size).toBe(1);
    remove();
    expect(first.children).toHaveLength(0);
    expect(second.children).toHaveLength(1);
    expect(observed()).toBe(1);
    close();
    expect(model.ops().at(-1)).toBe("unwatch");
  });

  it("gives a second view the state that the first one has", async () => {
    const model = new FakeModel("status");
    model.heard = (message) => {
      const state = { project: "p", tools: [], tasks: [], packages: [], pending: { yellow: 0, red: 0 }, snapshot: null, sync: null };
      const hello = { kernel: "k", project: "p", program: "%dx", editor: "", seq: 0, state };
      queueMicrotask(() => model.answer(message, hello));
    };
    const loaded = panel() as Panel;
    loaded.initialize({ model });
    for (const _ of [1, 2]) {
      const el = document.createElement("div");
      document.body.append(el);
      loaded.render({ model, el });
      setSeen(el, true);
      await vi.waitFor(() => expect(el.querySelector(".dx-body")).toHaveProperty("hidden", false));
    }
    expect(document.body.textContent?.match(/No tools yet/g)).toHaveLength(2);
  });
});

describe("assets", () => {
  it("are asked for once per version, and again after a failure", async () => {
    const end = new AbortController();
    const model = new FakeModel("review");
    const channel = openChannel(model, "review", end.signal);
    const failed = loadAsset(channel, "editor", "sum").catch((error: RequestError) => error.what);
    model.refuse(model.last("asset"), { kind: "NotBuiltError", what: "it was not built" });
    expect(await failed).toBe("it was not built");
    const addresses: string[] = [];
    vi.spyOn(URL, "createObjectURL").mockReturnValue("data:text/javascript,export const here = 42;");
    vi.spyOn(URL, "revokeObjectURL").mockImplementation((address) => void addresses.push(address));
    const loads = [loadAsset<{ here: number }>(channel, "editor", "sum"), loadAsset<{ here: number }>(channel, "editor", "sum")];
    model.answer(model.last("asset"), { name: "editor", sha256: "sum", code: "export const here = 42;" });
    expect((await Promise.all(loads)).map((module) => module.here)).toEqual([42, 42]);
    expect(model.ops().filter((op) => op === "asset")).toHaveLength(2);
    expect(addresses).toHaveLength(1);
    end.abort();
  });
});

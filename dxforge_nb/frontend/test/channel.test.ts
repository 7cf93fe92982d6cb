import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BUSY_AFTER_IF_IDLE_MS, BUSY_AFTER_MS, type Channel, LEASE_MS, openChannel, RequestError } from "../src/channel";
import { REPEAT_AFTER_IF_UNKNOWN_MS, REPEAT_AFTER_MS } from "../src/requests";
import { FakeKernel, FakeModel } from "./fake";
import { freshPage, observed, setSeen, setVisible } from "./page";

const HELLO = { kernel: "k1", project: "p", program: "%dx", editor: "e", seq: 0, state: { a: 1 } };
const A_LITTLE_MS = 1_000;

let end: AbortController;

beforeEach(() => {
  vi.useFakeTimers();
  freshPage();
  end = new AbortController();
});

afterEach(() => {
  end.abort();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

interface Setup {
  model: FakeModel;
  kernel: FakeKernel;
  channel: Channel;
  element: HTMLElement;
}

function open(kernel: FakeKernel | null = new FakeKernel()): Setup {
  const model = new FakeModel("status", kernel);
  const channel = openChannel(model, "status", end.signal);
  const element = document.createElement("div");
  document.body.append(element);
  channel.watchWhileVisible(element, end.signal);
  return { model, kernel: kernel ?? new FakeKernel(), channel, element };
}

/** A panel in sight whose kernel has said hello. */
async function live(seq = 0, kernel: FakeKernel | null = new FakeKernel()): Promise<Setup> {
  const setup = open(kernel);
  setSeen(setup.element, true);
  setup.model.got(setup.model.last("hello"));
  setup.model.answer(setup.model.last("hello"), { ...HELLO, seq });
  await vi.advanceTimersByTimeAsync(0);
  return setup;
}

function failed(promise: Promise<unknown>): Promise<RequestError> {
  return promise.then(
    () => Promise.reject(new Error("it was answered")),
    (error: RequestError) => error,
  );
}

describe("requests", () => {
  it("are numbered from 1 under one name", () => {
    const { model, channel } = open();
    void channel.request("a", { x: 1 }).catch(() => undefined);
    void channel.request("b").catch(() => undefined);
    expect(model.sent).toMatchObject([
      { dx: 1, n: 1, op: "a", x: 1 },
      { dx: 1, n: 2, op: "b" },
    ]);
    expect(model.sent[0]?.client).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/);
    expect(model.sent[1]?.client).toBe(model.sent[0]?.client);
  });

  it("resolve with their own answer, in whatever order answers come", async () => {
    const { model, channel } = open();
    const [first, second] = [channel.request("a"), channel.request("b")];
    model.answer(model.last("b"), { value: 2 });
    model.answer(model.last("a"), { value: 1 });
    expect(await first).toMatchObject({ value: 1 });
    expect(await second).toMatchObject({ value: 2 });
  });

  it("reject with the kernel's own words and what is stale", async () => {
    const { model, channel } = open();
    const error = failed(channel.request("decide"));
    const fields = { kind: "ReviewError", what: "it changed", where: "a.py", hint: "Look again" };
    model.refuse(model.last("decide"), fields, [{ path: "a.py", what: "edited" }]);
    expect(await error).toMatchObject({ ...fields, stale: [{ path: "a.py", what: "edited" }] });
  });

  it("ignore answers to others and what is not ours", async () => {
    const { model, channel } = open();
    const answer = channel.request("a");
    const { n } = model.last("a");
    model.tell({ to: "somebody else", re: n, ok: true, value: 0 });
    model.emit("msg:custom", null, []);
    model.emit("msg:custom", { to: model.last("a").client, re: n, ok: true }, []);
    model.answer(model.last("a"), { value: 1 });
    expect(await answer).toMatchObject({ value: 1 });
  });

  it("are repeated once, with their number, when an idle kernel does not acknowledge them", async () => {
    const { model, channel } = await live();
    const answer = channel.request("decide");
    await vi.advanceTimersByTimeAsync(REPEAT_AFTER_MS + A_LITTLE_MS);
    const sent = model.sent.filter((message) => message.op === "decide");
    expect(sent).toHaveLength(2);
    expect(sent[1]).toEqual(sent[0]);
    model.answer(model.last("decide"), { value: 1 });
    expect(await answer).toMatchObject({ value: 1 });
  });

  it("are not repeated once they are acknowledged, however long they take", async () => {
    const { model, channel } = await live();
    const answer = channel.request("decide");
    model.got(model.last("decide"));
    await vi.advanceTimersByTimeAsync(4 * REPEAT_AFTER_MS);
    expect(model.ops().filter((op) => op === "decide")).toHaveLength(1);
    model.answer(model.last("decide"));
    await answer;
  });

  it("wait for a busy kernel for as long as it takes", async () => {
    const { model, kernel, channel } = await live();
    kernel.become("busy");
    const answer = channel.request("decide");
    await vi.advanceTimersByTimeAsync(100 * REPEAT_AFTER_MS);
    expect(model.ops().filter((op) => op === "decide")).toHaveLength(1);
    model.answer(model.last("decide"), { value: 1 });
    expect(await answer).toMatchObject({ value: 1 });
  });
});

describe("the link", () => {
  it("is loading, then live", async () => {
    const { model, channel, element } = open();
    expect(channel.link.state).toBe("loading");
    setSeen(element, true);
    model.answer(model.last("hello"), HELLO);
    await vi.advanceTimersByTimeAsync(0);
    expect(channel.link).toEqual({ state: "live", words: "live" });
  });

  it("says that a click waits while the kernel is busy, and no more when it was heard", async () => {
    const { model, kernel, channel } = await live();
    kernel.become("busy");
    const answer = channel.request("decide");
    expect(channel.link.state).toBe("live");
    await vi.advanceTimersByTimeAsync(BUSY_AFTER_MS + 500);
    expect(channel.link).toEqual({ state: "busy", words: "kernel busy: your click waits" });
    model.got(model.last("decide"));
    expect(channel.link.state).toBe("live");
    model.answer(model.last("decide"));
    await answer;
  });

  it("is busy for the page's own questions in other words", async () => {
    const { kernel, channel } = await live();
    kernel.become("busy");
    await vi.advanceTimersByTimeAsync(LEASE_MS + BUSY_AFTER_MS + 500);
    expect(channel.link).toEqual({ state: "busy", words: "kernel busy: clicks will wait" });
  });

  it("ends when an idle kernel stays silent, and comes back if it was only slow", async () => {
    const { model, channel } = await live();
    const error = failed(channel.request("decide"));
    await vi.advanceTimersByTimeAsync(BUSY_AFTER_IF_IDLE_MS + 500);
    expect(channel.link.state).toBe("busy");
    await vi.advanceTimersByTimeAsync(2 * REPEAT_AFTER_MS + A_LITTLE_MS);
    expect(channel.link).toEqual({ state: "disconnected", words: "disconnected: run %dx status again" });
    const what = "The kernel does not answer; whether this was done is not known";
    expect(await error).toMatchObject({ kind: "disconnected", what, hint: "Run %dx status again" });
    expect(await failed(channel.request("decide"))).toMatchObject({ kind: "disconnected" });

    model.got(model.last("decide"));
    model.answer(model.last("hello"), { ...HELLO, seq: 3 });
    await vi.advanceTimersByTimeAsync(0);
    expect(channel.link.state).toBe("live");
  });

  it.each(["restarting", "autorestarting", "dead", "terminating"])("ends for good when the kernel is %s", async (status) => {
    const { kernel, channel } = await live();
    const error = failed(channel.request("decide"));
    kernel.become(status);
    expect(channel.link).toEqual({ state: "disconnected", words: "disconnected: run %dx status again" });
    expect(await error).toMatchObject({ kind: "disconnected" });
    kernel.become("idle");
    await vi.advanceTimersByTimeAsync(10 * LEASE_MS);
    expect(channel.link.state).toBe("disconnected");
  });

  it("ends when the host marks the panel as disconnected", async () => {
    const { model, channel, element } = await live();
    model.emit("comm_live_update");
    document.body.className = "jupyter-widgets-disconnected";
    expect(element.closest(".jupyter-widgets-disconnected")).not.toBeNull();
    await vi.advanceTimersByTimeAsync(0);
    document.body.className = "";
    expect(channel.link.state).toBe("disconnected");
  });

  it("ends when the notebook goes on with another kernel", async () => {
    const { model, kernel, channel } = await live();
    model.widget_manager.kernel = new FakeKernel();
    kernel.disposed.emit();
    expect(channel.link.state).toBe("disconnected");
    end.abort();
    expect(model.widget_manager.kernel.statusChanged.slots.size).toBe(0);
  });

  it("ends when nothing can be sent any more", async () => {
    const { model, channel } = await live();
    model.broken = true;
    expect(await failed(channel.request("decide"))).toMatchObject({ kind: "disconnected" });
    expect(channel.link.state).toBe("disconnected");
  });

  it("ends when the kernel closes the panel", async () => {
    const { model, channel } = await live();
    model.tell({ closed: true });
    expect(channel.link.state).toBe("disconnected");
  });

  it("waits for a lost connection, then repeats everything and asks for the state", async () => {
    const { model, kernel, channel } = await live();
    const answer = channel.request("decide");
    model.got(model.last("decide"));
    kernel.connect("connecting");
    expect(channel.link.state).toBe("disconnected");
    await vi.advanceTimersByTimeAsync(20 * REPEAT_AFTER_MS);
    const before = model.sent.length;
    kernel.connect("connected");
    expect(model.sent.slice(before).map((message) => message.op)).toContain("decide");
    expect(model.ops().at(-1)).toBe("hello");
    expect(channel.link.state).not.toBe("disconnected");
    model.answer(model.last("decide"), { value: 1 });
    expect(await answer).toMatchObject({ value: 1 });
  });

  it("does not pretend to know in hosts that say nothing of the kernel", async () => {
    const { model, channel } = await live(0, null);
    const answer = channel.request("decide");
    await vi.advanceTimersByTimeAsync(BUSY_AFTER_IF_IDLE_MS + 500);
    expect(channel.link).toEqual({ state: "busy", words: "kernel busy: your click waits" });
    await vi.advanceTimersByTimeAsync(5 * REPEAT_AFTER_IF_UNKNOWN_MS);
    expect(channel.link.state).toBe("busy");
    expect(channel.link.words).toContain("run %dx status again");
    expect(model.ops().filter((op) => op === "decide")).toHaveLength(2);
    model.answer(model.last("decide"), { value: 1 });
    expect(await answer).toMatchObject({ value: 1 });
  });

  it("tells why there is no state, and tries again", async () => {
    const { model, channel, element } = open();
    setSeen(element, true);
    model.refuse(model.last("hello"), { kind: "ConfigError", what: "dx.toml cannot be read", where: "", hint: "Mend it" });
    await vi.advanceTimersByTimeAsync(0);
    expect(channel.link).toEqual({ state: "disconnected", words: "dx.toml cannot be read. Mend it" });
    await vi.advanceTimersByTimeAsync(LEASE_MS);
    model.answer(model.last("watch"), { seq: 0 });
    await vi.advanceTimersByTimeAsync(0);
    model.answer(model.last("hello"), HELLO);
    await vi.advanceTimersByTimeAsync(0);
    expect(channel.link.state).toBe("live");
  });

  it("introduces itself again to a kernel that has forgotten it", async () => {
    const { model, channel } = await live();
    const error = failed(channel.request("decide"));
    model.refuse(model.last("decide"), { kind: "UnknownClientError", what: "not known" });
    expect(await error).toMatchObject({ what: "not known" });
    expect(model.ops().at(-1)).toBe("hello");
  });
});

describe("pushes", () => {
  it("come in order, to their topic only", async () => {
    const { model, channel } = await live(4);
    const heard: unknown[] = [];
    channel.onPush("status", (content) => heard.push(content), end.signal);
    model.tell({ push: "status", seq: 5, state: 1 });
    model.tell({ push: "other", seq: 6, state: 2 });
    model.tell({ push: "status", seq: 7, state: 3 });
    expect(heard).toMatchObject([{ state: 1 }, { state: 3 }]);
  });

  it("are left out until the first state, and when they are old", async () => {
    const { model, channel, element } = open();
    const heard: unknown[] = [];
    channel.onPush("status", (content) => heard.push(content), end.signal);
    setSeen(element, true);
    model.tell({ push: "status", seq: 1 });
    model.answer(model.last("hello"), { ...HELLO, seq: 2 });
    await vi.advanceTimersByTimeAsync(0);
    model.tell({ push: "status", seq: 2 });
    expect(heard).toEqual([]);
    model.tell({ push: "status", seq: 3 });
    expect(heard).toHaveLength(1);
  });

  it("that were missed make the page ask for the full state, once, and wait for it", async () => {
    const { model, channel } = await live(1);
    const heard: string[] = [];
    channel.onPush<{ seq: number }>("status", (content) => heard.push(`push ${content.seq}`), end.signal);
    channel.onState((state) => heard.push(`state ${state.seq}`), end.signal);
    model.answer(model.last("hello"), { ...HELLO, seq: 1 });
    await vi.advanceTimersByTimeAsync(0);
    const before = model.ops().filter((op) => op === "hello").length;
    model.tell({ push: "status", seq: 3 });
    model.tell({ push: "status", seq: 4 });
    expect(model.ops().filter((op) => op === "hello")).toHaveLength(before + 1);
    model.answer(model.last("hello"), { ...HELLO, seq: 4 });
    await vi.advanceTimersByTimeAsync(0);
    model.tell({ push: "status", seq: 5 });
    expect(heard).toEqual(["state 1", "state 4", "push 5"]);
  });

  it("that overtook the answer make the page ask again", async () => {
    const { model, channel } = await live(1);
    const states: number[] = [];
    channel.onState((state) => states.push(state.seq), end.signal);
    model.answer(model.last("hello"), { ...HELLO, seq: 1 });
    await vi.advanceTimersByTimeAsync(0);
    model.tell({ push: "status", seq: 3 });
    model.tell({ push: "status", seq: 4 });
    model.answer(model.last("hello"), { ...HELLO, seq: 3 });
    await vi.advanceTimersByTimeAsync(0);
    expect(states).toEqual([1]);
    model.answer(model.last("hello"), { ...HELLO, seq: 4 });
    await vi.advanceTimersByTimeAsync(0);
    expect(states).toEqual([1, 4]);
  });

  it("numbered anew by another kernel are taken as they come", async () => {
    const { model, channel } = await live(9);
    const states: number[] = [];
    channel.onState((state) => states.push(state.seq), end.signal);
    model.answer(model.last("hello"), { ...HELLO, kernel: "k2", seq: 0 });
    await vi.advanceTimersByTimeAsync(0);
    expect(states).toEqual([0]);
  });
});

describe("leases", () => {
  it("nothing is asked while nobody looks", async () => {
    const { model } = open();
    await vi.advanceTimersByTimeAsync(10 * LEASE_MS);
    expect(model.sent).toEqual([]);
  });

  it("are renewed while the panel is in sight", async () => {
    const { model } = await live();
    for (let round = 0; round < 3; round += 1) {
      await vi.advanceTimersByTimeAsync(LEASE_MS);
      model.answer(model.last("watch"), { seq: 0 });
    }
    expect(model.ops()).toEqual(["hello", "watch", "watch", "watch"]);
  });

  it("ask for the state where the kernel is ahead", async () => {
    const { model } = await live(2);
    await vi.advanceTimersByTimeAsync(LEASE_MS);
    model.answer(model.last("watch"), { seq: 3 });
    await vi.advanceTimersByTimeAsync(0);
    expect(model.ops()).toEqual(["hello", "watch", "hello"]);
  });

  it("end when the panel is out of sight for good, not when it is scrolled past", async () => {
    const { model, element } = await live();
    setSeen(element, false);
    await vi.advanceTimersByTimeAsync(500);
    setSeen(element, true);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops()).toEqual(["hello"]);
    setSeen(element, false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops()).toEqual(["hello", "unwatch"]);
    model.answer(model.last("unwatch"));
    await vi.advanceTimersByTimeAsync(10 * LEASE_MS);
    expect(model.ops()).toEqual(["hello", "unwatch"]);
  });

  it("end with the page in the background, and the state is asked for when it comes back", async () => {
    const { model } = await live();
    setVisible(false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops()).toEqual(["hello", "unwatch"]);
    setVisible(true);
    expect(model.ops()).toEqual(["hello", "unwatch", "hello"]);
  });

  it("last as long as one of two views is in sight", async () => {
    const { model, channel, element } = await live();
    const second = document.createElement("div");
    const gone = new AbortController();
    document.body.append(second);
    channel.watchWhileVisible(second, gone.signal);
    setSeen(second, true);
    setSeen(element, false);
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops()).toEqual(["hello"]);
    gone.abort();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(model.ops()).toEqual(["hello", "unwatch"]);
  });
});

describe("the end of a channel", () => {
  it("says goodbye, rejects what waits, and leaves nothing behind", async () => {
    const { model, kernel, channel } = await live();
    const error = failed(channel.request("decide"));
    end.abort();
    expect(model.ops().at(-1)).toBe("unwatch");
    expect(await error).toMatchObject({ kind: "disconnected", what: "This panel was closed" });
    expect(observed()).toBe(0);
    expect(kernel.statusChanged.slots.size + kernel.connectionStatusChanged.slots.size + kernel.disposed.slots.size).toBe(0);
    expect([...model.listeners.values()].map((listeners) => listeners.size)).toEqual([0, 0]);
    expect(vi.getTimerCount()).toBe(0);
    const before = model.sent.length;
    expect(await failed(channel.request("decide"))).toMatchObject({ kind: "disconnected" });
    setVisible(false);
    setVisible(true);
    await vi.advanceTimersByTimeAsync(10 * LEASE_MS);
    expect(model.sent).toHaveLength(before);
  });
});

// The status panel: tools, background tasks, packages, and what was last kept and synced.

import type { Channel, FullState } from "../channel";
import { h, setAttribute, setShown, setText } from "../dom";
import type { Frame } from "../frame";
import type { Status, StatusState } from "../protocol";
import { shape } from "../shapes";
import { shown } from "../shown";
import { ago, count, timeOf } from "./format";
import { packageTable } from "./packages";
import { taskTable } from "./tasks";
import { toolTable } from "./tools";

const SLOWEST_TICK_MS = 30_000;

/** Fills the frame with the status panel. */
export function mountStatus(frame: Frame, channel: Channel, signal: AbortSignal): void {
  const now = (): number => Date.now();
  const fail = (error: unknown): void => frame.notice(error);
  const tools = toolTable(channel, now, fail, signal);
  const tasks = taskTable(channel, now, fail);
  const packages = packageTable();
  const facts = factsLine();
  frame.body.append(tools.element, tasks.element, packages.element, facts.element);
  // Until the first state is there, nothing is known to be missing.
  setShown(frame.body, false);

  let timer: ReturnType<typeof setTimeout> | undefined;
  const tick = (): void => {
    clearTimeout(timer);
    if (channel.link.state === "disconnected" || document.visibilityState !== "visible") {
      return; // Nobody knows whether anything is still up.
    }
    const nowMs = now();
    const holdsMs = Math.min(tools.tick(nowMs), tasks.tick(nowMs), SLOWEST_TICK_MS);
    facts.tick(nowMs);
    timer = setTimeout(tick, holdsMs);
  };
  document.addEventListener("visibilitychange", tick, { signal });
  channel.onLink(tick, signal);
  signal.addEventListener("abort", () => clearTimeout(timer));

  const show = ({ state }: StatusState): void => {
    setShown(frame.body, true);
    tools.update(state.tools);
    tasks.update(state.tasks);
    packages.update(state.packages);
    facts.update(state, channel.hello?.program ?? "%dx");
    frame.summary(summaryOf(state));
    tick();
  };
  channel.onState<StatusState>((hello: FullState<StatusState>) => show(hello), signal);
  channel.onPush<StatusState>("status", show, signal);
}

/** In words, for those who hear it too: it changes only when a state does. */
export function summaryOf(state: Status): string {
  const parts: string[] = [];
  const inState = (items: readonly { state: string }[], wanted: string): number =>
    items.filter((item) => item.state === wanted).length;
  if (state.tools.length > 0) {
    const up = state.tools.filter((tool) => tool.pid !== null).length;
    const ill = inState(state.tools, "degraded");
    parts.push(`${up} of ${count(state.tools.length, "tool")} up${ill > 0 ? `, ${ill} degraded` : ""}`);
  }
  const running = inState(state.tasks, "running");
  const failed = inState(state.tasks, "failed");
  if (running > 0) {
    parts.push(`${count(running, "task")} running`);
  }
  if (failed > 0) {
    parts.push(`${count(failed, "task")} failed`);
  }
  if (state.pending.yellow + state.pending.red > 0) {
    parts.push(`${count(state.pending.yellow + state.pending.red, "file")} to decide`);
  }
  return parts.join(", ");
}

interface FactsLine {
  readonly element: HTMLElement;
  update(state: Status, program: string): void;
  tick(nowMs: number): void;
}

/** What awaits a decision, the last snapshot and the last sync. */
function factsLine(): FactsLine {
  const lights = { yellow: h("span", {}), red: h("span", {}) };
  const pending = h("dd", {}, shape("yellow"), lights.yellow, shape("red"), lights.red);
  const nothing = h("dd", {}, "nothing");
  const command = h("code", {});
  const next = h("dd", { class: "dxs-next" }, command);
  const snapshot = datedFact("Last snapshot");
  const sync = datedFact("Last sync");
  const decide = h("div", { class: "dxs-fact" }, h("dt", {}, "To decide"), pending, nothing, next);
  return {
    element: h("dl", { class: "dxs-facts" }, decide, snapshot.element, sync.element),
    update(state, program) {
      const { yellow, red } = state.pending;
      for (const each of [pending, next]) {
        setShown(each, yellow + red > 0);
      }
      setShown(nothing, yellow + red === 0);
      setText(lights.yellow, `${yellow} yellow`);
      setText(lights.red, `${red} red`);
      setText(command, `${program} review`);
      const taken = state.snapshot;
      snapshot.set(taken?.time ?? null, taken === null ? [] : [taken.label, taken.id.slice(0, 12)]);
      sync.set(state.sync?.time ?? null, state.sync === null ? [] : [state.sync.detail, state.sync.url]);
    },
    tick(nowMs) {
      snapshot.tick(nowMs);
      sync.tick(nowMs);
    },
  };
}

interface DatedFact {
  readonly element: HTMLElement;
  set(time: string | null, about: string[]): void;
  tick(nowMs: number): void;
}

function datedFact(title: string): DatedFact {
  const when = h("time", {});
  const what = h("dd", { class: "dxs-about" });
  let time: string | null = null;
  const tick = (nowMs: number): void => {
    const at = time === null ? null : timeOf(time);
    setText(when, time === null ? "none yet" : at === null ? shown(time) : ago(at, nowMs));
    setAttribute(when, "datetime", at === null ? null : new Date(at).toISOString());
    setAttribute(when, "title", at === null ? null : new Date(at).toLocaleString());
  };
  return {
    element: h("div", { class: "dxs-fact" }, h("dt", {}, title), h("dd", {}, when), what),
    set(given, about) {
      time = given;
      const words = about.filter((part) => part !== "").map(shown).join(" · ");
      setText(what, words);
      setAttribute(what, "title", words === "" ? null : words);
    },
    tick,
  };
}

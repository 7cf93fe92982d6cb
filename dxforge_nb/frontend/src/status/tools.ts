// The tools: a row each, with buttons, and a log that opens below it.

import type { Channel } from "../channel";
import { button, h, type Row, setAttribute, setEnabled, setShown, setText } from "../dom";
import type { Tool } from "../protocol";
import { type Icon, icon, shape } from "../shapes";
import { outputLine, shown } from "../shown";
import { capitalized, duration, percent, size } from "./format";
import { cell, group, type LiveTable, liveTable, row, setFigure } from "./table";

const COLUMNS = [
  { name: "name", title: "Tool" },
  { name: "state", title: "State" },
  { name: "pid", title: "PID" },
  { name: "uptime", title: "Up for" },
  { name: "cpu", title: "CPU" },
  { name: "memory", title: "Memory" },
  { name: "restarts", title: "Restarts" },
  { name: "standing", title: "Health" },
  { name: "actions", title: "Actions" },
];
const LOG_LINES = 200;
/** Between two looks at an open log. */
const LOG_PAUSE_MS = 1_000;

export interface ToolTable extends LiveTable<Tool> {
  /** Brings what passes by itself up to date. Returns how long that will hold. */
  tick(nowMs: number): number;
}

/** `now` is the clock, in ms since 1970; `fail` tells people of an error. */
export function toolTable(
  channel: Channel,
  now: () => number,
  fail: (error: unknown) => void,
  signal: AbortSignal,
): ToolTable {
  const rows = new Map<string, ToolRow>();
  const table = liveTable<Tool>(
    "tools",
    "Tools",
    COLUMNS,
    "No tools yet: a [tools.NAME] section in dx.toml declares one.",
    (tool) => tool.name,
    (tool) => {
      const made = new ToolRow(tool, channel, now, fail, signal);
      rows.set(tool.name, made);
      return made;
    },
  );
  return {
    element: table.element,
    update(tools) {
      table.update(tools);
      const names = new Set(tools.map((tool) => tool.name));
      for (const name of rows.keys()) {
        if (!names.has(name)) {
          rows.delete(name);
        }
      }
    },
    tick: (nowMs) => Math.min(Number.POSITIVE_INFINITY, ...[...rows.values()].map((each) => each.tick(nowMs))),
  };
}

class ToolRow implements Row<Tool> {
  readonly element: HTMLElement;

  readonly #channel: Channel;
  readonly #now: () => number;
  readonly #fail: (error: unknown) => void;
  readonly #signal: AbortSignal;
  readonly #cells: Record<string, HTMLElement> = {};
  readonly #unfold: HTMLButtonElement;
  readonly #startOrStop: HTMLButtonElement;
  readonly #restart: HTMLButtonElement;
  readonly #logs: HTMLButtonElement;
  readonly #below: HTMLElement;
  readonly #text = h("pre", { class: "dxs-log", tabindex: 0 });
  #tool: Tool;
  #open: "" | "last lines" | "log" = "";
  #fetching = false;
  #fetchAgain = false;
  #waiting: HTMLButtonElement | null = null;

  constructor(tool: Tool, channel: Channel, now: () => number, fail: (error: unknown) => void, signal: AbortSignal) {
    this.#tool = tool;
    this.#channel = channel;
    this.#now = now;
    this.#fail = fail;
    this.#signal = signal;
    const name = shown(tool.name);
    for (const column of COLUMNS) {
      this.#cells[column.name] = cell(column.name);
    }
    this.#unfold = iconButton("unfold", `Last lines of ${name}`, () => this.#toggle("last lines"));
    this.#startOrStop = iconButton("start", `Start ${name}`, () => this.#ask(this.#startOrStop, this.#up ? "stop" : "start"));
    this.#restart = iconButton("restart", `Restart ${name}`, () => this.#ask(this.#restart, "restart"));
    this.#logs = iconButton("logs", `Logs of ${name}`, () => this.#toggle("log"));
    this.#cell("name").append(this.#unfold, h("span", { class: "dxs-name", title: name }, name));
    this.#cell("actions").append(this.#startOrStop, this.#restart, this.#logs);
    this.#text.setAttribute("role", "region");
    this.#text.setAttribute("aria-label", `Output of ${name}`);
    const all = cell("below", this.#text);
    all.setAttribute("aria-colspan", String(COLUMNS.length));
    this.#below = h("div", { role: "row", class: "dxs-below", hidden: true }, all);
    this.element = group(row(COLUMNS.map((column) => this.#cell(column.name))), this.#below);
  }

  get #up(): boolean {
    return this.#tool.state !== "stopped";
  }

  #cell(name: string): HTMLElement {
    return this.#cells[name] as HTMLElement;
  }

  update(tool: Tool): void {
    const before = this.#tool;
    this.#tool = tool;
    const name = shown(tool.name);
    const state = this.#cell("state");
    if (state.dataset["state"] !== tool.state) {
      state.dataset["state"] = tool.state;
      state.replaceChildren(shape(tool.state), h("span", { class: "dxs-word" }, shown(capitalized(tool.state))));
      // The button keeps its place and the focus, and changes what it does.
      const [picture, verb]: [Icon, string] = this.#up ? ["stop", "Stop"] : ["start", "Start"];
      this.#startOrStop.replaceChildren(icon(picture));
      setAttribute(this.#startOrStop, "aria-label", `${verb} ${name}`);
      setAttribute(this.#startOrStop, "title", `${verb} ${name}`);
    }
    setAttribute(state, "title", tool.owner === "elsewhere" ? "Another process runs it" : null);
    setFigure(this.#cell("pid"), tool.pid, String);
    setFigure(this.#cell("cpu"), tool.cpu_percent, percent);
    setFigure(this.#cell("memory"), tool.memory_bytes, size);
    setFigure(this.#cell("restarts"), tool.restarts === 0 ? null : tool.restarts, String);
    const standing = standingOf(tool);
    setText(this.#cell("standing"), standing);
    setAttribute(this.#cell("standing"), "title", standing === "" ? null : standing);
    this.#setButtons();
    this.tick(this.#now());
    if (this.#open === "log") {
      if (tool.last_lines.join("\n") !== before.last_lines.join("\n") || tool.pid !== before.pid) {
        this.#fetch();
      }
    } else {
      this.#showLastLines();
    }
  }

  tick(nowMs: number): number {
    const { started } = this.#tool;
    if (started === null) {
      setText(this.#cell("uptime"), "");
      return Number.POSITIVE_INFINITY;
    }
    const upMs = nowMs - started * 1000;
    setText(this.#cell("uptime"), duration(upMs / 1000));
    return upMs < 60_000 ? 1_000 : 10_000;
  }

  #setButtons(): void {
    setShown(this.#unfold, this.#tool.last_lines.length > 0 || this.#open !== "");
    setEnabled(this.#startOrStop, this.#waiting === null);
    setEnabled(this.#restart, this.#waiting === null && this.#up);
    for (const each of [this.#startOrStop, this.#restart]) {
      setAttribute(each, "data-waiting", each === this.#waiting);
    }
  }

  #ask(pressed: HTMLButtonElement, act: "start" | "stop" | "restart"): void {
    this.#waiting = pressed;
    this.#setButtons();
    this.#channel
      .request("tool", { name: this.#tool.name, do: act })
      .catch(this.#fail)
      .finally(() => {
        this.#waiting = null;
        this.#setButtons();
      });
  }

  // ----------------------------------------------------------------------------------------------------- what it wrote

  #toggle(what: "last lines" | "log"): void {
    this.#open = this.#open === what ? "" : what;
    setShown(this.#below, this.#open !== "");
    setAttribute(this.#unfold, "aria-expanded", String(this.#open === "last lines"));
    setAttribute(this.#logs, "aria-expanded", String(this.#open === "log"));
    setAttribute(this.#below, "data-open", this.#open === "" ? null : this.#open);
    this.#setButtons();
    if (this.#open === "log") {
      this.#showText("…");
      this.#fetch();
    } else {
      this.#showLastLines();
    }
  }

  #showLastLines(): void {
    if (this.#open === "last lines") {
      this.#showText(this.#tool.last_lines.map(outputLine).join("\n"));
    }
  }

  /** Gets the log; at most one question at a time, and again where it has grown meanwhile. */
  #fetch(): void {
    if (this.#fetching) {
      this.#fetchAgain = true;
      return;
    }
    this.#fetching = true;
    this.#channel
      .request<{ text: string }>("logs", { name: this.#tool.name, lines: LOG_LINES })
      .then(({ text }) => {
        if (this.#open === "log") {
          this.#showText(text.split("\n").map(outputLine).join("\n"));
        }
      }, this.#fail)
      .finally(() => {
        setTimeout(() => {
          this.#fetching = false;
          if (this.#fetchAgain && this.#open === "log" && !this.#signal.aborted) {
            this.#fetchAgain = false;
            this.#fetch();
          }
        }, LOG_PAUSE_MS);
      });
  }

  #showText(text: string): void {
    const area = this.#text;
    const atEnd = area.scrollTop + area.clientHeight >= area.scrollHeight - 4;
    setText(area, text === "" ? "It has written nothing yet." : text);
    if (atEnd) {
      area.scrollTop = area.scrollHeight;
    }
  }
}

/** As the terminal's table words it: of a tool that is well, how one knows; of another, what is wrong. */
function standingOf(tool: Tool): string {
  const parts = tool.state === "healthy" ? [tool.health, tool.detail] : [tool.detail === "" ? tool.health : tool.detail];
  if (tool.owner === "elsewhere") {
    parts.push("run by another process");
  }
  return parts.filter((part) => part !== "").map(shown).join(" · ");
}

function iconButton(name: Icon, label: string, press: () => void): HTMLButtonElement {
  return button(icon(name), { label, class: "dx-icon" }, press);
}

// The background tasks: what runs, waits or failed, with progress, retry and cancel.

import type { Channel } from "../channel";
import { button, h, type Row, setAttribute, setEnabled, setShown, setText } from "../dom";
import type { Task } from "../protocol";
import { icon, shape } from "../shapes";
import { shown } from "../shown";
import { capitalized, duration } from "./format";
import { cell, group, type LiveTable, liveTable, row } from "./table";

const COLUMNS = [
  { name: "name", title: "Task" },
  { name: "state", title: "State" },
  { name: "progress", title: "Progress" },
  { name: "actions", title: "Actions" },
];

export interface TaskTable extends LiveTable<Task> {
  /** Brings what passes by itself up to date. Returns how long that will hold. */
  tick(nowMs: number): number;
}

export function taskTable(channel: Channel, now: () => number, fail: (error: unknown) => void): TaskTable {
  const rows = new Set<TaskRow>();
  const table = liveTable<Task>(
    "tasks",
    "Background tasks",
    COLUMNS,
    "Nothing runs or waits in the background.",
    (task) => `${task.id} ${task.kind} ${task.label}`,
    (task) => {
      const made = new TaskRow(task, channel, now, fail);
      rows.add(made);
      return made;
    },
  );
  return {
    element: table.element,
    update(tasks) {
      table.update(tasks);
      for (const each of rows) {
        if (!each.element.isConnected && table.element.isConnected) {
          rows.delete(each);
        }
      }
    },
    tick: (nowMs) => Math.min(Number.POSITIVE_INFINITY, ...[...rows].map((each) => each.tick(nowMs))),
  };
}

class TaskRow implements Row<Task> {
  readonly element: HTMLElement;

  readonly #channel: Channel;
  readonly #now: () => number;
  readonly #fail: (error: unknown) => void;
  readonly #state = cell("state");
  readonly #bar = h("div", { class: "dxs-bar", role: "progressbar", "aria-valuemin": 0 }, h("div", {}));
  readonly #words = h("span", { class: "dxs-words" });
  readonly #retry: HTMLButtonElement;
  readonly #cancel: HTMLButtonElement;
  #task: Task;
  #retryAtMs: number | null = null;
  #waiting = false;

  constructor(task: Task, channel: Channel, now: () => number, fail: (error: unknown) => void) {
    this.#task = task;
    this.#channel = channel;
    this.#now = now;
    this.#fail = fail;
    const label = shown(task.label === "" ? task.kind : task.label);
    this.#retry = button(icon("restart"), { label: `Retry ${label}`, class: "dx-icon" }, () => this.#ask("retry"));
    this.#cancel = button(icon("cancel"), { label: `Cancel ${label}`, class: "dx-icon" }, () => this.#ask("cancel"));
    setAttribute(this.#bar, "aria-label", label);
    const progress = cell("progress");
    progress.append(this.#bar, this.#words);
    const actions = cell("actions");
    actions.append(this.#retry, this.#cancel);
    const name = cell("name", h("span", { class: "dxs-name", title: label }, label));
    this.element = group(row([name, this.#state, progress, actions]));
  }

  update(task: Task): void {
    this.#task = task;
    if (this.#state.dataset["state"] !== task.state) {
      this.#state.dataset["state"] = task.state;
      const form = task.state === "running" ? "starting" : task.state;
      this.#state.replaceChildren(shape(form), h("span", { class: "dxs-word" }, shown(capitalized(task.state))));
    }
    this.#retryAtMs = task.retry_in_s === null ? null : this.#now() + task.retry_in_s * 1000;
    this.#setBar(task);
    this.tick(this.#now());
    this.#setButtons();
  }

  tick(nowMs: number): number {
    const again = this.#retryAtMs === null ? "" : `again in ${duration((this.#retryAtMs - nowMs) / 1000)}`;
    const words = [again, ...wordsOf(this.#task)].filter((part) => part !== "").join(" · ");
    setText(this.#words, words);
    setAttribute(this.#words, "title", words === "" ? null : words);
    return this.#retryAtMs === null || this.#retryAtMs <= nowMs ? Number.POSITIVE_INFINITY : 1_000;
  }

  #setBar(task: Task): void {
    const running = task.state === "running";
    setShown(this.#bar, running);
    const share = task.total === null || task.total <= 0 ? null : Math.min(1, Math.max(0, task.done / task.total));
    setAttribute(this.#bar, "data-unknown", share === null);
    setAttribute(this.#bar, "aria-valuemax", share === null ? null : task.total);
    setAttribute(this.#bar, "aria-valuenow", share === null ? null : Math.min(task.done, task.total ?? 0));
    const filled = this.#bar.firstElementChild as HTMLElement;
    const transform = share === null ? "" : `scaleX(${share.toFixed(4)})`;
    if (filled.style.transform !== transform) {
      filled.style.transform = transform;
    }
  }

  #setButtons(): void {
    setShown(this.#retry, this.#task.can_retry);
    setShown(this.#cancel, this.#task.can_cancel);
    setEnabled(this.#retry, !this.#waiting);
    setEnabled(this.#cancel, !this.#waiting);
  }

  #ask(act: "retry" | "cancel"): void {
    this.#waiting = true;
    this.#setButtons();
    this.#channel
      .request("task", { id: this.#task.id, do: act })
      .catch(this.#fail)
      .finally(() => {
        this.#waiting = false;
        this.#setButtons();
      });
  }
}

function wordsOf(task: Task): string[] {
  const steps = task.state === "running" && task.total !== null ? `${task.done} of ${task.total}` : "";
  return [steps, shown(task.error === "" ? task.detail : task.error)];
}

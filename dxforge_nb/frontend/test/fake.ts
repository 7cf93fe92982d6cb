// A model as anywidget gives one, without a kernel behind it.

import type { Model } from "../src/host";

export interface Sent {
  dx: number;
  client: string;
  n: number;
  op: string;
  [name: string]: unknown;
}

type Listener = (...values: unknown[]) => void;

/** JupyterLab's kernel connection, as far as panels look at it. */
export class FakeKernel {
  status = "idle";
  connectionStatus = "connected";
  isDisposed = false;
  readonly statusChanged = new FakeSignal();
  readonly connectionStatusChanged = new FakeSignal();
  readonly disposed = new FakeSignal();

  become(status: string): void {
    this.status = status;
    this.statusChanged.emit();
  }

  connect(connectionStatus: string): void {
    this.connectionStatus = connectionStatus;
    this.connectionStatusChanged.emit();
  }
}

class FakeSignal {
  readonly slots = new Set<() => void>();

  connect(slot: () => void): void {
    this.slots.add(slot);
  }

  disconnect(slot: () => void): void {
    this.slots.delete(slot);
  }

  emit(): void {
    for (const slot of [...this.slots]) {
      slot();
    }
  }
}

export class FakeModel implements Model {
  readonly sent: Sent[] = [];
  readonly listeners = new Map<string, Set<Listener>>();
  readonly widget_manager: { kernel?: FakeKernel | null };
  readonly #traits: Record<string, unknown>;
  /** Called with everything that the page sends. */
  heard: (message: Sent) => void = () => undefined;
  broken = false;

  constructor(kind: string, kernel: FakeKernel | null = new FakeKernel()) {
    this.#traits = { kind };
    this.widget_manager = kernel === null ? {} : { kernel };
  }

  get(name: string): unknown {
    return this.#traits[name];
  }

  send(content: object): void {
    if (this.broken) {
      throw new Error("Cannot send");
    }
    const message = JSON.parse(JSON.stringify(content)) as Sent;
    this.sent.push(message);
    this.heard(message);
  }

  on(name: string, callback: Listener): void {
    const all = this.listeners.get(name) ?? new Set();
    this.listeners.set(name, all.add(callback));
  }

  off(name: string, callback: Listener): void {
    this.listeners.get(name)?.delete(callback);
  }

  emit(name: string, ...values: unknown[]): void {
    for (const listener of [...(this.listeners.get(name) ?? [])]) {
      listener(...values);
    }
  }

  /** The kernel says something. */
  tell(content: object): void {
    this.emit("msg:custom", { dx: 1, ...content }, []);
  }

  got(message: Sent): void {
    this.tell({ to: message.client, re: message.n, got: true });
  }

  answer(message: Sent, content: object = {}): void {
    this.tell({ to: message.client, re: message.n, ok: true, ...content });
  }

  refuse(message: Sent, error: object, stale: object[] = []): void {
    this.tell({ to: message.client, re: message.n, ok: false, error, stale });
  }

  ops(): string[] {
    return this.sent.map((message) => message.op);
  }

  last(op: string): Sent {
    const found = this.sent.findLast((message) => message.op === op);
    if (found === undefined) {
      throw new Error(`nothing of ${op} was sent`);
    }
    return found;
  }
}

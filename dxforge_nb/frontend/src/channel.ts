// Messages between one model's panels and the kernel: numbered, acknowledged, repeated where that is safe.

import { type Host, type Model, hostOf } from "./host";
import type { ErrorFields, Hello, Kind, Stale } from "./protocol";

export type LinkState = "loading" | "live" | "busy" | "disconnected";

/** How things stand between page and kernel, in a word for programs and in words for people. */
export interface Link {
  readonly state: LinkState;
  readonly words: string;
}

/** What a request fails with. `stale` is not empty where something changed meanwhile and nothing was done. */
export class RequestError extends Error {
  readonly kind: string;
  readonly what: string;
  readonly where: string;
  readonly hint: string;
  readonly stale: readonly Stale[];

  constructor(fields: ErrorFields, stale: readonly Stale[] = []) {
    super(fields.what);
    this.name = "RequestError";
    this.kind = fields.kind;
    this.what = fields.what;
    this.where = fields.where;
    this.hint = fields.hint;
    this.stale = stale;
  }
}

/** The kernel's answer to `hello`: its fields beside the topic's full state. */
export type FullState<State> = Hello & State;

export interface Channel {
  /** The newest answer to `hello`, null before the first one. */
  readonly hello: FullState<object> | null;
  readonly link: Link;
  /**
   * Asks the kernel for `op` and waits for the answer. Is repeated after lost connections, and done at most once.
   * Rejects with `RequestError`, of kind "disconnected" where the kernel is gone.
   */
  request<Answer = object>(op: string, args?: object): Promise<Answer>;
  /** Called with every change of `link`, and now. */
  onLink(listen: (link: Link) => void, signal: AbortSignal): void;
  /** Called with every full state (at first, and where the page may have missed something), and now if there is one. */
  onState<State>(listen: (state: FullState<State>) => void, signal: AbortSignal): void;
  /** Called with every push of `topic`, in order and without gaps. */
  onPush<Content>(topic: string, listen: (content: Content) => void, signal: AbortSignal): void;
  /** Keeps the kernel's interest in this model alive while `element` is visible. */
  watchWhileVisible(element: Element, signal: AbortSignal): void;
}

export const LEASE_MS = 30_000;
/** So long may a message go without `got` before people read that the kernel is busy. */
export const BUSY_AFTER_MS = 600;
export const BUSY_AFTER_IF_IDLE_MS = 1_500;
/** So long an idle kernel may owe a `got` before the message is repeated, and then before it counts as gone. */
export const REPEAT_AFTER_MS = 5_000;
/** The same in hosts that do not tell whether the kernel is busy: repeated once, never given up. */
export const REPEAT_AFTER_IF_UNKNOWN_MS = 20_000;
const LOOK_MS = 250;
// Scrolling past is not leaving.
const LEAVE_AFTER_MS = 2_000;
const SYNC_AGAIN_MS = 250;

/** Requests that people wait for; the others are the page's own. */
const OWN = new Set(["hello", "watch", "unwatch"]);

interface Outstanding {
  readonly message: { readonly op: string; readonly n: number };
  readonly sentAt: number;
  got: boolean;
  /** Time that the kernel could have used to answer. */
  owedMs: number;
  repeated: boolean;
  resolve(answer: never): void;
  reject(error: RequestError): void;
}

type Message = Record<string, unknown>;

/** Opens the channel of a model; `signal` ends it. */
export function openChannel(model: Model, kind: Kind, signal: AbortSignal): Channel {
  return new ModelChannel(model, kind, signal);
}

class ModelChannel implements Channel {
  hello: FullState<object> | null = null;
  link: Link = { state: "loading", words: "loading" };

  readonly #client = clientId();
  readonly #outstanding = new Map<number, Outstanding>();
  readonly #linkListeners = new Set<(link: Link) => void>();
  readonly #stateListeners = new Set<(state: never) => void>();
  readonly #pushListeners = new Map<string, Set<(content: never) => void>>();
  readonly #visible = new Set<Element>();
  readonly #model: Model;
  readonly #kind: Kind;
  readonly #host: Host;
  readonly #signal: AbortSignal;
  #n = 0;
  /** The last push that arrived; what the page holds is that of `#applied`, the same unless a push was missed. */
  #seen = 0;
  #applied = 0;
  #syncing = false;
  #gone = false;
  #lookTimer: ReturnType<typeof setInterval> | undefined;
  #lookedAt = 0;
  #leaseTimer: ReturnType<typeof setInterval> | undefined;
  #leaveTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(model: Model, kind: Kind, signal: AbortSignal) {
    this.#model = model;
    this.#kind = kind;
    this.#signal = signal;
    this.#host = hostOf(model, () => this.#hostChanged(), signal);
    const receive = (content: unknown): void => this.#receive(content);
    model.on("msg:custom", receive);
    const visibility = (): void => this.#visibilityChanged();
    document.addEventListener("visibilitychange", visibility, { signal });
    signal.addEventListener("abort", () => {
      model.off("msg:custom", receive);
      this.#leave();
      clearInterval(this.#lookTimer);
      clearInterval(this.#leaseTimer);
      clearTimeout(this.#leaveTimer);
      this.#rejectAll("This panel was closed");
    });
  }

  // ------------------------------------------------------------------------------------------------------- requests

  request<Answer>(op: string, args: object = {}): Promise<Answer> {
    if (this.#gone || this.#signal.aborted) {
      return Promise.reject(this.#disconnected());
    }
    this.#n += 1;
    const message = { dx: 1, client: this.#client, n: this.#n, op, ...args };
    return new Promise((resolve, reject) => {
      this.#outstanding.set(message.n, {
        message,
        sentAt: performance.now(),
        got: false,
        owedMs: 0,
        repeated: false,
        resolve,
        reject,
      });
      this.#send(message);
      this.#lookOften();
    });
  }

  #send(message: object): void {
    try {
      this.#model.send(message);
    } catch {
      // JupyterLab's comm throws once its kernel connection is disposed.
      this.#giveUp();
    }
  }

  /** The page's own requests: what they answer comes in otherwise, and their failure shows in the link. */
  #ask(op: string, args: object = {}): void {
    this.request(op, args).catch(() => undefined);
  }

  #receive(content: unknown): void {
    const message = content as Message | null;
    if (message?.["dx"] !== 1 || this.#signal.aborted) {
      return;
    }
    if (typeof message["push"] === "string") {
      this.#receivePush(message["push"], message);
      return;
    }
    const waiting = message["to"] === this.#client ? this.#outstanding.get(message["re"] as number) : undefined;
    if (waiting === undefined) {
      return;
    }
    waiting.got = true;
    this.#gone = false;
    if (typeof message["ok"] === "boolean") {
      this.#outstanding.delete(waiting.message.n);
      if (message["ok"]) {
        waiting.resolve(message as never);
      } else {
        waiting.reject(new RequestError(fieldsOf(message["error"]), (message["stale"] as Stale[] | undefined) ?? []));
      }
    }
    this.#look();
  }

  // ---------------------------------------------------------------------------------------------------------- pushes

  #receivePush(topic: string, message: Message): void {
    const seq = message["seq"] as number;
    if (this.hello === null || seq <= this.#seen) {
      return;
    }
    const next = this.#applied === this.#seen && seq === this.#seen + 1;
    this.#seen = seq;
    if (!next) {
      this.#sync();
      return;
    }
    this.#applied = seq;
    for (const listen of this.#pushListeners.get(topic) ?? []) {
      listen(message as never);
    }
  }

  /** Asks for the full state; again, where pushes came meanwhile that it does not hold. */
  #sync(): void {
    if (this.#syncing) {
      return;
    }
    this.#syncing = true;
    this.request<FullState<object>>("hello", { view: this.#kind }).then(
      (answer) => {
        this.#syncing = false;
        if (this.#applied < this.#seen && answer.seq < this.#seen) {
          setTimeout(() => this.#signal.aborted || this.#sync(), SYNC_AGAIN_MS);
          return;
        }
        if (answer.seq < this.#applied && answer.kernel === this.hello?.kernel) {
          // Pushes overtook the answer: the page is newer already.
          return;
        }
        this.#seen = this.#applied = answer.seq;
        this.hello = answer;
        for (const listen of this.#stateListeners) {
          listen(answer as never);
        }
        this.#look();
      },
      (error: unknown) => {
        this.#syncing = false;
        if (error instanceof RequestError && error.kind !== "disconnected") {
          this.#setLink({ state: "disconnected", words: `${error.what}; ${this.#again()}` });
        }
      },
    );
  }

  // ------------------------------------------------------------------------------------------------ how things stand

  #hostChanged(): void {
    if (this.#signal.aborted) {
      return;
    }
    if (this.link.state === "disconnected" && !this.#gone && this.#host.state() === "idle") {
      // The connection is back. Whatever has no answer yet may have been lost on the way, or its answer.
      for (const each of this.#outstanding.values()) {
        this.#send(each.message);
      }
      this.#lookedAt = performance.now();
      this.#arrive();
    }
    this.#look();
  }

  #lookOften(): void {
    if (this.#lookTimer === undefined) {
      this.#lookedAt = performance.now();
      this.#lookTimer = setInterval(() => this.#look(), LOOK_MS);
    }
  }

  #look(): void {
    const now = performance.now();
    const passed = Math.min(now - this.#lookedAt, 2 * LOOK_MS);
    this.#lookedAt = now;
    const host = this.#host.state();
    if (host === "gone") {
      this.#giveUp();
      return;
    }
    if (host === "away") {
      this.#setLink({ state: "disconnected", words: "disconnected: waiting for the connection to come back" });
      return;
    }
    if (this.#gone) {
      return;
    }
    const owed = [...this.#outstanding.values()].filter((each) => !each.got);
    for (const each of owed) {
      each.owedMs += host === "busy" ? 0 : passed;
      if (each.owedMs < (host === "unknown" ? REPEAT_AFTER_IF_UNKNOWN_MS : REPEAT_AFTER_MS)) {
        continue;
      }
      if (!each.repeated) {
        each.repeated = true;
        each.owedMs = 0;
        this.#send(each.message);
      } else if (host === "idle") {
        this.#giveUp();
        return;
      }
    }
    if (this.#outstanding.size === 0) {
      clearInterval(this.#lookTimer);
      this.#lookTimer = undefined;
    }
    this.#setLink(this.#linkNow(owed, host, now));
  }

  #linkNow(owed: Outstanding[], host: "idle" | "busy" | "unknown", now: number): Link {
    const longest = Math.max(0, ...owed.map((each) => now - each.sentAt));
    if (longest <= (host === "busy" ? BUSY_AFTER_MS : BUSY_AFTER_IF_IDLE_MS)) {
      // What was busy stays so until the kernel has taken everything.
      if (this.link.state === "busy" && owed.length > 0) {
        return this.link;
      }
      return this.hello === null ? { state: "loading", words: "loading" } : { state: "live", words: "live" };
    }
    if (host === "unknown" && owed.some((each) => each.repeated)) {
      return { state: "busy", words: `no answer: the kernel is busy or was restarted; then ${this.#again()}` };
    }
    const clicked = owed.some((each) => !OWN.has(each.message.op));
    return { state: "busy", words: `kernel busy: ${clicked ? "your click waits" : "clicks will wait"}` };
  }

  #giveUp(): void {
    this.#gone = true;
    this.#rejectAll("The kernel is gone or was restarted");
    clearInterval(this.#lookTimer);
    this.#lookTimer = undefined;
    clearInterval(this.#leaseTimer);
    this.#leaseTimer = undefined;
    this.#setLink({ state: "disconnected", words: `disconnected: ${this.#again()}` });
  }

  #rejectAll(what: string): void {
    const waiting = [...this.#outstanding.values()];
    this.#outstanding.clear();
    for (const each of waiting) {
      each.reject(this.#disconnected(what));
    }
  }

  #disconnected(what = "The kernel is gone or was restarted"): RequestError {
    return new RequestError({ kind: "disconnected", what, where: "this panel", hint: capitalized(this.#again()) });
  }

  #again(): string {
    return `run ${this.hello?.program ?? "%dx"} ${this.#kind} again`;
  }

  #setLink(link: Link): void {
    if (link.state !== this.link.state || link.words !== this.link.words) {
      this.link = link;
      for (const listen of this.#linkListeners) {
        listen(link);
      }
    }
  }

  // ---------------------------------------------------------------------------------------------------------- leases

  watchWhileVisible(element: Element, signal: AbortSignal): void {
    this.#host.shownIn(element, signal);
    const observer = new IntersectionObserver((entries) => {
      const last = entries.at(-1);
      if (last?.isIntersecting === true) {
        this.#visible.add(element);
      } else {
        this.#visible.delete(element);
      }
      this.#visibilityChanged();
    });
    observer.observe(element);
    signal.addEventListener("abort", () => {
      observer.disconnect();
      this.#visible.delete(element);
      this.#visibilityChanged();
    });
  }

  #visibilityChanged(): void {
    if (this.#signal.aborted) {
      return;
    }
    clearTimeout(this.#leaveTimer);
    this.#leaveTimer = undefined;
    if (this.#visible.size > 0 && document.visibilityState === "visible") {
      if (this.#leaseTimer === undefined) {
        this.#arrive();
      }
    } else if (this.#leaseTimer !== undefined) {
      this.#leaveTimer = setTimeout(() => this.#leave(), LEAVE_AFTER_MS);
    }
  }

  /** From now on pushes come; what was before them is in the full state. */
  #arrive(): void {
    if (this.#gone) {
      return;
    }
    clearInterval(this.#leaseTimer);
    this.#leaseTimer = setInterval(() => this.#ask("watch"), LEASE_MS);
    this.#ask("watch");
    this.#sync();
  }

  #leave(): void {
    if (this.#leaseTimer !== undefined) {
      clearInterval(this.#leaseTimer);
      this.#leaseTimer = undefined;
      this.#ask("unwatch");
    }
  }

  // ------------------------------------------------------------------------------------------------------- listeners

  onLink(listen: (link: Link) => void, signal: AbortSignal): void {
    kept(this.#linkListeners, listen, signal);
    listen(this.link);
  }

  onState<State>(listen: (state: FullState<State>) => void, signal: AbortSignal): void {
    kept(this.#stateListeners, listen, signal);
    if (this.hello !== null) {
      // It may be old: pushes are not folded into it here.
      this.#sync();
    }
  }

  onPush<Content>(topic: string, listen: (content: Content) => void, signal: AbortSignal): void {
    const listeners = this.#pushListeners.get(topic) ?? new Set();
    this.#pushListeners.set(topic, listeners);
    kept(listeners, listen, signal);
  }
}

function kept<T>(set: Set<T>, item: T, signal: AbortSignal): void {
  set.add(item);
  signal.addEventListener("abort", () => set.delete(item));
}

function fieldsOf(error: unknown): ErrorFields {
  const given = (error ?? {}) as Partial<ErrorFields>;
  return {
    kind: given.kind ?? "error",
    what: given.what ?? "The kernel refused without saying why",
    where: given.where ?? "",
    hint: given.hint ?? "",
  };
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A name for this page and model. `crypto.randomUUID` is missing where the server is reached by plain HTTP. */
function clientId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

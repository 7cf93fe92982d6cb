// Messages between one model's panels and the kernel: numbered, acknowledged, repeated where that is safe.

import { type Host, type KernelState, type Model, hostOf } from "./host";
import { type Presence, watchPresence } from "./presence";
import type { Hello, Kind } from "./protocol";
import { type Message, RequestError, Requests } from "./requests";

export { RequestError };

export type LinkState = "loading" | "live" | "busy" | "disconnected";

/** How things stand between page and kernel, in a word for programs and in words for people. */
export interface Link {
  readonly state: LinkState;
  readonly words: string;
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
  /** Called with every full state: the first, each one after the page may have missed something, and one soon. */
  onState<State>(listen: (state: FullState<State>) => void, signal: AbortSignal): void;
  /** Called with every push of `topic`, in order and without gaps since the last full state. */
  onPush<Content>(topic: string, listen: (content: Content) => void, signal: AbortSignal): void;
  /** Keeps the kernel's interest in this model alive while `element` is visible. */
  watchWhileVisible(element: Element, signal: AbortSignal): void;
}

export const LEASE_MS = 30_000;
/** So long may a message go without `got` before people read that the kernel is busy. */
export const BUSY_AFTER_MS = 600;
export const BUSY_AFTER_IF_IDLE_MS = 1_500;
export const LOOK_MS = 250;

/** Errors that mean that this page has to introduce itself again. */
const NEWCOMER = new Set(["UnknownClientError", "ForgottenError"]);

/** Opens the channel of a model; `signal` ends it. */
export function openChannel(model: Model, kind: Kind, signal: AbortSignal): Channel {
  return new ModelChannel(model, kind, signal);
}

class ModelChannel implements Channel {
  hello: FullState<object> | null = null;
  link: Link = { state: "loading", words: "loading" };

  readonly #model: Model;
  readonly #kind: Kind;
  readonly #signal: AbortSignal;
  readonly #host: Host;
  readonly #presence: Presence;
  readonly #requests = new Requests((message) => this.#send(message));
  readonly #linkListeners = new Set<(link: Link) => void>();
  readonly #stateListeners = new Set<(state: never) => void>();
  readonly #pushListeners = new Map<string, Set<(content: never) => void>>();
  /** The newest push that came; what the page shows is as of `#applied`: the same, unless one was missed. */
  #seen = 0;
  #applied = 0;
  #syncing = false;
  /** Why the kernel could not tell the state, in words. */
  #failure = "";
  #gone: "" | "silent" | "for good" = "";
  #away = false;
  #lookTimer: ReturnType<typeof setInterval> | undefined;
  #lookedAt = 0;
  #leaseTimer: ReturnType<typeof setInterval> | undefined;

  constructor(model: Model, kind: Kind, signal: AbortSignal) {
    this.#model = model;
    this.#kind = kind;
    this.#signal = signal;
    this.#host = hostOf(model, () => this.#look(), signal);
    const receive = (content: unknown): void => this.#receive(content);
    model.on("msg:custom", receive);
    this.#presence = watchPresence(
      () => this.#arrive(),
      () => this.#leave(),
      signal,
    );
    signal.addEventListener("abort", () => {
      this.#leave();
      model.off("msg:custom", receive);
      this.#stopTimers();
      this.#requests.rejectAll(this.#disconnected("This panel was closed"));
    });
  }

  // -------------------------------------------------------------------------------------------------------- messages

  request<Answer>(op: string, args: object = {}): Promise<Answer> {
    if (this.#gone !== "" || (this.#signal.aborted && op !== "unwatch")) {
      return Promise.reject(this.#disconnected());
    }
    const now = performance.now();
    const answer = this.#requests.add<Answer>(op, args, now);
    if (this.#lookTimer === undefined && this.#requests.size > 0) {
      this.#lookedAt = now;
      this.#lookTimer = setInterval(() => this.#look(), LOOK_MS);
    }
    return answer;
  }

  #send(message: object): void {
    try {
      this.#model.send(message);
    } catch {
      // JupyterLab's comm throws once the connection that it came by is disposed.
      this.#giveUp("for good");
    }
  }

  #receive(content: unknown): void {
    const message = content as Message | null;
    if (message?.["dx"] !== 1 || this.#signal.aborted) {
      return;
    }
    if (message["closed"] === true) {
      this.#giveUp("for good");
    } else if (typeof message["push"] === "string") {
      this.#revive();
      this.#receivePush(message["push"], message);
    } else if (message["to"] === this.#requests.client) {
      this.#revive();
      if (NEWCOMER.has(this.#requests.receive(message)?.kind ?? "")) {
        this.#sync();
      }
      this.#look();
    }
  }

  // ----------------------------------------------------------------------------------------------- pushes and states

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

  /** Asks for the full state: at most one such question is under way. */
  #sync(): void {
    if (this.#syncing || this.#gone !== "") {
      return;
    }
    this.#syncing = true;
    this.request<FullState<object>>("hello", { view: this.#kind }).then(
      (answer) => {
        this.#syncing = false;
        this.#failure = "";
        this.#take(answer);
        this.#look();
      },
      (error: RequestError) => {
        this.#syncing = false;
        if (error.kind !== "disconnected") {
          this.#failure = [error.what, error.hint].filter((part) => part !== "").join(". ");
          this.#look();
        }
      },
    );
  }

  #take(answer: FullState<object>): void {
    const same = answer.kernel === this.hello?.kernel;
    if (same && answer.seq < this.#seen) {
      this.#sync(); // Something newer was pushed, and is not in it.
      return;
    }
    this.#seen = this.#applied = answer.seq;
    this.hello = answer;
    for (const listen of this.#stateListeners) {
      listen(answer as never);
    }
  }

  // ------------------------------------------------------------------------------------------------- how things stand

  /** Brings `link` up to date, and repeats what may have been lost. */
  #look(): void {
    if (this.#signal.aborted || this.#gone === "for good") {
      return;
    }
    const now = performance.now();
    // A page in the background is not called for minutes: that time says nothing.
    const passed = Math.min(now - this.#lookedAt, 2 * LOOK_MS);
    this.#lookedAt = now;
    const kernel = this.#host.state();
    if (kernel === "gone") {
      this.#giveUp("for good");
    } else if (kernel === "away") {
      this.#away = true;
      this.#setLink({ state: "disconnected", words: "disconnected: waiting for the connection to come back" });
    } else if (this.#gone === "") {
      if (this.#away) {
        this.#away = false;
        this.#requests.repeatAll();
        this.#sync();
      }
      if (this.#requests.count(kernel, passed)) {
        this.#setLink(this.#linkNow(kernel, now));
      } else {
        this.#giveUp("silent");
      }
    }
    if (this.#requests.size === 0) {
      clearInterval(this.#lookTimer);
      this.#lookTimer = undefined;
    }
  }

  #linkNow(kernel: KernelState, now: number): Link {
    const owed = this.#requests.owed(now);
    if (owed.longestMs <= (kernel === "busy" ? BUSY_AFTER_MS : BUSY_AFTER_IF_IDLE_MS)) {
      if (this.#failure !== "") {
        return { state: "disconnected", words: this.#failure };
      }
      return this.hello === null ? { state: "loading", words: "loading" } : { state: "live", words: "live" };
    }
    if (kernel === "unknown" && owed.repeated) {
      return { state: "busy", words: `no answer: the kernel is busy, or was restarted: then ${this.#again()}` };
    }
    return { state: "busy", words: `kernel busy: ${owed.clicked ? "your click waits" : "clicks will wait"}` };
  }

  #giveUp(gone: "silent" | "for good"): void {
    this.#gone = gone;
    this.#stopTimers();
    this.#setLink({ state: "disconnected", words: `disconnected: ${this.#again()}` });
    const silent = "The kernel does not answer; whether this was done is not known";
    this.#requests.rejectAll(this.#disconnected(gone === "silent" ? silent : undefined));
  }

  /** It was only slow. */
  #revive(): void {
    if (this.#gone === "silent") {
      this.#gone = "";
      if (this.#presence.here) {
        this.#arrive();
      }
    }
  }

  #stopTimers(): void {
    clearInterval(this.#lookTimer);
    clearInterval(this.#leaseTimer);
    this.#lookTimer = this.#leaseTimer = undefined;
  }

  #disconnected(what = "The kernel is gone or was restarted"): RequestError {
    const hint = this.#again();
    return new RequestError({ kind: "disconnected", what, where: "", hint: `R${hint.slice(1)}` });
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
    this.#presence.add(element, signal);
    this.#look();
  }

  /** The state now, and pushes from now on: `hello` counts as looking. */
  #arrive(): void {
    if (this.#gone === "for good") {
      return;
    }
    this.#gone = "";
    clearInterval(this.#leaseTimer);
    this.#leaseTimer = setInterval(() => this.#watch(), LEASE_MS);
    this.#sync();
  }

  #watch(): void {
    this.request<{ seq: number }>("watch").then(
      ({ seq }) => {
        if (this.hello === null || seq > this.#applied) {
          this.#sync();
        }
      },
      () => undefined, // The link says it.
    );
  }

  #leave(): void {
    if (this.#leaseTimer !== undefined) {
      clearInterval(this.#leaseTimer);
      this.#leaseTimer = undefined;
      this.request("unwatch").catch(() => undefined);
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
      // Pushes are not folded into it here, so it may be old.
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

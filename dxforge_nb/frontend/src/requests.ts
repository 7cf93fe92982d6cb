// The requests of one page: numbered, kept until they are answered, repeated where they or their answers may be lost.

import type { KernelState } from "./host";
import type { ErrorFields, Stale } from "./protocol";

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

/** So long an idle kernel may owe a `got` before the message is repeated, and then before it counts as gone. */
export const REPEAT_AFTER_MS = 5_000;
/** The same in hosts that do not tell whether the kernel is busy: repeated once, never given up. */
export const REPEAT_AFTER_IF_UNKNOWN_MS = 20_000;

/** Requests of the page itself; for all others somebody waits. */
const OWN = new Set(["hello", "watch", "unwatch", "asset"]);

interface Outstanding {
  readonly message: { readonly op: string; readonly n: number };
  readonly sentAt: number;
  got: boolean;
  /** Time in which the kernel could have said `got`. */
  owedMs: number;
  repeated: boolean;
  resolve(answer: never): void;
  reject(error: RequestError): void;
}

export type Message = Record<string, unknown>;

export class Requests {
  readonly client = clientId();
  readonly #send: (message: object) => void;
  readonly #outstanding = new Map<number, Outstanding>();
  #n = 0;

  constructor(send: (message: object) => void) {
    this.#send = send;
  }

  get size(): number {
    return this.#outstanding.size;
  }

  add<Answer>(op: string, args: object, now: number): Promise<Answer> {
    this.#n += 1;
    const message = { dx: 1, client: this.client, n: this.#n, op, ...args };
    return new Promise((resolve, reject) => {
      this.#outstanding.set(message.n, { message, sentAt: now, got: false, owedMs: 0, repeated: false, resolve, reject });
      this.#send(message);
    });
  }

  /** Takes `got` or an answer; returns the error if it is one. */
  receive(message: Message): RequestError | null {
    const waiting = this.#outstanding.get(message["re"] as number);
    if (waiting === undefined) {
      return null;
    }
    waiting.got = true;
    if (typeof message["ok"] !== "boolean") {
      return null;
    }
    this.#outstanding.delete(waiting.message.n);
    if (message["ok"]) {
      waiting.resolve(message as never);
      return null;
    }
    const error = new RequestError(fieldsOf(message["error"]), (message["stale"] as Stale[] | undefined) ?? []);
    waiting.reject(error);
    return error;
  }

  /**
   * Counts `passedMs` against what the kernel owes and repeats, once, what it owes for too long. Returns whether it
   * can still be believed to be there.
   */
  count(kernel: KernelState, passedMs: number): boolean {
    const limit = kernel === "unknown" ? REPEAT_AFTER_IF_UNKNOWN_MS : REPEAT_AFTER_MS;
    for (const each of this.#owed()) {
      each.owedMs += kernel === "busy" ? 0 : passedMs;
      if (each.owedMs >= limit) {
        if (each.repeated && kernel === "idle") {
          return false;
        }
        if (!each.repeated) {
          each.repeated = true;
          each.owedMs = 0;
          this.#send(each.message);
        }
      }
    }
    return true;
  }

  /** Sends all again: after a lost connection, either the message is lost or its answer. */
  repeatAll(): void {
    for (const each of this.#outstanding.values()) {
      this.#send(each.message);
    }
  }

  rejectAll(error: RequestError): void {
    const waiting = [...this.#outstanding.values()];
    this.#outstanding.clear();
    for (const each of waiting) {
      each.reject(error);
    }
  }

  /** What the kernel has not even acknowledged: since when, whether it was repeated, and whether somebody waits. */
  owed(now: number): { longestMs: number; repeated: boolean; clicked: boolean } {
    const owed = this.#owed();
    return {
      longestMs: Math.max(0, ...owed.map((each) => now - each.sentAt)),
      repeated: owed.some((each) => each.repeated),
      clicked: owed.some((each) => !OWN.has(each.message.op)),
    };
  }

  #owed(): Outstanding[] {
    return [...this.#outstanding.values()].filter((each) => !each.got);
  }
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

/** A name for this page and model. `crypto.randomUUID` is missing where the server is reached by plain HTTP. */
function clientId(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

// Unsaved edits outlive the page and the kernel: they are kept in the tab's own storage (never in the notebook) until they
// are saved or thrown away.

import { isEdited } from "./queries";
import type { Draft } from "./state";

const PREFIX = "dxforge.draft:";
const MOST_CHARACTERS = 1_000_000;
const MOST_DRAFTS = 20;

interface Owner {
  /** Whether it can still save what it has. */
  readonly isAlive: () => boolean;
}

/** Which panel of this page has an edit: another one of the same project leaves it alone. */
const OWNERS = "__dxforge_drafts__";

function owners(): Map<string, Owner> {
  const page = globalThis as { [OWNERS]?: Map<string, Owner> };
  return (page[OWNERS] ??= new Map<string, Owner>());
}

export class DraftStore implements Owner {
  readonly isAlive: () => boolean;
  #prefix: string | null = null;
  #known: ReadonlyMap<string, Draft> = new Map();

  constructor(isAlive: () => boolean) {
    this.isAlive = isAlive;
  }

  /** Whether there is an edit that is not saved. */
  get holds(): boolean {
    return [...this.#known.values()].some(isEdited);
  }

  /** The edits of a project that were kept, and that no living panel has; none but the first time. */
  open(place: string): ReadonlyMap<string, Draft> {
    const found = new Map<string, Draft>();
    if (this.#prefix !== null) return found;
    this.#prefix = `${PREFIX}${place}:`;
    const storage = storageOf();
    for (const key of keysOf(storage, this.#prefix)) {
      if (owners().get(key)?.isAlive() === true) continue;
      const path = key.slice(this.#prefix.length);
      const draft = decoded(storage?.getItem(key) ?? "", path);
      if (draft !== null) found.set(path, draft);
      else storage?.removeItem(key);
    }
    return found;
  }

  /** Brings what is kept up to date. */
  keep(drafts: ReadonlyMap<string, Draft>): void {
    if (this.#prefix === null || drafts === this.#known) return;
    const before = this.#known;
    this.#known = drafts;
    for (const path of before.keys()) if (!isEdited(drafts.get(path))) this.#drop(this.#prefix + path);
    for (const [path, draft] of drafts) if (isEdited(draft) && before.get(path) !== draft) this.#put(this.#prefix + path, draft);
  }

  #put(key: string, draft: Draft): void {
    const storage = storageOf();
    owners().set(key, this);
    const text = JSON.stringify(draft);
    const isOneMore = storage?.getItem(key) === null && keysOf(storage, PREFIX).length >= MOST_DRAFTS;
    try {
      // An old text would be worse than none.
      if (isOneMore || text.length > MOST_CHARACTERS) storage?.removeItem(key);
      else storage?.setItem(key, text);
    } catch {
      storage?.removeItem(key);
    }
  }

  #drop(key: string): void {
    if (owners().get(key) !== this) return;
    owners().delete(key);
    storageOf()?.removeItem(key);
  }
}

/** The tab's storage; null where the host page allows none. */
function storageOf(): Storage | null {
  try {
    return globalThis.sessionStorage;
  } catch {
    return null;
  }
}

function keysOf(storage: Storage | null, prefix: string): string[] {
  const keys = Array.from({ length: storage?.length ?? 0 }, (_, index) => storage?.key(index) ?? "");
  return keys.filter((key) => key.startsWith(prefix));
}

/** A draft as it was kept; null where it is none (any more, after an update of dxforge). */
function decoded(text: string, path: string): Draft | null {
  try {
    const { content, start, from } = JSON.parse(text) as Partial<Draft>;
    const isWhole = typeof content === "string" && typeof start === "string" && typeof from?.sides === "object";
    return isWhole && from.entry.path === path && Array.isArray(from.hunks) ? { content, start, from } : null;
  } catch {
    return null;
  }
}

// The notebook around a panel: anywidget's model, and what can be known of the kernel behind it.

/** The part of anywidget's model that panels use. */
export interface Model {
  get(name: string): unknown;
  send(content: object): unknown;
  on(name: string, callback: (...values: unknown[]) => void): void;
  off(name: string, callback: (...values: unknown[]) => void): void;
  readonly widget_manager?: unknown;
}

/**
 * `gone`: this panel's kernel ended or forgot it, for good. `away`: the connection is down and may come back.
 * `unknown`: this host does not tell.
 */
export type KernelState = "idle" | "busy" | "away" | "gone" | "unknown";

export interface Host {
  state(): KernelState;
  /** The element that the host marks when the panel's kernel is gone; one of them marked is enough. */
  shownIn(element: Element, signal: AbortSignal): void;
}

// JupyterLab's manager of widgets and its kernel connection, as far as they are used; all of it may be missing.
interface Signal {
  connect(slot: () => void): unknown;
  disconnect(slot: () => void): unknown;
}
interface Kernel {
  readonly status?: string;
  readonly connectionStatus?: string;
  readonly isDisposed?: boolean;
  readonly statusChanged?: Signal;
  readonly connectionStatusChanged?: Signal;
  readonly disposed?: Signal;
}

const MARK = ".jupyter-widgets-disconnected";
const ENDED = new Set(["restarting", "autorestarting", "dead", "terminating"]);

/** Watches the kernel behind `model` until `signal`; `changed` is called after each change of state. */
export function hostOf(model: Model, changed: () => void, signal: AbortSignal): Host {
  const elements = new Set<Element>();
  let kernel: Kernel | null = null;
  let ended = false;

  const look = (): void => {
    const now = kernelOf(model);
    if (now !== kernel) {
      // A panel belongs to the connection that it came by.
      ended ||= kernel !== null;
      release();
      kernel = now;
      for (const each of signalsOf(kernel)) {
        each.connect(noticed);
      }
    }
    ended ||= kernel !== null && (kernel.isDisposed === true || ENDED.has(kernel.status ?? ""));
  };
  const noticed = (): void => {
    look();
    changed();
  };
  const release = (): void => {
    for (const each of signalsOf(kernel)) {
      each.disconnect(noticed);
    }
  };
  // The host marks its elements when it hears of it, perhaps after we did.
  const commChanged = (): void => {
    queueMicrotask(changed);
  };
  model.on("comm_live_update", commChanged);
  signal.addEventListener("abort", () => {
    model.off("comm_live_update", commChanged);
    release();
  });

  return {
    state() {
      look();
      if (ended || [...elements].some((element) => element.closest(MARK) !== null)) {
        return "gone";
      }
      if (kernel === null) {
        return "unknown";
      }
      if (kernel.connectionStatus !== undefined && kernel.connectionStatus !== "connected") {
        return "away";
      }
      return kernel.status === "idle" || kernel.status === "busy" ? kernel.status : "unknown";
    },
    shownIn(element, until) {
      elements.add(element);
      until.addEventListener("abort", () => elements.delete(element));
    },
  };
}

function kernelOf(model: Model): Kernel | null {
  try {
    return (model.widget_manager as { kernel?: Kernel | null } | undefined)?.kernel ?? null;
  } catch {
    // A manager of another host may refuse what it does not know.
    return null;
  }
}

function signalsOf(kernel: Kernel | null): Signal[] {
  const all = [kernel?.statusChanged, kernel?.connectionStatusChanged, kernel?.disposed];
  return all.filter((each) => each !== undefined);
}

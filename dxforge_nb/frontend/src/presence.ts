// Whether anybody can see a panel: only then is the kernel asked to keep it up to date.

// Scrolling past is not leaving.
const LEAVE_AFTER_MS = 2_000;

export interface Presence {
  /** Whether an element is in sight, or was until a moment ago. */
  readonly here: boolean;
  /** Counts `element` while it is in sight, until `signal`. */
  add(element: Element, signal: AbortSignal): void;
}

/** Calls `arrive` when the first element comes into sight, and `leave` when the last one has gone, until `signal`. */
export function watchPresence(arrive: () => void, leave: () => void, signal: AbortSignal): Presence {
  const inSight = new Set<Element>();
  let here = false;
  let leaving: ReturnType<typeof setTimeout> | undefined;

  const look = (): void => {
    clearTimeout(leaving);
    if (signal.aborted) {
      return;
    }
    if (inSight.size > 0 && document.visibilityState === "visible") {
      if (!here) {
        here = true;
        arrive();
      }
    } else if (here) {
      leaving = setTimeout(() => {
        here = false;
        leave();
      }, LEAVE_AFTER_MS);
    }
  };
  document.addEventListener("visibilitychange", look, { signal });
  signal.addEventListener("abort", () => clearTimeout(leaving));

  return {
    get here() {
      return here;
    },
    add(element, until) {
      const observer = new IntersectionObserver((entries) => {
        if (entries.at(-1)?.isIntersecting === true) {
          inSight.add(element);
        } else {
          inSight.delete(element);
        }
        look();
      });
      observer.observe(element);
      until.addEventListener("abort", () => {
        observer.disconnect();
        inSight.delete(element);
        look();
      });
    },
  };
}

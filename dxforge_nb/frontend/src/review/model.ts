// Names for what the review panel and the kernel talk about; the shapes are the protocol's.

import type { ErrorFields, Opened as Answer, ReviewChange, ReviewState } from "../protocol";

export type { Entry, Hunk, Light, Stale, Summary, Undo } from "../protocol";

export type Side = "base" | "local" | "incoming" | "proposal";
export type Sides = Readonly<Record<Side, string | null>>;
export type Verb = "accept" | "reject";
export type Full = ReviewState;
/** `notes` are lines for the user, in the answer to a decision. */
export type Delta = ReviewChange & { readonly notes?: readonly string[] };
export type Problem = Pick<ErrorFields, "what"> & Partial<ErrorFields>;

/** The answer to `open`. A null side with an empty `why_not` means that there is no such file. */
export interface Opened extends Answer {
  /** git's mode of each side ("100644", "100755", "120000" for a symlink, whose text is where it points). */
  readonly modes?: Readonly<Record<Side, string | null>>;
}

// The keyboard of the review panel: what a key means where it is pressed. Pure.

export type Command =
  | "next-file"
  | "previous-file"
  | "next-hunk"
  | "previous-hunk"
  | "accept-hunk"
  | "reject-hunk"
  | "accept-file"
  | "reject-file"
  | "undo"
  | "edit"
  | "search"
  | "help"
  | "escape";

/** Where the focus is: `text` is any place that is typed in; `arrows` one that has its own use for the arrow keys. */
export type Place = "text" | "arrows" | "elsewhere";

export interface Key {
  readonly key: string;
  readonly shiftKey?: boolean;
  readonly ctrlKey?: boolean;
  readonly altKey?: boolean;
  readonly metaKey?: boolean;
  readonly isComposing?: boolean;
}

const LETTERS: Readonly<Record<string, Command>> = {
  j: "next-file",
  k: "previous-file",
  n: "next-hunk",
  p: "previous-hunk",
  a: "accept-hunk",
  r: "reject-hunk",
  A: "accept-file",
  R: "reject-file",
  u: "undo",
  e: "edit",
  "/": "search",
  "?": "help",
};

const ARROWS: Readonly<Record<string, Command>> = { ArrowDown: "next-file", ArrowUp: "previous-file" };

/** The command of a key, or null where it is none of ours. */
export function commandOf(key: Key, place: Place): Command | null {
  if (key.ctrlKey || key.altKey || key.metaKey || key.isComposing) return null;
  if (key.key === "Escape") return "escape";
  if (place === "text") return null;
  const letter = Object.hasOwn(LETTERS, key.key) ? LETTERS[key.key] : undefined;
  if (letter !== undefined) return withShift(letter, key);
  if (place === "arrows" || key.shiftKey) return null;
  return (Object.hasOwn(ARROWS, key.key) ? ARROWS[key.key] : undefined) ?? null;
}

/** With Caps Lock, `a` comes as `A` without Shift and the other way round: only Shift says which is meant. */
function withShift(letter: Command, key: Key): Command {
  if (key.key === "?" || key.key === "/") return letter;
  const exact = LETTERS[key.shiftKey ? key.key.toUpperCase() : key.key.toLowerCase()];
  return exact ?? letter;
}

/** For the help: keys and what they do. */
export const KEYS: readonly (readonly [string, string])[] = [
  ["j or ↓", "Next file"],
  ["k or ↑", "Previous file"],
  ["n", "Next hunk"],
  ["p", "Previous hunk"],
  ["a", "Accept the hunk"],
  ["r", "Reject the hunk"],
  ["Shift+A", "Accept the file"],
  ["Shift+R", "Reject the file"],
  ["u", "Undo the last decision, then the one before"],
  ["e", "Edit the proposal"],
  ["/", "Filter files"],
  ["Esc", "Leave the filter, the editor or this help"],
  ["?", "This help"],
];

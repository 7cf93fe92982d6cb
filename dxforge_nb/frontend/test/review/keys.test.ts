import { describe, expect, it } from "vitest";
import { commandOf, KEYS } from "../../src/review/keys";

describe("keys", () => {
  it.each([
    ["j", "next-file"], ["k", "previous-file"], ["ArrowDown", "next-file"], ["ArrowUp", "previous-file"],
    ["n", "next-hunk"], ["p", "previous-hunk"], ["a", "accept-hunk"], ["r", "reject-hunk"],
    ["u", "undo"], ["e", "edit"], ["/", "search"], ["?", "help"], ["Escape", "escape"],
  ])("%s is %s", (key, command) => {
    expect(commandOf({ key, shiftKey: key === "?" }, "elsewhere")).toBe(command);
  });

  it("decides on files only with Shift, whatever Caps Lock makes of the letter", () => {
    expect(commandOf({ key: "A", shiftKey: true }, "elsewhere")).toBe("accept-file");
    expect(commandOf({ key: "R", shiftKey: true }, "elsewhere")).toBe("reject-file");
    expect(commandOf({ key: "A", shiftKey: false }, "elsewhere")).toBe("accept-hunk");
    expect(commandOf({ key: "a", shiftKey: true }, "elsewhere")).toBe("accept-file");
  });

  it("means nothing while typing, but for Escape", () => {
    for (const key of ["j", "A", "/", "?", "ArrowDown", "u"]) expect(commandOf({ key }, "text")).toBeNull();
    expect(commandOf({ key: "Escape" }, "text")).toBe("escape");
  });

  it("leaves the arrows to places that scroll or move by them", () => {
    expect(commandOf({ key: "ArrowDown" }, "arrows")).toBeNull();
    expect(commandOf({ key: "j" }, "arrows")).toBe("next-file");
  });

  it("leaves the browser's and the host's own combinations alone", () => {
    for (const more of [{ ctrlKey: true }, { metaKey: true }, { altKey: true }, { isComposing: true }]) {
      expect(commandOf({ key: "a", ...more }, "elsewhere")).toBeNull();
    }
    expect(commandOf({ key: "constructor" }, "elsewhere")).toBeNull();
    expect(commandOf({ key: "Enter" }, "elsewhere")).toBeNull();
  });

  it("has a line of help for every one of them", () => {
    const named = KEYS.map(([keys]) => keys).join(" ");
    for (const key of ["j", "↓", "k", "↑", "n", "p", "a", "r", "Shift+A", "Shift+R", "u", "e", "/", "?", "Esc"]) {
      expect(named).toContain(key);
    }
  });
});

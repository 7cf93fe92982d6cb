import { describe, expect, it } from "vitest";

import { outputLine, shown } from "../src/shown";

describe("foreign text", () => {
  it.each([
    ["plain ünï 日本 🎈", "plain ünï 日本 🎈"],
    ["a\u202etxt.exe", "a\\u202etxt.exe"],
    ["\x1b[31mred", "\\x1b[31mred"],
    ["a\nb\tc", "a\\x0ab\\x09c"],
    ["zero\u200bwidth", "zero\\u200bwidth"],
    ["no\u00a0break", "no\\xa0break"],
    ["\u{e0001}", "\\U000e0001"],
    ["\udc80", "\\udc80"],
  ])("%j is shown as %j", (text, expected) => {
    expect(shown(text)).toBe(expected);
    expect(shown(shown(text))).toBe(expected);
  });
});

describe("a line of output", () => {
  it.each([
    ["\x1b[1;31mred\x1b[0m and\tplain\r\n", "red and\tplain"],
    ["10%\r50%\r100%", "100%"],
    ["\x1b]0;title\x07text", "text"],
    ["bell\x07", "bell\\x07"],
  ])("%j is shown as %j", (text, expected) => {
    expect(outputLine(text)).toBe(expected);
  });
});

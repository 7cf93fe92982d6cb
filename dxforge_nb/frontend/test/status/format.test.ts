import { describe, expect, it } from "vitest";

import { ago, count, duration, percent, size, timeOf } from "../../src/status/format";

describe("figures", () => {
  it.each([
    [-5, "0 s"], [0, "0 s"], [59.9, "59 s"], [60, "1 min"], [3599, "59 min"], [3600, "1 h"], [7810, "2 h 10 min"],
    [86_400, "1 d"], [86_400 * 4 + 3 * 3600 + 60, "4 d 3 h"],
  ])("%d seconds are %s", (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it.each([
    [0, "0 B"], [1023, "1023 B"], [1536, "1.5 KiB"], [96 * 2 ** 20, "96 MiB"], [1.3 * 2 ** 30, "1.3 GiB"],
    [5000 * 2 ** 30, "5000 GiB"],
  ])("%d bytes are %s", (bytes, text) => {
    expect(size(bytes)).toBe(text);
  });

  it.each([[0, "0%"], [0.44, "0.4%"], [2.02, "2%"], [12.3, "12%"], [182, "182%"]])("%d percent are %s", (value, text) => {
    expect(percent(value)).toBe(text);
  });

  it("one is not many", () => {
    expect([count(0, "file"), count(1, "file"), count(2, "file")]).toEqual(["0 files", "1 file", "2 files"]);
  });
});

describe("times", () => {
  it("are read in both forms, and nothing else is taken for one", () => {
    expect(timeOf("2026-11-23T18:00:00Z")).toBe(Date.UTC(2026, 10, 23, 18));
    expect(timeOf(1_000)).toBe(1_000_000);
    expect(timeOf("yesterday")).toBeNull();
  });

  it("are told by how long ago they were", () => {
    expect(ago(0, 59_000)).toBe("just now");
    expect(ago(60_000, 0)).toBe("just now");
    expect(ago(0, 300_000)).toBe("5 min ago");
  });
});

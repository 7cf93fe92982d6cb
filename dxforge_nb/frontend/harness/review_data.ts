// Files as a review might hold them, one of each kind.

import { type FakeFile, file } from "../test/review/kernel";

const PACKAGE = "src/dx_packages/humanize/humanize";

function pythonBase(): string[] {
  const functions = ["intcomma", "intword", "apnumber", "fractional", "scientific", "clamp", "metric"];
  return [
    '"""Humanizing functions for numbers."""', "", "from __future__ import annotations", "", "import math", "import re", "",
    ...functions.flatMap((name) => [
      `def ${name}(value, ndigits=None, strings=(",", ".")):`,
      `    """Return \`value\` as ${name} would print it."""`,
      "    try:",
      "        if not math.isfinite(float(value)):",
      "            return _format_not_finite(float(value))",
      "    except (TypeError, ValueError):",
      "        return str(value)",
      `    pattern = re.compile(r"^(-?\\d+)(\\d{3})")`,
      "    while True:",
      `        new = re.sub(pattern, r"\\g<1>,\\g<2>", str(value))`,
      "        if str(value) == new:",
      "            return new",
      "        value = new",
      "", "",
    ]),
  ];
}

function changed(lines: readonly string[], ...changes: readonly [number, number, ...string[]][]): string[] {
  const result = [...lines];
  for (const [at, removed, ...added] of [...changes].reverse()) result.splice(at, removed, ...added);
  return result;
}

const text = (lines: readonly string[]): string => `${lines.join("\n")}\n`;

export function someFiles(): FakeFile[] {
  const base = pythonBase();
  const mine: [number, number, ...string[]] = [14, 1, "    pattern = THOUSANDS  # compiled once, see the top"];
  const theirs: [number, number, ...string[]][] = [
    [5, 1, "import math", "import operator"],
    [24, 1, "    def finite(number): return math.isfinite(float(number))", "    if not finite(value):"],
    [71, 2],
  ];
  const local = changed(base, mine);
  const proposal = changed(base, theirs[0]!, mine, ...theirs.slice(1));
  const number = { base: text(base), local: text(local), incoming: text(changed(base, ...theirs)), proposal: text(proposal) };
  const time = ["import datetime as dt", "", "def naturaldelta(value, months=True):", "    tz = dt.timezone.utc", "    return str(value)"];
  const long = "x".repeat(900_000);
  const red = "your edit and the update overlap";
  const big = Array.from({ length: 2000 }, (_, line) => `value_${line} = compute(${line}, "row ${line}")  # a line of a longer file`);
  return [
    file(`${PACKAGE}/number.py`, number),
    file(`${PACKAGE}/time.py`, {
      base: text(time), local: text(changed(time, [3, 1, "    tz = LOCAL_ZONE"])),
      incoming: text(changed(time, [3, 1, "    tz = dt.UTC  # Python 3.11"])),
      proposal: text(changed(time, [3, 1, "    tz = dt.UTC  # Python 3.11"])),
    }, { light: "red", reason: red, set_aside: `${PACKAGE}/time.py.new` }),
    file(`${PACKAGE}/filesize.py`, {
      base: text(time), local: text(changed(time, [0, 0, "# mine"])), incoming: text(changed(time, [5, 0, "", "X = 1"])),
      proposal: text(changed(time, [0, 0, "# mine"], [5, 0, "", "X = 1"])),
    }, { new_path: `${PACKAGE}/sizes/binary.py`, reason: "renamed upstream to humanize/sizes/binary.py; your edit can move there" }),
    file(`${PACKAGE}/locale/de.mo`, {}, { binary: true, light: "red", reason: "you and upstream both changed this binary file" }),
    file(`${PACKAGE}/i18n.py`, { base: text(time), local: text(changed(time, [0, 0, "# mine"])) },
      { light: "red", reason: "removed upstream, but you had edited it" }),
    file(`${PACKAGE}/lists.py`, { base: text(time), incoming: text(changed(time, [1, 0, "import os"])), proposal: text(changed(time, [1, 0, "import os"])) },
      { reason: "you deleted it, upstream changed it" }),
    file("src/dx_packages/lodash/dist/lodash.min.js", { base: "x", local: `${long}a`, incoming: `b${long}`, proposal: `b${long}a` }),
    file("src/dx_packages/lodash/lodash.js", {
      base: text(big), local: text(changed(big, [100, 1, "mine = 1"])), incoming: text(changed(big, [1500, 1, "theirs = 2"])),
      proposal: text(changed(big, [100, 1, "mine = 1"], [1500, 1, "theirs = 2"])),
    }),
    file("src/dx_packages/theme/<img src=x onerror=alert(1)>.css", {
      base: "a { color: red }\r\n", local: "a { color: blue }\r\n", incoming: "a { color: red; margin: 0 }\r\n",
      proposal: "a { color: blue; margin: 0 }\r\n</style><script>alert(1)</script>\r\n",
    }, { reason: "<b>bold</b> \u202egnp.exe" }),
  ];
}

export function manyFiles(count: number): FakeFile[] {
  return Array.from({ length: count }, (_, at) => {
    const base = `a = ${at}\nb = 2\nc = 3\n`;
    const light = at % 7 === 0 ? "red" : "yellow";
    const path = `src/dx_packages/big/${["core", "utils", "io", "ui"][at % 4]}/module_${String(at).padStart(5, "0")}.py`;
    return file(path, { base, local: `${base}mine = 1\n`, incoming: base.replace("b = 2", "b = 3"), proposal: `${base.replace("b = 2", "b = 3")}mine = 1\n` }, { light });
  });
}

/** Files at the limits of what is shown: about 1 MiB, many lines, one line, all of it new. */
export function largeFiles(): FakeFile[] {
  const lines = (count: number, word: string): string[] =>
    Array.from({ length: count }, (_, line) => `${word}_${line} = compute(${line * 7919 % 1009}, "${word} ${line}")`);
  const rewritten = { base: text(lines(2000, "old")), local: text(lines(2000, "mine")), incoming: text(lines(2000, "theirs")), proposal: text(lines(2000, "new")) };
  const huge = lines(24_000, "value");
  const some = (step: number, word: string): string[] => huge.map((line, at) => (at % step === 7 ? `${line}  # ${word}` : line));
  const noise = Array.from({ length: 120_000 }, (_, at) => ((at * 2654435761) % 4294967296).toString(36)).join(" ");
  const other = Array.from({ length: 120_000 }, (_, at) => ((at * 2246822519) % 4294967296).toString(36)).join(" ");
  return [
    file("src/dx_packages/large/rewrite.py", rewritten),
    file("src/dx_packages/large/huge.py", { base: text(huge), local: text(some(500, "mine")), incoming: text(some(333, "theirs")), proposal: text(some(333, "both")) }),
    file("src/dx_packages/large/million.txt", { base: "", local: noise, incoming: other, proposal: other }),
    file("src/dx_packages/large/newmillion.txt", { proposal: noise, incoming: noise }),
  ];
}

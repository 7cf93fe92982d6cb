// A project as it might be in the middle of a day.

import type { Status } from "../src/protocol";

const nowS = Date.now() / 1000;
const iso = (secondsAgo: number): string => new Date((nowS - secondsAgo) * 1000).toISOString();

export const STATUS: Status = {
  project: "weather-station",
  tools: [
    {
      name: "web", state: "healthy", pid: 48213, started: nowS - 2 * 3600 - 610, cpu_percent: 1.2,
      memory_bytes: 48.2 * 2 ** 20, restarts: 0, health: "GET http://127.0.0.1:8000/health", detail: "",
      last_lines: ["INFO 127.0.0.1 GET / 200 in 3 ms", "INFO 127.0.0.1 GET /api/stations 200 in 12 ms"], owner: "here",
    },
    {
      name: "dx-style", state: "running", pid: 48217, started: nowS - 2 * 3600 - 600, cpu_percent: 0,
      memory_bytes: 96 * 2 ** 20, restarts: 0, health: "", detail: "",
      last_lines: ["rebuilt dist/style.css in 48 ms"], owner: "here",
    },
    {
      name: "dx-js-bundler", state: "starting", pid: 1048219, started: nowS - 4, cpu_percent: 182,
      memory_bytes: 1.3 * 2 ** 30, restarts: 3, health: "", detail: "waits for port 5173",
      last_lines: ["vite ready"], owner: "here",
    },
    {
      name: "queue", state: "degraded", pid: 2214, started: nowS - 380, cpu_percent: 0.4, memory_bytes: 12 * 2 ** 20,
      restarts: 12, health: "tcp 127.0.0.1:6379", detail: "3 probes in a row failed: connection refused",
      last_lines: ["Traceback (most recent call last):", "ConnectionRefusedError: [Errno 111]"], owner: "elsewhere",
    },
    {
      name: "docs", state: "stopped", pid: null, started: null, cpu_percent: null, memory_bytes: null, restarts: 0,
      health: "", detail: "", last_lines: [], owner: "",
    },
  ],
  tasks: [
    {
      id: 41, kind: "SyncToCloudflareR2", label: "Sync to R2", state: "running", done: 1310, total: 2000,
      detail: "packs/7f3a.pack", error: "", retry_in_s: null, can_retry: false, can_cancel: true,
    },
    {
      id: 42, kind: "AnalyzeCodebasePatterns", label: "Analyze codebase patterns", state: "running", done: 0,
      total: null, detail: "src/weather/model.py", error: "", retry_in_s: null, can_retry: false, can_cancel: true,
    },
    {
      id: 43, kind: "PrefetchPackage", label: "Prefetch humanize", state: "waiting", done: 0, total: null, detail: "",
      error: "the index did not answer", retry_in_s: 42, can_retry: true, can_cancel: true,
    },
    {
      id: 40, kind: "PrefetchPackage", label: "Prefetch leftpad-with-a-very-long-name", state: "failed", done: 0,
      total: null, detail: "", error: "no such package on the index", retry_in_s: null, can_retry: true,
      can_cancel: false,
    },
  ],
  packages: [
    { name: "humanize", version: "4.9.0", source: "pypi", edited: 2, pending: 1, red: 0, leaving: false },
    { name: "python-slugify", version: "8.0.4", source: "pypi", edited: 0, pending: 0, red: 0, leaving: false },
    { name: "left-pad", version: "1.3.0", source: "npm", edited: 0, pending: 2, red: 0, leaving: false },
    { name: "attic", version: "0.3", source: "git https://example.org/attic.git", edited: 1, pending: 0, red: 0, leaving: true },
  ],
  pending: { yellow: 2, red: 1 },
  snapshot: { id: "7f3a9c2e41b0d1", time: iso(312), label: "before upgrade of humanize" },
  sync: { time: iso(7300), url: "s3://weather-artifacts", detail: "1,310 objects" },
};

const text = (lines: string[]): string => `${lines.join("\n")}\n`;
const LOCAL = text(["def ordinal(value, gender='male'):", "    # ours: no translation", "    value = int(value)", "    return f'{value}th'"]);

export const REVIEW = {
  files: [
    {
      path: "src/dx_packages/humanize/number.py", package: "humanize", light: "yellow", reason: "both sides changed it",
      hunks: 1, binary: false, new_path: null, set_aside: null, broken: "", version: "1",
    },
    {
      path: "src/dx_packages/left_pad/index.js", package: "left-pad", light: "red", reason: "the same lines changed",
      hunks: 1, binary: false, new_path: null, set_aside: null, broken: "", version: "1",
    },
  ],
  summary: { yellow: 1, red: 1, decided: 0 },
  undo: null,
};

export const OPENED = {
  entry: REVIEW.files[0],
  sides: {
    base: LOCAL.replace("    # ours: no translation\n", ""), local: LOCAL,
    incoming: LOCAL.replace("    # ours: no translation\n", "").replace("th'", "th' if value else '0'"),
    proposal: LOCAL.replace("th'", "th' if value else '0'"),
  },
  hunks: [{ id: "h1", header: "def ordinal", old: [3, 4], new: [3, 4] }],
  encoding: "utf-8",
  why_not: "",
};

// Figures and times as one reads them.

const MINUTE_S = 60;
const HOUR_S = 60 * MINUTE_S;
const DAY_S = 24 * HOUR_S;

/** `42 s`, `3 min`, `2 h 10 min`, `4 d 3 h`: coarse enough to be calm. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < MINUTE_S) {
    return `${whole} s`;
  }
  if (whole < HOUR_S) {
    return `${Math.floor(whole / MINUTE_S)} min`;
  }
  const [unit, name, rest, restName] = whole < DAY_S ? [HOUR_S, "h", MINUTE_S, "min"] : [DAY_S, "d", HOUR_S, "h"];
  const left = Math.floor((whole % unit) / rest);
  return `${Math.floor(whole / unit)} ${name}${left === 0 ? "" : ` ${left} ${restName}`}`;
}

/** `512 B`, `1.5 KiB`, `96 MiB`. */
export function size(bytes: number): string {
  let value = Math.max(0, bytes);
  let unit = "B";
  for (const next of ["KiB", "MiB", "GiB"]) {
    if (value < 1024) {
      break;
    }
    value /= 1024;
    unit = next;
  }
  return `${unit !== "B" && value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** `0%`, `0.4%`, `12%`, `180%`. */
export function percent(value: number): string {
  return `${value < 9.95 ? Number(value.toFixed(1)) : Math.round(value)}%`;
}

/** `3 files`, `1 file`. */
export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? "" : "s"}`;
}

/** Milliseconds since 1970 of an ISO 8601 text or of seconds since 1970; null where it is neither. */
export function timeOf(value: string | number): number | null {
  const time = typeof value === "number" ? value * 1000 : Date.parse(value);
  return Number.isFinite(time) ? time : null;
}

/** `just now`, `5 min ago`. */
export function ago(timeMs: number, nowMs: number): string {
  const seconds = (nowMs - timeMs) / 1000;
  return seconds < MINUTE_S ? "just now" : `${duration(seconds)} ago`;
}

export function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

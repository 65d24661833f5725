// Numbers and names as people read them: the same words as in the terminal report (proxy/src/export/text.rs).

const DASH = "–";

/** A number with three significant digits and no exponent. */
export function threeDigits(value: number): string {
  const size = Math.abs(value);
  if (size < 9.995) return value.toFixed(2);
  return size < 99.95 ? value.toFixed(1) : count(Math.round(value));
}

/** Milliseconds with the unit that fits: `830 µs`, `12.3 ms`, `4.56 s`, `12.1 min`, `3.20 h`. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return DASH;
  if (ms <= 0) return "0";
  if (ms < 0.9995) return `${threeDigits(ms * 1e3)} µs`;
  if (ms < 999.5) return `${threeDigits(ms)} ms`;
  if (ms < 99_950) return `${threeDigits(ms / 1e3)} s`;
  if (ms < 5_970_000) return `${threeDigits(ms / 6e4)} min`;
  if (ms < 359_000_000) return `${threeDigits(ms / 3.6e6)} h`;
  return `${threeDigits(ms / 8.64e7)} d`;
}

/** `1234567` as `1,234,567`. */
export function count(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  return String(Math.round(value)).replace(/\B(?=(\d{3})+(?!\d))/g, ",");
}

export function counted(value: number, noun: string): string {
  return `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A mean of whole things: `4`, `0.25`, `1,234`. */
export function amount(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  const whole = Math.round(value);
  return Math.abs(value - whole) > 1e-9 ? threeDigits(value) : count(whole);
}

/** A share (0 to 1) in percent with one decimal. */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return DASH;
  return `${(share * 100).toFixed(1)} %`;
}

/** Bytes with a binary unit. */
export function bytes(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return DASH;
  if (value < 1_024) return `${Math.round(value)} B`;
  if (value < 1_048_576) return `${threeDigits(value / 1_024)} KiB`;
  if (value < 1_073_741_824) return `${threeDigits(value / 1_048_576)} MiB`;
  return `${threeDigits(value / 1_073_741_824)} GiB`;
}

/** Seconds as `2 h 5 min`, `5 min 3 s`, `42 s`. */
export function span(seconds: number): string {
  const s = Math.floor(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3_600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86_400) return `${Math.floor(s / 3_600)} h ${Math.floor(s / 60) % 60} min`;
  return `${Math.floor(s / 86_400)} d ${Math.floor(s / 3_600) % 24} h`;
}

function parts(time: string): [string, string] | undefined {
  const found = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)/.exec(time);
  return found?.[1] && found[2] ? [found[1], found[2]] : undefined;
}

/** RFC 3339 as `2026-11-22 20:04:07 UTC`. */
export function moment(time: string): string {
  const at = parts(time);
  return at ? `${at[0]} ${at[1]} UTC` : clean(time);
}

export function clock(time: string): string {
  return parts(time)?.[1] ?? clean(time);
}

/** Two times; the day stands once where it is one. */
export function moments(from: string, to: string): string {
  const [a, b] = [parts(from), parts(to)];
  if (!a || !b) return clean(`${from} to ${to}`);
  if (a[0] === b[0] && a[1] === b[1]) return `${a[0]} ${a[1]} UTC`;
  return a[0] === b[0] ? `${a[0]} ${a[1]} to ${b[1]} UTC` : `${a[0]} ${a[1]} to ${b[0]} ${b[1]} UTC`;
}

// Control and direction characters: names come from clients and must not steer what stands beside them.
const STEERS = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;
const STEERS_BUT_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

export function clean(text: string): string {
  return text.replace(/[\n\t]/g, " ").replace(STEERS, "\ufffd");
}

export function cleanLines(text: string): string {
  return text.replace(/\t/g, " ").replace(STEERS_BUT_LINES, "\ufffd");
}

/** The first `width` characters; a cut is shown. */
export function cut(text: string, width: number): string {
  const shown = clean(text.length > 4 * width ? text.slice(0, 4 * width) : text);
  return shown.length <= width ? shown : `${[...shown].slice(0, width - 1).join("")}…`;
}

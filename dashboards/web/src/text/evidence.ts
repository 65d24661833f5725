// A finding's place, evidence and cost as phrases: the same as in the terminal report (proxy/src/export/words.rs).

import type { Finding } from "../data/shapes";
import { amount, bytes, count, counted, duration, percent, threeDigits } from "./format";
import { isProved, proofWords } from "./words";

/** `orders.customer_id → customers.id`, or the column that a predicate asks for. */
export function columns(finding: Finding): string | null {
  const { parent, child } = finding;
  if (!parent || !child) return finding.column;
  const from = named(parent.table, parent.column, `column ${parent.field + 1} of the result`);
  return `${from} → ${named(child.table, child.column, `parameter ${child.slot}`)}`;
}

function named(table: string | null, column: string | null, unknown: string): string {
  if (table !== null) return column === null ? `${table}, ${unknown}` : `${table}.${column}`;
  return column ?? unknown;
}

// Numbers that the phrases of a kind already say, or that say nothing to a person.
const TOLD: Record<string, string[]> = {
  n_plus_one: ["distinct_values_used", "distinct_values_kept", "wall_ms"],
  missing_index: [
    "calls", "server_p50_ms", "server_total_ms", "server_share", "baseline_ms", "rows_p50", "rows_p95", "bytes_p50",
    "support", "tier", "statements", "plan_before", "plan_after", "reasons_against", "hints", "replaces",
  ],
};

export function evidence(finding: Finding): string[] {
  let phrases: string[] = [];
  if (finding.kind === "n_plus_one") phrases = lookUps(finding);
  if (finding.kind === "missing_index") phrases = slowSearch(finding);
  if (phrases.length === 0) phrases = [proofWords(finding.proof)];
  const told = TOLD[finding.kind] ?? [];
  const rest = Object.entries(finding.evidence).filter(([name, value]) => !told.includes(name) && value !== false && value !== "no");
  return [...phrases, ...rest.map(([name, value]) => `${spaced(name)}: ${plain(name, value)}`)];
}

function lookUps(finding: Finding): string[] {
  const phrases = [proofWords(finding.proof)];
  const runs = executions(finding);
  if (runs !== null) phrases.push(runs);
  const { coverage, explained, ratio } = finding;
  if (coverage !== null) {
    phrases.push(coverage >= 0.9995 ? "every value looked up" : `${percent(coverage)} of the values looked up`);
  }
  if (explained !== null && explained < 0.9995) phrases.push(`explains ${percent(explained)} of such look-ups`);
  if (ratio !== null) {
    phrases.push(ratio >= 0.9995 ? "after every run of the parent" : `after ${percent(ratio)} of the parent's runs`);
  }
  const wall = float(finding, "wall_ms");
  if (wall !== null && wall > 0) phrases.push(`${duration(wall)} from first to last`);
  const others = finding.parent?.alternatives ?? [];
  if (others.length > 0) phrases.push(`equally explained by ${others.join(", ")}`);
  return phrases;
}

function executions(finding: Finding): string | null {
  const latest = finding.n;
  if (latest === null) return null;
  const rows = finding.rows_median === null ? "" : ` after ${counted(finding.rows_median, "row")}`;
  const [usual, most] = [finding.n_median ?? latest, finding.n_max ?? latest];
  const range = usual === latest && most === latest ? "" : ` (usually ${count(usual)}, at most ${count(most)})`;
  return `${counted(latest, "look-up")}${rows}${range}`;
}

function slowSearch(finding: Finding): string[] {
  const phrases: string[] = [];
  const share = float(finding, "server_share");
  if (share !== null) phrases.push(`${percent(share)} of all server time`);
  const why = finding.evidence["support"];
  const baseline = float(finding, "baseline_ms");
  const trip = baseline !== null && baseline > 0 ? ` (the quickest answer took ${duration(baseline)})` : "";
  if (typeof why === "string") phrases.push(`${why}${trip}`);
  const size = float(finding, "bytes_p50");
  if (size !== null) phrases.push(`results of ${bytes(size)} (median)`);
  return phrases;
}

function float(finding: Finding, name: string): number | null {
  const value = finding.evidence[name];
  return typeof value === "number" ? value : null;
}

/** A name without the unit that `plain` prints beside the value. */
export function spaced(name: string): string {
  return name.replace(/_(ms|bytes|share|ratio)$/, "").replace(/_/g, " ").replace("p50", "median").replace("p95", "95 %");
}

export function plain(name: string, value: unknown): string {
  if (typeof value === "number") {
    if (name.endsWith("_ms")) return duration(value);
    if (/_(share|ratio)$/.test(name)) return percent(value);
    if (name.endsWith("_bytes")) return bytes(value);
    return Number.isInteger(value) ? count(value) : threeDigits(value);
  }
  if (typeof value === "string") return value;
  if (Array.isArray(value)) return value.map((item) => plain("", item)).join(", ");
  return value === null ? "–" : JSON.stringify(value);
}

/** What it costs and, where that was measured, what the fix saves. */
export function cost(finding: Finding): string {
  const { busy_total_ms: total, saved_low_ms: low, saved_high_ms: high } = finding.cost;
  const parts: string[] = [];
  if (total > 0) {
    const each = finding.sightings > 1 ? `, ${duration(total / finding.sightings)} each time on average` : "";
    parts.push(`${duration(total)} since start${each}`);
  }
  // Without a proof the bounds are none and all of it: no information.
  if (isProved(finding) && high > 0) {
    const { saved_low_ms_per_hour: lowHour, saved_high_ms_per_hour: highHour } = finding.cost;
    const hourly = lowHour === null || highHour === null ? "" : `, ${range(lowHour, highHour)} an hour`;
    parts.push(`the fix saves ${range(low, high)} each time${hourly}`);
  }
  return parts.length === 0 ? "not known yet" : parts.join("; ");
}

/** `2.00 to 8.59 ms`, `800 µs to 1.20 ms`, `at most 8.59 ms`. */
export function range(low: number, high: number): string {
  if (low <= 0) return `at most ${duration(high)}`;
  const [from, to] = [duration(low), duration(high)];
  if (from === to) return from;
  const [number, unit] = from.split(" ");
  return unit === to.split(" ")[1] ? `${number ?? ""} to ${to}` : `${from} to ${to}`;
}

/** What a person sees beside a finding: time since start, or what the fix saves per day where that is known. */
export function headline(finding: Finding): { value: string; label: string } {
  const perHour = finding.cost.saved_low_ms_per_hour;
  if (isProved(finding) && perHour !== null && perHour > 0) {
    return { value: duration(perHour * 24), label: "avoidable per day, at least" };
  }
  if (finding.cost.busy_total_ms > 0) return { value: duration(finding.cost.busy_total_ms), label: "spent on it since start" };
  return { value: amount(finding.sightings), label: finding.sightings === 1 ? "sighting" : "sightings" };
}

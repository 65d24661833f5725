// Two times of the same statements, and what can be said about the difference.

import type { Statement } from "./shapes";

/** Of one digest in one database: enough to subtract an earlier state from a later one. */
export interface Sums {
  key: string; digest: string; database: string; summary: string;
  calls: number; total_ms: number; rows: number; errors: number; mean_ms: number | null; stddev_ms: number | null;
}

export type Verdict = "new" | "gone" | "slower" | "faster" | "more rows" | "same" | "not judged";

export interface Difference { key: string; digest: string; database: string; summary: string; base: Sums | null; head: Sums | null; verdict: Verdict; t: number | null }

/** Calls on both sides below which a difference may be chance whatever it looks like. */
export const CALLS_MIN = 20;
/** Change of the mean below which nobody cares. */
export const CHANGE_MIN = 0.2;
/** Welch's t beyond which chance does it less than once in a thousand times. */
const T_MIN = 3.3;

export function sumsOf(row: Statement): Sums {
  const { digest, database, summary, calls, total_ms, rows, errors, mean_ms, stddev_ms } = row;
  return { key: `${digest}/${database}`, digest, database, summary, calls, total_ms, rows, errors, mean_ms, stddev_ms };
}

/** What happened between two states of the same counters. */
export function since(before: Sums | undefined, now: Sums): Sums | null {
  if (!before || now.calls < before.calls) return now;
  const calls = now.calls - before.calls;
  if (calls === 0) return null;
  const total_ms = Math.max(0, now.total_ms - before.total_ms);
  const squares = (of: Sums) => of.calls * ((of.stddev_ms ?? 0) ** 2 + (of.mean_ms ?? 0) ** 2);
  const mean_ms = total_ms / calls;
  const variance = Math.max(0, (squares(now) - squares(before)) / calls - mean_ms ** 2);
  return { ...now, calls, total_ms, mean_ms, stddev_ms: Math.sqrt(variance), rows: now.rows - before.rows, errors: now.errors - before.errors };
}

/** Welch's t of the means: positive where the head is slower. */
export function welch(base: Sums, head: Sums): number | null {
  if (base.mean_ms === null || head.mean_ms === null || base.calls < CALLS_MIN || head.calls < CALLS_MIN) return null;
  const spread = (of: Sums) => (of.stddev_ms ?? 0) ** 2 / of.calls;
  const error = Math.sqrt(spread(base) + spread(head));
  const difference = head.mean_ms - base.mean_ms;
  if (error === 0) return difference === 0 ? 0 : Math.sign(difference) * Number.MAX_VALUE;
  return difference / error;
}

function judged(base: Sums | null, head: Sums | null): { verdict: Verdict; t: number | null } {
  if (base === null) return { verdict: "new", t: null };
  if (head === null) return { verdict: "gone", t: null };
  const t = welch(base, head);
  if (t === null || base.mean_ms === null || head.mean_ms === null) return { verdict: "not judged", t };
  if (t > T_MIN && head.mean_ms > base.mean_ms * (1 + CHANGE_MIN)) return { verdict: "slower", t };
  if (t < -T_MIN && head.mean_ms < base.mean_ms / (1 + CHANGE_MIN)) return { verdict: "faster", t };
  const rows = (of: Sums) => of.rows / of.calls;
  return { verdict: rows(head) > rows(base) * (1 + CHANGE_MIN) + 0.5 ? "more rows" : "same", t };
}

export function differences(base: Sums[], head: Sums[]): Difference[] {
  const [before, after] = [new Map(base.map((each) => [each.key, each])), new Map(head.map((each) => [each.key, each]))];
  const keys = [...new Set([...before.keys(), ...after.keys()])];
  return keys.flatMap((key) => {
    const [a, b] = [before.get(key) ?? null, after.get(key) ?? null];
    const named = b ?? a;
    if (named === null) return [];
    const { digest, database, summary } = named;
    return [{ key, digest, database, summary, base: a, head: b, ...judged(a, b) }];
  });
}

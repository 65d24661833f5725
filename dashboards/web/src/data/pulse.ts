// The heartbeat: asks for the summary every two seconds while the page is seen, and tells the pages when there is
// something new to fetch.

import { useEffect, useState } from "preact/hooks";
import { get, isFile, Problem } from "./source";
import type { Info, Summary } from "./shapes";

const PERIOD_MS = 2_000;
/** Refreshing takes at most this share of the time. */
const SHARE_MAX = 0.2;
/** What changes without any statement (uptime, limits) is asked for at least this often. */
const INFO_EVERY = 15;

export interface Pulse {
  summary: Summary | undefined;
  info: Info | undefined;
  problem: Problem | undefined;
  /** Statements in the latest second or two; null until two beats were heard. */
  rate: number | null;
  /** Grows whenever something happened. */
  tick: number;
  paused: boolean;
}

let pulse: Pulse = { summary: undefined, info: undefined, problem: undefined, rate: null, tick: 0, paused: false };
const listeners = new Set<(pulse: Pulse) => void>();
let slowest_ms = 0;
let heard_ms = 0;
let beats = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

function publish(change: Partial<Pulse>): void {
  pulse = { ...pulse, ...change };
  listeners.forEach((listener) => listener(pulse));
}

/** Pages tell how long their own answers took, so that a slow proxy is asked less often. */
export function took(duration_ms: number): void {
  slowest_ms = Math.max(slowest_ms, duration_ms);
}

function print(summary: Summary): string {
  const { books, connections, findings } = summary;
  return JSON.stringify([books.statements, books.aborted, connections, findings, summary.avoidable_ms_per_day]);
}

function rateSince(before: Summary | undefined, now: Summary, elapsed_ms: number): number | null {
  if (!before || elapsed_ms < 500) return null;
  return Math.max(0, ((now.books.statements - before.books.statements) * 1_000) / elapsed_ms);
}

async function beat(): Promise<void> {
  const started = performance.now();
  try {
    const summary = await get<Summary>("/api/v1/summary");
    const isNew = !pulse.summary || pulse.problem !== undefined || print(summary) !== print(pulse.summary);
    const info = isNew || beats % INFO_EVERY === 0 ? await get<Info>("/api/v1/info") : pulse.info;
    const now = performance.now();
    const rate = rateSince(pulse.summary, summary, now - heard_ms);
    heard_ms = now;
    beats += 1;
    publish({ summary, info, rate, problem: undefined, tick: pulse.tick + (isNew ? 1 : 0) });
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(0, null, "The data cannot be read.");
    publish({ problem, rate: null });
  }
  took(performance.now() - started);
}

function schedule(): void {
  clearTimeout(timer);
  if (isFile || document.hidden || pulse.paused) return;
  const wait = Math.max(PERIOD_MS, slowest_ms / SHARE_MAX);
  slowest_ms = 0;
  timer = setTimeout(() => void beat().then(schedule), wait);
}

/** Asks at once, as after a write. */
export function refresh(): void {
  publish({ tick: pulse.tick + 1 });
  void beat().then(schedule);
}

export function pause(paused: boolean): void {
  publish({ paused });
  if (paused) clearTimeout(timer);
  else void beat().then(schedule);
}

export function startPulse(): void {
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!isFile && !pulse.paused) void beat().then(schedule);
  });
  void beat().then(schedule);
}

export function usePulse(): Pulse {
  const [state, setState] = useState(pulse);
  useEffect(() => {
    listeners.add(setState);
    setState(pulse);
    return () => void listeners.delete(setState);
  }, []);
  return state;
}

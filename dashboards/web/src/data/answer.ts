// One answer of the API, fetched when it is needed and again when something happened. What was seen before is shown
// until the new one is there, so that focus and scrolling stay.

import { useEffect, useRef, useState } from "preact/hooks";
import { get, Problem, type Parameters } from "./source";
import { took, usePulse } from "./pulse";
import type { List } from "./shapes";

export interface Answer<T> {
  data: T | undefined;
  problem: Problem | undefined;
}

const KEPT_MAX = 40;
const kept = new Map<string, unknown>();

function keep(key: string, value: unknown): void {
  kept.delete(key);
  kept.set(key, value);
  const oldest = kept.keys().next();
  if (kept.size > KEPT_MAX && !oldest.done) kept.delete(oldest.value);
}

function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem(0, null, "The answer cannot be read.");
}

/** Reads with `load` whenever `key` changes or the pulse ticks; a null key asks for nothing. */
function useLoaded<T>(key: string | null, load: () => Promise<T>): Answer<T> {
  const { tick } = usePulse();
  const [state, setState] = useState<{ key: string | null; problem: Problem | undefined }>({ key, problem: undefined });
  const running = useRef<string | null>(null);
  useEffect(() => {
    // An answer under way for the same question is as good as a new one.
    if (key === null || running.current === key) return;
    const started = performance.now();
    running.current = key;
    const settle = (problem: Problem | undefined) => {
      if (running.current !== key) return;
      running.current = null;
      setState({ key, problem });
    };
    load()
      .then((data) => {
        keep(key, data);
        settle(undefined);
      })
      .catch((error: unknown) => settle(asProblem(error)))
      .finally(() => took(performance.now() - started));
  }, [key, tick]);
  const data = key === null ? undefined : (kept.get(key) as T | undefined);
  return { data, problem: state.key === key ? state.problem : undefined };
}

export function useAnswer<T>(path: string | null, parameters: Parameters = {}): Answer<T> {
  const key = path === null ? null : `${path}?${new URLSearchParams(parameters).toString()}`;
  return useLoaded<T>(key, () => get<T>(path ?? "", parameters));
}

const PAGE = 500;

/** A list with up to `wanted` items, page by page; while more are read, those that were there stay. */
export function useList<T>(path: string, parameters: Parameters = {}, wanted = PAGE): Answer<List<T>> {
  const key = `${path}?${new URLSearchParams({ ...parameters, wanted: String(wanted) }).toString()}`;
  const before = useRef<{ path: string; data: List<T> } | null>(null);
  const answer = useLoaded<List<T>>(key, async () => {
    const first = await get<List<T>>(path, { ...parameters, limit: String(PAGE) });
    let last = first;
    const items = [...first.items];
    while (items.length < wanted && last.next_cursor !== null && last.items.length > 0) {
      const cursor = last.next_cursor;
      last = await get<List<T>>(path, { ...parameters, limit: String(PAGE), cursor });
      items.push(...last.items);
    }
    return { ...last, items };
  });
  if (answer.data) before.current = { path, data: answer.data };
  const stale = before.current?.path === path && !answer.problem ? before.current.data : undefined;
  return { data: answer.data ?? stale, problem: answer.problem };
}

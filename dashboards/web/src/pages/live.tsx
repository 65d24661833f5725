// Statements as they pass: newest first, runs folded, paused by Space.

import { useEffect, useReducer, useRef, useState } from "preact/hooks";
import { href } from "../data/route";
import { isFile, Problem } from "../data/source";
import { follow } from "../data/stream";
import type { EventLine } from "../data/shapes";
import { parseFilter } from "../text/filter";
import { clean, clock, count, duration } from "../text/format";
import { kindWords } from "../text/words";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Icon } from "../parts/icon";
import { Empty, Refused } from "../parts/status";
import { Id, Name } from "../parts/text";

const LINES_MAX = 300;
const NAMES_MAX = 20_000;
const RETRY_MS = 3_000;

interface Line {
  key: number; ev: string; at: string; session: string; digest: string; times: number;
  took_ms: number; rows: number; service: string; route: string; outcome: string; text: string; finding: string;
}

interface Feed { lines: Line[]; skipped: number; next: number }

const text = (event: EventLine, name: string): string => {
  const value = event[name];
  return typeof value === "string" ? value : "";
};
const number = (event: EventLine, name: string): number => {
  const value = event[name];
  return typeof value === "number" ? value : 0;
};

function lineOf(event: EventLine, key: number, names: Map<string, string>): Line {
  const isFinding = event.ev === "finding";
  const digest = text(event, "digest");
  return {
    key, ev: event.ev, at: new Date(number(event, "ts_us") / 1e3).toISOString(), session: text(event, "session"), digest, times: 1,
    took_ms: number(event, "duration_us") / 1e3, rows: number(event, "rows"), service: text(event, "service"), route: text(event, "route"),
    outcome: text(event, "err_sqlstate") || text(event, "outcome"),
    text: isFinding ? `${kindWords(text(event, "kind"))}: ${text(event, "sentence").replace(/`/g, "")}` : names.get(digest) ?? text(event, "summary") ?? digest,
    finding: isFinding ? text(event, "finding") : "",
  };
}

/** Adds events in their order; a run of one digest on one session is one line. */
function fed(feed: Feed, events: EventLine[], names: Map<string, string>): Feed {
  let { skipped, next } = feed;
  const lines = [...feed.lines];
  for (const event of events) {
    if (event.ev === "gap") skipped += number(event, "dropped");
    if (event.ev !== "statement" && event.ev !== "finding") continue;
    const line = lineOf(event, next, names);
    const before = lines[0];
    if (before && line.ev === "statement" && before.ev === "statement" && before.digest === line.digest && before.session === line.session) {
      lines[0] = { ...before, times: before.times + 1, took_ms: before.took_ms + line.took_ms, rows: before.rows + line.rows, at: line.at };
    } else {
      lines.unshift(line);
      next += 1;
    }
  }
  return { lines: lines.slice(0, LINES_MAX), skipped, next };
}

type Action = { events: EventLine[]; names: Map<string, string> } | "clear";
const reduce = (feed: Feed, action: Action): Feed =>
  action === "clear" ? { lines: [], skipped: 0, next: feed.next } : fed(feed, action.events, action.names);

function learn(names: Map<string, string>, events: EventLine[]): void {
  for (const event of events) {
    if (event.ev !== "digest") continue;
    if (names.size >= NAMES_MAX) names.clear();
    names.set(text(event, "digest"), text(event, "summary"));
  }
}

/** Follows the stream unless paused; tries again when it breaks. */
function useFeed(q: string, paused: boolean): { feed: Feed; problem: Problem | null; clear: () => void } {
  const [feed, act] = useReducer(reduce, { lines: [], skipped: 0, next: 0 });
  const [problem, setProblem] = useState<Problem | null>(null);
  const names = useRef(new Map<string, string>());
  useEffect(() => {
    if (isFile || paused) return;
    const abort = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const run = () => {
      follow(q === "" ? {} : { q }, abort.signal, (events) => {
        learn(names.current, events);
        setProblem(null);
        act({ events, names: names.current });
      })
        .catch((error: unknown) => {
          if (!abort.signal.aborted) setProblem(error instanceof Problem ? error : new Problem(0, null, "The stream broke off."));
          return error;
        })
        .then((error) => {
          const isFinal = error instanceof Problem && error.status >= 400 && error.status < 500;
          if (!abort.signal.aborted && !isFinal) timer = setTimeout(run, RETRY_MS);
        });
    };
    run();
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [q, paused]);
  return { feed, problem, clear: () => act("clear") };
}

function usePause(): [boolean, (paused: boolean) => void] {
  const [paused, setPaused] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement | null;
      if (event.key !== " " || target?.closest("input, textarea, select, button, a, summary")) return;
      event.preventDefault();
      setPaused((now) => !now);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  return [paused, setPaused];
}

function LineRow({ line }: { line: Line }) {
  if (line.ev === "finding") {
    return (
      <tr class="found-line">
        <th scope="row" class="slim">{clock(line.at)}</th>
        <td class="text" colSpan={6}><a href={href(["findings", line.finding])}><Name text={line.text} width={160} /></a></td>
      </tr>
    );
  }
  return (
    <tr>
      <th scope="row" class="slim">{clock(line.at)}</th>
      <td class="text">
        <a href={href(["statements", line.digest])}>{line.text ? <Name text={line.text} width={60} /> : <Id text={line.digest} />}</a>
        {line.times > 1 && <strong class="times"> ×{count(line.times)}</strong>}
      </td>
      <td>{duration(line.took_ms)}</td><td>{count(line.rows)}</td>
      <td class="text"><Name text={line.service || "–"} width={30} /></td>
      <td class="text wide"><Name text={line.route || "–"} width={40} /></td>
      <td class="text">{line.outcome === "ok" || line.outcome === "" ? "ok" : <span class="badge error"><Icon name="error" />{clean(line.outcome)}</span>}</td>
    </tr>
  );
}

export function Live() {
  const q = useFilterText();
  const [paused, setPaused] = usePause();
  const { feed, problem, clear } = useFeed(q, paused);
  useEffect(clear, [q]);
  return (
    <>
      <h1 tabIndex={-1}>Live</h1>
      {isFile ? <Refused problem={new Problem(404, "FILE", "")} what="live statements" /> : (
        <>
          <div class="toolbar">
            <button type="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
              <Icon name={paused ? "play" : "pause"} />{paused ? "Go on" : "Pause"}
            </button>
            <FilterBox placeholder="Filter: d>10ms op:select route:/orders/*" filter={parseFilter(q)} />
          </div>
          {problem !== null && <Refused problem={problem} what="stream of events" />}
          {problem === null && feed.lines.length === 0 && <Empty title="Waiting for statements."><p>They appear as they pass, newest first; runs of one statement are folded.</p></Empty>}
          {feed.skipped > 0 && <p class="soft">{count(feed.skipped)} skipped: more passed than can be shown.</p>}
          {feed.lines.length > 0 && (
            <div class="scroll" tabIndex={0} role="region" aria-label="Live statements">
              <table class="live">
                <thead>
                  <tr>
                    <th scope="col" class="text">At (UTC)</th><th scope="col" class="text">Statement</th><th scope="col">Took</th><th scope="col">Rows</th>
                    <th scope="col" class="text">Service</th><th scope="col" class="text wide">Route</th><th scope="col" class="text">Outcome</th>
                  </tr>
                </thead>
                <tbody>{feed.lines.map((line) => <LineRow key={line.key} line={line} />)}</tbody>
              </table>
            </div>
          )}
        </>
      )}
    </>
  );
}

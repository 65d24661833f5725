// What stands in place of data: not there yet, nothing to show, not offered, refused.

import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { isFile, listen, Problem, token } from "../data/source";
import { useAnswer } from "../data/answer";
import { refresh, usePulse } from "../data/pulse";
import type { Info, Summary } from "../data/shapes";
import { clock, count, counted, cut, moments } from "../text/format";
import { Copy } from "./copy";
import { Icon } from "./icon";

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

export function NoStatements() {
  const url = `postgresql://${listen}`;
  return (
    <Empty title="No statements yet.">
      {isFile ? (
        <p>None were seen in the time of this report.</p>
      ) : (
        <p>
          Point an app at <code>{url}</code>: change host and port of its connection string, nothing else.{" "}
          <Copy text={url} what="address" />
        </p>
      )}
    </Empty>
  );
}

function TokenForm() {
  const [value, setValue] = useState("");
  const keep = (event: Event) => {
    event.preventDefault();
    token.keep(value.trim());
    refresh();
  };
  return (
    <form class="row" onSubmit={keep}>
      <label>
        Token{" "}
        <input type="password" autocomplete="off" value={value} onInput={(event) => setValue(event.currentTarget.value)} />
      </label>
      <button type="submit">Use it</button>
      <span class="soft">The proxy printed it in its report line when it started.</span>
    </form>
  );
}

function missing(what: string): { title: string; text: string } {
  return isFile
    ? { title: `A report file has no ${what}.`, text: "Only the running proxy can show it: open the page there." }
    : { title: `This proxy does not offer ${what}.`, text: "It may be older than this page, or know nothing of this name." };
}

/** The path itself is unknown, not the name in it. */
const isUnknownPath = (problem: Problem): boolean =>
  problem.code === "FILE" || problem.message.startsWith("there is nothing at this address");

export function Refused({ problem, what }: { problem: Problem; what: string }) {
  if (problem.status === 401) {
    return (
      <Empty title="The proxy asks for its token.">
        <TokenForm />
      </Empty>
    );
  }
  if (problem.status === 404) {
    const words = missing(what);
    return (
      <Empty title={words.title}>
        <p>{isUnknownPath(problem) || problem.help === null ? words.text : cut(problem.help, 300)}</p>
      </Empty>
    );
  }
  return (
    <Empty title={cut(problem.message, 300)}>
      {problem.help !== null && <p>{cut(problem.help, 300)}</p>}
    </Empty>
  );
}

export { TokenForm };

/** Draws `children` with the data; before that, what is known about its absence. */
export function Loaded<T>({ answer, what, children }: {
  answer: { data: T | undefined; problem: Problem | undefined };
  what: string;
  children: (data: T) => ComponentChildren;
}) {
  const { data, problem } = answer;
  // A read that fails for a moment leaves what was known; the banner says that the proxy is silent.
  if (data !== undefined && (problem === undefined || problem.status === 0)) return <>{children(data)}</>;
  if (problem !== undefined) return <Refused problem={problem} what={what} />;
  return <p class="soft loading" role="status">Reading …</p>;
}

function warnings(pulse: ReturnType<typeof usePulse>): string[] {
  const { info, summary, problem } = pulse;
  const found: string[] = [];
  if (problem && problem.status !== 401 && summary) {
    found.push(`${problem.message} Shown is what was known at ${clock(summary.to)} UTC.`);
  }
  if (!info) return found;
  const { dropped, events, opaque_sessions: opaque } = info.loss;
  if (dropped > 0) found.push(`${count(dropped)} of ${counted(events, "event")} were dropped: the numbers are too low.`);
  if (opaque > 0) found.push(`${counted(opaque, "session")} forwarded without being read: their statements are missing.`);
  if (info.mode !== "full") found.push(`Profiling mode is ${info.mode.replace(/_/g, " ")}: parts of these pages stay empty or old.`);
  if (info.redact === "off") found.push("Literals are kept (profile.redact = off).");
  return found;
}

export function Banner() {
  const pulse = usePulse();
  const found = warnings(pulse);
  return (
    <>
      {isFile && pulse.info && pulse.summary && <Origin info={pulse.info} summary={pulse.summary} />}
      <div role="status" class="banners">
        {found.map((text) => (
          <p key={text} class="banner">
            <Icon name="warning" />
            <strong>Attention:</strong> {text}
          </p>
        ))}
      </div>
    </>
  );
}

/** What a file is a report of. */
function Origin({ info, summary }: { info: Info; summary: Summary }) {
  const notes = useAnswer<string[]>("/api/v1/notes");
  const { dropped, opaque_sessions: opaque } = info.loss;
  const lost = dropped + opaque === 0 ? "nothing was lost" : `${counted(dropped, "event")} dropped, ${counted(opaque, "session")} unread`;
  return (
    <p class="origin soft">
      Report of {moments(summary.from, summary.to)}, {counted(summary.books.statements, "statement")}; pgsonde {info.version} ({info.revision});{" "}
      {info.redact === "all-text" ? "without statement texts" : "literals removed"}; {lost}.
      {(notes.data ?? []).map((note) => <span key={note}> {cut(note, 300)}</span>)}
    </p>
  );
}

// What this proxy is, what it costs, what it lost, what it keeps.

import type { ComponentChildren } from "preact";
import { usePulse } from "../data/pulse";
import { isFile } from "../data/source";
import type { Advisor, Exporter, Info, Summary } from "../data/shapes";
import { spaced } from "../text/evidence";
import { bytes, clean, count, counted, cut, duration, moments, percent, span } from "../text/format";
import { stateWords } from "../text/words";
import { PhaseTable } from "../parts/phases";
import { Loaded } from "../parts/status";
import { Prose } from "../parts/text";

/** A clause as a sentence. */
const opened = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const PRIVACY: Record<string, string> = {
  literals: "Literals become ? and comments are removed before anything is stored, shown or sent; bind values are only ever kept as keyed hashes, but for samples in memory that plans are asked with where there is a side connection (capture_values).",
  "all-text": "No statement text is kept; names are keyed pseudonyms.",
  off: "Statement texts and values are kept as sent, in captures and live events only.",
};

function Facts({ rows }: { rows: [string, ComponentChildren][] }) {
  return <dl>{rows.map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{value}</dd>])}</dl>;
}

function limitOf(name: string, value: number): string {
  if (name.endsWith("_bytes") || /bytes/.test(name)) return bytes(value);
  if (name.endsWith("_ms")) return duration(value);
  return count(value);
}

const STAGES: Record<string, string> = { tcp: "Reaching the server", tls: "TLS with the server", auth: "Authentication, to the first prompt" };

/** Processor time, and how much of one core that was. */
const ownCpu = (cpu_s: number, uptime_s: number): string =>
  `${duration(cpu_s * 1e3)} of processor time${uptime_s > 0 ? ` (${percent(cpu_s / uptime_s)} of a core)` : ""}`;

function Setup({ stages }: { stages: NonNullable<Info["setup"]> }) {
  const within = (p95_ms: number | null | undefined) => (typeof p95_ms === "number" ? `95 % within ${duration(p95_ms)}` : "more than 5 % over 1 s");
  return (
    <section>
      <h2>Setting up connections</h2>
      <Facts rows={stages.map((of) => [STAGES[of.stage] ?? clean(of.stage), `${duration(of.mean_ms)} on average, ${within(of.p95_ms)}; ${counted(of.connections, "time")}`])} />
    </section>
  );
}

function Proxy({ info, summary }: { info: Info; summary: Summary }) {
  const us = (value: number | null) => (value === null ? "–" : duration(value / 1e3));
  const tls = (text: string) => (text === "" ? "" : `, TLS ${text}`);
  const servers = info.upstreams.map((each) => clean(`${each.host}:${each.port}${tls(each.tls)}${each.connect_ms === null ? "" : `, connect ${duration(each.connect_ms)}`}`));
  return (
    <Facts rows={[
      ["Version", info.revision === "unknown" ? info.version : `${info.version} (${info.revision})`], ["Up", span(info.uptime_s)], ["Times", moments(summary.from, summary.to)],
      ["Server", cut(servers.join("; "), 500)], ["Mode", stateWords(info.mode)],
      ["Own delay", `half of the messages within ${us(info.overhead.p50_us)}, 99 % within ${us(info.overhead.p99_us)}`],
      ...(info.own_use ? [["Own use", `${ownCpu(info.own_use.cpu_s, info.uptime_s)}, ${bytes(info.own_use.resident_bytes)} of memory`] as [string, string]] : []),
    ]} />
  );
}

function Losses({ info, summary }: { info: Info; summary: Summary }) {
  const { books } = summary;
  return (
    <>
      <Facts rows={[
        ["Dropped", `${counted(info.loss.dropped, "event")} of ${count(info.loss.events)}`],
        ["Forwarded unread", counted(info.loss.opaque_sessions, "session")],
        ["Statements", `${count(books.statements)} = ${count(books.exact)} timed exactly + ${count(books.bound)} by an upper bound + ${count(books.batch_members)} in batches + ${count(books.empty)} empty + ${count(books.aborted)} cut off`],
        ["Skipped after errors", `${count(books.skipped)} (never run, not counted as statements)`],
        ["Without a digest of their own", `${count(books.other)} of them`],
        ["Failed", percent(summary.error_share)],
      ]} />
      {info.loss.dropped === 0 && info.loss.opaque_sessions === 0 && <p class="soft">Nothing was lost: every number on these pages is complete.</p>}
    </>
  );
}

function Advice({ advisor }: { advisor: Advisor }) {
  const existing = advisor.databases.flatMap((each) => each.existing_indexes.map((index) => ({ ...index, db: each.db_name })));
  const notes = advisor.databases.flatMap((each) => each.notes);
  return (
    <section>
      <h2>Index advice</h2>
      <p>Missing indexes are at best {clean(advisor.tier)} now.</p>
      {advisor.problems.map((problem, index) => (
        <p key={index}>{problem.db_name !== null && `${clean(problem.db_name)}: `}<Prose text={opened(problem.what)} />. <strong>To do:</strong> <Prose text={problem.remedy} />.</p>
      ))}
      {existing.length > 0 && (
        <>
          <h3>Indexes that may be unnecessary</h3>
          <ul class="evidence">{existing.map((each, index) => <li key={index}>{clean(`${each.kind}: ${each.index} on ${each.table}: ${each.why}`)}</li>)}</ul>
        </>
      )}
      {notes.length > 0 && <ul class="evidence">{notes.map((note, index) => <li key={index}>{clean(note)}</li>)}</ul>}
    </section>
  );
}

function Exports({ exports }: { exports: Exporter[] }) {
  const lost = (of: Exporter) => Object.entries(of.dropped).filter(([, rows]) => rows > 0).map(([reason, rows]) => `${counted(rows, "row")} (${spaced(reason)})`);
  return (
    <section>
      <h2>Exported</h2>
      {exports.map((of) => (
        <Facts key={of.exporter} rows={[
          ["To", clean(of.exporter)],
          ["Arrived", `${counted(of.rows, "row")}, ${bytes(of.bytes)} sent`],
          ["Waiting on disk", bytes(of.spool_bytes)],
          ["Lost", lost(of).join(", ") || "nothing"],
          ["Failed attempts", `${count(of.failures)}${of.last_error === null ? "" : `, now: ${clean(of.last_error)}`}`],
        ]} />
      ))}
    </section>
  );
}

export function About() {
  const { info, summary, problem } = usePulse();
  const data = info && summary ? { info, summary } : undefined;
  return (
    <>
      <h1 tabIndex={-1}>About</h1>
      <Loaded answer={{ data, problem }} what="facts about itself">
        {({ info: of, summary: sum }) => (
          <>
            <section><h2>This proxy</h2><Proxy info={of} summary={sum} /></section>
            <PhaseTable title="Where all time went" phases={sum.phases_ms} more={[
              { name: "think_in_transaction", short: "thinking", long: "The application thinking inside a transaction", ms: sum.phases_ms.think_in_transaction },
            ]} />
            {of.setup !== undefined && of.setup.length > 0 && <Setup stages={of.setup} />}
            <section><h2>Counted and lost</h2><Losses info={of} summary={sum} /></section>
            {of.exports !== undefined && of.exports.length > 0 && <Exports exports={of.exports} />}
            {of.advisor !== undefined && of.advisor.tier !== "off" && <Advice advisor={of.advisor} />}
            <section>
              <h2>Privacy</h2>
              <p>{PRIVACY[of.redact] ?? clean(of.redact)} <span class="soft">(profile.redact = {clean(of.redact)})</span></p>
              <p>This page asks {isFile ? "nobody: all data is inside the file" : "only the proxy that served it"}; nothing is loaded from elsewhere.</p>
            </section>
            <section>
              <h2>Limits</h2>
              <Facts rows={Object.entries(of.limits).map(([name, value]) => [spaced(name), limitOf(name, value)])} />
              <p class="soft">At a limit pgsonde counts what it leaves out and says so; it never grows, blocks or breaks off.</p>
            </section>
            {!isFile && (
              <section>
                <h2>The same elsewhere</h2>
                <p><a href="/plain">plain tables</a> · <a href="/metrics">metrics</a> · <a href="/api/v1/summary">JSON</a> · <code>pgsonde report {location.origin} -o report.html</code></p>
              </section>
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

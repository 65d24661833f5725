// One statement: its text, its times, where it comes from, and what is known about its plan.

import type { ComponentChildren } from "preact";
import { useAnswer } from "../data/answer";
import { href } from "../data/route";
import { isFile, type Parameters } from "../data/source";
import type { EventLine, Finding, StatementDetail } from "../data/shapes";
import { plain, spaced } from "../text/evidence";
import { amount, bytes, clean, cleanLines, count, duration, moment, moments, percent, threeDigits } from "../text/format";
import { explain, forPsql } from "../text/sql";
import { kindWords } from "../text/words";
import { Copy } from "../parts/copy";
import { Histogram } from "../parts/histogram";
import { PhaseTable } from "../parts/phases";
import { PlanNow } from "../parts/plan";
import { SeriesChart } from "../parts/series";
import { Share } from "../parts/spark";
import { Loaded } from "../parts/status";
import { Grade, Id, Name, Prose, Severity, Sql } from "../parts/text";

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return <section><h2>{title}</h2>{children}</section>;
}

function Numbers({ of }: { of: StatementDetail }) {
  const rows: [string, string][] = [
    ["Calls", count(of.calls)], ["Share of all time", percent(of.share)], ["Total", duration(of.total_ms)],
    ["Mean", duration(of.mean_ms)], ["Median", duration(of.p50_ms)], ["95 %", duration(of.p95_ms)],
    ["99 %", duration(of.p99_ms)], ["Shortest", duration(of.min_ms)], ["Longest", duration(of.max_ms)],
    ["Standard deviation", duration(of.stddev_ms)],
    ["Variance by mean", of.variance_to_mean === null ? "–" : `${threeDigits(of.variance_to_mean)} ms`],
    ["Rows per call", amount(of.rows_per_call)], ["Bytes sent", bytes(of.sent_bytes)],
    ["Bytes received", bytes(of.received_bytes)], ["Errors", count(of.errors)],
  ];
  if (of.batch_members > 0) rows.push(["Of them in batches", count(of.batch_members)]);
  return <dl class="numbers">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function Sources({ of }: { of: StatementDetail }) {
  return (
    <Part title="Where it comes from">
      <div class="scroll" tabIndex={0} role="region" aria-label="Sources">
        <table>
          <thead>
            <tr>
              <th scope="col" class="text">Application</th><th scope="col" class="text">User</th><th scope="col" class="text">Route</th>
              <th scope="col">Calls</th><th scope="col">Total</th>
            </tr>
          </thead>
          <tbody>
            {of.sources.map((source, index) => (
              <tr key={index}>
                <th scope="row"><Name text={source.application_name || "–"} width={60} /></th>
                <td class="text"><Name text={source.user} width={40} /></td>
                <td class="text">{source.route === null ? "–" : <Name text={source.route} width={60} />}</td>
                <td>{count(source.calls)}</td><td>{duration(source.total_ms)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Part>
  );
}

function Columns({ of }: { of: StatementDetail }) {
  if (of.columns.length === 0) {
    return <Part title="Bytes by column"><p class="soft">Only large results are sampled (32 KiB and more); it had none.</p></Part>;
  }
  return (
    <Part title="Bytes by column">
      <div class="scroll fit" tabIndex={0} role="region" aria-label="Bytes by column">
      <table class="narrow">
        <thead><tr><th scope="col" class="text">Column</th><th scope="col">Share</th><th scope="col">Bytes in samples</th></tr></thead>
        <tbody>
          {of.columns.map((column, index) => (
            <tr key={index}>
              <th scope="row"><Name text={column.table === null ? column.column : `${column.table}.${column.column}`} width={60} /></th>
              <td><span class="share-cell"><Share share={column.share} />{percent(column.share)}</span></td>
              <td>{bytes(column.bytes)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      </div>
    </Part>
  );
}

function Hygiene({ of }: { of: StatementDetail }) {
  if (of.hygiene === null) return null;
  const { parses_per_call: parses, simple_share: simple, literal_share: literal } = of.hygiene;
  return (
    <Part title="How it is sent">
      <ul class="evidence">
        <li>parsed {threeDigits(parses)} times per call{parses > 0.9 && ": prepared statements would be parsed once a session"}</li>
        <li>{percent(simple)} by the simple protocol</li>
        <li>{percent(literal)} with literals in the text{literal > 0.5 && ": parameters keep the text the same"}</li>
      </ul>
    </Part>
  );
}

type Example = EventLine & { duration_us?: number; rows?: number; route?: string; service?: string; outcome?: string; label?: string; query_raw?: string };

function exampleRows(answer: unknown): [string, Example][] {
  if (Array.isArray(answer)) return answer.map((each, index) => [String((each as Example).label ?? index + 1), each as Example]);
  const named = answer as Record<string, Example | Example[] | null>;
  const { items } = named;
  if (Array.isArray(items)) return exampleRows(items);
  return Object.entries(named).flatMap(([name, value]): [string, Example][] =>
    Array.isArray(value) ? value.map((each) => [name, each]) : value !== null && typeof value === "object" ? [[name, value]] : []);
}

function Examples({ digest, parameters }: { digest: string; parameters: Parameters }) {
  const answer = useAnswer<unknown>(isFile ? null : `/api/v1/statements/${digest}/examples`, parameters);
  if (isFile) return <Part title="Examples"><p class="soft">A report file has no examples: they stay at the proxy.</p></Part>;
  return (
    <Part title="Examples">
      <Loaded answer={answer} what="examples of statements">
        {(data) => {
          const rows = exampleRows(data);
          if (rows.length === 0) return <p class="soft">None is kept yet.</p>;
          return (
            <div class="scroll" tabIndex={0} role="region" aria-label="Examples">
              <table>
                <thead>
                  <tr>
                    <th scope="col" class="text">Which</th><th scope="col" class="text">At</th><th scope="col">Took</th><th scope="col">Rows</th>
                    <th scope="col" class="text">Outcome</th><th scope="col" class="text">Service, route</th><th scope="col" class="text">Unit</th>
                  </tr>
                </thead>
                <tbody>
                  {rows.map(([name, each], index) => (
                    <tr key={index}>
                      <th scope="row">{spaced(name)}</th>
                      <td class="text">{each.ts_us === undefined ? "–" : moment(new Date(each.ts_us / 1e3).toISOString())}</td>
                      <td>{duration((each.duration_us ?? 0) / 1e3)}</td><td>{count(each.rows ?? 0)}</td>
                      <td class="text">{clean(each.outcome ?? "–")}</td>
                      <td class="text"><Name text={[each.service, each.route].filter(Boolean).join(", ") || "–"} width={60} /></td>
                      <td class="text">{typeof each["unit_id"] === "string" ? <a href={href(["units", each["unit_id"]])}><Id text={each["unit_id"]} /></a> : "–"}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          );
        }}
      </Loaded>
    </Part>
  );
}

/** Whatever shape it has: text as text, fields as a list. */
function Evidence({ value }: { value: unknown }) {
  if (typeof value === "string") return <pre tabIndex={0} role="region" aria-label="Plan">{cleanLines(value)}</pre>;
  if (Array.isArray(value) || value === null || typeof value !== "object") {
    return <pre tabIndex={0} role="region" aria-label="Plan">{cleanLines(JSON.stringify(value, null, 2))}</pre>;
  }
  return (
    <dl>
      {Object.entries(value).map(([name, each]) => [
        <dt key={name}>{clean(spaced(name))}</dt>,
        <dd key={`${name}=`}>
          {typeof each === "string" && each.length > 60 ? <pre tabIndex={0} role="region" aria-label={clean(spaced(name))}>{cleanLines(each)}</pre>
            : each !== null && typeof each === "object" && !Array.isArray(each) ? <Evidence value={each} />
            : Array.isArray(each) && each.some((item) => typeof item === "object") ? <Evidence value={each} /> : cleanLines(plain(name, each))}
        </dd>,
      ])}
    </dl>
  );
}

function Advice({ of, parameters }: { of: StatementDetail; parameters: Parameters }) {
  const nothing = (what: string) => (
    <p class="soft">
      {what} Planning needs a side connection: set <code>findings.missing_index.side_connection</code> to a read-only role,
      or copy EXPLAIN above and run it yourself.
    </p>
  );
  const known = Array.isArray(of.plan) ? of.plan.map(String).join("\n") : null;
  return (
    <>
      <Part title="Plan">
        {known === null ? nothing("No plan was asked for.") : <Evidence value={known} />}
        {!isFile && <PlanNow digest={of.digest} parameters={parameters} />}
      </Part>
      <Part title="Index advice">
        {of.index_advice === null || of.index_advice === undefined ? nothing("There is none for this statement.") : <Evidence value={of.index_advice} />}
      </Part>
    </>
  );
}

function Found({ ids }: { ids: string[] }) {
  const answer = useAnswer<{ items: Finding[] }>(ids.length === 0 ? null : "/api/v1/findings", { limit: "500" });
  if (ids.length === 0) return null;
  const found = answer.data?.items.filter((finding) => ids.includes(finding.id)) ?? [];
  return (
    <Part title="Findings">
      <ul class="found">
        {found.map((finding) => (
          <li key={finding.id}>
            <Severity severity={finding.severity} /> <strong>{kindWords(finding.kind)}</strong> <Grade finding={finding} />{" "}
            <a href={href(["findings", finding.id])}><Prose text={finding.sentence} /></a>
          </li>
        ))}
      </ul>
    </Part>
  );
}

function Body({ of, parameters }: { of: StatementDetail; parameters: Parameters }) {
  return (
    <>
      <p class="soft">
        Statement <Id text={of.digest} /> in database <Name text={of.database} width={60} />
        {of.tables.length > 0 && <>, tables <Name text={of.tables.join(", ")} width={120} /></>}; seen {moments(of.first_seen, of.last_seen)}
        {!of.parsed && "; the text is not PostgreSQL's grammar"}.
      </p>
      <Sql text={of.query_text} />
      {of.query_text_cut && <p class="soft">The text was longer than the limit and is cut.</p>}
      <p class="tools">
        <Copy text={of.query_text} what="SQL" />
        <Copy text={forPsql(of.query_text)} what="for psql" label="Copy for psql" />
        <Copy text={explain(of.query_text)} what="EXPLAIN" />
      </p>
      <Found ids={of.findings} />
      <Part title="Numbers"><Numbers of={of} /></Part>
      <Histogram buckets={of.histogram} p50={of.p50_ms} p95={of.p95_ms} p99={of.p99_ms} />
      <PhaseTable title="Time by phase" phases={of.phases_ms} />
      <SeriesChart path={`/api/v1/statements/${of.digest}/series`} parameters={parameters} title="Over time" />
      <Sources of={of} />
      {of.sqlstates.length > 0 && (
        <Part title="Errors">
          <div class="scroll fit" tabIndex={0} role="region" aria-label="Errors">
          <table class="narrow">
            <thead><tr><th scope="col" class="text">SQLSTATE</th><th scope="col">Count</th></tr></thead>
            <tbody>{of.sqlstates.map((each) => <tr key={each.sqlstate}><th scope="row"><a href={href(["errors"], { q: each.sqlstate })}>{clean(each.sqlstate)}</a></th><td>{count(each.count)}</td></tr>)}</tbody>
          </table>
          </div>
        </Part>
      )}
      <Columns of={of} />
      <Hygiene of={of} />
      <Examples digest={of.digest} parameters={parameters} />
      <Advice of={of} parameters={parameters} />
    </>
  );
}

export function StatementPage({ digest, database }: { digest: string; database: string | undefined }) {
  const parameters: Parameters = database === undefined ? {} : { database };
  const answer = useAnswer<StatementDetail>(`/api/v1/statements/${encodeURIComponent(digest)}`, parameters);
  return (
    <>
      <p class="crumb"><a href="#/statements">Statements</a></p>
      <h1 tabIndex={-1}>{answer.data ? <Name text={answer.data.summary} width={200} /> : "Statement"}</h1>
      <Loaded answer={answer} what="such statement">{(of) => <Body of={of} parameters={parameters} />}</Loaded>
    </>
  );
}

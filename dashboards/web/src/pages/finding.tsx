// One finding: what it says, why it may say so, what it costs, and what to do.

import type { ComponentChildren } from "preact";
import { useAnswer } from "../data/answer";
import { href } from "../data/route";
import type { Finding } from "../data/shapes";
import { columns, cost, evidence, headline, range } from "../text/evidence";
import { bytes, clean, count, counted, duration, moment, moments, percent } from "../text/format";
import { changeWords, grade, isProved, kindWords, proofWords } from "../text/words";
import { Copy } from "../parts/copy";
import { Mute } from "../parts/mute";
import { Loaded } from "../parts/status";
import { Grade, Id, Name, Prose, Severity, Sql, State } from "../parts/text";

function Text({ title, digest, database, text, mark }: {
  title: string; digest: string; database: string; text: string; mark: string | null;
}) {
  return (
    <>
      <p class="caption">
        {title} · <a href={href(["statements", digest], { database })}>statement <Id text={digest} /></a>
      </p>
      <Sql text={text} mark={mark} />
    </>
  );
}

function Statements({ finding }: { finding: Finding }) {
  const { parent, child } = finding;
  return (
    <>
      {parent && (
        <Text title="Parent, runs once" digest={parent.digest} database={finding.db_name} text={parent.query_text} mark={parent.column} />
      )}
      {child && (
        <Text
          title={parent ? "Child, runs again and again" : "Statement"} digest={child.digest} database={finding.db_name}
          text={child.query_text} mark={child.column ?? (finding.column?.split(".").at(-1) ?? null)}
        />
      )}
    </>
  );
}

function Part({ title, children }: { title: string; children: ComponentChildren }) {
  return <section><h2>{title}</h2>{children}</section>;
}

function CostTable({ finding }: { finding: Finding }) {
  const { cost: of } = finding;
  const proved = isProved(finding) && of.saved_high_ms > 0;
  const hourly = of.saved_low_ms_per_hour !== null && of.saved_high_ms_per_hour !== null;
  const rows: [string, string][] = [
    ["Since start", duration(of.busy_total_ms)],
    ["Latest occurrence", duration(of.busy_ms)],
    ["The fix saves, each time", proved ? range(of.saved_low_ms, of.saved_high_ms) : "not known: it is not proved"],
    ["The fix saves, per day", proved && hourly
      ? range((of.saved_low_ms_per_hour ?? 0) * 24, (of.saved_high_ms_per_hour ?? 0) * 24)
      : "not known yet (rates need five minutes)"],
    ["Occurrences", of.occurrences_per_hour === null ? counted(finding.sightings, "sighting") : `${counted(finding.sightings, "sighting")}, ${count(of.occurrences_per_hour)} an hour`],
    ["Round trip", duration(of.rtt_ms)],
    ["One execution, median", of.service_p50_ms > 0 ? duration(of.service_p50_ms) : "–"],
  ];
  if (of.bytes !== null) rows.push(["Bytes", bytes(of.bytes)]);
  if (!proved) rows.splice(3, 1);
  return <dl>{rows.map(([name, value]) => [<dt key={name}>{name}</dt>, <dd key={`${name}=`}>{value}</dd>])}</dl>;
}

const snippet = (finding: Finding): string =>
  `[[ignore]]\nfinding = "${finding.id}"\nkind = "${finding.kind}"\nreason = "…"\n`;

function Sightings({ finding }: { finding: Finding }) {
  return (
    <>
      {finding.routes.length > 0 && (
        <div class="scroll fit" tabIndex={0} role="region" aria-label="Routes">
        <table class="narrow">
          <thead><tr><th scope="col" class="text">Route</th><th scope="col">Sightings</th></tr></thead>
          <tbody>
            {finding.routes.map((each) => (
              <tr key={each.route}>
                <th scope="row"><a href={href(["routes", finding.service, each.route])}><Name text={each.route} /></a></th>
                <td>{count(each.sightings)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        </div>
      )}
      {finding.examples.length > 0 && (
        <div class="scroll fit" tabIndex={0} role="region" aria-label="Latest examples">
        <table class="narrow">
          <caption>Latest examples</caption>
          <thead>
            <tr>
              <th scope="col" class="text">At</th><th scope="col">Executions</th><th scope="col">Rows</th>
              <th scope="col">First to last</th><th scope="col" class="text">Unit</th><th scope="col">Session</th>
            </tr>
          </thead>
          <tbody>
            {finding.examples.map((each, index) => (
              <tr key={index}>
                <th scope="row">{moment(each.at)}</th><td>{count(each.n)}</td><td>{count(each.rows)}</td><td>{duration(each.wall_ms)}</td>
                <td class="text">{each.unit === null ? "–" : <a href={href(["units", each.unit])}><Id text={each.unit} /></a>}</td>
                <td>{clean(each.session)}</td>
              </tr>
            ))}
          </tbody>
        </table>
        </div>
      )}
    </>
  );
}

function Fix({ finding }: { finding: Finding }) {
  const { orm, text, sql } = finding.fix;
  return (
    <Part title="What to do">
      <p class="fix-text"><Prose text={text} /></p>
      {orm !== null && <p class="soft">In the words of <Name text={orm} />, which the statements look like.</p>}
      {sql !== null && <Sql text={sql} />}
      <p class="tools">
        <Copy text={text} what="fix" />
        {sql !== null && <Copy text={sql} what="SQL" />}
      </p>
    </Part>
  );
}

function lines(finding: Finding, name: string): string[] {
  const value = finding.evidence[name];
  return Array.isArray(value) ? value.filter((line): line is string => typeof line === "string") : [];
}

/** What an index would do: statements, plans, and what speaks against it. */
function Index({ finding }: { finding: Finding }) {
  const parts: [string, string][] = [["Helps", "statements"], ["But", "reasons_against"], ["Or", "hints"], ["Then no longer needed", "replaces"]];
  const [before, after] = [lines(finding, "plan_before"), lines(finding, "plan_after")];
  return (
    <>
      {parts.map(([title, name]) => lines(finding, name).length > 0 && (
        <div key={name}>
          <h3>{title}</h3>
          <ul class="evidence">{lines(finding, name).map((line, index) => <li key={index}><Prose text={line} /></li>)}</ul>
        </div>
      ))}
      {before.length > 0 && <><h3>Plan today</h3><pre tabIndex={0} role="region" aria-label="Plan today">{before.join("\n")}</pre></>}
      {after.length > 0 && <><h3>Plan with the index</h3><pre tabIndex={0} role="region" aria-label="Plan with the index">{after.join("\n")}</pre></>}
    </>
  );
}

function Body({ finding }: { finding: Finding }) {
  const { value, label } = headline(finding);
  const place = columns(finding);
  // The headline says one of them already.
  const more = cost(finding).replace(label === "spent on it since start" ? `${value} since start` : "not known yet", "").replace(/^[,;] /, "");
  return (
    <>
      <p class="badges">
        <Severity severity={finding.severity} /><strong>{kindWords(finding.kind)}</strong><Grade finding={finding} /><State state={finding.state} />
      </p>
      <p class="lead"><strong>{value}</strong> {label}{more !== "" && <span class="soft"> · {more}</span>}</p>
      <Fix finding={finding} />
      <Part title="Evidence">
        <ul class="evidence">{evidence(finding).map((phrase, index) => <li key={index}><Prose text={phrase} /></li>)}</ul>
        {finding.kind === "missing_index" && <Index finding={finding} />}
        {place !== null && <p>Columns: <code><Name text={place} /></code></p>}
        <Statements finding={finding} />
        {finding.coverage !== null && finding.order !== null && (
          <p class="soft">{percent(finding.coverage)} of the rows covered, {percent(finding.order)} in row order.</p>
        )}
        <Sightings finding={finding} />
      </Part>
      <Part title="Cost"><CostTable finding={finding} /></Part>
      <Part title="How sure">
        <p><Grade finding={finding} /> {grade(finding) === "proved" ? "Proved" : "Not proved"}: {proofWords(finding.proof)}. {changeWords(finding.proof)}</p>
        <p class="soft">
          Seen {finding.sightings === 1 ? "once" : counted(finding.sightings, "time")}, {moments(finding.first_seen, finding.last_seen)}; service{" "}
          <Name text={finding.service} />, database <Name text={finding.db_name} />.
        </p>
        {finding.superseded_by !== null && <p>Another finding took its place: <a href={href(["findings", finding.superseded_by])}><Id text={finding.superseded_by} /></a>.</p>}
      </Part>
      <Part title="Live with it">
        {finding.mute_reason !== null && <p>Muted{finding.muted_until !== null && ` until ${moment(finding.muted_until)}`}: <Name text={finding.mute_reason} />.</p>}
        <p>In a gate (<code>pgsonde audit</code>) a budget file passes over it:</p>
        <pre tabIndex={0} role="region" aria-label="Budget file">{snippet(finding)}</pre>
        <p class="tools"><Copy text={snippet(finding)} what="snippet" /><Mute finding={finding} /></p>
      </Part>
    </>
  );
}

export function FindingPage({ id }: { id: string }) {
  const answer = useAnswer<Finding>(`/api/v1/findings/${encodeURIComponent(id)}`);
  const list = useAnswer<{ items: Finding[] }>(answer.problem?.code === "FILE" ? "/api/v1/findings" : null);
  // In a file only the list has findings.
  const found = list.data?.items.find((finding) => finding.id === id);
  const data = found ?? answer.data;
  return (
    <>
      <p class="crumb"><a href="#/">Findings</a></p>
      <h1 tabIndex={-1} class="sentence">{data ? <Prose text={data.sentence} /> : "Finding"}</h1>
      <Loaded answer={found ? { data, problem: undefined } : answer} what="such finding">
        {(finding) => <Body finding={finding} />}
      </Loaded>
    </>
  );
}

// Home: what to repair first.

import { useList } from "../data/answer";
import { href, setQuery, usePlace } from "../data/route";
import { usePulse } from "../data/pulse";
import type { Finding, Summary } from "../data/shapes";
import { columns, cost, headline } from "../text/evidence";
import { matches, parseFilter, type Subject } from "../text/filter";
import { count, counted, duration, moment, percent, threeDigits } from "../text/format";
import { KINDS_LOOKED_FOR, kindWords } from "../text/words";
import { Copy } from "../parts/copy";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Mute } from "../parts/mute";
import { Empty, Loaded, NoStatements } from "../parts/status";
import { Grade, Name, Prose, Severity } from "../parts/text";

const TABS = ["open", "known", "muted", "resolved"] as const;

function Strip({ summary, rate }: { summary: Summary; rate: number | null }) {
  const avoidable = summary.avoidable_ms_per_day;
  const open = summary.findings.error + summary.findings.warning + summary.findings.info;
  const why = avoidable !== null ? "avoidable per day, at least" : open === 0 ? "avoidable per day: nothing found" : "avoidable per day: too early to tell";
  const failed = summary.error_share === null ? "–" : summary.error_share > 0 ? percent(summary.error_share) : "none";
  const tiles = [
    { value: threeDigits(rate ?? summary.statements_per_s), label: `statements per second ${rate === null ? "on average" : "just now"}, ${count(summary.books.statements)} in all` },
    { value: duration(summary.p95_ms), label: "or less for 95 % of statements" },
    { value: failed, label: "of the statements failed" },
    { value: threeDigits(summary.active_statements), label: "statements running at once, on average" },
    { value: duration(avoidable), label: why },
  ];
  return (
    <ul class="tiles">
      {tiles.map((tile, index) => <li key={index}><strong>{tile.value}</strong> {tile.label}</li>)}
    </ul>
  );
}

export function findingSubject(finding: Finding): Subject {
  const texts = [finding.sentence, kindWords(finding.kind), finding.parent?.query_text, finding.child?.query_text, finding.fix.text];
  return {
    text: texts.filter((text) => text !== undefined && text !== null),
    duration_ms: finding.cost.busy_ms, rows: finding.rows_median, bytes: finding.cost.bytes,
    kinds: [finding.kind], db: finding.db_name, svc: [finding.service],
    digest: [finding.parent?.digest, finding.child?.digest, finding.id].filter((id) => id !== undefined),
    route: finding.routes.length > 0 ? finding.routes.map((each) => each.route) : [finding.route ?? ""],
    mark: finding.mark ?? "",
  };
}

const tabOf = (finding: Finding): (typeof TABS)[number] => {
  if (finding.state === "muted") return "muted";
  if (finding.state === "resolved") return "resolved";
  return finding.known === true || finding.state === "known" ? "known" : "open";
};

function Card({ finding }: { finding: Finding }) {
  const { value, label } = headline(finding);
  const place = columns(finding);
  const more = finding.routes.length - 1;
  return (
    <article class={`finding ${finding.severity}`} aria-labelledby={`finding-${finding.id}`}>
      <p class="badges">
        <Severity severity={finding.severity} />
        <strong>{kindWords(finding.kind)}</strong>
        <Grade finding={finding} />
        {finding.reopened > 0 && <span class="badge quiet">came back</span>}
      </p>
      <h3 id={`finding-${finding.id}`}>
        <a href={href(["findings", finding.id])}><Prose text={finding.sentence} /></a>
      </h3>
      <p class="finding-cost" title={cost(finding)}><strong>{value}</strong> <span>{label}</span></p>
      <p class="soft finding-place">
        {place !== null && <code><Name text={place} /></code>}
        {finding.route !== null && (
          <span>route <a href={href(["routes", finding.service, finding.route])}><Name text={finding.route} width={60} /></a>{more > 0 && ` and ${more} more`}</span>
        )}
        <span>service <Name text={finding.service} width={40} /></span>
        <span>{finding.sightings === 1 ? "seen once" : `seen ${counted(finding.sightings, "time")}`}, last {moment(finding.last_seen)}</span>
      </p>
      <p class="finding-fix"><span class="soft">Do:</span> <Prose text={finding.fix.text} /></p>
      <p class="tools">
        <Copy text={finding.fix.sql ?? finding.fix.text} what="fix" />
        <Mute finding={finding} />
      </p>
    </article>
  );
}

function Tabs({ all, chosen }: { all: Finding[]; chosen: string }) {
  return (
    <div class="tabs" role="group" aria-label="State of findings">
      {TABS.map((tab) => {
        const number = all.filter((finding) => tabOf(finding) === tab).length;
        return (
          <button
            key={tab} type="button" aria-pressed={tab === chosen}
            onClick={() => setQuery({ tab: tab === "open" ? undefined : tab })}
          >
            {tab} <span class="soft">{count(number)}</span>
          </button>
        );
      })}
    </div>
  );
}

function Nothing({ summary }: { summary: Summary | undefined }) {
  if (!summary || summary.books.statements === 0) return <NoStatements />;
  return (
    <Empty title={`Nothing found in ${counted(summary.books.statements, "statement")} since ${moment(summary.from)}.`}>
      <p>Looked for: {KINDS_LOOKED_FOR.join(", ")}. Findings appear here by themselves while traffic flows.</p>
    </Empty>
  );
}

export function Findings() {
  const { summary, rate } = usePulse();
  const answer = useList<Finding>("/api/v1/findings");
  const chosen = usePlace().query["tab"] ?? "open";
  const filter = parseFilter(useFilterText());
  return (
    <>
      <h1 tabIndex={-1}>Findings</h1>
      {summary && <Strip summary={summary} rate={rate} />}
      <Loaded answer={answer} what="findings">
        {({ items }) => {
          const inTab = items.filter((finding) => tabOf(finding) === chosen);
          const shown = inTab.filter((finding) => matches(filter, findingSubject(finding)));
          return (
            <>
              <div class="toolbar">
                <Tabs all={items} chosen={chosen} />
                <FilterBox
                  placeholder="Filter: n+1 route:/orders/*" filter={filter} shown={shown.length} all={inTab.length}
                  sample={inTab[0] && findingSubject(inTab[0])}
                />
              </div>
              {items.length === 0 && <Nothing summary={summary} />}
              {items.length > 0 && shown.length === 0 && (
                <Empty title={inTab.length === 0 ? `None is ${chosen}.` : "No finding matches the filter."} />
              )}
              <Cards shown={shown} />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

const DRAWN = 50;

function Cards({ shown }: { shown: Finding[] }) {
  const all = usePlace().query["all"] !== undefined;
  const drawn = all ? shown : shown.slice(0, DRAWN);
  return (
    <>
      {drawn.map((finding) => <Card key={finding.id} finding={finding} />)}
      {drawn.length < shown.length && (
        <button type="button" onClick={() => setQuery({ all: "1" })}>Show the other {count(shown.length - drawn.length)}</button>
      )}
    </>
  );
}

// Compares two times: before and after a moment that was marked here, or a report from disk and now.

import { useState } from "preact/hooks";
import { useList } from "../data/answer";
import { CALLS_MIN, CHANGE_MIN, differences, since, sumsOf, type Difference, type Sums } from "../data/compare";
import { href } from "../data/route";
import { isFile, unpack } from "../data/source";
import type { Statement } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { amount, clean, clock, count, duration, percent } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Icon } from "../parts/icon";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Name } from "../parts/text";

interface Base { kind: "mark" | "report"; title: string; sums: Sums[] }

// Lives as long as the page: it is about this proxy's counters.
let remembered: Base | null = null;

const WEIGHT: Record<string, number> = { slower: 6, new: 5, "more rows": 4, faster: 3, gone: 2, "not judged": 1, same: 0 };
const ICONS: Record<string, string> = { slower: "warning", "more rows": "warning", new: "info", gone: "info", faster: "proved", same: "idle", "not judged": "suspect" };

const change = (row: Difference): number | null => {
  const [a, b] = [row.base?.mean_ms ?? null, row.head?.mean_ms ?? null];
  return a === null || b === null || a === 0 ? null : b / a - 1;
};
const signed = (share: number | null): string => (share === null ? "–" : `${share > 0 ? "+" : ""}${percent(share)}`);
const chance = (t: number | null): string => (t === null ? "–" : Math.abs(t) > 3.3 ? "< 0.1 %" : Math.abs(t) > 2.6 ? "< 1 %" : Math.abs(t) > 2 ? "< 5 %" : "likely");
const rowsPerCall = (of: Sums | null): number | null => (of && of.calls > 0 ? of.rows / of.calls : null);

const COLUMNS: Column<Difference>[] = [
  { id: "summary", name: "Statement", head: true, sort: (row) => row.summary, cell: (row) => <a href={href(["statements", row.digest], { database: row.database })}><Name text={row.summary} width={80} /></a> },
  { id: "verdict", name: "Verdict", text: true, sort: (row) => WEIGHT[row.verdict] ?? 0, cell: (row) => <span class={`badge verdict-${row.verdict.replace(" ", "-")}`}><Icon name={ICONS[row.verdict] ?? "info"} />{row.verdict}</span> },
  { id: "change", name: "Mean changed", sort: change, cell: (row) => signed(change(row)) },
  { id: "chance", name: "Chance", text: true, cell: (row) => chance(row.t), about: "How often chance alone would do this (Welch's test of the means)" },
  { id: "before", name: "Mean before", sort: (row) => row.base?.mean_ms ?? null, cell: (row) => duration(row.base?.mean_ms) },
  { id: "after", name: "Mean after", sort: (row) => row.head?.mean_ms ?? null, cell: (row) => duration(row.head?.mean_ms) },
  { id: "calls", name: "Calls before, after", sort: (row) => row.head?.calls ?? 0, cell: (row) => `${count(row.base?.calls ?? 0)}, ${count(row.head?.calls ?? 0)}` },
  { id: "rows", name: "Rows/call before, after", sort: (row) => rowsPerCall(row.head), cell: (row) => `${amount(rowsPerCall(row.base))}, ${amount(rowsPerCall(row.head))}`, wide: true },
];

const subject = (row: Difference): Subject => ({
  text: [row.summary, row.verdict], duration_ms: row.head?.mean_ms ?? row.base?.mean_ms ?? null, calls: row.head?.calls ?? 0,
  rows: rowsPerCall(row.head), db: row.database, digest: [row.digest],
});

function rowsOf(document: Record<string, unknown>): Statement[] {
  const list = (document["/api/v1/statements"] ?? document["statements"]) as { items?: Statement[] } | undefined;
  if (!Array.isArray(list?.items)) throw new Error("no statements");
  return list.items;
}

/** A report as JSON or as one HTML file; it is read here and goes nowhere. */
async function readReport(file: File): Promise<Base> {
  const text = await file.text();
  const packed = /id="data">([^<]*)</.exec(text)?.[1];
  const document = packed === undefined ? (JSON.parse(text) as Record<string, unknown>) : Object.fromEntries(await unpack(packed));
  return { kind: "report", title: `report ${clean(file.name)}`, sums: rowsOf(document).map(sumsOf) };
}

function Choose({ base, now, choose }: { base: Base | null; now: Sums[]; choose: (base: Base | null) => void }) {
  const [problem, setProblem] = useState("");
  const mark = () => choose({ kind: "mark", title: `mark of ${clock(new Date().toISOString())} UTC`, sums: now });
  const read = (event: Event) => {
    const file = (event.currentTarget as HTMLInputElement).files?.[0];
    if (!file) return;
    readReport(file)
      .then((found) => {
        setProblem("");
        choose(found);
      })
      .catch(() => setProblem(`${file.name} is no report of pgsonde (JSON or HTML).`));
  };
  return (
    <div class="toolbar">
      {!isFile && <button type="button" onClick={mark}><Icon name="clock" />{base?.kind === "mark" ? "Mark again" : "Mark this moment"}</button>}
      <label class="file">Compare with a report <input type="file" accept=".json,.html,application/json,text/html" onChange={read} /></label>
      {base !== null && <button type="button" class="plain" onClick={() => choose(null)}>Forget it</button>}
      <span class="problem" role="alert">{problem}</span>
    </div>
  );
}

function compared(base: Base, now: Sums[]): Difference[] {
  if (base.kind === "report") return differences(base.sums, now);
  const before = new Map(base.sums.map((each) => [each.key, each]));
  const head = now.map((each) => since(before.get(each.key), each)).filter((each) => each !== null);
  // A statement that just didn't run since the mark isn't gone.
  return differences(base.sums, head).filter((row) => row.verdict !== "gone");
}

function Result({ base, now }: { base: Base; now: Sums[] }) {
  const filter = parseFilter(useFilterText());
  const all = compared(base, now);
  const shown = all.filter((row) => matches(filter, subject(row)));
  if (all.length === 0) return <Empty title="Nothing ran since the mark."><p>Keep the application busy for a while; this list fills by itself.</p></Empty>;
  return (
    <>
      <div class="toolbar">
        <FilterBox placeholder="Filter: slower orders" filter={filter} shown={shown.length} all={all.length} sample={all[0] && subject(all[0])} />
      </div>
      <Table
        label="Differences" columns={COLUMNS} rows={shown} keyOf={(row) => row.key} order="-verdict"
        caption={`${base.kind === "mark" ? "Before and after the" : "Against the"} ${base.title}. Judged from ${CALLS_MIN} calls on either side, where the mean changed by ${percent(CHANGE_MIN)} or more.`}
      />
    </>
  );
}

export function Compare() {
  const answer = useList<Statement>("/api/v1/statements");
  const [base, setBase] = useState<Base | null>(remembered);
  const choose = (next: Base | null) => {
    remembered = next;
    setBase(next);
  };
  return (
    <>
      <h1 tabIndex={-1}>Compare</h1>
      <Loaded answer={answer} what="statements">
        {({ items }) => {
          const now = items.map(sumsOf);
          return (
            <>
              <Choose base={base} now={now} choose={choose} />
              {base === null ? (
                <Empty title="Choose two times.">
                  <p>Mark this moment, change something (a deploy, an index, a setting), and see each statement before and after the mark. Or open a report of an earlier run: <code>pgsonde report http://… -o before.html</code>.</p>
                  <p>For a pipeline there is <code>pgsonde diff BASE HEAD --fail-on slower=20%</code>.</p>
                </Empty>
              ) : <Result base={base} now={now} />}
            </>
          );
        }}
      </Loaded>
    </>
  );
}

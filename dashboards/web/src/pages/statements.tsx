// All statements, costliest first; the shares add up to 100 %.

import { useState } from "preact/hooks";
import { useList } from "../data/answer";
import { href, usePlace } from "../data/route";
import type { List, Rest, Statement } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { amount, bytes, count, duration, moment, moments, percent, threeDigits } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Share, Spark } from "../parts/spark";
import { Empty, Loaded, NoStatements } from "../parts/status";
import { visibleColumns, Table, type Column } from "../parts/table";
import { Id, Name } from "../parts/text";
import { RangeSelect, useRange } from "../parts/range";
import { SeriesChart } from "../parts/series";

const COLUMNS: Column<Statement>[] = [
  {
    id: "summary", name: "Statement", head: true, sort: (row) => row.summary,
    cell: (row) => (
      <>
        <a href={href(["statements", row.digest], { database: row.database })}><Name text={row.summary} /></a>
        {row.findings.length > 0 && <span class="badge quiet" title="Findings name this statement">{count(row.findings.length)} found</span>}
      </>
    ),
  },
  {
    id: "time", name: "Share", sort: (row) => row.total_ms, about: "Its part of all time in the database",
    cell: (row) => <span class="share-cell"><Share share={row.share} />{percent(row.share)}</span>,
  },
  { id: "total", name: "Total", sort: (row) => row.total_ms, cell: (row) => duration(row.total_ms), spare: true },
  { id: "calls", name: "Calls", sort: (row) => row.calls, cell: (row) => count(row.calls) },
  { id: "mean", name: "Mean", sort: (row) => row.mean_ms, cell: (row) => duration(row.mean_ms) },
  { id: "p50", name: "Median", sort: (row) => row.p50_ms, cell: (row) => duration(row.p50_ms), spare: true },
  { id: "p95", name: "95 %", sort: (row) => row.p95_ms, cell: (row) => duration(row.p95_ms) },
  { id: "p99", name: "99 %", sort: (row) => row.p99_ms, cell: (row) => duration(row.p99_ms) },
  { id: "max", name: "Longest", sort: (row) => row.max_ms, cell: (row) => duration(row.max_ms), spare: true },
  { id: "rows", name: "Rows/call", sort: (row) => row.rows_per_call, cell: (row) => amount(row.rows_per_call) },
  { id: "bytes", name: "Sent", sort: (row) => row.sent_bytes, cell: (row) => bytes(row.sent_bytes), spare: true, about: "Bytes sent to clients" },
  { id: "transfer", name: "Transfer", sort: (row) => row.transfer_share, cell: (row) => percent(row.transfer_share), wide: true, about: "Part of the time that went by after the first row" },
  { id: "vm", name: "V/M", sort: (row) => row.variance_to_mean, cell: (row) => (row.variance_to_mean === null ? "–" : `${threeDigits(row.variance_to_mean)} ms`), wide: true, about: "Variance by mean: how unsteady it is" },
  { id: "errors", name: "Errors", sort: (row) => row.errors, cell: (row) => count(row.errors) },
  { id: "trend", name: "Trend", cell: (row) => <Spark values={row.trend} label={`Time in the last ${row.trend.length} steps`} />, wide: true },
  { id: "database", name: "Database", text: true, sort: (row) => row.database, cell: (row) => <Name text={row.database} width={24} />, spare: true },
  { id: "operation", name: "Operation", text: true, sort: (row) => row.operation, cell: (row) => row.operation, spare: true },
  { id: "digest", name: "Digest", text: true, cell: (row) => <Id text={row.digest} />, spare: true },
  { id: "seen", name: "Last seen", text: true, sort: (row) => row.last_seen, cell: (row) => moment(row.last_seen), spare: true },
];

export function statementSubject(row: Statement): Subject {
  return {
    text: [row.summary, row.query_text, ...row.tables],
    duration_ms: row.p95_ms ?? row.max_ms, rows: row.rows_per_call, bytes: row.sent_bytes, calls: row.calls,
    errors: row.errors, sqlstates: row.sqlstates.map((each) => each.sqlstate),
    op: row.operation, db: row.database, svc: row.sources.map((each) => each.application_name), digest: [row.digest],
    route: row.sources.map((each) => each.route ?? ""),
  };
}

function RestRow({ name, rest, columns }: { name: string; rest: Rest; columns: Column<Statement>[] }) {
  if (rest.calls === 0 && rest.total_ms === 0) return null;
  const cells: Record<string, string> = {
    total: duration(rest.total_ms), calls: count(rest.calls), bytes: bytes(rest.sent_bytes), errors: count(rest.errors),
  };
  return (
    <tr>
      {columns.map((column) =>
        column.head ? (
          <th key={column.id} scope="row">{name}</th>
        ) : column.id === "time" ? (
          <td key={column.id}><span class="share-cell"><Share share={rest.share} />{percent(rest.share)}</span></td>
        ) : (
          <td key={column.id} class={`${column.text ? "text" : ""}${column.wide ? " wide" : ""}`}>{cells[column.id] ?? "–"}</td>
        ),
      )}
    </tr>
  );
}

/** Everything that was read from the proxy but is left out by the filter. */
function leftOut(items: Statement[], shown: Statement[]): Rest {
  const ids = new Set(shown);
  const rest: Rest = { calls: 0, total_ms: 0, share: 0, rows: 0, errors: 0, sent_bytes: 0, received_bytes: 0 };
  for (const item of items) {
    if (ids.has(item)) continue;
    for (const name of ["calls", "total_ms", "share", "rows", "errors", "sent_bytes", "received_bytes"] as const) rest[name] += item[name];
  }
  return rest;
}

function Body({ list, more, ranged }: { list: List<Statement>; more: () => void; ranged: boolean }) {
  const { query } = usePlace();
  const filter = parseFilter(useFilterText());
  const shown = list.items.filter((row) => matches(filter, statementSubject(row)));
  const columns = visibleColumns(COLUMNS, query["cols"]);
  const rests = (
    <>
      <RestRow name="left out by the filter" rest={leftOut(list.items, shown)} columns={columns} />
      {list.other && <RestRow name="everything else" rest={list.other.digests} columns={columns} />}
      {list.other && <RestRow name="batches, not divisible" rest={list.other.indivisible_batches} columns={columns} />}
    </>
  );
  return (
    <>
      <div class="toolbar">
        <RangeSelect />
        <FilterBox
          placeholder="Filter: op:select d>100ms orders" filter={filter} shown={shown.length} all={list.items.length}
          sample={list.items[0] && statementSubject(list.items[0])}
        />
      </div>
      {shown.length === 0 && <Empty title={list.items.length > 0 ? "No statement matches the filter." : `No statement ran in that time, as far as its steps are over (${moments(list.from, list.to)}).`} />}
      <Table
        label="Statements" columns={COLUMNS} rows={shown} keyOf={(row) => `${row.digest}/${row.database}`} order="-time" chooser
        last={rests} caption={`${count(list.total)} statements${ranged ? ` in whole steps, ${moments(list.from, list.to)}; 95 % of the worst step` : ""}; the shares add up to 100 %.`}
      />
      {list.items.length < list.total && (
        <p>
          The {count(list.items.length)} costliest of {count(list.total)} are here.{" "}
          {list.next_cursor !== null && <button type="button" onClick={more}>Read all</button>}
        </p>
      )}
    </>
  );
}

export function Statements() {
  const [wanted, setWanted] = useState(500);
  const range = useRange();
  const ranged = range["from"] !== undefined;
  const answer = useList<Statement>("/api/v1/statements", range, wanted);
  return (
    <>
      <h1 tabIndex={-1}>Statements</h1>
      <Loaded answer={answer} what="statements">
        {(list) => (list.total === 0 && list.items.length === 0 && !ranged ? <NoStatements /> : (
          <>
            <Body list={list} more={() => setWanted(10_000)} ranged={ranged} />
            <SeriesChart path="/api/v1/series" parameters={range} title="All statements over time" />
          </>
        ))}
      </Loaded>
    </>
  );
}

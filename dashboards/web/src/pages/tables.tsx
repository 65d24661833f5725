// Tables: who reads and writes them, and how much.

import { useList } from "../data/answer";
import { href } from "../data/route";
import type { TableUse } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { bytes, clean, count, duration } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Name } from "../parts/text";

const COLUMNS: Column<TableUse>[] = [
  { id: "table", name: "Table", head: true, sort: (row) => row.table, cell: (row) => <a href={href(["statements"], { q: `"${row.table}"` })}><Name text={row.table} width={60} /></a> },
  { id: "database", name: "Database", text: true, wide: true, sort: (row) => row.database, cell: (row) => <Name text={row.database} width={24} /> },
  { id: "reads", name: "Reads", sort: (row) => row.reads.calls, cell: (row) => count(row.reads.calls) },
  { id: "time", name: "Reading", sort: (row) => row.reads.total_ms, cell: (row) => duration(row.reads.total_ms) },
  { id: "rows", name: "Rows read", sort: (row) => row.reads.rows, cell: (row) => count(row.reads.rows), spare: true },
  { id: "sent", name: "Sent", sort: (row) => row.reads.bytes, cell: (row) => bytes(row.reads.bytes), about: "Bytes sent to clients" },
  { id: "writes", name: "Writes", sort: (row) => row.writes.calls, cell: (row) => count(row.writes.calls) },
  { id: "writing", name: "Writing", sort: (row) => row.writes.total_ms, cell: (row) => duration(row.writes.total_ms) },
  { id: "written", name: "Rows written", sort: (row) => row.writes.rows, cell: (row) => count(row.writes.rows), spare: true },
  { id: "received", name: "Received", sort: (row) => row.writes.bytes, cell: (row) => bytes(row.writes.bytes), about: "Bytes received from clients", spare: true },
  {
    id: "routes", name: "Routes", text: true, wide: true,
    cell: (row) => row.routes.length === 0 ? "–" : (
      <span title={clean(row.routes.slice(0, 20).join(", ").slice(0, 1_000))}><Name text={row.routes.slice(0, 3).join(", ")} width={44} />{row.routes.length > 3 && ` +${row.routes.length - 3}`}</span>
    ),
  },
];

const subject = (row: TableUse): Subject => ({
  text: [row.table], calls: row.reads.calls + row.writes.calls, bytes: row.reads.bytes + row.writes.bytes,
  rows: row.reads.rows + row.writes.rows, db: row.database, digest: row.digests, route: row.routes,
});

export function Tables() {
  const answer = useList<TableUse>("/api/v1/tables");
  const filter = parseFilter(useFilterText());
  return (
    <>
      <h1 tabIndex={-1}>Tables</h1>
      <Loaded answer={answer} what="tables">
        {({ items }) => {
          const shown = items.filter((row) => matches(filter, subject(row)));
          if (items.length === 0) return <Empty title="No table names parsed."><p>They are read out of the statements' text as soon as some pass.</p></Empty>;
          return (
            <>
              <div class="toolbar">
                <FilterBox placeholder="Filter: orders route:/orders/*" filter={filter} shown={shown.length} all={items.length} sample={items[0] && subject(items[0])} />
              </div>
              <Table
                label="Tables" columns={COLUMNS} rows={shown} keyOf={(row) => `${row.database}/${row.table}`} order="-time" chooser
                caption="A statement over several tables counts in each of them, so the columns don't add up to all."
              />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

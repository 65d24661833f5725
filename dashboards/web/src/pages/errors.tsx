// Errors that applications saw, by SQLSTATE.

import { useList } from "../data/answer";
import { href } from "../data/route";
import type { ErrorGroup } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { clean, count } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Name } from "../parts/text";

const SHOWN = 4;

const COLUMNS: Column<ErrorGroup>[] = [
  { id: "sqlstate", name: "SQLSTATE", head: true, slim: true, sort: (row) => row.sqlstate, cell: (row) => <code>{clean(row.sqlstate)}</code> },
  { id: "name", name: "Name", text: true, sort: (row) => row.name, cell: (row) => (row.name === null ? "–" : <Name text={row.name.replace(/_/g, " ")} width={60} />) },
  { id: "class", name: "Class", text: true, wide: true, sort: (row) => row.class_name, cell: (row) => (row.class_name === null ? "–" : <Name text={row.class_name} width={60} />) },
  { id: "database", name: "Database", text: true, wide: true, sort: (row) => row.database, cell: (row) => <Name text={row.database} width={24} /> },
  { id: "count", name: "Count", sort: (row) => row.count, cell: (row) => count(row.count) },
  {
    id: "statements", name: "Statements", text: true,
    cell: (row) => (
      <span class="chips">
        {row.digests.slice(0, SHOWN).map((each) => (
          <a key={each.digest} class="chip" href={href(["statements", each.digest], { database: row.database })}>
            <Name text={each.summary} width={32} /> ×{count(each.count)}
          </a>
        ))}
        {row.digests.length > SHOWN && <span class="soft">and {count(row.digests.length - SHOWN)} more</span>}
      </span>
    ),
  },
];

const subject = (row: ErrorGroup): Subject => ({
  text: [row.sqlstate, row.name ?? "", row.class_name ?? "", ...row.digests.map((each) => each.summary)],
  calls: row.count, errors: row.count, sqlstates: [row.sqlstate], db: row.database, digest: row.digests.map((each) => each.digest),
});

export function Errors() {
  const answer = useList<ErrorGroup>("/api/v1/errors");
  const filter = parseFilter(useFilterText());
  return (
    <>
      <h1 tabIndex={-1}>Errors</h1>
      <Loaded answer={answer} what="errors">
        {({ items }) => {
          const shown = items.filter((row) => matches(filter, subject(row)));
          if (items.length === 0) return <Empty title="No errors so far."><p>Whatever the server refuses appears here by its SQLSTATE, with the statements that it refused.</p></Empty>;
          return (
            <>
              <div class="toolbar">
                <FilterBox placeholder="Filter: err:23505 orders" filter={filter} shown={shown.length} all={items.length} sample={items[0] && subject(items[0])} />
              </div>
              <Table label="Errors" columns={COLUMNS} rows={shown} keyOf={(row) => `${row.sqlstate}/${row.database}`} order="-count" />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

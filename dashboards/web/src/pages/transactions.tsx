// Transactions by shape: which statements, how often, and how much of the time the application was thinking.

import { useList } from "../data/answer";
import { href } from "../data/route";
import type { List, Statement, TransactionShape } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { amount, count, duration, percent } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Share } from "../parts/spark";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Name } from "../parts/text";

const CHIPS_MAX = 6;

/** Runs of one digest as `×n`. */
function runs(digests: string[]): { digest: string; times: number }[] {
  const found: { digest: string; times: number }[] = [];
  for (const digest of digests) {
    const last = found.at(-1);
    if (last?.digest === digest) last.times += 1;
    else found.push({ digest, times: 1 });
  }
  return found;
}

function Chips({ row, names }: { row: TransactionShape; names: Map<string, Statement> }) {
  if (row.shape === null) return <>everything else</>;
  const found = runs(row.digests);
  return (
    <span class="chips">
      {found.slice(0, CHIPS_MAX).map(({ digest, times }, index) => {
        const known = names.get(digest);
        return (
          <a key={index} class="chip" href={href(["statements", digest], { database: row.database })}>
            <Name text={known?.summary ?? digest.slice(0, 8)} width={28} />{times > 1 && ` ×${count(times)}`}
          </a>
        );
      })}
      {found.length > CHIPS_MAX && <span class="soft">and {count(found.length - CHIPS_MAX)} more</span>}
    </span>
  );
}

const think = (row: TransactionShape): number | null => (row.total_ms > 0 ? row.think_ms / row.total_ms : null);

function columnsWith(names: Map<string, Statement>): Column<TransactionShape>[] {
  return [
    { id: "shape", name: "Statements", head: true, cell: (row) => <Chips row={row} names={names} /> },
    { id: "service", name: "Service", text: true, wide: true, sort: (row) => row.service, cell: (row) => <Name text={row.service} width={32} /> },
    { id: "count", name: "Count", sort: (row) => row.count, cell: (row) => count(row.count) },
    { id: "statements", name: "Statements each", sort: (row) => row.statements / Math.max(1, row.count), cell: (row) => amount(row.statements / Math.max(1, row.count)) },
    { id: "time", name: "Open, all", sort: (row) => row.total_ms, cell: (row) => duration(row.total_ms) },
    { id: "mean", name: "Open, each", sort: (row) => row.total_ms / Math.max(1, row.count), cell: (row) => duration(row.total_ms / Math.max(1, row.count)) },
    { id: "busy", name: "In statements", sort: (row) => row.busy_ms, cell: (row) => duration(row.busy_ms), wide: true },
    {
      id: "think", name: "Thinking", sort: think, about: "Part of the open time in which the application did something else",
      cell: (row) => { const share = think(row); return <span class="share-cell"><Share share={share ?? 0} />{percent(share)}</span>; },
    },
  ];
}

export function Transactions() {
  const answer = useList<TransactionShape>("/api/v1/transactions");
  const statements = useList<Statement>("/api/v1/statements");
  const names = new Map((statements.data as List<Statement> | undefined)?.items.map((row) => [row.digest, row]));
  const filter = parseFilter(useFilterText());
  const subject = (row: TransactionShape): Subject => ({
    text: row.digests.map((digest) => names.get(digest)?.summary ?? digest), calls: row.count,
    duration_ms: row.total_ms / Math.max(1, row.count), db: row.database, svc: [row.service], digest: row.digests,
  });
  return (
    <>
      <h1 tabIndex={-1}>Transactions</h1>
      <Loaded answer={answer} what="transactions">
        {({ items }) => {
          const shown = items.filter((row) => matches(filter, subject(row)));
          if (items.length === 0) {
            return <Empty title="All statements ran in autocommit."><p>Explicit transactions appear here by their sequence of statements.</p></Empty>;
          }
          return (
            <>
              <div class="toolbar">
                <FilterBox placeholder="Filter: svc:web d>100ms" filter={filter} shown={shown.length} all={items.length} sample={items[0] && subject(items[0])} />
              </div>
              <Table
                label="Transactions" columns={columnsWith(names)} rows={shown} order="-time"
                keyOf={(row) => `${row.shape ?? "other"}/${row.database}/${row.service}`}
                caption="Shapes of transactions: the same statements in the same order."
              />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

// Open connections: what each does now, against the limit.

import { useList } from "../data/answer";
import { href } from "../data/route";
import { usePulse } from "../data/pulse";
import type { Connection } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { clean, count, duration, moment, percent } from "../text/format";
import { stateWords } from "../text/words";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Icon } from "../parts/icon";
import { Share } from "../parts/spark";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Name } from "../parts/text";

const ICONS: Record<string, string> = { active: "active", idle: "idle", idle_in_transaction: "warning" };

const COLUMNS: Column<Connection>[] = [
  { id: "session", name: "Session", head: true, slim: true, sort: (row) => Number(row.session), cell: (row) => clean(row.session) },
  {
    id: "state", name: "State", text: true, sort: (row) => row.state,
    cell: (row) => <span class={`badge state-${row.state}`}><Icon name={ICONS[row.state] ?? "info"} />{stateWords(row.state)}</span>,
  },
  { id: "age", name: "For", sort: (row) => row.state_ms, cell: (row) => duration(row.state_ms), about: "Time in this state" },
  { id: "application", name: "Application", text: true, sort: (row) => row.application_name, cell: (row) => <Name text={row.application_name || row.service} width={40} /> },
  { id: "user", name: "User, database", text: true, sort: (row) => row.user, cell: (row) => <Name text={`${row.user}, ${row.database}`} width={40} />, wide: true },
  { id: "client", name: "Client", text: true, sort: (row) => row.client, cell: (row) => <Name text={row.client} width={40} />, wide: true },
  { id: "driver", name: "Driver", text: true, sort: (row) => row.driver, cell: (row) => (row.driver === null ? "–" : <Name text={row.driver} width={30} />), spare: true },
  { id: "route", name: "Route", text: true, sort: (row) => row.route, cell: (row) => (row.route === null ? "–" : <Name text={row.route} width={40} />), wide: true },
  { id: "statements", name: "Statements", sort: (row) => row.statements, cell: (row) => count(row.statements) },
  {
    id: "last", name: "Last statement", text: true,
    cell: (row) => row.last_digest === null ? "–" : (
      <a href={href(["statements", row.last_digest], { database: row.database })}><Name text={row.last_summary ?? row.last_digest} width={40} /></a>
    ),
  },
  { id: "opened", name: "Opened", text: true, sort: (row) => row.opened, cell: (row) => moment(row.opened), spare: true },
];

const subject = (row: Connection): Subject => ({
  text: [row.application_name, row.service, row.user, row.client, row.state, row.last_summary ?? ""],
  duration_ms: row.state_ms, calls: row.statements, db: row.database, svc: [row.service, row.application_name],
  session: row.session, digest: [row.last_digest ?? ""], route: [row.route ?? ""],
});

function Gauge() {
  const { summary, info } = usePulse();
  if (!summary) return null;
  const { active, idle, idle_in_transaction: waiting } = summary.connections;
  const open = active + idle + waiting;
  const most = info?.limits["connections_max"] ?? null;
  return (
    <p class="lead">
      <strong>{count(open)}</strong> open{most !== null && <> of {count(most)} <Share share={open / most} /> <span class="soft">{percent(open / most)}</span></>}
      <span class="soft"> · {count(active)} active, {count(idle)} idle, {count(waiting)} idle in a transaction</span>
    </p>
  );
}

export function Connections() {
  const answer = useList<Connection>("/api/v1/connections");
  const filter = parseFilter(useFilterText());
  return (
    <>
      <h1 tabIndex={-1}>Connections</h1>
      <Gauge />
      <Loaded answer={answer} what="list of connections">
        {({ items, total }) => {
          const shown = items.filter((row) => matches(filter, subject(row)));
          if (items.length === 0) return <Empty title="No clients connected." />;
          return (
            <>
              <div class="toolbar">
                <FilterBox placeholder="Filter: idle svc:web d>1s" filter={filter} shown={shown.length} all={items.length} sample={items[0] && subject(items[0])} />
              </div>
              <Table
                label="Connections" columns={COLUMNS} rows={shown} keyOf={(row) => row.session} order="-age" chooser
                caption={total > items.length ? `The newest ${count(items.length)} of ${count(total)}.` : undefined}
              />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

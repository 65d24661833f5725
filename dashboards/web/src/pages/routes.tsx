// Routes: what a request of each costs; one of them with its typical and its worst unit.

import { useAnswer, useList } from "../data/answer";
import { href } from "../data/route";
import type { Route, RouteDetail, Unit } from "../data/shapes";
import { matches, parseFilter, type Subject } from "../text/filter";
import { amount, count, duration, threeDigits } from "../text/format";
import { FilterBox, useFilterText } from "../parts/filterbox";
import { Empty, Loaded } from "../parts/status";
import { Table, type Column } from "../parts/table";
import { Id, Name } from "../parts/text";
import { Waterfall } from "../parts/waterfall";

/** The label of units without a route is no route's name. */
const routeWords = (route: string): string => (route === "" || route === "none" ? "no route" : route);

const perUnit = (row: Route, value: number): number | null => (row.units > 0 ? value / row.units : null);

const COLUMNS: Column<Route>[] = [
  { id: "route", name: "Route", head: true, sort: (row) => row.route, cell: (row) => <a href={href(["routes", row.service, row.route])}><Name text={routeWords(row.route)} width={60} /></a> },
  { id: "service", name: "Service", text: true, sort: (row) => row.service, cell: (row) => <Name text={row.service} width={20} /> },
  { id: "units", name: "Units", sort: (row) => row.units, cell: (row) => count(row.units), about: "Requests, transactions or runs of statements" },
  { id: "rate", name: "Units/s", sort: (row) => row.units_per_s, cell: (row) => threeDigits(row.units_per_s), spare: true },
  { id: "statements", name: "Statements/unit", sort: (row) => row.statements_per_unit, cell: (row) => amount(row.statements_per_unit) },
  { id: "similar", name: "Similar/unit", sort: (row) => perUnit(row, row.similar), cell: (row) => amount(perUnit(row, row.similar)), about: "Statements that repeat an earlier digest of their unit" },
  { id: "duplicate", name: "Duplicate/unit", sort: (row) => perUnit(row, row.duplicate), cell: (row) => amount(perUnit(row, row.duplicate)), wide: true, about: "Reads that repeat digest and values of their unit" },
  { id: "trips", name: "Round trips/unit", sort: (row) => row.round_trips_per_unit, cell: (row) => amount(row.round_trips_per_unit), spare: true },
  { id: "time", name: "Time/unit", sort: (row) => row.db_ms_per_unit, cell: (row) => duration(row.db_ms_per_unit), about: "In the database" },
  { id: "total", name: "Time, all", sort: (row) => (row.db_ms_per_unit ?? 0) * row.units, cell: (row) => (row.db_ms_per_unit === null ? "–" : duration(row.db_ms_per_unit * row.units)), wide: true },
  { id: "p95", name: "95 %", sort: (row) => row.p95_ms, cell: (row) => duration(row.p95_ms), about: "Time of a unit in the database" },
  { id: "think", name: "Think/unit", sort: (row) => row.think_ms_per_unit, cell: (row) => duration(row.think_ms_per_unit), spare: true },
];

const subject = (row: Route): Subject => ({
  text: [row.route, row.service], duration_ms: row.p95_ms, calls: row.units, svc: [row.service], route: [row.route],
});

function Recipes() {
  return (
    <Empty title="No route tags seen.">
      <p>Switch on SQL comments, and every statement is counted under the page that sent it:</p>
      <dl>
        <dt>Django</dt><dd><code>pip install google-cloud-sqlcommenter</code>, middleware <code>google.cloud.sqlcommenter.django.middleware.SqlCommenter</code></dd>
        <dt>Rails</dt><dd><code>config.active_record.query_log_tags_enabled = true</code></dd>
        <dt>SQLAlchemy</dt><dd>an event on <code>before_cursor_execute</code> that adds <code>/*route='/orders'*/</code></dd>
        <dt>Node, Java, Go</dt><dd>sqlcommenter for Knex, Sequelize, Hibernate, or <code>database/sql</code></dd>
        <dt>By hand</dt><dd><code>SELECT … /*route='/orders',application='web'*/</code></dd>
      </dl>
    </Empty>
  );
}

export function Routes() {
  const answer = useList<Route>("/api/v1/routes");
  const filter = parseFilter(useFilterText());
  return (
    <>
      <h1 tabIndex={-1}>Routes</h1>
      <Loaded answer={answer} what="routes">
        {({ items }) => {
          const shown = items.filter((row) => matches(filter, subject(row)));
          if (items.length === 0) return <Recipes />;
          return (
            <>
              <div class="toolbar">
                <FilterBox placeholder="Filter: route:/orders/* svc:web" filter={filter} shown={shown.length} all={items.length} sample={items[0] && subject(items[0])} />
              </div>
              <Table
                label="Routes" columns={COLUMNS} rows={shown} keyOf={(row) => `${row.service}\n${row.route}`} order="-total" chooser
                caption="Units of work (requests or transactions) by where they come from."
              />
            </>
          );
        }}
      </Loaded>
    </>
  );
}

function Facts({ of }: { of: RouteDetail }) {
  const rows: [string, string][] = [
    ["Units", count(of.units)], ["Units per second", threeDigits(of.units_per_s)],
    ["Statements per unit", amount(of.statements_per_unit)],
    ["… median, 95 %", `${count(of.statements_p50)}, ${count(of.statements_p95)}`],
    ["Round trips per unit", amount(of.round_trips_per_unit)],
    ["Similar per unit", amount(perUnit(of, of.similar))], ["Duplicate per unit", amount(perUnit(of, of.duplicate))],
    ["Time in the database", duration(of.db_ms_per_unit)], ["… median, 95 %", `${duration(of.p50_ms)}, ${duration(of.p95_ms)}`],
    ["Thinking in between", duration(of.think_ms_per_unit)],
  ];
  return <dl class="numbers">{rows.map(([name, value], index) => <div key={index}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

export function RoutePage({ service, route }: { service: string; route: string }) {
  const answer = useAnswer<RouteDetail>(`/api/v1/routes/${encodeURIComponent(service)}/${encodeURIComponent(route)}`);
  return (
    <>
      <p class="crumb"><a href="#/routes">Routes</a></p>
      <h1 tabIndex={-1}><Name text={routeWords(route)} width={200} /></h1>
      <p class="soft">
        Route of service <Name text={service} width={60} /> ·{" "}
        <a href={href(["statements"], { q: `route:"${route.replace(/"/g, "*")}"` })}>its statements</a> ·{" "}
        <a href={href([], { q: `route:"${route.replace(/"/g, "*")}"` })}>its findings</a>
      </p>
      <Loaded answer={answer} what="such route">
        {(of) => (
          <>
            <Facts of={of} />
            <Waterfall title="A typical unit" unit={of.typical} />
            <Waterfall title="The worst unit" unit={of.worst} />
          </>
        )}
      </Loaded>
    </>
  );
}

export function UnitPage({ id }: { id: string }) {
  const answer = useAnswer<Unit>(`/api/v1/units/${encodeURIComponent(id)}`);
  return (
    <>
      <p class="crumb"><a href="#/routes">Routes</a></p>
      <h1 tabIndex={-1}>Unit of work <Id text={id} /></h1>
      <Loaded answer={answer} what="such unit (only some are kept)">
        {(unit) => (
          <>
            <p class="soft">
              Service <Name text={unit.service} width={60} />
              {unit.route !== "" && <>, route <a href={href(["routes", unit.service, unit.route])}><Name text={routeWords(unit.route)} width={60} /></a></>}
              {unit.traced && ", traced"}
            </p>
            <Waterfall title="Statements" unit={unit} />
          </>
        )}
      </Loaded>
    </>
  );
}

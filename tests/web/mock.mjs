// A stand-in for the proxy with as much data as is wanted: the shapes of the API, made from a counter.
//
//   node tests/web/mock.mjs [--digests 5000] [--findings 500] [--hostile]    prints the address it serves at

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const PAGE = new URL("../../dashboards/web/dist/index.html", import.meta.url);

export const HOSTILE = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>\u202egnp.exe\u200b`${window.pwned=1}`</style>";

const hex = (value, digits) => value.toString(16).padStart(digits, "0");
const TABLES = ["orders", "items", "customers", "products", "invoices", "audit_log", "carts", "addresses"];
const OPERATIONS = ["select", "select", "select", "insert", "update", "delete"];
const loss = { events: 4108, dropped: 0, opaque_sessions: 0 };

/** The same series of numbers each time. */
function numbers(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function statement(index, random, hostile) {
  const table = TABLES[index % TABLES.length];
  const operation = OPERATIONS[index % OPERATIONS.length];
  const calls = Math.ceil(40_000 / (index + 1) ** 1.1);
  const mean = 0.2 + random() * 40;
  const total = calls * mean;
  const text = hostile && index === 0
    ? `SELECT '${HOSTILE}' FROM ${table} WHERE note = ${"x".repeat(100_000)}`
    : operation === "select"
      ? `SELECT ${table}.id, ${table}.customer_id, c.name, count(*) FROM ${table} LEFT JOIN customers c ON c.id = ${table}.customer_id WHERE ${table}.tenant = $1 AND ${table}.status = ANY($2) AND ${table}.created_at BETWEEN ? AND ? GROUP BY 1, 2, 3 HAVING count(*) > ? ORDER BY ${table}.created_at DESC LIMIT $3`
      : `${operation === "insert" ? `INSERT INTO ${table} (id, note) VALUES ($1, ?) ON CONFLICT DO NOTHING RETURNING id` : operation === "update" ? `UPDATE ${table} SET note = $1 WHERE id = $2` : `DELETE FROM ${table} WHERE id IN (…)`}`;
  const name = hostile && index === 0 ? HOSTILE : `${operation.toUpperCase()} ${table}${operation === "select" ? " customers" : ""}`;
  return {
    digest: hex(0x9f2c41d07ab85e00n + BigInt(index), 16), database: "shop", summary: name, operation, query_text: text,
    query_text_cut: hostile && index === 0, parsed: true, query_id: null, tables: [hostile && index === 0 ? HOSTILE : table, "customers"],
    calls, batch_members: 0, total_ms: total, share: 0, mean_ms: mean, min_ms: mean / 5, p50_ms: mean * 0.8, p95_ms: mean * 2.5,
    p99_ms: mean * 5, max_ms: mean * 12, stddev_ms: mean * 0.9, variance_to_mean: mean * 0.81, first_row_p50_ms: mean * 0.7,
    transfer_p50_ms: mean * 0.1, rows: calls * 3, rows_per_call: 3, sent_bytes: calls * 420, received_bytes: calls * 80,
    errors: index % 17 === 3 ? 4 : 0, sqlstates: index % 17 === 3 ? [{ sqlstate: "23505", count: 4 }] : [], transfer_share: 0.12,
    sources: [{ user: "app", application_name: hostile && index === 0 ? HOSTILE.repeat(500) : "web", route: hostile && index === 0 ? HOSTILE : `/${table}/:id`, calls, total_ms: total }],
    findings: index < 3 ? [hex(0x3f2a00000000n + BigInt(index), 12)] : [],
    trend: Array.from({ length: 30 }, () => random() * total / 30), first_seen: "2026-11-22T20:04:07.000Z", last_seen: "2026-11-22T20:44:07.000Z",
  };
}

const KINDS = [
  ["n_plus_one", "error", "dataflow"], ["missing_index", "warning", "text"], ["duplicate_query", "warning", "duplicate"],
  ["idle_in_transaction", "warning", "observed"], ["looped_lookup", "info", "sequence"], ["unbounded_result", "info", "observed"],
];

function finding(index, statements, hostile) {
  const [kind, severity, proof] = KINDS[index % KINDS.length];
  const [parent, child] = [statements[index % statements.length], statements[(index + 1) % statements.length]];
  const isPair = kind === "n_plus_one";
  const table = TABLES[index % TABLES.length];
  const sentences = {
    n_plus_one: `For every row of \`orders\`, \`${table}\` is read once more: 17 look-ups where one would do.`,
    missing_index: `\`${table}\` may lack an index on \`customer_id\`: a suspect.`,
    duplicate_query: `The same row of \`${table}\` is read 6 times in one request.`,
    idle_in_transaction: `A transaction stays open for 2.10 s while the application does something else.`,
    looped_lookup: `Looks like a loop: \`${table}\` is read 40 times in a row with changing values.`,
    unbounded_result: `\`${table}\` is read without a limit: 48,000 rows at once.`,
  };
  return {
    id: hex(0x3f2a00000000n + BigInt(index), 12), kind, variant: null, severity, proof, gate: isPair ? "scope" : null,
    state: index % 11 === 10 ? "resolved" : index % 13 === 12 ? "muted" : "open", muted_until: null,
    mute_reason: index % 13 === 12 ? "by design" : null, superseded_by: null, reopened: 0,
    sentence: hostile && index === 0 ? `${HOSTILE} is read.` : sentences[kind],
    parent: isPair ? { table: "orders", column: "customer_id", digest: parent.digest, query_text: parent.query_text, field: 1, alternatives: [], table_oid: 1, attnum: 1 } : null,
    child: { table, column: "id", digest: child.digest, query_text: child.query_text, slot: 1 },
    n: isPair ? 17 : null, n_median: isPair ? 17 : null, n_max: isPair ? 25 : null, rows_median: 17, sightings: 200 - index % 150, ratio: isPair ? 1 : null,
    coverage: isPair ? 1 : null, explained: isPair ? 1 : null, order: isPair ? 1 : null,
    cost: {
      saved_low_ms: 8, saved_high_ms: 38, saved_low_ms_per_hour: index % 3 ? null : 27_500 / (index + 1), saved_high_ms_per_hour: index % 3 ? null : 90_000 / (index + 1),
      occurrences_per_hour: index % 3 ? null : 720, bytes: kind === "unbounded_result" ? 48_000_000 : null, rtt_ms: 0.2, service_p50_ms: 1.1, busy_ms: 38, busy_total_ms: 60_000 / (index + 1),
    },
    route: hostile && index === 0 ? HOSTILE : `/${table}/:id`, routes: [{ route: hostile && index === 0 ? HOSTILE : `/${table}/:id`, sightings: 120 }, { route: "/export", sightings: 3 }],
    service: "web", mark: null, db_name: "shop",
    fix: { orm: isPair ? "sqlalchemy" : null, text: isPair ? "Load them with the orders: `selectinload(Order.items)`." : "Read it once and keep the answer for the request.", sql: isPair ? `SELECT id, name FROM ${table} WHERE id = ANY($1)` : null },
    rule: null, column: kind === "missing_index" ? `${table}.customer_id` : null,
    evidence: kind === "missing_index" ? { server_share: 0.31, support: "3 rows took 40 ms", calls: 900 } : { distinct_values_used: 17, hostile: hostile ? HOSTILE : "no" },
    first_seen: "2026-11-22T20:04:09.000Z", last_seen: "2026-11-22T20:44:07.000Z",
    examples: [{ at: "2026-11-22T20:44:07.000Z", session: "42", unit: "00000000000000a1", n: 17, rows: 17, wall_ms: 41 }],
  };
}

function unit(statements, hostile) {
  const repeated = Array.from({ length: 17 }, (_, index) => ({ offset_ms: 6 + index * 2.1, statement: statements[1 % statements.length] }));
  const all = [{ offset_ms: 0, statement: statements[0] }, ...repeated];
  return {
    unit_id: "00000000000000a1", trace_id: null, traced: true, service: "web", route: hostile ? HOSTILE : "/orders/:id", at: "2026-11-22T20:44:07.000Z",
    duration_ms: 44, db_ms: 31, statement_count: 18, round_trips: 18, similar: 16, duplicate: 2, cut: false,
    statements: all.map(({ offset_ms, statement }, index) => ({
      offset_ms, duration_ms: index === 0 ? 5.2 : 1.4, phases_ms: { queue: 0.05, first_row: index === 0 ? 4 : 1.1, transfer: index === 0 ? 1 : 0.2, client_stall: index === 0 ? 0.2 : 0.05 },
      digest: statement.digest, summary: statement.summary, rows: index === 0 ? 17 : 1,
    })),
  };
}

const BOUNDS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, null];

function detail(item) {
  const centre = Math.log(item.p50_ms);
  return {
    ...item,
    histogram: BOUNDS.map((le_ms) => ({ le_ms, count: Math.round(item.calls * 0.4 * Math.exp(-((Math.log(le_ms ?? 2_500) - centre) ** 2))) })),
    phases_ms: { queue: item.total_ms * 0.01, first_row: item.total_ms * 0.8, transfer: item.total_ms * 0.14, client_stall: item.total_ms * 0.05, think_in_transaction: 0, think_idle: 0 },
    columns: [{ table: item.tables[0], column: "payload", bytes: 4_000_000, share: 0.82 }, { table: item.tables[0], column: "id", bytes: 80_000, share: 0.02 }],
    routes: item.sources.map((source) => source.route), hygiene: { parses_per_call: 1, simple_share: 0.1, literal_share: 0.6 },
    plan: null, index_advice: null,
  };
}

function flame(statements, hostile) {
  const byRoute = new Map();
  for (const each of statements) {
    const route = each.sources[0].route;
    byRoute.set(route, [...(byRoute.get(route) ?? []), each]);
  }
  const phases = (ms) => [{ name: "first_row", value_ms: ms * 0.8 }, { name: "transfer", value_ms: ms * 0.15 }, { name: "queue", value_ms: ms * 0.05 }];
  const routes = [...byRoute].map(([name, list]) => {
    const children = list.map((each) => ({ name: each.summary, value_ms: each.total_ms, children: phases(each.total_ms) }));
    return { name, value_ms: children.reduce((sum, child) => sum + child.value_ms, 0), children };
  });
  const whole = routes.reduce((sum, child) => sum + child.value_ms, 0);
  return { name: "all", value_ms: whole, children: [{ name: hostile ? HOSTILE : "web", value_ms: whole, children: routes }] };
}

/** Answers by path; lists hold everything and are cut by the server. */
export function answers({ digests = 60, findings = 14, hostile = false } = {}) {
  const random = numbers(7);
  const statements = Array.from({ length: digests }, (_, index) => statement(index, random, hostile)).sort((a, b) => b.total_ms - a.total_ms);
  const whole = statements.reduce((sum, each) => sum + each.total_ms, 0) || 1;
  statements.forEach((each) => { each.share = each.total_ms / whole; });
  const found = digests === 0 ? [] : Array.from({ length: findings }, (_, index) => finding(index, statements, hostile));
  const calls = statements.reduce((sum, each) => sum + each.calls, 0);
  const routes = digests === 0 ? [] : TABLES.map((table, index) => ({
    service: "web", route: hostile && index === 0 ? HOSTILE : `/${table}/:id`, units: 900 - 80 * index, units_per_s: 2 - index * 0.2, statements_per_unit: 18.2, round_trips_per_unit: 18.2,
    similar: 14_000, duplicate: 1_200, db_ms_per_unit: 31.2 / (index + 1), think_ms_per_unit: 4, p50_ms: 28, p95_ms: 61, statements_p50: 18, statements_p95: 25, typical_unit: "00000000000000a1", worst_unit: "00000000000000a1",
  }));
  const list = (items, other = null) => ({ from: "2026-11-22T20:04:07.000Z", to: "2026-11-22T20:44:12.000Z", items, other, total: items.length, next_cursor: null, loss });
  const phases = { queue: whole * 0.01, first_row: whole * 0.8, transfer: whole * 0.14, client_stall: whole * 0.05, think_in_transaction: whole * 0.3, think_idle: whole };
  const sums = (of) => ({ calls: of, total_ms: of * 2.2, rows: of * 3, bytes: of * 420 });
  const points = Array.from({ length: 40 }, (_, index) => ({ ts: new Date(Date.UTC(2026, 10, 22, 20, 4 + index)).toISOString(), calls: digests === 0 ? 0 : Math.round(800 + 300 * Math.sin(index / 4) + random() * 120), errors: index % 9 === 0 ? 2 : 0, rows: 2_400, total_ms: 4_100 + random() * 900, p95_ms: 9 + random() * 4 }));
  const map = new Map([
    ["/api/v1/info", { version: "0.1.0", revision: "0123abc", uptime_s: 2405, mode: "full", redact: "literals", schema: 1, hash_version: 3, upstreams: [{ host: "db.internal", port: 5432, tls: "verify-full", connect_ms: 0.4 }], limits: { connections_max: 1000, digests_max: 5000, queue_batches_max: 1024, statement_text_bytes_max: 65536 }, overhead: { p50_us: 8, p99_us: 32 }, loss }],
    ["/api/v1/summary", { from: "2026-11-22T20:04:07.000Z", to: "2026-11-22T20:44:12.000Z", statements_per_s: calls / 2405, error_share: digests === 0 ? null : 0.001, p50_ms: digests === 0 ? null : 0.9, p95_ms: digests === 0 ? null : 8.2, p99_ms: digests === 0 ? null : 41, active_statements: whole / 2_405_000, phases_ms: phases, avoidable_ms_per_day: found.length > 0 ? 660_000 : null, connections: { active: 2, idle: 5, idle_in_transaction: 1 }, findings: { error: found.filter((each) => each.severity === "error").length, warning: 4, info: 2 }, books: { statements: calls, exact: calls - 12, bound: 4, batch_members: 8, empty: 0, aborted: 0, untracked: 0, other: 0, skipped: 0 }, routes }],
    ["/api/v1/statements", list(statements, { digests: { calls: 0, total_ms: 0, share: 0, rows: 0, errors: 0, sent_bytes: 0, received_bytes: 0 }, indivisible_batches: { calls: 8, total_ms: 12, share: 0.0001, rows: 8, errors: 0, sent_bytes: 900, received_bytes: 300 } })],
    ["/api/v1/findings", list(found)], ["/api/v1/routes", list(routes)],
    ["/api/v1/transactions", list(digests === 0 ? [] : Array.from({ length: 8 }, (_, index) => ({ shape: hex(BigInt(index + 1), 16), database: "shop", service: hostile ? HOSTILE : "web", digests: [statements[index % digests].digest, ...Array(index * 3).fill(statements[(index + 1) % digests].digest)], count: 300 - index * 20, statements: 900, total_ms: 20_000 / (index + 1), busy_ms: 9_000 / (index + 1), think_ms: 11_000 / (index + 1) })))],
    ["/api/v1/tables", list(digests === 0 ? [] : TABLES.map((table, index) => ({ table: hostile && index === 0 ? HOSTILE : table, database: "shop", reads: sums(40_000 / (index + 1)), writes: sums(2_000 / (index + 1)), routes: [`/${table}/:id`, "/export"], digests: [statements[index % digests].digest] })))],
    ["/api/v1/errors", list(digests === 0 ? [] : [{ sqlstate: "23505", name: "unique_violation", class_name: "Integrity Constraint Violation", count: 14, database: "shop", digests: [{ digest: statements[3 % digests].digest, summary: hostile ? HOSTILE : "INSERT products", count: 14 }] }, { sqlstate: "40P01", name: "deadlock_detected", class_name: "Transaction Rollback", count: 2, database: "shop", digests: [{ digest: statements[4 % digests].digest, summary: "UPDATE invoices", count: 2 }] }])],
    ["/api/v1/connections", list(digests === 0 ? [] : Array.from({ length: 8 }, (_, index) => ({ session: String(40 + index), state: ["active", "idle", "idle", "idle_in_transaction"][index % 4], database: "shop", service: "web", user: "app", application_name: hostile ? HOSTILE : "web", client: `10.0.0.${index}:5${index}012`, driver: "psycopg 3", opened: "2026-11-22T20:04:07.000Z", state_since: "2026-11-22T20:44:07.000Z", state_ms: 1_200 * index, statements: 400, last_digest: statements[index % digests].digest, last_summary: statements[index % digests].summary, route: "/orders/:id" })))],
    ["/api/v1/series", { from: points[0].ts, to: points.at(-1).ts, step_s: 60, points }],
    ["/api/v1/flame", flame(statements.slice(0, 400), hostile)],
  ]);
  if (digests > 0) map.set("/api/v1/units/00000000000000a1", unit(statements, hostile));
  for (const each of routes) map.set(`/api/v1/routes/web/${encodeURIComponent(each.route)}`, { ...each, typical: unit(statements, hostile), worst: unit(statements, hostile) });
  for (const each of found) map.set(`/api/v1/findings/${each.id}`, each);
  for (const each of statements) {
    map.set(`/api/v1/statements/${each.digest}`, () => detail(each));
    map.set(`/api/v1/statements/${each.digest}/series`, { from: points[0].ts, to: points.at(-1).ts, step_s: 60, points });
    map.set(`/api/v1/statements/${each.digest}/examples`, () => ({ items: ["slowest", "typical", "latest"].map((label) => ({ label, ev: "statement", ts_us: 1_795_366_743_123_456, duration_us: 812, rows: 1, service: hostile ? HOSTILE : "web", route: "/orders/:id", outcome: "ok", unit_id: "00000000000000a1" })) }));
  }
  return map;
}

function policy(page) {
  const hash = (name) => [...page.matchAll(new RegExp(`<${name}[^>]*>([\\s\\S]*?)</${name}>`, "g"))].map((found) => `'sha256-${createHash("sha256").update(found[1]).digest("base64")}'`).join(" ");
  return `default-src 'none'; script-src ${hash("script")}; style-src ${hash("style")}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;
}

function paged(answer, query) {
  if (!Array.isArray(answer.items)) return answer;
  const [limit, from] = [Math.min(500, Number(query.get("limit") ?? 50)), Number(query.get("cursor") ?? 0)];
  const items = answer.items.slice(from, from + limit);
  const rest = answer.items.slice(from + limit);
  const other = answer.other && { ...answer.other, digests: { ...answer.other.digests, calls: rest.reduce((sum, each) => sum + each.calls, 0), total_ms: rest.reduce((sum, each) => sum + each.total_ms, 0), share: rest.reduce((sum, each) => sum + each.share, 0) } };
  return { ...answer, items, other, next_cursor: rest.length > 0 ? String(from + limit) : null };
}

function streamEvents(response, statements, hostile) {
  response.writeHead(200, { "content-type": "application/x-ndjson", "cache-control": "no-store" });
  const line = (value) => response.write(`${JSON.stringify(value)}\n`);
  let seq = 0;
  const timer = setInterval(() => {
    const each = statements[(seq >> 2) % statements.length];
    line({ ev: "digest", digest: each.digest, summary: each.summary });
    line({ ev: "statement", ts_us: Date.now() * 1e3, session: "42", seq, digest: each.digest, service: hostile ? HOSTILE : "web", route: "/orders", duration_us: 812, rows: 1, outcome: "ok" });
    if (seq % 40 === 5) line({ ev: "gap", dropped: 12, reason: "max_rate" });
    seq += 1;
  }, 25);
  response.on("close", () => clearInterval(timer));
}

/** Serves at a free port; `grow` makes each summary differ, as under traffic. */
export function serve(options = {}) {
  const map = answers(options);
  const page = readFileSync(PAGE, "utf8");
  let beats = 0;
  const server = createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url, "http://x");
    if (pathname === "/") {
      response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": policy(page) });
      response.end(page);
      return;
    }
    if (pathname === "/api/v1/events") return void streamEvents(response, map.get("/api/v1/statements").items, options.hostile);
    if (request.method === "POST") {
      const allowed = request.headers.authorization === "Bearer secret";
      response.writeHead(allowed ? 200 : 401, { "content-type": "application/json" });
      response.end(JSON.stringify(allowed ? {} : { code: "PGS0702", detail: "the token is missing or wrong" }));
      return;
    }
    const found = map.get(pathname);
    const answer = typeof found === "function" ? found() : found;
    if (answer && pathname === "/api/v1/summary" && options.grow) {
      beats += 1;
      answer.books.statements += 30 * beats;
    }
    response.writeHead(answer ? 200 : 404, { "content-type": "application/json" });
    response.end(JSON.stringify(answer ? paged(answer, searchParams) : { code: "PGS0704", detail: "there is nothing at this address" }));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve({ url: `http://127.0.0.1:${server.address().port}`, close: () => server.closeAllConnections() ?? server.close(), map })));
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const value = (name, otherwise) => Number(process.argv[process.argv.indexOf(name) + 1] ?? otherwise);
  const given = (name) => process.argv.includes(name);
  const { url } = await serve({ digests: given("--digests") ? value("--digests") : 60, findings: given("--findings") ? value("--findings") : 14, hostile: given("--hostile"), grow: true });
  console.log(url);
}

// The JSON of the API as the proxy writes it (proxy/src/export/shapes.rs). What is not known is null, never 0.

export interface Loss { events: number; dropped: number; opaque_sessions: number }

export interface Info {
  version: string; revision: string; uptime_s: number; mode: string; redact: string;
  schema: number; hash_version: number;
  upstreams: { host: string; port: number; tls: string; connect_ms: number | null }[];
  limits: Record<string, number>;
  overhead: { p50_us: number | null; p99_us: number | null };
  setup?: { stage: string; connections: number; mean_ms: number; p95_ms: number | null }[];
  own_use?: { cpu_s: number; resident_bytes: number } | null;
  loss: Loss;
  // Absent in reports of older versions.
  advisor?: Advisor;
  exports?: Exporter[];
}

export interface Exporter {
  exporter: string; rows: number; bytes: number; failures: number; dropped: Record<string, number>;
  spool_bytes: number; last_error: string | null;
}

export interface Advisor {
  tier: string;
  problems: { db_name: string | null; what: string; remedy: string }[];
  databases: {
    db_name: string; run_at: string; statements: number; candidates: number;
    plans_compared: number | null; plans_exact: number | null;
    existing_indexes: { table: string; index: string; kind: string; why: string }[]; notes: string[];
  }[];
}

export interface StatementPhases { queue: number; first_row: number; transfer: number; client_stall: number }
export interface Phases extends StatementPhases { think_in_transaction: number; think_idle: number }

export interface Books {
  statements: number; exact: number; bound: number; batch_members: number; empty: number; aborted: number;
  untracked: number; other: number; skipped: number;
}

export interface Summary {
  from: string; to: string; statements_per_s: number; error_share: number | null;
  p50_ms: number | null; p95_ms: number | null; p99_ms: number | null; active_statements: number;
  phases_ms: Phases; avoidable_ms_per_day: number | null;
  connections: { active: number; idle: number; idle_in_transaction: number };
  findings: { error: number; warning: number; info: number };
  books: Books; routes: Route[];
}

export interface Rest {
  calls: number; total_ms: number; share: number; rows: number; errors: number;
  sent_bytes: number; received_bytes: number;
}

export interface List<T> {
  from: string; to: string; items: T[];
  other: { digests: Rest; indivisible_batches: Rest } | null;
  total: number; next_cursor: string | null; loss: Loss;
}

export interface Route {
  service: string; route: string; units: number; units_per_s: number;
  statements_per_unit: number | null; round_trips_per_unit: number | null; similar: number; duplicate: number;
  db_ms_per_unit: number | null; think_ms_per_unit: number | null; p50_ms: number | null; p95_ms: number | null;
  statements_p50: number | null; statements_p95: number | null;
  typical_unit: string | null; worst_unit: string | null;
}
export interface RouteDetail extends Route { typical: Unit | null; worst: Unit | null }

export interface Unit {
  unit_id: string; trace_id: string | null; traced: boolean; service: string; route: string; at: string;
  duration_ms: number; db_ms: number; statement_count: number; round_trips: number;
  similar: number; duplicate: number; cut: boolean; statements: UnitStatement[];
}
export interface UnitStatement {
  offset_ms: number; duration_ms: number; phases_ms: StatementPhases; digest: string;
  summary: string | null; rows: number;
}

export interface TransactionShape {
  shape: string | null; database: string; service: string; digests: string[];
  count: number; statements: number; total_ms: number; busy_ms: number; think_ms: number;
}

export interface Source { user: string; application_name: string; route: string | null; calls: number; total_ms: number }

export interface Statement {
  digest: string; database: string; summary: string; operation: string; query_text: string;
  query_text_cut: boolean; parsed: boolean; query_id: string | null; tables: string[];
  calls: number; batch_members: number; total_ms: number; share: number;
  mean_ms: number | null; min_ms: number | null; p50_ms: number | null; p95_ms: number | null;
  p99_ms: number | null; max_ms: number | null; stddev_ms: number | null; variance_to_mean: number | null;
  first_row_p50_ms: number | null; transfer_p50_ms: number | null;
  rows: number; rows_per_call: number | null; sent_bytes: number; received_bytes: number; errors: number;
  sqlstates: { sqlstate: string; count: number }[]; transfer_share: number | null;
  sources: Source[]; findings: string[]; trend: (number | null)[]; first_seen: string; last_seen: string;
}

export interface Bucket { le_ms: number | null; count: number }
export interface ColumnShare { table: string | null; column: string; bytes: number; share: number }
export interface Hygiene { parses_per_call: number; simple_share: number; literal_share: number }

export interface StatementDetail extends Statement {
  histogram: Bucket[]; phases_ms: Phases; columns: ColumnShare[]; routes: string[];
  hygiene: Hygiene | null; plan: unknown; index_advice: unknown;
}

export interface Cost {
  saved_low_ms: number; saved_high_ms: number;
  saved_low_ms_per_hour: number | null; saved_high_ms_per_hour: number | null;
  occurrences_per_hour: number | null; bytes: number | null; rtt_ms: number | null; service_p50_ms: number;
  busy_ms: number; busy_total_ms: number;
}

export interface Finding {
  id: string; kind: string; variant: string | null; severity: string; proof: string; gate: string | null;
  state: string; muted_until: string | null; mute_reason: string | null; superseded_by: string | null;
  reopened: number; sentence: string;
  parent: {
    table: string | null; column: string | null; digest: string; query_text: string; field: number;
    alternatives: string[];
  } | null;
  child: { table: string | null; column: string | null; digest: string; query_text: string; slot: number } | null;
  n: number | null; n_median: number | null; n_max: number | null; rows_median: number | null;
  sightings: number; ratio: number | null; coverage: number | null; explained: number | null; order: number | null;
  cost: Cost; route: string | null; routes: { route: string; sightings: number }[]; service: string;
  mark: string | null; db_name: string; fix: { orm: string | null; text: string; sql: string | null };
  rule: string | null; column: string | null; evidence: Record<string, unknown>;
  first_seen: string; last_seen: string;
  examples: { at: string; session: string; unit: string | null; n: number; rows: number; wall_ms: number }[];
  known?: boolean;
}

export interface Sums { calls: number; total_ms: number; rows: number; bytes: number }
export interface TableUse {
  table: string; database: string; reads: Sums; writes: Sums; routes: string[]; digests: string[];
}
export interface ErrorGroup {
  sqlstate: string; name: string | null; class_name: string | null; count: number; database: string;
  digests: { digest: string; summary: string; count: number }[];
}
export interface Connection {
  session: string; state: string; database: string; service: string; user: string; application_name: string;
  client: string; driver: string | null; opened: string; state_since: string; state_ms: number;
  statements: number; last_digest: string | null; last_summary: string | null; route: string | null;
}
export interface SeriesPoint {
  ts: string; calls: number | null; errors: number | null; rows: number | null;
  total_ms: number | null; p95_ms: number | null;
}
export interface Series { from: string; to: string; step_s: number; points: SeriesPoint[] }
export interface FlameNode { name: string; value_ms: number; children?: FlameNode[] }

// One line of the stream of events; readers skip what they do not know.
export interface EventLine { ev: string; ts_us?: number; [name: string]: unknown }

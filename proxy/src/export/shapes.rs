//! The JSON of the API, as types. The API writes them, the terminal report reads them: one contract, two ends.
//!
//! Times are RFC 3339 UTC, durations `_ms`, shares 0 to 1, ids strings; what is not known is `null`, never 0.
//! Readers ignore fields they do not know, so that a newer proxy serves an older report.

mod activity;
mod advisor;
pub(crate) mod as_sent;
pub(crate) mod audit;
pub(crate) mod diff;
mod finding;
pub(crate) mod fleet;
mod ids;
pub(crate) mod lines;
mod own;
mod report;

pub(crate) use activity::{
    ColumnShare, Connection, ErrorDigest, ErrorGroup, Hygiene, Series, SeriesPoint, TableSums,
    TableUse,
};
pub(crate) use advisor::{AdvisorInfo, StatementPlan};
pub(crate) use finding::{evidence_json, evidence_restored};
pub(crate) use own::{OwnUseInfo, SetupInfo};
pub(crate) use report::{Extremes, Flame, Mark, Report};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Version of these shapes.
pub(crate) const SCHEMA: u32 = 1;
/// Version of the rule by which digests are hashed: the analyzer's.
pub(crate) const HASH_VERSION: u64 = pgsonde_analyzer::text::SHAPE_VERSION;

/// `/live` and `/ready`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Health {
    pub(crate) state: String,
    pub(crate) mode: String,
    pub(crate) upstream_ok: bool,
    pub(crate) reasons: Vec<String>,
}

/// `/api/v1/info`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Info {
    pub(crate) version: String,
    pub(crate) revision: String,
    pub(crate) uptime_s: u64,
    pub(crate) mode: String,
    pub(crate) redact: String,
    pub(crate) schema: u32,
    pub(crate) hash_version: u64,
    pub(crate) upstreams: Vec<UpstreamInfo>,
    pub(crate) limits: BTreeMap<String, u64>,
    pub(crate) overhead: OverheadInfo,
    /// Connection set-up by stage.
    #[serde(default)]
    pub(crate) setup: Vec<SetupInfo>,
    /// Absent in reports of captures.
    #[serde(default)]
    pub(crate) own_use: Option<OwnUseInfo>,
    pub(crate) loss: Loss,
    /// Exporters that are configured.
    #[serde(default)]
    pub(crate) exports: Vec<ExportInfo>,
    /// Absent in reports of older versions.
    #[serde(default)]
    pub(crate) advisor: AdvisorInfo,
}

/// What an exporter came to since start.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct ExportInfo {
    pub(crate) exporter: String,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) failures: u64,
    /// Rows that will never arrive, by reason.
    pub(crate) dropped: BTreeMap<String, u64>,
    pub(crate) spool_bytes: u64,
    /// Null while it works.
    pub(crate) last_error: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UpstreamInfo {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: String,
    pub(crate) connect_ms: Option<f64>,
}

/// Upper bounds of the histogram buckets in which the quantiles lie.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct OverheadInfo {
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Loss {
    pub(crate) events: u64,
    pub(crate) dropped: u64,
    pub(crate) opaque_sessions: u64,
}

/// `/api/v1/summary`, over all time since start.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Summary {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) statements_per_s: f64,
    pub(crate) error_share: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) active_statements: f64,
    pub(crate) phases_ms: PhasesMs,
    pub(crate) avoidable_ms_per_day: Option<f64>,
    pub(crate) connections: Connections,
    pub(crate) findings: Severities,
    pub(crate) books: Books,
    pub(crate) routes: Vec<Route>,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct PhasesMs {
    pub(crate) queue: f64,
    pub(crate) first_row: f64,
    pub(crate) transfer: f64,
    pub(crate) client_stall: f64,
    pub(crate) think_in_transaction: f64,
    pub(crate) think_idle: f64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Connections {
    pub(crate) active: u64,
    pub(crate) idle: u64,
    pub(crate) idle_in_transaction: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Severities {
    pub(crate) error: u64,
    pub(crate) warning: u64,
    pub(crate) info: u64,
}

/// statements = exact + bound + batch_members + empty + aborted; the rest says how well they are known.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
pub(crate) struct Books {
    pub(crate) statements: u64,
    pub(crate) exact: u64,
    pub(crate) bound: u64,
    pub(crate) batch_members: u64,
    pub(crate) empty: u64,
    pub(crate) aborted: u64,
    pub(crate) untracked: u64,
    pub(crate) other: u64,
    pub(crate) skipped: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Route {
    pub(crate) service: String,
    pub(crate) route: String,
    pub(crate) units: u64,
    pub(crate) units_per_s: f64,
    pub(crate) statements_per_unit: Option<f64>,
    #[serde(default)]
    pub(crate) round_trips_per_unit: Option<f64>,
    /// Statements that repeat the digest of an earlier one of their unit, since start.
    #[serde(default)]
    pub(crate) similar: u64,
    /// Reads that repeat digest and values of an earlier one of their unit, since start.
    #[serde(default)]
    pub(crate) duplicate: u64,
    pub(crate) db_ms_per_unit: Option<f64>,
    #[serde(default)]
    pub(crate) think_ms_per_unit: Option<f64>,
    /// Time of a unit in the database.
    #[serde(default)]
    pub(crate) p50_ms: Option<f64>,
    #[serde(default)]
    pub(crate) p95_ms: Option<f64>,
    #[serde(default)]
    pub(crate) statements_p50: Option<u64>,
    #[serde(default)]
    pub(crate) statements_p95: Option<u64>,
    /// Of the largest unit, each by itself.
    #[serde(default)]
    pub(crate) largest: LargestUnit,
    /// Ids of kept units.
    #[serde(default)]
    pub(crate) typical_unit: Option<String>,
    #[serde(default)]
    pub(crate) worst_unit: Option<String>,
}

/// The largest value of each kind that one unit of a route had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LargestUnit {
    pub(crate) statements: u64,
    pub(crate) duplicates: u64,
    pub(crate) rows: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) db_ms: f64,
}

/// `/api/v1/routes/{service}/{route}`: the item and two units of it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct RouteDetail {
    #[serde(flatten)]
    pub(crate) item: Route,
    /// Near the median.
    pub(crate) typical: Option<Unit>,
    /// The one with the most time in the database.
    pub(crate) worst: Option<Unit>,
}

/// `/api/v1/units/{id}`: one unit of work with its first statements.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Unit {
    pub(crate) unit_id: String,
    /// Only a hash of it is kept, so it is not known.
    pub(crate) trace_id: Option<String>,
    pub(crate) traced: bool,
    pub(crate) service: String,
    pub(crate) route: String,
    pub(crate) at: String,
    pub(crate) duration_ms: f64,
    pub(crate) db_ms: f64,
    pub(crate) statement_count: u64,
    pub(crate) round_trips: u64,
    pub(crate) similar: u64,
    pub(crate) duplicate: u64,
    /// Statements are missing in the list.
    pub(crate) cut: bool,
    pub(crate) statements: Vec<UnitStatement>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct UnitStatement {
    pub(crate) offset_ms: f64,
    pub(crate) duration_ms: f64,
    pub(crate) phases_ms: StatementPhasesMs,
    pub(crate) digest: String,
    pub(crate) summary: Option<String>,
    pub(crate) rows: u64,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatementPhasesMs {
    pub(crate) queue: f64,
    pub(crate) first_row: f64,
    pub(crate) transfer: f64,
    pub(crate) client_stall: f64,
}

/// One shape of transactions; `shape` is null for those that found no place of their own.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct TransactionShape {
    pub(crate) shape: Option<String>,
    pub(crate) database: String,
    pub(crate) service: String,
    pub(crate) digests: Vec<String>,
    pub(crate) count: u64,
    pub(crate) statements: u64,
    pub(crate) total_ms: f64,
    pub(crate) busy_ms: f64,
    pub(crate) think_ms: f64,
}

/// Any list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct List<T> {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) items: Vec<T>,
    /// What is not in the items but counts: the digests cut off or without room, and the batches of mixed digests.
    pub(crate) other: Option<Other>,
    pub(crate) total: u64,
    pub(crate) next_cursor: Option<String>,
    pub(crate) loss: Loss,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Other {
    pub(crate) digests: Rest,
    pub(crate) indivisible_batches: Rest,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Rest {
    pub(crate) calls: u64,
    pub(crate) total_ms: f64,
    pub(crate) share: f64,
    pub(crate) rows: u64,
    pub(crate) errors: u64,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
}

/// One digest in one database.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Statement {
    pub(crate) digest: String,
    pub(crate) database: String,
    pub(crate) summary: String,
    pub(crate) operation: String,
    pub(crate) query_text: String,
    pub(crate) query_text_cut: bool,
    pub(crate) parsed: bool,
    pub(crate) query_id: Option<String>,
    pub(crate) tables: Vec<String>,
    pub(crate) calls: u64,
    /// Most executions in one unit of work; 0 where none ended yet.
    #[serde(default)]
    pub(crate) calls_per_unit_max: u64,
    pub(crate) batch_members: u64,
    pub(crate) total_ms: f64,
    pub(crate) share: f64,
    pub(crate) mean_ms: Option<f64>,
    pub(crate) min_ms: Option<f64>,
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p95_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
    pub(crate) max_ms: Option<f64>,
    pub(crate) stddev_ms: Option<f64>,
    /// Variance by mean, in milliseconds.
    pub(crate) variance_to_mean: Option<f64>,
    pub(crate) first_row_p50_ms: Option<f64>,
    pub(crate) transfer_p50_ms: Option<f64>,
    pub(crate) rows: u64,
    pub(crate) rows_per_call: Option<f64>,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) errors: u64,
    pub(crate) sqlstates: Vec<SqlState>,
    pub(crate) transfer_share: Option<f64>,
    pub(crate) sources: Vec<Source>,
    pub(crate) findings: Vec<String>,
    pub(crate) trend: Vec<f64>,
    pub(crate) first_seen: String,
    pub(crate) last_seen: String,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct SqlState {
    pub(crate) sqlstate: String,
    pub(crate) count: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Source {
    pub(crate) user: String,
    pub(crate) application_name: String,
    pub(crate) route: Option<String>,
    pub(crate) calls: u64,
    pub(crate) total_ms: f64,
}

/// `/api/v1/statements/{digest}`: the item and what only one statement has.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct StatementDetail {
    #[serde(flatten)]
    pub(crate) item: Statement,
    /// Exactly timed executions per bucket, not cumulative; `le_ms` is null above the last bound.
    pub(crate) histogram: Vec<Bucket>,
    pub(crate) phases_ms: PhasesMs,
    pub(crate) columns: Vec<ColumnShare>,
    pub(crate) routes: Vec<String>,
    pub(crate) hygiene: Option<Hygiene>,
    pub(crate) plan: Option<serde_json::Value>,
    pub(crate) index_advice: Option<serde_json::Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Bucket {
    pub(crate) le_ms: Option<f64>,
    pub(crate) count: u64,
}

/// One finding.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Finding {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) variant: Option<String>,
    pub(crate) severity: String,
    pub(crate) proof: String,
    pub(crate) gate: Option<String>,
    pub(crate) state: String,
    pub(crate) muted_until: Option<String>,
    pub(crate) mute_reason: Option<String>,
    pub(crate) superseded_by: Option<String>,
    pub(crate) reopened: u32,
    /// One sentence for people.
    pub(crate) sentence: String,
    pub(crate) parent: Option<Parent>,
    pub(crate) child: Option<Child>,
    pub(crate) n: Option<u64>,
    pub(crate) n_median: Option<u64>,
    pub(crate) n_max: Option<u64>,
    pub(crate) rows_median: Option<u64>,
    pub(crate) sightings: u64,
    pub(crate) ratio: Option<f64>,
    pub(crate) coverage: Option<f64>,
    pub(crate) explained: Option<f64>,
    pub(crate) order: Option<f64>,
    pub(crate) cost: Cost,
    pub(crate) route: Option<String>,
    pub(crate) routes: Vec<RouteSightings>,
    pub(crate) service: String,
    /// The mark under which it was seen most.
    pub(crate) mark: Option<String>,
    /// The marks under which it was seen, those with most sightings first.
    #[serde(default)]
    pub(crate) marks: Vec<MarkSightings>,
    pub(crate) db_name: String,
    pub(crate) fix: Fix,
    pub(crate) rule: Option<String>,
    pub(crate) column: Option<String>,
    /// `missing_index`: suspect, estimated, verified, or what became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tier: Option<String>,
    /// There where a planner has chosen the index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ddl: Option<String>,
    /// There where arithmetic has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) proposed_ddl: Option<String>,
    pub(crate) evidence: BTreeMap<String, serde_json::Value>,
    pub(crate) first_seen: String,
    pub(crate) last_seen: String,
    pub(crate) examples: Vec<Example>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Parent {
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    pub(crate) digest: String,
    pub(crate) query_text: String,
    pub(crate) table_oid: u32,
    pub(crate) attnum: i16,
    pub(crate) field: u16,
    pub(crate) alternatives: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Child {
    pub(crate) table: Option<String>,
    pub(crate) column: Option<String>,
    pub(crate) digest: String,
    pub(crate) query_text: String,
    pub(crate) slot: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Cost {
    pub(crate) saved_low_ms: f64,
    pub(crate) saved_high_ms: f64,
    pub(crate) saved_low_ms_per_hour: Option<f64>,
    pub(crate) saved_high_ms_per_hour: Option<f64>,
    pub(crate) occurrences_per_hour: Option<f64>,
    pub(crate) bytes: Option<u64>,
    /// Round trips that the better form spares in the latest occurrence.
    #[serde(default)]
    pub(crate) round_trips: u64,
    pub(crate) rtt_ms: Option<f64>,
    pub(crate) service_p50_ms: f64,
    /// Time that the statements took in the latest occurrence.
    pub(crate) busy_ms: f64,
    /// The same since start.
    pub(crate) busy_total_ms: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Fix {
    pub(crate) orm: Option<String>,
    pub(crate) text: String,
    pub(crate) sql: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct RouteSightings {
    pub(crate) route: String,
    pub(crate) sightings: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct MarkSightings {
    pub(crate) mark: String,
    pub(crate) sightings: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct Example {
    pub(crate) at: String,
    pub(crate) session: String,
    pub(crate) unit: Option<String>,
    pub(crate) n: u64,
    pub(crate) rows: u64,
    pub(crate) wall_ms: f64,
}

/// `application/problem+json`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ProblemBody {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    pub(crate) code: String,
    pub(crate) help: Option<String>,
}

/// Words that people read for a kind of finding.
pub(crate) fn kind_words(kind: &str) -> &str {
    match kind {
        "n_plus_one" => "N+1",
        "missing_index" => "Index missing",
        "looped_lookup" => "Looped look-up",
        "duplicate_query" => "Repeated read",
        "write_loop" => "Row-by-row write",
        "upsert_loop" => "Read, then write",
        "savepoint_loop" => "Savepoint per row",
        "sequential_independent" => "Could run at once",
        "tiny_fetch" => "Tiny fetches",
        "sql_smell" => "SQL smell",
        "unbounded_result" => "Unbounded result",
        "wide_fetch" => "Heavy column",
        "cartesian_explosion" => "Multiplied join",
        "deep_offset" => "Deep offset",
        "count_every_page" => "Count on every page",
        "large_in_list" => "Huge IN list",
        "in_list_churn" => "IN lists of every length",
        "statement_churn" => "Texts never repeat",
        "idle_in_transaction" => "Idle in transaction",
        "long_transaction" => "Long transaction",
        "tx_chatter" => "Chatter",
        "ping_overhead" => "Pings",
        "connection_churn" => "Connection churn",
        "polling" => "Polling",
        "lock_hazard" => "Risky DDL",
        other => other,
    }
}

/// Whether a finding's proof may be stated as a fact.
pub(crate) fn is_proved(proof: &str) -> bool {
    matches!(proof, "dataflow" | "duplicate" | "observed" | "plan")
}

//! The NDJSON lines of captures, the live stream and `tail --json`: one object per line, one schema.
//!
//! Absent = null or zero. Readers skip fields and `ev` that they don't know; adding a field is compatible, changing one
//! raises [`SCHEMA`]. Times are Unix microseconds, durations microseconds, ids text.

use super::as_sent::AsSentFields;
use super::ids::{hex16, number, some_hex16};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Version of the lines.
pub(crate) const SCHEMA: u32 = 1;

/// Longest line with its end, in bytes.
pub(crate) const LINE_BYTES_MAX: usize = 64 * 1024;

type Text<'a> = Cow<'a, str>;

/// What every line begins with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow, default)]
    pub(crate) proxy_id: Text<'a>,
    #[serde(default)]
    pub(crate) ts_us: u64,
}

/// First line of a file: what the rest is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct CaptureLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    pub(crate) schema: u32,
    pub(crate) hash_version: u64,
    #[serde(borrow)]
    pub(crate) version: Text<'a>,
    #[serde(borrow)]
    pub(crate) redact: Text<'a>,
    pub(crate) sample: f64,
    /// When the proxy started: microsecond 0 of its reports.
    pub(crate) started_us: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) host: Option<Text<'a>>,
    /// Pause that ends a unit of work.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) unit_gap_us: u64,
    /// Which kinds of lines the file holds; empty = all.
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Text<'a>>,
}

/// Events that are missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GapLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    pub(crate) until_us: u64,
    pub(crate) dropped: u64,
    #[serde(borrow)]
    pub(crate) reason: Text<'a>,
}

/// The file ends here on purpose.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EndLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    /// Statement lines in the file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) statements: u64,
}

/// What a digest is; stands before the first line that uses it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DigestLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    #[serde(with = "hex16")]
    pub(crate) digest: u64,
    #[serde(borrow)]
    pub(crate) db_operation: Text<'a>,
    #[serde(borrow)]
    pub(crate) summary: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) query_text: Text<'a>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) cut: bool,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) tables: Vec<Text<'a>>,
    /// `parser` or `lexer`.
    #[serde(borrow)]
    pub(crate) source: Text<'a>,
    /// control, catalogue, read, write, other.
    #[serde(borrow, default)]
    pub(crate) class: Text<'a>,
}

/// One execution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct StatementLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    #[serde(with = "number")]
    pub(crate) session: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) seq: u64,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) round_trip: u32,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) transaction: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex16")]
    pub(crate) unit_id: Option<u64>,
    /// The statement's own text has a trace id, and `unit_id` is its hash.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) traced: bool,
    /// Out of the statement's own text: 32 and 16 hex.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex16")]
    pub(crate) span_id: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) service: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) app: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) db_name: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) db_user: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) client_addr: Text<'a>,
    /// Process of the server.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) pid: u32,
    /// `file:line`, out of the statement's own text.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Text<'a>>,
    #[serde(flatten, borrow)]
    pub(crate) as_sent: AsSentFields<'a>,
    /// Other tags of its own text, as far as `profile.tags` asks for them.
    #[serde(borrow, default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<Text<'a>, Text<'a>>,
    #[serde(with = "hex16")]
    pub(crate) digest: u64,
    /// `pg_stat_statements.queryid`, a signed 64-bit number as text, if it is known.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) query_id: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) db_operation: Text<'a>,
    /// simple, extended, function_call.
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) protocol: Text<'a>,
    /// none; unnamed or named, where it was parsed for this execution; reuse.
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) prepare: Text<'a>,
    #[serde(default, skip_serializing_if = "is_zero16")]
    pub(crate) param_count: u16,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) in_transaction: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) duration_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) queue_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) first_row_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) transfer_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) client_stall_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) wait_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) think_us: u64,
    /// What the times are: absent = the statement's own; bound, batch, batch_last, empty.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) timing: Option<Text<'a>>,
    /// On the last member of a batch: its statements.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) batch_statements: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) rows: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) received_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) sent_bytes: u64,
    /// Its portal was not read to its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) suspended: bool,
    /// Absent = ok; error, cancelled, aborted.
    #[serde(borrow, default = "ok")]
    pub(crate) outcome: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) err_sqlstate: Option<Text<'a>>,
    /// begin, commit or rollback, where the answer said so.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<Text<'a>>,
    /// It sets or resets the mark of its session.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) changes_mark: bool,
    /// The text held literals.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) literals: bool,
    /// The text was not known to the proxy.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) untracked: bool,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex16")]
    pub(crate) values_hash: Option<u64>,
}

/// One transaction block that ended.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TransactionLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    #[serde(with = "number")]
    pub(crate) session: u64,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) transaction: u32,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "some_hex16")]
    pub(crate) unit_id: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) trace_id: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<Text<'a>>,
    #[serde(flatten, borrow)]
    pub(crate) who: WhoFields<'a>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) duration_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) busy_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) think_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) statements: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) round_trips: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) rows: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) received_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) sent_bytes: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) writes: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) savepoints: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) err_sqlstate: Option<Text<'a>>,
    /// commit, rollback, error, abandoned.
    #[serde(borrow, default)]
    pub(crate) outcome: Text<'a>,
    #[serde(with = "hex16", default)]
    pub(crate) shape: u64,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) digests: Vec<Text<'a>>,
}

/// Who a session is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct WhoFields<'a> {
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) service: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) app: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) db_name: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) db_user: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) client_addr: Text<'a>,
    /// Process of the server.
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) pid: u32,
}

/// A session began or ended, or a client was turned away.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ConnectionLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    #[serde(with = "number")]
    pub(crate) session: u64,
    #[serde(flatten, borrow)]
    pub(crate) who: WhoFields<'a>,
    /// open, closed, refused.
    #[serde(borrow)]
    pub(crate) state: Text<'a>,
    #[serde(borrow, default, skip_serializing_if = "text_is_empty")]
    pub(crate) server_version: Text<'a>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) duration_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) busy_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) transactions: u64,
    /// Why it was refused: auth_failed, upstream_refused, upstream_timeout, tls_error, limit. Or how it ended:
    /// client_closed, client_reset, server_closed, server_reset, idle_timeout, drain.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_reason: Option<Text<'a>>,
    /// Who ended it: client, server, proxy.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_side: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) auth: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_client: Option<Text<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls_server: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) setup_tcp_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) setup_tls_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) think_idle_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) think_in_transaction_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) received_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) sent_bytes: u64,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) driver: Option<Text<'a>>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) setup_auth_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) statements: u64,
    /// Forwarded unseen at its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) opaque: bool,
    /// framing, replication, unknown, memory, gss, bypass.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) opaque_reason: Option<Text<'a>>,
}

/// Bytes and prepares of a session, about once a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct TrafficLine<'a> {
    #[serde(borrow)]
    pub(crate) ev: Text<'a>,
    #[serde(borrow)]
    pub(crate) proxy_id: Text<'a>,
    pub(crate) ts_us: u64,
    #[serde(with = "number")]
    pub(crate) session: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) client_received_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) client_sent_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) server_received_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) server_sent_bytes: u64,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) prepares_named: u32,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) prepares_unnamed: u32,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) prepares_again: u32,
    #[serde(default, skip_serializing_if = "is_zero32")]
    pub(crate) skipped: u32,
}

/// A finding as it stands; of several lines with one id the last one counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct FindingLine {
    pub(crate) ev: String,
    pub(crate) proxy_id: String,
    pub(crate) ts_us: u64,
    /// 12 hex.
    pub(crate) finding: String,
    /// open, updated, muted, resolved; withdrawn = it turned out to be a coincidence.
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) severity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) confidence: Option<String>,
    #[serde(default)]
    pub(crate) proof: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) sentence: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent_digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) table: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) columns: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) service: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    /// The mark under which it was seen most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) db_name: String,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) occurrences: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) statements: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) avoidable_low_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) avoidable_high_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) avoidable_per_day_us: Option<u64>,
    #[serde(default)]
    pub(crate) first_seen_us: u64,
    #[serde(default)]
    pub(crate) last_seen_us: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) evidence: BTreeMap<String, serde_json::Value>,
    #[serde(default)]
    pub(crate) fix: super::Fix,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) muted: Option<MutedFields>,
    /// What reports show besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<Box<FindingDetail>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct MutedFields {
    pub(crate) reason: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until_us: Option<u64>,
}

/// The rest of a finding.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct FindingDetail {
    pub(crate) variant: Option<String>,
    pub(crate) gate: Option<String>,
    pub(crate) rule: Option<String>,
    pub(crate) reopened: u32,
    pub(crate) superseded_by: Option<String>,
    pub(crate) parent: Option<super::Parent>,
    pub(crate) child: Option<super::Child>,
    pub(crate) n: Option<u64>,
    pub(crate) n_median: Option<u64>,
    pub(crate) n_max: Option<u64>,
    pub(crate) rows_median: Option<u64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) coverage: Option<f64>,
    pub(crate) explained: Option<f64>,
    pub(crate) order: Option<f64>,
    pub(crate) cost: Option<super::Cost>,
    pub(crate) routes: Vec<super::RouteSightings>,
    /// With the sightings under each.
    #[serde(default)]
    pub(crate) marks: Vec<(String, u64)>,
    pub(crate) column: Option<String>,
    pub(crate) examples: Vec<ExampleFields>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ExampleFields {
    pub(crate) at_us: u64,
    pub(crate) session: u64,
    pub(crate) n: u64,
    pub(crate) rows: u64,
    pub(crate) wall_us: u64,
}

/// `/api/v1/statements/{digest}/examples`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Examples {
    pub(crate) digest: String,
    pub(crate) database: String,
    pub(crate) slowest: Option<serde_json::Value>,
    pub(crate) typical: Option<serde_json::Value>,
    pub(crate) latest: Option<serde_json::Value>,
}

/// One file of `/api/v1/captures`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct CaptureFile {
    pub(crate) id: String,
    pub(crate) started: String,
    pub(crate) bytes: u64,
    /// It is being written.
    pub(crate) open: bool,
}

/// `/api/v1/captures`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct Captures {
    pub(crate) running: bool,
    pub(crate) written_bytes: u64,
    pub(crate) errors: u64,
    pub(crate) items: Vec<CaptureFile>,
}

/// What `POST /api/v1/captures` takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaptureRequest {
    #[serde(default)]
    pub(crate) max_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) duration_s: Option<u64>,
}

/// One line as bytes with its end; `None` where it is too long to be written.
pub(crate) fn encode<T: Serialize>(line: &T) -> Option<Vec<u8>> {
    let mut bytes = serde_json::to_vec(line).ok()?;
    bytes.push(b'\n');
    (bytes.len() <= LINE_BYTES_MAX).then_some(bytes)
}

/// Appends a line; false where it is too long to be written.
pub(crate) fn append<T: Serialize>(out: &mut Vec<u8>, line: &T) -> bool {
    let encoded = encode(line);
    let fits = encoded.is_some();
    out.extend(encoded.unwrap_or_default());
    fits
}

/// 64 bits as 16 hexadecimal digits.
pub(crate) fn id_text(id: u64) -> String {
    format!("{id:016x}")
}

/// `ev`, `proxy_id` and `ts_us` of a line.
pub(crate) fn head(line: &[u8]) -> Option<Head<'_>> {
    serde_json::from_slice(line).ok()
}

fn ok() -> Text<'static> {
    Cow::Borrowed("ok")
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero32(value: &u32) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero16(value: &u16) -> bool {
    *value == 0
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_false(value: &bool) -> bool {
    !*value
}

fn text_is_empty(text: &Text<'_>) -> bool {
    text.is_empty()
}

//! Every bound of the analyzer, with unit and reason. At a limit it counts what it leaves out.

mod flow;
mod loops;
mod results;
mod sessions;
mod texts;

pub use flow::FlowLimits;
pub use loops::LoopLimits;
pub use results::ResultLimits;
pub use sessions::SessionLimits;
pub use texts::TextLimits;

use crate::Redaction;
use crate::finding::{Kind, MuteRule};
use crate::text::TagKeys;

/// Limits and thresholds; `Default` is what the documentation publishes.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// What is kept of texts, values and names (`profile.redact`).
    pub redaction: Redaction,
    /// Keys of SQL comments that are kept (`profile.tags`).
    pub tags: TagKeys,
    /// Bytes of everything that is held, roughly (`profile.memory_limit`); beyond it the analyzer sheds.
    pub memory_bytes_max: usize,
    /// Digests tracked (`profile.max_digests`); an entry is about 8 KiB.
    pub digests_max: usize,
    /// Texts remembered per generation; two generations are held. An entry is about 100 bytes.
    pub texts_max: usize,
    /// Bytes of literals and tags remembered per text generation.
    pub text_bytes_max: usize,
    /// Bytes of a redacted text that are kept for display.
    pub query_text_bytes_max: usize,
    /// (database, service) pairs.
    pub pairs_max: usize,
    /// (database, service, operation) sets.
    pub statement_sets_max: usize,
    /// (database, service, SQLSTATE class) sets.
    pub error_sets_max: usize,
    /// (service, route) rows.
    pub routes_max: usize,
    /// Sources kept per digest.
    pub sources_max: usize,
    /// Bytes of a label (user, database, route …); longer ones are cut.
    pub label_bytes_max: usize,
    /// Sessions with state; more are counted under `other` without detection.
    pub sessions_max: usize,
    /// Length of one step of the history, in microseconds (`profile.history_step`).
    pub history_step_us: u64,
    /// Steps of the history that are kept (`profile.history` by `profile.history_step`).
    pub history_steps_max: usize,
    /// Findings tracked.
    pub findings_max: usize,
    /// Names of columns learnt.
    pub names_max: usize,
    /// Pause that ends a unit without trace id or transaction, in microseconds (`profile.unit_gap`).
    pub unit_gap_us: u64,
    /// Traces held open at once.
    pub traces_max: usize,
    /// A trace without statements for this long is over, in microseconds.
    pub trace_idle_us: u64,
    /// Statements of all open units that are told apart; an entry is 80 bytes.
    pub unit_entries_max: usize,
    /// (database, service, shape) rows of transactions.
    pub transaction_shapes_max: usize,
    /// Marks told apart; a row is about 2 KiB.
    pub marks_max: usize,
    /// N+1: limits of the data-flow proof.
    pub flow: FlowLimits,
    /// Missing index: thresholds of tier 1.
    pub missing_index: MissingIndexLimits,
    /// Loops of single statements.
    pub loops: LoopLimits,
    /// Sessions and transactions.
    pub sessions: SessionLimits,
    /// Results.
    pub results: ResultLimits,
    /// Texts.
    pub texts: TextLimits,
    /// Kinds that are not reported (`findings.disable`).
    pub disabled: Vec<Kind>,
    /// What an operator has silenced from the start (`findings.mutes`).
    pub mutes: Vec<MuteRule>,
    /// Scale of severities.
    pub severity: SeverityLimits,
    /// A finding without occurrence for this long is resolved, in microseconds.
    pub close_after_us: u64,
    /// Shortest window from which an hourly rate is computed, in microseconds.
    pub rate_window_min_us: u64,
    /// Executions that could have shown a finding and didn't, from which it is resolved …
    pub resolve_clean_executions: u64,
    /// … when they spread over at least this long, in microseconds.
    pub resolve_min_us: u64,
    /// Occurrences / parent executions below which a finding is not shown …
    pub ratio_drop_ratio: f64,
    /// … once its parent was executed that often.
    pub ratio_drop_executions: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            redaction: Redaction::default(),
            tags: TagKeys::default(),
            memory_bytes_max: 128 * 1024 * 1024,
            digests_max: 5_000,
            texts_max: 65_536,
            text_bytes_max: 8 * 1024 * 1024,
            query_text_bytes_max: 8 * 1024,
            pairs_max: 24,
            statement_sets_max: 96,
            error_sets_max: 64,
            routes_max: 128,
            sources_max: 8,
            label_bytes_max: 256,
            sessions_max: 10_000,
            history_step_us: 10_000_000,
            history_steps_max: 360,
            findings_max: 1_000,
            names_max: 4_096,
            unit_gap_us: 50_000,
            traces_max: 4_096,
            trace_idle_us: 10_000_000,
            unit_entries_max: 65_536,
            transaction_shapes_max: 256,
            marks_max: 4_096,
            flow: FlowLimits::default(),
            missing_index: MissingIndexLimits::default(),
            loops: LoopLimits::default(),
            sessions: SessionLimits::default(),
            results: ResultLimits::default(),
            texts: TextLimits::default(),
            disabled: Vec::new(),
            mutes: Vec::new(),
            severity: SeverityLimits::default(),
            close_after_us: 24 * 3_600 * 1_000_000,
            rate_window_min_us: 300 * 1_000_000,
            resolve_clean_executions: 50,
            resolve_min_us: 3_600 * 1_000_000,
            ratio_drop_ratio: 0.005,
            ratio_drop_executions: 1_000,
        }
    }
}

/// Scale of severities (findings, section 1.4).
#[derive(Clone, Debug, PartialEq)]
pub struct SeverityLimits {
    /// Share of all database wait in the window that makes an error.
    pub error_share_min_ratio: f64,
    /// Saving per occurrence that makes an error, in microseconds.
    pub error_saved_min_us: u64,
    /// Executions per occurrence that make an error.
    pub error_n_min: u64,
    /// Saving per occurrence that makes a warning, in microseconds.
    pub warning_saved_min_us: u64,
    /// Executions per occurrence that make a warning.
    pub warning_n_min: u64,
}

impl Default for SeverityLimits {
    fn default() -> Self {
        Self {
            error_share_min_ratio: 0.01,
            error_saved_min_us: 100_000,
            error_n_min: 50,
            warning_saved_min_us: 20_000,
            warning_n_min: 10,
        }
    }
}

/// Thresholds of the wire-only index suspect.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingIndexLimits {
    /// Whether it looks at all (`findings.missing_index.enabled`).
    pub enabled: bool,
    /// Calls in the window.
    pub calls_min: u64,
    /// Share of all server time.
    pub time_share_min_ratio: f64,
    /// … or this much server time, in microseconds.
    pub time_min_us: u64,
    /// Median server time, in microseconds.
    pub p50_min_us: u64,
    /// Rows (95 %) or LIMIT at most.
    pub rows_max: u64,
    /// Rows (median) from which it is an export.
    pub suppress_rows_min: u64,
    /// Bytes from which it is an export.
    pub suppress_bytes_min: u64,
    /// Length of the rolling window, in microseconds.
    pub window_us: u64,
}

impl Default for MissingIndexLimits {
    fn default() -> Self {
        Self {
            enabled: true,
            calls_min: 20,
            time_share_min_ratio: 0.01,
            time_min_us: 1_000_000,
            p50_min_us: 5_000,
            rows_max: 1_000,
            suppress_rows_min: 10_000,
            suppress_bytes_min: 20_000_000,
            window_us: 3_600 * 1_000_000,
        }
    }
}

//! `[findings.<kind>]`: the thresholds of the analyzer, each with the key that sets it.

use super::keys::{Key, Kind, duration_key, share_key};
use pgsonde_analyzer::limits::Limits;

/// A key and where its value goes: counts as they are, durations in microseconds, sizes in bytes, shares in
/// parts per million.
pub(crate) struct FindingKey {
    /// Name, kind, default.
    pub(crate) key: Key,
    /// Puts a checked value in its place.
    pub(crate) set: fn(&mut Limits, u64),
}

const fn count(
    name: &'static str,
    default: &'static str,
    low: u64,
    high: u64,
    set: fn(&mut Limits, u64),
) -> FindingKey {
    FindingKey { key: Key { name, default, kind: Kind::Count(low, high) }, set }
}

const fn time(
    name: &'static str,
    default: &'static str,
    low_us: u64,
    high_us: u64,
    set: fn(&mut Limits, u64),
) -> FindingKey {
    FindingKey { key: duration_key(name, default, low_us, high_us), set }
}

const fn size(
    name: &'static str,
    default: &'static str,
    low: u64,
    high: u64,
    set: fn(&mut Limits, u64),
) -> FindingKey {
    FindingKey { key: Key { name, default, kind: Kind::Size(low, high) }, set }
}

const fn share(name: &'static str, default: &'static str, set: fn(&mut Limits, u64)) -> FindingKey {
    FindingKey { key: share_key(name, default), set }
}

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;
const H: u64 = 3_600 * S;
const MILLION: u64 = 1_000_000;

/// Every threshold that can be set.
pub(crate) const FINDING_KEYS: &[FindingKey] = &[
    count("findings.n_plus_one.result_rows", "1024", 64, 16_384, |l, v| {
        l.flow.value_rows_max = v as usize;
        l.flow.value_cells_max = 4 * v as usize;
    }),
    count("findings.n_plus_one.result_ring", "8", 1, 64, |l, v| {
        l.flow.ring_results_max = v as usize;
    }),
    count("findings.looped_lookup.executions_min", "10", 3, MILLION, |l, v| {
        l.loops.looped_executions_min = v;
    }),
    time("findings.looped_lookup.think_max", "6ms", MS, S, |l, v| {
        l.loops.looped_think_max_us = v;
    }),
    count("findings.looped_lookup.rows_max", "10", 1, MILLION, |l, v| {
        l.loops.looped_rows_max = v;
    }),
    count("findings.looped_lookup.warning_n_min", "50", 3, MILLION, |l, v| {
        l.loops.looped_warning_n_min = v;
    }),
    count("findings.write_loop.executions_min", "10", 3, MILLION, |l, v| {
        l.loops.write_executions_min = v;
    }),
    time("findings.write_loop.think_max", "20ms", MS, S, |l, v| {
        l.loops.write_think_max_us = v;
    }),
    count("findings.upsert_loop.iterations_min", "8", 3, MILLION, |l, v| {
        l.loops.upsert_iterations_min = v;
    }),
    count("findings.savepoint_loop.repeats_min", "10", 3, MILLION, |l, v| {
        l.loops.savepoint_repeats_min = v;
    }),
    count("findings.duplicate_query.repeats_min", "3", 2, MILLION, |l, v| {
        l.loops.duplicate_repeats_min = v;
    }),
    count("findings.duplicate_query.warning_repeats_min", "10", 2, MILLION, |l, v| {
        l.loops.duplicate_warning_repeats_min = v;
    }),
    count("findings.tiny_fetch.rows_max", "10", 1, MILLION, |l, v| {
        l.loops.tiny_fetch_rows_max = v;
    }),
    count("findings.tiny_fetch.fetches_min", "50", 3, MILLION, |l, v| {
        l.loops.tiny_fetch_fetches_min = v;
    }),
    count("findings.sequential_independent.reads_min", "3", 2, 1000, |l, v| {
        l.loops.sequential_reads_min = v;
    }),
    time("findings.sequential_independent.service_min", "30ms", MS, H, |l, v| {
        l.loops.sequential_service_min_us = v;
    }),
    time("findings.sequential_independent.saved_min", "100ms", MS, H, |l, v| {
        l.loops.sequential_saved_min_us = v;
    }),
    time("findings.sequential_independent.think_max", "20ms", MS, S, |l, v| {
        l.loops.sequential_think_max_us = v;
    }),
    count("findings.count_every_page.sightings_min", "5", 1, MILLION, |l, v| {
        l.loops.count_sightings_min = v;
    }),
    time("findings.count_every_page.service_min", "10ms", MS, H, |l, v| {
        l.loops.count_service_min_us = v;
    }),
    count("findings.polling.executions_min", "20", 5, MILLION, |l, v| {
        l.loops.polling_executions_min = v;
    }),
    share("findings.polling.jitter_max", "20%", |l, v| {
        l.loops.polling_jitter_max_ratio = ratio(v);
    }),
    share("findings.polling.empty_min", "80%", |l, v| {
        l.loops.polling_empty_min_ratio = ratio(v);
    }),
    time("findings.transactions.idle_warning", "1s", 10 * MS, H, |l, v| {
        l.sessions.idle_warning_us = v;
    }),
    time("findings.transactions.idle_error", "10s", 10 * MS, H, |l, v| {
        l.sessions.idle_error_us = v;
    }),
    time("findings.transactions.long_warning", "5s", 100 * MS, 24 * H, |l, v| {
        l.sessions.long_warning_us = v;
    }),
    time("findings.transactions.long_error", "60s", 100 * MS, 24 * H, |l, v| {
        l.sessions.long_error_us = v;
    }),
    count("findings.connection_churn.statements_median_max", "5", 1, 1000, |l, v| {
        l.sessions.churn_statements_median_max = v;
    }),
    count("findings.connection_churn.connects_per_min_min", "10", 1, MILLION, |l, v| {
        l.sessions.churn_connects_per_min_min = v;
    }),
    share("findings.tx_chatter.share_min", "40%", |l, v| {
        l.sessions.chatter_share_min_ratio = ratio(v);
    }),
    count("findings.tx_chatter.round_trips_min", "1000", 10, MILLION, |l, v| {
        l.sessions.chatter_round_trips_min = v;
    }),
    share("findings.tx_chatter.warning_time_share", "50%", |l, v| {
        l.sessions.chatter_warning_time_min_ratio = ratio(v);
    }),
    count("findings.results.rows", "10000", 100, u64::MAX, |l, v| {
        l.results.unbounded_rows_min = v;
    }),
    size("findings.results.bytes", "10MB", 64_000, u64::MAX, |l, v| {
        l.results.unbounded_bytes_min = v;
    }),
    share("findings.results.column_share", "60%", |l, v| {
        l.results.wide_share_min_ratio = ratio(v);
    }),
    size("findings.wide_fetch.bytes_min", "1MB", 1_000, u64::MAX, |l, v| {
        l.results.wide_bytes_min = v;
    }),
    count("findings.wide_fetch.sightings_min", "3", 1, MILLION, |l, v| {
        l.results.wide_sightings_min = v;
    }),
    count("findings.deep_offset.offset_min", "1000", 10, u64::MAX, |l, v| {
        l.results.offset_min = v;
    }),
    share("findings.deep_offset.rank_min", "70%", |l, v| {
        l.results.offset_rank_min = ratio(v);
    }),
    count("findings.deep_offset.samples_min", "8", 3, 1000, |l, v| {
        l.results.offset_samples_min = v as usize;
    }),
    count("findings.cartesian_explosion.rows_min", "500", 10, u64::MAX, |l, v| {
        l.results.cartesian_rows_min = v;
    }),
    count("findings.cartesian_explosion.blowup_min_percent", "150", 101, 100_000, |l, v| {
        l.results.cartesian_blowup_min_ratio = v as f64 / 100.0;
    }),
    share("findings.cartesian_explosion.product_share_min", "80%", |l, v| {
        l.results.cartesian_product_share_min_ratio = ratio(v);
    }),
    count("findings.large_in_list.elements_min", "1000", 10, MILLION, |l, v| {
        l.texts.large_elements_min = v;
    }),
    count("findings.large_in_list.binds_min", "32767", 100, 65535, |l, v| {
        l.texts.large_binds_min = v;
    }),
    count("findings.in_list_churn.texts_min", "20", 3, MILLION, |l, v| {
        l.texts.list_texts_min = v;
    }),
    share("findings.statement_churn.share_min", "50%", |l, v| {
        l.texts.churn_share_min_ratio = ratio(v);
    }),
    count("findings.statement_churn.executions_min", "100", 10, MILLION, |l, v| {
        l.texts.churn_executions_min = v;
    }),
    count("findings.lock_hazard.rows_min", "1000", 1, u64::MAX, |l, v| {
        l.texts.lock_rows_min = v;
    }),
    time("findings.lock_hazard.held_error", "1s", MS, H, |l, v| {
        l.texts.lock_error_us = v;
    }),
    time("findings.lock_hazard.held_warning", "100ms", MS, H, |l, v| {
        l.texts.lock_warning_us = v;
    }),
    time("findings.sql_smell.service_min", "10ms", MS, H, |l, v| {
        l.texts.smell_service_min_us = v;
    }),
    count("findings.sql_smell.per_hour_min", "3600", 1, u64::MAX, |l, v| {
        l.texts.smell_per_hour_min = v;
    }),
];

fn ratio(parts_per_million: u64) -> f64 {
    parts_per_million as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{Raw, Value};

    /// The defaults of the table are those of the analyzer, so that a key set to its default changes nothing.
    #[test]
    fn defaults_are_the_analyzers() {
        for finding in FINDING_KEYS {
            let value = finding.key.check(&Raw::Text(finding.key.default.to_owned()));
            let Ok(Value::Number(value)) = value else {
                panic!("{}: {value:?}", finding.key.name);
            };
            let mut limits = Limits::default();
            (finding.set)(&mut limits, value);
            assert_eq!(limits, Limits::default(), "{}", finding.key.name);
            (finding.set)(&mut limits, value + 1);
            assert_ne!(limits, Limits::default(), "{} has no effect", finding.key.name);
        }
    }

    /// What users read names every kind and every key with its default, and nothing else.
    #[test]
    fn the_documentation_has_every_kind_and_key() {
        let text = include_str!("../../../docs/findings.md");
        let kinds: Vec<String> = pgsonde_analyzer::finding::Kind::ALL
            .iter()
            .map(|kind| {
                let words = crate::export::kind_words(kind.name());
                format!("### `{}`: {words}", kind.name())
            })
            .collect();
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("### ")).collect();
        assert_eq!(headings, kinds);
        let keys = crate::config::keys::all().filter(|key| key.name.starts_with("findings."));
        let mut expected: Vec<String> = keys
            .map(|key| match key.default {
                "" => format!("| `{}` | |", key.name),
                default => format!("| `{}` | `{default}` |", key.name),
            })
            .collect();
        let mut rows: Vec<&str> =
            text.lines().filter(|line| line.starts_with("| `findings.")).collect();
        expected.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, expected);
    }
}

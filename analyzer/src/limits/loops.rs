//! Thresholds of the loops (findings, section 4.1).

/// Thresholds of the loops (findings, section 4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct LoopLimits {
    /// `looped_lookup.executions_min`: executions in a row.
    pub looped_executions_min: u64,
    /// `looped_lookup.think_max`: pause between two of them, in microseconds.
    pub looped_think_max_us: u64,
    /// `looped_lookup.rows_max`: rows of each.
    pub looped_rows_max: u64,
    /// `looped_lookup.warning_n_min`: executions that make a warning.
    pub looped_warning_n_min: u64,
    /// `write_loop.executions_min`: executions in a row.
    pub write_executions_min: u64,
    /// `write_loop.think_max`: pause between two outside of one transaction, in microseconds.
    pub write_think_max_us: u64,
    /// `upsert_loop.iterations_min`: pairs of read and write.
    pub upsert_iterations_min: u64,
    /// `savepoint_loop.repeats_min`: savepoints with one statement inside.
    pub savepoint_repeats_min: u64,
    /// `duplicate_query.repeats_min`: executions with equal values in one unit.
    pub duplicate_repeats_min: u64,
    /// `duplicate_query.warning_repeats_min`: executions that make a warning.
    pub duplicate_warning_repeats_min: u64,
    /// (digest, values) pairs told apart per unit.
    pub duplicates_unit_max: usize,
    /// Runs followed per session.
    pub loops_session_max: usize,
    /// `tiny_fetch.rows_max`: rows of each FETCH or Execute.
    pub tiny_fetch_rows_max: u64,
    /// `tiny_fetch.fetches_min`: parts of one cursor.
    pub tiny_fetch_fetches_min: u64,
    /// `sequential_independent.reads_min`: reads in a row.
    pub sequential_reads_min: u64,
    /// `sequential_independent.service_min`: of each, in microseconds.
    pub sequential_service_min_us: u64,
    /// `sequential_independent.saved_min`: sum less the longest, in microseconds.
    pub sequential_saved_min_us: u64,
    /// `sequential_independent.think_max`: pause between two, in microseconds.
    pub sequential_think_max_us: u64,
    /// `count_every_page.sightings_min`: counts directly before a page.
    pub count_sightings_min: u64,
    /// `count_every_page.service_min`: median of the count, in microseconds.
    pub count_service_min_us: u64,
    /// `polling.executions_min`: executions.
    pub polling_executions_min: u64,
    /// `polling.jitter_max`: deviation of the period.
    pub polling_jitter_max_ratio: f64,
    /// `polling.empty_min`: share of empty results.
    pub polling_empty_min_ratio: f64,
}

impl Default for LoopLimits {
    fn default() -> Self {
        Self {
            looped_executions_min: 10,
            looped_think_max_us: 6_000,
            looped_rows_max: 10,
            looped_warning_n_min: 50,
            write_executions_min: 10,
            write_think_max_us: 20_000,
            upsert_iterations_min: 8,
            savepoint_repeats_min: 10,
            duplicate_repeats_min: 3,
            duplicate_warning_repeats_min: 10,
            duplicates_unit_max: 256,
            loops_session_max: 8,
            tiny_fetch_rows_max: 10,
            tiny_fetch_fetches_min: 50,
            sequential_reads_min: 3,
            sequential_service_min_us: 30_000,
            sequential_saved_min_us: 100_000,
            sequential_think_max_us: 20_000,
            count_sightings_min: 5,
            count_service_min_us: 10_000,
            polling_executions_min: 20,
            polling_jitter_max_ratio: 0.2,
            polling_empty_min_ratio: 0.8,
        }
    }
}

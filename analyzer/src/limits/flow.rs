//! Limits of the data-flow proof (findings, section 3).

/// Limits of the data-flow proof.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowLimits {
    /// Distinct values that the child must have used (`min_repeats`).
    pub distinct_values_min: usize,
    /// Executions of the child.
    pub executions_min: usize,
    /// Rows of the parent.
    pub parent_rows_min: u64,
    /// Distinct values per execution from which it is a batched loader.
    pub batch_values_min: usize,
    /// Distinct values used / kept, scope gate.
    pub scope_coverage_min_ratio: f64,
    /// Distinct values used / kept, chain gate.
    pub chain_coverage_min_ratio: f64,
    /// Distinct values used / kept, chain gate, of fewer than `small_domain_values_min` values.
    pub chain_few_coverage_min_ratio: f64,
    /// The same of a part that was cut out of a chain, or of a level in one.
    pub chain_part_coverage_min_ratio: f64,
    /// Explained executions / all executions of the child, of such a part.
    pub chain_part_explained_min_ratio: f64,
    /// Longest increasing run of row positions / executions, of such a part.
    pub chain_part_order_min_ratio: f64,
    /// Consecutive statements that have nothing to do with the parent before its chain breaks.
    pub chain_unrelated_max: u32,
    /// Pause that breaks a chain, in microseconds.
    pub chain_idle_max_us: u64,
    /// Executions / distinct values, chain gate.
    pub chain_repeat_max_ratio: f64,
    /// Explained executions / all executions of the child, chain and burst gates.
    pub explained_min_ratio: f64,
    /// Longest increasing run of row positions / executions, chain and burst gates.
    pub order_min_ratio: f64,
    /// Whether the burst gate looks at all.
    pub burst: bool,
    /// Distinct values of a parent that may burst: more than `distinct_values_min`, because no session and no
    /// order of statements binds the children to it.
    pub burst_values_min: usize,
    /// Children of a burst are sent within this time of the parent's end, in microseconds.
    pub burst_window_us: u64,
    /// Distinct values used / kept, burst gate.
    pub burst_coverage_min_ratio: f64,
    /// Executions / distinct values, burst gate.
    pub burst_repeat_max_ratio: f64,
    /// Correlation of arrival and row position that replaces the order, burst gate.
    pub burst_rank_min: f64,
    /// Executions that the burst gate remembers.
    pub burst_entries_max: usize,
    /// Parents that wait for their burst.
    pub burst_parents_max: usize,
    /// Parents taken in per second; others are counted.
    pub burst_parents_per_s_max: u32,
    /// Results of children whose rows were looked up, nested in a chain.
    pub nested_leaves_min: usize,
    /// Rows of such a result, nested in a chain.
    pub nested_leaf_rows_max: u64,
    /// (result, row) pairs looked up per result: at or below it is a step from one row to one row.
    pub nested_pairs_per_leaf_min_ratio: f64,
    /// Share of a known domain that a parent may hold before the guard against small domains applies.
    pub domain_share_max_ratio: f64,
    /// Distinct values that the guard against small domains demands.
    pub small_domain_values_min: usize,
    /// Results that a session remembers (`result_ring`).
    pub ring_results_max: usize,
    /// Rows hashed per result (`result_rows`).
    pub value_rows_max: usize,
    /// Columns hashed per result.
    pub value_columns_max: usize,
    /// Cells hashed per result.
    pub value_cells_max: usize,
    /// Candidates per result.
    pub candidates_max: usize,
    /// Child digests counted per result.
    pub child_digests_max: usize,
    /// Bytes of the held results of one session, in KiB.
    pub ring_session_max_kib: usize,
    /// Bytes of all held results, in KiB.
    pub ring_total_max_kib: usize,
    /// How long a record that may pair over sessions waits for earlier ones, in microseconds.
    pub reorder_max_us: u64,
    /// Records that wait at most; above it the earliest is handled at once and counted.
    pub reorder_records_max: usize,
    /// Bytes of waiting records, in KiB; above it as above.
    pub reorder_max_kib: usize,
    /// A unit that is open for longer shows what it has proved so far, in microseconds.
    pub progress_us: u64,
    /// Occurrences before severity may rise above info.
    pub sightings_min: u64,
    /// Occurrences / parent executions before severity may rise above info.
    pub ratio_min_ratio: f64,
}

impl Default for FlowLimits {
    fn default() -> Self {
        Self {
            distinct_values_min: 5,
            executions_min: 5,
            parent_rows_min: 2,
            batch_values_min: 10,
            scope_coverage_min_ratio: 0.25,
            chain_coverage_min_ratio: 0.25,
            chain_few_coverage_min_ratio: 0.80,
            chain_part_coverage_min_ratio: 0.50,
            chain_part_explained_min_ratio: 0.90,
            chain_part_order_min_ratio: 0.80,
            chain_unrelated_max: 3,
            chain_idle_max_us: 250_000,
            chain_repeat_max_ratio: 1.5,
            explained_min_ratio: 0.80,
            order_min_ratio: 0.60,
            burst: true,
            burst_values_min: 8,
            burst_window_us: 2_000_000,
            burst_coverage_min_ratio: 0.80,
            burst_repeat_max_ratio: 1.1,
            burst_rank_min: 0.8,
            burst_entries_max: 16_384,
            burst_parents_max: 256,
            burst_parents_per_s_max: 500,
            nested_leaves_min: 3,
            nested_leaf_rows_max: 50,
            nested_pairs_per_leaf_min_ratio: 1.2,
            domain_share_max_ratio: 0.5,
            small_domain_values_min: 8,
            ring_results_max: 8,
            value_rows_max: 1_024,
            value_columns_max: 8,
            value_cells_max: 4_096,
            candidates_max: 8,
            child_digests_max: 16,
            ring_session_max_kib: 128,
            ring_total_max_kib: 32 * 1024,
            reorder_max_us: 250_000,
            reorder_records_max: 65_536,
            reorder_max_kib: 16 * 1024,
            progress_us: 10_000_000,
            sightings_min: 3,
            ratio_min_ratio: 0.02,
        }
    }
}

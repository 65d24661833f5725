//! Thresholds of results (findings, section 4.1).

/// Thresholds of results (findings, section 4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct ResultLimits {
    /// `results.rows`: rows of an unbounded result.
    pub unbounded_rows_min: u64,
    /// `results.bytes`: bytes of an unbounded result.
    pub unbounded_bytes_min: u64,
    /// `results.column_share`: share of one column in the bytes.
    pub wide_share_min_ratio: f64,
    /// `wide_fetch.bytes_min`: bytes of the column in one result.
    pub wide_bytes_min: u64,
    /// `wide_fetch.sightings_min`: results.
    pub wide_sightings_min: u64,
    /// Rows of which the bytes per column are counted.
    pub wide_sample_rows_max: usize,
    /// `deep_offset.offset_min`: rows skipped.
    pub offset_min: u64,
    /// `deep_offset.rank_min`: rank correlation of offset and time.
    pub offset_rank_min: f64,
    /// `deep_offset.samples_min`: executions.
    pub offset_samples_min: usize,
    /// Digests whose offsets are followed.
    pub offset_lists_max: usize,
    /// `cartesian_explosion.rows_min`: rows.
    pub cartesian_rows_min: u64,
    /// `cartesian_explosion.blowup_min`: rows / distinct rows of every table.
    pub cartesian_blowup_min_ratio: f64,
    /// `cartesian_explosion.product_share_min`: share of parents whose rows are a product.
    pub cartesian_product_share_min_ratio: f64,
}

impl Default for ResultLimits {
    fn default() -> Self {
        Self {
            unbounded_rows_min: 10_000,
            unbounded_bytes_min: 10_000_000,
            wide_share_min_ratio: 0.6,
            wide_bytes_min: 1_000_000,
            wide_sightings_min: 3,
            wide_sample_rows_max: 128,
            offset_min: 1_000,
            offset_rank_min: 0.7,
            offset_samples_min: 8,
            offset_lists_max: 256,
            cartesian_rows_min: 500,
            cartesian_blowup_min_ratio: 1.5,
            cartesian_product_share_min_ratio: 0.8,
        }
    }
}

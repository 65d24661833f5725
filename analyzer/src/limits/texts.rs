//! Thresholds of texts (findings, section 4.1).

/// Thresholds of texts (findings, section 4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct TextLimits {
    /// `large_in_list.elements_min`: elements of one list.
    pub large_elements_min: u64,
    /// `large_in_list.binds_min`: parameters of one execution.
    pub large_binds_min: u64,
    /// `in_list_churn.texts_min`: texts that differ in list length only.
    pub list_texts_min: u64,
    /// `statement_churn.share_min`: distinct texts / executions.
    pub churn_share_min_ratio: f64,
    /// `statement_churn.executions_min`: executions.
    pub churn_executions_min: u64,
    /// `lock_hazard.rows_min`: rows of a table below which locks are short.
    pub lock_rows_min: u64,
    /// `lock_hazard.held_error`: lock held, in microseconds.
    pub lock_error_us: u64,
    /// `lock_hazard.held_warning`: lock held, in microseconds.
    pub lock_warning_us: u64,
    /// `sql_smell.service_min`: median, in microseconds.
    pub smell_service_min_us: u64,
    /// `sql_smell.per_hour_min`: executions an hour.
    pub smell_per_hour_min: u64,
}

impl Default for TextLimits {
    fn default() -> Self {
        Self {
            large_elements_min: 1_000,
            large_binds_min: 32_767,
            list_texts_min: 20,
            churn_share_min_ratio: 0.5,
            churn_executions_min: 100,
            lock_rows_min: 1_000,
            lock_error_us: 1_000_000,
            lock_warning_us: 100_000,
            smell_service_min_us: 10_000,
            smell_per_hour_min: 3_600,
        }
    }
}

//! Thresholds of sessions and transactions (findings, section 4.1).

/// Thresholds of sessions and transactions (findings, section 4.1).
#[derive(Clone, Debug, PartialEq)]
pub struct SessionLimits {
    /// `transactions.idle_warning`: idle inside a transaction, in microseconds.
    pub idle_warning_us: u64,
    /// `transactions.idle_error`, in microseconds.
    pub idle_error_us: u64,
    /// `transactions.long_warning`: begin to end, in microseconds.
    pub long_warning_us: u64,
    /// `transactions.long_error`, in microseconds.
    pub long_error_us: u64,
    /// `connection_churn.statements_median_max`: statements of a session.
    pub churn_statements_median_max: u64,
    /// `connection_churn.connects_per_min_min`: sessions of one client a minute.
    pub churn_connects_per_min_min: u64,
    /// `tx_chatter.share_min`, `ping_overhead.share_min`: share of round trips.
    pub chatter_share_min_ratio: f64,
    /// `tx_chatter.round_trips_min`, `ping_overhead.round_trips_min`: round trips seen.
    pub chatter_round_trips_min: u64,
    /// `tx_chatter.warning_time_share`, of both kinds: share of the time of all statements.
    pub chatter_warning_time_min_ratio: f64,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle_warning_us: 1_000_000,
            idle_error_us: 10_000_000,
            long_warning_us: 5_000_000,
            long_error_us: 60_000_000,
            churn_statements_median_max: 5,
            churn_connects_per_min_min: 10,
            chatter_share_min_ratio: 0.4,
            chatter_round_trips_min: 1_000,
            chatter_warning_time_min_ratio: 0.5,
        }
    }
}

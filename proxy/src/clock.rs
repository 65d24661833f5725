//! The process's monotonic clock: nanoseconds since start, as plain numbers.

use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

static START: LazyLock<(Instant, SystemTime)> =
    LazyLock::new(|| (Instant::now(), SystemTime::now()));

/// Fixes the start; call it first thing.
pub fn start() {
    LazyLock::force(&START);
}

/// Nanoseconds since start.
pub fn now_ns() -> u64 {
    u64::try_from(START.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Microseconds since start.
pub fn now_us() -> u64 {
    now_ns() / 1_000
}

/// Wall-clock time of the start.
pub fn started_at() -> SystemTime {
    START.1
}

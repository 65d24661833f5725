//! The rules A to E, each a function of figures.

use super::window::{Figures, Window};
use crate::facts::StatementFacts;
use crate::limits::MissingIndexLimits;
use crate::record::Micros;

/// B: milliseconds that any statement may take, per row and per byte; here in microseconds.
const BASE_US: f64 = 2_000.0;
const PER_ROW_US: f64 = 2.0;
const PER_BYTE_US: f64 = 0.01;
/// D1: growth of the median over at least three days, rows within a tenth.
const GROWTH_MIN_RATIO: f64 = 1.3;
const GROWTH_DAYS_MIN: usize = 3;
const GROWTH_ROWS_RATIO: f64 = 0.1;
/// D2: slowest class against the fastest, calls of each, rows within a factor.
const CLASSES_MIN_RATIO: u64 = 5;
const CLASS_CALLS_MIN: u64 = 5;
const CLASS_ROWS_MAX_RATIO: f64 = 2.0;
/// D3: a sibling is that much faster; without one, this slow or that many baselines.
const SIBLING_MIN_RATIO: u64 = 5;
const SLOW_MIN_US: u64 = 10_000;
const SLOW_BASELINES_MIN: u64 = 20;
/// E: spread of times that speaks of lock waits.
const LOCK_SPREAD_MIN_RATIO: u64 = 5;
/// E: functions whose time no index changes.
const WAITING_FUNCTIONS: [&str; 1] = ["pg_sleep"];
const WAITING_PREFIXES: [&str; 3] = ["pg_sleep_", "pg_advisory_", "pg_try_advisory_"];

/// What speaks for a missing index, besides slowness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// D1.
    Growth,
    /// D2.
    ValuesDiffer,
    /// D3 with a sibling.
    FastSibling,
    /// D3 without one.
    SlowForItsPath,
}

impl Support {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Growth => "slower from day to day, with no more rows",
            Self::ValuesDiffer => "some values take five times as long as others",
            Self::FastSibling => "another look-up on the same table is five times as fast",
            Self::SlowForItsPath => "far slower than a round trip to the server",
        }
    }
}

/// What is known about the table besides the digest.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Surroundings {
    /// Median of the fastest other one-row look-up on the table.
    pub(crate) sibling_p50_us: Option<u64>,
    pub(crate) ddl_in_window: bool,
    pub(crate) temporary: bool,
}

/// A: worth it, and B: the output doesn't explain the time.
pub(crate) fn worth_it(figures: &Figures, total_us: u64, limits: &MissingIndexLimits) -> bool {
    let share = figures.server_us as f64 / total_us.max(1) as f64;
    let explained =
        BASE_US + PER_ROW_US * figures.rows_p50 as f64 + PER_BYTE_US * figures.bytes_p50 as f64;
    figures.calls >= limits.calls_min
        && (share >= limits.time_share_min_ratio || figures.server_us >= limits.time_min_us)
        && figures.p50_us >= limits.p50_min_us
        && figures.p50_us as f64 > explained
}

/// C: little comes out, and it was asked for (that there is a predicate, the target has shown).
pub(crate) fn little_comes_out(
    figures: &Figures,
    facts: Option<&StatementFacts>,
    limits: &MissingIndexLimits,
) -> bool {
    let limited_to_one = facts.is_some_and(|facts| facts.limited && !facts.limit_may_exceed_one);
    limited_to_one || figures.rows_p95 <= limits.rows_max
}

/// D: the first that supports the suspicion.
pub(crate) fn support(
    window: &Window,
    figures: &Figures,
    surroundings: &Surroundings,
    _now: Micros,
) -> Option<Support> {
    let sibling = match surroundings.sibling_p50_us {
        Some(fast) => (fast * SIBLING_MIN_RATIO <= figures.p50_us).then_some(Support::FastSibling),
        None => {
            let slow_us = SLOW_MIN_US.max(SLOW_BASELINES_MIN * window.baseline_us);
            (figures.p50_us >= slow_us).then_some(Support::SlowForItsPath)
        }
    };
    let growth = || grows(window).then_some(Support::Growth);
    let values = || values_differ(window).then_some(Support::ValuesDiffer);
    growth().or_else(values).or(sibling)
}

fn grows(window: &Window) -> bool {
    let days = window.day_points();
    let (Some(first), Some(last)) = (days.first(), days.last()) else { return false };
    let rows = (first.rows_p50 as f64, last.rows_p50 as f64);
    days.len() >= GROWTH_DAYS_MIN
        && last.p50_us as f64 >= GROWTH_MIN_RATIO * first.p50_us as f64
        && (rows.1 - rows.0).abs() <= GROWTH_ROWS_RATIO * rows.0
}

fn values_differ(window: &Window) -> bool {
    let classes = || window.classes.iter().filter(|class| class.calls >= CLASS_CALLS_MIN);
    let slow = classes().max_by_key(|class| class.p50_us());
    let fast = classes().min_by_key(|class| class.p50_us());
    let (Some(slow), Some(fast)) = (slow, fast) else { return false };
    let (more, fewer) = (slow.rows().max(fast.rows()), slow.rows().min(fast.rows()));
    slow.p50_us() >= CLASSES_MIN_RATIO * fast.p50_us().max(1)
        && more <= CLASS_ROWS_MAX_RATIO * fewer.max(1.0)
}

/// E: what forbids the suspicion.
pub(crate) fn suppressed(
    window: &Window,
    figures: &Figures,
    surroundings: &Surroundings,
    limits: &MissingIndexLimits,
) -> bool {
    let export = figures.rows_p50 >= limits.suppress_rows_min
        || figures.bytes_p50 >= limits.suppress_bytes_min;
    let spread = figures.p50_us >= LOCK_SPREAD_MIN_RATIO * figures.p10_us.max(1);
    let waits = spread && figures.contended * 2 >= figures.calls;
    let facts = window.statement.facts.as_ref();
    let by_text = facts.is_none_or(|facts| {
        facts.locking
            || facts.functions_in_targets
            || facts.functions.iter().any(|name| waits_by_itself(name))
    });
    export || waits || by_text || surroundings.ddl_in_window || surroundings.temporary
}

fn waits_by_itself(function: &str) -> bool {
    WAITING_FUNCTIONS.contains(&function)
        || WAITING_PREFIXES.iter().any(|prefix| function.starts_with(prefix))
}

//! Which digests have series of their own, and what their counters say, so that no counter ever falls.
//!
//! Every scrape turns the snapshot's totals into gains since the scrape before. A gain goes to the digest's own
//! series while it is resident, else to `other` of its database. A series therefore starts at 0 when its digest
//! enters and simply ends when it leaves; what ran before and after is in `other`, and sums stay true.

use pgsonde_analyzer::snapshot::{Buckets, DigestRow, DigestTotals, ROW_BUCKETS_US, Snapshot};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Length of the window over which shares are judged, in microseconds.
const WINDOW_US: u64 = 600 * 1_000_000;
/// Share of its database's time from which a digest may enter a full table.
const ENTER_MIN_RATIO: f64 = 0.005;
/// Share below which a resident counts as quiet.
const STAY_MIN_RATIO: f64 = 0.000_5;
/// A resident leaves at the earliest after being quiet for this long, in microseconds.
const QUIET_MIN_US: u64 = 24 * 3_600 * 1_000_000;
/// Replacements in [`REPLACEMENT_SPAN_US`].
const REPLACEMENTS_MAX: usize = 5;
/// One hour in microseconds.
const REPLACEMENT_SPAN_US: u64 = 3_600 * 1_000_000;

/// Upper bounds in microseconds of a digest's histogram. Each is one of [`ROW_BUCKETS_US`], so that the counts are exact.
pub(crate) const DIGEST_BUCKETS_US: [u64; 8] =
    [1_000, 5_000, 10_000, 50_000, 100_000, 500_000, 1_000_000, 10_000_000];

/// Label of what has no series of its own.
pub(crate) const OTHER: &str = "other";

/// (database, digest)
type DigestKey = (Arc<str>, u64);

/// The counters of one digest's series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) rows: u64,
    pub(crate) first_row_us: u64,
    pub(crate) transfer_us: u64,
    /// Times of exactly timed executions, in microseconds; empty in `other`, of which not all times are known.
    pub(crate) durations: Buckets<8>,
}

impl Counters {
    fn of_row(row: &DigestRow) -> Self {
        Self { durations: durations(row), ..Self::of(&row.totals) }
    }

    fn of(totals: &DigestTotals) -> Self {
        Self {
            calls: totals.calls,
            errors: totals.errors,
            rows: totals.rows,
            first_row_us: totals.phases.first_row_us,
            transfer_us: totals.phases.transfer_us,
            durations: Buckets::default(),
        }
    }

    fn each(self, right: Self, rule: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            calls: rule(self.calls, right.calls),
            errors: rule(self.errors, right.errors),
            rows: rule(self.rows, right.rows),
            first_row_us: rule(self.first_row_us, right.first_row_us),
            transfer_us: rule(self.transfer_us, right.transfer_us),
            durations: Buckets {
                counts: std::array::from_fn(|bucket| {
                    rule(self.durations.counts[bucket], right.durations.counts[bucket])
                }),
                above: rule(self.durations.above, right.durations.above),
                sum: rule(self.durations.sum, right.durations.sum),
            },
        }
    }

    fn plus(self, right: Self) -> Self {
        self.each(right, u64::saturating_add)
    }

    fn minus(self, right: Self) -> Self {
        self.each(right, u64::saturating_sub)
    }

    /// What came since; totals that fell began anew, so all of them came since.
    fn since(self, last: Self) -> Self {
        self.each(last, |now, then| if now >= then { now - then } else { now })
    }

    fn time_us(self) -> u64 {
        self.first_row_us + self.transfer_us
    }
}

/// One row of the exported table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DigestSeries {
    pub(crate) database: Arc<str>,
    /// `None` = `other`.
    pub(crate) digest: Option<u64>,
    pub(crate) counters: Counters,
}

/// The table; at most `ceiling` residents, one `other` per database.
#[derive(Debug)]
pub(crate) struct StickyDigests {
    ceiling: usize,
    seen: BTreeMap<DigestKey, Seen>,
    residents: usize,
    others: BTreeMap<Arc<str>, Counters>,
    /// Totals of rows without a digest at the latest scrape.
    unplaced: Counters,
    window_start_us: u64,
    replacements_us: VecDeque<u64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    totals: Counters,
    window_time_us: u64,
    resident: Option<Resident>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    exported: Counters,
    active_us: u64,
}

impl StickyDigests {
    pub(crate) fn new(ceiling: usize) -> Self {
        Self {
            ceiling,
            seen: BTreeMap::new(),
            residents: 0,
            others: BTreeMap::new(),
            unplaced: Counters::default(),
            window_start_us: 0,
            replacements_us: VecDeque::new(),
        }
    }

    /// Takes the snapshot in and answers every exported row.
    pub(crate) fn update(&mut self, snapshot: &Snapshot) -> Vec<DigestSeries> {
        let vanished = self.forget_missing(snapshot);
        for row in &snapshot.digests {
            self.take_row(&row.database, row.digest, Counters::of_row(row), snapshot.at_us);
        }
        self.take_unplaced(snapshot, vanished);
        if snapshot.at_us >= self.window_start_us.saturating_add(WINDOW_US) {
            self.end_window(snapshot.at_us);
        }
        self.rows()
    }

    fn take_row(&mut self, database: &Arc<str>, digest: u64, totals: Counters, at_us: u64) {
        let free = self.residents < self.ceiling;
        let seen = self.seen.entry((database.clone(), digest)).or_default();
        let gain = totals.since(seen.totals);
        seen.totals = totals;
        seen.window_time_us += gain.time_us();
        if free && seen.resident.is_none() {
            seen.resident = Some(Resident { active_us: at_us, ..Resident::default() });
            self.residents += 1;
        }
        match &mut seen.resident {
            Some(resident) => resident.exported = resident.exported.plus(gain),
            None => {
                let other = self.others.entry(database.clone()).or_default();
                *other = other.plus(Counters { durations: Buckets::default(), ..gain });
            }
        }
    }

    /// Rows that the analyzer gave up; it adds their totals to its own rest, where they must not count again.
    fn forget_missing(&mut self, snapshot: &Snapshot) -> Counters {
        if self.seen.is_empty() {
            return Counters::default();
        }
        let present: std::collections::BTreeSet<DigestKey> =
            snapshot.digests.iter().map(|row| (row.database.clone(), row.digest)).collect();
        let mut gone = Counters::default();
        let mut left = 0;
        self.seen.retain(|key, seen| {
            let keep = present.contains(key);
            if !keep {
                gone = gone.plus(seen.totals);
                left += usize::from(seen.resident.is_some());
            }
            keep
        });
        self.residents -= left;
        gone
    }

    fn take_unplaced(&mut self, snapshot: &Snapshot, vanished: Counters) {
        let mut totals = Counters::of(&snapshot.other);
        // The members of mixed batches are counted at their digests; only the time has no other place.
        totals.first_row_us += snapshot.indivisible_batches.phases.first_row_us;
        totals.transfer_us += snapshot.indivisible_batches.phases.transfer_us;
        let gain = totals.since(self.unplaced).minus(vanished);
        self.unplaced = totals;
        if gain != Counters::default() {
            let other = self.others.entry(OTHER.into()).or_default();
            *other = other.plus(gain);
        }
    }

    /// Judges the window: who is active, who enters, who leaves.
    fn end_window(&mut self, at_us: u64) {
        let mut database_time: BTreeMap<Arc<str>, u64> = BTreeMap::new();
        for ((database, _), seen) in &self.seen {
            *database_time.entry(database.clone()).or_default() += seen.window_time_us;
        }
        let mut ranked: Vec<(DigestKey, f64, u64)> = Vec::new();
        for (key, seen) in &mut self.seen {
            let share = share(seen.window_time_us, database_time.get(&key.0).copied().unwrap_or(0));
            match &mut seen.resident {
                Some(resident) if share >= STAY_MIN_RATIO => resident.active_us = at_us,
                _ => {}
            }
            if seen.window_time_us > 0 {
                ranked.push((key.clone(), share, seen.window_time_us));
            }
            seen.window_time_us = 0;
        }
        self.window_start_us = at_us;
        ranked.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.0.cmp(&b.0)));
        self.replace(&ranked, at_us);
    }

    fn replace(&mut self, ranked: &[(DigestKey, f64, u64)], at_us: u64) {
        let oldest = at_us.saturating_sub(REPLACEMENT_SPAN_US);
        self.replacements_us.retain(|at| *at > oldest);
        let worthy = ranked.iter().enumerate().filter(|(rank, (key, share, _))| {
            let entitled = *share >= ENTER_MIN_RATIO || *rank < self.ceiling / 2;
            entitled && self.seen.get(key).is_some_and(|seen| seen.resident.is_none())
        });
        let entering: Vec<DigestKey> = worthy.map(|(_, (key, ..))| key.clone()).collect();
        for key in entering {
            if self.replacements_us.len() >= REPLACEMENTS_MAX || !self.evict_quietest(at_us) {
                return;
            }
            if let Some(seen) = self.seen.get_mut(&key) {
                seen.resident = Some(Resident { active_us: at_us, ..Resident::default() });
                self.residents += 1;
                self.replacements_us.push_back(at_us);
            }
        }
    }

    fn evict_quietest(&mut self, at_us: u64) -> bool {
        let quiet_since = at_us.saturating_sub(QUIET_MIN_US);
        let quiet = self
            .seen
            .iter()
            .filter_map(|(key, seen)| Some((seen.resident?.active_us, key)))
            .filter(|(active_us, _)| at_us >= QUIET_MIN_US && *active_us <= quiet_since)
            .min()
            .map(|(_, key)| key.clone());
        let Some(seen) = quiet.and_then(|key| self.seen.get_mut(&key)) else { return false };
        seen.resident = None;
        self.residents -= 1;
        true
    }

    fn rows(&self) -> Vec<DigestSeries> {
        let residents = self.seen.iter().filter_map(|((database, digest), seen)| {
            let counters = seen.resident?.exported;
            Some(DigestSeries { database: database.clone(), digest: Some(*digest), counters })
        });
        let others = self.others.iter().map(|(database, counters)| DigestSeries {
            database: database.clone(),
            digest: None,
            counters: *counters,
        });
        residents.chain(others).collect()
    }
}

/// The row's buckets and the sum of its times, in fewer buckets.
#[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn durations(row: &DigestRow) -> Buckets<8> {
    let mut buckets = Buckets::default();
    for (bound, count) in ROW_BUCKETS_US.iter().zip(row.buckets) {
        match DIGEST_BUCKETS_US.iter().position(|wider| bound <= wider) {
            Some(index) => buckets.counts[index] += count,
            None => buckets.above += count,
        }
    }
    buckets.above += row.buckets[ROW_BUCKETS_US.len()];
    // Exact up to 2^52 us, 142 years of statement time.
    buckets.sum = (row.latency.mean_us * row.latency.count as f64).round() as u64;
    buckets
}

#[allow(clippy::cast_precision_loss)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgsonde_analyzer::snapshot::{DigestRow, Phases};

    fn totals(calls: u64, us: u64) -> DigestTotals {
        let phases = Phases { first_row_us: us, ..Phases::default() };
        DigestTotals { calls, phases, ..DigestTotals::default() }
    }

    fn snapshot(at_us: u64, rows: &[(&str, u64, u64)], other_calls: u64) -> Snapshot {
        let row = |&(database, digest, calls): &(&str, u64, u64)| DigestRow {
            digest,
            database: database.into(),
            totals: totals(calls, calls * 10),
            ..DigestRow::default()
        };
        Snapshot {
            at_us,
            digests: rows.iter().map(row).collect(),
            other: totals(other_calls, other_calls * 10),
            ..Snapshot::default()
        }
    }

    fn calls(rows: &[DigestSeries]) -> Vec<(String, Option<u64>, u64)> {
        rows.iter().map(|r| (r.database.to_string(), r.digest, r.counters.calls)).collect()
    }

    fn sum(rows: &[DigestSeries]) -> u64 {
        rows.iter().map(|row| row.counters.calls).sum()
    }

    #[test]
    fn first_come_fill_and_the_rest_is_other_of_its_database() {
        let mut table = StickyDigests::new(2);
        let rows = table.update(&snapshot(1, &[("a", 1, 50), ("b", 2, 40), ("b", 3, 30)], 7));
        let expected =
            [("a", Some(1), 50), ("b", Some(2), 40), ("b", None, 30), ("other", None, 7)];
        assert_eq!(calls(&rows), expected.map(|(d, k, n)| (d.to_owned(), k, n)));
    }

    #[test]
    fn times_are_those_since_the_digest_entered() {
        let timed = |counts: &[(u64, u64)]| {
            let mut snapshot = snapshot(1, &[("a", 1, 0), ("a", 2, 0)], 0);
            for row in &mut snapshot.digests {
                for (us, count) in counts {
                    row.buckets[ROW_BUCKETS_US.partition_point(|bound| bound < us)] += count;
                    row.latency.mean_us += (us * count) as f64;
                    row.latency.count += count;
                }
                row.latency.mean_us /= row.latency.count as f64;
            }
            snapshot
        };
        let mut table = StickyDigests::new(1);
        table.update(&timed(&[(700, 2), (1_000, 1), (1_001, 4), (20_000_000, 1)]));
        let rows = table.update(&timed(&[(700, 5), (1_000, 1), (1_001, 4), (20_000_000, 1)]));
        let [resident, other] = &rows[..] else { panic!("{rows:?}") };
        let times = resident.counters.durations;
        assert_eq!((times.counts, times.above), ([6, 4, 0, 0, 0, 0, 0, 0], 1));
        assert_eq!(times.sum, 5 * 700 + 1_000 + 4 * 1_001 + 20_000_000);
        assert_eq!(other.counters.durations, Buckets::default(), "not all of them are known");
        assert!(DIGEST_BUCKETS_US.iter().all(|bound| ROW_BUCKETS_US.contains(bound)));
    }

    #[test]
    fn a_given_up_row_is_not_counted_twice_and_nothing_falls() {
        let mut table = StickyDigests::new(1);
        let before = table.update(&snapshot(1, &[("a", 1, 50), ("a", 2, 30)], 0));
        assert_eq!(sum(&before), 80);
        // Digest 2 is given up with 31 calls; the analyzer moves them into its rest.
        let after = table.update(&snapshot(2, &[("a", 1, 60)], 31));
        assert_eq!(sum(&after), 91);
        assert!(after.iter().any(|row| row.digest.is_none() && &*row.database == "a"));
    }

    #[test]
    fn an_analyzer_that_begins_anew_never_makes_a_counter_fall() {
        let mut table = StickyDigests::new(1);
        table.update(&snapshot(1, &[("a", 1, 50), ("a", 2, 30)], 5));
        let rows = table.update(&snapshot(2, &[("a", 1, 4), ("a", 2, 3)], 1));
        let expected = [("a", Some(1), 54), ("a", None, 33), ("other", None, 6)];
        assert_eq!(calls(&rows), expected.map(|(d, k, n)| (d.to_owned(), k, n)));
    }

    #[test]
    fn a_busy_digest_replaces_one_that_was_quiet_for_a_day() {
        let mut table = StickyDigests::new(1);
        table.update(&snapshot(0, &[("a", 1, 50), ("a", 2, 0)], 0));
        // Within the day the resident stays, however quiet.
        let early = table.update(&snapshot(2 * WINDOW_US, &[("a", 1, 50), ("a", 2, 900)], 0));
        assert_eq!(calls(&early)[0], ("a".to_owned(), Some(1), 50));
        let at = QUIET_MIN_US + 3 * WINDOW_US;
        table.update(&snapshot(at, &[("a", 1, 50), ("a", 2, 1_000)], 0));
        let late = table.update(&snapshot(at + 1, &[("a", 1, 50), ("a", 2, 1_005)], 0));
        let expected = [("a", Some(2), 5), ("a", None, 1_000)];
        assert_eq!(calls(&late), expected.map(|(d, k, n)| (d.to_owned(), k, n)));
    }

    #[test]
    fn at_most_five_replacements_an_hour() {
        let quiet: Vec<_> = (0..10).map(|digest| ("a", digest, 1)).collect();
        let mut table = StickyDigests::new(10);
        table.update(&snapshot(0, &quiet, 0));
        let busy: Vec<_> =
            (0..20).map(|digest| ("a", digest, if digest < 10 { 1 } else { 9_999 })).collect();
        let rows = table.update(&snapshot(QUIET_MIN_US + 1, &busy, 0));
        let entered =
            rows.iter().filter(|row| row.digest.is_some_and(|digest| digest >= 10)).count();
        assert_eq!(entered, REPLACEMENTS_MAX);
    }

    #[test]
    fn zero_ceiling_exports_only_other() {
        let mut table = StickyDigests::new(0);
        let rows = table.update(&snapshot(1, &[("a", 1, 50)], 0));
        assert_eq!(calls(&rows), [("a".to_owned(), None, 50)]);
    }
}

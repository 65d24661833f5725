//! `unbounded_result`: a read without LIMIT that returns very much.

use super::{Key, entry, is_read, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::subject::{Subject, Verdict, bytes, exactly, grouped, ms};
use crate::findings::{Context, Detector};
use crate::limits::{Limits, ResultLimits};
use crate::record::{Micros, Tag};
use crate::seen::Seen;

const DAY_US: u64 = 24 * 3_600 * 1_000_000;
/// Days of which the largest result is kept.
const DAYS_MAX: usize = 8;
/// Days between the first and the last that growth is told from.
const GROWTH_DAYS_MIN: u64 = 3;
/// Growth that makes it worse: rows now / rows then.
const GROWTH_MIN_RATIO: f64 = 1.5;

/// Largest result of each day, oldest first.
#[derive(Clone, Debug, Default)]
struct Days(Vec<(u64, u64)>);

impl Days {
    fn add(&mut self, at_us: Micros, rows: u64) {
        let day = at_us / DAY_US;
        match self.0.last_mut() {
            Some((last, most)) if *last >= day => *most = rows.max(*most),
            _ => self.0.push((day, rows)),
        }
        if self.0.len() > DAYS_MAX {
            self.0.remove(0);
        }
    }

    /// Rows now / rows then, and rows gained a day, over enough days.
    fn growth(&self) -> Option<(f64, f64)> {
        let ((first, then), (last, now)) = (*self.0.first()?, *self.0.last()?);
        let days = last - first;
        (days >= GROWTH_DAYS_MIN && then > 0)
            .then(|| (now as f64 / then as f64, (now as f64 - then as f64) / days as f64))
    }
}

#[derive(Clone, Debug, Default)]
struct Entry {
    sightings: u64,
    days: Days,
}

/// The detector.
#[derive(Debug)]
pub(super) struct Unbounded {
    limits: ResultLimits,
    max: usize,
    entries: Map<Key, Entry>,
}

impl Unbounded {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.results.clone(), max: limits.digests_max, entries: Map::default() }
    }

    fn is_unbounded(&self, seen: &Seen<'_>) -> bool {
        let record = seen.record;
        let large = record.rows >= self.limits.unbounded_rows_min
            || record.sent_bytes >= self.limits.unbounded_bytes_min;
        let limited = seen.statement.facts.as_ref().is_none_or(|facts| facts.limited);
        large && !limited && !record.row_limited && record.tag == Tag::Select
    }
}

impl Detector for Unbounded {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if !is_read(seen) || !self.is_unbounded(seen) {
            return;
        }
        let Some(entry) = entry(&mut self.entries, key(seen), self.max) else { return };
        entry.sightings += 1;
        entry.days.add(seen.record.end_us(), seen.record.rows);
        let subject = Subject::of(seen);
        let verdict = verdict(seen, &subject, entry);
        let claim = subject.claim(verdict, context);
        let record = seen.record;
        let mut cost = exactly(record.transfer_us, record.duration_us());
        cost.bytes = Some(record.sent_bytes);
        let mut sighting = subject.sighting(1, cost);
        sighting.rows = Some(record.rows);
        context.register.sighting(claim, sighting);
    }
}

fn verdict(seen: &Seen<'_>, subject: &Subject, entry: &Entry) -> Verdict {
    let record = seen.record;
    let growth = entry.days.growth();
    let grows = growth.is_some_and(|(ratio, _)| ratio >= GROWTH_MIN_RATIO);
    let gained = match growth {
        Some((_, gained)) if grows => format!(", {} more a day", grouped(gained as u64)),
        _ => String::new(),
    };
    let sentence = format!(
        "`{}` has no LIMIT and returned {} rows ({}) in {:.0} ms{gained}.",
        subject.name(),
        grouped(record.rows),
        bytes(record.sent_bytes),
        record.duration_us() as f64 / 1_000.0,
    );
    let mut evidence = vec![
        ("rows", EvidenceValue::Count(record.rows)),
        ("bytes", EvidenceValue::Count(record.sent_bytes)),
        ("transfer_ms", ms(record.transfer_us)),
    ];
    if let Some((ratio, gained)) = growth {
        evidence.push(("growth_ratio", EvidenceValue::Number(ratio)));
        evidence.push(("growth_rows_per_day", EvidenceValue::Number(gained)));
    }
    let severity = match (entry.sightings, grows) {
        (1, _) => Severity::Info, // an export
        (_, true) => Severity::Error,
        (_, false) => Severity::Warning,
    };
    Verdict {
        evidence,
        severity_own: Some(severity),
        ..Verdict::new(Kind::UnboundedResult, Proof::Observed, sentence)
    }
}

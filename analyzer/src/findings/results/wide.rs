//! `wide_fetch`: one column that holds most of the bytes, again and again.

use super::{Key, entry, is_read, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::subject::{Subject, Verdict, bytes, exactly, percent};
use crate::findings::{Context, Detector};
use crate::limits::{Limits, ResultLimits};
use crate::seen::Seen;

#[derive(Clone, Debug, Default)]
struct Entry {
    field: u16,
    sightings: u64,
}

/// The detector.
#[derive(Debug)]
pub(super) struct Wide {
    limits: ResultLimits,
    max: usize,
    entries: Map<Key, Entry>,
}

/// The widest column of one result.
#[derive(Clone, Copy, Debug)]
struct Widest {
    field: u16,
    share: f64,
    bytes: u64,
}

impl Wide {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.results.clone(), max: limits.digests_max, entries: Map::default() }
    }

    fn widest(&self, seen: &Seen<'_>) -> Option<Widest> {
        let (sample, columns) = seen.record.width_sample(seen.batch)?;
        // Of two columns the wider one; with one column there is nothing to leave out.
        if columns.len() < 2 || sample.bytes == 0 {
            return None;
        }
        let (field, sum) = (0_u16..).zip(columns).max_by_key(|(_, sum)| **sum)?;
        let share = *sum as f64 / sample.bytes as f64;
        let bytes = (seen.record.sent_bytes as f64 * share) as u64;
        (share >= self.limits.wide_share_min_ratio && bytes >= self.limits.wide_bytes_min)
            .then_some(Widest { field, share, bytes })
    }
}

impl Detector for Wide {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if !is_read(seen) || seen.record.sample == 0 {
            return;
        }
        let Some(widest) = self.widest(seen) else { return };
        let Some(entry) = entry(&mut self.entries, key(seen), self.max) else { return };
        if entry.field != widest.field {
            *entry = Entry { field: widest.field, sightings: 0 };
        }
        entry.sightings += 1;
        let sightings_min = self.limits.wide_sightings_min;
        if entry.sightings < sightings_min {
            return;
        }
        // The first claim stands for those that it waited for.
        let times = if entry.sightings == sightings_min { sightings_min } else { 1 };
        let subject = Subject::of(seen);
        let claim = subject.claim(verdict(seen, &subject, widest), context);
        let saved_us = (seen.record.transfer_us as f64 * widest.share) as u64;
        let mut cost = exactly(saved_us, seen.record.duration_us());
        cost.bytes = Some(widest.bytes);
        context.register.sighting(claim, subject.sighting(times, cost));
    }
}

fn verdict(seen: &Seen<'_>, subject: &Subject, widest: Widest) -> Verdict {
    let column = seen.column_name(widest.field);
    let label = match &column {
        Some(column) => format!("`{column}`"),
        None => format!("column {}", widest.field + 1),
    };
    let sentence = format!(
        "{label} holds {} of what `{}` returns: {} of {} for {} row{}.",
        percent(widest.share),
        subject.name(),
        bytes(widest.bytes),
        bytes(seen.record.sent_bytes),
        seen.record.rows,
        if seen.record.rows == 1 { "" } else { "s" },
    );
    Verdict {
        field: Some(widest.field),
        column: column.clone(),
        evidence: vec![
            ("column_share", EvidenceValue::Number(widest.share)),
            ("column_bytes", EvidenceValue::Count(widest.bytes)),
            ("bytes", EvidenceValue::Count(seen.record.sent_bytes)),
            ("rows", EvidenceValue::Count(seen.record.rows)),
        ],
        ..Verdict::new(Kind::WideFetch, Proof::Observed, sentence)
    }
}

//! `deep_offset`: pages by a large OFFSET, slower the deeper they are.
//!
//! The wire says how large an OFFSET is up to a power of two, for binds and literals alike.

use super::rank::correlation;
use super::{Key, is_read, is_timed, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::subject::{Subject, Verdict, exactly, grouped, ms};
use crate::findings::{Context, Detector};
use crate::latency::median;
use crate::limits::{Limits, ResultLimits};
use crate::record::Micros;
use crate::seen::Seen;

/// Executions of a digest that are kept.
const SAMPLES_MAX: usize = 64;
/// Two high bits of a bind's class: a whole number.
const INTEGER: u8 = 1;

#[derive(Clone, Debug, Default)]
struct Pages {
    /// floor(log2(offset)) and service time, the latest [`SAMPLES_MAX`].
    samples: Vec<(u64, u64)>,
    next: usize,
    /// Deep executions since the last claim.
    deep: u64,
    subject: Option<Subject>,
    last_us: Micros,
}

impl Pages {
    fn push(&mut self, sample: (u64, u64)) {
        if self.samples.len() < SAMPLES_MAX {
            self.samples.push(sample);
        } else {
            self.samples[self.next] = sample;
            self.next = (self.next + 1) % SAMPLES_MAX;
        }
    }

    /// Median time of the pages of a depth.
    fn p50_us(&self, fits: impl Fn(u64) -> bool) -> u64 {
        let times: Vec<u64> =
            self.samples.iter().filter(|(class, _)| fits(*class)).map(|(_, us)| *us).collect();
        if times.is_empty() { 0 } else { median(&times) }
    }
}

/// The detector.
#[derive(Debug)]
pub(super) struct DeepOffset {
    limits: ResultLimits,
    lists: Map<Key, Pages>,
}

impl DeepOffset {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.results.clone(), lists: Map::default() }
    }

    /// The least class whose numbers are all large enough.
    fn class_min(&self) -> u64 {
        u64::from(self.limits.offset_min.next_power_of_two().ilog2())
    }

    /// Where a digest finds no room, the one that was quiet for longest goes.
    fn pages(&mut self, key: Key) -> &mut Pages {
        if self.lists.len() >= self.limits.offset_lists_max && !self.lists.contains_key(&key) {
            let oldest = self.lists.iter().map(|(key, pages)| (pages.last_us, *key)).min();
            if let Some((_, oldest)) = oldest {
                self.lists.remove(&oldest);
            }
        }
        self.lists.entry(key).or_default()
    }

    fn judge(&self, pages: &Pages, context: &mut Context<'_>) {
        let Some(subject) = &pages.subject else { return };
        let class_min = self.class_min();
        let rank = correlation(&pages.samples);
        let enough = pages.samples.len() >= self.limits.offset_samples_min;
        let Some(rank) = rank.filter(|rank| enough && *rank >= self.limits.offset_rank_min) else {
            return;
        };
        let least = pages.samples.iter().map(|(class, _)| *class).min().unwrap_or(0);
        let shallow_us = pages.p50_us(|class| class == least);
        let deep_us = pages.p50_us(|class| class >= class_min);
        let most = pages.samples.iter().map(|(class, _)| *class).max().unwrap_or(0);
        let sentence = format!(
            "`{}` skips {} rows and more by OFFSET, and is slower the deeper the page: {:.1} ms there, {:.1} ms \
             on the first pages.",
            subject.name(),
            grouped(1 << most),
            deep_us as f64 / 1_000.0,
            shallow_us as f64 / 1_000.0,
        );
        let verdict = Verdict {
            column: order_column(subject),
            evidence: vec![
                ("offset_at_least_rows", EvidenceValue::Count(1 << most)),
                ("deep_p50_ms", ms(deep_us)),
                ("first_pages_p50_ms", ms(shallow_us)),
                ("rank_correlation", EvidenceValue::Number(rank)),
                ("samples", EvidenceValue::Count(pages.samples.len() as u64)),
            ],
            ..Verdict::new(Kind::DeepOffset, Proof::Observed, sentence)
        };
        let claim = subject.claim(verdict, context);
        let mut cost = exactly(deep_us.saturating_sub(shallow_us), deep_us);
        cost.busy_us = deep_us * pages.deep;
        context.register.sighting(claim, subject.sighting(pages.deep, cost));
    }
}

/// `table.column` that the pages are sorted by.
fn order_column(subject: &Subject) -> Option<std::sync::Arc<str>> {
    let facts = subject.statement.facts.as_ref()?;
    let first = facts.order_by.first()?;
    let relation = facts.relations.get(first.relation)?;
    Some(std::sync::Arc::from(format!("{}.{}", relation.name, first.column)))
}

impl Detector for DeepOffset {
    fn statement(&mut self, seen: &Seen<'_>, _context: &mut Context<'_>) {
        if !is_read(seen) || !is_timed(seen) {
            return;
        }
        let skip = seen.statement.facts.as_ref().and_then(|facts| facts.skip_slots.first());
        let Some(slot) = skip else { return };
        let Some(cell) = seen.binds().find(|cell| cell.slot == *slot) else { return };
        let Some(us) = seen.service_us.filter(|_| cell.class >> 6 == INTEGER) else { return };
        let class = u64::from(cell.class & 0x3f);
        let deep = class >= self.class_min();
        let pages = self.pages(key(seen));
        pages.push((class, us));
        pages.last_us = seen.record.end_us();
        if deep {
            pages.deep += 1;
            pages.subject = Some(Subject::of(seen));
        }
    }

    fn tick(&mut self, _now: Micros, context: &mut Context<'_>) {
        let mut changed: Vec<Key> =
            self.lists.iter().filter(|(_, pages)| pages.deep > 0).map(|(key, _)| *key).collect();
        changed.sort_unstable();
        for key in changed {
            self.judge(&self.lists[&key], context);
            if let Some(pages) = self.lists.get_mut(&key) {
                pages.deep = 0;
            }
        }
    }
}

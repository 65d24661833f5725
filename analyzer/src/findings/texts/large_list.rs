//! `large_in_list`: one list of very many values, or very many parameters.

use super::{Key, is_work, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::samples::Samples;
use crate::findings::subject::{Subject, Verdict, exactly, grouped, ms};
use crate::findings::{Context, Detector};
use crate::limits::{Limits, TextLimits};
use crate::seen::Seen;

/// Most parameters that the protocol can count.
const BINDS_LIMIT: u64 = 65_535;
/// Parameters from which the next longer list may fail.
const NEAR_LIMIT: u64 = BINDS_LIMIT / 10 * 9;
/// Share of `elements_min` up to which a list is small.
const SMALL_DIVISOR: u64 = 10;

/// The detector.
#[derive(Debug)]
pub(super) struct LargeList {
    limits: TextLimits,
    max: usize,
    /// Service times of the same statement with small lists.
    small: Map<Key, Samples>,
}

impl LargeList {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.texts.clone(), max: limits.digests_max, small: Map::default() }
    }

    fn note_small(&mut self, seen: &Seen<'_>) {
        let key = key(seen);
        let room = self.small.len() < self.max || self.small.contains_key(&key);
        if let Some(us) = seen.service_us.filter(|_| room) {
            self.small.entry(key).or_default().push(us as f64);
        }
    }
}

impl Detector for LargeList {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        let elements = u64::from(seen.list_elements);
        let binds = u64::from(seen.record.bind_count);
        if (elements == 0 && binds < self.limits.large_binds_min) || !is_work(seen) {
            return;
        }
        if elements < self.limits.large_elements_min && binds < self.limits.large_binds_min {
            if elements <= self.limits.large_elements_min / SMALL_DIVISOR {
                self.note_small(seen);
            }
            return;
        }
        let small_us = self.small.get(&key(seen)).and_then(Samples::median_count);
        let subject = Subject::of(seen);
        let us = seen.service_us.unwrap_or(0);
        let saved_us = small_us.map_or(0, |small| us.saturating_sub(small));
        let claim = subject.claim(verdict(&subject, elements, binds, us, small_us), context);
        context.register.sighting(claim, subject.sighting(1, exactly(saved_us, us)));
    }
}

fn verdict(
    subject: &Subject,
    elements: u64,
    binds: u64,
    us: u64,
    small_us: Option<u64>,
) -> Verdict {
    let what = if elements >= binds {
        format!("a list of {} values", grouped(elements))
    } else {
        format!("{} parameters", grouped(binds))
    };
    let limit = match binds {
        NEAR_LIMIT.. => ", near the protocol's limit of 65,535",
        _ => "",
    };
    let sentence = format!("`{}` was sent with {what}{limit}.", subject.name());
    let mut evidence = vec![
        ("elements", EvidenceValue::Count(elements)),
        ("parameters", EvidenceValue::Count(binds)),
        ("service_ms", ms(us)),
    ];
    evidence.extend(small_us.map(|us| ("small_list_p50_ms", ms(us))));
    let near = binds >= NEAR_LIMIT;
    Verdict {
        evidence,
        severity_own: Some(if near { Severity::Error } else { Severity::Warning }),
        ..Verdict::new(Kind::LargeInList, Proof::Observed, sentence)
    }
}

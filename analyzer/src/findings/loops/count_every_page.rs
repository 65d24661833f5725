//! `count_every_page`: everything is counted before each page is read.

use super::report::{Report, hex, share, subject};
use super::run::Body;
use super::step::{Scene, Step};
use super::traits::{Role, Tables};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::cost::OccurrenceCost;
use crate::findings::samples::Samples;
use crate::labels::DatabaseId;
use crate::record::Micros;

/// Pairs of count and page that are followed.
const PAIRS_MAX: usize = 512;

/// A count that may be followed by its page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted {
    digest: u64,
    tables: Tables,
    ordinal: u64,
    unit: u64,
    round_trip: u32,
    service_us: u64,
    begin_us: Micros,
}

#[derive(Debug, Default)]
struct Pair {
    sightings: u64,
    claimed: u64,
    services: Samples,
    count_us: u64,
    page_us: u64,
    last_us: Micros,
    body: Option<Box<Body>>,
}

/// Counts and the pages after them, by digests.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    pairs: Map<(DatabaseId, u64, u64), Pair>,
}

/// The count that the session ran last, and the statement that it was.
pub(super) type Latest = Option<(Counted, Box<Body>)>;

impl Pairs {
    /// Takes in one execution.
    pub(super) fn step(&mut self, step: &Step<'_>, latest: &mut Latest, scene: &mut Scene<'_>) {
        if step.traits.role.is_quiet() {
            return;
        }
        let earlier = latest.take();
        if step.traits.role != Role::Read {
            return;
        }
        if step.traits.count {
            *latest = Some((Counted::of(step), Box::new(Body::new(step))));
        } else if let Some((counted, body)) = earlier.filter(|_| step.traits.page) {
            let adjacent = counted.ordinal + 1 == step.ordinal
                && counted.unit == step.unit
                && counted.round_trip != step.round_trip();
            if adjacent && counted.tables.hold_first_of(&step.traits.tables) {
                self.page(step, &counted, body, scene);
            }
        }
    }

    fn page(&mut self, step: &Step<'_>, counted: &Counted, body: Box<Body>, scene: &mut Scene<'_>) {
        let key = (step.seen.database, counted.digest, step.digest());
        if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) {
            let oldest = self.pairs.iter().map(|(key, pair)| (pair.last_us, *key)).min();
            oldest.and_then(|(_, key)| self.pairs.remove(&key));
        }
        let pair = self.pairs.entry(key).or_default();
        pair.sightings += 1;
        pair.services.push(counted.service_us as f64);
        pair.count_us += counted.service_us;
        pair.page_us += step.service_us();
        pair.last_us = step.end_us();
        pair.body = Some(body);
        let p50_us = pair.services.median_count().unwrap_or(0);
        let limits = &scene.limits.loops;
        if pair.sightings >= limits.count_sightings_min && p50_us >= limits.count_service_min_us {
            scene.out.extend(pair.report(step, counted, p50_us));
        }
    }
}

impl Counted {
    fn of(step: &Step<'_>) -> Self {
        Self {
            digest: step.digest(),
            tables: step.traits.tables,
            ordinal: step.ordinal,
            unit: step.unit,
            round_trip: step.round_trip(),
            service_us: step.service_us(),
            begin_us: step.begin_us(),
        }
    }
}

impl Pair {
    fn report(&mut self, step: &Step<'_>, counted: &Counted, p50_us: u64) -> Option<Report> {
        let body = self.body.take()?;
        let (kind, proof) = (Kind::CountEveryPage, Proof::Sequence);
        let mut report = Report::new(kind, proof, step.seen.database, &body.statement);
        let times = self.sightings - self.claimed;
        self.claimed = self.sightings;
        report.partner = Some(step.digest());
        report.times = times;
        report.cost = OccurrenceCost {
            saved_low_us: p50_us,
            saved_high_us: p50_us,
            rtt_us: step.seen.rtt_us,
            service_p50_us: p50_us,
            busy_us: times * p50_us,
            round_trips: 1,
            bytes: None,
        };
        report.sentence = format!(
            "Candidate: everything in `{}` looks counted before each page: {} times a count ({:.1} ms, median) came \
             directly before a page of the same table.",
            subject(&body.statement),
            self.sightings,
            p50_us as f64 / 1_000.0
        );
        report.evidence = vec![
            ("pages", EvidenceValue::Count(self.sightings)),
            ("count_digest", hex(counted.digest)),
            ("page_digest", hex(step.digest())),
            ("count_share_ratio", share(self.count_us, self.count_us + self.page_us)),
        ];
        (report.sender, report.session) = (body.sender, step.session());
        (report.first_us, report.last_us) = (counted.begin_us, step.end_us());
        Some(report)
    }
}

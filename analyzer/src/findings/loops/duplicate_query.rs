//! `duplicate_query`: the same read with the same values again in one unit of work, with nothing written to its
//! tables in between.
//!
//! A transaction or a trace is a unit for certain. In autocommit a run of statements may hold several requests:
//! there it is only a candidate, and only if most runs with this read repeat it.

use super::report::{Report, subject};
use super::run::Body;
use super::step::{Known, Scene, Step, mix};
use super::traits::{Role, Tables};
use super::unit::Bond;
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::OccurrenceCost;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use std::cell::Cell;

/// Share of runs in autocommit with a read that repeat it …
const RUN_SHARE_MIN_RATIO: f64 = 0.25;
/// … out of this many at least.
const RUNS_REPEATED_MIN: u32 = 3;

/// A run in autocommit with more reads than this is the traffic of many requests, not one piece of work.
const RUN_READS_MAX: u32 = 128;
/// Places that an empty table keeps.
const PLACES_KEPT_MAX: usize = 64;

/// Executions of one digest with the same values.
#[derive(Clone, Debug)]
struct Repeated {
    tables: Tables,
    digest: u64,
    database: DatabaseId,
    n: u64,
    round_trip: u32,
    first_us: Micros,
    last_us: Micros,
    busy_us: u64,
    bytes: u64,
    body: Option<Box<Body>>,
}

/// The reads of one unit.
#[derive(Clone, Debug, Default)]
pub(super) struct Duplicates {
    reads: Map<u64, Repeated>,
    /// How many of them were repeated often enough.
    ripe: usize,
    bond: Bond,
    /// Executions looked at in this unit.
    executions: u32,
    /// Tables that any of the reads names.
    mask: u64,
    /// A setting was changed, so its reset changes it too.
    set: bool,
}

impl Duplicates {
    /// Takes in one execution. `known` is that of its digest.
    pub(super) fn step(
        &mut self,
        step: &Step<'_>,
        bond: Bond,
        known: &Known,
        scene: &mut Scene<'_>,
    ) {
        if step.fresh {
            self.clear(step.session(), scene);
            self.bond = bond;
            self.executions = 0;
        }
        if step.trace.is_some() {
            self.bond = Bond::Trace;
        }
        match step.traits.role {
            Role::Read if step.traits.repeatable => {
                self.executions = self.executions.saturating_add(1);
                if self.bond != Bond::Run || self.executions <= RUN_READS_MAX {
                    self.read(step, known, scene);
                } else if !self.reads.is_empty() {
                    self.forget();
                }
            }
            // It may do anything, also what its text doesn't say.
            Role::Other | Role::Declare => self.clear(step.session(), scene),
            Role::Write => self.written(step, scene),
            Role::Setting => {
                self.set = true;
                self.clear(step.session(), scene);
            }
            Role::Reset if self.set => {
                self.set = false;
                self.clear(step.session(), scene);
            }
            _ => {}
        }
    }

    fn read(&mut self, step: &Step<'_>, known: &Known, scene: &Scene<'_>) {
        let limits = &scene.limits.loops;
        let key = mix(step.digest(), step.values());
        if let Some(read) = self.reads.get_mut(&key) {
            if read.round_trip == step.round_trip() {
                return;
            }
            read.add(step);
            if read.n == limits.duplicate_repeats_min {
                self.ripe += 1;
                count(&known.repeated, self.bond);
            }
        } else if self.reads.len() < limits.duplicates_unit_max {
            count(&known.met, self.bond);
            self.mask |= step.traits.tables.mask;
            self.reads.insert(key, Repeated::new(step));
        }
    }

    fn written(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        if self.mask & step.traits.tables.mask == 0 {
            return;
        }
        if self.ripe > 0 {
            self.report(step.session(), scene, |read| read.tables.meet(&step.traits.tables));
        }
        self.reads.retain(|_, read| !read.tables.meet(&step.traits.tables));
        self.ripe = if self.ripe == 0 { 0 } else { self.count_ripe(scene) };
    }

    fn count_ripe(&self, scene: &Scene<'_>) -> usize {
        let min = scene.limits.loops.duplicate_repeats_min;
        self.reads.values().filter(|read| read.n >= min).count()
    }

    /// Something failed, or may have changed everything: what was read before is no measure any more.
    pub(super) fn clear(&mut self, session: SessionId, scene: &mut Scene<'_>) {
        if self.ripe > 0 {
            self.report(session, scene, |_| true);
        }
        if !self.reads.is_empty() {
            self.forget();
        }
    }

    fn forget(&mut self) {
        (self.ripe, self.mask) = (0, 0);
        if self.reads.capacity() > PLACES_KEPT_MAX {
            self.reads = Map::default();
        } else {
            self.reads.clear();
        }
    }

    fn report(&self, session: SessionId, scene: &mut Scene<'_>, of: impl Fn(&Repeated) -> bool) {
        let min = scene.limits.loops.duplicate_repeats_min;
        let ripe = self.reads.values().filter(|read| read.n >= min && of(read));
        let mut ripe: Vec<&Repeated> = ripe.collect();
        ripe.sort_by_key(|read| (read.first_us, read.last_us, read.digest));
        for read in ripe {
            if self.bond != Bond::Run || is_usual(read, scene) {
                scene.out.extend(report(read, self.bond, session, scene));
            }
        }
    }
}

/// Counts in autocommit only.
fn count(counter: &Cell<u32>, bond: Bond) {
    counter.set(counter.get().saturating_add(u32::from(bond == Bond::Run)));
}

/// In autocommit: most runs with this read repeat it.
fn is_usual(read: &Repeated, scene: &Scene<'_>) -> bool {
    scene.known.get(&(read.database, read.digest)).is_some_and(|known| {
        let (repeated, met) = (known.repeated.get(), known.met.get());
        repeated >= RUNS_REPEATED_MIN && f64::from(repeated) >= RUN_SHARE_MIN_RATIO * f64::from(met)
    })
}

impl Repeated {
    fn new(step: &Step<'_>) -> Self {
        Self {
            tables: step.traits.tables,
            digest: step.digest(),
            database: step.seen.database,
            n: 1,
            round_trip: step.round_trip(),
            first_us: step.begin_us(),
            last_us: step.end_us(),
            busy_us: step.service_us(),
            bytes: 0,
            body: None,
        }
    }

    fn add(&mut self, step: &Step<'_>) {
        self.n += 1;
        self.round_trip = step.round_trip();
        self.last_us = step.end_us();
        self.busy_us += step.service_us();
        // The first time it had to be sent.
        self.bytes += step.seen.record.sent_bytes;
        self.body.get_or_insert_with(|| Box::new(Body::new(step))).add(step);
    }
}

fn report(read: &Repeated, bond: Bond, session: SessionId, scene: &Scene<'_>) -> Option<Report> {
    let body = read.body.as_ref()?;
    let proof = if bond == Bond::Run { Proof::Sequence } else { Proof::Duplicate };
    let mut report = Report::new(Kind::DuplicateQuery, proof, read.database, &body.statement);
    if bond == Bond::Run {
        report.severity_max = Severity::Info;
    }
    let many = read.n >= scene.limits.loops.duplicate_warning_repeats_min;
    report.severity_own = Some(if many { Severity::Warning } else { Severity::Info });
    let p50_us = body.service_p50_us();
    let saved_us = (read.n - 1) * p50_us;
    report.cost = OccurrenceCost {
        saved_low_us: saved_us,
        saved_high_us: saved_us,
        rtt_us: body.rtt_us,
        service_p50_us: p50_us,
        busy_us: read.busy_us,
        round_trips: read.n - 1,
        bytes: Some(read.bytes),
    };
    let (table, n) = (subject(&body.statement), read.n);
    report.sentence = match bond {
        Bond::Run => format!(
            "Candidate: `{table}` looks read {n} times with the same values by one piece of work, with no write \
             to it in between on this connection."
        ),
        _ => format!(
            "`{table}` was read {n} times with the same statement and the same values in one {}, with no write \
             to it in between on this connection.",
            if bond == Bond::Trace { "traced request" } else { "transaction" }
        ),
    };
    report.evidence = vec![
        ("n", EvidenceValue::Count(n)),
        ("bytes", EvidenceValue::Count(read.bytes)),
        ("bond", EvidenceValue::Text(bond.name().into())),
    ];
    (report.sender, report.session) = (body.sender.clone(), session);
    (report.n, report.first_us, report.last_us) = (Some(n), read.first_us, read.last_us);
    Some(report)
}

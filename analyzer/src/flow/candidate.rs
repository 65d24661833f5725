//! Evidence that one statement's slot is fed by one column of one result.

use super::gate::Evidence;
use super::order::increasing_run;
use super::taken::Taken;
use crate::Map;
use crate::digest::Statement;
use crate::findings::Orm;
use crate::labels::ServiceId;
use crate::record::{Driver, Micros};
use crate::seen::Seen;
use std::ops::Range;
use std::sync::Arc;

/// Service times kept per candidate for their median.
const SERVICES_MAX: usize = 32;
/// Values beyond the kept rows of a truncated parent that are told apart.
const BEYOND_MAX: usize = 16_384;
/// Explained executions that are told apart from those of rivals.
const HITS_MAX: usize = 4_096;
/// Bytes of one such value in its table.
const BEYOND_BYTES: usize = 8;
/// Bytes of a candidate, roughly.
pub(crate) const CANDIDATE_BYTES: usize = 512;

/// Scores of an execution: a new value further down the rows, one further up, and what speaks against a loop.
const IN_ORDER: i64 = 2;
const OUT_OF_ORDER: i64 = 1;
const AGAINST: i64 = 2;

/// Who sent a statement: what the fix is worded after.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sender {
    pub(crate) service: ServiceId,
    pub(crate) route: Option<Arc<str>>,
    pub(crate) driver: Driver,
    pub(crate) application_name: Option<Arc<str>>,
    pub(crate) framework: Option<Arc<str>>,
    /// The ORM that asked the service's connections about themselves.
    pub(crate) introspected: Option<Orm>,
}

impl Sender {
    pub(crate) fn of(seen: &Seen<'_>) -> Self {
        Self {
            service: seen.service,
            route: seen.route.cloned(),
            driver: seen.driver,
            application_name: Some(seen.application_name.clone()),
            framework: seen.tags.and_then(|tags| tags.framework.clone()),
            introspected: seen.introspected,
        }
    }
}

fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// One explained execution, or one of its values.
#[derive(Clone, Copy, Debug)]
struct Hit {
    execution: u32,
    /// All executions of the child so far, explained or not.
    executions: u32,
    busy_us: u32,
    /// When it ended, after the candidate's begin.
    after_us: u32,
    position: u16,
    /// A further value of the execution before it.
    further: bool,
}

/// One (column, child, slot) under one gate.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) column: usize,
    pub(crate) child: Arc<Statement>,
    pub(crate) slot: u16,
    pub(crate) gate: usize,
    pub(crate) sender: Sender,
    /// Transaction of its first execution.
    pub(crate) transaction: u32,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) first_us: Micros,
    pub(crate) last_us: Micros,
    pub(crate) busy_us: u64,
    used: Vec<u64>,
    used_count: usize,
    hits: u64,
    log: Vec<Hit>,
    executions: u64,
    tails: Vec<u16>,
    beyond: Map<u32, ()>,
    services: Vec<u64>,
}

/// What is left of a candidate when the executions of better explanations are taken away.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    pub(crate) used: usize,
    pub(crate) hits: u64,
    pub(crate) order: f64,
    pub(crate) busy_us: u64,
}

impl Candidate {
    pub(crate) fn new(column: usize, slot: u16, gate: usize, seen: &Seen<'_>) -> Self {
        Self {
            column,
            child: seen.statement.clone(),
            slot,
            gate,
            sender: Sender::of(seen),
            transaction: seen.record.transaction,
            rtt_us: None,
            first_us: seen.record.begin_us,
            last_us: 0,
            busy_us: 0,
            used: Vec::new(),
            used_count: 0,
            hits: 0,
            log: Vec::new(),
            executions: 0,
            tails: Vec::new(),
            beyond: Map::default(),
            services: Vec::new(),
        }
    }

    /// One execution with values at these positions of the column; `executions` counts all of the child's.
    pub(crate) fn hit(
        &mut self,
        seen: &Seen<'_>,
        execution: u32,
        positions: &[u16],
        executions: u64,
    ) {
        let busy_us = self.explain(seen, executions);
        let after_us = narrow(seen.record.end_us().saturating_sub(self.first_us));
        let executions = narrow(executions);
        for (index, position) in positions.iter().enumerate() {
            let (position, further) = (*position, index > 0);
            let hit = Hit { execution, executions, busy_us, after_us, position, further };
            self.note(hit);
            if self.log.len() < HITS_MAX {
                self.log.push(hit);
            }
        }
    }

    fn note(&mut self, hit: Hit) {
        self.use_position(hit.position);
        if !hit.further {
            self.extend_run(hit.position);
        }
    }

    /// One execution with a value that the truncated parent didn't keep, once everything kept was used.
    pub(crate) fn hit_beyond(
        &mut self,
        seen: &Seen<'_>,
        hash: u32,
        rows_beyond: u64,
        executions: u64,
    ) {
        let room = self.beyond.len() < BEYOND_MAX && (self.beyond.len() as u64) < rows_beyond;
        if room && self.beyond.insert(hash, ()).is_none() {
            self.explain(seen, executions);
        }
    }

    /// Bytes, roughly.
    pub(crate) fn bytes(&self) -> usize {
        CANDIDATE_BYTES + self.beyond.len() * BEYOND_BYTES + self.log.capacity() * size_of::<Hit>()
    }

    /// Counts an explained execution; returns its own share of the time.
    fn explain(&mut self, seen: &Seen<'_>, executions: u64) -> u32 {
        self.hits += 1;
        self.executions = executions;
        self.rtt_us = seen.rtt_us.or(self.rtt_us);
        let (begin_us, end_us) = (seen.record.begin_us, seen.record.end_us());
        let mut busy_us = 0;
        if let Some(us) = seen.service_us {
            // Overlapping children of several sessions count once.
            busy_us = us.min(end_us.saturating_sub(self.last_us.max(begin_us)));
            if self.services.len() < SERVICES_MAX {
                self.services.push(us);
            }
        }
        self.busy_us += busy_us;
        self.last_us = self.last_us.max(end_us);
        narrow(busy_us)
    }

    fn use_position(&mut self, position: u16) {
        let (word, bit) = (usize::from(position) / 64, 1u64 << (position % 64));
        if self.used.len() <= word {
            self.used.resize(word + 1, 0);
        }
        self.used_count += usize::from(self.used[word] & bit == 0);
        self.used[word] |= bit;
    }

    /// Longest strictly increasing subsequence: `tails[k]` is the smallest end of a run of length k + 1.
    fn extend_run(&mut self, position: u16) {
        let at = self.tails.partition_point(|tail| *tail < position);
        match self.tails.get_mut(at) {
            Some(tail) => *tail = position,
            None => self.tails.push(position),
        }
    }

    /// The loop alone, without what other requests of the connection happened to ask for; `None` where there is
    /// nothing to cut off.
    ///
    /// The segment of the executions with the highest score: new values in the order of the rows speak for a loop,
    /// repetitions and executions that the result doesn't explain against it. (Bentley, Programming pearls: algorithm
    /// design techniques, Comm. ACM 27, 1984; scores as of local alignment.)
    pub(crate) fn cut_to_loop(&self) -> Option<Self> {
        // Where everything is explained there is nothing foreign in it.
        let mixed = self.executions > self.hits && self.is_logged();
        let hits = self.best_segment();
        (mixed && hits.len() < self.log.len()).then(|| self.of_hits(&self.log[hits]))
    }

    /// What it gathered of the positions in that range alone.
    pub(crate) fn within(&self, positions: &Range<usize>) -> Option<Self> {
        let inside = |hit: &&Hit| positions.contains(&usize::from(hit.position));
        let hits: Vec<Hit> = self.log.iter().filter(inside).copied().collect();
        (self.is_logged() && !hits.is_empty()).then(|| self.of_hits(&hits))
    }

    /// Whether the log tells everything.
    fn is_logged(&self) -> bool {
        self.log.len() < HITS_MAX && self.beyond.is_empty()
    }

    /// The same from the first to the last of these hits, as if there had been no others.
    fn of_hits(&self, hits: &[Hit]) -> Self {
        let Some(first) = hits.first() else { return self.clone() };
        let (executions_before, begin_us) =
            (first.executions - 1, first.after_us.saturating_sub(first.busy_us));
        let mut part = Self {
            child: self.child.clone(),
            sender: self.sender.clone(),
            first_us: self.first_us + u64::from(begin_us),
            used: Vec::new(),
            used_count: 0,
            hits: 0,
            busy_us: 0,
            tails: Vec::new(),
            log: Vec::with_capacity(hits.len()),
            beyond: Map::default(),
            services: self.services.clone(),
            ..*self
        };
        for hit in hits {
            let hit = Hit {
                executions: hit.executions - executions_before,
                after_us: hit.after_us - begin_us,
                ..*hit
            };
            part.note(hit);
            part.log.push(hit);
            if !hit.further {
                part.hits += 1;
                part.busy_us += u64::from(hit.busy_us);
                part.executions = u64::from(hit.executions);
                part.last_us = part.first_us + u64::from(hit.after_us);
            }
        }
        part
    }

    /// Where in the log the score is highest.
    fn best_segment(&self) -> Range<usize> {
        let (mut score, mut best_score, mut best, mut start) = (0, 0, 0..0, 0);
        let mut used: Vec<u16> = Vec::new();
        let mut executions = 0;
        for (at, hit) in self.log.iter().enumerate() {
            if !hit.further {
                score -= i64::from(hit.executions.saturating_sub(executions + 1)) * AGAINST;
                executions = hit.executions;
                if score <= 0 {
                    (score, start) = (0, at);
                    used.clear();
                }
            }
            let place = used.binary_search(&hit.position);
            if !hit.further {
                score += match place {
                    Ok(_) => -AGAINST,
                    Err(place) if place == used.len() => IN_ORDER,
                    Err(_) => OUT_OF_ORDER,
                };
            }
            if let Err(place) = place {
                used.insert(place, hit.position);
            }
            if score > best_score || (hit.further && best.end == at) {
                (best_score, best) = (score, start..at + 1);
            }
        }
        best
    }

    /// Explained executions.
    pub(crate) fn hits(&self) -> u64 {
        self.hits
    }

    /// Distinct positions used.
    pub(crate) fn used(&self) -> usize {
        self.used_count
    }

    /// The positions used, ascending.
    pub(crate) fn used_positions(&self) -> impl Iterator<Item = u16> {
        self.used.iter().enumerate().flat_map(|(word, bits)| {
            (0..64u16)
                .filter(move |bit| bits >> bit & 1 == 1)
                .map(move |bit| word as u16 * 64 + bit)
        })
    }

    /// Median service time in microseconds; inside batches the mean, which is all that can be known.
    pub(crate) fn service_p50_us(&self) -> u64 {
        if self.services.is_empty()
            || (self.services.len() as u64) < self.hits.min(SERVICES_MAX as u64)
        {
            return self.busy_us / self.hits.max(1);
        }
        crate::latency::median(&self.services)
    }

    pub(crate) fn evidence(&self, rows: u64, kept: usize) -> Evidence {
        Evidence {
            rows,
            kept,
            used: self.used_count,
            hits: self.hits,
            executions: self.executions,
            order: self.tails.len() as f64 / self.hits.max(1) as f64,
            rank: 0.0,
        }
    }

    /// Whether another explanation has taken any of its executions.
    pub(crate) fn shares(&self, taken: &Taken) -> bool {
        self.log.iter().any(|hit| taken.contains(hit.execution))
    }

    /// What is left without the executions that are taken.
    pub(crate) fn rest(&self, taken: &Taken) -> Rest {
        let free: Vec<Hit> =
            self.log.iter().filter(|hit| !taken.contains(hit.execution)).copied().collect();
        let first = || free.iter().filter(|hit| !hit.further);
        let mut positions: Vec<u16> = free.iter().map(|hit| hit.position).collect();
        positions.sort_unstable();
        positions.dedup();
        let hits = first().count();
        Rest {
            used: positions.len(),
            hits: hits as u64,
            order: increasing_run(first().map(|hit| hit.position)) as f64 / hits.max(1) as f64,
            busy_us: first().map(|hit| u64::from(hit.busy_us)).sum(),
        }
    }

    /// Takes its executions, so that they count in no other occurrence.
    pub(crate) fn take(&self, taken: &mut Taken) {
        self.log.iter().filter(|hit| !hit.further).for_each(|hit| taken.insert(hit.execution));
    }
}

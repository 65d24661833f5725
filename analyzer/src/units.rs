//! Units of work: one trace, else one transaction, else a run of statements without a long pause.

use crate::Map;
use crate::labels::{Labels, ServiceId};
use crate::record::{Micros, StatementRecord, Tag};
use crate::snapshot::{Phases, RouteRow};
use std::sync::Arc;

/// What holds the statements of a unit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bond {
    /// BEGIN was seen; the next transaction number is ours.
    Begun,
    /// One transaction block.
    Transaction(u32),
    /// Statements in autocommit with short pauses.
    Run,
}

/// Sums of a unit in progress.
#[derive(Clone, Debug)]
struct Unit {
    service: ServiceId,
    route: Option<Arc<str>>,
    sums: RouteRow,
    last_us: Micros,
}

/// The unit that a session is in.
#[derive(Clone, Debug)]
pub(crate) struct SessionUnit {
    bond: Bond,
    /// The unit itself, or the trace that its transaction was found to belong to.
    home: Home,
}

#[derive(Clone, Debug)]
enum Home {
    Own(Unit),
    Trace(u64),
}

/// One statement as units see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// The record.
    pub(crate) record: &'a StatementRecord,
    /// Phases, with think time in its right place.
    pub(crate) phases: &'a Phases,
    /// Service.
    pub(crate) service: ServiceId,
    /// Route tag.
    pub(crate) route: Option<&'a Arc<str>>,
    /// Trace id of the text's tag.
    pub(crate) trace: Option<u64>,
}

impl Unit {
    fn new(step: &Step<'_>) -> Self {
        Self { service: step.service, route: None, sums: RouteRow::default(), last_us: 0 }
    }

    fn add(&mut self, step: &Step<'_>) {
        self.sums.statements += 1;
        self.sums.first_row_us += step.phases.first_row_us;
        self.sums.transfer_us += step.phases.transfer_us;
        self.sums.think_in_transaction_us += step.phases.think_in_transaction_us;
        self.last_us = self.last_us.max(step.record.end_us());
        if self.route.is_none() {
            self.route = step.route.cloned();
        }
    }

    fn join(&mut self, other: &Unit) {
        self.sums.statements += other.sums.statements;
        self.sums.first_row_us += other.sums.first_row_us;
        self.sums.transfer_us += other.sums.transfer_us;
        self.sums.think_in_transaction_us += other.sums.think_in_transaction_us;
        self.last_us = self.last_us.max(other.last_us);
    }

    fn end(&self, labels: &mut Labels) {
        labels.add_unit(self.service, self.route.as_ref(), &self.sums);
    }
}

/// Units bound by a trace; those of a session live in the session.
#[derive(Debug)]
pub(crate) struct Units {
    traces: Map<u64, Unit>,
    traces_max: usize,
    trace_idle_us: u64,
    gap_us: u64,
}

impl Units {
    pub(crate) fn new(traces_max: usize, trace_idle_us: u64, gap_us: u64) -> Self {
        Self { traces: Map::default(), traces_max, trace_idle_us, gap_us }
    }

    /// Adds one statement to its unit; ends the units that it shows to be over.
    pub(crate) fn step(
        &mut self,
        slot: &mut Option<SessionUnit>,
        step: &Step<'_>,
        labels: &mut Labels,
    ) {
        if slot.as_ref().is_some_and(|unit| !self.goes_on(unit, step.record)) {
            self.end(slot, labels);
        }
        if let Some(trace) = step.trace {
            self.step_trace(slot, trace, step, labels);
            return;
        }
        let bond = bond_of(step.record);
        let unit =
            slot.get_or_insert_with(|| SessionUnit { bond, home: Home::Own(Unit::new(step)) });
        if unit.bond == Bond::Begun {
            unit.bond = bond;
        }
        match &mut unit.home {
            Home::Own(own) => own.add(step),
            Home::Trace(trace) => {
                let trace = *trace;
                self.trace(trace, step, labels).add(step);
            }
        }
    }

    /// A traced statement: its transaction, as far as it has no trace of its own, belongs to the trace.
    fn step_trace(
        &mut self,
        slot: &mut Option<SessionUnit>,
        trace: u64,
        step: &Step<'_>,
        labels: &mut Labels,
    ) {
        let bond = bond_of(step.record);
        match slot.take() {
            Some(SessionUnit { home: Home::Own(own), bond: old })
                if old == Bond::Run || bond == Bond::Run =>
            {
                own.end(labels);
                self.trace(trace, step, labels).add(step);
            }
            earlier => {
                let unit = self.trace(trace, step, labels);
                if let Some(SessionUnit { home: Home::Own(own), .. }) = earlier {
                    unit.join(&own);
                }
                unit.add(step);
            }
        }
        if bond != Bond::Run {
            *slot = Some(SessionUnit { bond, home: Home::Trace(trace) });
        }
    }

    fn goes_on(&self, unit: &SessionUnit, record: &StatementRecord) -> bool {
        match unit.bond {
            Bond::Begun => record.tag != Tag::Begin,
            Bond::Transaction(number) => record.transaction == number,
            Bond::Run => {
                let last_us = match &unit.home {
                    Home::Own(own) => own.last_us,
                    Home::Trace(_) => 0,
                };
                bond_of(record) == Bond::Run
                    && record.begin_us.saturating_sub(last_us) < self.gap_us
            }
        }
    }

    fn trace(&mut self, trace: u64, step: &Step<'_>, labels: &mut Labels) -> &mut Unit {
        if self.traces.len() >= self.traces_max && !self.traces.contains_key(&trace) {
            // The trace that was quiet for longest is most likely over.
            let oldest =
                self.traces.iter().min_by_key(|(id, unit)| (unit.last_us, **id)).map(|(id, _)| *id);
            if let Some(gone) = oldest.and_then(|id| self.traces.remove(&id)) {
                gone.end(labels);
            }
        }
        self.traces.entry(trace).or_insert_with(|| Unit::new(step))
    }

    /// The session's transaction or the session itself ended.
    pub(crate) fn end(&mut self, slot: &mut Option<SessionUnit>, labels: &mut Labels) {
        if let Some(SessionUnit { home: Home::Own(own), .. }) = slot.take() {
            own.end(labels);
        }
    }

    /// Ends the session's run if it has been quiet for long enough.
    pub(crate) fn tick_session(
        &self,
        slot: &mut Option<SessionUnit>,
        now: Micros,
        labels: &mut Labels,
    ) {
        let quiet = |unit: &SessionUnit| match (&unit.home, unit.bond) {
            (Home::Own(own), Bond::Run) => now.saturating_sub(own.last_us) >= self.gap_us,
            _ => false,
        };
        if slot.as_ref().is_some_and(quiet)
            && let Some(SessionUnit { home: Home::Own(own), .. }) = slot.take()
        {
            own.end(labels);
        }
    }

    /// Ends traces that have been quiet for long enough.
    pub(crate) fn tick(&mut self, now: Micros, labels: &mut Labels) {
        let idle_us = self.trace_idle_us;
        let mut over: Vec<u64> = self
            .traces
            .iter()
            .filter(|(_, unit)| now.saturating_sub(unit.last_us) >= idle_us)
            .map(|(id, _)| *id)
            .collect();
        over.sort_unstable();
        for id in over {
            if let Some(unit) = self.traces.remove(&id) {
                unit.end(labels);
            }
        }
    }
}

fn bond_of(record: &StatementRecord) -> Bond {
    match (record.transaction, record.tag) {
        (0, Tag::Begin) => Bond::Begun,
        (0, _) => Bond::Run,
        (number, _) => Bond::Transaction(number),
    }
}

//! Units of work: one trace, else one transaction, else a run of statements of one route without a long pause.

mod routes;
mod shapes;
mod unit;

pub(crate) use shapes::ShapeSoFar;
pub(crate) use unit::values_of;

use crate::Map;
use crate::digest::Statement;
use crate::labels::{DatabaseId, Labels, ServiceId};
use crate::limits::Limits;
use crate::marks::{MarkId, MarkUnits};
use crate::merge::RouteSketch;
use crate::record::{BindCell, Micros, StatementRecord, Tag, TransactionRecord};
use crate::sessions::Session;
use crate::snapshot::{Phases, Snapshot};
use routes::Routes;
use shapes::Shapes;
use std::sync::Arc;
use unit::{Entry, UNIT_STATEMENTS_MAX, Unit, repeated, repetitions};

/// Emptied lists of entries that are kept for the next units.
const SPARE_MAX: usize = 256;

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

/// The unit that a session is in.
#[derive(Clone, Debug)]
pub(crate) struct SessionUnit {
    bond: Bond,
    /// The unit itself, or the trace that its transaction was found to belong to.
    home: Home,
}

impl SessionUnit {
    /// Id of the unit of work.
    pub(crate) fn id(&self) -> u64 {
        match &self.home {
            Home::Own(unit) => unit.id,
            Home::Trace(trace) => *trace,
        }
    }
}

// A unit lies in its session: a box would be an allocation for each of them.
#[allow(clippy::large_enum_variant)]
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
    /// What was executed.
    pub(crate) statement: &'a Statement,
    /// Literals of the text.
    pub(crate) literals: &'a [BindCell],
    /// Service.
    pub(crate) service: ServiceId,
    /// Route tag.
    pub(crate) route: Option<&'a Arc<str>>,
    /// Trace id of the text's tag.
    pub(crate) trace: Option<u64>,
    /// What the application says that it does.
    pub(crate) mark: Option<MarkId>,
}

/// Room for the entries of all open units.
#[derive(Debug)]
struct Room {
    entries: usize,
    max: usize,
    /// Statements that found none.
    overflowed: u64,
}

impl Room {
    /// Adds the statement to the entries of its unit, if there is room.
    fn enter(&mut self, unit: &mut Unit, step: &Step<'_>) {
        if self.entries < self.max && unit.entries.len() < UNIT_STATEMENTS_MAX {
            self.entries += 1;
            unit.entries.push(Entry::of(step));
        } else {
            self.overflowed += 1;
            unit.cut = true;
        }
    }
}

/// Units bound by a trace; those of a session live in the session.
#[derive(Debug)]
pub(crate) struct Units {
    traces: Map<u64, Unit>,
    routes: Routes,
    shapes: Shapes,
    traces_max: usize,
    trace_idle_us: u64,
    gap_us: u64,
    room: Room,
    spare: Vec<Vec<Entry>>,
    scratch: Vec<(u64, u64)>,
    /// By the number of the mark.
    marks: Vec<MarkUnits>,
    /// Most executions in one unit, of digests that repeat in units.
    calls_per_unit_max: Map<u64, u64>,
    digests_max: usize,
}

impl Units {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            traces: Map::default(),
            routes: Routes::default(),
            shapes: Shapes::new(limits.transaction_shapes_max),
            traces_max: limits.traces_max,
            trace_idle_us: limits.trace_idle_us,
            gap_us: limits.unit_gap_us,
            room: Room { entries: 0, max: limits.unit_entries_max, overflowed: 0 },
            spare: Vec::new(),
            scratch: Vec::new(),
            marks: Vec::new(),
            calls_per_unit_max: Map::default(),
            digests_max: limits.digests_max,
        }
    }

    /// Changes the pause that ends a unit.
    pub(crate) fn set_gap_us(&mut self, gap_us: u64) {
        self.gap_us = gap_us;
    }

    /// Adds one statement to its unit; ends the units that it shows to be over.
    pub(crate) fn step(&mut self, session: &mut Session, step: &Step<'_>, labels: &mut Labels) {
        let new_round_trip = session.unit_round_trip != step.record.round_trip;
        session.unit_round_trip = step.record.round_trip;
        // Without state there is no unit either: such statements are in every other sum.
        if session.stands_for_many {
            return;
        }
        session.shape.add(step.record, step.statement);
        let slot = &mut session.unit;
        if slot.as_ref().is_some_and(|unit| !self.goes_on(unit, step)) {
            self.end(slot, labels);
        }
        if let Some(trace) = step.trace {
            self.step_trace(slot, trace, step, new_round_trip, labels);
            return;
        }
        let bond = bond_of(step.record);
        if slot.is_none() {
            let entries = self.spare.pop().unwrap_or_default();
            *slot = Some(SessionUnit { bond, home: Home::Own(Unit::new(step, None, entries)) });
        }
        let Some(unit) = slot else { return };
        if unit.bond == Bond::Begun {
            unit.bond = bond;
        }
        match &mut unit.home {
            Home::Own(own) => {
                own.add(step, new_round_trip);
                self.room.enter(own, step);
            }
            Home::Trace(trace) => {
                let trace = *trace;
                self.add_to_trace(trace, step, new_round_trip, labels);
            }
        }
    }

    /// A traced statement: its transaction, as far as it has no trace of its own, belongs to the trace.
    fn step_trace(
        &mut self,
        slot: &mut Option<SessionUnit>,
        trace: u64,
        step: &Step<'_>,
        new_round_trip: bool,
        labels: &mut Labels,
    ) {
        let bond = bond_of(step.record);
        match slot.take() {
            Some(SessionUnit { home: Home::Own(own), bond: old })
                if old == Bond::Run || bond == Bond::Run =>
            {
                self.finish(own, labels);
            }
            Some(SessionUnit { home: Home::Own(own), .. }) => {
                self.join_trace(trace, own, step, labels);
            }
            Some(SessionUnit { home: Home::Trace(_), .. }) | None => {}
        }
        self.add_to_trace(trace, step, new_round_trip, labels);
        if bond != Bond::Run {
            *slot = Some(SessionUnit { bond, home: Home::Trace(trace) });
        }
    }

    /// What a transaction did before its first traced statement belongs to the trace.
    fn join_trace(&mut self, trace: u64, mut own: Unit, step: &Step<'_>, labels: &mut Labels) {
        self.admit_trace(trace, step, labels);
        let Some(unit) = self.traces.get_mut(&trace) else { return };
        unit.join(&own);
        let room = UNIT_STATEMENTS_MAX.saturating_sub(unit.entries.len());
        let taken = own.entries.len().min(room);
        unit.cut |= taken < own.entries.len();
        self.room.entries -= own.entries.len() - taken;
        unit.entries.extend(own.entries.drain(..taken));
        self.recycle(own.entries);
    }

    fn add_to_trace(
        &mut self,
        trace: u64,
        step: &Step<'_>,
        new_round_trip: bool,
        labels: &mut Labels,
    ) {
        self.admit_trace(trace, step, labels);
        if let Some(unit) = self.traces.get_mut(&trace) {
            unit.add(step, new_round_trip);
            self.room.enter(unit, step);
        }
    }

    fn goes_on(&self, unit: &SessionUnit, step: &Step<'_>) -> bool {
        let record = step.record;
        match unit.bond {
            Bond::Begun => record.tag != Tag::Begin,
            Bond::Transaction(number) => record.transaction == number,
            Bond::Run => {
                let Home::Own(own) = &unit.home else { return false };
                let other_route = own.route.is_some()
                    && step.route.is_some_and(|route| own.route.as_ref() != Some(route));
                bond_of(record) == Bond::Run
                    && !other_route
                    && own.mark == step.mark
                    && record.begin_us.saturating_sub(own.last_us) < self.gap_us
            }
        }
    }

    /// Makes a trace known. At the limit the one that was quiet for longest is most likely over.
    fn admit_trace(&mut self, trace: u64, step: &Step<'_>, labels: &mut Labels) {
        if self.traces.contains_key(&trace) {
            return;
        }
        if self.traces.len() >= self.traces_max {
            let oldest =
                self.traces.iter().min_by_key(|(id, unit)| (unit.last_us, **id)).map(|(id, _)| *id);
            if let Some(gone) = oldest.and_then(|id| self.traces.remove(&id)) {
                self.finish(gone, labels);
            }
        }
        let entries = self.spare.pop().unwrap_or_default();
        self.traces.insert(trace, Unit::new(step, Some(trace), entries));
    }

    /// A unit is over.
    fn finish(&mut self, mut unit: Unit, labels: &mut Labels) {
        let (similar, duplicate) = repetitions(&unit.entries, &mut self.scratch);
        unit.sums.similar = similar;
        unit.sums.duplicate = duplicate;
        if similar > 0 {
            self.note_repeated();
        }
        self.add_to_mark(&unit);
        self.routes.add(&unit, labels);
        self.room.entries -= unit.entries.len();
        self.recycle(unit.entries);
    }

    fn note_repeated(&mut self) {
        let most = &mut self.calls_per_unit_max;
        let room = self.digests_max;
        repeated(&self.scratch, |digest, calls| {
            if let Some(known) = most.get_mut(&digest) {
                *known = calls.max(*known);
            } else if most.len() < room {
                most.insert(digest, calls);
            }
        });
    }

    fn add_to_mark(&mut self, unit: &Unit) {
        let Some(index) = unit.mark.map(MarkId::index) else { return };
        if self.marks.len() <= index {
            self.marks.resize(index + 1, MarkUnits::default());
        }
        self.marks[index].units += 1;
        self.marks[index].duplicates += unit.sums.duplicate;
    }

    /// The session changed its mark: what it does from here on is another run.
    pub(crate) fn end_run(&mut self, slot: &mut Option<SessionUnit>, labels: &mut Labels) {
        if slot.as_ref().is_some_and(|unit| unit.bond == Bond::Run) {
            self.end(slot, labels);
        }
    }

    /// Units that ended under each mark, by its number.
    pub(crate) fn marks(&self) -> &[MarkUnits] {
        &self.marks
    }

    /// Ends all traces: nothing more will come.
    pub(crate) fn end_traces(&mut self, labels: &mut Labels) {
        let mut ids: Vec<u64> = self.traces.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some(unit) = self.traces.remove(&id) {
                self.finish(unit, labels);
            }
        }
    }

    fn recycle(&mut self, mut entries: Vec<Entry>) {
        entries.clear();
        if self.spare.len() < SPARE_MAX {
            self.spare.push(entries);
        }
    }

    /// The session's transaction or the session itself ended.
    pub(crate) fn end(&mut self, slot: &mut Option<SessionUnit>, labels: &mut Labels) {
        if let Some(SessionUnit { home: Home::Own(own), .. }) = slot.take() {
            self.finish(own, labels);
        }
    }

    /// A transaction block ended: one more of its shape.
    pub(crate) fn add_transaction(
        &mut self,
        pair: (DatabaseId, ServiceId),
        record: &TransactionRecord,
        shape: &mut ShapeSoFar,
        labels: &Labels,
    ) {
        self.shapes.add(pair, record, shape, labels);
    }

    /// Ends the session's run if it has been quiet for long enough.
    pub(crate) fn tick_session(
        &mut self,
        slot: &mut Option<SessionUnit>,
        now: Micros,
        labels: &mut Labels,
    ) {
        let quiet = |unit: &SessionUnit| match (&unit.home, unit.bond) {
            (Home::Own(own), Bond::Run) => now.saturating_sub(own.last_us) >= self.gap_us,
            _ => false,
        };
        if slot.as_ref().is_some_and(quiet) {
            self.end(slot, labels);
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
                self.finish(unit, labels);
            }
        }
    }

    /// The distributions behind the routes, in the order of their rows.
    pub(crate) fn sketches(&self) -> Vec<RouteSketch> {
        self.routes.sketches()
    }

    /// Fills routes, examples and shapes; the rows of the routes stand there already.
    pub(crate) fn fill(&mut self, snapshot: &mut Snapshot) {
        self.routes.fill(&mut snapshot.routes, &mut snapshot.units);
        for row in &mut snapshot.digests {
            row.calls_per_unit_max =
                self.calls_per_unit_max.get(&row.digest).map_or(1, |most| *most);
        }
        (snapshot.transactions, snapshot.transactions_other) = self.shapes.rows();
        snapshot.overflow.push(("unit_entries", self.room.overflowed));
        snapshot.overflow.push(("transaction_shapes", snapshot.transactions_other.count));
    }
}

fn bond_of(record: &StatementRecord) -> Bond {
    match (record.transaction, record.tag) {
        (0, Tag::Begin) => Bond::Begun,
        (0, _) => Bond::Run,
        (number, _) => Bond::Transaction(number),
    }
}

#[cfg(test)]
mod tests;

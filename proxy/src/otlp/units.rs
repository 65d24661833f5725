//! Which statements become spans: those of sampled units of work, and those of units that take long.
//!
//! A sampled unit's statements leave at once. Those of the others are held until the unit has taken `slow_us`, and
//! forgotten when it ends before.

use crate::capture::is_sampled;
use pgsonde_analyzer::events::StatementEvent;
use pgsonde_analyzer::record::{Micros, Outcome};
use pgsonde_analyzer::text::TraceContext;
use std::collections::HashMap;
use std::sync::Arc;

/// Units that are followed at once.
const UNITS_MAX: usize = 4_096;
/// Statements (about 500 bytes each) that are held at once.
const HELD_MAX: usize = 20_000;
/// Spans of one unit; of a longer one only statements that are slow themselves follow.
const SPANS_PER_UNIT_MAX: u64 = 200;
/// A unit that was quiet for this long has ended, beyond the pause that ends it by definition.
const QUIET_US: u64 = 10_000_000;

/// Which units leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice {
    /// Share of units without a trace, in parts per million.
    pub(super) sample_millionths: u64,
    /// Units that take this long leave in any case, in microseconds.
    pub(super) slow_us: u64,
    /// Pause that ends a unit, in microseconds.
    pub(super) gap_us: u64,
}

/// What a span needs to know of its unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// Number of the unit; nothing for statements outside of any.
    pub(super) unit_id: Option<u64>,
    /// Begin of its first statement.
    pub(super) begin_us: Micros,
    /// The application's trace, if a statement of it named one.
    pub(super) context: Option<TraceContext>,
}

/// A span to be.
#[derive(Debug)]
pub(super) enum Chosen {
    /// A statement.
    Statement(Arc<StatementEvent>, Root),
    /// The unit around statements that no trace of the application contains.
    Unit(Box<Unit>),
}

/// A unit of work as far as it has come.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) root: Root,
    pub(super) end_us: Micros,
    pub(super) statements: u64,
    /// Statements that became spans, or would have if they were held.
    pub(super) spans: u64,
    pub(super) failed: bool,
    /// The first statement, for service, route and database.
    pub(super) first: Arc<StatementEvent>,
    leaves: bool,
    held: Vec<Arc<StatementEvent>>,
}

/// All units that are under way.
#[derive(Debug)]
pub(super) struct Units {
    choice: Choice,
    open: HashMap<u64, Unit>,
    held: usize,
    chosen: Vec<Chosen>,
    /// Statements that were let go before their unit had ended.
    let_go: u64,
}

impl Units {
    pub(super) fn new(choice: Choice) -> Self {
        Self { choice, open: HashMap::new(), held: 0, chosen: Vec::new(), let_go: 0 }
    }

    /// A statement was executed.
    pub(super) fn take(&mut self, event: &Arc<StatementEvent>) {
        let Some(unit_id) = event.unit_id else { return self.alone(event) };
        if !self.open.contains_key(&unit_id)
            && (self.open.len() >= UNITS_MAX || self.held >= HELD_MAX)
        {
            self.make_room();
        }
        let unit = self.open.entry(unit_id).or_insert_with(|| Unit::begin(unit_id, event));
        unit.add(event);
        if !unit.leaves && unit.is_chosen(self.choice) {
            unit.leaves = true;
            self.held -= unit.held.len();
            let root = unit.root;
            let held = unit.held.drain(..).map(|event| Chosen::Statement(event, root));
            self.chosen.extend(held);
        }
        let is_slow = event.record.duration_us() >= self.choice.slow_us;
        if unit.spans >= SPANS_PER_UNIT_MAX && !is_slow {
            return;
        }
        unit.spans += 1;
        if unit.leaves {
            self.chosen.push(Chosen::Statement(Arc::clone(event), unit.root));
        } else if self.held < HELD_MAX {
            unit.held.push(Arc::clone(event));
            self.held += 1;
        } else {
            self.let_go += 1;
        }
    }

    /// A statement outside of any unit.
    fn alone(&mut self, event: &Arc<StatementEvent>) {
        let (begin_us, context) = (event.record.begin_us, event.context);
        let slow = event.record.duration_us() >= self.choice.slow_us;
        if slow || context.is_some_and(|context| context.sampled) {
            let root = Root { unit_id: None, begin_us, context };
            self.chosen.push(Chosen::Statement(Arc::clone(event), root));
        }
    }

    /// What has been chosen since the last time, and how many statements were let go unjudged; `now_us` ends units
    /// that are quiet.
    pub(super) fn ready(&mut self, now_us: Micros) -> (Vec<Chosen>, u64) {
        let quiet_us = QUIET_US + self.choice.gap_us;
        self.end(|unit| unit.end_us + quiet_us <= now_us);
        (std::mem::take(&mut self.chosen), std::mem::take(&mut self.let_go))
    }

    /// Everything has ended.
    pub(super) fn end_all(&mut self) {
        self.end(|_| true);
    }

    /// Ends units, oldest first; tells how many statements were held of them.
    fn end(&mut self, ends: impl Fn(&Unit) -> bool) -> usize {
        let mut ended: Vec<Unit> =
            self.open.extract_if(|_, unit| ends(unit)).map(|(_, unit)| unit).collect();
        ended.sort_by_key(|unit| (unit.root.begin_us, unit.root.unit_id));
        let held = ended.iter().map(|unit| unit.held.len()).sum();
        self.held -= held;
        let whole = ended.into_iter().filter(|unit| unit.leaves && unit.root.context.is_none());
        self.chosen.extend(whole.map(|unit| Chosen::Unit(Box::new(unit))));
        held
    }

    /// The half that was quiet for longest ends early.
    fn make_room(&mut self) {
        let mut ends: Vec<Micros> = self.open.values().map(|unit| unit.end_us).collect();
        ends.sort_unstable();
        let until_us = ends.get(ends.len() / 2).copied().unwrap_or_default();
        self.let_go += self.end(|unit| unit.end_us <= until_us) as u64;
    }
}

impl Unit {
    fn begin(unit_id: u64, first: &Arc<StatementEvent>) -> Self {
        let begin_us = first.record.begin_us;
        Self {
            root: Root { unit_id: Some(unit_id), begin_us, context: None },
            end_us: begin_us,
            statements: 0,
            spans: 0,
            failed: false,
            first: Arc::clone(first),
            leaves: false,
            held: Vec::new(),
        }
    }

    fn add(&mut self, event: &StatementEvent) {
        self.statements += 1;
        self.end_us = self.end_us.max(event.record.end_us());
        self.failed |= event.record.outcome != Outcome::Ok;
        self.root.context = self.root.context.or(event.context);
    }

    fn is_chosen(&self, choice: Choice) -> bool {
        let took_us = self.end_us.saturating_sub(self.root.begin_us);
        let sampled = match self.root.context {
            Some(context) => context.sampled,
            None => is_sampled(self.root.unit_id, choice.sample_millionths),
        };
        sampled || took_us >= choice.slow_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::convert::testing::{Said, statement};

    const CHOICE: Choice = Choice { sample_millionths: 0, slow_us: 1_000, gap_us: 100 };

    fn said(unit: u64, begin_us: u64, us: u64) -> Said {
        Said { unit: Some(unit), begin_us, us, ..Said::default() }
    }

    fn spans(chosen: &[Chosen]) -> Vec<(&'static str, u64)> {
        let of = |chosen: &Chosen| match chosen {
            Chosen::Statement(event, _) => ("statement", event.record.begin_us),
            Chosen::Unit(unit) => ("unit", unit.statements),
        };
        chosen.iter().map(of).collect()
    }

    fn run(choice: Choice, all: &[Said]) -> (Vec<Chosen>, u64) {
        let mut units = Units::new(choice);
        all.iter().for_each(|said| units.take(&statement(said)));
        units.end_all();
        assert_eq!((units.held, units.open.len()), (0, 0), "nothing is kept of what has ended");
        units.ready(0)
    }

    #[test]
    fn a_unit_leaves_whole_once_it_is_slow() {
        let below = [said(1, 0, 100), said(1, 900, 99)];
        assert_eq!(spans(&run(CHOICE, &below).0), []);
        let at = [said(1, 0, 100), said(2, 0, 5), said(1, 900, 100), said(1, 1_100, 1)];
        let expected = [("statement", 0), ("statement", 900), ("statement", 1_100), ("unit", 3)];
        assert_eq!(spans(&run(CHOICE, &at).0), expected);
    }

    #[test]
    fn a_trace_decides_for_its_unit_and_has_no_span_around_it() {
        for (sampled, expected) in [(true, vec![("statement", 5)]), (false, vec![])] {
            let context = Some(TraceContext { trace_id: 7, span_id: 8, sampled });
            let all = [Said { context, ..said(1, 5, 10) }];
            let everything = Choice { sample_millionths: 1_000_000, ..CHOICE };
            assert_eq!(spans(&run(everything, &all).0), expected);
            let slow = [Said { context, ..said(1, 5, 1_000) }];
            assert_eq!(spans(&run(CHOICE, &slow).0), [("statement", 5)]);
        }
    }

    #[test]
    fn quiet_units_end_and_busy_ones_do_not() {
        let mut units = Units::new(Choice { sample_millionths: 1_000_000, ..CHOICE });
        units.take(&statement(&said(1, 0, 10)));
        assert_eq!(spans(&units.ready(10 + QUIET_US + 99).0), [("statement", 0)]);
        assert_eq!(spans(&units.ready(10 + QUIET_US + 100).0), [("unit", 1)]);
    }

    #[test]
    fn limits_hold_and_what_they_cost_is_counted() {
        let mut units = Units::new(CHOICE);
        for unit in 0..UNITS_MAX as u64 + 1 {
            units.take(&statement(&said(unit, unit, 1)));
        }
        assert!(units.open.len() <= UNITS_MAX / 2 + 1);
        let (chosen, let_go) = units.ready(0);
        assert_eq!((chosen.len(), let_go), (0, UNITS_MAX as u64 / 2 + 1));

        let many: Vec<Said> = (0..SPANS_PER_UNIT_MAX + 50).map(|at| said(1, at * 10, 5)).collect();
        let (chosen, _) = run(CHOICE, &many);
        assert_eq!(chosen.len() as u64, SPANS_PER_UNIT_MAX + 1);
        let slow = [many, vec![said(1, 9_000, 1_000)]].concat();
        assert_eq!(run(CHOICE, &slow).0.len() as u64, SPANS_PER_UNIT_MAX + 2);
    }

    #[test]
    fn statements_outside_of_units_leave_when_they_are_slow() {
        for (us, expected) in [(999, 0), (1_000, 1)] {
            let all = [Said { unit: None, us, ..Said::default() }];
            assert_eq!(run(CHOICE, &all).0.len(), expected, "{us}");
        }
    }
}

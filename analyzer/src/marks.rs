//! Marks: what an application calls what it does right now (a test's name), and what ran under each.
//!
//! The nearest one counts: of the statement's comment, of its session (`SET pgsonde.mark`, start-up option), of the
//! whole process. Without marks nothing here costs anything.

use crate::Map;
use crate::count::Counted;
use crate::labels::OTHER;
use crate::latency::{Quantiles, Sketch};
use crate::record::{Micros, Outcome, SessionId, TransactionOutcome};
use crate::snapshot::{MarkRow, Snapshot};
use crate::text::MarkChange;
use std::collections::VecDeque;
use std::sync::Arc;

/// Changes of the process's mark that are remembered: records arrive up to a batch's age late.
const PROCESS_CHANGES_MAX: usize = 64;
/// Changes remembered per session: findings are stated some statements after they happened.
const SESSION_CHANGES_MAX: usize = 32;
/// Ended sessions whose changes are remembered: their findings may still be in the making.
const ENDED_SESSIONS_MAX: usize = 1_024;

/// Number of a mark; 0 is `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MarkId(u32);

impl MarkId {
    /// Its place in the table of marks.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The mark of one session, as the server keeps its setting.
#[derive(Clone, Debug, Default)]
pub(crate) struct SessionMark {
    start: Option<MarkId>,
    now: Option<MarkId>,
    /// In a transaction that changed it: what a rollback brings back, and what a commit leaves.
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    before: Option<MarkId>,
    committed: Option<MarkId>,
}

impl SessionMark {
    fn set(&mut self, mark: Option<MarkId>, local: bool, in_transaction: bool) {
        if in_transaction {
            let open = self.open.get_or_insert(Open { before: self.now, committed: self.now });
            if !local {
                open.committed = mark;
            }
        } else if local {
            // Outside of a transaction the server warns and changes nothing.
            return;
        }
        self.now = mark;
    }

    /// The transaction is over.
    pub(crate) fn end(&mut self, outcome: TransactionOutcome) {
        if let Some(open) = self.open.take() {
            let kept = outcome == TransactionOutcome::Commit;
            self.now = if kept { open.committed } else { open.before };
        }
    }
}

/// What one mark came to.
#[derive(Debug)]
struct Sums {
    row: MarkRow,
    durations: Quantiles,
}

/// All marks.
#[derive(Debug)]
pub(crate) struct Marks {
    rows: Vec<Sums>,
    index: Map<Arc<str>, MarkId>,
    marks_max: usize,
    overflowed: u64,
    process: VecDeque<(Micros, Option<MarkId>)>,
    sessions: Map<SessionId, VecDeque<(Micros, Option<MarkId>)>>,
    ended: VecDeque<SessionId>,
}

impl Marks {
    pub(crate) fn new(marks_max: usize) -> Self {
        Self {
            rows: Vec::new(),
            index: Map::default(),
            marks_max,
            overflowed: 0,
            process: VecDeque::new(),
            sessions: Map::default(),
            ended: VecDeque::new(),
        }
    }

    /// The number of a mark, which is made known if there is room.
    pub(crate) fn id(&mut self, name: &Arc<str>) -> MarkId {
        if let Some(id) = self.index.get(name) {
            return *id;
        }
        if self.rows.is_empty() {
            self.rows.push(Sums::new(Arc::from(OTHER)));
        }
        if self.rows.len() > self.marks_max || &**name == OTHER {
            self.overflowed += u64::from(&**name != OTHER);
            return MarkId(0);
        }
        let id = MarkId(self.rows.len() as u32);
        self.rows.push(Sums::new(name.clone()));
        self.index.insert(name.clone(), id);
        id
    }

    /// The name behind a number.
    pub(crate) fn name(&self, id: MarkId) -> Option<&Arc<str>> {
        self.rows.get(id.index()).map(|sums| &sums.row.mark)
    }

    /// A session begins with this mark.
    pub(crate) fn start(&mut self, session: &mut SessionMark, name: Option<&Arc<str>>) {
        let mark = name.map(|name| self.id(name));
        *session = SessionMark { start: mark, now: mark, open: None };
    }

    /// From `at_us` on everything without a nearer mark has this one.
    pub(crate) fn set_process(&mut self, at_us: Micros, name: Option<&Arc<str>>) {
        let mark = name.map(|name| self.id(name));
        if self.process.len() >= PROCESS_CHANGES_MAX {
            self.process.pop_front();
        }
        self.process.push_back((at_us, mark));
    }

    /// A statement changed the mark of its session.
    pub(crate) fn change(
        &mut self,
        session: &mut SessionMark,
        change: &MarkChange,
        in_transaction: bool,
    ) {
        match change {
            MarkChange::Set(mark) | MarkChange::SetLocal(mark) => {
                let mark = mark.as_ref().map(|mark| self.id(mark));
                session.set(mark, matches!(change, MarkChange::SetLocal(_)), in_transaction);
            }
            MarkChange::Reset => session.set(session.start, false, in_transaction),
        }
    }

    /// The mark of a statement that began then.
    pub(crate) fn of(
        &mut self,
        tag: Option<&Arc<str>>,
        session: &SessionMark,
        begin_us: Micros,
    ) -> Option<MarkId> {
        match tag {
            Some(tag) => Some(self.id(tag)),
            None => session.now.or_else(|| at(&self.process, begin_us)),
        }
    }

    /// Counts a statement under its mark; remembers what the session's mark was then.
    pub(crate) fn add(&mut self, id: SessionId, mark: Option<MarkId>, counted: &Counted<'_>) {
        if self.rows.is_empty() {
            return;
        }
        let begin_us = counted.record.begin_us;
        let changes = self.sessions.entry(id).or_default();
        if changes.back().map_or(mark.is_some(), |(_, latest)| *latest != mark) {
            if changes.len() >= SESSION_CHANGES_MAX {
                changes.pop_front();
            }
            changes.push_back((begin_us, mark));
        }
        if let Some(sums) = mark.and_then(|mark| self.rows.get_mut(mark.index())) {
            sums.add(counted);
        }
    }

    /// An occurrence of a proved N+1 was seen under the mark.
    pub(crate) fn add_n_plus_one(&mut self, name: &Arc<str>, times: u64) {
        let id = self.id(name);
        if let Some(sums) = self.rows.get_mut(id.index()) {
            sums.row.n_plus_one += times;
        }
    }

    /// The mark of a session at a time.
    pub(crate) fn at(&self, session: u64, at_us: Micros) -> Option<Arc<str>> {
        let changes = self.sessions.get(&SessionId(session))?;
        at(changes, at_us).and_then(|id| self.name(id)).cloned()
    }

    /// A session ended.
    pub(crate) fn closed(&mut self, id: SessionId) {
        if !self.sessions.contains_key(&id) {
            return;
        }
        self.ended.push_back(id);
        while self.ended.len() > ENDED_SESSIONS_MAX {
            let gone = self.ended.pop_front();
            gone.map(|gone| self.sessions.remove(&gone));
        }
    }

    /// The distributions behind the marks, by name.
    pub(crate) fn sketches(&self) -> Map<Arc<str>, Sketch> {
        self.rows.iter().map(|sums| (sums.row.mark.clone(), sums.durations.sketch())).collect()
    }

    /// The rows, with the units that ended under each, by its number.
    pub(crate) fn fill(&self, units: &[MarkUnits], snapshot: &mut Snapshot) {
        let used = |row: &MarkRow| row.units + row.statements + row.n_plus_one > 0;
        let rows = self.rows.iter().enumerate().map(|(index, sums)| {
            let of = units.get(index).copied().unwrap_or_default();
            MarkRow {
                units: of.units,
                duplicates: of.duplicates,
                p95_us: sums.durations.at(0.95),
                ..sums.row.clone()
            }
        });
        snapshot.marks = rows.filter(used).collect();
        snapshot.marks.sort_by(|a, b| a.mark.cmp(&b.mark));
        snapshot.overflow.push(("marks", self.overflowed));
    }
}

/// Units that ended under a mark.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MarkUnits {
    pub(crate) units: u64,
    pub(crate) duplicates: u64,
}

impl Sums {
    fn new(mark: Arc<str>) -> Self {
        Self { row: MarkRow { mark, ..MarkRow::default() }, durations: Quantiles::coarse() }
    }

    fn add(&mut self, counted: &Counted<'_>) {
        let (row, record) = (&mut self.row, counted.record);
        row.statements += 1;
        row.errors += u64::from(record.outcome != Outcome::Ok);
        row.rows += record.rows;
        row.sent_bytes += record.sent_bytes;
        row.database_us += counted.phases.statement_us();
        if let Some(us) = counted.timed_us() {
            row.timed += 1;
            self.durations.record(us);
        }
    }
}

/// The latest change that is not after `at_us`.
fn at(changes: &VecDeque<(Micros, Option<MarkId>)>, at_us: Micros) -> Option<MarkId> {
    changes.iter().rev().find(|(since_us, _)| *since_us <= at_us).and_then(|(_, mark)| *mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Arc<str> {
        Arc::from(text)
    }

    #[test]
    fn the_nearest_mark_counts() {
        let mut marks = Marks::new(8);
        let mut session = SessionMark::default();
        assert_eq!(marks.of(None, &session, 10), None);
        marks.set_process(5, Some(&name("process")));
        marks.set_process(20, None);
        let process = marks.of(None, &session, 10);
        assert_eq!(process, Some(marks.id(&name("process"))));
        assert_eq!(marks.of(None, &session, 4), None, "before it was set");
        assert_eq!(marks.of(None, &session, 20), None, "after it was reset");
        marks.change(&mut session, &MarkChange::Set(Some(name("session"))), false);
        assert_eq!(marks.of(None, &session, 10), Some(marks.id(&name("session"))));
        assert_eq!(marks.of(Some(&name("tag")), &session, 10), Some(marks.id(&name("tag"))));
    }

    #[test]
    fn a_transaction_takes_a_mark_back_as_the_server_does() {
        use MarkChange::{Reset, Set, SetLocal};
        use TransactionOutcome::{Commit, Error, Rollback};
        let of = |text: &str| Some(name(text));
        let rows = [
            (Set(of("in")), Commit, "in"),
            (Set(of("in")), Rollback, "before"),
            (Set(of("in")), Error, "before"),
            (SetLocal(of("in")), Commit, "before"),
            (Reset, Commit, "start"),
            (Reset, Rollback, "before"),
        ];
        for (change, outcome, after) in rows {
            let mut marks = Marks::new(8);
            let mut session = SessionMark::default();
            marks.start(&mut session, Some(&name("start")));
            marks.change(&mut session, &Set(of("before")), false);
            marks.change(&mut session, &change, true);
            session.end(outcome);
            assert_eq!(session.now, Some(marks.id(&name(after))), "{change:?} {outcome:?}");
        }
        let (mut marks, mut session) = (Marks::new(8), SessionMark::default());
        marks.change(&mut session, &SetLocal(of("x")), false);
        assert_eq!(session.now, None, "outside of a transaction it does nothing");
    }

    #[test]
    fn beyond_the_limit_marks_are_summed_under_other() {
        let mut marks = Marks::new(2);
        let ids: Vec<usize> =
            ["a", "b", "c", "a", "d"].map(|text| marks.id(&name(text)).index()).to_vec();
        assert_eq!(ids, [1, 2, 0, 1, 0]);
        let mut snapshot = Snapshot::default();
        marks.add_n_plus_one(&name("c"), 2);
        marks.fill(&[], &mut snapshot);
        let rows: Vec<_> =
            snapshot.marks.iter().map(|row| (row.mark.to_string(), row.n_plus_one)).collect();
        assert_eq!(rows, [("other".to_owned(), 2)]);
        assert_eq!(snapshot.overflow, [("marks", 3)]);
    }
}

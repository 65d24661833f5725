//! `idle_in_transaction`: an open transaction whose client does something else. `long_transaction`: one that is open
//! for long.
//!
//! A client's think time is known when its next request comes; that of a client that never sends again is told by the
//! forwarding side, which knows that nothing is in flight. Both speak of the same occurrence, which is lengthened.

use super::super::cost::OccurrenceCost;
use super::super::register::{Claim, Sighting};
use super::open::{Holds, Open, child_of};
use super::{About, Context, Detector, Said, list, seconds};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Severity};
use crate::limits::SessionLimits;
use crate::record::{Micros, SessionId, Tag, TransactionOutcome, TransactionRecord};
use crate::seen::Seen;

/// An occurrence in progress is told anew when it has grown by this much, in microseconds.
const TELL_STEP_US: u64 = 1_000_000;

/// Follows the open transaction of every session.
#[derive(Debug)]
pub(super) struct Transactions {
    limits: SessionLimits,
    open: Map<SessionId, Open>,
}

impl Transactions {
    pub(super) fn new(limits: &SessionLimits) -> Self {
        Self { limits: limits.clone(), open: Map::default() }
    }
}

impl Detector for Transactions {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        let record = seen.record;
        let autocommit = record.transaction == 0 && record.tag != Tag::Begin;
        if seen.is_part() || (autocommit && self.open.is_empty()) {
            return;
        }
        if autocommit || self.open.get(&record.session).is_some_and(|open| !open.owns(seen)) {
            self.open.remove(&record.session);
        }
        let ends = matches!(record.tag, Tag::Commit | Tag::Rollback);
        if autocommit || (ends && !self.open.contains_key(&record.session)) {
            return;
        }
        let open = self.open.entry(record.session).or_insert_with(|| Open::new(seen));
        if record.in_transaction && record.think_us > 0 {
            self.limits.idle(open, record.session, [record.think_us, record.begin_us], context);
            open.idle_told = None;
        }
        open.add(seen);
        let length_us = open.last_end_us.saturating_sub(open.begin_us);
        self.limits.long(open, record.session, [length_us, open.last_end_us], false, context);
    }

    fn waiting(
        &mut self,
        session: SessionId,
        [since_us, at_us]: [Micros; 2],
        context: &mut Context<'_>,
    ) {
        if let Some(open) = self.open.get_mut(&session) {
            let idle_us = at_us.saturating_sub(since_us);
            self.limits.idle(open, session, [idle_us, at_us], context);
            let length_us = at_us.saturating_sub(open.begin_us);
            self.limits.long(open, session, [length_us, at_us], false, context);
        }
    }

    fn transaction(&mut self, record: &TransactionRecord, context: &mut Context<'_>) {
        let Some(mut open) = self.open.remove(&record.session) else { return };
        if open.transaction != record.transaction {
            return;
        }
        if record.outcome == TransactionOutcome::Abandoned {
            // What was in flight has a record of its own that ended with the session, too.
            let idle_us = record.end_us.saturating_sub(open.last_end_us);
            self.limits.idle(&mut open, record.session, [idle_us, record.end_us], context);
        }
        open.begin_us = record.begin_us;
        let length_us = record.end_us.saturating_sub(record.begin_us);
        self.limits.long(&mut open, record.session, [length_us, record.end_us], true, context);
    }

    fn closed(&mut self, session: SessionId, _at_us: Micros, _context: &mut Context<'_>) {
        self.open.remove(&session);
    }
}

impl SessionLimits {
    fn idle(
        &self,
        open: &mut Open,
        session: SessionId,
        [idle_us, at_us]: [u64; 2],
        context: &mut Context<'_>,
    ) {
        if idle_us < self.idle_warning_us {
            return;
        }
        let grave = idle_us >= self.idle_error_us && open.holds > Holds::Nothing;
        let said = Said {
            kind: Kind::IdleInTransaction,
            database: open.database,
            about: About::Statement(child_of(&open.last)),
            sender: &open.sender,
            severity_own: Some(if grave { Severity::Error } else { Severity::Warning }),
            sentence: idle_sentence(open, idle_us),
            evidence: idle_evidence(open, idle_us),
        };
        let claim = said.claim(context);
        let sighting = sighting(open, session, idle_us, at_us);
        tell(&mut open.idle_told, claim, sighting, context);
    }

    fn long(
        &self,
        open: &mut Open,
        session: SessionId,
        [length_us, at_us]: [u64; 2],
        over: bool,
        context: &mut Context<'_>,
    ) {
        let told_us = open.long_told.as_ref().map(|told| told.wall_us);
        let news = over || told_us.is_none_or(|told| length_us >= told + TELL_STEP_US);
        if length_us < self.long_warning_us || !news {
            return;
        }
        let severity = match (open.copies || open.statements <= 1, length_us) {
            (true, _) => Severity::Info,
            (false, length) if length >= self.long_error_us => Severity::Error,
            (false, _) => Severity::Warning,
        };
        let statement = open.first.as_ref().unwrap_or(&open.last);
        let said = Said {
            kind: Kind::LongTransaction,
            database: open.database,
            about: About::Statement(child_of(statement)),
            sender: &open.sender,
            severity_own: Some(severity),
            sentence: long_sentence(open, length_us),
            evidence: long_evidence(open, length_us),
        };
        let claim = said.claim(context);
        let sighting = sighting(open, session, length_us, at_us);
        tell(&mut open.long_told, claim, sighting, context);
    }
}

/// One more occurrence, or the same one grown.
fn tell(told: &mut Option<Sighting>, claim: Claim, now: Sighting, context: &mut Context<'_>) {
    match told.take() {
        Some(was) => context.register.lengthen(claim, &was, now.clone()),
        None => context.register.sighting(claim, now.clone()),
    }
    *told = Some(now);
}

/// At least nothing is saved (nobody may have waited for it), at most all of the time.
fn sighting(open: &Open, session: SessionId, us: u64, at_us: Micros) -> Sighting {
    Sighting {
        at_us,
        session: session.0,
        times: 1,
        cost: OccurrenceCost { saved_high_us: us, busy_us: us, ..OccurrenceCost::default() },
        route: open.sender.route.clone(),
        wall_us: us,
        ..Sighting::default()
    }
}

fn idle_sentence(open: &Open, idle_us: u64) -> String {
    let tables = list(&open.tables);
    let what = match (open.holds, tables.is_empty()) {
        (Holds::Nothing, _) => {
            "it had changed nothing, but its connection was of no use".to_owned()
        }
        (Holds::Locks, true) => "it had locked rows, which stayed locked all that time".to_owned(),
        (Holds::Locks, false) => {
            format!("it had locked {tables}, and kept the locks all that time")
        }
        (Holds::Writes, true) => "it had written, and kept its locks all that time".to_owned(),
        (Holds::Writes, false) => {
            format!("it had written to {tables}, and kept its locks all that time")
        }
    };
    format!(
        "A transaction stood open and idle for {:.1} s after `{}`: {what}.",
        seconds(idle_us),
        open.last.summary,
    )
}

fn idle_evidence(open: &Open, idle_us: u64) -> Vec<(&'static str, EvidenceValue)> {
    vec![
        ("idle_s", EvidenceValue::Number(seconds(idle_us))),
        ("statements_before", EvidenceValue::Count(open.statements)),
        ("holds", EvidenceValue::Text(held(open.holds).into())),
        ("tables_held", EvidenceValue::List(open.tables.clone())),
    ]
}

fn held(holds: Holds) -> &'static str {
    match holds {
        Holds::Nothing => "nothing",
        Holds::Locks => "locks",
        Holds::Writes => "writes",
    }
}

fn long_sentence(open: &Open, length_us: u64) -> String {
    let busy = seconds(open.busy_us.min(length_us));
    let length = seconds(length_us);
    match open.statements {
        0 | 1 => format!(
            "A transaction around a single statement, `{}`, was open for {length:.1} s.",
            open.first.as_ref().unwrap_or(&open.last).summary,
        ),
        statements => format!(
            "A transaction was open for {length:.1} s: its {statements} statements took {busy:.1} s of that, \
             the client's own work the rest.",
        ),
    }
}

fn long_evidence(open: &Open, length_us: u64) -> Vec<(&'static str, EvidenceValue)> {
    let busy = (open.busy_us as f64 / length_us.max(1) as f64).min(1.0);
    vec![
        ("duration_s", EvidenceValue::Number(seconds(length_us))),
        ("statements", EvidenceValue::Count(open.statements)),
        ("busy_share", EvidenceValue::Number(busy)),
        ("idle_share", EvidenceValue::Number(1.0 - busy)),
        ("holds", EvidenceValue::Text(held(open.holds).into())),
    ]
}

//! `lock_hazard`: changes of tables that lock out others (findings, section 4.3).
//!
//! A lock is held from the statement that takes it to the end of its transaction. A claim waits until that is
//! over and the statements that waited for it have been reported.

use super::lock_timeout::LockTimeouts;
use super::table_use::{Table, Tables};
use crate::facts::{Hazard, LockMode, TableChange};
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::subject::{Subject, Verdict, exactly, ms};
use crate::findings::{Context, Detector};
use crate::limits::{Limits, TextLimits};
use crate::record::{Micros, Outcome, SessionId, TransactionRecord};
use crate::seen::Seen;
use crate::text::Class;
use std::sync::Arc;

/// Locks followed at a time; of further ones nothing is said.
const HELD_MAX: usize = 64;
/// Other sessions counted per lock.
const SESSIONS_MAX: usize = 64;
/// Statements that waited for a lock are reported within this time after its end.
const GRACE_US: u64 = 1_000_000;
/// A table that another session used within this time is in use.
const IN_USE_US: u64 = 3_600 * 1_000_000;

/// What is known of a table's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Size {
    Large,
    Small,
    Unknown,
}

/// A lock that was taken.
#[derive(Clone, Debug)]
struct Held {
    subject: Subject,
    table: Option<Table>,
    hazards: Vec<Hazard>,
    lock: LockMode,
    size: Size,
    rows_min: u64,
    begin_us: Micros,
    end_us: Option<Micros>,
    /// Other sessions that used the table meanwhile.
    sessions: Vec<SessionId>,
    in_use: bool,
}

/// The detector.
#[derive(Debug)]
pub(super) struct LockHazards {
    limits: TextLimits,
    timeouts: LockTimeouts,
    tables: Tables,
    held: Vec<Held>,
}

impl LockHazards {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.texts.clone(),
            timeouts: LockTimeouts::default(),
            tables: Tables::default(),
            held: Vec::new(),
        }
    }

    /// A statement of another session that used a locked table while it was locked, or waited for it.
    fn note_user(&mut self, seen: &Seen<'_>) {
        let record = seen.record;
        let (begin_us, end_us) = (record.begin_us, record.end_us());
        for held in &mut self.held {
            let Some((database, table)) = &held.table else { continue };
            let same = *database == seen.database && seen.statement.tables.contains(table);
            let meanwhile =
                end_us > held.begin_us && held.end_us.is_none_or(|locked| begin_us < locked);
            let other = held.subject.session != record.session.0;
            let room = held.sessions.len() < SESSIONS_MAX;
            if same && meanwhile && other && room && !held.sessions.contains(&record.session) {
                held.sessions.push(record.session);
            }
        }
    }

    fn change(&mut self, seen: &Seen<'_>, change: &TableChange) {
        let table = change.table.as_ref().map(|relation| {
            let name = match &relation.schema {
                Some(schema) => Arc::from(format!("{schema}.{}", relation.name)),
                None => Arc::from(relation.name.as_str()),
            };
            (seen.database, name)
        });
        let hazards = self.hazards(seen, change, table.as_ref());
        if let Some(table) = table.clone() {
            if change.creates || change.temporary {
                self.tables.made(seen, table, change.temporary);
            } else if change.validates {
                self.tables.validated(table);
            }
        }
        if hazards.is_empty() || self.held.len() >= HELD_MAX {
            return;
        }
        let known = table.as_ref().and_then(|table| self.tables.find(table));
        let rows_min = known.map_or(0, |of| of.rows_min);
        let since_us = seen.record.begin_us.saturating_sub(IN_USE_US);
        self.held.push(Held {
            subject: Subject::of(seen),
            hazards,
            lock: change.lock,
            size: match known {
                Some(of) if of.is_large(self.limits.lock_rows_min) => Size::Large,
                Some(of) if of.is_smaller(self.limits.lock_rows_min) => Size::Small,
                _ => Size::Unknown,
            },
            rows_min,
            begin_us: seen.record.begin_us,
            end_us: (seen.record.transaction == 0).then(|| seen.record.end_us()),
            sessions: Vec::new(),
            in_use: known.is_some_and(|of| of.other_user(seen.record.session, since_us)),
            table,
        });
    }

    /// The hazards of a change, as far as what is known of its table doesn't take them away.
    fn hazards(&self, seen: &Seen<'_>, change: &TableChange, table: Option<&Table>) -> Vec<Hazard> {
        let known = table.and_then(|table| self.tables.find(table));
        if known.is_some_and(|of| of.is_own(seen) || of.is_empty() || of.temporary) {
            return Vec::new();
        }
        let checked = known.is_some_and(|of| of.validated);
        let mut hazards: Vec<Hazard> = change
            .hazards
            .iter()
            .map(|hazard| Hazard {
                sure: hazard.sure && !(hazard.rule == "set_not_null" && checked),
                ..*hazard
            })
            .collect();
        if change.lock == LockMode::AccessExclusive && !self.timeouts.holds(seen) {
            hazards.push(Hazard { rule: "no_lock_timeout", sure: true });
        }
        hazards
    }

    fn end(&mut self, session: SessionId, at_us: Micros) {
        let own = |held: &&mut Held| held.subject.session == session.0 && held.end_us.is_none();
        for held in self.held.iter_mut().filter(own) {
            held.end_us = Some(at_us);
        }
    }

    fn claim(&self, held: &Held, end_us: Micros, context: &mut Context<'_>) {
        let held_us = end_us.saturating_sub(held.begin_us);
        for hazard in &held.hazards {
            let in_use = held.in_use || !held.sessions.is_empty();
            let of_use = matches!(hazard.rule, "rename" | "drop");
            let quick = held_us < self.limits.lock_warning_us;
            if (of_use && !in_use) || (!hazard.sure && quick) {
                continue;
            }
            let verdict = self.verdict(held, *hazard, held_us);
            let claim = held.subject.claim_about(
                verdict,
                held.table.as_ref().map(|(_, table)| table),
                context,
            );
            let waited_us = held_us * held.sessions.len() as u64;
            let mut sighting = held.subject.sighting(1, exactly(waited_us, held_us));
            sighting.wall_us = held_us;
            context.register.sighting(claim, sighting);
        }
    }

    fn severity(&self, held: &Held, held_us: u64) -> Severity {
        match held.size {
            Size::Small => Severity::Info,
            _ if held_us >= self.limits.lock_error_us => Severity::Error,
            _ if held_us >= self.limits.lock_warning_us => Severity::Warning,
            Size::Large => Severity::Warning,
            Size::Unknown => Severity::Info,
        }
    }

    fn verdict(&self, held: &Held, hazard: Hazard, held_us: u64) -> Verdict {
        let observed = held_us >= self.limits.lock_warning_us;
        let proof = if observed { Proof::Observed } else { Proof::Text };
        let table = held.table.as_ref().map_or("its table", |(_, table)| table);
        let first = if observed { "" } else { "Candidate: " };
        let users = match held.sessions.len() {
            0 => String::new(),
            1 => ", and 1 other session used the table meanwhile".to_owned(),
            n => format!(", and {n} other sessions used the table meanwhile"),
        };
        let sentence = format!(
            "{first}`{}` {}; it held {} on `{table}` for {:.0} ms{users}.",
            held.subject.name(),
            danger(hazard.rule),
            held.lock.name(),
            held_us as f64 / 1_000.0,
        );
        let mut evidence = vec![
            ("lock_mode", EvidenceValue::Text(Arc::from(held.lock.name()))),
            ("held_ms", ms(held_us)),
            ("other_sessions", EvidenceValue::Count(held.sessions.len() as u64)),
        ];
        if held.rows_min > 0 {
            evidence.push(("table_rows_at_least", EvidenceValue::Count(held.rows_min)));
        }
        Verdict {
            rule: Some(hazard.rule),
            evidence,
            severity_own: Some(self.severity(held, held_us)),
            ..Verdict::new(Kind::LockHazard, proof, sentence)
        }
    }
}

/// What a rule is about.
fn danger(rule: &str) -> &'static str {
    match rule {
        "index_not_concurrent" => "works on an index without CONCURRENTLY, so writes wait for it",
        "constraint_validates" => "checks every row while writes wait",
        "unique_builds_index" => "builds an index while everything waits",
        "set_not_null" => "reads the whole table while everything waits",
        "volatile_default" => "writes the whole table anew while everything waits",
        "type_change" => "may write the whole table anew while everything waits",
        "rename" => "renames what other sessions use",
        "drop" => "drops from a table that other sessions use",
        _ => "waits for its lock without a lock_timeout, and everything behind it waits too",
    }
}

impl Detector for LockHazards {
    fn statement(&mut self, seen: &Seen<'_>, _context: &mut Context<'_>) {
        if seen.is_part() {
            return;
        }
        if !self.held.is_empty() {
            self.note_user(seen);
        }
        if seen.record.outcome != Outcome::Ok {
            return;
        }
        let change = seen.statement.facts.as_ref().and_then(|facts| facts.change.as_deref());
        match (change, seen.statement.class) {
            (Some(change), _) => self.change(seen, change),
            (None, Class::Control) => self.timeouts.statement(seen),
            (None, Class::Catalogue) => {}
            (None, _) => self.tables.statement(seen),
        }
    }

    fn transaction(&mut self, record: &TransactionRecord, _context: &mut Context<'_>) {
        self.end(record.session, record.end_us);
    }

    fn closed(&mut self, session: SessionId, at_us: Micros, _context: &mut Context<'_>) {
        self.end(session, at_us);
        self.timeouts.closed(session);
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let over = |held: &Held| held.end_us.is_some_and(|end| end + GRACE_US <= now);
        let (done, open): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(over);
        self.held = open;
        for held in &done {
            if let Some(end_us) = held.end_us {
                self.claim(held, end_us, context);
            }
        }
    }
}

//! `tiny_fetch`: a cursor or portal read in very small parts.

use super::report::{Report, subject};
use super::run::Body;
use super::step::{Scene, Step};
use super::traits::Role;
use crate::digest::Statement;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::cost::OccurrenceCost;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId, TextKey};
use std::sync::Arc;

/// Cursors followed per session.
const CURSORS_MAX: usize = 4;
/// Rows that a part should have.
const PART_ROWS: u64 = 500;

/// One cursor or portal in progress.
#[derive(Clone, Debug)]
struct Cursor {
    text: TextKey,
    portal: bool,
    database: DatabaseId,
    session: SessionId,
    transaction: u32,
    round_trip: u32,
    fetches: u64,
    rows: u64,
    /// A part was larger than a tiny one.
    large: bool,
    first_us: Micros,
    last_us: Micros,
    busy_us: u64,
    /// The query, if it is known.
    query: Option<Arc<Statement>>,
    body: Box<Body>,
}

/// Cursors of one session.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursors {
    cursors: Vec<Cursor>,
    /// Queries declared and not read from yet: the latest, how many.
    declared: Option<(Arc<Statement>, u32)>,
}

impl Cursors {
    /// Takes in one execution or a part of one.
    pub(super) fn step(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        match step.traits.role {
            Role::Declare => {
                let earlier = self.declared.take().map_or(0, |(_, count)| count);
                self.declared = Some((step.seen.statement.clone(), earlier + 1));
            }
            Role::Fetch => self.part(step, false, scene),
            _ if step.seen.is_part() => self.part(step, true, scene),
            Role::CloseCursor if !self.cursors.is_empty() => self.close_fetched(scene),
            _ if !self.cursors.is_empty() => self.end_portal(step, scene),
            _ => {}
        }
    }

    fn part(&mut self, step: &Step<'_>, portal: bool, scene: &mut Scene<'_>) {
        let (text, transaction) = (step.seen.record.text, step.transaction());
        let same = |known: &Cursor| known.text == text && known.transaction == transaction;
        let at = match self.cursors.iter().position(same) {
            Some(at) => at,
            None => {
                self.open(step, portal, scene);
                self.cursors.len() - 1
            }
        };
        self.cursors[at].add(step, step.rows(), scene);
    }

    fn open(&mut self, step: &Step<'_>, portal: bool, scene: &mut Scene<'_>) {
        if self.cursors.len() >= CURSORS_MAX {
            finish(&self.cursors.remove(0), scene);
        }
        // With several declared at once it can't be told which one this is.
        let declared = if portal { None } else { self.declared.take() };
        let query = declared.filter(|(_, count)| *count == 1).map(|(query, _)| query);
        self.cursors.push(Cursor {
            text: step.seen.record.text,
            portal,
            database: step.seen.database,
            session: step.session(),
            transaction: step.transaction(),
            round_trip: u32::MAX,
            fetches: 0,
            rows: 0,
            large: false,
            first_us: step.begin_us(),
            last_us: 0,
            busy_us: 0,
            query,
            body: Box::new(Body::new(step)),
        });
    }

    /// The last part of a portal is the record that counts the whole execution.
    fn end_portal(&mut self, step: &Step<'_>, scene: &mut Scene<'_>) {
        let text = step.seen.record.text;
        let Some(at) = self.cursors.iter().position(|known| known.portal && known.text == text)
        else {
            return;
        };
        let mut over = self.cursors.swap_remove(at);
        let rest = step.rows().saturating_sub(over.rows);
        over.add(step, rest, scene);
        finish(&over, scene);
    }

    /// CLOSE: with several cursors in hand all of them are judged, for its name is not kept.
    fn close_fetched(&mut self, scene: &mut Scene<'_>) {
        self.cursors.retain(|cursor| {
            if !cursor.portal {
                finish(cursor, scene);
            }
            cursor.portal
        });
    }

    /// The transaction block, or the session, ended.
    pub(super) fn close(&mut self, scene: &mut Scene<'_>) {
        self.declared = None;
        self.cursors.drain(..).for_each(|cursor| finish(&cursor, scene));
    }
}

impl Cursor {
    fn add(&mut self, step: &Step<'_>, rows: u64, scene: &Scene<'_>) {
        self.large |= rows > scene.limits.loops.tiny_fetch_rows_max;
        self.rows += rows;
        // Who flushes instead of syncing stays in one series, but asks for a part only after the one before.
        let waited = self.fetches > 0 && step.begin_us() > self.last_us;
        self.last_us = step.end_us();
        if waited || self.round_trip != step.round_trip() {
            self.round_trip = step.round_trip();
            self.fetches += 1;
            self.busy_us += step.service_us();
            self.body.add(step);
        }
    }
}

fn finish(cursor: &Cursor, scene: &mut Scene<'_>) {
    if !cursor.large && cursor.fetches >= scene.limits.loops.tiny_fetch_fetches_min {
        scene.out.push(report(cursor));
    }
}

fn report(cursor: &Cursor) -> Report {
    let statement = cursor.query.as_ref().unwrap_or(&cursor.body.statement);
    let mut report = Report::new(Kind::TinyFetch, Proof::Observed, cursor.database, statement);
    let spared = cursor.fetches.saturating_sub(cursor.rows.div_ceil(PART_ROWS));
    let rtt_us = cursor.body.rtt_us;
    let saved_us = spared * rtt_us.unwrap_or(0);
    report.cost = OccurrenceCost {
        saved_low_us: saved_us,
        saved_high_us: saved_us,
        rtt_us,
        service_p50_us: cursor.body.service_p50_us(),
        busy_us: cursor.busy_us,
        round_trips: spared,
        bytes: None,
    };
    report.sentence = format!(
        "{} rows of `{}` were fetched in {} parts of at most a few rows, each in its own round trip.",
        cursor.rows,
        subject(statement),
        cursor.fetches
    );
    report.evidence = vec![
        ("n", EvidenceValue::Count(cursor.fetches)),
        ("fetches", EvidenceValue::Count(cursor.fetches)),
        ("rows", EvidenceValue::Count(cursor.rows)),
        ("protocol", EvidenceValue::Text(if cursor.portal { "portal" } else { "cursor" }.into())),
    ];
    (report.sender, report.session) = (cursor.body.sender.clone(), cursor.session);
    (report.n, report.first_us, report.last_us) =
        (Some(cursor.fetches), cursor.first_us, cursor.last_us);
    report
}

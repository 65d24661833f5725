//! `missing_index`, tier 1: what the wire alone can suspect (index advisor, section 4).
//!
//! Server time is the time to the first row less the session's baseline. A suspect is never more than a
//! candidate: only the planner knows, so the next step is to let it be asked.

mod locks;
mod rules;
mod target;
mod window;

use super::cost::OccurrenceCost;
use super::hour::Hour;
use super::identity::Identity;
use super::register::{Claim, Sighting};
use super::{Context, Detector};
use crate::Map;
use crate::digest::Row;
use crate::facts::PredicateClass;
use crate::finding::{Child, EvidenceValue, Fix, Kind, Proof, Severity};
use crate::labels::DatabaseId;
use crate::limits::{Limits, MissingIndexLimits};
use crate::record::{Micros, Outcome, SessionId, Timing, TransactionRecord};
use crate::seen::Seen;
use crate::snapshot::Operation;
use crate::text::Class;
use locks::Locks;
use rules::{Support, Surroundings};
use std::sync::Arc;
use target::Target;
use window::{Figures, Sample, Window};

/// A digest without executions for this long loses its window when room is needed.
const IDLE_BEFORE_EVICTION_US: u64 = 3_600 * 1_000_000;
/// Look-ups that a digest must have run before it may show that the server can be fast.
const SIBLING_CALLS_MIN: u64 = 5;

/// The detector.
#[derive(Debug)]
pub(crate) struct MissingIndex {
    limits: MissingIndexLimits,
    windows_max: usize,
    windows: Map<(DatabaseId, u64), Option<Box<Window>>>,
    locks: Locks,
    server: Hour<1>,
}

impl MissingIndex {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.missing_index.clone(),
            windows_max: limits.digests_max,
            windows: Map::default(),
            locks: Locks::default(),
            server: Hour::default(),
        }
    }

    /// What the statement took at the server, as far as the wire tells.
    fn server_us(seen: &Seen<'_>, context: &Context<'_>) -> (u64, u64) {
        let floor = || context.costs.first_row_floor_us(seen.database, seen.record.end_us());
        let baseline = seen.baseline_us.or_else(floor).unwrap_or(0);
        (seen.record.first_row_us.saturating_sub(baseline), baseline)
    }

    fn record(&mut self, seen: &Seen<'_>, server_us: u64, baseline_us: u64) {
        let key = (seen.database, seen.statement.digest);
        let full = self.windows.len() >= self.windows_max;
        if full && !self.windows.contains_key(&key) {
            return;
        }
        // Digests that no index could serve keep an empty place, so that they are told at a glance.
        let place = self.windows.entry(key).or_insert_with(|| {
            let target = Target::of(seen.statement);
            target.map(|target| Box::new(Window::new(seen.statement.clone(), target)))
        });
        let Some(window) = place else { return };
        let contended = self.locks.contended(seen, &window.target.table);
        let sample =
            Sample { server_us, rows: seen.record.rows, bytes: seen.record.sent_bytes, contended };
        window.record(seen, sample, baseline_us);
    }

    fn suspects(&mut self, now: Micros, context: &Context<'_>) -> Vec<Suspect> {
        let total_us = self.server.sums(now)[0];
        let mut suspects = Vec::new();
        let windows = self.windows.iter_mut();
        for ((database, _), window) in
            windows.filter_map(|(key, place)| Some((key, place.as_mut()?)))
        {
            if !std::mem::take(&mut window.changed) {
                continue;
            }
            let figures = window.figures(now);
            if !rules::worth_it(&figures, total_us, &self.limits)
                || !rules::little_comes_out(&figures, window.statement.facts.as_ref(), &self.limits)
            {
                continue;
            }
            let surroundings = Surroundings {
                sibling_p50_us: sibling_p50_us(*database, window, context),
                ddl_in_window: self.locks.ddl_since(
                    *database,
                    &window.target.table,
                    now.saturating_sub(self.limits.window_us),
                ),
                temporary: self.locks.is_temporary(*database, &window.target.table),
            };
            let support = rules::support(window, &figures, &surroundings, now);
            let suppressed = rules::suppressed(window, &figures, &surroundings, &self.limits);
            if let Some(support) = support.filter(|_| !suppressed) {
                let fresh = window.take_fresh();
                suspects.push(Suspect::new(*database, window, figures, support, total_us, fresh));
            }
        }
        suspects.sort_by_key(|s| {
            (s.database, s.target.clone(), std::cmp::Reverse(s.figures.server_us), s.digest)
        });
        suspects
    }
}

/// Median of the fastest other look-up of one row on the same table, if one was seen.
fn sibling_p50_us(database: DatabaseId, window: &Window, context: &Context<'_>) -> Option<u64> {
    let equality = |facts: &crate::facts::StatementFacts| {
        facts.predicates.iter().any(|predicate| predicate.class == PredicateClass::Eq)
    };
    context
        .digests
        .iter()
        .filter(|row| row.database == database && row.statement.digest != window.statement.digest)
        .filter(|row| row.totals.calls >= SIBLING_CALLS_MIN && row.totals.rows <= row.totals.calls)
        .filter(|row| row.statement.class == Class::Read)
        .filter(|row| row.statement.tables.contains(&window.target.table))
        .filter(|row| row.statement.facts.as_ref().is_some_and(equality))
        .map(Row::p50_us)
        .min()
}

impl Detector for MissingIndex {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if seen.is_part() || seen.record.outcome != Outcome::Ok {
            return;
        }
        self.locks.statement(seen);
        if !matches!(seen.record.timing, Timing::Exact | Timing::Bound) || !seen.takes_part() {
            return;
        }
        let (server_us, baseline_us) = Self::server_us(seen, context);
        self.server.add(seen.record.end_us(), [server_us]);
        if seen.statement.operation != Operation::Copy {
            self.record(seen, server_us, baseline_us);
        }
    }

    fn transaction(&mut self, record: &TransactionRecord, _context: &mut Context<'_>) {
        self.locks.release(record.session);
    }

    fn closed(&mut self, session: SessionId, _at_us: Micros, _context: &mut Context<'_>) {
        self.locks.release(session);
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let suspects = self.suspects(now, context);
        let mut earlier: Option<(DatabaseId, Target)> = None;
        for suspect in suspects {
            // One finding per table and column set: the costliest digest speaks for it.
            let key = (suspect.database, suspect.target.clone());
            if earlier.as_ref() != Some(&key) {
                suspect.claim_into(context);
            }
            earlier = Some(key);
        }
        if self.windows.len() >= self.windows_max {
            let idle =
                |window: &Window| now.saturating_sub(window.last_us) >= IDLE_BEFORE_EVICTION_US;
            self.windows.retain(|_, place| place.as_ref().is_some_and(|window| !idle(window)));
        }
    }
}

/// A digest that met the rules.
#[derive(Debug)]
struct Suspect {
    database: DatabaseId,
    digest: u64,
    target: Target,
    figures: Figures,
    support: Support,
    share: f64,
    baseline_us: u64,
    fresh: (u64, u64),
    last_us: Micros,
    session: u64,
    service: crate::labels::ServiceId,
    route: Option<Arc<str>>,
    text: Arc<str>,
}

impl Suspect {
    fn new(
        database: DatabaseId,
        window: &Window,
        figures: Figures,
        support: Support,
        total_us: u64,
        fresh: (u64, u64),
    ) -> Self {
        Self {
            database,
            digest: window.statement.digest,
            target: window.target.clone(),
            share: figures.server_us as f64 / total_us.max(1) as f64,
            figures,
            support,
            baseline_us: window.baseline_us,
            fresh,
            last_us: window.last_us,
            session: window.session,
            service: window.service,
            route: window.route.clone(),
            text: window.statement.text.clone(),
        }
    }

    fn claim_into(self, context: &mut Context<'_>) {
        let (calls, server_us) = self.fresh;
        let sighting = Sighting {
            at_us: self.last_us,
            session: self.session,
            times: calls,
            cost: OccurrenceCost {
                bytes: None,
                saved_low_us: 0,
                saved_high_us: self.figures.p50_us,
                round_trips: 0,
                rtt_us: Some(self.baseline_us),
                service_p50_us: self.figures.p50_us,
                busy_us: server_us,
            },
            route: self.route.clone(),
            ..Sighting::default()
        };
        let claim = self.claim(context);
        context.register.sighting(claim, sighting);
    }

    fn claim(&self, context: &Context<'_>) -> Claim {
        let database = context.labels.database_name(self.database);
        let table = &self.target.table;
        let columns = self.target.columns.join(", ");
        let qualified: Vec<String> =
            self.target.columns.iter().map(|column| format!("{table}.{column}")).collect();
        Claim {
            id: self.identity(&database),
            kind: Kind::MissingIndex,
            variant: None,
            proof: Proof::Text,
            gate: None,
            parent: None,
            child: Some(Child {
                table: Some(table.clone()),
                column: self.target.columns.first().map(|column| Arc::from(column.as_str())),
                digest: self.digest,
                query_text: self.text.clone(),
                slot: 0,
            }),
            service: context.labels.service_name(self.service),
            column: Some(Arc::from(qualified.join(", "))),
            sentence: format!(
                "Candidate: `{table}` may lack an index on ({columns}): {} executions took {:.1} ms of \
                 server time each (median) to return {} row{}.",
                self.figures.calls,
                self.figures.p50_us as f64 / 1_000.0,
                self.figures.rows_p50,
                if self.figures.rows_p50 == 1 { "" } else { "s" },
            ),
            fix: Fix {
                orm: None,
                text: format!(
                    "Ask the planner: run EXPLAIN (ANALYZE, BUFFERS) on the statement with real values, as \
                     a read-only role. If it scans most of `{table}` to find these rows, an index on \
                     ({columns}) is likely to help."
                ),
                sql: None,
            },
            evidence: self.evidence(),
            rule: None,
            severity_max: Severity::Warning,
            severity_own: None,
            parent_key: None,
            database,
        }
    }

    fn identity(&self, database: &str) -> u64 {
        let mut hash = Identity::new();
        hash.text(Kind::MissingIndex.name());
        hash.text(database);
        hash.text(&self.target.table);
        for column in &self.target.columns {
            hash.text(column);
        }
        hash.finish()
    }

    fn evidence(&self) -> Vec<(&'static str, EvidenceValue)> {
        let ms = |us: u64| EvidenceValue::Number(us as f64 / 1_000.0);
        vec![
            ("calls", EvidenceValue::Count(self.figures.calls)),
            ("server_p50_ms", ms(self.figures.p50_us)),
            ("server_total_ms", ms(self.figures.server_us)),
            ("server_share", EvidenceValue::Number(self.share)),
            ("baseline_ms", ms(self.baseline_us)),
            ("rows_p50", EvidenceValue::Count(self.figures.rows_p50)),
            ("rows_p95", EvidenceValue::Count(self.figures.rows_p95)),
            ("bytes_p50", EvidenceValue::Count(self.figures.bytes_p50)),
            ("support", EvidenceValue::Text(Arc::from(self.support.name()))),
        ]
    }
}

#[cfg(test)]
mod tests;

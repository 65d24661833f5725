//! `sql_smell`: patterns that a server can't run fast (findings, section 4.4).
//!
//! Only the text speaks for them, so nothing is said of one that costs nothing.

use super::{Key, is_work, key};
use crate::Map;
use crate::digest::Statement;
use crate::facts::{PredicateClass, Smell, StatementFacts};
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::cost::OccurrenceCost;
use crate::findings::hour::Hour;
use crate::findings::samples::Samples;
use crate::findings::subject::{Subject, Verdict, ms};
use crate::findings::{Context, Detector};
use crate::labels::DatabaseId;
use crate::limits::{Limits, TextLimits};
use crate::record::Micros;
use crate::seen::Seen;
use std::sync::Arc;

/// Share of all database wait from which it is a warning.
const WARNING_SHARE: f64 = 0.01;
/// ORDER BY random() over fewer rows than these does no harm.
const RANDOM_ROWS_MIN: u64 = 1_000;
/// Column types remembered.
const COLUMNS_MAX: usize = 4_096;
const HOUR_US: f64 = 3_600.0 * 1_000_000.0;
/// OIDs of int8, int2 and int4.
const INTEGERS: [u32; 3] = [20, 21, 23];

/// One smell of one digest.
#[derive(Debug)]
struct Entry {
    subject: Subject,
    offset: Option<usize>,
    column: Option<Arc<str>>,
    hour: Hour<2>,
    times: Samples,
    /// Executions and their time since the last claim.
    fresh: (u64, u64),
}

/// The detector.
#[derive(Debug)]
pub(super) struct Smells {
    limits: TextLimits,
    rate_window_min_us: u64,
    max: usize,
    entries: Map<(Key, &'static str), Entry>,
    /// Columns whose type is an integer: (database, table, column).
    integers: Map<(DatabaseId, Arc<str>, Arc<str>), ()>,
}

impl Smells {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.texts.clone(),
            rate_window_min_us: limits.rate_window_min_us,
            max: limits.digests_max,
            entries: Map::default(),
            integers: Map::default(),
        }
    }

    /// Learns from a description which columns are integers.
    fn learn(&mut self, seen: &Seen<'_>, context: &Context<'_>) {
        let Some(described) = seen.described.filter(|_| seen.described_anew) else { return };
        let fields = described.fields.iter().zip(&described.types);
        for ((oid, attnum, _), _) in fields.filter(|(_, of)| INTEGERS.contains(of)) {
            let name = context.names.find(seen.database, *oid, *attnum);
            if let Some((table, column)) = name.filter(|_| self.integers.len() < COLUMNS_MAX) {
                self.integers.insert((seen.database, table.clone(), column.clone()), ());
            }
        }
    }

    fn note(
        &mut self,
        seen: &Seen<'_>,
        rule: &'static str,
        offset: Option<usize>,
        column: Option<Arc<str>>,
    ) {
        let key = (key(seen), rule);
        if self.entries.len() >= self.max && !self.entries.contains_key(&key) {
            return;
        }
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            subject: Subject::of(seen),
            offset,
            column,
            hour: Hour::default(),
            times: Samples::default(),
            fresh: (0, 0),
        });
        let us = seen.service_us.unwrap_or(0);
        entry.hour.add(seen.record.end_us(), [1, us]);
        entry.times.push(us as f64);
        entry.fresh = (entry.fresh.0 + 1, entry.fresh.1 + us);
        if entry.subject.at_us < seen.record.end_us() {
            entry.subject.at_us = seen.record.end_us();
            entry.subject.session = seen.record.session.0;
            entry.subject.duration_us = seen.record.duration_us();
        }
    }

    /// The column of an integer type that a parameter of a wider type is compared with.
    fn implicit_cast(&self, seen: &Seen<'_>, facts: &StatementFacts) -> Option<Arc<str>> {
        let wide =
            |slot: &u16| (1..=32).contains(slot) && seen.wide_parameters >> (slot - 1) & 1 == 1;
        facts.predicates.iter().find_map(|predicate| {
            let compared = matches!(
                predicate.class,
                PredicateClass::Eq | PredicateClass::In | PredicateClass::Range
            );
            let relation = facts.relations.get(predicate.relation)?;
            let table: Arc<str> = Arc::from(relation.name.as_str());
            let column: Arc<str> = Arc::from(predicate.column.as_str());
            let name: Arc<str> = Arc::from(format!("{table}.{column}"));
            let found = compared
                && predicate.slots.iter().any(wide)
                && self.integers.contains_key(&(seen.database, table, column));
            found.then_some(name)
        })
    }

    fn judge(
        &self,
        key: &(Key, &'static str),
        entry: &Entry,
        now: Micros,
        context: &mut Context<'_>,
    ) {
        let rule = key.1;
        if rule == "select_star_wide" && !wide_elsewhere(entry, context) {
            return;
        }
        let p50_us = entry.times.median_count().unwrap_or(0);
        let [calls, time_us] = entry.hour.sums(now);
        let window_us = context.costs.window_us(now);
        let long_enough = window_us >= self.rate_window_min_us;
        let per_hour = calls as f64 * HOUR_US / window_us.max(1) as f64;
        let often = long_enough && per_hour >= self.limits.smell_per_hour_min as f64;
        if p50_us < self.limits.smell_service_min_us && !often {
            return;
        }
        let wait_us = context.costs.wait_us(now);
        let share = time_us as f64 / wait_us.max(1) as f64;
        let mut evidence = vec![
            ("service_p50_ms", ms(p50_us)),
            ("executions", EvidenceValue::Count(calls)),
            ("share_of_wait", EvidenceValue::Number(share)),
        ];
        evidence.extend(entry.offset.map(|at| ("offset_bytes", EvidenceValue::Count(at as u64))));
        let heavy = long_enough && share >= WARNING_SHARE;
        let verdict = Verdict {
            rule: Some(rule),
            column: entry.column.clone(),
            evidence,
            severity_own: Some(if heavy { Severity::Warning } else { Severity::Info }),
            ..Verdict::new(Kind::SqlSmell, Proof::Text, sentence(rule, entry))
        };
        let claim = entry.subject.claim(verdict, context);
        let cost = OccurrenceCost {
            saved_high_us: p50_us,
            service_p50_us: p50_us,
            busy_us: entry.fresh.1,
            ..OccurrenceCost::default()
        };
        context.register.sighting(claim, entry.subject.sighting(entry.fresh.0, cost));
    }
}

fn sentence(rule: &str, entry: &Entry) -> String {
    let name = entry.subject.name();
    let column = entry.column.as_deref().map_or("a column".to_owned(), |of| format!("`{of}`"));
    match rule {
        "order_by_random" => {
            format!("Candidate: `{name}` sorts all rows that it finds by random() to return some.")
        }
        "leading_wildcard" => format!(
            "Candidate: `{name}` looks for a pattern in {column} that begins with a wildcard, which no ordinary \
             index serves."
        ),
        "function_on_column" => format!(
            "Candidate: `{name}` computes something from {column} for each row before it compares, so an index on \
             the column alone doesn't serve it."
        ),
        "implicit_cast" => format!(
            "Candidate: `{name}` compares {column}, an integer, with a parameter declared numeric or float: the \
             server casts the column, and its index doesn't serve."
        ),
        "not_in_subquery" => format!(
            "Candidate: `{name}` uses NOT IN (SELECT ...) on {column}, which can't become an anti-join and is never \
             true once the list holds a NULL."
        ),
        _ => format!("Candidate: `{name}` reads every column, among them {column}, which is wide."),
    }
}

/// Whether something else than another condition on the same table finds its rows.
fn decides(smell: &Smell, facts: &StatementFacts) -> bool {
    let Some((relation, _)) = &smell.column else { return true };
    let found_otherwise = |predicate: &crate::facts::Predicate| {
        predicate.relation == *relation
            && predicate.top_level
            && matches!(predicate.class, PredicateClass::Eq | PredicateClass::In)
            && !predicate.slots.is_empty()
    };
    !facts.predicates.iter().any(found_otherwise)
}

fn column_of(smell: &Smell, facts: &StatementFacts) -> Option<Arc<str>> {
    let (relation, column) = smell.column.as_ref()?;
    Some(Arc::from(format!("{}.{column}", facts.relations.get(*relation)?.name)))
}

/// A column of the statement's table that another statement's wide_fetch names.
fn wide_elsewhere(entry: &Entry, context: &Context<'_>) -> bool {
    let digest = entry.subject.statement.digest;
    let database = context.labels.database_name(entry.subject.database);
    let Some(table) = entry.column.as_deref() else { return false };
    let of_table = |column: &Arc<str>| column.rsplit_once('.').is_some_and(|(of, _)| of == table);
    let (mut own, mut elsewhere) = (false, false);
    for claim in context.register.claims(Kind::WideFetch) {
        own |= claim.child.as_ref().is_some_and(|child| child.digest == digest);
        elsewhere |= claim.database == database && claim.column.as_ref().is_some_and(of_table);
    }
    elsewhere && !own
}

impl Detector for Smells {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if !is_work(seen) {
            return;
        }
        self.learn(seen, context);
        let statement: &Statement = seen.statement;
        let Some(facts) = &statement.facts else { return };
        for (smell, offset) in facts.smells.iter().zip(&statement.smell_offsets) {
            let few = !facts.limited && seen.record.rows < RANDOM_ROWS_MIN;
            let harmless = match smell.rule {
                "order_by_random" => few,
                "not_in_subquery" => false,
                _ => !decides(smell, facts),
            };
            if !harmless {
                self.note(seen, smell.rule, *offset, column_of(smell, facts));
            }
        }
        if seen.wide_parameters != 0
            && let Some(column) = self.implicit_cast(seen, facts)
        {
            self.note(seen, "implicit_cast", None, Some(column));
        }
        if let Some(relation) = facts.star_of.and_then(|at| facts.relations.get(at)) {
            let offset = statement.text.find('*');
            self.note(seen, "select_star_wide", offset, Some(Arc::from(relation.name.as_str())));
        }
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let mut keys: Vec<(Key, &'static str)> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.fresh.0 > 0)
            .map(|(key, _)| *key)
            .collect();
        keys.sort_unstable();
        for key in keys {
            self.judge(&key, &self.entries[&key], now, context);
            if let Some(entry) = self.entries.get_mut(&key) {
                entry.fresh = (0, 0);
            }
        }
    }
}

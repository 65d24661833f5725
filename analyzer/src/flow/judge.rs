//! Judgement: which candidates prove something, and which of several explanations takes the occurrence.

use super::candidate::{Candidate, Sender};
use super::domain::Domains;
use super::gate::{Evidence, GATES, common};
use super::held::Held;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::record::{Micros, SessionId};
use std::sync::Arc;

/// A column of a result, as the wire names it.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) statement: Arc<Statement>,
    pub(crate) field: u16,
    pub(crate) table_oid: u32,
    pub(crate) attnum: i16,
}

/// One proved instance: one result whose values were the parameters of many executions.
#[derive(Clone, Debug)]
pub(crate) struct Occurrence {
    pub(crate) database: DatabaseId,
    pub(crate) gate: &'static str,
    pub(crate) parent: Source,
    pub(crate) child: Arc<Statement>,
    pub(crate) slot: u16,
    pub(crate) sender: Sender,
    pub(crate) evidence: Evidence,
    pub(crate) rtt_us: Option<u64>,
    pub(crate) service_p50_us: u64,
    pub(crate) busy_us: u64,
    pub(crate) session: SessionId,
    /// When the parent's result ended, and first to last child.
    pub(crate) at_us: Micros,
    pub(crate) last_us: Micros,
    pub(crate) wall_us: u64,
    /// Columns that explain the same executions equally well.
    pub(crate) alternatives: Vec<Source>,
}

/// A candidate that passed its gate.
struct Proved<'a> {
    held: &'a Held,
    /// Position among the judged results: later ones are greater.
    age: usize,
    candidate: &'a Candidate,
    evidence: Evidence,
}

/// Judges results whose unit is over.
pub(crate) fn judge(results: &[Held], domains: &Domains, limits: &FlowLimits) -> Vec<Occurrence> {
    let mut proved: Vec<Proved<'_>> = results
        .iter()
        .enumerate()
        .flat_map(|(age, held)| held.candidates.iter().map(move |candidate| (age, held, candidate)))
        .filter_map(|(age, held, candidate)| {
            let kept = held.columns[candidate.column].len();
            let evidence = candidate.evidence(held.rows, kept);
            let digest = candidate.child.digest;
            let guard = domains.values_min(held.database, digest, candidate.slot, kept);
            let proves = common(&evidence, limits)
                && GATES[candidate.gate].proves(&evidence, limits)
                && guard.is_none_or(|min| evidence.used >= min);
            proves.then_some(Proved { held, age, candidate, evidence })
        })
        .collect();
    proved.sort_by(|a, b| b.rank().total_cmp_with(&a.rank()));
    let mut winners: Vec<(Proved<'_>, Vec<Source>)> = Vec::new();
    for rival in proved {
        match winners.iter_mut().find(|(winner, _)| winner.covers(&rival)) {
            Some((winner, alternatives)) => {
                if winner.explains_like(&rival) {
                    alternatives.push(rival.source());
                }
            }
            None => winners.push((rival, Vec::new())),
        }
    }
    let mut occurrences: Vec<Occurrence> =
        winners.into_iter().map(|(winner, alternatives)| winner.occurrence(alternatives)).collect();
    occurrences.sort_by_key(|occurrence| (occurrence.last_us, occurrence.at_us));
    occurrences
}

/// The order of rivals: explained share, explained executions (the share ends at the last explained one, so it
/// alone would prefer a rival that explains the first half), order, coverage, a column named after the child's
/// table, the most recent result, the lowest field.
struct Rank {
    measures: [f64; 5],
    age: usize,
    field: std::cmp::Reverse<u16>,
}

impl Rank {
    fn total_cmp_with(&self, other: &Self) -> std::cmp::Ordering {
        let pairs = self.measures.iter().zip(&other.measures);
        pairs
            .map(|(a, b)| a.total_cmp(b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| (self.age, self.field).cmp(&(other.age, other.field)))
    }
}

impl Proved<'_> {
    fn rank(&self) -> Rank {
        let named = f64::from(u8::from(self.is_named_after_child()));
        let evidence = &self.evidence;
        Rank {
            measures: [
                evidence.explained(),
                evidence.hits as f64,
                evidence.order,
                evidence.coverage(),
                named,
            ],
            age: self.age,
            field: std::cmp::Reverse(self.source().field),
        }
    }

    /// Whether the parent's column, as its text names it, contains the child's table in singular or plural.
    fn is_named_after_child(&self) -> bool {
        let facts = (self.held.statement.facts.as_ref(), self.candidate.child.facts.as_ref());
        let (Some(parent), Some(child)) = facts else { return false };
        let field = usize::from(self.source().field);
        let column = parent.target_columns.iter().find(|target| target.position == field);
        let (Some(column), Some(table)) = (column, child.relations.first()) else { return false };
        let table = table.name.to_lowercase();
        let singular = table.strip_suffix('s').unwrap_or(&table);
        column.column.to_lowercase().contains(singular)
    }

    /// Both explain executions of the same statement at the same time.
    fn covers(&self, other: &Self) -> bool {
        let (a, b) = (self.candidate, other.candidate);
        a.child.digest == b.child.digest && a.first_us <= b.last_us && b.first_us <= a.last_us
    }

    fn explains_like(&self, other: &Self) -> bool {
        self.candidate.slot == other.candidate.slot
            && self.evidence.hits == other.evidence.hits
            && self.evidence.explained() == other.evidence.explained()
    }

    fn source(&self) -> Source {
        let column = &self.held.columns[self.candidate.column];
        Source {
            statement: self.held.statement.clone(),
            field: column.field,
            table_oid: column.table_oid,
            attnum: column.attnum,
        }
    }

    fn occurrence(self, alternatives: Vec<Source>) -> Occurrence {
        let candidate = self.candidate;
        Occurrence {
            database: self.held.database,
            gate: GATES[candidate.gate].name(),
            parent: self.source(),
            child: candidate.child.clone(),
            slot: candidate.slot,
            sender: candidate.sender.clone(),
            evidence: self.evidence,
            rtt_us: candidate.rtt_us,
            service_p50_us: candidate.service_p50_us(),
            busy_us: candidate.busy_us,
            session: self.held.session,
            at_us: self.held.end_us,
            last_us: candidate.last_us,
            wall_us: candidate.last_us.saturating_sub(candidate.first_us),
            alternatives,
        }
    }
}

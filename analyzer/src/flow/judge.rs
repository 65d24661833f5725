//! Judgement: which candidates prove something, and which of several explanations takes the occurrence.

use super::candidate::{Candidate, Sender};
use super::chain::is_strong;
use super::domain::Domains;
use super::gate::{CHAIN, Evidence, GATES, SCOPE, common};
use super::held::{Held, HeldId};
use super::nested::{Nesting, proves_nested};
use super::rank::Rank;
use super::taken::Taken;
use crate::digest::Statement;
use crate::labels::DatabaseId;
use crate::limits::FlowLimits;
use crate::record::{Micros, SessionId};
use std::borrow::Cow;
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
    /// The parent is a level of results under a root.
    pub(crate) nesting: Option<Nesting>,
    /// The parent came from a write, and its transaction ended before its children began.
    pub(crate) returned: bool,
    pub(crate) commit_between: bool,
    /// Its unit is still open: the numbers are those so far.
    pub(crate) in_progress: bool,
}

/// Which candidates are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those of the scope gate, and all of results that no gate feeds any more.
    Left,
    /// All: the results have to go.
    All,
    /// Those of the scope gate, without taking their executions.
    Progress,
}

impl Which {
    fn has(self, held: &Held, candidate: &Candidate) -> bool {
        match self {
            Self::Left => candidate.gate == SCOPE || held.is_over(),
            Self::All => true,
            Self::Progress => candidate.gate == SCOPE,
        }
    }
}

/// A candidate that passed its gate.
pub(super) struct Proved<'a> {
    pub(super) id: HeldId,
    pub(super) held: &'a Held,
    pub(super) candidate: Cow<'a, Candidate>,
    pub(super) evidence: Evidence,
    pub(super) nesting: Option<Nesting>,
    busy_us: u64,
}

/// What judgement needs to know.
#[derive(Clone, Copy)]
pub(crate) struct Court<'a> {
    pub(crate) domains: &'a Domains,
    pub(crate) limits: &'a FlowLimits,
}

impl Court<'_> {
    /// Judges results together, rivals by rank; each execution counts in one occurrence. Their `family`, results of
    /// the same root, is not judged: it tells whether the level above is a loop.
    pub(crate) fn judge(
        self,
        results: &[(HeldId, &Held)],
        family: &[(HeldId, &Held)],
        which: Which,
        taken: &mut Taken,
    ) -> Vec<Occurrence> {
        let mut proved = self.proved(results, family, which);
        proved.sort_by(|a, b| b.rank().total_cmp_with(&a.rank()));
        let mut winners: Vec<(Proved<'_>, Vec<Source>)> = Vec::new();
        let mut own = Taken::default();
        for rival in proved {
            let used = if which == Which::Progress { &mut own } else { &mut *taken };
            let equal = winners.iter_mut().find(|(winner, _)| winner.explains_like(&rival));
            if let Some((_, alternatives)) = equal {
                alternatives.push(rival.source());
            } else if let Some(rest) = self.without(rival, used) {
                rest.candidate.take(used);
                winners.push((rest, Vec::new()));
            }
        }
        let mut occurrences: Vec<Occurrence> = winners
            .into_iter()
            .map(|(winner, alternatives)| winner.occurrence(alternatives, which))
            .collect();
        occurrences.sort_by_key(|occurrence| (occurrence.last_us, occurrence.at_us));
        occurrences
    }

    /// What passes its gate by itself. A level in a chain also needs the level above it to be proved.
    fn proved<'a>(
        self,
        results: &[(HeldId, &'a Held)],
        family: &[(HeldId, &'a Held)],
        which: Which,
    ) -> Vec<Proved<'a>> {
        let mut proved = self.each_proved(results, which);
        let levels = proved.iter().any(|p| p.nesting.is_some() && p.candidate.gate == CHAIN);
        let relatives = if levels { self.each_proved(family, which) } else { Vec::new() };
        let above: Vec<(HeldId, u64)> = proved
            .iter()
            .chain(&relatives)
            .map(|p: &Proved<'_>| (p.held.root.unwrap_or(p.id), p.candidate.child.digest))
            .collect();
        proved.retain(|p| match (&p.nesting, p.held.root) {
            (Some(_), Some(root)) if p.candidate.gate == CHAIN => {
                above.contains(&(root, p.held.statement.digest))
            }
            _ => true,
        });
        proved
    }

    fn each_proved<'a>(self, results: &[(HeldId, &'a Held)], which: Which) -> Vec<Proved<'a>> {
        let mut proved = Vec::new();
        for (id, held) in results {
            for candidate in held.candidates.iter().filter(|c| which.has(held, c)) {
                self.explain(*id, held, candidate, &mut proved);
            }
        }
        proved
    }

    /// A candidate as a whole; or, where a value of an earlier request made a level of results that have nothing in
    /// common, leaf by leaf.
    fn explain<'a>(
        self,
        id: HeldId,
        held: &'a Held,
        candidate: &'a Candidate,
        proved: &mut Vec<Proved<'a>>,
    ) {
        if let Some(whole) = self.check(Proved::of(id, held, self.at_its_best(candidate))) {
            proved.push(whole);
        } else if candidate.gate == CHAIN && candidate.hits() >= self.limits.executions_min as u64 {
            let leaves = if held.root.is_some() { held.leaves_used(candidate) } else { Vec::new() };
            let parts = leaves.iter().filter_map(|leaf| {
                let positions = held.leaf_positions(candidate.column, *leaf..=*leaf);
                let part = candidate.within(&positions)?;
                let part = part.cut_to_loop().unwrap_or(part);
                self.check(Proved::of(id, held, Cow::Owned(part)))
            });
            proved.extend(parts);
        }
    }

    /// A chain runs on into the next requests of its connection, so what it gathered is cut to the loop at its begin.
    fn at_its_best<'a>(self, candidate: &'a Candidate) -> Cow<'a, Candidate> {
        let long = candidate.gate == CHAIN && candidate.hits() >= self.limits.executions_min as u64;
        let cut = long.then(|| candidate.cut_to_loop()).flatten();
        cut.map_or(Cow::Borrowed(candidate), Cow::Owned)
    }

    /// Whether the evidence passes the gate, the common conditions and the guard against small domains.
    fn check<'a>(self, mut p: Proved<'a>) -> Option<Proved<'a>> {
        let (held, candidate) = (p.held, &p.candidate);
        let leaves = if held.root.is_some() { held.leaves_used(candidate) } else { Vec::new() };
        let nested = leaves.len() >= 2;
        if let ([leaf], true) = (&leaves[..], held.leaves.len() >= 2) {
            // One result of several: judged as if it were alone.
            p.evidence.kept = held.leaf_positions(candidate.column, *leaf..=*leaf).len();
            p.evidence.rows = held.leaves.get(*leaf).map_or(0, |leaf| leaf.rows);
        }
        if nested {
            p.nesting = Some(Nesting::of(held, candidate, &leaves, &mut p.evidence));
        }
        let digest = candidate.child.digest;
        let kept = p.evidence.kept;
        let guard = self.domains.values_min(held.database, digest, candidate.slot, kept);
        let proves = common(&p.evidence, self.limits)
            && GATES[candidate.gate].proves(&p.evidence, self.limits)
            && p.nesting.as_ref().is_none_or(|nesting| {
                proves_nested(nesting, &p.evidence, candidate.gate, self.limits)
            })
            && guard.is_none_or(|min| p.evidence.used >= min)
            && (candidate.gate != CHAIN
                || !(p.is_part() || nested)
                || is_strong(&p.evidence, self.limits));
        proves.then_some(p)
    }

    /// The same without executions that other occurrences have explained; `None` where too little is left.
    fn without<'a>(self, mut rival: Proved<'a>, taken: &Taken) -> Option<Proved<'a>> {
        if !rival.candidate.shares(taken) {
            return Some(rival);
        }
        let rest = rival.candidate.rest(taken);
        rival.evidence.used = rest.used;
        rival.evidence.hits = rest.hits;
        rival.evidence.order = rest.order;
        rival.busy_us = rest.busy_us;
        let proves = rival.nesting.is_none()
            && common(&rival.evidence, self.limits)
            && GATES[rival.candidate.gate].proves(&rival.evidence, self.limits);
        proves.then_some(rival)
    }
}

impl<'a> Proved<'a> {
    fn of(id: HeldId, held: &'a Held, candidate: Cow<'a, Candidate>) -> Self {
        let kept = held.columns[candidate.column].len();
        let evidence = candidate.evidence(held.rows, kept);
        let busy_us = candidate.busy_us;
        Self { id, held, candidate, evidence, nesting: None, busy_us }
    }

    /// Whether it was cut out of what its candidate gathered.
    fn is_part(&self) -> bool {
        matches!(self.candidate, Cow::Owned(_))
    }

    fn rank(&self) -> Rank {
        Rank::of(self)
    }

    fn explains_like(&self, other: &Self) -> bool {
        let (a, b) = (&self.candidate, &other.candidate);
        a.slot == b.slot
            && a.child.digest == b.child.digest
            && a.first_us == b.first_us
            && a.last_us == b.last_us
            && self.evidence.hits == other.evidence.hits
            && self.evidence.explained() == other.evidence.explained()
    }

    pub(super) fn source(&self) -> Source {
        let column = &self.held.columns[self.candidate.column];
        Source {
            statement: self.held.statement.clone(),
            field: column.field,
            table_oid: column.table_oid,
            attnum: column.attnum,
        }
    }

    fn occurrence(self, alternatives: Vec<Source>, which: Which) -> Occurrence {
        let (held, candidate) = (self.held, &self.candidate);
        Occurrence {
            database: held.database,
            gate: GATES[candidate.gate].name(),
            parent: self.source(),
            child: candidate.child.clone(),
            slot: candidate.slot,
            sender: candidate.sender.clone(),
            evidence: self.evidence,
            rtt_us: candidate.rtt_us,
            service_p50_us: candidate.service_p50_us(),
            busy_us: self.busy_us,
            session: held.session,
            at_us: held.end_us,
            last_us: candidate.last_us,
            wall_us: candidate.last_us.saturating_sub(candidate.first_us),
            alternatives,
            nesting: self.nesting,
            returned: held.returned,
            commit_between: held.transaction != 0 && held.transaction != candidate.transaction,
            in_progress: which == Which::Progress,
        }
    }
}

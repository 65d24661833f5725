//! The best set under the budget, by the costs that are known: dominance, greedy moves, branch and bound.

use super::{MOVE_MIN, Selection};
use crate::planner::CandidateId;

/// Nodes that the exact search may visit.
const NODES_MAX: usize = 200_000;
/// Moves of one climb.
const MOVES_MAX: usize = 64;

impl Selection<'_> {
    /// Candidates that some plan uses and that no other of the table beats everywhere.
    pub(super) fn useful(&self) -> Vec<CandidateId> {
        let used: Vec<CandidateId> = self
            .options
            .iter()
            .map(|option| option.id)
            .filter(|id| {
                self.known.iter().any(|plans| plans.iter().any(|(used, _)| used.contains(id)))
            })
            .collect();
        used.iter()
            .copied()
            .filter(|id| !used.iter().any(|other| self.dominates(*other, *id)))
            .collect()
    }

    fn dominates(&self, better: CandidateId, worse: CandidateId) -> bool {
        let (Some(a), Some(b)) = (self.option(better), self.option(worse)) else { return false };
        if better == worse || a.spec.table != b.spec.table {
            return false;
        }
        // of equals the first stays
        let smaller = (a.spec.size_bytes, a.write.units, better.0)
            < (b.spec.size_bytes, b.write.units, worse.0)
            && a.spec.size_bytes <= b.spec.size_bytes
            && a.write.units <= b.write.units;
        let never_worse = |at: usize| {
            self.cost(at, &|id| id == better) <= self.cost(at, &|id| id == worse) * 1.001
        };
        let alone = |at: usize| {
            self.known[at].iter().any(|(used, _)| used.len() > 1 && used.contains(&worse))
        };
        smaller && (0..self.samples.len()).all(|at| never_worse(at) && !alone(at))
    }

    /// Adds, replaces and removes while it pays; by benefit and by benefit per byte, the better of both.
    pub(super) fn greedy(&self, useful: &[CandidateId]) -> Vec<CandidateId> {
        let [one, other] = [false, true].map(|per_byte| self.climbed(useful, Vec::new(), per_byte));
        if self.objective(&one) <= self.objective(&other) { one } else { other }
    }

    /// Moves on from a set while it pays.
    pub(super) fn climbed(
        &self,
        useful: &[CandidateId],
        mut set: Vec<CandidateId>,
        per_byte: bool,
    ) -> Vec<CandidateId> {
        for _ in 0..MOVES_MAX {
            let now = self.objective(&set);
            let mut best: Option<(f64, Vec<CandidateId>)> = None;
            for next in self.moves(&set, useful).into_iter().filter(|next| self.fits(next)) {
                let gain = now - self.objective(&next);
                let bytes: u64 = next
                    .iter()
                    .filter_map(|id| self.option(*id))
                    .map(|option| option.spec.size_bytes)
                    .sum();
                let score = if per_byte { gain / (bytes as f64 + 1.0) } else { gain };
                if gain > self.total * MOVE_MIN
                    && best.as_ref().is_none_or(|(known, _)| score > *known)
                {
                    best = Some((score, next));
                }
            }
            let Some((_, next)) = best else { break };
            set = next;
        }
        set
    }

    /// Sets one step away; those that plans need together are added together.
    fn moves(&self, set: &[CandidateId], useful: &[CandidateId]) -> Vec<Vec<CandidateId>> {
        let mut found = Vec::new();
        let joint = self
            .known
            .iter()
            .flatten()
            .filter(|(used, _)| used.len() > 1 && used.iter().all(|id| useful.contains(id)))
            .map(|(used, _)| used.clone());
        let singles = useful.iter().map(|id| vec![*id]);
        for addition in singles.chain(joint) {
            let mut next = set.to_vec();
            next.extend(addition);
            next.sort_unstable();
            next.dedup();
            for removed in set {
                found.push(next.iter().copied().filter(|id| id != removed).collect());
            }
            found.push(next);
        }
        found.extend(
            set.iter().map(|removed| set.iter().copied().filter(|id| id != removed).collect()),
        );
        found
    }

    /// Branch and bound from the greedy set; every undecided candidate is free in the bound.
    pub(super) fn exact(
        &self,
        useful: &[CandidateId],
        incumbent: Vec<CandidateId>,
    ) -> Vec<CandidateId> {
        let mut best = (self.objective(&incumbent), incumbent);
        let mut order = useful.to_vec();
        order.sort_by(|one, other| self.objective(&[*one]).total_cmp(&self.objective(&[*other])));
        let mut nodes = 0;
        self.branch(&order, &mut Vec::new(), &mut best, &mut nodes);
        best.1
    }

    fn branch(
        &self,
        undecided: &[CandidateId],
        set: &mut Vec<CandidateId>,
        best: &mut (f64, Vec<CandidateId>),
        nodes: &mut usize,
    ) {
        *nodes += 1;
        if *nodes > NODES_MAX || !self.fits(set) {
            return;
        }
        let has = |id: CandidateId| set.contains(&id) || undecided.contains(&id);
        let reads: f64 =
            (0..self.samples.len()).map(|at| self.samples[at].weight * self.cost(at, &has)).sum();
        if reads + self.upkeep(set) >= best.0 * 0.9999 {
            return;
        }
        let own = self.objective(set);
        if own < best.0 {
            *best = (own, set.clone());
        }
        let Some((first, rest)) = undecided.split_first() else { return };
        set.push(*first);
        self.branch(rest, set, best, nodes);
        set.pop();
        self.branch(rest, set, best, nodes);
    }
}

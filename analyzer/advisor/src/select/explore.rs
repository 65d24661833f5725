//! Asking the planner: everything on, singles, and what stands next to a set that looks good.

use super::{Selection, ask};
use crate::planner::{CandidateId, Plan, Planner};

/// Rounds of planning with everything on, each without what the earlier ones used.
const ALL_ON_ROUNDS: usize = 3;
/// Least part of a sample's cost that another index must be able to save for a question about it.
const HOPE_MIN: f64 = 0.02;

impl Selection<'_> {
    /// Everything on, then singles: first of what was used with everything on, then of the rest, as long as more than
    /// `reserve` questions are left.
    pub(super) fn explore(&mut self, planner: &mut dyn Planner, reserve: usize) {
        let order = self.heaviest_first();
        for at in &order {
            self.everything_on(planner, *at, reserve);
        }
        for of_used in [true, false] {
            for at in &order {
                let sample = &self.samples[*at];
                let used =
                    |id: &CandidateId| self.known[*at].iter().any(|(used, _)| used.contains(id));
                let (asked, rest): (Vec<_>, Vec<_>) =
                    sample.candidates.iter().partition(|id| used(id));
                for id in if of_used { asked } else { rest } {
                    self.learn(planner, *at, vec![id], reserve);
                }
            }
        }
    }

    /// Samples by their part of the whole cost: where questions run out, they run out for those that matter least.
    fn heaviest_first(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.samples.len()).collect();
        let cost = |at: &usize| self.samples[*at].weight * self.samples[*at].base;
        order.sort_by(|one, other| cost(other).total_cmp(&cost(one)));
        order
    }

    fn everything_on(&mut self, planner: &mut dyn Planner, at: usize, reserve: usize) {
        let mut left = self.samples[at].candidates.clone();
        for _ in 0..ALL_ON_ROUNDS {
            let Some(used) = self.learn(planner, at, left.clone(), reserve) else { break };
            if used.is_empty() {
                break;
            }
            left.retain(|id| !used.contains(id));
        }
    }

    /// Plans each sample with the set, and with one more that may still help it; true if a plan was cheaper than known.
    ///
    /// Plans of several indexes are known from everything on alone, which uses the largest of them: what smaller ones
    /// do together shows only here.
    pub(super) fn look_around(
        &mut self,
        planner: &mut dyn Planner,
        set: &[CandidateId],
        useful: &[CandidateId],
        reserve: usize,
    ) -> bool {
        let mut cheaper = false;
        for at in self.heaviest_first() {
            let of_sample = |ids: &[CandidateId]| -> Vec<CandidateId> {
                let candidates = &self.samples[at].candidates;
                ids.iter().copied().filter(|id| candidates.contains(id)).collect()
            };
            let (on, others) = (of_sample(set), of_sample(useful));
            let best = self.cost(at, &|_| true);
            cheaper |= self.is_cheaper(planner, at, &on, reserve);
            for id in others.into_iter().filter(|id| !set.contains(id)) {
                let now = self.cost(at, &|other| on.contains(&other) || other == id);
                if now - best < HOPE_MIN * self.samples[at].base {
                    continue;
                }
                let mut wider = on.clone();
                wider.push(id);
                cheaper |= self.is_cheaper(planner, at, &wider, reserve);
            }
        }
        cheaper
    }

    fn is_cheaper(
        &mut self,
        planner: &mut dyn Planner,
        at: usize,
        on: &[CandidateId],
        reserve: usize,
    ) -> bool {
        let before = self.cost(at, &|id| on.contains(&id));
        self.learn(planner, at, on.to_vec(), reserve);
        self.cost(at, &|id| on.contains(&id)) < before * 0.999
    }

    /// Asks for a plan and remembers it; the candidates that it uses.
    fn learn(
        &mut self,
        planner: &mut dyn Planner,
        at: usize,
        on: Vec<CandidateId>,
        reserve: usize,
    ) -> Option<Vec<CandidateId>> {
        if on.is_empty() || planner.questions_left() <= reserve {
            return None;
        }
        let plan = ask(planner, self.samples[at].id, on)?;
        self.remember(at, &plan);
        Some(plan.used)
    }

    pub(super) fn remember(&mut self, at: usize, plan: &Plan) {
        let known = (plan.used.clone(), plan.cost);
        if !plan.used.is_empty() && !self.known[at].contains(&known) {
            self.known[at].push(known);
        }
    }
}

//! Which candidates are worth having together: what plans with them cost, the best set of them under a budget, and
//! whether each of that set is worth its place.

mod confirm;
mod explore;
mod search;

use crate::planner::{CandidateId, CandidateSpec, Plan, PlanJob, Planner, SampleId, Trust};
use crate::write_cost::WriteCost;

/// Smallest gain of a move, of the whole cost.
const MOVE_MIN: f64 = 0.003;
/// Least share of the whole workload's cost that an index must save.
const SHARE_MIN: f64 = 0.01;
/// Indexes that may fail to be accepted before the rest is taken as it is.
const REJECTED_MAX: usize = 12;
/// Times that a set is planned as a whole, with what stands next to it, and chosen again.
const REFINEMENTS_MAX: usize = 4;

/// A candidate as selection sees it.
#[derive(Clone, Debug)]
pub struct Priced {
    /// Its id with the planner.
    pub id: CandidateId,
    /// What it is.
    pub spec: CandidateSpec,
    /// What it costs writes.
    pub write: WriteCost,
}

/// A sample as selection sees it.
#[derive(Clone, Debug)]
pub struct Weighted {
    /// Its id.
    pub id: SampleId,
    /// Its digest.
    pub digest: usize,
    /// Executions.
    pub weight: f64,
    /// Cost without candidates.
    pub base: f64,
    /// Candidates of its tables.
    pub candidates: Vec<CandidateId>,
}

/// The outcome for one chosen index.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Its id.
    pub id: CandidateId,
    /// Per sample that uses it: cost without and with it, the others staying.
    pub uses: Vec<(SampleId, f64, f64)>,
    /// Weighted saving, units.
    pub saving: f64,
    /// What its proof is worth: more than arithmetic only if the part that a planner has seen is enough by itself.
    pub trust: Trust,
}

/// What new indexes may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// True bytes of all of them.
    pub bytes: u64,
    /// Indexes of one table.
    pub per_table: usize,
}

/// Costs known so far, and who answers for new ones.
pub struct Selection<'a> {
    samples: &'a [Weighted],
    options: &'a [Priced],
    room: Room,
    /// By sample: used candidates and cost.
    known: Vec<Vec<(Vec<CandidateId>, f64)>>,
    total: f64,
}

impl<'a> Selection<'a> {
    /// Ready to ask.
    pub fn new(samples: &'a [Weighted], options: &'a [Priced], room: Room) -> Self {
        let known = samples.iter().map(|sample| vec![(Vec::new(), sample.base)]).collect();
        let total = samples.iter().map(|sample| sample.weight * sample.base).sum();
        Self { samples, options, room, known, total }
    }

    /// Chooses, confirms and accepts; the order is that of the saving, largest first.
    pub fn run(&mut self, planner: &mut dyn Planner) -> Vec<Chosen> {
        let questions = planner.questions_left();
        self.explore(planner, questions / 2);
        let (mut set, mut rejected) = (Vec::new(), Vec::new());
        let mut best: Option<(f64, Vec<Chosen>)> = None;
        loop {
            set = self.refined(planner, set, &rejected, questions / 5);
            let chosen = self.confirm(planner, set.clone());
            let accepted: Vec<CandidateId> = chosen.iter().map(|chosen| chosen.id).collect();
            set.retain(|id| !accepted.contains(id));
            // What is rejected may have kept something else out.
            let again = !set.is_empty() && rejected.len() < REJECTED_MAX;
            rejected.append(&mut set);
            let cost = self.objective(&accepted);
            if best.as_ref().is_none_or(|(known, _)| cost < *known) {
                best = Some((cost, chosen));
            }
            if !again {
                return best.map_or_else(Vec::new, |(_, chosen)| chosen);
            }
            set = accepted;
        }
    }

    /// The best set by what is known, planned as a whole, with what stands next to it, and chosen again.
    fn refined(
        &mut self,
        planner: &mut dyn Planner,
        mut set: Vec<CandidateId>,
        rejected: &[CandidateId],
        reserve: usize,
    ) -> Vec<CandidateId> {
        for _ in 0..REFINEMENTS_MAX {
            let mut useful = self.useful();
            useful.retain(|id| !rejected.contains(id));
            let greedy = self.greedy(&useful);
            let climbed = self.climbed(&useful, set, false);
            let better = self.objective(&greedy) < self.objective(&climbed);
            set = self.exact(&useful, if better { greedy } else { climbed });
            if !self.look_around(planner, &set, &useful, reserve) {
                break;
            }
        }
        set
    }

    fn option(&self, id: CandidateId) -> Option<&Priced> {
        self.options.iter().find(|option| option.id == id)
    }

    /// Cheapest known cost of a sample when `has` tells what is there.
    fn cost(&self, at: usize, has: &dyn Fn(CandidateId) -> bool) -> f64 {
        let usable = self.known[at].iter().filter(|(used, _)| used.iter().all(|id| has(*id)));
        usable.map(|(_, cost)| *cost).fold(self.samples[at].base, f64::min)
    }

    /// Weighted cost of all samples, and what the set costs writes and space.
    fn objective(&self, set: &[CandidateId]) -> f64 {
        let has = |id: CandidateId| set.contains(&id);
        let reads: f64 =
            (0..self.samples.len()).map(|at| self.samples[at].weight * self.cost(at, &has)).sum();
        reads + self.upkeep(set)
    }

    /// Writes; half of what an index must save, since those that save less are not accepted; and a little for space, so
    /// that of equals the smaller wins.
    fn upkeep(&self, set: &[CandidateId]) -> f64 {
        let options = || set.iter().filter_map(|id| self.option(*id));
        let units: f64 = options().map(|option| option.write.units).sum();
        let bytes: f64 = options().map(|option| option.spec.size_bytes as f64).sum();
        let keys: f64 = options().map(|option| option.spec.keys.len() as f64).sum();
        let space = 0.002 * bytes / (self.room.bytes.max(1) as f64) + 0.0005 * keys;
        units + self.total * (SHARE_MIN / 2.0 * set.len() as f64 + space)
    }

    fn fits(&self, set: &[CandidateId]) -> bool {
        let options: Vec<&Priced> = set.iter().filter_map(|id| self.option(*id)).collect();
        let bytes: u64 = options.iter().map(|option| option.spec.size_bytes).sum();
        let crowded = |option: &&Priced| {
            let table = option.spec.table;
            options.iter().filter(|other| other.spec.table == table).count() > self.room.per_table
        };
        bytes <= self.room.bytes && !options.iter().any(crowded)
    }
}

fn ask(
    planner: &mut dyn Planner,
    sample: SampleId,
    mut configuration: Vec<CandidateId>,
) -> Option<Plan> {
    configuration.sort_unstable();
    planner.plan(&[PlanJob { sample, configuration }]).into_iter().next()?.ok()
}

#[cfg(test)]
mod tests;

//! Which candidates are worth having together: everything on, singles, dominance, greedy, exact, confirmed.

use crate::planner::{CandidateId, CandidateSpec, Plan, PlanJob, Planner, SampleId, Trust};
use crate::write_cost::WriteCost;

/// Most new indexes of one table.
const PER_TABLE_MAX: usize = 3;
/// Rounds of planning with everything on, each without what the earlier ones used.
const ALL_ON_ROUNDS: usize = 3;
/// Smallest gain of a greedy move, of the whole cost.
const MOVE_MIN: f64 = 0.003;
/// Nodes that the exact search may visit.
const NODES_MAX: usize = 200_000;
/// Least saving over the digests that use an index.
const SAVING_MIN: f64 = 0.3;
/// Least share of the whole workload's cost.
const SHARE_MIN: f64 = 0.01;
/// Least benefit by write cost.
const WRITE_RATIO_MIN: f64 = 1.5;
/// Largest rise of any other sample.
const RISE_MAX: f64 = 0.1;

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

/// Costs known so far, and who answers for new ones.
pub struct Selection<'a> {
    samples: &'a [Weighted],
    options: &'a [Priced],
    budget_bytes: u64,
    /// By sample: used candidates and cost.
    known: Vec<Vec<(Vec<CandidateId>, f64)>>,
    total: f64,
}

impl<'a> Selection<'a> {
    /// Ready to ask.
    pub fn new(samples: &'a [Weighted], options: &'a [Priced], budget_bytes: u64) -> Self {
        let known = samples.iter().map(|sample| vec![(Vec::new(), sample.base)]).collect();
        let total = samples.iter().map(|sample| sample.weight * sample.base).sum();
        Self { samples, options, budget_bytes, known, total }
    }

    /// Chooses, confirms and accepts; the order is that of the saving, largest first.
    pub fn run(&mut self, planner: &mut dyn Planner) -> Vec<Chosen> {
        self.explore(planner);
        let useful = self.useful();
        let greedy = self.greedy(&useful);
        let set = self.exact(&useful, greedy);
        self.confirm(planner, set)
    }

    fn option(&self, id: CandidateId) -> Option<&Priced> {
        self.options.iter().find(|option| option.id == id)
    }

    /// Base, all on, singles.
    fn explore(&mut self, planner: &mut dyn Planner) {
        for at in 0..self.samples.len() {
            let sample = &self.samples[at];
            let mut left = sample.candidates.clone();
            for _ in 0..ALL_ON_ROUNDS {
                let Some(plan) = ask(planner, sample.id, left.clone()) else { break };
                if plan.used.is_empty() {
                    break;
                }
                left.retain(|id| !plan.used.contains(id));
                self.known[at].push((plan.used, plan.cost));
            }
            for id in sample.candidates.clone() {
                if let Some(plan) =
                    ask(planner, sample.id, vec![id]).filter(|plan| !plan.used.is_empty())
                {
                    self.known[at].push((plan.used, plan.cost));
                }
            }
        }
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

    /// Writes, and a little for space, so that of equals the smaller wins.
    fn upkeep(&self, set: &[CandidateId]) -> f64 {
        let options = || set.iter().filter_map(|id| self.option(*id));
        let units: f64 = options().map(|option| option.write.units).sum();
        let bytes: f64 = options().map(|option| option.spec.size_bytes as f64).sum();
        let keys: f64 = options().map(|option| option.spec.keys.len() as f64).sum();
        units + self.total * (0.002 * bytes / (self.budget_bytes.max(1) as f64) + 0.0005 * keys)
    }

    fn fits(&self, set: &[CandidateId]) -> bool {
        let options: Vec<&Priced> = set.iter().filter_map(|id| self.option(*id)).collect();
        let bytes: u64 = options.iter().map(|option| option.spec.size_bytes).sum();
        let crowded = |option: &&Priced| {
            options.iter().filter(|other| other.spec.table == option.spec.table).count()
                > PER_TABLE_MAX
        };
        bytes <= self.budget_bytes && !options.iter().any(crowded)
    }

    /// Candidates that some plan uses and that no other of the table beats everywhere.
    fn useful(&self) -> Vec<CandidateId> {
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
    fn greedy(&self, useful: &[CandidateId]) -> Vec<CandidateId> {
        let sets = [false, true].map(|per_byte| self.greedy_by(useful, per_byte));
        let [one, other] = sets;
        if self.objective(&one) <= self.objective(&other) { one } else { other }
    }

    fn greedy_by(&self, useful: &[CandidateId], per_byte: bool) -> Vec<CandidateId> {
        let mut set: Vec<CandidateId> = Vec::new();
        for _ in 0..64 {
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
            .filter(|(used, _)| used.len() > 1)
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
    fn exact(&self, useful: &[CandidateId], incumbent: Vec<CandidateId>) -> Vec<CandidateId> {
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

    /// Plans with exactly the set, drops what doesn't hold, until it is stable.
    fn confirm(&mut self, planner: &mut dyn Planner, mut set: Vec<CandidateId>) -> Vec<Chosen> {
        set.sort_unstable();
        loop {
            let chosen: Vec<Chosen> =
                set.iter().map(|id| self.leave_one_out(planner, &set, *id)).collect();
            let failing = chosen.iter().filter(|chosen| !self.accepted(chosen));
            let worst = failing
                .min_by(|one, other| one.saving.total_cmp(&other.saving))
                .map(|chosen| chosen.id);
            match worst {
                Some(id) => set.retain(|kept| *kept != id),
                None => {
                    let mut chosen = chosen;
                    chosen.iter_mut().for_each(|chosen| chosen.trust = self.trust(planner, chosen));
                    chosen.sort_by(|one, other| other.saving.total_cmp(&one.saving));
                    return chosen;
                }
            }
        }
    }

    fn leave_one_out(
        &self,
        planner: &mut dyn Planner,
        set: &[CandidateId],
        id: CandidateId,
    ) -> Chosen {
        let without: Vec<CandidateId> = set.iter().copied().filter(|kept| *kept != id).collect();
        let mut chosen = Chosen { id, uses: Vec::new(), saving: 0.0, trust: Trust::Formula };
        for sample in self.samples.iter().filter(|sample| sample.candidates.contains(&id)) {
            let of = |from: &[CandidateId]| -> Vec<CandidateId> {
                from.iter().copied().filter(|id| sample.candidates.contains(id)).collect()
            };
            let (Some(with), Some(rest)) =
                (ask(planner, sample.id, of(set)), ask(planner, sample.id, of(&without)))
            else {
                continue;
            };
            if with.used.contains(&id) || with.cost > rest.cost * (1.0 + RISE_MAX) {
                chosen.saving += sample.weight * (rest.cost - with.cost);
                chosen.uses.push((sample.id, rest.cost, with.cost));
            }
        }
        chosen
    }

    fn weight(&self, id: SampleId) -> f64 {
        self.samples.iter().find(|sample| sample.id == id).map_or(0.0, |sample| sample.weight)
    }

    /// The planner's trust, if the uses that it vouches for would be accepted without the others.
    fn trust(&self, planner: &dyn Planner, chosen: &Chosen) -> Trust {
        let vouched: Vec<(SampleId, f64, f64)> = chosen
            .uses
            .iter()
            .copied()
            .filter(|(sample, ..)| planner.trust_of(*sample, chosen.id) > Trust::Formula)
            .collect();
        let saving =
            vouched.iter().map(|(id, without, with)| self.weight(*id) * (without - with)).sum();
        let part = Chosen { uses: vouched, saving, ..chosen.clone() };
        if self.accepted(&part) { planner.trust() } else { Trust::Formula }
    }

    fn accepted(&self, chosen: &Chosen) -> bool {
        let weight = |id: SampleId| self.weight(id);
        let before: f64 = chosen.uses.iter().map(|(id, without, _)| weight(*id) * without).sum();
        let rises = chosen.uses.iter().any(|(_, without, with)| *with > without * (1.0 + RISE_MAX));
        let write = self.option(chosen.id).map_or(0.0, |option| option.write.units);
        before > 0.0
            && chosen.saving >= before * SAVING_MIN
            && chosen.saving >= self.total * SHARE_MIN
            && chosen.saving >= write * WRITE_RATIO_MIN
            && !rises
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
mod tests {
    use super::*;
    use crate::planner::{KeyPart, KeySpec, Method, PlanFailure, PlanNode, Unsupported};

    /// Plans of one sample: what each needs, and its cost.
    type Plans = Vec<(Vec<CandidateId>, f64)>;

    /// A planner that answers from a table: the cheapest plan that the configuration allows.
    struct Canned {
        plans: Vec<Plans>,
        vouches: bool,
    }

    impl Planner for Canned {
        fn trust(&self) -> Trust {
            Trust::Shadow
        }

        fn trust_of(&self, _: SampleId, _: CandidateId) -> Trust {
            if self.vouches { Trust::Shadow } else { Trust::Formula }
        }

        fn install(&mut self, specs: &[CandidateSpec]) -> Vec<Result<CandidateId, Unsupported>> {
            (0..specs.len()).map(|at| Ok(CandidateId(at))).collect()
        }

        fn plan(&mut self, jobs: &[PlanJob]) -> Vec<Result<Plan, PlanFailure>> {
            let answer = |job: &PlanJob| {
                let allowed = self.plans[job.sample.0]
                    .iter()
                    .filter(|(used, _)| used.iter().all(|id| job.configuration.contains(id)));
                let best = allowed.min_by(|one, other| one.1.total_cmp(&other.1));
                let (used, cost) = best.cloned().ok_or(PlanFailure::Budget)?;
                let (startup, rows, tree) = (0.0, 1.0, PlanNode::default());
                Ok(Plan { cost, startup, rows, used, used_existing: Vec::new(), tree })
            };
            jobs.iter().map(answer).collect()
        }
    }

    fn option(number: usize, table: u32, size_bytes: u64, units: f64) -> Priced {
        let part = KeyPart::Column(format!("c{number}"));
        let key = KeySpec { part, opclass: None, descending: false, nulls_first: false };
        let (method, keys) = (Method::Btree, vec![key]);
        let (include, predicate) = (Vec::new(), Vec::new());
        let spec = CandidateSpec { table, method, keys, include, predicate, size_bytes };
        let write = WriteCost { units, ..WriteCost::default() };
        Priced { id: CandidateId(number), spec, write }
    }

    fn sample(number: usize, weight: f64, base: f64, candidates: &[usize]) -> Weighted {
        let candidates = candidates.iter().map(|at| CandidateId(*at)).collect();
        Weighted { id: SampleId(number), digest: number, weight, base, candidates }
    }

    /// Numbers that look random and are always the same.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % limit
        }
    }

    struct Instance {
        samples: Vec<Weighted>,
        options: Vec<Priced>,
        plans: Vec<Plans>,
        budget: u64,
    }

    fn instance(seed: u64) -> Instance {
        let mut numbers = Numbers(seed);
        let count = 4 + numbers.below(8) as usize;
        let options: Vec<Priced> = (0..count)
            .map(|at| {
                option(
                    at,
                    numbers.below(3) as u32,
                    1 + numbers.below(100),
                    numbers.below(40) as f64,
                )
            })
            .collect();
        let (mut samples, mut plans) = (Vec::new(), Vec::new());
        for number in 0..2 + numbers.below(6) as usize {
            let base = 100.0 + numbers.below(1_000) as f64;
            let all: Vec<usize> = (0..count).collect();
            samples.push(sample(number, 1.0 + numbers.below(9) as f64, base, &all));
            let mut of: Plans = vec![(Vec::new(), base)];
            for _ in 0..1 + numbers.below(5) {
                let mut used: Vec<CandidateId> = (0..1 + numbers.below(2))
                    .map(|_| CandidateId(numbers.below(count as u64) as usize))
                    .collect();
                used.sort_unstable();
                used.dedup();
                of.push((used, base * numbers.below(100) as f64 / 100.0));
            }
            plans.push(of);
        }
        Instance { samples, options, plans, budget: 20 + numbers.below(300) }
    }

    #[test]
    fn the_chosen_set_is_as_good_as_the_best_of_all_sets() {
        for seed in 0..300 {
            let Instance { samples, options, plans, budget } = instance(seed);
            let mut selection = Selection::new(&samples, &options, budget);
            selection.explore(&mut Canned { plans, vouches: true });
            let useful = selection.useful();
            let greedy = selection.greedy(&useful);
            let chosen = selection.exact(&useful, greedy.clone());
            let best = (0..1_u32 << options.len())
                .map(|bits| {
                    let set = (0..options.len()).filter(|at| bits >> at & 1 == 1).map(CandidateId);
                    set.collect::<Vec<_>>()
                })
                .filter(|set| selection.fits(set))
                .map(|set| selection.objective(&set))
                .fold(f64::INFINITY, f64::min);
            let found = selection.objective(&chosen);
            assert!(selection.fits(&chosen), "seed {seed}");
            assert!(found <= selection.objective(&greedy) + 1e-9, "seed {seed}");
            // candidates that differ by a thousandth are taken as equal
            assert!(found <= best * 1.005, "seed {seed}: {found} against {best}");
        }
    }

    #[test]
    fn selection_repeats_itself_and_a_larger_budget_is_never_worse() {
        for seed in 0..60 {
            let Instance { samples, options, plans, budget } = instance(seed);
            let cost = |budget: u64| {
                let mut selection = Selection::new(&samples, &options, budget);
                selection.explore(&mut Canned { plans: plans.clone(), vouches: true });
                let useful = selection.useful();
                let set = selection.exact(&useful, Vec::new());
                let has = |id: CandidateId| set.contains(&id);
                let reads: f64 = (0..samples.len())
                    .map(|at| samples[at].weight * selection.cost(at, &has))
                    .sum();
                let units: f64 = set
                    .iter()
                    .filter_map(|id| selection.option(*id))
                    .map(|one| one.write.units)
                    .sum();
                (reads + units, set)
            };
            assert_eq!(cost(budget), cost(budget), "seed {seed}");
            let (small, large) = (cost(budget).0, cost(budget * 2).0);
            // space has a price of a few thousandths, which shrinks as the budget grows
            assert!(large <= small * 1.01, "seed {seed}: {large} against {small}");
        }
    }

    /// One sample, one index: base cost, cost with it, write units, weight; whether it is advised.
    #[test]
    fn acceptance_has_its_thresholds() {
        let rows = [
            ("saves 31 %", 1_000.0, 690.0, 0.0, true),
            ("saves 29 %", 1_000.0, 710.0, 0.0, false),
            ("1.6 times its writes", 1_000.0, 200.0, 500.0, true),
            ("1.4 times its writes", 1_000.0, 200.0, 571.0, false),
        ];
        for (name, base, with, units, expected) in rows {
            let (samples, options) = ([sample(0, 1.0, base, &[0])], [option(0, 1, 1, units)]);
            let plans = vec![vec![(Vec::new(), base), (vec![CandidateId(0)], with)]];
            let mut planner = Canned { plans, vouches: true };
            let chosen = Selection::new(&samples, &options, 1_000_000).run(&mut planner);
            assert_eq!(!chosen.is_empty(), expected, "{name}");
            assert!(chosen.iter().all(|chosen| chosen.trust == Trust::Shadow), "{name}");
        }
    }

    #[test]
    fn what_no_planner_vouches_for_is_arithmetic() {
        let (samples, options) = ([sample(0, 1.0, 100.0, &[0])], [option(0, 1, 1, 0.0)]);
        let plans = vec![vec![(Vec::new(), 100.0), (vec![CandidateId(0)], 1.0)]];
        let mut planner = Canned { plans, vouches: false };
        let chosen = Selection::new(&samples, &options, 1_000_000).run(&mut planner);
        assert_eq!(chosen.len(), 1);
        assert_eq!(chosen[0].trust, Trust::Formula);
    }

    #[test]
    fn indexes_that_only_help_together_are_found() {
        let (one, other) = (CandidateId(0), CandidateId(1));
        let samples = [sample(0, 1.0, 1_000.0, &[0, 1])];
        let options = [option(0, 1, 10, 0.0), option(1, 1, 10, 0.0)];
        let plans = vec![vec![(Vec::new(), 1_000.0), (vec![one, other], 10.0)]];
        let chosen =
            Selection::new(&samples, &options, 1_000_000).run(&mut Canned { plans, vouches: true });
        assert_eq!(chosen.len(), 2, "{chosen:?}");
    }
}

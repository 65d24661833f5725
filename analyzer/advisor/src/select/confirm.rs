//! Whether each index of the set is worth its place: plans with exactly the set, and with the set without it.

use super::{Chosen, SHARE_MIN, Selection, ask};
use crate::planner::{CandidateId, Planner, SampleId, Trust};

/// Least saving over the digests that use an index.
const SAVING_MIN: f64 = 0.3;
/// Least benefit by write cost.
const WRITE_RATIO_MIN: f64 = 1.5;
/// Largest rise of any other sample.
const RISE_MAX: f64 = 0.1;

impl Selection<'_> {
    /// Plans with exactly the set, drops what doesn't hold, until it is stable.
    pub(super) fn confirm(
        &mut self,
        planner: &mut dyn Planner,
        mut set: Vec<CandidateId>,
    ) -> Vec<Chosen> {
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
        &mut self,
        planner: &mut dyn Planner,
        set: &[CandidateId],
        id: CandidateId,
    ) -> Chosen {
        let without: Vec<CandidateId> = set.iter().copied().filter(|kept| *kept != id).collect();
        let mut chosen = Chosen { id, uses: Vec::new(), saving: 0.0, trust: Trust::Formula };
        for at in 0..self.samples.len() {
            let samples = self.samples;
            let sample = &samples[at];
            if !sample.candidates.contains(&id) {
                continue;
            }
            let (with, used) = self.planned(planner, at, set);
            let (rest, _) = self.planned(planner, at, &without);
            if used.contains(&id) || with > rest * (1.0 + RISE_MAX) {
                chosen.saving += sample.weight * (rest - with);
                chosen.uses.push((sample.id, rest, with));
            }
        }
        chosen
    }

    /// Cost of a sample under the set, and what it uses: as planned, or as known where nothing more may be asked.
    fn planned(
        &mut self,
        planner: &mut dyn Planner,
        at: usize,
        set: &[CandidateId],
    ) -> (f64, Vec<CandidateId>) {
        let candidates = &self.samples[at].candidates;
        let on = set.iter().copied().filter(|id| candidates.contains(id)).collect();
        if let Some(plan) = ask(planner, self.samples[at].id, on) {
            self.remember(at, &plan);
            return (plan.cost, plan.used);
        }
        let usable =
            self.known[at].iter().filter(|(used, _)| used.iter().all(|id| set.contains(id)));
        let cheapest = usable.min_by(|one, other| one.1.total_cmp(&other.1));
        cheapest.map_or((self.samples[at].base, Vec::new()), |(used, cost)| (*cost, used.clone()))
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

//! What planners have answered already, and plans under the names that candidates will have.

use pgsonde_advisor::planner::{CandidateId, Plan, PlanJob, PlanNode};

/// Answers by sample.
pub(super) struct Answers(Vec<Vec<(Vec<CandidateId>, Plan)>>);

impl Answers {
    pub(super) fn of(samples: usize) -> Self {
        Self(vec![Vec::new(); samples])
    }

    /// What was chosen out of more, and is there, is chosen again.
    pub(super) fn get(&self, job: &PlanJob) -> Option<Plan> {
        let fits = |(on, plan): &&(Vec<CandidateId>, Plan)| {
            *on == job.configuration
                || job.configuration.iter().all(|id| on.contains(id))
                    && plan.used.iter().all(|id| job.configuration.contains(id))
        };
        self.0.get(job.sample.0)?.iter().find(fits).map(|(_, plan)| plan.clone())
    }

    pub(super) fn put(&mut self, job: &PlanJob, plan: &Plan) {
        if let Some(known) = self.0.get_mut(job.sample.0) {
            known.push((job.configuration.clone(), plan.clone()));
        }
    }
}

/// Moves candidates from the indexes that exist to those that were used.
pub(super) fn sort_out(plan: &mut Plan, candidate: impl Fn(&str) -> Option<CandidateId>) {
    plan.used = plan.used_existing.iter().filter_map(|name| candidate(name)).collect();
    plan.used.sort_unstable();
    plan.used.dedup();
    plan.used_existing.retain(|name| candidate(name).is_none());
}

/// Candidates under the names that they will have.
pub(super) fn rename(node: &mut PlanNode, advised: &dyn Fn(&str) -> Option<String>) {
    let renamed = |name: &str| advised(name).unwrap_or_else(|| name.to_owned());
    node.index = node.index.as_deref().map(renamed);
    let names: Vec<String> = node.detail.split(", ").map(renamed).collect();
    node.detail = names.join(", ");
    node.children.iter_mut().for_each(|child| rename(child, advised));
}

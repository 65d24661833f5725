//! The planner that asks the shadow, and arithmetic where the shadow isn't like the target.

use super::super::explain;
use super::super::side::{OneSelect, Side, SideError};
use super::{CANDIDATE, Shadow};
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::planner::{
    CandidateId, CandidateSpec, Plan, PlanFailure, PlanJob, PlanNode, Planner, SampleId, Trust,
    Unsupported,
};
use pgsonde_advisor::workload::Workload;
use pgsonde_analyzer::digest::grammar::Grammar;
use std::time::Duration;

/// Largest difference between live and shadow cost that counts as none.
const EXACT: f64 = 0.001;
/// Largest difference that proves still.
const CLOSE: f64 = 0.01;

/// How one statement's cost on the target compares with that in the shadow.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in super::super) struct Fidelity {
    /// Cost on the target.
    pub(in super::super) live: f64,
    /// Cost in the shadow, if it could be planned there.
    pub(in super::super) shadow: Option<f64>,
    /// Why the shadow proves nothing about it.
    pub(in super::super) doubt: Option<String>,
}

impl Fidelity {
    /// Within 0.1 %.
    pub(in super::super) fn is_exact(&self) -> bool {
        self.doubt.is_none() && self.error() <= EXACT
    }

    /// Relative difference of the costs.
    pub(in super::super) fn error(&self) -> f64 {
        self.shadow
            .map_or(f64::INFINITY, |shadow| (shadow / self.live.max(f64::MIN_POSITIVE) - 1.0).abs())
    }
}

/// The shadow where it is like the target, `rest` elsewhere.
pub(in super::super) struct Tiered<'a, P> {
    shadow: Option<Shadow>,
    rest: P,
    catalog: &'a Catalog,
    workload: &'a Workload,
    grammar: &'a Grammar,
    /// By sample; empty before candidates are installed.
    pub(in super::super) fidelity: Vec<Fidelity>,
    known: Vec<Vec<(Vec<CandidateId>, Plan)>>,
    explains_left: usize,
    /// EXPLAINs that the shadow was sent: where a plan is parallel, two for one question.
    pub(in super::super) explained: u64,
    /// Names of the candidates as they are advised.
    names: Vec<String>,
    /// Why the shadow was given up, if so.
    pub(in super::super) lost: Option<String>,
}

impl<'a, P: Planner> Tiered<'a, P> {
    /// Both planners over one workload; at most `explains_max` questions to the shadow.
    pub(in super::super) fn new(
        shadow: Option<Shadow>,
        rest: P,
        catalog: &'a Catalog,
        workload: &'a Workload,
        grammar: &'a Grammar,
        explains_max: usize,
    ) -> Self {
        let known = vec![Vec::new(); workload.samples.len()];
        let (fidelity, names, lost) = (Vec::new(), Vec::new(), None);
        let explains_left = explains_max;
        Self {
            shadow,
            rest,
            catalog,
            workload,
            grammar,
            fidelity,
            known,
            explains_left,
            explained: 0,
            names,
            lost,
        }
    }

    /// How long it took to build the shadow and its candidates; zero without one.
    pub(in super::super) fn built_in(&self) -> Duration {
        self.shadow.as_ref().map_or(Duration::ZERO, |shadow| shadow.took)
    }

    fn vouches(&self, sample: SampleId) -> bool {
        self.shadow.is_some()
            && self.fidelity.get(sample.0).is_some_and(|found| found.doubt.is_none())
    }

    /// Compares every statement's cost with the live one, before anything is concluded.
    fn compare(&mut self) {
        for at in 0..self.workload.samples.len() {
            let found = self.compare_one(at);
            self.fidelity.push(found);
        }
    }

    fn compare_one(&mut self, at: usize) -> Fidelity {
        let (workload, catalog) = (self.workload, self.catalog);
        let sample = &workload.samples[at];
        let Some(base) = &sample.base else {
            return Fidelity {
                doubt: Some("the target did not plan it".to_owned()),
                ..Fidelity::default()
            };
        };
        let mut found = Fidelity { live: base.cost, ..Fidelity::default() };
        found.doubt = self.shadow.as_ref().and_then(|shadow| shadow.doubt(catalog, sample));
        if found.doubt.is_some() {
            return found;
        }
        match self.explain(SampleId(at), &[], explain::base_plan) {
            Ok(plan) => {
                found.shadow = Some(plan.cost);
                if found.error() > CLOSE {
                    let percent = found.error() * 100.0;
                    found.doubt = Some(format!(
                        "its cost in the shadow differs by {percent:.1} % from that on the target"
                    ));
                } else if !alike(&base.tree, &plan.tree) {
                    found.doubt =
                        Some("its plan in the shadow is not that on the target".to_owned());
                }
                self.known[at].push((Vec::new(), plan));
            }
            Err(failure) => found.doubt = Some(format!("not planned in the shadow: {failure}")),
        }
        found
    }

    /// Where a plan is parallel, only the comparison with the target needs the serial one as well.
    fn explain(
        &mut self,
        id: SampleId,
        on: &[CandidateId],
        how: fn(&mut Side, &OneSelect) -> Result<Plan, SideError>,
    ) -> Result<Plan, PlanFailure> {
        let lost = |why: String| PlanFailure::Lost(why);
        let sample = self.workload.sample(id).ok_or_else(|| lost("no such sample".to_owned()))?;
        let shadow = self.shadow.as_mut().ok_or_else(|| lost("there is no shadow".to_owned()))?;
        self.explains_left = self.explains_left.checked_sub(1).ok_or(PlanFailure::Budget)?;
        let on: Vec<usize> = on.iter().map(|id| id.0).collect();
        shadow.switch(&on).map_err(|error| lost(error.why))?;
        let select = OneSelect::checked(self.grammar, &sample.select)
            .ok_or_else(|| PlanFailure::Refused("it is not one SELECT".to_owned()))?;
        let side = shadow.side.as_mut().ok_or_else(|| lost("the shadow is closed".to_owned()))?;
        let before = side.explained;
        let answer = how(side, &select);
        let asked = side.explained - before;
        self.explained += asked;
        self.explains_left = self.explains_left.saturating_sub(asked.saturating_sub(1) as usize);
        let mut plan = answer.map_err(|error| match error {
            SideError::Server { code, .. } => PlanFailure::Refused(format!("SQLSTATE {code}")),
            other => PlanFailure::Lost(other.to_string()),
        })?;
        let used = plan.used_existing.iter().filter_map(|name| Some(candidate(name)?.0));
        plan.used = used.collect();
        plan.used.sort_unstable();
        plan.used.dedup();
        plan.used_existing.retain(|name| !name.starts_with(CANDIDATE));
        self.rename(&mut plan.tree);
        Ok(plan)
    }

    /// Candidates under the names that they will have.
    fn rename(&self, node: &mut PlanNode) {
        let advised = |name: &str| {
            let (id, part) = candidate(name)?;
            let name = self.names.get(id.0)?;
            Some(if part == 0 { name.clone() } else { format!("{name} (part {part})") })
        };
        let renamed = |name: &str| advised(name).unwrap_or_else(|| name.to_owned());
        node.index = node.index.as_deref().map(renamed);
        if node.detail.contains(CANDIDATE) {
            let names: Vec<String> = node.detail.split(", ").map(renamed).collect();
            node.detail = names.join(", ");
        }
        node.children.iter_mut().for_each(|child| self.rename(child));
    }

    fn answer(&mut self, job: &PlanJob) -> Result<Plan, PlanFailure> {
        let known = self.known.get(job.sample.0).ok_or(PlanFailure::Budget)?;
        // what was chosen out of more, and is there, is chosen again
        let fits = |(on, plan): &&(Vec<CandidateId>, Plan)| {
            *on == job.configuration
                || job.configuration.iter().all(|id| on.contains(id))
                    && plan.used.iter().all(|id| job.configuration.contains(id))
        };
        if let Some((_, plan)) = known.iter().find(fits) {
            return Ok(plan.clone());
        }
        let plan = self.explain(job.sample, &job.configuration, explain::whole_plan)?;
        self.known[job.sample.0].push((job.configuration.clone(), plan.clone()));
        Ok(plan)
    }
}

/// `pgsonde_candidate_7_0` is number 7 on the table's first part.
fn candidate(name: &str) -> Option<(CandidateId, usize)> {
    let (number, part) = name.strip_prefix(CANDIDATE)?.split_once('_')?;
    Some((CandidateId(number.parse().ok()?), part.parse().ok()?))
}

/// The same nodes over the same relations by the same indexes.
fn alike(one: &PlanNode, other: &PlanNode) -> bool {
    one.kind == other.kind
        && one.relation == other.relation
        && one.index == other.index
        && one.children.len() == other.children.len()
        && one.children.iter().zip(&other.children).all(|(one, other)| alike(one, other))
}

impl<P: Planner> Planner for Tiered<'_, P> {
    fn trust(&self) -> Trust {
        if self.shadow.is_some() { Trust::Shadow } else { self.rest.trust() }
    }

    fn trust_of(&self, sample: SampleId, candidate: CandidateId) -> Trust {
        let guessed = self
            .shadow
            .as_ref()
            .is_none_or(|shadow| shadow.guessed.get(candidate.0).copied().unwrap_or(true));
        if self.vouches(sample) && !guessed { Trust::Shadow } else { self.rest.trust() }
    }

    fn install(&mut self, specs: &[CandidateSpec]) -> Vec<Result<CandidateId, Unsupported>> {
        let ids = self.rest.install(specs);
        self.names.extend(specs.iter().map(|spec| ddl::name(self.catalog, spec)));
        let Some(shadow) = &mut self.shadow else { return ids };
        match shadow.add(self.catalog, specs) {
            Ok(refused) => {
                self.compare();
                let refusal = |(id, why): (_, Option<String>)| match why {
                    Some(why) => Err(Unsupported(why)),
                    None => id,
                };
                ids.into_iter().zip(refused).map(refusal).collect()
            }
            Err(error) => {
                self.lost = Some(format!("{}; {}", error.why, error.remedy));
                self.shadow = None;
                ids
            }
        }
    }

    fn plan(&mut self, jobs: &[PlanJob]) -> Vec<Result<Plan, PlanFailure>> {
        let mut plans = Vec::new();
        for job in jobs {
            if self.vouches(job.sample) {
                plans.push(self.answer(job));
            } else {
                plans.extend(self.rest.plan(std::slice::from_ref(job)));
            }
        }
        plans
    }
}

//! The planner that asks the shadow, and arithmetic where the shadow isn't like the target.

use super::super::answers::{self, Answers};
use super::super::explain;
use super::super::proof::{Fidelity, Proof, Unavailable};
use super::super::side::{OneSelect, Side, SideError};
use super::{CANDIDATE, Shadow};
use crate::export::advice::PlannedBy;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::planner::{
    CandidateId, CandidateSpec, Plan, PlanFailure, PlanJob, PlanNode, Planner, SampleId, Trust,
    Unsupported,
};
use pgsonde_advisor::workload::Workload;
use pgsonde_analyzer::digest::grammar::Grammar;
use std::time::Duration;

/// Largest difference that proves still.
const CLOSE: f64 = 0.01;

/// The shadow where it is like the target, `rest` elsewhere.
pub(in super::super) struct Tiered<'a, P> {
    shadow: Option<Shadow>,
    rest: P,
    catalog: &'a Catalog,
    workload: &'a Workload,
    grammar: &'a Grammar,
    /// By sample; empty before candidates are installed.
    fidelity: Vec<Fidelity>,
    answers: Answers,
    explains_left: usize,
    /// EXPLAINs that the shadow was sent: where a plan is parallel, two for one question.
    explained: u64,
    /// Names of the candidates as they are advised.
    names: Vec<String>,
    /// Why the shadow was given up, if so.
    lost: Option<Unavailable>,
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
        let answers = Answers::of(workload.samples.len());
        let (fidelity, names, lost) = (Vec::new(), Vec::new(), None);
        let explains_left = explains_max;
        Self {
            shadow,
            rest,
            catalog,
            workload,
            grammar,
            fidelity,
            answers,
            explains_left,
            explained: 0,
            names,
            lost,
        }
    }

    /// All was asked.
    pub(in super::super) fn proof(self) -> Proof {
        Proof {
            by: PlannedBy::Shadow,
            fidelity: self.fidelity,
            explained: self.explained,
            built_in: self.shadow.map_or(Duration::ZERO, |shadow| shadow.took),
            lost: self.lost,
        }
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
                found.planned = Some(plan.cost);
                if found.error() > CLOSE {
                    let percent = found.error() * 100.0;
                    found.doubt = Some(format!(
                        "its cost in the shadow differs by {percent:.1} % from that on the target"
                    ));
                } else if !alike(&base.tree, &plan.tree) {
                    found.doubt =
                        Some("its plan in the shadow is not that on the target".to_owned());
                }
                let job = PlanJob { sample: SampleId(at), configuration: Vec::new() };
                self.answers.put(&job, &plan);
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
        answers::sort_out(&mut plan, |name| Some(candidate(name)?.0));
        answers::rename(&mut plan.tree, &|name| {
            let (id, part) = candidate(name)?;
            let name = self.names.get(id.0)?;
            Some(if part == 0 { name.clone() } else { format!("{name} (part {part})") })
        });
        Ok(plan)
    }

    fn answer(&mut self, job: &PlanJob) -> Result<Plan, PlanFailure> {
        if let Some(plan) = self.answers.get(job) {
            return Ok(plan);
        }
        let plan = self.explain(job.sample, &job.configuration, explain::whole_plan)?;
        self.answers.put(job, &plan);
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

    fn questions_left(&self) -> usize {
        if self.shadow.is_some() { self.explains_left } else { self.rest.questions_left() }
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
                self.lost = Some(error);
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

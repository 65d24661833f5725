//! The planner that asks HypoPG on the target itself, for whoever can't have a shadow, and arithmetic where it can't.
//!
//! HypoPG makes indexes that only the planner of one session knows. It knows no GIN and has no statistics of
//! expressions, and it guesses sizes.

use super::answers::{self, Answers};
use super::explain::{self, Probes};
use super::proof::{Fidelity, Proof, Unavailable};
use super::side::{HypoPgSchema, OneSelect, SideError};
use crate::export::advice::PlannedBy;
use pgsonde_advisor::catalog::Catalog;
use pgsonde_advisor::ddl;
use pgsonde_advisor::formula::Formula;
use pgsonde_advisor::planner::{
    CandidateId, CandidateSpec, KeyPart, KeySpec, Method, Plan, PlanFailure, PlanJob, Planner,
    SampleId, Trust, Unsupported,
};
use pgsonde_advisor::workload::{Sample, Workload};
use std::time::Duration;

/// Name of the extension.
pub(super) const EXTENSION: &str = "hypopg";

/// A candidate as HypoPG is told of it.
struct Candidate {
    /// `CREATE INDEX …`, one per table or partition; empty where HypoPG can't have it.
    parts: Vec<String>,
    /// As it is advised.
    name: String,
}

/// HypoPG where it can plan, the formula elsewhere.
pub(super) struct HypoPg<'a> {
    rest: Formula<'a, Probes<'a>>,
    schema: HypoPgSchema,
    catalog: &'a Catalog,
    workload: &'a Workload,
    candidates: Vec<Candidate>,
    answers: Answers,
    explains_left: usize,
    /// EXPLAINs that were sent.
    explained: u64,
    /// Why it was given up, if so.
    lost: Option<Unavailable>,
}

impl<'a> HypoPg<'a> {
    /// At most `explains_max` questions, to the extension in `schema`.
    pub(super) fn new(
        rest: Formula<'a, Probes<'a>>,
        schema: &str,
        catalog: &'a Catalog,
        workload: &'a Workload,
        explains_max: usize,
    ) -> Self {
        Self {
            rest,
            schema: HypoPgSchema::named(schema),
            catalog,
            workload,
            candidates: Vec::new(),
            answers: Answers::of(workload.samples.len()),
            explains_left: explains_max,
            explained: 0,
            lost: None,
        }
    }

    /// All was asked. The target agrees with itself: a sample is in doubt for its values alone.
    pub(super) fn proof(self) -> Proof {
        let of = |sample: &Sample| {
            let planned = sample.base.as_ref().map(|plan| plan.cost);
            Fidelity { live: planned.unwrap_or(0.0), planned, doubt: doubt(sample) }
        };
        let fidelity = match &self.lost {
            None => self.workload.samples.iter().map(of).collect(),
            Some(_) => Vec::new(),
        };
        let (explained, lost) = (self.explained, self.lost);
        Proof { by: PlannedBy::HypoPg, fidelity, explained, built_in: Duration::ZERO, lost }
    }

    /// The parts of a candidate, if HypoPG takes them.
    fn parts(&mut self, spec: &CandidateSpec) -> Result<Vec<String>, SideError> {
        let expression = |key: &KeySpec| matches!(key.part, KeyPart::Expression(_));
        if self.lost.is_some() || spec.method != Method::Btree || spec.keys.iter().any(expression) {
            return Ok(Vec::new());
        }
        let body = ddl::body(spec);
        let leaves = self.catalog.leaves(spec.table);
        let part = |leaf| format!("CREATE INDEX ON {} {body}", ddl::qualified(leaf));
        let parts: Vec<String> = leaves.into_iter().map(part).collect();
        self.rest.estimator().side.suppose(&self.schema, &parts).map(|_| parts)
    }

    fn supports(&self, id: CandidateId) -> bool {
        self.candidates.get(id.0).is_some_and(|candidate| !candidate.parts.is_empty())
    }

    fn vouches(&self, sample: SampleId) -> bool {
        self.lost.is_none()
            && self.workload.sample(sample).is_some_and(|sample| doubt(sample).is_none())
    }

    /// The question for HypoPG; `None` where the formula thinks that an index is used that HypoPG can't have.
    fn without_unsupported(&mut self, job: &PlanJob) -> Option<PlanJob> {
        if !self.vouches(job.sample) {
            return None;
        }
        let mut asked = job.clone();
        asked.configuration.retain(|id| self.supports(*id));
        if asked.configuration.len() < job.configuration.len() {
            let estimate = self.rest.plan(std::slice::from_ref(job)).pop()?.ok()?;
            estimate.used.iter().all(|id| self.supports(*id)).then_some(asked)
        } else {
            Some(asked)
        }
    }

    fn answer(&mut self, job: &PlanJob) -> Result<Plan, PlanFailure> {
        if let Some(plan) = self.answers.get(job) {
            return Ok(plan);
        }
        let lost = || PlanFailure::Lost("no such sample".to_owned());
        let sample = self.workload.sample(job.sample).ok_or_else(lost)?;
        let plan = match &sample.base {
            Some(base) if job.configuration.is_empty() => base.clone(),
            _ => self.explain(sample, &job.configuration)?,
        };
        self.answers.put(job, &plan);
        Ok(plan)
    }

    fn explain(&mut self, sample: &Sample, on: &[CandidateId]) -> Result<Plan, PlanFailure> {
        self.explains_left = self.explains_left.checked_sub(1).ok_or(PlanFailure::Budget)?;
        let (mut indexes, mut of) = (Vec::new(), Vec::new());
        for id in on {
            for (at, part) in self.candidates[id.0].parts.iter().enumerate() {
                indexes.push(part.clone());
                of.push((*id, at));
            }
        }
        let probes = self.rest.estimator();
        let select = OneSelect::checked(probes.grammar, &sample.select)
            .ok_or_else(|| PlanFailure::Refused("it is not one SELECT".to_owned()))?;
        self.explained += 1;
        let answer = probes.side.explain_supposing(&self.schema, &indexes, &select);
        let (json, names) = answer.map_err(|error| match error {
            SideError::Server { code, .. } => PlanFailure::Refused(format!("SQLSTATE {code}")),
            other => PlanFailure::Lost(other.to_string()),
        })?;
        let mut plan = explain::plan_of(&json);
        let place = |name: &str| of.get(names.iter().position(|known| known == name)?).copied();
        answers::sort_out(&mut plan, |name| Some(place(name)?.0));
        answers::rename(&mut plan.tree, &|name| {
            let (id, part) = place(name)?;
            let name = &self.candidates[id.0].name;
            Some(if part == 0 { name.clone() } else { format!("{name} (part {part})") })
        });
        Ok(plan)
    }
}

/// What keeps HypoPG from being asked.
pub(super) fn not_installed() -> Unavailable {
    Unavailable::new(
        "HypoPG is not installed in the database".to_owned(),
        "CREATE EXTENSION hypopg there, or set what_if to shadow".to_owned(),
    )
}

fn refused(error: &SideError) -> Unavailable {
    match error {
        SideError::Server { .. } => Unavailable::new(
            "the role may not use HypoPG".to_owned(),
            "GRANT USAGE on its schema and EXECUTE on hypopg_create_index and hypopg_reset"
                .to_owned(),
        ),
        other => Unavailable::new(format!("HypoPG did not answer: {other}"), String::new()),
    }
}

/// Why answers about this sample prove nothing, if so.
fn doubt(sample: &Sample) -> Option<String> {
    if sample.base.is_none() {
        return Some("the target did not plan it".to_owned());
    }
    sample.assumed_values.then(|| "its values are not known".to_owned())
}

impl Planner for HypoPg<'_> {
    fn trust(&self) -> Trust {
        if self.lost.is_none() { Trust::HypoPg } else { self.rest.trust() }
    }

    fn trust_of(&self, sample: SampleId, candidate: CandidateId) -> Trust {
        if self.vouches(sample) && self.supports(candidate) {
            Trust::HypoPg
        } else {
            self.rest.trust()
        }
    }

    fn questions_left(&self) -> usize {
        if self.lost.is_none() { self.explains_left } else { self.rest.questions_left() }
    }

    fn install(&mut self, specs: &[CandidateSpec]) -> Vec<Result<CandidateId, Unsupported>> {
        let ids = self.rest.install(specs);
        for spec in specs {
            let parts = match self.parts(spec) {
                Ok(parts) => parts,
                // It knows no such index; the formula does.
                Err(SideError::Server { code, .. }) if code != "42501" => Vec::new(),
                Err(error) => {
                    self.lost = Some(refused(&error));
                    Vec::new()
                }
            };
            self.candidates.push(Candidate { parts, name: ddl::name(self.catalog, spec) });
        }
        ids
    }

    fn plan(&mut self, jobs: &[PlanJob]) -> Vec<Result<Plan, PlanFailure>> {
        let mut plans = Vec::new();
        for job in jobs {
            match self.without_unsupported(job) {
                Some(job) => plans.push(self.answer(&job)),
                None => plans.extend(self.rest.plan(std::slice::from_ref(job))),
            }
        }
        plans
    }
}

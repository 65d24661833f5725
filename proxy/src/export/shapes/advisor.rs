//! What the index advisor does, in `/api/v1/info`.

use crate::advisor::live::Planned;
use crate::export::clock::rfc3339_unix;
use crate::export::status::{AdvisorDatabase, AdvisorStatus};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AdvisorInfo {
    /// The best that it can say now: off, suspect, estimated, verified.
    pub(crate) tier: String,
    /// What keeps it from saying more, each with a remedy.
    pub(crate) problems: Vec<AdvisorProblemInfo>,
    pub(crate) databases: Vec<AdvisorDatabaseInfo>,
    /// EXPLAINs on the target since start, by outcome.
    pub(crate) explains: BTreeMap<String, u64>,
    /// What was left out since start, by reason.
    pub(crate) skipped: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AdvisorProblemInfo {
    pub(crate) db_name: Option<String>,
    pub(crate) what: String,
    pub(crate) remedy: String,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct AdvisorDatabaseInfo {
    pub(crate) db_name: String,
    pub(crate) run_at: String,
    pub(crate) run_ms: u64,
    pub(crate) statements: usize,
    pub(crate) candidates: usize,
    /// Plans that were compared between target and shadow; absent without a shadow.
    pub(crate) plans_compared: Option<usize>,
    /// Those within 0.1 %.
    pub(crate) plans_exact: Option<usize>,
    /// Existing indexes that may be unnecessary; nothing is ever dropped.
    pub(crate) existing_indexes: Vec<ExistingIndex>,
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct ExistingIndex {
    pub(crate) table: String,
    pub(crate) index: String,
    /// duplicate, redundant, unused, invalid.
    pub(crate) kind: String,
    pub(crate) why: String,
}

/// Answer of `POST …/statements/{digest}/explain`: EXPLAIN without ANALYZE, without values.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub(crate) struct StatementPlan {
    /// Lines, as psql shows them.
    pub(crate) plan: Vec<String>,
    /// In planner units.
    pub(crate) cost: f64,
    /// Rows that the planner expects.
    pub(crate) rows: f64,
    /// What differs from PostgreSQL's defaults and changes plans.
    pub(crate) settings: BTreeMap<String, String>,
    /// The values are such as the statistics suggest; false where such as were sent were taken.
    pub(crate) generic: bool,
}

impl From<Planned> for StatementPlan {
    fn from(planned: Planned) -> Self {
        let Planned { lines: plan, cost, rows, settings, generic } = planned;
        Self { plan, cost, rows, settings, generic }
    }
}

impl From<&AdvisorStatus> for AdvisorInfo {
    fn from(status: &AdvisorStatus) -> Self {
        let counted = |(name, count): &(&'static str, u64)| ((*name).to_owned(), *count);
        let problems = status.problems.iter().map(|problem| AdvisorProblemInfo {
            db_name: problem.database.clone(),
            what: problem.what.clone(),
            remedy: problem.remedy.clone(),
        });
        Self {
            tier: status.tier.to_owned(),
            problems: problems.collect(),
            databases: status.databases.iter().map(AdvisorDatabaseInfo::from).collect(),
            explains: status.explains.iter().map(counted).collect(),
            skipped: status.skipped.iter().map(counted).collect(),
        }
    }
}

impl From<&AdvisorDatabase> for AdvisorDatabaseInfo {
    fn from(database: &AdvisorDatabase) -> Self {
        let existing = |[table, index, kind, why]: &[String; 4]| ExistingIndex {
            table: table.clone(),
            index: index.clone(),
            kind: kind.clone(),
            why: why.clone(),
        };
        Self {
            db_name: database.name.clone(),
            run_at: rfc3339_unix(database.run_unix_us),
            run_ms: database.run_ms,
            statements: database.statements,
            candidates: database.candidates,
            plans_compared: database.fidelity.map(|(compared, _)| compared),
            plans_exact: database.fidelity.map(|(_, exact)| exact),
            existing_indexes: database.existing_indexes.iter().map(existing).collect(),
            notes: database.notes.clone(),
        }
    }
}

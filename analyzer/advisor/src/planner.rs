//! Who answers "what would this statement cost with those indexes": a formula, a shadow of the database, HypoPG.

use crate::catalog::Oid;
use std::fmt;

/// How far a planner's answers may be believed; it caps the tier of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Arithmetic over statistics: `estimated`.
    Formula,
    /// HypoPG on the target: `verified (HypoPG)`.
    HypoPg,
    /// PostgreSQL's planner over the target's statistics: `verified`.
    Shadow,
}

/// A candidate, by its place in the list that was installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CandidateId(pub usize);

/// A statement with one set of values, by its place in the run's list of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleId(pub usize);

/// An index that doesn't exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CandidateSpec {
    /// The table, or the partitioned parent.
    pub table: Oid,
    /// `btree`, `gin`.
    pub method: Method,
    /// Keys in order.
    pub keys: Vec<KeySpec>,
    /// INCLUDE columns, by name.
    pub include: Vec<String>,
    /// Conjuncts of the predicate, as SQL over bare column names.
    pub predicate: Vec<String>,
    /// True bytes after CREATE INDEX; over all partitions.
    pub size_bytes: u64,
}

/// Access method of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// btree
    Btree,
    /// gin
    Gin,
}

/// One key of a candidate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeySpec {
    /// What is indexed.
    pub part: KeyPart,
    /// An operator class that isn't the type's default, schema-qualified outside of `pg_catalog`, as SQL.
    pub opclass: Option<String>,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// What a key is made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyPart {
    /// A column by name.
    Column(String),
    /// An expression in normal text: SQL over bare column names.
    Expression(String),
}

/// One question: a sample under a configuration. An empty configuration is the base.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlanJob {
    /// The statement with its values.
    pub sample: SampleId,
    /// Candidates taken as existing, sorted.
    pub configuration: Vec<CandidateId>,
}

/// The answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Total cost in planner units.
    pub cost: f64,
    /// Cost until the first row.
    pub startup: f64,
    /// Rows expected.
    pub rows: f64,
    /// Candidates that the plan uses, sorted.
    pub used: Vec<CandidateId>,
    /// Existing indexes that the plan uses, by name, sorted.
    pub used_existing: Vec<String>,
    /// The plan; its expressions hold values, so it is redacted before it is shown.
    pub tree: PlanNode,
}

/// A node of EXPLAIN (FORMAT JSON), as far as it is needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanNode {
    /// `Node Type`.
    pub kind: String,
    /// `Parent Relationship`: Outer, Inner, Member, SubPlan, InitPlan.
    pub relationship: String,
    /// `Relation Name`.
    pub relation: Option<String>,
    /// `Alias`.
    pub alias: Option<String>,
    /// `Index Name`.
    pub index: Option<String>,
    /// `Startup Cost`.
    pub startup: f64,
    /// `Total Cost`.
    pub total: f64,
    /// `Plan Rows`.
    pub rows: f64,
    /// `Plan Width`, bytes.
    pub width: f64,
    /// `Strategy` of an aggregate, `Join Type` of a join, the indexes of a bitmap.
    pub detail: String,
    /// Filter, index and join conditions as the server writes them.
    pub conditions: Vec<String>,
    /// Children.
    pub children: Vec<PlanNode>,
}

/// A candidate that a planner can't take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported(pub String);

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanFailure {
    /// The planner refused the statement; its SQLSTATE or reason, never its text.
    Refused(String),
    /// The budget of EXPLAINs is spent.
    Budget,
    /// The planner is gone.
    Lost(String),
}

/// Plans samples under configurations.
pub trait Planner {
    /// What the answers are worth.
    fn trust(&self) -> Trust;

    /// What the answers about this sample under this candidate are worth.
    fn trust_of(&self, sample: SampleId, candidate: CandidateId) -> Trust {
        let _ = (sample, candidate);
        self.trust()
    }

    /// Questions that it would still answer.
    fn questions_left(&self) -> usize {
        usize::MAX
    }

    /// Makes candidates known; called once per wave, ids continue those of earlier waves.
    fn install(&mut self, specs: &[CandidateSpec]) -> Vec<Result<CandidateId, Unsupported>>;

    /// Answers each job, in order.
    fn plan(&mut self, jobs: &[PlanJob]) -> Vec<Result<Plan, PlanFailure>>;
}

impl fmt::Display for PlanFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(reason) => write!(f, "the planner refused it ({reason})"),
            Self::Budget => f.write_str("the budget of EXPLAINs is spent"),
            Self::Lost(reason) => write!(f, "the planner is gone ({reason})"),
        }
    }
}

impl PlanNode {
    /// This node and all below it, depth first.
    pub fn walk<'a>(&'a self, visit: &mut dyn FnMut(&'a Self)) {
        visit(self);
        self.children.iter().for_each(|child| child.walk(visit));
    }
}

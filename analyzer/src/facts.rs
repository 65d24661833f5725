//! What the grammar knows about one statement: plain data, no parser types.
//!
//! Column and table names are as the text spells them, unquoted identifiers folded to lower case. A
//! predicate is only listed where its column could be attributed to one relation without a catalogue:
//! an alias-qualified column, or an unqualified one where the scope has exactly one relation.

use crate::snapshot::Operation;

/// Facts about one statement (design of the index advisor, section 3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementFacts {
    /// What it does.
    pub operation: Operation,
    /// Relations read or written, in order of appearance, without duplicates; CTE names left out.
    pub relations: Vec<Relation>,
    /// Whether it writes: INSERT, UPDATE, DELETE, MERGE, also inside WITH, or SELECT INTO.
    pub writes: bool,
    /// Whether it has a FROM clause with at least one relation (a look-up can be a child of an N+1).
    pub has_from: bool,
    /// Predicates, at most 64.
    pub predicates: Vec<Predicate>,
    /// Plain columns of the outermost target list: position from 0, relation index, column name.
    /// `*` and expressions are left out.
    pub target_columns: Vec<TargetColumn>,
    /// Relation whose every column is output by a bare `*` or `alias.*` as the only target, if any.
    pub star_of: Option<usize>,
    /// Every target is count/exists/sum/min/max/avg.
    pub aggregate: bool,
    /// GROUP BY, DISTINCT, window functions or set operations.
    pub grouped: bool,
    /// FOR UPDATE / FOR SHARE.
    pub locking: bool,
    /// LIMIT or FETCH FIRST present.
    pub limited: bool,
    /// LIMIT above 1, or by a parameter whose value isn't known from the text.
    pub limit_may_exceed_one: bool,
    /// ORDER BY columns that could be attributed.
    pub order_by: Vec<TargetColumn>,
    /// Function names called anywhere (lower case), at most 16.
    pub functions: Vec<String>,
    /// Function calls in the target list other than the usual aggregates.
    pub functions_in_targets: bool,
    /// Slots of OFFSET of the outermost query.
    pub skip_slots: Vec<u16>,
    /// Patterns that a server can't run fast, at most 8.
    pub smells: Vec<Smell>,
    /// What a change of a table does to its other users.
    pub change: Option<Box<TableChange>>,
    /// Residual predicates (`<>`, NOT IN, multi-table expressions …) that no index serves.
    pub residuals: usize,
}

/// A pattern in a text that a server can't run fast.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Smell {
    /// Which (findings, section 4.4).
    pub rule: &'static str,
    /// Where it begins in the text for the parser, in bytes.
    pub parser_offset: usize,
    /// Index into [`StatementFacts::relations`] and column, where they are known.
    pub column: Option<(usize, String)>,
}

/// What a change of a table does to its other users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableChange {
    /// The table, where the text names it.
    pub table: Option<Relation>,
    /// Hazards of locking (findings, section 4.3), each rule once.
    pub hazards: Vec<Hazard>,
    /// The lock that it takes.
    pub lock: LockMode,
    /// It makes the table: not where one of that name may have been there before.
    pub creates: bool,
    /// The table is temporary: nobody else sees it.
    pub temporary: bool,
    /// It validates a constraint.
    pub validates: bool,
}

/// One way to lock out others for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Which (findings, section 4.3).
    pub rule: &'static str,
    /// The text alone decides it; else it depends on what the text doesn't say (the old type, a validated CHECK).
    pub sure: bool,
}

/// Locks on tables that matter here, by what they keep out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LockMode {
    /// None that keeps out reads or writes.
    #[default]
    Light,
    /// Writes wait.
    Share,
    /// Writes wait.
    ShareRowExclusive,
    /// Everything waits.
    AccessExclusive,
}

impl LockMode {
    /// As PostgreSQL's manual spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Light => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }
}

/// One table reference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// Schema, if written.
    pub schema: Option<String>,
    /// Name.
    pub name: String,
    /// Alias, if written.
    pub alias: Option<String>,
}

/// A plain column at a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetColumn {
    /// Position, from 0.
    pub position: usize,
    /// Index into [`StatementFacts::relations`].
    pub relation: usize,
    /// Column name.
    pub column: String,
}

/// One condition on one column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Index into [`StatementFacts::relations`].
    pub relation: usize,
    /// Column name.
    pub column: String,
    /// Class of the operator.
    pub class: PredicateClass,
    /// Slots (parameters and literals) on the value side; empty for joins and constants.
    pub slots: Vec<u16>,
    /// The other side of a join: (relation index, column).
    pub join: Option<(usize, String)>,
    /// Whether it stands in the outermost query's WHERE/ON, AND-connected.
    pub top_level: bool,
}

/// Operator classes of the index advisor, section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum PredicateClass {
    Eq,
    In,
    Range,
    LikePrefix,
    LikeInfix,
    Json,
    Expr,
    Null,
    Join,
}

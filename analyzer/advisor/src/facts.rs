//! What one statement asks for, scan by scan: the vocabulary between the parser and the advisor.
//!
//! Texts are SQL over bare column names. They hold the statement's values, so they never leave memory.

use std::fmt;

/// What a statement does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operation {
    /// SELECT, VALUES.
    #[default]
    Select,
    /// INSERT.
    Insert,
    /// UPDATE.
    Update,
    /// DELETE.
    Delete,
    /// MERGE.
    Merge,
    /// Anything else: no advice.
    Other,
}

/// One statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatementFacts {
    /// What it does.
    pub operation: Operation,
    /// References to tables, in order of appearance.
    pub scans: Vec<Scan>,
    /// Tables that it writes.
    pub writes: Vec<Write>,
    /// It holds `$n`: without values only a generic plan can be had.
    pub parameters: bool,
    /// It locks rows (FOR UPDATE, FOR SHARE).
    pub locking: bool,
}

/// A write to one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Schema as written.
    pub schema: Option<String>,
    /// Table.
    pub relation: String,
    /// INSERT, UPDATE or DELETE; MERGE gives one of each kind that it holds.
    pub operation: Operation,
    /// SET columns of an UPDATE.
    pub columns: Vec<String>,
    /// Rows of a VALUES list; `None` where the plan must say it.
    pub rows: Option<u64>,
}

/// One reference to one table inside one statement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Schema as written.
    pub schema: Option<String>,
    /// Table.
    pub relation: String,
    /// Alias, else the table's name.
    pub alias: String,
    /// Conjuncts that filter or join it.
    pub predicates: Vec<Predicate>,
    /// ORDER BY of its query, where all keys are its own and nothing groups in between.
    pub order: Vec<OrderKey>,
    /// LIMIT and OFFSET of its query.
    pub limit: Option<Limit>,
    /// Columns that the statement refers to, sorted.
    pub columns: Vec<String>,
    /// `*`: all columns.
    pub all_columns: bool,
    /// The only one in its FROM clause.
    pub alone: bool,
}

/// LIMIT and OFFSET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// LIMIT, if it is a literal.
    pub count: Option<u64>,
    /// OFFSET, if it is a literal.
    pub offset: u64,
}

/// A key of ORDER BY, `min` or `max`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderKey {
    /// What is sorted by.
    pub key: Key,
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST, after the default of the direction.
    pub nulls_first: bool,
}

/// One conjunct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// Its class.
    pub class: Class,
    /// The column side.
    pub key: Key,
    /// The other side.
    pub value: Value,
    /// The whole conjunct over bare columns, if it is about this scan alone.
    pub text: Option<String>,
}

/// How an index can serve a conjunct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class {
    /// `c = v`, a bare boolean.
    Eq,
    /// `c IN (…)`, `c = ANY(…)`: number of values if known.
    In(Option<usize>),
    /// `<`, `<=`, `>`, `>=`, BETWEEN.
    Range,
    /// A pattern with a fixed start of that many characters.
    LikePrefix(usize),
    /// Another pattern; its longest run without wildcards, in characters.
    LikeInfix(usize),
    /// A containment operator of jsonb, arrays, tsvector.
    Contains(String),
    /// IS NULL (true) or IS NOT NULL (false).
    Null(bool),
    /// Equal to a column of another scan, by its place.
    Join(usize, JoinKind),
    /// A disjunction whose arms are about this scan alone.
    Or(Vec<Vec<Predicate>>),
    /// A filter that no index serves.
    Residual,
}

/// What a join does to its sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JoinKind {
    /// Inner, or one whose kind doesn't matter.
    Inner,
    /// This scan is the nullable side.
    Outer,
    /// EXISTS, IN (SELECT …), a correlated sub-query.
    Semi,
    /// NOT EXISTS.
    Anti,
}

/// The column side of a conjunct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A plain column.
    Column(String),
    /// An expression in normal text, and its columns.
    Expression(String, Vec<String>),
    /// `(a, b)` of a row comparison.
    Row(Vec<String>),
    /// None: residual filters and disjunctions.
    None,
}

/// The other side of a conjunct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A literal in the text, with its own type where that is plain.
    Literal(LiteralKind),
    /// `$n`.
    Parameter(u16),
    /// A column of another scan.
    Column,
    /// Something without columns that stays the same within the statement: `now()`, a scalar sub-query.
    Stable,
    /// Nothing: IS NULL, a bare boolean.
    None,
}

/// Type of a literal, as the parser sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiteralKind {
    /// An integer.
    Integer,
    /// A number with a fraction, or too large for an integer.
    Numeric,
    /// A string of type unknown: it takes the column's type.
    Unknown,
    /// TRUE, FALSE.
    Boolean,
    /// Cast to the named type.
    Typed(String),
    /// A list.
    List,
    /// NULL.
    Null,
}

impl Key {
    /// The columns that it is made of.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Self::Column(column) => vec![column],
            Self::Expression(_, columns) | Self::Row(columns) => {
                columns.iter().map(String::as_str).collect()
            }
            Self::None => Vec::new(),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Column(column) => f.write_str(column),
            Self::Expression(text, _) => write!(f, "<{text}>"),
            Self::Row(columns) => write!(f, "({})", columns.join(",")),
            Self::None => f.write_str("-"),
        }
    }
}

impl fmt::Display for Predicate {
    /// Class and key, without values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match &self.class {
            Class::Eq => write!(f, "eq {key}"),
            Class::In(Some(count)) => write!(f, "in{count} {key}"),
            Class::In(None) => write!(f, "in {key}"),
            Class::Range => write!(f, "range {key}"),
            Class::LikePrefix(length) => write!(f, "prefix{length} {key}"),
            Class::LikeInfix(run) => write!(f, "infix{run} {key}"),
            Class::Contains(operator) => write!(f, "contains{operator} {key}"),
            Class::Null(true) => write!(f, "null {key}"),
            Class::Null(false) => write!(f, "notnull {key}"),
            Class::Join(other, kind) => write!(f, "{} {key}={other}", kind.word()),
            Class::Or(arms) => {
                let arm = |arm: &Vec<Self>| {
                    arm.iter().map(ToString::to_string).collect::<Vec<_>>().join(" & ")
                };
                write!(f, "or({})", arms.iter().map(arm).collect::<Vec<_>>().join(" | "))
            }
            Class::Residual => f.write_str("residual"),
        }
    }
}

impl JoinKind {
    fn word(self) -> &'static str {
        match self {
            Self::Inner => "join",
            Self::Outer => "outer",
            Self::Semi => "semi",
            Self::Anti => "anti",
        }
    }
}

impl fmt::Display for Scan {
    /// `orders: eq customer_id; order created_at desc; limit 20`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = self.predicates.iter().map(ToString::to_string).collect();
        if !self.order.is_empty() {
            let keys: Vec<String> = self.order.iter().map(ToString::to_string).collect();
            parts.push(format!("order {}", keys.join(",")));
        }
        if let Some(limit) = self.limit {
            let count = limit.count.map_or("?".to_owned(), |count| count.to_string());
            let offset =
                if limit.offset > 0 { format!("+{}", limit.offset) } else { String::new() };
            parts.push(format!("limit {count}{offset}"));
        }
        let schema = self.schema.as_ref().map_or(String::new(), |schema| format!("{schema}."));
        write!(f, "{schema}{}: {}", self.relation, parts.join("; "))
    }
}

impl fmt::Display for OrderKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let direction = if self.descending { " desc" } else { "" };
        let nulls = match (self.descending, self.nulls_first) {
            (false, true) => " nulls first",
            (true, false) => " nulls last",
            _ => "",
        };
        write!(f, "{}{direction}{nulls}", self.key)
    }
}

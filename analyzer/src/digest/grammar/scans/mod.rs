//! The index advisor's view of a statement: scans with their predicates, through CTEs, sub-queries and views.

mod condition;
mod output;
mod select_form;
mod sources;
#[cfg(test)]
mod tests;
mod value;

use super::node::{Tree, boxed, each};
use super::{Grammar, PARSED_BYTES_MAX, node};
use pg_query::ParserOptions;
use pg_query::protobuf::{Node, WithClause};
use pgsonde_advisor::facts::{Operation, Scan, StatementFacts, Write};
use sources::{Cte, Scope};
use std::collections::BTreeMap;

/// Most references to tables in one statement that are followed.
const SCANS_MAX: usize = 32;
/// Most predicates of one scan.
const PREDICATES_MAX: usize = 64;
/// Deepest nesting of views and sub-queries that is followed.
const NESTING_MAX: usize = 24;

/// What the catalogue knows about names. Without one, only qualified columns and single tables are resolved.
pub trait Names {
    /// The columns of a table or view, in order.
    fn columns(&self, schema: Option<&str>, relation: &str) -> Option<Vec<String>>;

    /// The query of a view; `None` for tables and materialized views.
    fn view(&self, schema: Option<&str>, relation: &str) -> Option<String>;
}

/// No catalogue.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn columns(&self, _: Option<&str>, _: &str) -> Option<Vec<String>> {
        None
    }

    fn view(&self, _: Option<&str>, _: &str) -> Option<String> {
        None
    }
}

impl Grammar {
    /// The scans of one statement. `None` where the text isn't exactly one statement that the parser can read.
    pub fn scans(&self, text: &str, names: &dyn Names) -> Option<StatementFacts> {
        let statement = parsed(text)?;
        let mut walk = Walk {
            names,
            facts: StatementFacts::default(),
            scopes: Vec::new(),
            ctes: Vec::new(),
            depth: 0,
        };
        walk.facts.operation = walk.statement(&statement);
        walk.facts.parameters = statement
            .nodes()
            .iter()
            .any(|(found, ..)| matches!(found, pg_query::NodeRef::ParamRef(_)));
        walk.finish();
        Some(walk.facts)
    }

    /// The statement as one SELECT that reads what it would read, without locks; `None` where it reads nothing.
    pub fn select_form(&self, text: &str) -> Option<String> {
        select_form::of(parsed(text)?)
    }

    /// Whether a text is exactly one statement that the parser can read.
    pub fn is_statement(&self, text: &str) -> bool {
        parsed(text).is_some()
    }

    /// An expression in normal text: bare columns, no casts of literals.
    pub fn normal_expression(&self, text: &str) -> Option<String> {
        let Tree::SelectStmt(select) = parsed(&format!("SELECT {text}"))? else { return None };
        let Some(Tree::ResTarget(target)) = each(&select.target_list).next() else { return None };
        value::normal(boxed(&target.val)?)
    }

    /// The conjuncts of a condition, each in normal text.
    pub fn normal_conjuncts(&self, condition: &str) -> Option<Vec<String>> {
        let Tree::SelectStmt(select) = parsed(&format!("SELECT WHERE {condition}"))? else {
            return None;
        };
        let mut conjuncts = Vec::new();
        condition::flatten(boxed(&select.where_clause)?, &mut conjuncts);
        conjuncts.into_iter().map(value::normal).collect()
    }
}

/// The tree of a text that is one statement.
fn parsed(text: &str) -> Option<Tree> {
    if text.len() > PARSED_BYTES_MAX || text.trim_ascii().is_empty() {
        return None;
    }
    let mut parsed = pg_query::parse(text, ParserOptions::from(0)).ok()?;
    match &mut parsed.protobuf.stmts[..] {
        [only] => only.stmt.take()?.node,
        _ => None,
    }
}

/// A column of a scan.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Origin {
    scan: usize,
    column: String,
}

/// Output columns of a query that lead to plain columns, several for UNION ALL. In order, by name.
type Outputs = Vec<(String, Vec<Origin>)>;

struct Walk<'n> {
    names: &'n dyn Names,
    facts: StatementFacts,
    scopes: Vec<Scope>,
    ctes: Vec<Cte>,
    depth: usize,
}

impl Walk<'_> {
    fn statement(&mut self, statement: &Tree) -> Operation {
        match statement {
            Tree::SelectStmt(select) => {
                self.select(select);
                Operation::Select
            }
            Tree::InsertStmt(insert) => {
                let ctes = self.with(insert.with_clause.as_ref(), statement);
                let mut rows = None;
                if let Some(Tree::SelectStmt(select)) = boxed(&insert.select_stmt) {
                    rows = (!select.values_lists.is_empty())
                        .then_some(select.values_lists.len() as u64);
                    self.select(select);
                }
                self.write(insert.relation.as_ref(), Operation::Insert, &[], rows);
                self.ctes.truncate(ctes);
                Operation::Insert
            }
            Tree::UpdateStmt(update) => {
                let ctes = self.with(update.with_clause.as_ref(), statement);
                self.write(update.relation.as_ref(), Operation::Update, &update.target_list, None);
                self.scopes.push(Scope::default());
                self.table_sources(update.relation.as_ref(), &update.from_clause);
                self.filter(boxed(&update.where_clause));
                each(&update.target_list).for_each(|target| self.note(target));
                self.scopes.pop();
                self.ctes.truncate(ctes);
                Operation::Update
            }
            Tree::DeleteStmt(delete) => {
                let ctes = self.with(delete.with_clause.as_ref(), statement);
                self.write(delete.relation.as_ref(), Operation::Delete, &[], None);
                self.scopes.push(Scope::default());
                self.table_sources(delete.relation.as_ref(), &delete.using_clause);
                self.filter(boxed(&delete.where_clause));
                self.scopes.pop();
                self.ctes.truncate(ctes);
                Operation::Delete
            }
            Tree::MergeStmt(merge) => {
                let ctes = self.with(merge.with_clause.as_ref(), statement);
                self.merge(merge);
                self.ctes.truncate(ctes);
                Operation::Merge
            }
            _ => Operation::Other,
        }
    }

    fn merge(&mut self, merge: &pg_query::protobuf::MergeStmt) {
        self.scopes.push(Scope::default());
        let source: Vec<Node> = merge.source_relation.as_deref().cloned().into_iter().collect();
        self.table_sources(merge.relation.as_ref(), &source);
        self.filter(boxed(&merge.join_condition));
        for clause in each(&merge.merge_when_clauses) {
            let Tree::MergeWhenClause(when) = clause else { continue };
            let operation = match when.command_type() {
                pg_query::protobuf::CmdType::CmdInsert => Operation::Insert,
                pg_query::protobuf::CmdType::CmdUpdate => Operation::Update,
                pg_query::protobuf::CmdType::CmdDelete => Operation::Delete,
                _ => continue,
            };
            let columns = if operation == Operation::Update { &when.target_list[..] } else { &[] };
            self.write(merge.relation.as_ref(), operation, columns, None);
        }
        self.scopes.pop();
    }

    fn write(
        &mut self,
        range: Option<&pg_query::protobuf::RangeVar>,
        operation: Operation,
        targets: &[Node],
        rows: Option<u64>,
    ) {
        let Some(range) = range else { return };
        let column = |target: &Tree| match target {
            Tree::ResTarget(target) => Some(target.name.clone()),
            _ => None,
        };
        self.facts.writes.push(Write {
            schema: sources::written(&range.schemaname),
            relation: range.relname.clone(),
            operation,
            columns: each(targets).filter_map(column).collect(),
            rows,
        });
    }

    /// Registers the CTEs of a statement; gives how many there were before.
    fn with(&mut self, clause: Option<&WithClause>, statement: &Tree) -> usize {
        let before = self.ctes.len();
        let Some(clause) = clause else { return before };
        let references = references(statement);
        for cte in each(&clause.ctes) {
            let Tree::CommonTableExpr(cte) = cte else { continue };
            let Some(query) = boxed(&cte.ctequery) else { continue };
            let once = references.get(cte.ctename.as_str()).copied().unwrap_or(0) == 1;
            let materialized = cte.ctematerialized() == pg_query::protobuf::CteMaterialize::Always;
            let plain = matches!(query, Tree::SelectStmt(_)) && !clause.recursive && !materialized;
            let inlined = plain && once;
            let names: Vec<String> =
                node::names(&cte.aliascolnames).flatten().map(str::to_owned).collect();
            if !inlined {
                // opaque to those who refer to it, its own predicates count
                if clause.recursive {
                    self.ctes.push(Cte {
                        name: cte.ctename.clone(),
                        query: None,
                        columns: names.clone(),
                    });
                }
                self.nested(query);
            }
            let query = inlined.then(|| query.clone());
            self.ctes.push(Cte { name: cte.ctename.clone(), query, columns: names });
        }
        before
    }

    /// A statement inside of this one that sees nothing of the outer scopes.
    fn nested(&mut self, statement: &Tree) {
        let scopes = std::mem::take(&mut self.scopes);
        self.statement(statement);
        self.scopes = scopes;
    }

    /// Index of a new scan.
    fn scan(&mut self, schema: &str, relation: &str, alias: &str) -> Option<usize> {
        if self.facts.scans.len() >= SCANS_MAX {
            return None;
        }
        self.facts.scans.push(Scan {
            schema: sources::written(schema),
            relation: relation.to_owned(),
            alias: alias.to_owned(),
            ..Scan::default()
        });
        Some(self.facts.scans.len() - 1)
    }

    /// Columns sorted and named once.
    fn finish(&mut self) {
        for scan in &mut self.facts.scans {
            scan.columns.sort_unstable();
            scan.columns.dedup();
        }
    }
}

/// How often each unqualified table name occurs.
fn references(statement: &Tree) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (found, ..) in statement.nodes() {
        if let pg_query::NodeRef::RangeVar(range) = found
            && range.schemaname.is_empty()
        {
            *counts.entry(range.relname.clone()).or_insert(0) += 1;
        }
    }
    counts
}

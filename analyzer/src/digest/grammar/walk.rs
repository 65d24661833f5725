//! Statements, queries and their clauses.

use super::ddl;
use super::node::{self, Tree, boxed, each};
use super::scope::{self, Item, Resolved, Scope};
use crate::facts::{Relation, StatementFacts, TargetColumn};
use crate::snapshot::Operation;
use pg_query::protobuf::{
    Alias, DeleteStmt, FuncCall, InsertStmt, JoinExpr, LimitOption, MergeStmt, Node, RangeVar,
    SelectStmt, SetOperation, UpdateStmt, WithClause,
};

/// Most function names that are kept.
const FUNCTIONS_MAX: usize = 16;
/// Most relations that are kept.
const RELATIONS_MAX: usize = 64;

const AGGREGATES: [&str; 5] = ["count", "sum", "min", "max", "avg"];
const OTHER_AGGREGATES: [&str; 9] = [
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "bool_and",
    "bool_or",
    "every",
    "json_object_agg",
    "jsonb_object_agg",
];

/// Facts of one statement.
pub(super) fn facts(statement: &Tree) -> StatementFacts {
    let mut walk = Walk::default();
    walk.statement(statement, true);
    walk.facts.change = ddl::change(statement).map(Box::new);
    walk.facts
}

/// A walk through one statement: what was found, and what is visible at this point.
#[derive(Debug, Default)]
pub(super) struct Walk<'a> {
    pub(super) facts: StatementFacts,
    pub(super) scopes: Vec<Scope<'a>>,
    ctes: Vec<&'a str>,
}

impl<'a> Walk<'a> {
    /// `top`: it is the statement itself and not a part of it.
    pub(super) fn statement(&mut self, statement: &'a Tree, top: bool) {
        let ctes = self.ctes.len();
        let operation = match statement {
            Tree::SelectStmt(select) => {
                self.select(select, top, top);
                Operation::Select
            }
            Tree::InsertStmt(insert) => self.insert(insert, top),
            Tree::UpdateStmt(update) => self.update(update, top),
            Tree::DeleteStmt(delete) => self.delete(delete, top),
            Tree::MergeStmt(merge) => self.merge(merge, top),
            other => self.utility(other),
        };
        self.ctes.truncate(ctes);
        if top {
            self.facts.operation = operation;
        }
    }

    fn utility(&mut self, statement: &'a Tree) -> Operation {
        let operation = match statement {
            Tree::TransactionStmt(_) => return Operation::Transaction,
            Tree::DeclareCursorStmt(declare) => {
                boxed(&declare.query).into_iter().for_each(|query| self.statement(query, true));
                return Operation::Utility;
            }
            Tree::CopyStmt(copy) => {
                boxed(&copy.query).into_iter().for_each(|query| self.statement(query, false));
                Operation::Copy
            }
            Tree::CreateTableAsStmt(create) => {
                boxed(&create.query).into_iter().for_each(|query| self.statement(query, false));
                self.facts.writes = true;
                Operation::Ddl
            }
            Tree::TruncateStmt(_) | Tree::AlterTableStmt(_) | Tree::CreateStmt(_) => Operation::Ddl,
            Tree::IndexStmt(_) | Tree::DropStmt(_) | Tree::RenameStmt(_) => Operation::Ddl,
            Tree::LockStmt(_) | Tree::VacuumStmt(_) | Tree::ExplainStmt(_) => Operation::Utility,
            Tree::VariableSetStmt(_) | Tree::VariableShowStmt(_) => Operation::Utility,
            _ => Operation::Other,
        };
        self.utility_relations(statement);
        operation
    }

    fn utility_relations(&mut self, statement: &'a Tree) {
        let (one, many): (Option<&'a RangeVar>, &'a [Node]) = match statement {
            Tree::CopyStmt(s) => (s.relation.as_ref(), &[]),
            Tree::CreateTableAsStmt(s) => (s.into.as_ref().and_then(|into| into.rel.as_ref()), &[]),
            Tree::AlterTableStmt(s) => (s.relation.as_ref(), &[]),
            Tree::CreateStmt(s) => (s.relation.as_ref(), &[]),
            Tree::IndexStmt(s) => (s.relation.as_ref(), &[]),
            Tree::TruncateStmt(s) => (None, &s.relations),
            Tree::LockStmt(s) => (None, &s.relations),
            _ => (None, &[]),
        };
        let listed = each(many).filter_map(|node| match node {
            Tree::RangeVar(range) => Some(range),
            _ => None,
        });
        for range in one.into_iter().chain(listed) {
            self.relation(range);
        }
    }

    /// `output`: its target list is the statement's result.
    fn select(&mut self, select: &'a SelectStmt, top: bool, output: bool) {
        let ctes = self.ctes.len();
        self.with(select.with_clause.as_ref());
        self.facts.writes |= select.into_clause.is_some();
        if output {
            self.shape_of_output(select);
        }
        if let (Some(left), Some(right)) = (&select.larg, &select.rarg) {
            self.select(left, top, false);
            self.select(right, top, false);
        } else {
            self.query(select, top, output);
        }
        self.ctes.truncate(ctes);
    }

    fn shape_of_output(&mut self, select: &'a SelectStmt) {
        let facts = &mut self.facts;
        facts.grouped = !select.group_clause.is_empty()
            || !select.distinct_clause.is_empty()
            || !select.window_clause.is_empty()
            || !matches!(select.op(), SetOperation::SetopNone | SetOperation::Undefined);
        facts.locking = !select.locking_clause.is_empty();
        // LIMIT ALL is a NULL constant
        let count = boxed(&select.limit_count)
            .filter(|count| !matches!(count, Tree::AConst(constant) if constant.isnull));
        facts.limited = count.is_some();
        let exactly_one = count.and_then(node::integer) == Some(1);
        let ties = select.limit_option() == LimitOption::WithTies;
        facts.limit_may_exceed_one = facts.limited && (!exactly_one || ties);
        self.skipped_rows(select);
    }

    /// One SELECT without set operations.
    fn query(&mut self, select: &'a SelectStmt, top: bool, output: bool) {
        self.sources(&select.from_clause, top);
        self.filter(boxed(&select.where_clause), top);
        if output {
            self.targets(&select.target_list);
            self.order_by(&select.sort_clause, &select.target_list);
            self.smells_of_order(&select.sort_clause);
        }
        let clauses: [&'a [Node]; 5] = [
            &select.target_list,
            &select.values_lists,
            &select.group_clause,
            &select.sort_clause,
            &select.distinct_clause,
        ];
        clauses.into_iter().flat_map(each).for_each(|node| self.expression(node));
        let single = [&select.having_clause, &select.limit_count, &select.limit_offset];
        single.into_iter().filter_map(boxed).for_each(|node| self.expression(node));
        self.scopes.pop();
    }

    fn with(&mut self, clause: Option<&'a WithClause>) {
        let Some(clause) = clause else {
            return;
        };
        let all = || {
            each(&clause.ctes).filter_map(|node| match node {
                Tree::CommonTableExpr(cte) => Some(cte),
                _ => None,
            })
        };
        if clause.recursive {
            self.ctes.extend(all().map(|cte| cte.ctename.as_str()));
        }
        for cte in all() {
            boxed(&cte.ctequery).into_iter().for_each(|query| self.statement(query, false));
            self.ctes.push(&cte.ctename);
        }
    }

    /// Pushes a scope with everything in a FROM clause, and reads the conditions of its joins.
    fn sources(&mut self, items: &'a [Node], top: bool) {
        self.scopes.push(Scope::default());
        self.more_sources(items, top);
    }

    fn more_sources(&mut self, items: &'a [Node], top: bool) {
        let mut conditions = Vec::new();
        each(items).for_each(|item| self.source(item, top, &mut conditions));
        conditions.into_iter().for_each(|condition| self.filter(Some(condition), top));
    }

    fn source(&mut self, item: &'a Tree, top: bool, conditions: &mut Vec<&'a Tree>) {
        match item {
            Tree::RangeVar(range) => self.source_relation(range),
            Tree::JoinExpr(join) => self.join(join, top, conditions),
            Tree::RangeSubselect(sub) => {
                boxed(&sub.subquery).into_iter().for_each(|query| self.statement(query, false));
                self.opaque_item(sub.alias.as_ref());
            }
            Tree::RangeFunction(function) => {
                each(&function.functions).for_each(|node| self.expression(node));
                self.opaque_item(function.alias.as_ref());
            }
            Tree::RangeTableSample(sample) => {
                boxed(&sample.relation)
                    .into_iter()
                    .for_each(|relation| self.source(relation, top, conditions));
            }
            _ => self.opaque_item(None),
        }
    }

    fn join(&mut self, join: &'a JoinExpr, top: bool, conditions: &mut Vec<&'a Tree>) {
        let len = |walk: &Self| walk.scopes.last().map_or(0, |scope| scope.items.len());
        let start = len(self);
        boxed(&join.larg).into_iter().for_each(|left| self.source(left, top, conditions));
        let middle = len(self);
        boxed(&join.rarg).into_iter().for_each(|right| self.source(right, top, conditions));
        conditions.extend(boxed(&join.quals));
        let side =
            |walk: &Self, from: usize, to: usize| match walk.scopes.last()?.items.get(from..to)? {
                [only] => only.relation,
                _ => None,
            };
        let (left, right) = (side(self, start, middle), side(self, middle, len(self)));
        for column in node::names(&join.using_clause).flatten() {
            self.joined(left, right, column, top);
        }
    }

    fn opaque_item(&mut self, alias: Option<&'a Alias>) {
        let visible = alias.map_or("", |alias| alias.aliasname.as_str());
        self.item(Item { schema: "", visible, relation: None });
    }

    fn item(&mut self, item: Item<'a>) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.items.push(item);
        }
    }

    fn source_relation(&mut self, range: &'a RangeVar) {
        if range.schemaname.is_empty() && self.ctes.contains(&range.relname.as_str()) {
            let alias = range.alias.as_ref().map(|alias| alias.aliasname.as_str());
            let visible = alias.unwrap_or(&range.relname);
            self.item(Item { schema: "", visible, relation: None });
        } else {
            self.facts.has_from = true;
            self.target_relation(range);
        }
    }

    /// Adds a relation and makes it visible.
    fn target_relation(&mut self, range: &'a RangeVar) {
        let relation = self.relation(range);
        let alias = range.alias.as_ref().map(|alias| alias.aliasname.as_str());
        let visible = alias.unwrap_or(&range.relname);
        // an alias hides the schema too
        let schema = if alias.is_some() { "" } else { range.schemaname.as_str() };
        self.item(Item { schema, visible, relation });
    }

    /// Index of a relation, added if it is new.
    pub(super) fn relation(&mut self, range: &RangeVar) -> Option<usize> {
        let written = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let relation = Relation {
            schema: written(&range.schemaname),
            name: range.relname.clone(),
            alias: range.alias.as_ref().map(|alias| alias.aliasname.clone()),
        };
        let relations = &mut self.facts.relations;
        if let Some(known) = relations.iter().position(|known| *known == relation) {
            return Some(known);
        }
        if relations.len() >= RELATIONS_MAX {
            return None;
        }
        relations.push(relation);
        Some(relations.len() - 1)
    }

    /// Whether a name is a CTE at this point.
    pub(super) fn is_cte(&self, range: &RangeVar) -> bool {
        range.schemaname.is_empty() && self.ctes.contains(&range.relname.as_str())
    }

    fn insert(&mut self, insert: &'a InsertStmt, top: bool) -> Operation {
        self.write_target(insert.relation.as_ref(), insert.with_clause.as_ref());
        if let Some(Tree::SelectStmt(select)) = boxed(&insert.select_stmt) {
            self.select(select, top, false);
        }
        if let Some(conflict) = &insert.on_conflict_clause {
            each(&conflict.target_list).for_each(|node| self.expression(node));
            boxed(&conflict.where_clause).into_iter().for_each(|node| self.expression(node));
        }
        self.returning(insert.returning_clause.as_ref().map(|clause| &clause.exprs[..]), top);
        Operation::Insert
    }

    fn update(&mut self, update: &'a UpdateStmt, top: bool) -> Operation {
        self.write_target(update.relation.as_ref(), update.with_clause.as_ref());
        self.more_sources(&update.from_clause, top);
        self.filter(boxed(&update.where_clause), top);
        each(&update.target_list).for_each(|node| self.expression(node));
        self.returning(update.returning_clause.as_ref().map(|clause| &clause.exprs[..]), top);
        Operation::Update
    }

    fn delete(&mut self, delete: &'a DeleteStmt, top: bool) -> Operation {
        self.write_target(delete.relation.as_ref(), delete.with_clause.as_ref());
        self.more_sources(&delete.using_clause, top);
        self.filter(boxed(&delete.where_clause), top);
        self.returning(delete.returning_clause.as_ref().map(|clause| &clause.exprs[..]), top);
        Operation::Delete
    }

    fn merge(&mut self, merge: &'a MergeStmt, top: bool) -> Operation {
        self.write_target(merge.relation.as_ref(), merge.with_clause.as_ref());
        let mut conditions = Vec::new();
        if let Some(source) = boxed(&merge.source_relation) {
            self.source(source, top, &mut conditions);
        }
        conditions.extend(boxed(&merge.join_condition));
        conditions.into_iter().for_each(|condition| self.filter(Some(condition), top));
        for node in each(&merge.merge_when_clauses) {
            if let Tree::MergeWhenClause(when) = node {
                each(&when.target_list).chain(each(&when.values)).for_each(|n| self.expression(n));
                boxed(&when.condition).into_iter().for_each(|n| self.expression(n));
            }
        }
        self.returning(merge.returning_clause.as_ref().map(|clause| &clause.exprs[..]), top);
        Operation::Merge
    }

    /// The target is the first relation; its scope ends with RETURNING.
    fn write_target(&mut self, range: Option<&'a RangeVar>, with: Option<&'a WithClause>) {
        self.facts.writes = true;
        if let Some(range) = range {
            self.relation(range);
        }
        self.with(with);
        self.scopes.push(Scope::default());
        range.into_iter().for_each(|range| self.target_relation(range));
    }

    /// Reads a RETURNING clause and leaves the scope of the write.
    fn returning(&mut self, targets: Option<&'a [Node]>, top: bool) {
        let targets = targets.unwrap_or(&[]);
        if top {
            self.targets(targets);
        }
        each(targets).for_each(|node| self.expression(node));
        self.scopes.pop();
    }

    /// The result's columns, as far as they are plain.
    fn targets(&mut self, targets: &'a [Node]) {
        let values: Vec<&'a Tree> = each(targets).filter_map(target_value).collect();
        self.facts.aggregate = !values.is_empty()
            && (values.iter().all(|value| is_aggregate(value))
                || (self.facts.limited && values.iter().all(|value| node::is_constant(value))));
        for value in &values {
            let mut calls = Vec::new();
            calls_in(value, &mut calls);
            let usual = |name: &str| AGGREGATES.contains(&name) || OTHER_AGGREGATES.contains(&name);
            self.facts.grouped |= calls.iter().any(|call| call.over.is_some());
            self.facts.functions_in_targets |=
                calls.iter().any(|call| !usual(node::last_name(&call.funcname)));
        }
        for (position, value) in values.iter().enumerate() {
            let Tree::ColumnRef(reference) = value else {
                continue;
            };
            if is_star(value) {
                let relation = scope::star(&self.scopes, reference);
                self.facts.star_of = relation.filter(|_| values.len() == 1);
                // how many columns it stands for isn't known: later positions aren't either
                return;
            }
            if let Resolved::Column(column) = scope::resolve(&self.scopes, reference) {
                let (relation, column) = (column.relation, column.name);
                self.facts.target_columns.push(TargetColumn { position, relation, column });
            }
        }
    }

    /// ORDER BY columns; the name of a target stands for that target.
    fn order_by(&mut self, keys: &'a [Node], targets: &'a [Node]) {
        for (position, key) in each(keys).enumerate() {
            let Tree::SortBy(key) = key else { continue };
            let Some(Tree::ColumnRef(reference)) = boxed(&key.node) else { continue };
            let label = match &node::names(&reference.fields).collect::<Vec<_>>()[..] {
                [Some(label)] => labelled(targets, label),
                _ => None,
            };
            let reference = match label {
                Some(Tree::ColumnRef(target)) => target,
                Some(_) => continue,
                None => reference,
            };
            if let Resolved::Column(column) = scope::resolve(&self.scopes, reference) {
                let (relation, column) = (column.relation, column.name);
                self.facts.order_by.push(TargetColumn { position, relation, column });
            }
        }
    }

    /// Notes functions and reads sub-queries anywhere in an expression.
    pub(super) fn expression(&mut self, node: &'a Tree) {
        match node {
            Tree::FuncCall(call) => self.function(node::last_name(&call.funcname)),
            Tree::SubLink(link) => {
                boxed(&link.subselect).into_iter().for_each(|query| self.statement(query, false));
            }
            _ => {}
        }
        node::children(node, &mut |child| self.expression(child));
    }

    fn function(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        let functions = &mut self.facts.functions;
        if functions.len() < FUNCTIONS_MAX && !functions.contains(&name) {
            functions.push(name);
        }
    }
}

fn target_value(target: &Tree) -> Option<&Tree> {
    match target {
        Tree::ResTarget(target) => boxed(&target.val),
        _ => None,
    }
}

fn is_star(value: &Tree) -> bool {
    matches!(value, Tree::ColumnRef(reference)
        if matches!(each(&reference.fields).last(), Some(Tree::AStar(_))))
}

fn labelled<'a>(targets: &'a [Node], label: &str) -> Option<&'a Tree> {
    each(targets).find_map(|target| match target {
        Tree::ResTarget(target) if target.name == label => boxed(&target.val),
        _ => None,
    })
}

/// count, sum …, EXISTS, also cast or with a default.
fn is_aggregate(value: &Tree) -> bool {
    match value {
        Tree::FuncCall(call) => {
            call.over.is_none() && AGGREGATES.contains(&node::last_name(&call.funcname))
        }
        Tree::SubLink(link) => {
            link.sub_link_type() == pg_query::protobuf::SubLinkType::ExistsSublink
        }
        Tree::TypeCast(cast) => boxed(&cast.arg).is_some_and(is_aggregate),
        Tree::CoalesceExpr(coalesce) => each(&coalesce.args).next().is_some_and(is_aggregate),
        _ => false,
    }
}

fn calls_in<'a>(node: &'a Tree, calls: &mut Vec<&'a FuncCall>) {
    if let Tree::FuncCall(call) = node {
        calls.push(call);
    }
    node::children(node, &mut |child| calls_in(child, calls));
}

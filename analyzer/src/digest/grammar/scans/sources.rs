//! FROM clauses: which scan a column belongs to, through joins, sub-queries, CTEs and views.

use super::condition::Side;
use super::{NESTING_MAX, Origin, Outputs, Walk, parsed};
use crate::digest::grammar::node::{self, Tree, boxed, each};
use pg_query::protobuf::{ColumnRef, JoinExpr, JoinType, Node, RangeVar};
use pgsonde_advisor::facts::JoinKind;

/// A common table expression; `query` is there if it is read in place of its only reference.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: String,
    pub(super) query: Option<Tree>,
    pub(super) columns: Vec<String>,
}

/// What one FROM clause makes visible.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    pub(super) sources: Vec<Source>,
    /// How this query's rows meet those of the outer query.
    pub(super) kind: Option<JoinKind>,
}

/// One thing in a FROM clause.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) visible: String,
    pub(super) schema: String,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// A table, with its columns if the catalogue knows them.
    Table(usize, Option<Vec<String>>),
    /// A sub-query, view or CTE: those outputs that are plain columns, and whether these are all.
    Derived(Outputs),
    /// A function, VALUES, a CTE that is read apart.
    Opaque,
}

pub(super) fn written(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl Source {
    /// The origins of a column; `None` where this source doesn't have it or nobody knows.
    fn column(&self, name: &str) -> Option<Vec<Origin>> {
        match &self.what {
            What::Table(scan, columns) => {
                let has = columns
                    .as_ref()
                    .is_none_or(|columns| columns.iter().any(|column| column == name));
                has.then(|| vec![Origin { scan: *scan, column: name.to_owned() }])
            }
            What::Derived(outputs) => outputs
                .iter()
                .find(|(output, _)| output == name)
                .map(|(_, origins)| origins.clone()),
            What::Opaque => None,
        }
    }

    fn surely_has(&self, name: &str) -> bool {
        match &self.what {
            What::Table(_, columns) => {
                columns.as_ref().is_some_and(|columns| columns.iter().any(|column| column == name))
            }
            What::Derived(outputs) => outputs.iter().any(|(output, _)| output == name),
            What::Opaque => false,
        }
    }
}

impl Walk<'_> {
    /// The scans that a column stands for; empty where that can't be told.
    pub(super) fn resolve(&self, reference: &ColumnRef) -> Vec<Origin> {
        let names: Vec<Option<&str>> = node::names(&reference.fields).collect();
        let found = match names[..] {
            [Some(column)] => self.unqualified(column),
            [Some(alias), Some(column)] => self.qualified(None, alias, column),
            [Some(schema), Some(table), Some(column)] => {
                self.qualified(Some(schema), table, column)
            }
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn unqualified(&self, column: &str) -> Option<Vec<Origin>> {
        for scope in self.scopes.iter().rev() {
            let sure: Vec<&Source> =
                scope.sources.iter().filter(|source| source.surely_has(column)).collect();
            let unknown =
                |source: &Source| matches!(source.what, What::Table(_, None) | What::Opaque);
            let only = match (&sure[..], &scope.sources[..]) {
                ([only], _) => Some(*only),
                ([], [only]) => Some(only),
                // several have it
                ([_, _, ..], _) => return None,
                ([], sources) if sources.iter().any(unknown) => return None,
                _ => None,
            };
            if let Some(found) = only.and_then(|only| only.column(column)) {
                return Some(found);
            }
        }
        None
    }

    fn qualified(&self, schema: Option<&str>, name: &str, column: &str) -> Option<Vec<Origin>> {
        let fits = |source: &&Source| {
            source.visible == name && schema.is_none_or(|schema| source.schema == schema)
        };
        self.scopes.iter().rev().find_map(|scope| scope.sources.iter().find(fits))?.column(column)
    }

    /// The scans that `*` or `alias.*` stands for, with the outputs that it gives.
    pub(super) fn star(&mut self, reference: &ColumnRef) -> Outputs {
        let names: Vec<Option<&str>> = node::names(&reference.fields).collect();
        let alias = match names[..] {
            [Some(alias), None] => Some(alias.to_owned()),
            _ => None,
        };
        let Some(scope) = self.scopes.last() else { return Vec::new() };
        let fits = |source: &&Source| alias.as_ref().is_none_or(|alias| source.visible == *alias);
        let sources: Vec<Source> = scope.sources.iter().filter(fits).cloned().collect();
        let mut outputs = Vec::new();
        for source in sources {
            match source.what {
                What::Table(scan, columns) => {
                    self.facts.scans[scan].all_columns = true;
                    outputs.extend(
                        columns
                            .unwrap_or_default()
                            .into_iter()
                            .map(|column| (column.clone(), vec![Origin { scan, column }])),
                    );
                }
                What::Derived(inner) => outputs.extend(inner),
                What::Opaque => {}
            }
        }
        outputs
    }

    /// The target of a write and what stands beside it.
    pub(super) fn table_sources(&mut self, target: Option<&RangeVar>, items: &[Node]) {
        if let Some(range) = target {
            self.table(range);
        }
        self.from(items);
    }

    /// A FROM clause into the current scope, with the conditions of its joins.
    pub(super) fn from(&mut self, items: &[Node]) {
        for item in each(items) {
            self.source(item);
        }
        if let Some(scope) = self.scopes.last()
            && let [Source { what: What::Table(scan, _), .. }] = scope.sources[..]
        {
            self.facts.scans[scan].alone = true;
        }
    }

    fn source(&mut self, item: &Tree) {
        match item {
            Tree::RangeVar(range) => self.range(range),
            Tree::JoinExpr(join) => self.join(join),
            Tree::RangeSubselect(sub) => {
                let alias = sub.alias.as_ref();
                let visible = alias.map_or("", |alias| alias.aliasname.as_str()).to_owned();
                let renamed: Vec<String> = alias
                    .map(|alias| {
                        node::names(&alias.colnames).flatten().map(str::to_owned).collect()
                    })
                    .unwrap_or_default();
                let what = match boxed(&sub.subquery) {
                    Some(Tree::SelectStmt(select)) if sub.lateral => {
                        What::Derived(rename(self.select(select), &renamed))
                    }
                    Some(query @ Tree::SelectStmt(_)) => self.derived(query, &renamed),
                    _ => What::Opaque,
                };
                self.add(Source { visible, schema: String::new(), what });
            }
            Tree::RangeFunction(function) => {
                each(&function.functions).for_each(|node| self.note(node));
                let visible = function.alias.as_ref().map_or("", |alias| alias.aliasname.as_str());
                self.add(Source {
                    visible: visible.to_owned(),
                    schema: String::new(),
                    what: What::Opaque,
                });
            }
            Tree::RangeTableSample(sample) => {
                boxed(&sample.relation).into_iter().for_each(|item| self.source(item));
            }
            _ => self.add(Source {
                visible: String::new(),
                schema: String::new(),
                what: What::Opaque,
            }),
        }
    }

    fn add(&mut self, source: Source) {
        if let Some(scope) = self.scopes.last_mut() {
            scope.sources.push(source);
        }
    }

    /// A query that sees nothing of the scopes around it, and what its outputs are.
    fn derived(&mut self, query: &Tree, renamed: &[String]) -> What {
        let Tree::SelectStmt(select) = query else { return What::Opaque };
        let scopes = std::mem::take(&mut self.scopes);
        let outputs = self.select(select);
        self.scopes = scopes;
        What::Derived(rename(outputs, renamed))
    }

    fn range(&mut self, range: &RangeVar) {
        let alias = range.alias.as_ref().map(|alias| alias.aliasname.clone());
        let visible = alias.clone().unwrap_or_else(|| range.relname.clone());
        let cte = self
            .ctes
            .iter()
            .rev()
            .find(|cte| range.schemaname.is_empty() && cte.name == range.relname)
            .cloned();
        if let Some(cte) = cte {
            let what = match &cte.query {
                Some(query) if self.depth < NESTING_MAX => self.derived(query, &cte.columns),
                _ => What::Opaque,
            };
            return self.add(Source { visible, schema: String::new(), what });
        }
        let schema = written(&range.schemaname);
        let view =
            self.names.view(schema.as_deref(), &range.relname).filter(|_| self.depth < NESTING_MAX);
        if let Some(query) = view.and_then(|text| parsed(text.trim_end_matches(';'))) {
            let ctes = std::mem::take(&mut self.ctes);
            let names = self.names.columns(schema.as_deref(), &range.relname).unwrap_or_default();
            let what = self.derived(&query, &names);
            self.ctes = ctes;
            return self.add(Source { visible, schema: range.schemaname.clone(), what });
        }
        self.table(range);
    }

    fn table(&mut self, range: &RangeVar) {
        let alias = range.alias.as_ref().map(|alias| alias.aliasname.as_str());
        let visible = alias.unwrap_or(&range.relname).to_owned();
        let columns = self.names.columns(written(&range.schemaname).as_deref(), &range.relname);
        let what = match self.scan(&range.schemaname, &range.relname, &visible) {
            Some(scan) => What::Table(scan, columns),
            None => What::Opaque,
        };
        let schema = if alias.is_some() { String::new() } else { range.schemaname.clone() };
        self.add(Source { visible, schema, what });
    }

    fn join(&mut self, join: &JoinExpr) {
        let len = |walk: &Self| walk.scopes.last().map_or(0, |scope| scope.sources.len());
        let start = len(self);
        boxed(&join.larg).into_iter().for_each(|side| self.source(side));
        let middle = len(self);
        boxed(&join.rarg).into_iter().for_each(|side| self.source(side));
        let end = len(self);
        let (left, right) = (self.scans_of(start, middle), self.scans_of(middle, end));
        let side = match join.jointype() {
            JoinType::JoinLeft => Side { preserved: left, nullable: right },
            JoinType::JoinRight => Side { preserved: right, nullable: left },
            JoinType::JoinFull => {
                Side { preserved: left.into_iter().chain(right).collect(), nullable: Vec::new() }
            }
            _ => Side::default(),
        };
        if let Some(condition) = boxed(&join.quals) {
            self.on(condition, &side);
        }
        for column in self.shared_columns(join, start, middle, end) {
            let of = |walk: &Self, from: usize, to: usize| {
                let sources = walk.scopes.last()?.sources.get(from..to)?;
                let sure = sources.iter().find(|source| source.surely_has(&column));
                sure.or(sources.first().filter(|_| sources.len() == 1))?.column(&column)
            };
            let (left, right) = (of(self, start, middle), of(self, middle, end));
            if let (Some(left), Some(right)) = (left, right) {
                self.join_columns(&left, &right, &side);
            }
        }
    }

    fn shared_columns(
        &self,
        join: &JoinExpr,
        start: usize,
        middle: usize,
        end: usize,
    ) -> Vec<String> {
        let using: Vec<String> =
            node::names(&join.using_clause).flatten().map(str::to_owned).collect();
        let Some(scope) = self.scopes.last().filter(|_| join.is_natural) else { return using };
        let (left, right) = (&scope.sources[start..middle], &scope.sources[middle..end]);
        let names = left.iter().flat_map(|source| match &source.what {
            What::Table(_, Some(columns)) => columns.clone(),
            What::Derived(outputs) => outputs.iter().map(|(name, _)| name.clone()).collect(),
            _ => Vec::new(),
        });
        names.filter(|name| right.iter().any(|source| source.surely_has(name))).collect()
    }

    fn scans_of(&self, from: usize, to: usize) -> Vec<usize> {
        let sources =
            self.scopes.last().and_then(|scope| scope.sources.get(from..to)).unwrap_or(&[]);
        let mut scans = Vec::new();
        for source in sources {
            match &source.what {
                What::Table(scan, _) => scans.push(*scan),
                What::Derived(outputs) => {
                    scans.extend(
                        outputs
                            .iter()
                            .flat_map(|(_, origins)| origins.iter().map(|origin| origin.scan)),
                    );
                }
                What::Opaque => {}
            }
        }
        scans
    }
}

fn rename(mut outputs: Outputs, names: &[String]) -> Outputs {
    for (output, name) in outputs.iter_mut().zip(names) {
        output.0.clone_from(name);
    }
    outputs
}

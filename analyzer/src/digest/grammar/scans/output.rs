//! A SELECT: its clauses, its order and limit, and what it gives to the query around it.

use super::sources::Scope;
use super::{NESTING_MAX, Outputs, Walk};
use crate::digest::grammar::node::{self, Tree, boxed, each};
use pg_query::protobuf::{
    FuncCall, Node, SelectStmt, SetOperation, SortByDir, SortByNulls, a_const,
};
use pgsonde_advisor::facts::{JoinKind, Key, Limit, OrderKey};

/// Functions that make one row of many.
const AGGREGATES: [&str; 20] = [
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "bool_and",
    "bool_or",
    "every",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "percentile_cont",
];

impl Walk<'_> {
    pub(super) fn select(&mut self, select: &SelectStmt) -> Outputs {
        self.select_as(select, None)
    }

    /// A SELECT whose rows meet those of the outer query in a way.
    pub(super) fn select_as(&mut self, select: &SelectStmt, kind: Option<JoinKind>) -> Outputs {
        if self.depth >= NESTING_MAX {
            return Vec::new();
        }
        self.depth += 1;
        let whole = Tree::SelectStmt(Box::new(select.clone()));
        let ctes = self.with(select.with_clause.as_ref(), &whole);
        let outputs = match (&select.larg, &select.rarg) {
            (Some(left), Some(right)) => {
                let (left, right) = (self.select_as(left, kind), self.select_as(right, kind));
                union(select, left, right)
            }
            _ => self.query(select, kind),
        };
        self.ctes.truncate(ctes);
        self.depth -= 1;
        outputs
    }

    fn query(&mut self, select: &SelectStmt, kind: Option<JoinKind>) -> Outputs {
        self.scopes.push(Scope { sources: Vec::new(), kind });
        self.from(&select.from_clause);
        self.filter(boxed(&select.where_clause));
        let mut outputs = Vec::new();
        for target in each(&select.target_list) {
            outputs.extend(self.target(target));
        }
        let lists: [&[Node]; 5] = [
            &select.values_lists,
            &select.group_clause,
            &select.sort_clause,
            &select.distinct_clause,
            &select.window_clause,
        ];
        lists.into_iter().flat_map(each).for_each(|node| self.note(node));
        [&select.having_clause, &select.limit_count, &select.limit_offset]
            .into_iter()
            .filter_map(boxed)
            .for_each(|node| self.note(node));
        let aggregated = self.is_aggregated(select);
        self.order_and_limit(select, aggregated);
        self.scopes.pop();
        let barred = aggregated
            || select.limit_count.is_some()
            || !select.distinct_clause.is_empty()
            || has_window(select);
        if barred {
            // names stay known, so that an outer query doesn't look elsewhere
            outputs.iter_mut().for_each(|(_, origins)| origins.clear());
        }
        outputs
    }

    fn target(&mut self, target: &Tree) -> Outputs {
        let Tree::ResTarget(found) = target else {
            self.note(target);
            return Vec::new();
        };
        let Some(value) = boxed(&found.val) else { return Vec::new() };
        if let Tree::ColumnRef(reference) = value {
            if matches!(each(&reference.fields).last(), Some(Tree::AStar(_))) {
                return self.star(reference);
            }
            self.note(value);
            let name = if found.name.is_empty() {
                node::last_name(&reference.fields)
            } else {
                &found.name
            };
            return vec![(name.to_owned(), self.resolve(reference))];
        }
        self.note(value);
        let name = match value {
            _ if !found.name.is_empty() => found.name.clone(),
            Tree::FuncCall(call) => node::last_name(&call.funcname).to_owned(),
            _ => String::new(),
        };
        vec![(name, Vec::new())]
    }

    /// Records the columns of an expression and reads its sub-queries.
    pub(super) fn note(&mut self, node: &Tree) {
        match node {
            Tree::ColumnRef(reference)
                if matches!(each(&reference.fields).last(), Some(Tree::AStar(_))) =>
            {
                self.star(reference);
            }
            Tree::ColumnRef(reference) => {
                for origin in self.resolve(reference) {
                    self.facts.scans[origin.scan].columns.push(origin.column);
                }
            }
            Tree::SubLink(link) => {
                if let Some(Tree::SelectStmt(select)) = boxed(&link.subselect) {
                    self.select_as(select, Some(JoinKind::Semi));
                }
            }
            _ => {}
        }
        node::children(node, &mut |child| self.note(child));
    }

    fn is_aggregated(&self, select: &SelectStmt) -> bool {
        !select.group_clause.is_empty()
            || select.having_clause.is_some()
            || each(&select.target_list).any(has_aggregate)
    }

    fn order_and_limit(&mut self, select: &SelectStmt, aggregated: bool) {
        if aggregated {
            return self.extremum(select);
        }
        if select.distinct_clause.is_empty() && !has_window(select) {
            self.order_by(&select.sort_clause, &select.target_list);
        }
        self.facts.locking |= !select.locking_clause.is_empty();
        let Some(limit) = limit_of(select) else { return };
        let sources = self.scopes.last().map(|scope| scope.sources.clone()).unwrap_or_default();
        for source in sources {
            if let super::sources::What::Table(scan, _) = source.what {
                self.facts.scans[scan].limit = Some(limit);
            }
        }
        for scan in &mut self.facts.scans {
            if !scan.order.is_empty() && scan.limit.is_none() {
                scan.limit = Some(limit);
            }
        }
    }

    /// `min(c)` and `max(c)` alone are ORDER BY c LIMIT 1.
    fn extremum(&mut self, select: &SelectStmt) {
        let (true, [target]) = (select.group_clause.is_empty(), &select.target_list[..]) else {
            return;
        };
        let Some(Tree::ResTarget(target)) = each(std::slice::from_ref(target)).next() else {
            return;
        };
        let mut value = boxed(&target.val);
        if let Some(Tree::CoalesceExpr(coalesce)) = value {
            value = each(&coalesce.args).next();
        }
        let Some(Tree::FuncCall(call)) = value else { return };
        let descending = match node::last_name(&call.funcname) {
            "min" => false,
            "max" => true,
            _ => return,
        };
        let Some(Tree::ColumnRef(reference)) = each(&call.args).next() else { return };
        if let [origin] = &self.resolve(reference)[..] {
            let scan = &mut self.facts.scans[origin.scan];
            scan.order = vec![OrderKey {
                key: Key::Column(origin.column.clone()),
                descending,
                nulls_first: descending,
            }];
            scan.limit = Some(Limit { count: Some(1), offset: 0 });
        }
    }

    fn order_by(&mut self, keys: &[Node], targets: &[Node]) {
        let mut found: Vec<(usize, OrderKey)> = Vec::new();
        for key in each(keys) {
            let Tree::SortBy(sort) = key else { return };
            let Some(node) = boxed(&sort.node).and_then(|node| target_of(node, targets)) else {
                return;
            };
            let [(scan, key)] = &self.order_key(node)[..] else { return };
            let descending = sort.sortby_dir() == SortByDir::SortbyDesc;
            let nulls_first = match sort.sortby_nulls() {
                SortByNulls::SortbyNullsFirst => true,
                SortByNulls::SortbyNullsLast => false,
                _ => descending,
            };
            found.push((*scan, OrderKey { key: key.clone(), descending, nulls_first }));
        }
        let Some((scan, _)) = found.first().cloned() else { return };
        if found.iter().all(|(other, _)| *other == scan) {
            self.facts.scans[scan].order = found.into_iter().map(|(_, key)| key).collect();
        }
    }

    fn order_key(&self, node: &Tree) -> Vec<(usize, Key)> {
        self.keys(node).into_iter().filter(|(_, key)| *key != Key::None).collect()
    }
}

/// UNION ALL passes columns on, by position; other set operations don't.
fn union(select: &SelectStmt, left: Outputs, right: Outputs) -> Outputs {
    let passes =
        select.op() == SetOperation::SetopUnion && select.all && select.limit_count.is_none();
    let right = right.into_iter().map(|(_, origins)| origins).chain(std::iter::repeat(Vec::new()));
    let pair = |((name, mut origins), more): ((String, Vec<super::Origin>), Vec<super::Origin>)| {
        origins.extend(more);
        if !passes {
            origins.clear();
        }
        (name, origins)
    };
    left.into_iter().zip(right).map(pair).collect()
}

/// The expression that an ORDER BY item stands for: an ordinal, a target's name, or itself.
fn target_of<'t>(node: &'t Tree, targets: &'t [Node]) -> Option<&'t Tree> {
    let value = |target: &'t Tree| match target {
        Tree::ResTarget(target) => boxed(&target.val),
        _ => None,
    };
    if let Some(position) = node::integer(node) {
        let index = usize::try_from(position).ok()?.checked_sub(1)?;
        return each(targets).nth(index).and_then(value);
    }
    if let Tree::ColumnRef(reference) = node
        && let [Some(label)] = node::names(&reference.fields).collect::<Vec<_>>()[..]
    {
        let named = each(targets)
            .find(|target| matches!(target, Tree::ResTarget(target) if target.name == label));
        return named.and_then(value).or(Some(node));
    }
    Some(node)
}

fn limit_of(select: &SelectStmt) -> Option<Limit> {
    let count = boxed(&select.limit_count)?;
    if matches!(count, Tree::AConst(constant) if constant.isnull) {
        return None;
    }
    let offset = boxed(&select.limit_offset).and_then(whole).unwrap_or(0);
    Some(Limit { count: whole(count), offset })
}

fn whole(node: &Tree) -> Option<u64> {
    match node {
        Tree::AConst(constant) => match &constant.val {
            Some(a_const::Val::Ival(number)) => u64::try_from(number.ival).ok(),
            None if !constant.isnull => Some(0),
            _ => None,
        },
        _ => None,
    }
}

fn has_aggregate(node: &Tree) -> bool {
    let own = matches!(node, Tree::FuncCall(call) if is_aggregate(call));
    let mut inner = false;
    node::children(node, &mut |child| inner |= has_aggregate(child));
    own || inner
}

fn is_aggregate(call: &FuncCall) -> bool {
    call.over.is_none() && (call.agg_star || AGGREGATES.contains(&node::last_name(&call.funcname)))
}

fn has_window(select: &SelectStmt) -> bool {
    fn in_node(node: &Tree) -> bool {
        let own = matches!(node, Tree::FuncCall(call) if call.over.is_some());
        let mut inner = false;
        node::children(node, &mut |child| inner |= in_node(child));
        own || inner
    }
    each(&select.target_list).any(in_node)
}

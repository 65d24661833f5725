//! A statement as one SELECT that reads what it would read: EXPLAIN of a write needs rights that a reader hasn't.

use super::value;
use crate::digest::grammar::node::{Tree, boxed};
use pg_query::DeparseOptions;
use pg_query::protobuf::{
    ColumnRef, JoinExpr, JoinType, Node, RangeVar, ResTarget, SelectStmt, String as Name,
    WithClause,
};

/// The SELECT; `None` where nothing is read, or where a CTE writes.
pub(super) fn of(statement: Tree) -> Option<String> {
    let mut select = match statement {
        Tree::SelectStmt(select) => *select,
        Tree::InsertStmt(insert) => {
            let Some(Node { node: Some(Tree::SelectStmt(mut select)) }) =
                insert.select_stmt.map(|node| *node)
            else {
                return None;
            };
            if !select.values_lists.is_empty() {
                return None;
            }
            select.with_clause = select.with_clause.or(insert.with_clause);
            *select
        }
        Tree::UpdateStmt(update) => {
            let mut form = target_select(
                update.relation?,
                update.from_clause,
                update.where_clause,
                update.with_clause,
            );
            form.target_list.extend(update.target_list.iter().filter_map(sub_query_value));
            form
        }
        Tree::DeleteStmt(delete) => target_select(
            delete.relation?,
            delete.using_clause,
            delete.where_clause,
            delete.with_clause,
        ),
        Tree::MergeStmt(merge) => {
            let join = JoinExpr {
                jointype: JoinType::JoinLeft.into(),
                larg: merge.source_relation,
                rarg: Some(Box::new(Node { node: Some(Tree::RangeVar(merge.relation?)) })),
                quals: merge.join_condition,
                ..JoinExpr::default()
            };
            let from = vec![Node { node: Some(Tree::JoinExpr(Box::new(join))) }];
            SelectStmt {
                from_clause: from,
                target_list: vec![constant_one()?],
                with_clause: merge.with_clause,
                ..base()
            }
        }
        _ => return None,
    };
    if select.into_clause.is_some() || writes(&select) {
        return None;
    }
    unlock(&mut select);
    Tree::SelectStmt(Box::new(select)).deparse(DeparseOptions::default()).ok()
}

/// The deparser refuses undefined enum members.
fn base() -> SelectStmt {
    SelectStmt {
        limit_option: pg_query::protobuf::LimitOption::Default.into(),
        op: pg_query::protobuf::SetOperation::SetopNone.into(),
        ..SelectStmt::default()
    }
}

fn constant_one() -> Option<Node> {
    let Tree::SelectStmt(select) = super::parsed("SELECT 1")? else { return None };
    select.target_list.into_iter().next()
}

fn target_select(
    target: RangeVar,
    more: Vec<Node>,
    condition: Option<Box<Node>>,
    with: Option<WithClause>,
) -> SelectStmt {
    let visible = target.alias.as_ref().map_or(&target.relname, |alias| &alias.aliasname).clone();
    let name = |text: &str| Node { node: Some(Tree::String(Name { sval: text.to_owned() })) };
    let ctid = ColumnRef { fields: vec![name(&visible), name("ctid")], location: 0 };
    let value = Some(Box::new(Node { node: Some(Tree::ColumnRef(ctid)) }));
    let result = ResTarget { val: value, ..ResTarget::default() };
    let mut from = vec![Node { node: Some(Tree::RangeVar(target)) }];
    from.extend(more);
    SelectStmt {
        target_list: vec![Node { node: Some(Tree::ResTarget(Box::new(result))) }],
        from_clause: from,
        where_clause: condition,
        with_clause: with,
        ..base()
    }
}

/// What a SET clause computes costs little, unless it is a sub-query.
fn sub_query_value(target: &Node) -> Option<Node> {
    let Some(Tree::ResTarget(found)) = &target.node else { return None };
    let value = boxed(&found.val)?;
    if !value::has_sub_query(value) {
        return None;
    }
    let result = ResTarget { val: found.val.clone(), ..ResTarget::default() };
    Some(Node { node: Some(Tree::ResTarget(Box::new(result))) })
}

/// Whether a CTE at any depth writes.
fn writes(select: &SelectStmt) -> bool {
    let whole = Tree::SelectStmt(Box::new(select.clone()));
    whole.nodes().iter().any(|(found, ..)| {
        matches!(
            found,
            pg_query::NodeRef::InsertStmt(_)
                | pg_query::NodeRef::UpdateStmt(_)
                | pg_query::NodeRef::DeleteStmt(_)
                | pg_query::NodeRef::MergeStmt(_)
        )
    })
}

/// Drops locking clauses here, in CTEs and in FROM.
fn unlock(select: &mut SelectStmt) {
    select.locking_clause.clear();
    let ctes = select.with_clause.iter_mut().flat_map(|with| &mut with.ctes);
    for cte in ctes.filter_map(|node| node.node.as_mut()) {
        if let Tree::CommonTableExpr(cte) = cte
            && let Some(Tree::SelectStmt(inner)) =
                cte.ctequery.as_mut().and_then(|node| node.node.as_mut())
        {
            unlock(inner);
        }
    }
    select.from_clause.iter_mut().filter_map(|node| node.node.as_mut()).for_each(unlock_item);
    [&mut select.larg, &mut select.rarg].into_iter().flatten().for_each(|side| unlock(side));
}

fn unlock_item(item: &mut Tree) {
    match item {
        Tree::RangeSubselect(sub) => {
            if let Some(Tree::SelectStmt(inner)) =
                sub.subquery.as_mut().and_then(|node| node.node.as_mut())
            {
                unlock(inner);
            }
        }
        Tree::JoinExpr(join) => {
            let sides = [&mut join.larg, &mut join.rarg];
            sides.into_iter().filter_map(|side| side.as_mut()?.node.as_mut()).for_each(unlock_item);
        }
        _ => {}
    }
}

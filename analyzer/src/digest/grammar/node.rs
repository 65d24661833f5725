//! Access to the parser's tree: options unwrapped, names as strings, children of expressions.

pub(super) use pg_query::protobuf::node::Node as Tree;
use pg_query::protobuf::{Node, a_const};

pub(super) fn boxed(node: &Option<Box<Node>>) -> Option<&Tree> {
    node.as_deref().and_then(|node| node.node.as_ref())
}

pub(super) fn each(nodes: &[Node]) -> impl Iterator<Item = &Tree> {
    nodes.iter().filter_map(|node| node.node.as_ref())
}

/// The strings of a list of names; a `*` ends it as `None`.
pub(super) fn names(nodes: &[Node]) -> impl Iterator<Item = Option<&str>> {
    each(nodes).map(|node| match node {
        Tree::String(name) => Some(name.sval.as_str()),
        _ => None,
    })
}

/// The last name: a function's or an operator's without its schema.
pub(super) fn last_name(nodes: &[Node]) -> &str {
    names(nodes).last().flatten().unwrap_or("")
}

pub(super) fn is_constant(node: &Tree) -> bool {
    match node {
        Tree::AConst(_) | Tree::ParamRef(_) => true,
        Tree::TypeCast(cast) => boxed(&cast.arg).is_some_and(is_constant),
        _ => false,
    }
}

/// The string constant that this is.
pub(super) fn string(node: &Tree) -> Option<&str> {
    match node {
        Tree::AConst(constant) => match &constant.val {
            Some(a_const::Val::Sval(text)) => Some(&text.sval),
            _ => None,
        },
        _ => None,
    }
}

/// The integer constant that this is.
pub(super) fn integer(node: &Tree) -> Option<i32> {
    match node {
        Tree::AConst(constant) => match &constant.val {
            Some(a_const::Val::Ival(number)) => Some(number.ival),
            _ => None,
        },
        _ => None,
    }
}

/// Visits the direct parts of an expression; of a sub-query only the expression that it is compared with.
pub(super) fn children<'a>(node: &'a Tree, visit: &mut dyn FnMut(&'a Tree)) {
    let (lists, singles): (Vec<&'a [Node]>, Vec<&'a Option<Box<Node>>>) = match node {
        Tree::AExpr(e) => (vec![], vec![&e.lexpr, &e.rexpr]),
        Tree::BoolExpr(e) => (vec![&e.args], vec![]),
        Tree::FuncCall(e) => (vec![&e.args, &e.agg_order], vec![&e.agg_filter]),
        Tree::TypeCast(e) => (vec![], vec![&e.arg]),
        Tree::CaseExpr(e) => (vec![&e.args], vec![&e.arg, &e.defresult]),
        Tree::CaseWhen(e) => (vec![], vec![&e.expr, &e.result]),
        Tree::CoalesceExpr(e) => (vec![&e.args], vec![]),
        Tree::MinMaxExpr(e) => (vec![&e.args], vec![]),
        Tree::NullTest(e) => (vec![], vec![&e.arg]),
        Tree::BooleanTest(e) => (vec![], vec![&e.arg]),
        Tree::SubLink(e) => (vec![], vec![&e.testexpr]),
        Tree::RowExpr(e) => (vec![&e.args], vec![]),
        Tree::AArrayExpr(e) => (vec![&e.elements], vec![]),
        Tree::AIndirection(e) => (vec![&e.indirection], vec![&e.arg]),
        Tree::AIndices(e) => (vec![], vec![&e.lidx, &e.uidx]),
        Tree::CollateClause(e) => (vec![], vec![&e.arg]),
        Tree::ResTarget(e) => (vec![], vec![&e.val]),
        Tree::SortBy(e) => (vec![], vec![&e.node]),
        Tree::NamedArgExpr(e) => (vec![], vec![&e.arg]),
        Tree::GroupingSet(e) => (vec![&e.content], vec![]),
        Tree::XmlExpr(e) => (vec![&e.args, &e.named_args], vec![]),
        Tree::List(e) => (vec![&e.items], vec![]),
        _ => return,
    };
    lists.into_iter().flat_map(each).for_each(&mut *visit);
    singles.into_iter().filter_map(boxed).for_each(visit);
}

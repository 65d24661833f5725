//! Patterns that a server can't run fast, whatever its indexes (findings, section 4.4).

use super::conditions::wild_start;
use super::node::{self, Tree, boxed, each};
use super::scope::{self, Resolved};
use super::walk::Walk;
use crate::facts::Smell;
use pg_query::protobuf::{AExpr, AExprKind, Node, SelectStmt, SubLink, SubLinkType};

/// Most smells of one statement that are kept.
const SMELLS_MAX: usize = 8;

const RANDOM: [&str; 3] = ["random", "gen_random_uuid", "uuid_generate_v4"];
const COMPARISONS: [&str; 5] = ["=", "<", ">", "<=", ">="];
const ARITHMETIC: [&str; 5] = ["+", "-", "*", "/", "||"];

impl<'a> Walk<'a> {
    fn smell(&mut self, rule: &'static str, location: i32, column: Option<(usize, String)>) {
        let Ok(parser_offset) = usize::try_from(location) else { return };
        if self.facts.smells.len() < SMELLS_MAX {
            self.facts.smells.push(Smell { rule, parser_offset, column });
        }
    }

    /// ORDER BY random().
    pub(super) fn smells_of_order(&mut self, keys: &'a [Node]) {
        for key in each(keys) {
            let Tree::SortBy(key) = key else { continue };
            if let Some(Tree::FuncCall(call)) = boxed(&key.node)
                && RANDOM.contains(&node::last_name(&call.funcname))
            {
                self.smell("order_by_random", call.location, None);
            }
        }
    }

    /// Slots of OFFSET.
    pub(super) fn skipped_rows(&mut self, select: &'a SelectStmt) {
        let mut node = boxed(&select.limit_offset);
        while let Some(Tree::TypeCast(cast)) = node {
            node = boxed(&cast.arg);
        }
        if let Some(Tree::ParamRef(parameter)) = node {
            self.facts.skip_slots.extend(u16::try_from(parameter.number));
        }
    }

    /// A condition that everything else is AND-connected with.
    pub(super) fn smells_of_comparison(&mut self, e: &'a AExpr) {
        let (Some(left), Some(right)) = (boxed(&e.lexpr), boxed(&e.rexpr)) else { return };
        let operator = node::last_name(&e.name);
        match e.kind() {
            AExprKind::AexprLike | AExprKind::AexprIlike
                if matches!(operator, "~~" | "~~*") && wild_start(right).is_some() =>
            {
                let found = self.first_column(left);
                let at = location(left).unwrap_or(e.location);
                self.smell("leading_wildcard", at, found);
            }
            AExprKind::AexprOp if COMPARISONS.contains(&operator) => {
                if self.is_value(right) {
                    self.computed(left);
                } else if self.is_value(left) {
                    self.computed(right);
                }
            }
            AExprKind::AexprIn if self.is_value(right) => self.computed(left),
            _ => {}
        }
    }

    /// The side of a comparison that isn't the value: a function of a column, or arithmetic with one.
    fn computed(&mut self, side: &'a Tree) {
        let at = match side {
            Tree::FuncCall(call) if call.over.is_none() => call.location,
            Tree::AExpr(e) if ARITHMETIC.contains(&node::last_name(&e.name)) => {
                location(side).unwrap_or(e.location)
            }
            _ => return,
        };
        if let Some(column) = self.first_column(side) {
            self.smell("function_on_column", at, Some(column));
        }
    }

    /// NOT IN (SELECT …), which also no row passes once there is a NULL.
    pub(super) fn smells_of_negation(&mut self, negated: &'a Tree) {
        if let Tree::SubLink(link) = negated
            && link.sub_link_type() == SubLinkType::AnySublink
            && matches!(node::last_name(&link.oper_name), "" | "=")
        {
            self.not_in(link);
        }
    }

    fn not_in(&mut self, link: &'a SubLink) {
        let column = boxed(&link.testexpr).and_then(|test| self.first_column(test));
        let at = boxed(&link.testexpr).and_then(location).unwrap_or(link.location);
        self.smell("not_in_subquery", at, column);
    }

    fn is_value(&self, node: &Tree) -> bool {
        !matches!(node, Tree::SubLink(_)) && !has_column(node)
    }

    fn first_column(&self, node: &Tree) -> Option<(usize, String)> {
        if let Tree::ColumnRef(reference) = node {
            return match scope::resolve(&self.scopes, reference) {
                Resolved::Column(column) => Some((column.relation, column.name)),
                Resolved::Unknown => None,
            };
        }
        let mut found = None;
        node::children(node, &mut |child| {
            if found.is_none() {
                found = self.first_column(child);
            }
        });
        found
    }
}

fn has_column(node: &Tree) -> bool {
    let mut found = matches!(node, Tree::ColumnRef(_) | Tree::SubLink(_));
    node::children(node, &mut |child| found |= has_column(child));
    found
}

/// Where the leftmost name of an expression stands.
fn location(node: &Tree) -> Option<i32> {
    match node {
        Tree::ColumnRef(reference) => Some(reference.location),
        Tree::FuncCall(call) => Some(call.location),
        _ => {
            let mut first = None;
            node::children(node, &mut |child| first = first.or_else(|| location(child)));
            first
        }
    }
}

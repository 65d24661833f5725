//! Conditions of WHERE and ON as predicates on single columns.

use super::node::{self, Tree, boxed, each};
use super::scope::{self, Column, Resolved};
use super::walk::Walk;
use crate::facts::{Predicate, PredicateClass as Class};
use pg_query::protobuf::{
    AExpr, AExprKind, BoolExpr, BoolExprType, FuncCall, SelectStmt, SubLink, SubLinkType,
};

/// Most predicates of one statement that are kept.
const PREDICATES_MAX: usize = 64;

/// What an expression is made of.
#[derive(Debug, Default)]
struct Contents {
    columns: Vec<Resolved>,
    slots: Vec<u16>,
}

impl Contents {
    /// The first column, if all of them belong to one known relation.
    fn one_relation(&self) -> Option<&Column> {
        let Some(Resolved::Column(first)) = self.columns.first() else {
            return None;
        };
        let same = |column: &Resolved| matches!(column, Resolved::Column(column) if column.relation == first.relation);
        self.columns.iter().all(same).then_some(first)
    }
}

impl<'a> Walk<'a> {
    /// Reads a condition of WHERE or ON.
    pub(super) fn filter(&mut self, condition: Option<&'a Tree>, top: bool) {
        if let Some(condition) = condition {
            self.condition(condition, top);
            self.expression(condition);
        }
    }

    fn condition(&mut self, node: &'a Tree, top: bool) {
        match node {
            Tree::BoolExpr(boolean) => self.boolean(boolean, top),
            Tree::AExpr(comparison) => {
                if top {
                    self.smells_of_comparison(comparison);
                }
                self.comparison(comparison, top);
            }
            Tree::NullTest(test) => self.test(boxed(&test.arg), Class::Null, top),
            Tree::BooleanTest(test) => self.test(boxed(&test.arg), Class::Eq, top),
            Tree::ColumnRef(_) => self.test(Some(node), Class::Eq, top),
            Tree::SubLink(link) => self.sub_query(link, top),
            Tree::FuncCall(call) => self.call(node, call, top),
            other => self.residual(other),
        }
    }

    fn boolean(&mut self, boolean: &'a BoolExpr, top: bool) {
        let and = boolean.boolop() == BoolExprType::AndExpr;
        if boolean.boolop() != BoolExprType::NotExpr {
            each(&boolean.args).for_each(|arm| self.condition(arm, top && and));
            return;
        }
        for negated in each(&boolean.args) {
            if top {
                self.smells_of_negation(negated);
            }
            match negated {
                Tree::NullTest(_) | Tree::ColumnRef(_) | Tree::BooleanTest(_) => {
                    self.condition(negated, top);
                }
                other => self.residual(other),
            }
        }
    }

    /// A filter that no index serves; one without columns filters nothing.
    fn residual(&mut self, node: &'a Tree) {
        let sub_query = matches!(node, Tree::SubLink(_));
        if sub_query || !self.contents(&[node]).columns.is_empty() {
            self.facts.residuals += 1;
        }
    }

    /// A condition on one operand without a value.
    fn test(&mut self, operand: Option<&'a Tree>, class: Class, top: bool) {
        if let Some(operand) = operand {
            let contents = self.contents(&[operand]);
            self.one_sided(class, operand, &contents, Vec::new(), top);
        }
    }

    fn call(&mut self, node: &'a Tree, call: &'a FuncCall, top: bool) {
        let args: Vec<&'a Tree> = each(&call.args).collect();
        match args[..] {
            [text, start] if node::last_name(&call.funcname) == "starts_with" => {
                self.compare(Class::LikePrefix, text, &[start], top);
            }
            _ => self.residual(node),
        }
    }

    fn comparison(&mut self, e: &'a AExpr, top: bool) {
        let (Some(left), Some(right)) = (boxed(&e.lexpr), boxed(&e.rexpr)) else {
            boxed(&e.rexpr).into_iter().for_each(|operand| self.residual(operand));
            return;
        };
        let Some(class) = class_of(e.kind(), node::last_name(&e.name), right) else {
            self.residual_pair(left, right);
            return;
        };
        let rights: Vec<&'a Tree> = match right {
            Tree::List(list) => each(&list.items).collect(),
            other => vec![other],
        };
        match (left, class) {
            (Tree::RowExpr(row), _) => self.rows(class, &row.args, &rights, top),
            (_, Class::Range) if rights.len() == 2 && self.any_column(&rights) => {
                rights.iter().for_each(|right| self.compare(class, left, &[right], top));
            }
            _ => self.compare(class, left, &rights, top),
        }
    }

    fn any_column(&self, nodes: &[&'a Tree]) -> bool {
        !self.contents(nodes).columns.is_empty()
    }

    fn residual_pair(&mut self, left: &'a Tree, right: &'a Tree) {
        if self.any_column(&[left, right]) {
            self.facts.residuals += 1;
        }
    }

    /// `(a, b) = (1, 2)` and `(a, b) IN ((1, 2), …)`, column by column.
    fn rows(
        &mut self,
        class: Class,
        lefts: &'a [pg_query::protobuf::Node],
        rights: &[&'a Tree],
        top: bool,
    ) {
        for (column, left) in each(lefts).enumerate() {
            let values: Vec<&'a Tree> = rights
                .iter()
                .filter_map(|right| match right {
                    Tree::RowExpr(row) => each(&row.args).nth(column),
                    _ => None,
                })
                .collect();
            self.compare(class, left, &values, top);
        }
    }

    fn compare(&mut self, class: Class, left: &'a Tree, rights: &[&'a Tree], top: bool) {
        let (on_left, on_right) = (self.contents(&[left]), self.contents(rights));
        match (on_left.columns.is_empty(), on_right.columns.is_empty()) {
            (true, true) => {}
            (false, true) => {
                let mut slots = on_right.slots.clone();
                let pattern = |right: &&Tree| fixed_start(right).or_else(|| wild_start(right));
                slots.extend(rights.iter().filter_map(pattern));
                self.one_sided(class, left, &on_left, slots, top);
            }
            (true, false) => match (class, rights) {
                (Class::Eq | Class::Range | Class::Json, [right]) => {
                    self.one_sided(class, right, &on_right, on_left.slots, top);
                }
                _ => self.facts.residuals += 1,
            },
            (false, false) => self.two_sided(class, left, rights, top),
        }
    }

    /// A condition whose columns stand on one side.
    fn one_sided(
        &mut self,
        class: Class,
        side: &'a Tree,
        on: &Contents,
        slots: Vec<u16>,
        top: bool,
    ) {
        let plain = matches!(side, Tree::ColumnRef(_));
        match on.one_relation() {
            Some(column) => {
                let class = if plain { class } else { Class::Expr };
                self.predicate(column.clone(), class, slots, None, top);
            }
            None if on.columns.len() > 1 => self.facts.residuals += 1,
            // one column that can't be attributed: nothing is said about it
            None => {}
        }
    }

    /// `a.x = b.y`: a join, seen from both sides.
    fn two_sided(&mut self, class: Class, left: &'a Tree, rights: &[&'a Tree], top: bool) {
        let (Tree::ColumnRef(left), [Tree::ColumnRef(right)], Class::Eq | Class::Range) =
            (left, rights, class)
        else {
            self.facts.residuals += 1;
            return;
        };
        let left = scope::resolve(&self.scopes, left);
        let right = scope::resolve(&self.scopes, right);
        match (left, right) {
            (Resolved::Column(left), Resolved::Column(right)) => {
                self.join_columns(left, right, top);
            }
            (Resolved::Column(known), Resolved::Unknown)
            | (Resolved::Unknown, Resolved::Column(known)) => {
                self.predicate(known, Class::Join, Vec::new(), None, top);
            }
            (Resolved::Unknown, Resolved::Unknown) => {}
        }
    }

    fn join_columns(&mut self, left: Column, right: Column, top: bool) {
        if left.relation == right.relation {
            self.facts.residuals += 1;
            return;
        }
        let other = |column: &Column| Some((column.relation, column.name.clone()));
        let (of_left, of_right) = (other(&right), other(&left));
        self.predicate(left, Class::Join, Vec::new(), of_left, top);
        self.predicate(right, Class::Join, Vec::new(), of_right, top);
    }

    /// A column of USING; sides that aren't one relation each stay unnamed.
    pub(super) fn joined(
        &mut self,
        left: Option<usize>,
        right: Option<usize>,
        name: &str,
        top: bool,
    ) {
        let column = |relation| Column { relation, name: name.to_owned() };
        match (left.map(column), right.map(column)) {
            (Some(left), Some(right)) => self.join_columns(left, right, top),
            (Some(known), None) | (None, Some(known)) => {
                self.predicate(known, Class::Join, Vec::new(), None, top);
            }
            (None, None) => {}
        }
    }

    /// `c IN (SELECT d …)` joins c with d; EXISTS says what its own conditions say.
    fn sub_query(&mut self, link: &'a SubLink, top: bool) {
        if link.sub_link_type() != SubLinkType::AnySublink {
            return;
        }
        let operator = node::last_name(&link.oper_name);
        let Some(Tree::ColumnRef(reference)) =
            boxed(&link.testexpr).filter(|_| matches!(operator, "" | "="))
        else {
            self.facts.residuals += 1;
            return;
        };
        let Resolved::Column(column) = scope::resolve(&self.scopes, reference) else {
            return;
        };
        let inner = match boxed(&link.subselect) {
            Some(Tree::SelectStmt(select)) => self.only_column(select),
            _ => None,
        };
        match inner {
            Some(inner) if inner.relation != column.relation => {
                let (outer, name) = (column.relation, column.name.clone());
                let other = Some((inner.relation, inner.name.clone()));
                self.predicate(column, Class::Join, Vec::new(), other, top);
                self.predicate(inner, Class::Join, Vec::new(), Some((outer, name)), false);
            }
            _ => self.predicate(column, Class::Join, Vec::new(), None, top),
        }
    }

    /// The one plain column of `SELECT d FROM t …`.
    fn only_column(&mut self, select: &'a SelectStmt) -> Option<Column> {
        let (target, from) = match (&select.target_list[..], &select.from_clause[..]) {
            ([target], [from]) => (
                each(std::slice::from_ref(target)).next()?,
                each(std::slice::from_ref(from)).next()?,
            ),
            _ => return None,
        };
        let (Tree::ResTarget(target), Tree::RangeVar(range)) = (target, from) else {
            return None;
        };
        let Some(Tree::ColumnRef(reference)) = boxed(&target.val).filter(|_| !self.is_cte(range))
        else {
            return None;
        };
        let name = node::names(&reference.fields).last().flatten()?.to_owned();
        Some(Column { relation: self.relation(range)?, name })
    }

    fn predicate(
        &mut self,
        column: Column,
        class: Class,
        slots: Vec<u16>,
        join: Option<(usize, String)>,
        top_level: bool,
    ) {
        if self.facts.predicates.len() < PREDICATES_MAX {
            let (relation, column) = (column.relation, column.name);
            self.facts.predicates.push(Predicate {
                relation,
                column,
                class,
                slots,
                join,
                top_level,
            });
        }
    }

    fn contents(&self, nodes: &[&Tree]) -> Contents {
        let mut contents = Contents::default();
        nodes.iter().for_each(|node| self.collect(node, &mut contents));
        contents
    }

    fn collect(&self, node: &Tree, contents: &mut Contents) {
        match node {
            Tree::ColumnRef(reference) => {
                contents.columns.push(scope::resolve(&self.scopes, reference));
            }
            Tree::ParamRef(parameter) => {
                let slot = u16::try_from(parameter.number).ok();
                contents.slots.extend(slot.filter(|slot| !contents.slots.contains(slot)));
            }
            _ => node::children(node, &mut |child| self.collect(child, contents)),
        }
    }
}

/// Class of a comparison; `None` where no index serves it.
fn class_of(kind: AExprKind, operator: &str, right: &Tree) -> Option<Class> {
    match kind {
        AExprKind::AexprOp => operator_class(operator),
        AExprKind::AexprNotDistinct => Some(Class::Eq),
        AExprKind::AexprOpAny if operator == "=" => Some(Class::In),
        AExprKind::AexprIn if operator == "=" => Some(Class::In),
        AExprKind::AexprBetween | AExprKind::AexprBetweenSym => Some(Class::Range),
        AExprKind::AexprLike if operator == "~~" => {
            Some(if fixed_start(right).is_some() { Class::LikePrefix } else { Class::LikeInfix })
        }
        AExprKind::AexprIlike if operator == "~~*" => Some(Class::LikeInfix),
        AExprKind::AexprSimilar if operator == "~" => Some(Class::LikeInfix),
        _ => None,
    }
}

fn operator_class(operator: &str) -> Option<Class> {
    Some(match operator {
        "=" => Class::Eq,
        "<" | "<=" | ">" | ">=" => Class::Range,
        "^@" => Class::LikePrefix,
        "~~" | "~~*" | "~" | "~*" | "%" => Class::LikeInfix,
        "@>" | "<@" | "&&" | "?" | "?|" | "?&" | "@?" | "@@" => Class::Json,
        _ => return None,
    })
}

/// The slot of a pattern with a fixed start: the lexer writes it as `'<slot>%'`.
fn fixed_start(pattern: &Tree) -> Option<u16> {
    node::string(pattern)?.strip_suffix('%')?.parse().ok()
}

/// The slot of a pattern that begins with a wildcard: the lexer writes it as `'%<slot>'`.
pub(super) fn wild_start(pattern: &Tree) -> Option<u16> {
    node::string(pattern)?.strip_prefix('%')?.parse().ok()
}

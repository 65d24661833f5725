//! WHERE and ON as conjuncts on scans.

use super::value::{self, comparison};
use super::{Origin, PREDICATES_MAX, Walk};
use crate::digest::grammar::node::{self, Tree, boxed, each};
use pg_query::protobuf::{
    AExpr, AExprKind, BoolExpr, BoolExprType, BoolTestType, Node, NullTestType, SubLink,
    SubLinkType,
};
use pgsonde_advisor::facts::{Class, JoinKind, Key, LiteralKind, Predicate, Value};

/// Which scans a join condition doesn't filter, and which it may turn to NULL.
#[derive(Clone, Debug, Default)]
pub(super) struct Side {
    pub(super) preserved: Vec<usize>,
    pub(super) nullable: Vec<usize>,
}

/// A conjunct before it is attached: what it needs to be one.
struct Conjunct<'t> {
    node: &'t Tree,
    negated: bool,
    side: &'t Side,
}

/// The operands of nested ANDs.
pub(super) fn flatten<'t>(node: &'t Tree, into: &mut Vec<&'t Tree>) {
    match node {
        Tree::BoolExpr(boolean) if boolean.boolop() == BoolExprType::AndExpr => {
            each(&boolean.args).for_each(|arm| flatten(arm, into));
        }
        other => into.push(other),
    }
}

impl Walk<'_> {
    pub(super) fn filter(&mut self, condition: Option<&Tree>) {
        if let Some(condition) = condition {
            self.on(condition, &Side::default());
        }
    }

    pub(super) fn on(&mut self, condition: &Tree, side: &Side) {
        self.conjunct(&Conjunct { node: condition, negated: false, side });
    }

    fn conjunct(&mut self, conjunct: &Conjunct<'_>) {
        let Conjunct { node, negated, side } = *conjunct;
        match node {
            Tree::BoolExpr(boolean) => self.boolean(conjunct, boolean),
            Tree::SubLink(link) => self.sub_link(link, negated, side),
            other => {
                self.note(other);
                let predicates = self.leaf(other, negated, side);
                self.attach(predicates, conjunct);
            }
        }
    }

    fn boolean(&mut self, conjunct: &Conjunct<'_>, boolean: &BoolExpr) {
        let Conjunct { node, negated, side } = *conjunct;
        match (boolean.boolop(), negated) {
            (BoolExprType::NotExpr, _) => {
                each(&boolean.args)
                    .for_each(|node| self.conjunct(&Conjunct { node, negated: !negated, side }));
            }
            (BoolExprType::AndExpr, false) | (BoolExprType::OrExpr, true) => {
                each(&boolean.args)
                    .for_each(|node| self.conjunct(&Conjunct { node, negated, side }));
            }
            _ => {
                self.note(node);
                let predicates = self.disjunction(boolean, negated, side);
                self.attach(predicates, conjunct);
            }
        }
    }

    /// OR over one scan; over several it is a residual of each.
    fn disjunction(
        &mut self,
        boolean: &BoolExpr,
        negated: bool,
        side: &Side,
    ) -> Vec<(usize, Predicate)> {
        let mut arms: Vec<Vec<Predicate>> = Vec::new();
        let mut scan = None;
        for arm in each(&boolean.args) {
            let mut leaves = Vec::new();
            flatten(arm, &mut leaves);
            let mut of_arm = Vec::new();
            for leaf in leaves {
                let found = match leaf {
                    Tree::BoolExpr(inner) if inner.boolop() == BoolExprType::OrExpr => {
                        self.disjunction(inner, negated, side)
                    }
                    other => self.leaf(other, negated, side),
                };
                for (of, predicate) in found {
                    if *scan.get_or_insert(of) != of || matches!(predicate.class, Class::Join(..)) {
                        return self.residuals_of(boolean);
                    }
                    of_arm.push(predicate);
                }
            }
            arms.push(of_arm);
        }
        let Some(scan) = scan else { return Vec::new() };
        // c = 1 OR c = 2 is c IN (1, 2)
        let single = |arm: &Vec<Predicate>| match &arm[..] {
            [Predicate { class: Class::Eq, key, .. }] => Some(key.clone()),
            _ => None,
        };
        let first = arms.first().and_then(single);
        if let Some(key) =
            first.filter(|key| arms.iter().all(|arm| single(arm).as_ref() == Some(key)))
        {
            let class = Class::In(Some(arms.len()));
            return vec![(
                scan,
                Predicate { class, key, value: Value::Literal(LiteralKind::List), text: None },
            )];
        }
        vec![(
            scan,
            Predicate { class: Class::Or(arms), key: Key::None, value: Value::None, text: None },
        )]
    }

    fn residuals_of(&mut self, boolean: &BoolExpr) -> Vec<(usize, Predicate)> {
        let mut scans: Vec<usize> = Vec::new();
        for arm in each(&boolean.args) {
            scans.extend(self.scans_in(arm));
        }
        scans.sort_unstable();
        scans.dedup();
        scans.into_iter().map(|scan| (scan, residual())).collect()
    }

    fn attach(&mut self, predicates: Vec<(usize, Predicate)>, conjunct: &Conjunct<'_>) {
        for (scan, mut predicate) in predicates {
            if conjunct.side.preserved.contains(&scan) {
                continue;
            }
            if !matches!(predicate.class, Class::Join(..)) {
                predicate.text = self.local_text(conjunct, scan);
            }
            let scan = &mut self.facts.scans[scan];
            if scan.predicates.len() < PREDICATES_MAX && !scan.predicates.contains(&predicate) {
                scan.predicates.push(predicate);
            }
        }
    }

    /// The conjunct over the bare columns of one scan, if it has no others.
    fn local_text(&self, conjunct: &Conjunct<'_>, scan: usize) -> Option<String> {
        let localized = self.localized(conjunct.node, scan)?;
        let text = value::deparsed(&localized)?;
        Some(if conjunct.negated { format!("NOT ({text})") } else { text })
    }

    /// A copy whose column references are bare names of `scan`; `None` if another's columns are in it.
    fn localized(&self, node: &Tree, scan: usize) -> Option<Tree> {
        let mut copy = node.clone();
        let mut own = true;
        value::each_column(&mut copy, &mut |reference| {
            let origins = self.resolve(reference);
            match origins.iter().find(|origin| origin.scan == scan) {
                Some(origin) => value::set_column(reference, &origin.column),
                None => own = false,
            }
        });
        (own && !value::has_sub_query(&copy)).then_some(copy)
    }

    /// One condition without AND, OR and NOT, as predicates by scan.
    fn leaf(&mut self, node: &Tree, negated: bool, side: &Side) -> Vec<(usize, Predicate)> {
        match node {
            Tree::AExpr(e) => self.comparison(node, e, negated, side),
            Tree::NullTest(test) => {
                let is_null = (test.nulltesttype() == NullTestType::IsNull) != negated;
                self.one_sided(boxed(&test.arg), &Class::Null(is_null), &Value::None)
            }
            Tree::BooleanTest(test) => match (test.booltesttype(), negated) {
                (BoolTestType::IsTrue | BoolTestType::IsFalse, false) => {
                    self.one_sided(boxed(&test.arg), &Class::Eq, &Value::None)
                }
                _ => self.residuals(node),
            },
            Tree::ColumnRef(_) => self.one_sided(Some(node), &Class::Eq, &Value::None),
            Tree::FuncCall(call) if !negated => {
                match (node::last_name(&call.funcname), &each(&call.args).collect::<Vec<_>>()[..]) {
                    ("starts_with", [text, start]) => {
                        let length =
                            node::string(start).map_or(1, |start| start.chars().count().max(1));
                        let value = self.value(start);
                        self.one_sided(Some(text), &Class::LikePrefix(length), &value)
                    }
                    _ => self.residuals(node),
                }
            }
            _ => self.residuals(node),
        }
    }

    fn residuals(&mut self, node: &Tree) -> Vec<(usize, Predicate)> {
        self.scans_in(node).into_iter().map(|scan| (scan, residual())).collect()
    }

    /// The scans whose columns occur in an expression, each once.
    fn scans_in(&self, node: &Tree) -> Vec<usize> {
        let mut scans: Vec<usize> = Vec::new();
        let mut copy = node.clone();
        value::each_column(&mut copy, &mut |reference| {
            scans.extend(self.resolve(reference).iter().map(|origin| origin.scan));
        });
        scans.sort_unstable();
        scans.dedup();
        scans
    }

    fn comparison(
        &mut self,
        node: &Tree,
        e: &AExpr,
        negated: bool,
        side: &Side,
    ) -> Vec<(usize, Predicate)> {
        let (Some(left), Some(right)) = (boxed(&e.lexpr), boxed(&e.rexpr)) else {
            return self.residuals(node);
        };
        let Some((class, commuted)) = comparison(e, right, negated) else {
            return self.residuals(node);
        };
        if let (Tree::RowExpr(l), Class::Eq | Class::Range) = (left, &class)
            && let Tree::RowExpr(r) = right
        {
            return self.rows(node, &class, &l.args, &r.args, side);
        }
        let (on_left, on_right) = (self.scans_in(left), self.scans_in(right));
        match (&on_left[..], &on_right[..]) {
            ([_, ..], []) if !value::is_volatile(right) => {
                let value = self.value(right);
                self.one_sided(Some(left), &class, &value)
            }
            ([], [_, ..]) if commuted && !value::is_volatile(left) => {
                let value = self.value(left);
                self.one_sided(Some(right), &class, &value)
            }
            ([one], [other])
                if one != other
                    && matches!(class, Class::Eq | Class::Range)
                    && e.kind() == AExprKind::AexprOp =>
            {
                self.two_sided(left, right, &class, side)
            }
            _ => self.residuals(node),
        }
    }

    /// `(a, b) = (1, 2)` column by column; `(a, b) < (1, 2)` as one list.
    fn rows(
        &mut self,
        node: &Tree,
        class: &Class,
        left: &[Node],
        right: &[Node],
        side: &Side,
    ) -> Vec<(usize, Predicate)> {
        if *class == Class::Eq {
            let pairs: Vec<(&Tree, &Tree)> = each(left).zip(each(right)).collect();
            return pairs
                .into_iter()
                .flat_map(|(left, right)| {
                    match (self.scans_in(left).len(), self.scans_in(right).len()) {
                        (1.., 0) => self.one_sided(Some(left), &Class::Eq, &Value::Stable),
                        (0, 1..) => self.one_sided(Some(right), &Class::Eq, &Value::Stable),
                        (1, 1) => self.two_sided(left, right, &Class::Eq, side),
                        _ => self.residuals(node),
                    }
                })
                .collect();
        }
        let mut columns = Vec::new();
        let mut scan = None;
        for item in each(left) {
            let Tree::ColumnRef(reference) = item else { return self.residuals(node) };
            let [origin] = &self.resolve(reference)[..] else { return self.residuals(node) };
            if *scan.get_or_insert(origin.scan) != origin.scan {
                return self.residuals(node);
            }
            columns.push(origin.column.clone());
        }
        let constant = each(right).all(|item| self.scans_in(item).is_empty());
        match scan.filter(|_| constant) {
            Some(scan) => {
                let key = Key::Row(columns);
                vec![(
                    scan,
                    Predicate { class: Class::Range, key, value: Value::Stable, text: None },
                )]
            }
            None => self.residuals(node),
        }
    }

    /// A condition whose columns stand on one side.
    fn one_sided(
        &mut self,
        side: Option<&Tree>,
        class: &Class,
        value: &Value,
    ) -> Vec<(usize, Predicate)> {
        let Some(side) = side else { return Vec::new() };
        self.keys(side)
            .into_iter()
            .map(|(scan, key)| {
                let class = if key == Key::None { Class::Residual } else { class.clone() };
                (scan, Predicate { class, key, value: value.clone(), text: None })
            })
            .collect()
    }

    /// What an index on this side would have as its key, per scan.
    pub(super) fn keys(&self, side: &Tree) -> Vec<(usize, Key)> {
        if let Tree::ColumnRef(reference) = side {
            let origins = self.resolve(reference);
            return origins
                .into_iter()
                .map(|Origin { scan, column }| (scan, Key::Column(column)))
                .collect();
        }
        let scans = self.scans_in(side);
        let expression = |scan: usize| {
            let localized = self
                .localized(side, scan)
                .filter(|_| scans.len() == 1 && !value::is_volatile(side))?;
            let mut columns = Vec::new();
            value::each_column(&mut localized.clone(), &mut |reference| {
                columns.extend(node::names(&reference.fields).last().flatten().map(str::to_owned));
            });
            columns.sort_unstable();
            columns.dedup();
            Some(Key::Expression(value::normal(&localized)?, columns))
        };
        scans.iter().map(|scan| (*scan, expression(*scan).unwrap_or(Key::None))).collect()
    }

    fn two_sided(
        &mut self,
        left: &Tree,
        right: &Tree,
        class: &Class,
        side: &Side,
    ) -> Vec<(usize, Predicate)> {
        let (left, right) = (self.keys(left), self.keys(right));
        if *class != Class::Eq {
            return left.iter().chain(&right).map(|(scan, _)| (*scan, residual())).collect();
        }
        let mut found = Vec::new();
        for (one, one_key) in &left {
            for (other, other_key) in &right {
                for (scan, key, with) in [(*one, one_key, *other), (*other, other_key, *one)] {
                    let class = Class::Join(with, self.kind(side, scan));
                    found.push((
                        scan,
                        Predicate { class, key: key.clone(), value: Value::Column, text: None },
                    ));
                }
            }
        }
        found
    }

    fn kind(&self, side: &Side, scan: usize) -> JoinKind {
        if side.nullable.contains(&scan) {
            return JoinKind::Outer;
        }
        self.scopes.last().and_then(|scope| scope.kind).unwrap_or(JoinKind::Inner)
    }

    /// USING and NATURAL.
    pub(super) fn join_columns(&mut self, left: &[Origin], right: &[Origin], side: &Side) {
        for one in left {
            for other in right {
                for (this, that) in [(one, other), (other, one)] {
                    self.facts.scans[this.scan].columns.push(this.column.clone());
                    if side.preserved.contains(&this.scan) {
                        continue;
                    }
                    let class = Class::Join(that.scan, self.kind(side, this.scan));
                    let key = Key::Column(this.column.clone());
                    self.facts.scans[this.scan].predicates.push(Predicate {
                        class,
                        key,
                        value: Value::Column,
                        text: None,
                    });
                }
            }
        }
    }

    /// EXISTS says what its own conditions say; `c IN (SELECT d …)` joins c with d.
    fn sub_link(&mut self, link: &SubLink, negated: bool, side: &Side) {
        let kind = if negated { JoinKind::Anti } else { JoinKind::Semi };
        let test = boxed(&link.testexpr);
        test.into_iter().for_each(|test| self.note(test));
        let Some(Tree::SelectStmt(select)) = boxed(&link.subselect) else { return };
        let outputs = self.select_as(select, Some(kind));
        let any = link.sub_link_type() == SubLinkType::AnySublink
            && matches!(node::last_name(&link.oper_name), "" | "=");
        let Some(test) = test.filter(|_| any) else { return };
        let outer = self.keys(test);
        if negated {
            // NOT IN can't be turned into a join
            for (scan, _) in outer {
                self.facts.scans[scan].predicates.push(residual());
            }
            return;
        }
        let Some((_, origins)) = outputs.first() else { return };
        for (scan, key) in outer.into_iter().filter(|(scan, _)| !side.preserved.contains(scan)) {
            for origin in origins {
                let join = |with: usize, key: Key| Predicate {
                    class: Class::Join(with, JoinKind::Semi),
                    key,
                    value: Value::Column,
                    text: None,
                };
                self.facts.scans[scan].predicates.push(join(origin.scan, key.clone()));
                self.facts.scans[origin.scan]
                    .predicates
                    .push(join(scan, Key::Column(origin.column.clone())));
            }
        }
    }

    fn value(&self, node: &Tree) -> Value {
        value::of(node)
    }
}

fn residual() -> Predicate {
    Predicate { class: Class::Residual, key: Key::None, value: Value::None, text: None }
}

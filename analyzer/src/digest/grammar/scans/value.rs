//! Operators, literals and patterns; expressions in normal text.

use crate::digest::grammar::node::{self, Tree, boxed, each};
use pg_query::DeparseOptions;
use pg_query::protobuf::{
    AExpr, AExprKind, ColumnRef, Node, ResTarget, SelectStmt, String as Name, a_const,
};
use pgsonde_advisor::facts::{Class, LiteralKind, Value};

/// Functions that may answer differently for each row.
const VOLATILE: [&str; 8] = [
    "random",
    "clock_timestamp",
    "nextval",
    "gen_random_uuid",
    "uuid_generate_v4",
    "timeofday",
    "setseed",
    "pg_sleep",
];

/// Class of a comparison, and whether its sides may be swapped.
pub(super) fn comparison(e: &AExpr, right: &Tree, negated: bool) -> Option<(Class, bool)> {
    let operator = node::last_name(&e.name);
    let class = match e.kind() {
        AExprKind::AexprOp if negated => match operator {
            "<" | "<=" | ">" | ">=" => Some((Class::Range, true)),
            "<>" | "!=" => Some((Class::Eq, true)),
            _ => None,
        },
        AExprKind::AexprIn if negated && operator == "<>" => {
            Some((Class::In(list_length(right)), false))
        }
        _ if negated => None,
        AExprKind::AexprOp => of_operator(operator, right),
        AExprKind::AexprOpAny if operator == "=" => Some((Class::In(list_length(right)), false)),
        AExprKind::AexprIn if operator == "=" => Some((Class::In(list_length(right)), false)),
        AExprKind::AexprBetween | AExprKind::AexprBetweenSym => Some((Class::Range, false)),
        AExprKind::AexprLike if operator == "~~" => Some((like(right), false)),
        AExprKind::AexprIlike if operator == "~~*" => {
            Some((Class::LikeInfix(longest_run(right)), false))
        }
        AExprKind::AexprSimilar if operator == "~" => Some((Class::LikeInfix(1), false)),
        _ => None,
    };
    class.map(|(class, commuted)| match class {
        Class::In(Some(1)) => (Class::Eq, commuted),
        class => (class, commuted),
    })
}

fn of_operator(operator: &str, right: &Tree) -> Option<(Class, bool)> {
    Some(match operator {
        "=" => (Class::Eq, true),
        "<" | "<=" | ">" | ">=" => (Class::Range, true),
        "^@" => (
            Class::LikePrefix(node::string(right).map_or(1, |text| text.chars().count().max(1))),
            false,
        ),
        "~~" => (like(right), false),
        "~" => (regex(right), false),
        "~~*" | "~*" | "%" => (Class::LikeInfix(longest_run(right)), false),
        "@>" | "<@" | "?" | "?|" | "?&" | "@?" | "@@" | "&&" => {
            (Class::Contains(operator.to_owned()), false)
        }
        _ => return None,
    })
}

fn list_length(right: &Tree) -> Option<usize> {
    match right {
        Tree::List(list) => Some(list.items.len()),
        Tree::AArrayExpr(array) => Some(array.elements.len()),
        Tree::TypeCast(cast) => boxed(&cast.arg).and_then(list_length),
        Tree::AConst(_) => node::string(right).map(|text| text.split(',').count()),
        _ => None,
    }
}

/// The string that a pattern is, also cast.
fn pattern(node: &Tree) -> Option<&str> {
    match node {
        Tree::TypeCast(cast) => boxed(&cast.arg).and_then(pattern),
        other => node::string(other),
    }
}

fn like(right: &Tree) -> Class {
    let Some(text) = pattern(right) else { return Class::LikeInfix(0) };
    let mut length = 0;
    let mut escaped = false;
    for letter in text.chars() {
        match letter {
            '\\' if !escaped => escaped = true,
            '%' | '_' if !escaped => break,
            _ => {
                escaped = false;
                length += 1;
            }
        }
    }
    if length > 0 { Class::LikePrefix(length) } else { Class::LikeInfix(longest_run(right)) }
}

fn regex(right: &Tree) -> Class {
    let start = pattern(right).and_then(|text| text.strip_prefix('^'));
    let literal =
        |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_' | '@');
    let Some(rest) = start else { return Class::LikeInfix(longest_run(right)) };
    let length = rest.chars().take_while(literal).count();
    let optional =
        rest.chars().nth(length).is_some_and(|next| matches!(next, '*' | '?' | '{' | '|'));
    match length - usize::from(optional && length > 0) {
        0 => Class::LikeInfix(longest_run(right)),
        length => Class::LikePrefix(length),
    }
}

/// The longest run without wildcards: what trigrams can be made of.
fn longest_run(right: &Tree) -> usize {
    let text = pattern(right).unwrap_or_default();
    text.split(|letter: char| !letter.is_alphanumeric())
        .map(|run| run.chars().count())
        .max()
        .unwrap_or(0)
}

/// Where a value comes from.
pub(super) fn of(node: &Tree) -> Value {
    match node {
        Tree::AConst(constant) => Value::Literal(match &constant.val {
            _ if constant.isnull => LiteralKind::Null,
            Some(a_const::Val::Ival(_)) => LiteralKind::Integer,
            // an integer too large for 32 bits comes as a float without a point
            Some(a_const::Val::Fval(number))
                if number.fval.bytes().all(|byte| byte.is_ascii_digit())
                    && number.fval.len() < 19 =>
            {
                LiteralKind::Integer
            }
            Some(a_const::Val::Fval(_)) => LiteralKind::Numeric,
            Some(a_const::Val::Boolval(_)) => LiteralKind::Boolean,
            // 0 is left out of the wire form
            None => LiteralKind::Integer,
            _ => LiteralKind::Unknown,
        }),
        Tree::ParamRef(parameter) => Value::Parameter(u16::try_from(parameter.number).unwrap_or(0)),
        Tree::TypeCast(cast) => match boxed(&cast.arg) {
            Some(Tree::AConst(_)) => {
                let name = cast.type_name.as_ref().map_or("", |name| node::last_name(&name.names));
                let array =
                    cast.type_name.as_ref().is_some_and(|name| !name.array_bounds.is_empty());
                Value::Literal(LiteralKind::Typed(format!(
                    "{}{name}",
                    if array { "_" } else { "" }
                )))
            }
            Some(Tree::ParamRef(parameter)) => {
                Value::Parameter(u16::try_from(parameter.number).unwrap_or(0))
            }
            _ => Value::Stable,
        },
        Tree::List(list) => match each(&list.items).next().map(of) {
            Some(Value::Literal(LiteralKind::Numeric)) => Value::Literal(LiteralKind::Numeric),
            _ => Value::Literal(LiteralKind::List),
        },
        Tree::AArrayExpr(_) => Value::Literal(LiteralKind::List),
        Tree::AExpr(e) if e.lexpr.is_none() && node::last_name(&e.name) == "-" => {
            boxed(&e.rexpr).map_or(Value::Stable, of)
        }
        _ => Value::Stable,
    }
}

pub(super) fn is_volatile(node: &Tree) -> bool {
    let own =
        matches!(node, Tree::FuncCall(call) if VOLATILE.contains(&node::last_name(&call.funcname)));
    let mut inner = false;
    node::children(node, &mut |child| inner |= is_volatile(child));
    own || inner
}

pub(super) fn has_sub_query(node: &Tree) -> bool {
    let mut found = matches!(node, Tree::SubLink(_));
    node::children(node, &mut |child| found |= has_sub_query(child));
    found
}

/// Makes a reference a bare name.
pub(super) fn set_column(reference: &mut ColumnRef, column: &str) {
    let name = Tree::String(Name { sval: column.to_owned() });
    reference.fields = vec![Node { node: Some(name) }];
}

/// Visits the column references of an expression, without those of sub-queries.
pub(super) fn each_column(node: &mut Tree, visit: &mut dyn FnMut(&mut ColumnRef)) {
    if let Tree::ColumnRef(reference) = node {
        return visit(reference);
    }
    each_child(node, &mut |child| each_column(child, visit));
}

/// As [`node::children`], to be changed.
fn each_child(node: &mut Tree, visit: &mut dyn FnMut(&mut Tree)) {
    let (lists, singles): (Vec<&mut Vec<Node>>, Vec<&mut Option<Box<Node>>>) = match node {
        Tree::AExpr(e) => (vec![], vec![&mut e.lexpr, &mut e.rexpr]),
        Tree::BoolExpr(e) => (vec![&mut e.args], vec![]),
        Tree::FuncCall(e) => (vec![&mut e.args, &mut e.agg_order], vec![&mut e.agg_filter]),
        Tree::TypeCast(e) => (vec![], vec![&mut e.arg]),
        Tree::CaseExpr(e) => (vec![&mut e.args], vec![&mut e.arg, &mut e.defresult]),
        Tree::CaseWhen(e) => (vec![], vec![&mut e.expr, &mut e.result]),
        Tree::CoalesceExpr(e) => (vec![&mut e.args], vec![]),
        Tree::MinMaxExpr(e) => (vec![&mut e.args], vec![]),
        Tree::NullTest(e) => (vec![], vec![&mut e.arg]),
        Tree::BooleanTest(e) => (vec![], vec![&mut e.arg]),
        Tree::SubLink(e) => (vec![], vec![&mut e.testexpr]),
        Tree::RowExpr(e) => (vec![&mut e.args], vec![]),
        Tree::AArrayExpr(e) => (vec![&mut e.elements], vec![]),
        Tree::AIndirection(e) => (vec![&mut e.indirection], vec![&mut e.arg]),
        Tree::AIndices(e) => (vec![], vec![&mut e.lidx, &mut e.uidx]),
        Tree::CollateClause(e) => (vec![], vec![&mut e.arg]),
        Tree::List(e) => (vec![&mut e.items], vec![]),
        Tree::NamedArgExpr(e) => (vec![], vec![&mut e.arg]),
        _ => return,
    };
    lists.into_iter().flatten().filter_map(|node| node.node.as_mut()).for_each(&mut *visit);
    singles.into_iter().filter_map(|node| node.as_mut()?.node.as_mut()).for_each(visit);
}

/// The text of an expression.
pub(super) fn deparsed(node: &Tree) -> Option<String> {
    let target = ResTarget {
        val: Some(Box::new(Node { node: Some(node.clone()) })),
        ..ResTarget::default()
    };
    let select = SelectStmt {
        target_list: vec![Node { node: Some(Tree::ResTarget(Box::new(target))) }],
        // the deparser refuses undefined enum members
        limit_option: pg_query::protobuf::LimitOption::Default.into(),
        op: pg_query::protobuf::SetOperation::SetopNone.into(),
        ..SelectStmt::default()
    };
    let text = Tree::SelectStmt(Box::new(select)).deparse(DeparseOptions::default()).ok()?;
    text.strip_prefix("SELECT ").map(str::to_owned)
}

/// The text of an expression, equal for those that mean the same: without qualifiers, without casts of literals, and
/// without casts of columns to text, which the server adds for varchar.
pub(super) fn normal(node: &Tree) -> Option<String> {
    let mut copy = node.clone();
    each_column(&mut copy, &mut |reference| {
        let last = node::names(&reference.fields).last().flatten().map(str::to_owned);
        last.into_iter().for_each(|column| set_column(reference, &column));
    });
    strip(&mut copy);
    deparsed(&copy)
}

fn strip(node: &mut Tree) {
    each_child(node, &mut strip);
    let Tree::TypeCast(cast) = node else {
        // = ANY (ARRAY[…]) is how the server writes IN
        return;
    };
    let text = cast.type_name.as_ref().map_or("", |name| node::last_name(&name.names)) == "text";
    let stripped = match boxed(&cast.arg) {
        Some(inner @ (Tree::AConst(_) | Tree::TypeCast(_))) => {
            matches!(inner, Tree::AConst(_)) || text
        }
        Some(Tree::ColumnRef(_)) => text,
        _ => false,
    };
    if stripped && let Some(inner) = cast.arg.take().and_then(|arg| arg.node) {
        *node = inner;
    }
}

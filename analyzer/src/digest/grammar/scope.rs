//! Which relation a column belongs to, without a catalogue: by its qualifier, or because there is only one.

use super::node;
use pg_query::protobuf::ColumnRef;

/// One thing in a FROM clause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item<'a> {
    pub(super) schema: &'a str,
    /// Alias, else name.
    pub(super) visible: &'a str,
    /// Index of the relation; `None` for a sub-query, a CTE or a function.
    pub(super) relation: Option<usize>,
}

/// What one query's FROM clause makes visible.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) items: Vec<Item<'a>>,
}

/// A column and its relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) relation: usize,
    pub(super) name: String,
}

/// What a column reference means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Resolved {
    Column(Column),
    /// A column of something that is no relation, or of one that can't be told.
    Unknown,
}

/// Finds the relation of a column; inner queries' names hide outer ones.
pub(super) fn resolve(scopes: &[Scope<'_>], reference: &ColumnRef) -> Resolved {
    let mut names = node::names(&reference.fields);
    let parts = [names.next(), names.next(), names.next()].map(Option::flatten);
    let (relation, column) = match parts {
        [Some(column), None, None] => (only(scopes), column),
        [Some(alias), Some(column), None] => (qualified(scopes, None, alias), column),
        [Some(schema), Some(table), Some(column)] => {
            (qualified(scopes, Some(schema), table), column)
        }
        _ => (None, ""),
    };
    match relation {
        Some(relation) => Resolved::Column(Column { relation, name: column.to_owned() }),
        None => Resolved::Unknown,
    }
}

/// The relation of a `alias.*` or a bare `*`.
pub(super) fn star(scopes: &[Scope<'_>], reference: &ColumnRef) -> Option<usize> {
    let names: Vec<Option<&str>> = node::names(&reference.fields).collect();
    match names[..] {
        [None] => only(scopes),
        [Some(alias), None] => qualified(scopes, None, alias),
        [Some(schema), Some(table), None] => qualified(scopes, Some(schema), table),
        _ => None,
    }
}

fn only(scopes: &[Scope<'_>]) -> Option<usize> {
    match scopes.last()?.items[..] {
        [item] => item.relation,
        _ => None,
    }
}

fn qualified(scopes: &[Scope<'_>], schema: Option<&str>, name: &str) -> Option<usize> {
    let fits = |item: &&Item<'_>| {
        item.visible == name && schema.is_none_or(|schema| item.schema == schema)
    };
    scopes.iter().rev().find_map(|scope| scope.items.iter().find(fits))?.relation
}

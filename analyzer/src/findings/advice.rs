//! What to do about a finding, in plain SQL.

use super::orm::Orm;
use crate::finding::{Fix, Kind};

/// What a finding is about, as far as it is known: names of tables and columns without quotes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Entities<'a> {
    /// Table that supplied the values.
    pub(crate) parent: Option<&'a str>,
    /// Table that is read or written.
    pub(crate) child: Option<&'a str>,
    /// Predicate column of the child.
    pub(crate) column: Option<&'a str>,
}

/// The fix for a finding of that kind.
pub(crate) fn advice(
    kind: Kind,
    _variant: Option<&str>,
    orm: Option<Orm>,
    entities: &Entities<'_>,
) -> Fix {
    let child = entities
        .child
        .or(entities.parent)
        .map_or_else(|| "the rows".to_owned(), |name| format!("`{name}`"));
    let column = entities.column.unwrap_or("key");
    let text = match kind {
        Kind::LoopedLookup => {
            format!("Read {child} once for all values: `{column} = ANY($1)` with an array.")
        }
        Kind::WriteLoop => format!(
            "Write {child} in few statements: INSERT with many rows in VALUES, one UPDATE or DELETE with \
             `= ANY($1)`, COPY, or a pipelined batch."
        ),
        Kind::UpsertLoop => format!(
            "Write {child} without asking first: INSERT … ON CONFLICT DO UPDATE (or DO NOTHING), many rows at once."
        ),
        Kind::SavepointLoop => format!(
            "Put one savepoint around the whole batch on {child}, or use INSERT … ON CONFLICT instead of catching errors."
        ),
        Kind::DuplicateQuery => {
            format!("Read {child} once and pass the result on to whoever needs it.")
        }
        Kind::TinyFetch => {
            format!("Fetch {child} in larger parts: 500 rows or more at a time.")
        }
        Kind::SequentialIndependent => {
            "If none of them depends on another, run them at the same time on several connections, or join \
             them into one statement."
                .to_owned()
        }
        Kind::CountEveryPage => format!(
            "Don't count {child} for every page: read one row more than the page shows to know whether there is \
             a next one, or count once and remember it."
        ),
        _ => format!("Ask for news of {child} less often, or use LISTEN and NOTIFY."),
    };
    Fix { orm: orm.map(Orm::name), text, sql: None }
}

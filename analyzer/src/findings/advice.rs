//! What to do about a finding, in the words of the ORM at hand (findings, section 4.5).

mod table;

use super::orm::Orm;
use crate::finding::{Fix, Kind};
pub(crate) use table::Topic;
use table::{RULES, TABLE};

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

/// The fix for a finding of that kind. `variant` is the finding's variant or rule, or the shape of an
/// `n_plus_one` (`to_many`); where no ORM is known, or it has no call of its own, the words are plain SQL.
pub(crate) fn advice(
    kind: Kind,
    variant: Option<&str>,
    orm: Option<Orm>,
    entities: &Entities<'_>,
) -> Fix {
    let name = orm.map(Orm::name);
    let Some(words) =
        topic(kind, variant).and_then(|topic| TABLE.iter().find(|words| words.topic == topic))
    else {
        return Fix { orm: name, text: plain_kind(kind, variant, entities), sql: None };
    };
    let aim = filled(words.aim, entities);
    let plain = match rule(variant) {
        Some(safe) => safe.to_owned(),
        None => filled(words.plain, entities),
    };
    let call = orm.map(|orm| (orm.name(), words.calls[orm as usize]));
    let text = match call.filter(|(_, call)| !call.is_empty()) {
        Some((orm, call)) if kind == Kind::LockHazard && !plain.is_empty() => {
            format!("{aim}: {plain}. This looks like {orm}: {call}.")
        }
        Some((orm, call)) => format!("{aim}. This looks like {orm}: {call}."),
        None if plain.is_empty() => format!("{aim}."),
        None => format!("{aim}: {plain}."),
    };
    Fix { orm: name, text, sql: None }
}

/// The row of the table that a kind takes its words from; kinds without one get plain advice.
pub(crate) fn topic(kind: Kind, variant: Option<&str>) -> Option<Topic> {
    Some(match kind {
        Kind::NPlusOne => match variant {
            Some("aggregate") => Topic::Aggregate,
            Some("refresh") => Topic::Refresh,
            Some("to_many" | "nested") => Topic::ToMany,
            _ => Topic::ToOne,
        },
        Kind::LoopedLookup => Topic::LoopedLookup,
        Kind::WriteLoop | Kind::SavepointLoop => Topic::RowWrites,
        Kind::UpsertLoop => Topic::Upsert,
        Kind::DuplicateQuery => Topic::Duplicate,
        Kind::DeepOffset | Kind::CountEveryPage => Topic::Paging,
        Kind::UnboundedResult | Kind::TinyFetch => Topic::Streaming,
        Kind::CartesianExplosion => Topic::Multiplied,
        Kind::WideFetch => Topic::Columns,
        Kind::LargeInList | Kind::InListChurn => Topic::Lists,
        Kind::StatementChurn => Topic::Texts,
        Kind::SequentialIndependent => Topic::Independent,
        Kind::IdleInTransaction | Kind::LongTransaction => Topic::Transactions,
        Kind::ConnectionChurn => Topic::Connections,
        Kind::TxChatter | Kind::PingOverhead => Topic::Chatter,
        Kind::LockHazard => Topic::Migrations,
        Kind::Polling | Kind::SqlSmell | Kind::MissingIndex => return None,
    })
}

fn rule(variant: Option<&str>) -> Option<&'static str> {
    let variant = variant?;
    RULES.iter().find(|(rule, _)| *rule == variant).map(|(_, words)| *words)
}

fn plain_kind(kind: Kind, variant: Option<&str>, entities: &Entities<'_>) -> String {
    let words = match (kind, rule(variant)) {
        (Kind::SqlSmell, Some(cure)) => {
            return format!(
                "Let the server run {} by a better form: {cure}.",
                quoted(entities.child, "it")
            );
        }
        (Kind::SqlSmell, None) => "Write the condition on {child} so that an index can serve it.",
        (Kind::Polling, _) => {
            "Ask for news of {child} less often, or let the server tell: LISTEN and NOTIFY, or a longer period."
        }
        _ => "Make an index on {child} (`{column}`), if the plan shows that it is missing.",
    };
    filled(words, entities)
}

fn quoted(name: Option<&str>, unknown: &str) -> String {
    name.map_or_else(|| unknown.to_owned(), |name| format!("`{name}`"))
}

fn filled(words: &str, entities: &Entities<'_>) -> String {
    words
        .replace("{child}", &quoted(entities.child, "the rows"))
        .replace("{parent}", &quoted(entities.parent, "the first result"))
        .replace("{column}", entities.column.unwrap_or("key"))
}

#[cfg(test)]
mod tests;

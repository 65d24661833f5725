//! The batched form of a look-up, where its text allows it without understanding more than it says.

use crate::digest::Statement;
use crate::facts::{PredicateClass, StatementFacts};
use crate::snapshot::Operation;
use crate::text::LITERAL_SLOT_FIRST;

/// The look-up with `= ANY(…)` instead of `=`, and the key among its targets.
///
/// Only for one SELECT from one table with equality on the slot, no LIMIT above 1 and no grouping.
pub(crate) fn batched(statement: &Statement, slot: u16) -> Option<String> {
    let facts = statement.facts.as_ref()?;
    let column = key_column(facts, slot).filter(|_| is_simple(statement, facts))?;
    let text = without_limit(&statement.text, facts.limited)?;
    let value = if slot < LITERAL_SLOT_FIRST { format!("${slot}") } else { "?".to_owned() };
    let found = the_comparison(text, column, &value)?;
    let parameter = if slot < LITERAL_SLOT_FIRST { value } else { free_parameter(text)? };
    let cast = found.cast.map(|name| format!("::{name}[]")).unwrap_or_default();
    let spelled = found.spelled;
    let (before, after) = (&text[..found.start], &text[found.end..]);
    let mut sql = format!("{before}{spelled} = ANY({parameter}{cast}){after}");
    if !outputs(facts, column) {
        let select = "select ".len();
        sql.insert_str(select, &format!("{spelled}, "));
    }
    Some(sql)
}

fn is_simple(statement: &Statement, facts: &StatementFacts) -> bool {
    let plain = facts.relations.len() == 1 && !facts.writes && !facts.grouped && !facts.aggregate;
    let one_row = !facts.limit_may_exceed_one && (!facts.limited || facts.order_by.is_empty());
    let whole = statement.starts_with("SELECT ")
        && !statement.cut
        && !statement.text.is_empty()
        && !statement.starts_with("SELECT DISTINCT");
    statement.operation == Operation::Select && plain && one_row && whole && !facts.locking
}

fn key_column(facts: &StatementFacts, slot: u16) -> Option<&str> {
    let mut users = facts.predicates.iter().filter(|predicate| predicate.slots.contains(&slot));
    let predicate = users.next().filter(|_| users.next().is_none())?;
    let equality = predicate.class == PredicateClass::Eq && predicate.top_level;
    (equality && predicate.slots.len() == 1).then_some(predicate.column.as_str())
}

/// A LIMIT of one has no place in the batched form; it is only taken off where it ends the text.
fn without_limit(text: &str, limited: bool) -> Option<&str> {
    if !limited {
        return Some(text);
    }
    let at = text.to_ascii_lowercase().rfind(" limit ")?;
    let mut words = text[at..].split_whitespace().skip(1);
    let is_value = |word: Option<&str>| {
        word.is_some_and(|word| word == "?" || word == "1" || word.starts_with('$'))
    };
    let ends = is_value(words.next())
        && match words.next() {
            None => true,
            Some(word) => {
                word.eq_ignore_ascii_case("offset")
                    && is_value(words.next())
                    && words.next().is_none()
            }
        };
    ends.then(|| &text[..at])
}

/// `column = value`, perhaps with a cast of the value.
#[derive(Clone, Copy, Debug)]
struct Comparison<'a> {
    start: usize,
    end: usize,
    /// The column as the text spells it.
    spelled: &'a str,
    /// The type that the value is cast to.
    cast: Option<&'a str>,
}

/// The comparison of the column with the value, if there is exactly one.
fn the_comparison<'a>(text: &'a str, column: &str, value: &str) -> Option<Comparison<'a>> {
    let mut found =
        text.match_indices('=').filter_map(|(at, _)| comparison(text, at, column, value));
    let only = found.next();
    // Where the value stands in a second place, a batched form would need to know what for.
    let single = found.next().is_none() && (value == "?" || occurrences(text, value) == 1);
    only.filter(|_| single)
}

fn comparison<'a>(text: &'a str, at: usize, column: &str, value: &str) -> Option<Comparison<'a>> {
    let left = text[..at].trim_end();
    let start = left.rfind([' ', '(']).map_or(0, |space| space + 1);
    let spelled = &left[start..];
    let last = spelled.rsplit('.').next().unwrap_or(spelled).trim_matches('"');
    let right = text[at + 1..].trim_start();
    let rest = right.strip_prefix(value).filter(|rest| !rest.starts_with(in_word))?;
    if !last.eq_ignore_ascii_case(column) {
        return None;
    }
    let (cast, rest) = match rest.strip_prefix("::") {
        Some(cast) => {
            let end = cast.find(|c: char| !in_word(c)).unwrap_or(cast.len());
            (Some(&cast[..end]), &cast[end..])
        }
        None => (None, rest),
    };
    // numeric(10, 2), double precision and arrays have no simple array form.
    let simple = cast.is_none_or(|name| !name.is_empty())
        && !rest.starts_with(['(', '[', ':', '.'])
        && !(cast.is_some() && rest.trim_start().to_ascii_lowercase().starts_with("precision"));
    simple.then_some(Comparison { start, end: text.len() - rest.len(), spelled, cast })
}

fn in_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn occurrences(text: &str, value: &str) -> usize {
    let places = text.match_indices(value);
    places.filter(|(at, _)| !text[at + value.len()..].starts_with(in_word)).count()
}

/// A literal becomes a parameter: `$1`, if the text has none and no other literal stays without a value.
fn free_parameter(text: &str) -> Option<String> {
    (!text.contains('$') && text.matches('?').count() == 1).then(|| "$1".to_owned())
}

fn outputs(facts: &StatementFacts, column: &str) -> bool {
    facts.star_of.is_some() || facts.target_columns.iter().any(|target| target.column == column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Predicate, Relation, TargetColumn};
    use std::sync::Arc;

    fn statement(text: &str, slot: u16, targets: &[&str]) -> Statement {
        let target = |(position, column): (usize, &&str)| TargetColumn {
            position,
            relation: 0,
            column: (*column).to_owned(),
        };
        let lower = text.to_lowercase();
        Statement {
            operation: Operation::Select,
            text: Arc::from(text),
            words: Arc::from(text),
            facts: Some(StatementFacts {
                operation: Operation::Select,
                relations: vec![Relation { name: "c".into(), ..Relation::default() }],
                has_from: true,
                predicates: vec![Predicate {
                    relation: 0,
                    column: "id".into(),
                    class: PredicateClass::Eq,
                    slots: vec![slot],
                    join: None,
                    top_level: true,
                }],
                target_columns: targets.iter().enumerate().map(target).collect(),
                star_of: lower.contains('*').then_some(0),
                limited: lower.contains("limit"),
                ..StatementFacts::default()
            }),
            ..Statement::default()
        }
    }

    #[test]
    fn texts_that_can_be_rewritten() {
        const L: u16 = LITERAL_SLOT_FIRST;
        for (text, slot, targets, sql) in [
            (
                "SELECT * FROM c WHERE id = $1",
                1,
                &[][..],
                Some("SELECT * FROM c WHERE id = ANY($1)"),
            ),
            (
                "SELECT name FROM c WHERE c.id = $1 AND t = $2",
                1,
                &["name"][..],
                Some("SELECT c.id, name FROM c WHERE c.id = ANY($1) AND t = $2"),
            ),
            (
                "SELECT id FROM \"c\" WHERE \"c\".\"id\" = ?",
                L,
                &["id"][..],
                Some("SELECT id FROM \"c\" WHERE \"c\".\"id\" = ANY($1)"),
            ),
            (
                "SELECT id FROM c WHERE id = $1 LIMIT $2 OFFSET $3",
                1,
                &["id"][..],
                Some("SELECT id FROM c WHERE id = ANY($1)"),
            ),
            ("SELECT id FROM c WHERE id = $12", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE id = $1 OR id = $1", 1, &["id"][..], None),
            (
                "SELECT id FROM c WHERE c.id = $1::INTEGER",
                1,
                &["id"][..],
                Some("SELECT id FROM c WHERE c.id = ANY($1::INTEGER[])"),
            ),
            (
                "select id from c c1_0 where c1_0.id=$1",
                1,
                &["id"][..],
                Some("select id from c c1_0 where c1_0.id = ANY($1)"),
            ),
            ("SELECT id FROM c WHERE id = $1::numeric(10, 2)", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE id = $1::double precision", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE id >= $1", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE id = $1 AND up = $1", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE f = $1 AND id = $10", 1, &["id"][..], None),
            ("SELECT id FROM c WHERE id = ? AND t = ?", L, &["id"][..], None),
            ("SELECT id FROM c WHERE id = $1 LIMIT 1 FOR UPDATE", 1, &["id"][..], None),
            ("SELECT DISTINCT id FROM c WHERE id = $1", 1, &["id"][..], None),
        ] {
            assert_eq!(batched(&statement(text, slot, targets), slot).as_deref(), sql, "{text}");
        }
    }

    #[test]
    fn statements_that_may_not_be_rewritten() {
        let text = "SELECT * FROM c WHERE id = $1";
        type Spoil = fn(&mut StatementFacts);
        let spoils: [(&str, Spoil); 8] = [
            ("two tables", |facts| facts.relations.push(Relation::default())),
            ("grouped", |facts| facts.grouped = true),
            ("aggregate", |facts| facts.aggregate = true),
            ("limit above one", |facts| facts.limit_may_exceed_one = true),
            ("locking", |facts| facts.locking = true),
            ("range", |facts| facts.predicates[0].class = PredicateClass::Range),
            ("in a subquery", |facts| facts.predicates[0].top_level = false),
            ("writes", |facts| facts.writes = true),
        ];
        for (name, spoil) in spoils {
            let mut statement = statement(text, 1, &[]);
            spoil(statement.facts.as_mut().unwrap());
            assert_eq!(batched(&statement, 1), None, "{name}");
        }
    }
}

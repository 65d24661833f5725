//! Values for parameters that nobody has captured: common ones, from the statistics of the column beside them.
//!
//! A workload of redacted texts (a capture, a profile) holds none. A plan for a common value is a fair guess for most
//! executions and a wrong one for skew, so what rests on it is never called verified.

use pgsonde_advisor::catalog::{Catalog, Relation};
use pgsonde_advisor::facts::{Class, Key, Predicate, StatementFacts, Value};
use pgsonde_advisor::workload;
use std::collections::BTreeMap;

/// A LIMIT or OFFSET that isn't known.
const LIMIT: &str = "20";
/// Parameters that stand for redacted literals begin here: above those that a statement can have.
const REDACTED_FIRST: u32 = 60_001;

/// A statement with `$n` wherever a redacted literal (`?`) or a list of them (`(…)`) stands. An operator `?` has an operand on its right, a value
/// has not.
pub(super) fn numbered(text: &str) -> String {
    let mut found = String::with_capacity(text.len());
    let (mut next, mut quote) = (REDACTED_FIRST, None);
    for (at, letter) in text.char_indices() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            _ => {}
        }
        let is_list = letter == '…' && text[..at].ends_with('(');
        if quote.is_none() && (is_list || letter == '?' && is_value(text, at)) {
            found.push_str(&format!("${next}"));
            next += 1;
        } else {
            found.push(letter);
        }
    }
    found
}

fn is_value(text: &str, at: usize) -> bool {
    let before = text[..at].chars().next_back();
    let rest = text[at + 1..].trim_start();
    let joined = before.is_some_and(|letter| "@|&?".contains(letter))
        || rest.starts_with(['|', '&', '?', '$', '\'']);
    !joined
}

/// The statement with values of the statistics in place of its parameters; `None` where one has no column beside it.
pub(super) fn filled(
    catalog: &Catalog,
    facts: &StatementFacts,
    path: &[String],
    text: &str,
) -> Option<String> {
    let mut values: BTreeMap<u32, String> = BTreeMap::new();
    for bound in workload::bind(catalog, facts, path) {
        let relation = bound.table.and_then(|oid| catalog.relations.get(&oid));
        for predicate in &bound.scan.predicates {
            collect(relation?, predicate, &mut values);
        }
    }
    replaced(text, &values)
}

fn collect(relation: &Relation, predicate: &Predicate, values: &mut BTreeMap<u32, String>) {
    if let Class::Or(arms) = &predicate.class {
        arms.iter().flatten().for_each(|arm| collect(relation, arm, values));
        return;
    }
    let (Key::Column(column), Value::Parameter(number)) = (&predicate.key, &predicate.value) else {
        return;
    };
    if let Some(value) = typical(relation, column, &predicate.class) {
        values.entry(u32::from(*number)).or_insert(value);
    }
}

/// A common value for an equality, one near the end of the histogram for a range: few rows lie beyond it, as ranges
/// of applications mostly are.
fn typical(relation: &Relation, column: &str, class: &Class) -> Option<String> {
    let statistics = relation.statistics_of(column)?;
    let common = statistics.common_values.as_deref().map(elements);
    let bounds = statistics.histogram.as_deref().map(elements);
    let value = match class {
        Class::Range => {
            let bounds = bounds.or(common)?;
            bounds.get(bounds.len() * 9 / 10)?.clone()
        }
        _ => common.or(bounds)?.into_iter().next()?,
    };
    Some(format!("'{}'", value.replace('\'', "''")))
}

/// The elements of a one-dimensional array as text.
fn elements(array: &str) -> Vec<String> {
    let inner = array.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or("");
    let mut all = Vec::new();
    let (mut one, mut quoted, mut escaped, mut any) = (String::new(), false, false, false);
    for letter in inner.chars() {
        any = true;
        match letter {
            _ if escaped => {
                one.push(letter);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => all.push(std::mem::take(&mut one)),
            _ => one.push(letter),
        }
    }
    if any {
        all.push(one);
    }
    all
}

/// Puts values in place of `$n` outside of quotes.
pub(super) fn replaced(text: &str, values: &BTreeMap<u32, String>) -> Option<String> {
    let mut found = String::with_capacity(text.len() + 64);
    let mut quote = None;
    let mut letters = text.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            _ => {}
        }
        let digits: String = match letter {
            '$' if quote.is_none() => {
                text[at + 1..].chars().take_while(char::is_ascii_digit).collect()
            }
            _ => String::new(),
        };
        let Ok(number) = digits.parse::<u32>() else {
            found.push(letter);
            continue;
        };
        let before = text[..at].trim_end().to_ascii_lowercase();
        let is_count = before.ends_with("limit") || before.ends_with("offset");
        match values.get(&number) {
            Some(value) => found.push_str(value),
            None if is_count => found.push_str(LIMIT),
            None => return None,
        }
        for _ in 0..digits.len() {
            letters.next();
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_redacted_literals() {
        let rows = [
            (
                "select * from t where a = ? and b = ?",
                "select * from t where a = $60001 and b = $60002",
            ),
            (
                "select * from t where a = $1 and b = ?",
                "select * from t where a = $1 and b = $60001",
            ),
            ("select * from t where a in (…)", "select * from t where a in ($60001)"),
            ("select d ? 'k' from t", "select d ? 'k' from t"),
            ("select d ?| $1 from t", "select d ?| $1 from t"),
            ("select \"a?\" from t where b = ?", "select \"a?\" from t where b = $60001"),
        ];
        for (text, expected) in rows {
            assert_eq!(numbered(text), expected);
        }
    }

    #[test]
    fn reads_arrays() {
        let rows: [(&str, &[&str]); 5] = [
            ("{1,2}", &["1", "2"]),
            ("{\"a,b\",c}", &["a,b", "c"]),
            ("{\"a\\\"b\"}", &["a\"b"]),
            ("{}", &[]),
            ("{\"\"}", &[""]),
        ];
        for (text, expected) in rows {
            assert_eq!(elements(text), expected, "{text}");
        }
    }

    #[test]
    fn puts_values_in_place() {
        let values = BTreeMap::from([(1, "'a'".to_owned()), (12, "'b'".to_owned())]);
        let rows = [
            ("x = $1 and y = $12", Some("x = 'a' and y = 'b'")),
            ("x = $1 limit $7 offset $8", Some("x = 'a' limit 20 offset 20")),
            ("x = '$1'", Some("x = '$1'")),
            ("x = $2", None),
        ];
        for (text, expected) in rows {
            assert_eq!(replaced(text, &values).as_deref(), expected, "{text}");
        }
    }
}

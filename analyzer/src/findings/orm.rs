//! Which ORM the statements look like: a guess, and worded as one.

use crate::flow::Sender;
use crate::record::Driver;

/// The ORMs whose calls we can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Orm {
    SqlAlchemy,
    Django,
    Rails,
    Hibernate,
    Prisma,
    EfCore,
    Gorm,
}

impl Orm {
    /// All of them, in the order of the table of fixes.
    pub(crate) const ALL: [Self; 7] = [
        Self::SqlAlchemy,
        Self::Django,
        Self::Rails,
        Self::Hibernate,
        Self::Prisma,
        Self::EfCore,
        Self::Gorm,
    ];

    /// The name that people know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::SqlAlchemy => "SQLAlchemy",
            Self::Django => "Django",
            Self::Rails => "Rails",
            Self::Hibernate => "Hibernate",
            Self::Prisma => "Prisma",
            Self::EfCore => "EF Core",
            Self::Gorm => "GORM",
        }
    }
}

/// Words of tags and application names, lower case.
const WORDS: [(&str, Orm); 12] = [
    ("sqlalchemy", Orm::SqlAlchemy),
    ("django", Orm::Django),
    ("rails", Orm::Rails),
    ("active_record", Orm::Rails),
    ("activerecord", Orm::Rails),
    ("hibernate", Orm::Hibernate),
    ("spring", Orm::Hibernate),
    ("prisma", Orm::Prisma),
    ("entityframework", Orm::EfCore),
    ("efcore", Orm::EfCore),
    ("ef core", Orm::EfCore),
    ("gorm", Orm::Gorm),
];

/// Guesses by tag, then application name, then driver, then the style of the texts.
pub(crate) fn guess(sender: &Sender, texts: &[&str]) -> Option<Orm> {
    let words = [sender.framework.as_deref(), sender.application_name.as_deref()];
    let by_word = words.into_iter().flatten().find_map(by_word);
    by_word
        .or_else(|| by_driver(sender.driver))
        .or_else(|| texts.iter().find_map(|text| by_style(text)))
}

fn by_word(text: &str) -> Option<Orm> {
    let text = text.to_lowercase();
    WORDS.iter().find(|(word, _)| text.contains(word)).map(|(_, orm)| *orm)
}

/// Only drivers that one ORM alone uses in practice; psycopg, asyncpg, JDBC and pgx say too little.
fn by_driver(driver: Driver) -> Option<Orm> {
    match driver {
        Driver::ActiveRecord => Some(Orm::Rails),
        _ => None,
    }
}

/// Quoting and alias style of a SELECT.
fn by_style(text: &str) -> Option<Orm> {
    let from = text.to_ascii_lowercase().find(" from ")?;
    let (targets, rest) = text.split_at(from);
    if targets.contains("1_0.") || targets.contains("0_.") {
        return Some(Orm::Hibernate);
    }
    if aliases_repeat_the_table(targets) || qualifies_by_the_table(targets, rest) {
        return Some(Orm::SqlAlchemy);
    }
    if targets.contains("\"public\".\"") {
        return Some(Orm::Prisma);
    }
    if rest.contains("\" AS ") && targets.contains(".\"") && !targets.contains("\".\"") {
        return Some(Orm::EfCore);
    }
    if targets.contains("\".*") {
        return Some(Orm::Rails);
    }
    if targets.contains("\".\"") {
        return Some(Orm::Django);
    }
    let bare_star = targets.trim_end().ends_with('*') && rest.contains(" FROM \"");
    (bare_star && rest.contains("\".\"")).then_some(Orm::Gorm)
}

/// `orders.id AS orders_id`, SQLAlchemy's way of naming columns.
fn aliases_repeat_the_table(targets: &str) -> bool {
    targets.split(',').any(|target| {
        let mut words = target.split_whitespace().rev();
        let (alias, as_word, column) = (words.next(), words.next(), words.next());
        let (Some(alias), Some(as_word), Some(column)) = (alias, as_word, column) else {
            return false;
        };
        as_word.eq_ignore_ascii_case("as")
            && column.contains('.')
            && column.replace('.', "_") == alias
    })
}

/// `SELECT orders.id, orders.total FROM orders …`: every column is qualified by the full name of the only
/// table, which people hardly write by hand.
fn qualifies_by_the_table(targets: &str, rest: &str) -> bool {
    let mut words = rest.split_whitespace().skip(1);
    let (Some(table), next) = (words.next(), words.next().unwrap_or("WHERE")) else { return false };
    let alone = matches!(next, "WHERE" | "ORDER" | "LIMIT");
    let of_table = |target: &str| {
        let column = target.trim().strip_prefix(table).and_then(|rest| rest.strip_prefix('.'));
        column.is_some_and(|column| {
            !column.is_empty() && column.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
        })
    };
    let columns = targets.strip_prefix("SELECT ").unwrap_or_default();
    alone && !columns.is_empty() && columns.split(',').all(of_table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn styles() {
        for (text, orm) in [
            ("SELECT orders.id AS orders_id FROM orders", Some(Orm::SqlAlchemy)),
            (
                "SELECT orders.id, orders.total FROM orders WHERE orders.id = $1",
                Some(Orm::SqlAlchemy),
            ),
            ("SELECT orders.id, orders.* FROM orders WHERE orders.id = $1", None),
            ("SELECT orders.id, total FROM orders WHERE orders.id = $1", None),
            ("SELECT o.id FROM orders o WHERE o.id = $1", None),
            ("SELECT orders.id FROM orders JOIN items ON true", None),
            ("SELECT \"orders\".\"id\" FROM \"orders\" LIMIT ?", Some(Orm::Django)),
            ("SELECT \"orders\".* FROM \"orders\" WHERE \"orders\".\"id\" = $1", Some(Orm::Rails)),
            (
                "select c1_0.id, c1_0.name from customers c1_0 where c1_0.id = $1",
                Some(Orm::Hibernate),
            ),
            ("SELECT \"public\".\"Order\".\"id\" FROM \"public\".\"Order\"", Some(Orm::Prisma)),
            ("SELECT o.\"Id\", o.\"Total\" FROM \"Orders\" AS o", Some(Orm::EfCore)),
            ("SELECT * FROM \"orders\" WHERE \"orders\".\"id\" = $1", Some(Orm::Gorm)),
            ("SELECT id, name FROM customers WHERE id = $1", None),
            ("SELECT * FROM customers WHERE id = $1", None),
            ("UPDATE t SET a = $1", None),
        ] {
            assert_eq!(by_style(text), orm, "{text}");
        }
    }

    #[test]
    fn tags_outrank_names_outrank_drivers_outrank_style() {
        let sender = |framework: Option<&str>, name: &str, driver| Sender {
            framework: framework.map(Arc::from),
            application_name: Some(Arc::from(name)),
            driver,
            ..Sender::default()
        };
        let gorm = ["SELECT * FROM \"orders\" WHERE \"orders\".\"id\" = $1"];
        for (sender, orm) in [
            (sender(Some("django:4"), "gorm-api", Driver::ActiveRecord), Some(Orm::Django)),
            (sender(None, "EFCore shop", Driver::ActiveRecord), Some(Orm::EfCore)),
            (sender(None, "web", Driver::ActiveRecord), Some(Orm::Rails)),
            (sender(None, "web", Driver::Psycopg3), Some(Orm::Gorm)),
        ] {
            assert_eq!(guess(&sender, &gorm), orm);
        }
        assert_eq!(guess(&sender(None, "web", Driver::Unknown), &[]), None);
    }
}

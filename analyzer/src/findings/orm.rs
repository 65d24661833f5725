//! Which ORM the statements look like: a guess, and worded as one.

use crate::flow::Sender;
use crate::record::Driver;
use crate::text::Class;

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
    #[cfg(test)]
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

/// What an ORM asks a new connection: words that its text contains, lower case, all of them. Statements that only
/// a driver sends (type scans of Npgsql, JDBC or pgx) say too little.
const INTROSPECTION: [(&[&str], Orm); 9] = [
    (&["select pg_catalog.version()"], Orm::SqlAlchemy),
    (&["show standard_conforming_strings"], Orm::SqlAlchemy),
    (&["pg_catalog.pg_class.relname", "pg_catalog.pg_table_is_visible"], Orm::SqlAlchemy),
    (&["c.relname", "pg_catalog.pg_get_partkeydef", "relispartition"], Orm::Django),
    (&["from \"django_migrations\""], Orm::Django),
    (&["show max_identifier_length"], Orm::Rails),
    (&["from \"schema_migrations\""], Orm::Rails),
    (&["from \"_prisma_migrations\""], Orm::Prisma),
    (&["from \"__efmigrationshistory\""], Orm::EfCore),
];

/// The ORM that asks a connection for such things, if only one does. Only what is not the application's own is
/// looked at: control and catalogue statements, and the tables in which ORMs keep their migrations.
pub(crate) fn by_introspection(class: Class, text: &str) -> Option<Orm> {
    const LONGEST: usize = 2_048;
    let looks_inward =
        matches!(class, Class::Control | Class::Catalogue) || text.contains("igrations");
    if !looks_inward || text.len() > LONGEST {
        return None;
    }
    let text = text.to_lowercase();
    let is = |words: &&(&[&str], Orm)| words.0.iter().all(|word| text.contains(word));
    INTROSPECTION.iter().find(is).map(|(_, orm)| *orm)
}

/// Guesses by tag, then application name, then driver, then what the service asked its connections, then the style
/// of the texts.
pub(crate) fn guess(sender: &Sender, texts: &[&str]) -> Option<Orm> {
    let words = [sender.framework.as_deref(), sender.application_name.as_deref()];
    let by_word = words.into_iter().flatten().find_map(by_word);
    by_word
        .or_else(|| by_driver(sender.driver))
        .or(sender.introspected)
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
    fn introspection() {
        for (class, text, orm) in [
            (Class::Catalogue, "select pg_catalog.version()", Some(Orm::SqlAlchemy)),
            (Class::Control, "SHOW max_identifier_length", Some(Orm::Rails)),
            (Class::Control, "SHOW search_path", None),
            (
                Class::Read,
                "SELECT \"schema_migrations\".\"version\" FROM \"schema_migrations\"",
                Some(Orm::Rails),
            ),
            (Class::Read, "SELECT version FROM migrations", None),
            (Class::Read, "show max_identifier_length", None),
        ] {
            assert_eq!(by_introspection(class, text), orm, "{text}");
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
            (
                Sender {
                    introspected: Some(Orm::SqlAlchemy),
                    ..sender(None, "web", Driver::Psycopg3)
                },
                Some(Orm::SqlAlchemy),
            ),
        ] {
            assert_eq!(guess(&sender, &gorm), orm);
        }
        assert_eq!(guess(&sender(None, "web", Driver::Unknown), &[]), None);
    }
}

//! What an N+1 reads, and which words of the table of fixes that asks for.

use super::advice::{Entities, advice};
use super::orm::Orm;
use crate::finding::{Fix, Kind};

/// What the loop reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The row that a parent row refers to.
    ToOne,
    /// The rows that refer to a parent row.
    ToMany,
    /// A count or sum per parent row.
    Aggregate,
    /// The parent row itself, once more.
    Refresh,
}

impl Shape {
    /// Told from the columns: a foreign key of the parent against a key of the child, or the other way round.
    pub(crate) fn of(
        variant: &str,
        parent_column: Option<&str>,
        child_column: Option<&str>,
    ) -> Self {
        match variant {
            "aggregate" => Self::Aggregate,
            "refresh" => Self::Refresh,
            _ => {
                let foreign =
                    |column: &str| column.len() > 2 && column.to_lowercase().ends_with("id");
                match (parent_column, child_column) {
                    (Some(parent), _) if foreign(parent) => Self::ToOne,
                    (_, Some(child)) if foreign(child) => Self::ToMany,
                    _ => Self::ToOne,
                }
            }
        }
    }
}

/// A loop that a fix is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loop<'a> {
    pub(crate) shape: Shape,
    pub(crate) parent_table: Option<&'a str>,
    pub(crate) child_table: Option<&'a str>,
    pub(crate) child_column: Option<&'a str>,
}

impl Loop<'_> {
    /// One sentence with the call to write.
    pub(crate) fn fix(&self, orm: Option<Orm>, sql: Option<String>) -> Fix {
        let variant = match self.shape {
            Shape::ToOne => "plain",
            Shape::ToMany => "to_many",
            Shape::Aggregate => "aggregate",
            Shape::Refresh => "refresh",
        };
        let entities = Entities {
            parent: self.parent_table,
            child: self.child_table,
            column: self.child_column,
        };
        Fix { sql, ..advice(Kind::NPlusOne, Some(variant), orm, &entities) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        for (variant, parent, child, shape) in [
            ("plain", Some("customer_id"), Some("id"), Shape::ToOne),
            ("plain", Some("id"), Some("order_id"), Shape::ToMany),
            ("plain", Some("customerId"), Some("customerId"), Shape::ToOne),
            ("plain", None, Some("order_id"), Shape::ToMany),
            ("plain", None, None, Shape::ToOne),
            ("aggregate", Some("id"), Some("order_id"), Shape::Aggregate),
            ("refresh", Some("id"), Some("id"), Shape::Refresh),
        ] {
            assert_eq!(Shape::of(variant, parent, child), shape, "{variant} {parent:?} {child:?}");
        }
    }

    #[test]
    fn a_fix_names_the_tables_and_the_call() {
        let repeated = Loop {
            shape: Shape::ToMany,
            parent_table: Some("orders"),
            child_table: Some("items"),
            child_column: Some("order_id"),
        };
        let fix = repeated.fix(Some(Orm::SqlAlchemy), None);
        assert_eq!(fix.orm, Some("SQLAlchemy"));
        for word in ["`items`", "`orders`", "selectinload", "looks like SQLAlchemy"] {
            assert!(fix.text.contains(word), "{}", fix.text);
        }
        let plain = repeated.fix(None, None).text;
        assert!(plain.contains("order_id = ANY($1)"), "{plain}");
    }
}

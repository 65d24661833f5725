//! The call that replaces a loop, in the words of the ORM at hand (findings, section 4.5).

use super::orm::Orm;
use crate::finding::Fix;

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
        let child = self.child_table.unwrap_or("the rows");
        let parent = self.parent_table.unwrap_or("the first result");
        let aim = match self.shape {
            Shape::ToOne | Shape::ToMany => format!("Load `{child}` together with `{parent}`"),
            Shape::Aggregate => {
                format!("Compute the figure from `{child}` in the query on `{parent}`")
            }
            Shape::Refresh => format!("Keep the rows of `{parent}` instead of reading them again"),
        };
        let text = match orm {
            Some(orm) => {
                format!("{aim}. This looks like {}: use {}.", orm.name(), call(orm, self.shape))
            }
            None => format!("{aim}: {}.", self.plain(child)),
        };
        Fix { orm: orm.map(Orm::name), text, sql }
    }

    fn plain(&self, child: &str) -> String {
        let column = self.child_column.unwrap_or("key");
        match self.shape {
            Shape::ToOne | Shape::ToMany => {
                format!(
                    "join `{child}` in, or read it once with `{column} = ANY($1)` for all values"
                )
            }
            Shape::Aggregate => {
                format!(
                    "one query over `{child}` with `{column} = ANY($1)` and GROUP BY `{column}`"
                )
            }
            Shape::Refresh => "select every needed column the first time".to_owned(),
        }
    }
}

fn call(orm: Orm, shape: Shape) -> &'static str {
    match (orm, shape) {
        (Orm::SqlAlchemy, Shape::ToOne) => {
            "`joinedload(...)` of the relationship, with `raiseload('*', sql_only=True)` as a guard"
        }
        (Orm::SqlAlchemy, Shape::ToMany) => "`selectinload(...)` of the relationship",
        (Orm::SqlAlchemy, Shape::Aggregate) => "a `column_property` or a grouped subquery",
        (Orm::SqlAlchemy, Shape::Refresh) => {
            "`expire_on_commit=False`, or `undefer(...)` of the column"
        }
        (Orm::Django, Shape::ToOne) => "`select_related(...)`",
        (Orm::Django, Shape::ToMany) => {
            "`prefetch_related(...)`, with `Prefetch(queryset=...)` if a filter defeats it"
        }
        (Orm::Django, Shape::Aggregate) => "`annotate(Count(...))`",
        (Orm::Django, Shape::Refresh) => "the query without `.only()` or `.defer()`",
        (Orm::Rails, Shape::ToOne) => "`includes(...)`, with `strict_loading` as a guard",
        (Orm::Rails, Shape::ToMany) => "`preload(...)`",
        (Orm::Rails, Shape::Aggregate) => "a `counter_cache` or a grouped `count`",
        (Orm::Rails, Shape::Refresh) => "a wider `select(...)`",
        (Orm::Hibernate, Shape::ToOne) => "`JOIN FETCH`, an `@EntityGraph`, or `@BatchSize`",
        (Orm::Hibernate, Shape::ToMany) => "`@Fetch(SUBSELECT)` or `default_batch_fetch_size`",
        (Orm::Hibernate, Shape::Aggregate) => "a projection with the aggregate",
        (Orm::Hibernate, Shape::Refresh) => "a fetch profile",
        (Orm::Prisma, Shape::ToOne) => "`include`",
        (Orm::Prisma, Shape::ToMany) => {
            "`include`, with `relationLoadStrategy` to choose join or query"
        }
        (Orm::Prisma, Shape::Aggregate) => "`_count` in `include` or `select`",
        (Orm::Prisma, Shape::Refresh) => "a wider `select`",
        (Orm::EfCore, Shape::ToOne) => "`.Include(...)`",
        (Orm::EfCore, Shape::ToMany) => "`.Include(...).AsSplitQuery()`",
        (Orm::EfCore, Shape::Aggregate) => "`Select(x => x.Items.Count())`",
        (Orm::EfCore, Shape::Refresh) => {
            "the tracked entity, or `AsNoTracking()` with every needed column"
        }
        (Orm::Gorm, Shape::ToOne) => "`Joins(...)`",
        (Orm::Gorm, Shape::ToMany) => "`Preload(...)`",
        (Orm::Gorm, Shape::Aggregate) => "a grouped subquery",
        (Orm::Gorm, Shape::Refresh) => "a wider `Select(...)`",
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

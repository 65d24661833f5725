//! Which table and columns an index would be on: in role order, equality first.

use crate::digest::Statement;
use crate::facts::{PredicateClass, StatementFacts};
use crate::text::Class;
use std::sync::Arc;

/// Equality slots that value classes are told apart by.
const CLASS_SLOTS_MAX: usize = 4;

/// Table and columns of a suspect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    pub(crate) table: Arc<str>,
    /// eq, in, order, range, other.
    pub(crate) columns: Vec<String>,
    /// Slots of its first equality predicates.
    pub(crate) slots: Vec<u16>,
}

impl Target {
    /// The relation whose values the statement asks for, if an index could serve any of them.
    pub(crate) fn of(statement: &Statement) -> Option<Self> {
        let facts = statement.facts.as_ref()?;
        if !matches!(statement.class, Class::Read | Class::Write) {
            return None;
        }
        let relation = most_asked(facts)?;
        let columns = role_order(facts, relation);
        // Nearly every table has its primary key there; whatever is slow then, it isn't that index.
        if columns.is_empty() || columns == ["id"] {
            return None;
        }
        let own = facts.predicates.iter().filter(|predicate| predicate.relation == relation);
        let equal = own.filter(|predicate| predicate.class == PredicateClass::Eq);
        let slots = equal.filter_map(|predicate| predicate.slots.first().copied());
        Some(Self {
            table: name_of(facts, relation)?,
            columns,
            slots: slots.take(CLASS_SLOTS_MAX).collect(),
        })
    }
}

fn name_of(facts: &StatementFacts, relation: usize) -> Option<Arc<str>> {
    let relation = facts.relations.get(relation)?;
    Some(match &relation.schema {
        Some(schema) => Arc::from(format!("{schema}.{}", relation.name)),
        None => Arc::from(relation.name.as_str()),
    })
}

/// The relation with the most predicates on values; joins only count where there is nothing else.
fn most_asked(facts: &StatementFacts) -> Option<usize> {
    let asked = |relation: usize, joins: bool| {
        let own = facts.predicates.iter().filter(|predicate| predicate.relation == relation);
        own.filter(|predicate| joins == (predicate.class == PredicateClass::Join)).count()
    };
    let best = |joins: bool| {
        let counts = (0..facts.relations.len()).map(|relation| (asked(relation, joins), relation));
        counts
            .filter(|(count, _)| *count > 0)
            .max_by_key(|(count, at)| (*count, std::cmp::Reverse(*at)))
    };
    let ordered = || {
        let first = facts.order_by.first().filter(|_| facts.limited)?;
        Some((0, first.relation))
    };
    best(false).or_else(ordered).or_else(|| best(true)).map(|(_, relation)| relation)
}

fn role_order(facts: &StatementFacts, relation: usize) -> Vec<String> {
    let mut columns: Vec<(u8, String)> = Vec::new();
    let mut add = |role: u8, column: &str| {
        if !columns.iter().any(|(_, known)| known == column) {
            columns.push((role, column.to_owned()));
        }
    };
    let of_it = || facts.predicates.iter().filter(|predicate| predicate.relation == relation);
    // The join's column finds a row by another table's; where values are asked for, they find it.
    let asked = of_it().any(|predicate| predicate.class != PredicateClass::Join);
    let own = || of_it().filter(|predicate| !asked || predicate.class != PredicateClass::Join);
    for role in 0..=4 {
        if role == 2 && facts.limited {
            facts
                .order_by
                .iter()
                .filter(|by| by.relation == relation)
                .for_each(|by| add(2, &by.column));
        }
        own()
            .filter(|predicate| role_of(predicate.class) == role)
            .for_each(|p| add(role, &p.column));
    }
    columns.into_iter().map(|(_, column)| column).collect()
}

fn role_of(class: PredicateClass) -> u8 {
    match class {
        PredicateClass::Eq => 0,
        PredicateClass::In => 1,
        PredicateClass::Range => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::{Predicate, Relation, TargetColumn};

    fn predicate(relation: usize, column: &str, class: PredicateClass) -> Predicate {
        Predicate {
            relation,
            column: column.into(),
            class,
            slots: vec![7],
            join: None,
            top_level: true,
        }
    }

    fn target(predicates: Vec<Predicate>, order: Option<&str>) -> Option<Target> {
        let relation = |name: &str| Relation { name: name.into(), ..Relation::default() };
        Target::of(&Statement {
            class: Class::Read,
            facts: Some(StatementFacts {
                relations: vec![relation("orders"), relation("customers")],
                predicates,
                limited: order.is_some(),
                order_by: order
                    .map(|column| TargetColumn { column: column.into(), ..TargetColumn::default() })
                    .into_iter()
                    .collect(),
                ..StatementFacts::default()
            }),
            ..Statement::default()
        })
    }

    #[test]
    fn columns_stand_in_role_order() {
        use PredicateClass as C;
        let found = target(
            vec![
                predicate(0, "note", C::LikeInfix),
                predicate(0, "total", C::Range),
                predicate(0, "status", C::In),
                predicate(0, "shop", C::Eq),
                predicate(1, "id", C::Join),
            ],
            Some("created"),
        );
        let found = found.unwrap();
        assert_eq!(&*found.table, "orders");
        assert_eq!(found.columns, ["shop", "status", "created", "total", "note"]);
        assert_eq!(found.slots, [7]);
    }

    #[test]
    fn what_is_and_is_not_a_target() {
        use PredicateClass as C;
        for (name, predicates, order, columns) in [
            ("a value", vec![predicate(1, "email", C::Eq)], None, Some("customers.email")),
            ("only the key", vec![predicate(1, "id", C::Eq)], None, None),
            (
                "only a join",
                vec![predicate(1, "order_id", C::Join)],
                None,
                Some("customers.order_id"),
            ),
            ("only an order", vec![], Some("created"), Some("orders.created")),
            ("nothing", vec![], None, None),
        ] {
            let found = target(predicates, order);
            let spelled = found.map(|found| format!("{}.{}", found.table, found.columns.join(",")));
            assert_eq!(spelled.as_deref(), columns, "{name}");
        }
    }
}

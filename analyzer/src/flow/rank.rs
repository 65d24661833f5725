//! The order of rivals: which explanation of the same executions is believed.

use super::judge::Proved;
use std::cmp::{Ordering, Reverse};

/// Explained share, explained executions (the share ends at the last explained one, so it alone would prefer a
/// rival that explains the first half), order, coverage, a column named after the child's table, the most recent
/// result, the lowest field.
pub(super) struct Rank {
    measures: [f64; 5],
    age: u64,
    field: Reverse<u16>,
}

impl Rank {
    pub(super) fn of(proved: &Proved<'_>) -> Self {
        let named = f64::from(u8::from(is_named_after_child(proved)));
        let evidence = &proved.evidence;
        Self {
            measures: [
                evidence.explained(),
                evidence.hits as f64,
                evidence.order,
                evidence.coverage(),
                named,
            ],
            age: proved.id,
            field: Reverse(proved.source().field),
        }
    }

    pub(super) fn total_cmp_with(&self, other: &Self) -> Ordering {
        let pairs = self.measures.iter().zip(&other.measures);
        pairs
            .map(|(a, b)| a.total_cmp(b))
            .find(|order| order.is_ne())
            .unwrap_or_else(|| (self.age, self.field).cmp(&(other.age, other.field)))
    }
}

/// Whether the parent's column, as its text names it, contains the child's table in singular or plural.
fn is_named_after_child(proved: &Proved<'_>) -> bool {
    let facts = (proved.held.statement.facts.as_ref(), proved.candidate.child.facts.as_ref());
    let (Some(parent), Some(child)) = facts else { return false };
    let field = usize::from(proved.source().field);
    let column = parent.target_columns.iter().find(|target| target.position == field);
    let (Some(column), Some(table)) = (column, child.relations.first()) else { return false };
    let table = table.name.to_lowercase();
    let singular = table.strip_suffix('s').unwrap_or(&table);
    column.column.to_lowercase().contains(singular)
}

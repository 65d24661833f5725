//! What an index costs the statements that write its table, in planner units.

use crate::catalog::{Catalog, Relation};
use crate::planner::{CandidateSpec, KeyPart, Method};
use crate::size::elements_per_row;
use crate::workload::TableWrites;

/// Units per entry: CPU of a btree descent and its share of WAL and I/O.
const UNITS_PER_ENTRY: f64 = 4.0;
/// WAL bytes per entry, typical.
const WAL_BYTES_PER_ENTRY: f64 = 100.0;

/// The price of keeping a candidate, over the window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WriteCost {
    /// Index entries written.
    pub entries: f64,
    /// Planner units.
    pub units: f64,
    /// WAL bytes.
    pub wal_bytes: f64,
    /// Updates that were heap-only are so no longer.
    pub loses_hot: bool,
}

/// Columns that an index depends on: keys, INCLUDE and predicate.
pub fn columns(spec: &CandidateSpec, relation: &Relation) -> Vec<String> {
    let mentioned = |text: &str| {
        let names = relation.columns.iter().map(|column| column.name.clone());
        names.filter(|name| mentions(text, name)).collect::<Vec<_>>()
    };
    let mut columns = spec.include.clone();
    for key in &spec.keys {
        match &key.part {
            KeyPart::Column(column) => columns.push(column.clone()),
            KeyPart::Expression(text) => columns.extend(mentioned(text)),
        }
    }
    spec.predicate.iter().for_each(|text| columns.extend(mentioned(text)));
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Whether `name` occurs in `text` as a whole word.
pub fn mentions(text: &str, name: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_' || letter == '$';
    text.match_indices(name).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Prices a candidate; `share` is the share of rows that its predicate lets in.
pub fn price(
    catalog: &Catalog,
    spec: &CandidateSpec,
    writes: Option<&TableWrites>,
    share: f64,
) -> WriteCost {
    let (Some(relation), Some(writes)) = (catalog.relations.get(&spec.table), writes) else {
        return WriteCost::default();
    };
    let own = columns(spec, relation);
    let existing =
        relation.indexes.iter().filter(|index| index.access_method != "brin").count() as f64;
    let mut cost = WriteCost { entries: writes.inserted * share, ..WriteCost::default() };
    for (set, rows) in &writes.updated {
        let touches = |column: &String| set.is_empty() || set.contains(column);
        let hot = !relation
            .indexes
            .iter()
            .any(|index| index.keys.iter().any(|key| key.column.as_ref().is_none_or(touches)));
        if !hot {
            cost.entries += rows * share;
        } else if own.iter().any(touches) {
            cost.loses_hot = true;
            cost.entries += rows * (1.0 + existing);
        }
    }
    if spec.method == Method::Gin {
        let elements =
            spec.keys.iter().map(|key| elements_per_row(catalog, relation, &key.part)).sum::<f64>();
        cost.entries *= elements.max(1.0);
    }
    cost.units = cost.entries * UNITS_PER_ENTRY;
    cost.wal_bytes = cost.entries * WAL_BYTES_PER_ENTRY;
    cost
}

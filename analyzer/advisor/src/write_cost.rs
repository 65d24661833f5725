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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{Column, Index, IndexKey};
    use crate::planner::KeySpec;

    const TABLE: u32 = 1;

    /// Candidate, inserted, updated columns, updated rows, share of rows; entries, HOT is lost.
    type Row = (CandidateSpec, f64, &'static [&'static str], f64, f64, f64, bool);

    fn column(name: &str) -> Column {
        Column { name: name.into(), ..Column::default() }
    }

    /// A table with `a, b, c`, an index on `a` and, which no update minds, a BRIN one.
    fn catalog() -> Catalog {
        let key = IndexKey { column: Some("a".into()), ..IndexKey::default() };
        let index = |access_method: &str, keys: Vec<IndexKey>| Index {
            access_method: access_method.into(),
            keys,
            ..Index::default()
        };
        let relation = Relation {
            oid: TABLE,
            columns: vec![column("a"), column("b"), column("c")],
            indexes: vec![index("btree", vec![key]), index("brin", Vec::new())],
            ..Relation::default()
        };
        Catalog { relations: [(TABLE, relation)].into_iter().collect(), ..Catalog::default() }
    }

    fn on(part: KeyPart, include: &[&str], predicate: &[&str]) -> CandidateSpec {
        CandidateSpec {
            table: TABLE,
            method: Method::Btree,
            keys: vec![KeySpec { part, opclass: None, descending: false, nulls_first: false }],
            include: include.iter().map(|name| (*name).to_owned()).collect(),
            predicate: predicate.iter().map(|text| (*text).to_owned()).collect(),
            size_bytes: 0,
        }
    }

    fn plain(name: &str) -> CandidateSpec {
        on(KeyPart::Column(name.into()), &[], &[])
    }

    #[test]
    fn every_row_that_needs_an_entry_is_counted() {
        let expression = on(KeyPart::Expression("lower(b)".into()), &[], &[]);
        let rows: Vec<Row> = vec![
            (plain("b"), 100.0, &["c"], 0.0, 1.0, 100.0, false),
            // a partial index takes its share of the inserts
            (plain("b"), 100.0, &["c"], 0.0, 0.25, 25.0, false),
            // an update of an indexed column isn't heap-only: all indexes get an entry
            (plain("b"), 0.0, &["a"], 10.0, 1.0, 10.0, false),
            (plain("b"), 0.0, &["a"], 10.0, 0.5, 5.0, false),
            // heap-only, and the candidate doesn't mind
            (plain("b"), 0.0, &["c"], 10.0, 1.0, 0.0, false),
            // heap-only until now: an entry in the candidate and in the other btree
            (plain("b"), 0.0, &["b"], 10.0, 1.0, 20.0, true),
            (on(KeyPart::Column("a".into()), &["c"], &[]), 0.0, &["c"], 10.0, 1.0, 20.0, true),
            (on(KeyPart::Column("a".into()), &[], &["c = 1"]), 0.0, &["c"], 10.0, 1.0, 20.0, true),
            (expression.clone(), 0.0, &["b"], 10.0, 1.0, 20.0, true),
            (expression, 0.0, &["c"], 10.0, 1.0, 0.0, false),
            // unknown columns may be any
            (plain("b"), 0.0, &[], 10.0, 1.0, 10.0, false),
        ];
        for (at, (spec, inserted, set, updated, share, entries, loses_hot)) in
            rows.into_iter().enumerate()
        {
            let set: Vec<String> = set.iter().map(|name| (*name).to_owned()).collect();
            let writes = TableWrites {
                inserted,
                updated: [(set, updated)].into_iter().collect(),
                ..TableWrites::default()
            };
            let cost = price(&catalog(), &spec, Some(&writes), share);
            assert_eq!((cost.entries, cost.loses_hot), (entries, loses_hot), "row {at}");
            assert_eq!(cost.units, entries * UNITS_PER_ENTRY, "row {at}");
        }
        assert_eq!(price(&catalog(), &plain("b"), None, 1.0), WriteCost::default());
    }

    #[test]
    fn names_are_found_as_whole_words() {
        let rows = [("lower(b)", true), ("b = 1", true), ("ab = 1", false), ("b2 > b_", false)];
        for (text, found) in rows {
            assert_eq!(mentions(text, "b"), found, "{text}");
        }
    }
}

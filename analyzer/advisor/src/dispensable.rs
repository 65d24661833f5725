//! Existing indexes that may be unnecessary: information, never executed.

use crate::catalog::Catalog;
use crate::ddl;

/// Days without a scan after which an index counts as unused.
const UNUSED_DAYS: f64 = 30.0;

/// An existing index that may be unnecessary: information, never executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispensable {
    /// Table, qualified.
    pub table: String,
    /// Index.
    pub index: String,
    /// duplicate, redundant, unused, invalid.
    pub kind: &'static str,
    /// In words.
    pub why: String,
}

/// Duplicate, redundant, unused and invalid indexes of all tables.
pub fn of_tables(catalog: &Catalog) -> Vec<Dispensable> {
    let mut found = Vec::new();
    for relation in catalog.relations.values() {
        for index in &relation.indexes {
            let keys_of = |other: &crate::catalog::Index| {
                other
                    .keys
                    .iter()
                    .map(|key| {
                        (key.text.clone(), key.opclass.clone(), key.descending, key.nulls_first)
                    })
                    .collect::<Vec<_>>()
            };
            let protected = index.unique || index.of_constraint || index.replica_identity;
            let comparable = |other: &&crate::catalog::Index| {
                other.oid != index.oid
                    && other.valid
                    && other.access_method == index.access_method
                    && other.predicate == index.predicate
            };
            let mut add = |kind: &'static str, why: String| {
                found.push(Dispensable {
                    table: ddl::qualified(relation),
                    index: index.name.clone(),
                    kind,
                    why,
                });
            };
            let keys = keys_of(index);
            let others = || relation.indexes.iter().filter(comparable);
            let twin =
                others().find(|other| keys_of(other) == keys && other.include == index.include);
            let longer = others().find(|other| {
                let within = index.include.iter().all(|column| {
                    other.include.contains(column)
                        || other.keys.iter().any(|key| key.column.as_ref() == Some(column))
                });
                index.access_method == "btree"
                    && keys_of(other).len() > keys.len()
                    && keys_of(other).starts_with(&keys)
                    && within
            });
            let old = catalog.database.stats_age_s.is_some_and(|age| age >= UNUSED_DAYS * 86_400.0);
            if !index.valid {
                add("invalid", "left over from a build that failed, or being built now".to_owned());
            } else if let Some(twin) =
                twin.filter(|twin| !protected && (twin.unique || twin.oid < index.oid))
            {
                add("duplicate", format!("the same as {}", twin.name));
            } else if let Some(longer) = longer.filter(|_| !protected) {
                add("redundant", format!("{} begins with its keys", longer.name));
            } else if index.scans == 0 && old && !index.unique && index.blocks >= 128 {
                add(
                    "unused",
                    "no scan since the counters were reset; replicas not seen".to_owned(),
                );
            }
        }
    }
    found
}

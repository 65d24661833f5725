//! The workload of one run: digests, their samples, and what each scan is bound to in the catalogue.

use crate::catalog::{Catalog, Oid, Relation};
use crate::facts::{Operation, Scan, StatementFacts};
use crate::planner::{Plan, SampleId};

/// One group of statements that differ in their values only.
#[derive(Clone, Debug, Default)]
pub struct Digest {
    /// Stable identity, hex.
    pub id: String,
    /// Redacted text.
    pub text: String,
    /// Executions in the window.
    pub calls: f64,
    /// What a write of it does.
    pub operation: Operation,
    /// Share of calls by text of a conjunct (over all scans): is a constant always the same?
    pub constants: Vec<(String, f64)>,
}

/// A statement with one set of values, and its place in the list of digests.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Index of its digest.
    pub digest: usize,
    /// Executions that it stands for.
    pub weight: f64,
    /// The text that is planned: a SELECT.
    pub select: String,
    /// Its scans, bound; parallel to those of the facts.
    pub scans: Vec<BoundScan>,
    /// The plan without candidates; `None` if the server refused to plan it.
    pub base: Option<Plan>,
    /// A foreign key's check: the child table that it looks into.
    pub foreign_key_of: Option<Oid>,
    /// Nobody captured its values: they are common ones of the statistics.
    pub assumed_values: bool,
}

/// A scan and the table that it reads.
#[derive(Clone, Debug)]
pub struct BoundScan {
    /// What is asked of it.
    pub scan: Scan,
    /// The topmost table; `None` if the catalogue doesn't know it, or an index can't be made on it.
    pub table: Option<Oid>,
}

/// Rows written per table within the window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TableWrites {
    /// Rows inserted.
    pub inserted: f64,
    /// Rows updated, by set of SET columns (sorted).
    pub updated: Vec<(Vec<String>, f64)>,
    /// Rows deleted.
    pub deleted: f64,
}

/// What a run is about.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Digests.
    pub digests: Vec<Digest>,
    /// Samples; a [`SampleId`] is a place in here.
    pub samples: Vec<Sample>,
    /// Writes by table, sorted by OID.
    pub writes: Vec<(Oid, TableWrites)>,
}

impl Workload {
    /// A sample.
    pub fn sample(&self, id: SampleId) -> Option<&Sample> {
        self.samples.get(id.0)
    }

    /// Writes of one table.
    pub fn writes_of(&self, table: Oid) -> Option<&TableWrites> {
        self.writes.iter().find(|(oid, _)| *oid == table).map(|(_, writes)| writes)
    }

    /// Adds the writes of `calls` executions; `rows` is what the plan expects per execution.
    pub fn add_writes(
        &mut self,
        catalog: &Catalog,
        facts: &StatementFacts,
        path: &[String],
        calls: f64,
        rows: f64,
    ) {
        for write in &facts.writes {
            let Some(relation) = catalog.find(write.schema.as_deref(), &write.relation, path)
            else {
                continue;
            };
            let table = catalog.topmost(relation.oid);
            let at = self.writes.iter().position(|(oid, _)| *oid == table).unwrap_or_else(|| {
                self.writes.push((table, TableWrites::default()));
                self.writes.len() - 1
            });
            let counted = calls * write.rows.map_or(rows, |rows| rows as f64);
            let of = &mut self.writes[at].1;
            match write.operation {
                Operation::Insert => of.inserted += counted,
                Operation::Delete => of.deleted += counted,
                _ => {
                    let mut columns = write.columns.clone();
                    columns.sort_unstable();
                    match of.updated.iter_mut().find(|(known, _)| *known == columns) {
                        Some((_, rows)) => *rows += counted,
                        None => of.updated.push((columns, counted)),
                    }
                }
            }
        }
    }
}

/// Binds the scans of a statement to tables; partitions to the parent that they belong to.
pub fn bind(catalog: &Catalog, facts: &StatementFacts, path: &[String]) -> Vec<BoundScan> {
    let table = |scan: &Scan| {
        let relation = catalog.find(scan.schema.as_deref(), &scan.relation, path)?;
        let top = catalog.topmost(relation.oid);
        catalog
            .relations
            .get(&top)
            .filter(|relation| is_indexable(relation))
            .map(|relation| relation.oid)
    };
    facts.scans.iter().map(|scan| BoundScan { scan: scan.clone(), table: table(scan) }).collect()
}

/// V1: a permanent heap, materialized view or partitioned table.
pub fn is_indexable(relation: &Relation) -> bool {
    matches!(relation.kind, 'r' | 'p' | 'm')
        && relation.persistence != 't'
        && (relation.kind == 'p' || matches!(relation.access_method.as_str(), "heap" | ""))
}

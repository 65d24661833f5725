//! `cartesian_explosion`: a join that multiplies two independent branches of one parent.

use super::product::{Product, Table, product, tables};
use super::{is_read, is_timed};
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::subject::{Subject, Verdict, bytes, exactly, grouped};
use crate::findings::{Context, Detector};
use crate::limits::{Limits, ResultLimits, SeverityLimits};
use crate::seen::Seen;
use std::sync::Arc;

/// Tables that a product needs: a parent and two branches.
const TABLES_MIN: usize = 3;

/// The detector.
#[derive(Debug)]
pub(super) struct Cartesian {
    limits: ResultLimits,
    severity: SeverityLimits,
}

impl Cartesian {
    pub(super) fn new(limits: &Limits) -> Self {
        Self { limits: limits.results.clone(), severity: limits.severity.clone() }
    }

    fn find(&self, seen: &Seen<'_>) -> Option<(Vec<Table>, Product)> {
        let columns = seen.columns();
        let kept = u64::from(columns.first()?.cells.len);
        if kept < self.limits.cartesian_rows_min {
            return None;
        }
        let tables = tables(columns, &seen.batch.cells);
        let blown = |table: &Table| {
            kept as f64 >= table.distinct as f64 * self.limits.cartesian_blowup_min_ratio
        };
        if tables.len() < TABLES_MIN || !tables.iter().all(blown) {
            return None;
        }
        let found = product(&tables, seen.record.truncated)?;
        (found.share >= self.limits.cartesian_product_share_min_ratio).then_some((tables, found))
    }
}

/// The share of the bytes that repeats rows of some table: each table's columns repeat with its rows.
fn duplicated_share(seen: &Seen<'_>, tables: &[Table]) -> f64 {
    let kept = tables.first().map_or(0, |table| table.rows.len()).max(1) as f64;
    let repeated = |table: &Table| 1.0 - table.distinct as f64 / kept;
    let weights: Vec<f64> = tables.iter().map(|table| weight(seen, table.oid)).collect();
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return tables.iter().map(repeated).sum::<f64>() / tables.len().max(1) as f64;
    }
    tables.iter().zip(&weights).map(|(table, weight)| repeated(table) * weight / sum).sum()
}

/// Bytes of a table's columns in the sampled rows.
fn weight(seen: &Seen<'_>, oid: u32) -> f64 {
    let Some((_, widths)) = seen.record.width_sample(seen.batch) else { return 0.0 };
    let Some(described) = seen.described else { return 0.0 };
    let own = described.fields.iter().zip(widths).filter(|((table, ..), _)| *table == oid);
    own.map(|(_, bytes)| *bytes as f64).sum()
}

/// The name of a table by its OID, from the columns that were learnt.
fn name(seen: &Seen<'_>, oid: u32, context: &Context<'_>) -> Arc<str> {
    let own = seen.columns().iter().filter(|column| column.table_oid == oid);
    let mut learnt = own.filter_map(|c| context.names.find(seen.database, oid, c.attnum));
    learnt.next().map_or_else(|| Arc::from(format!("table {oid}")), |(table, _)| table.clone())
}

impl Detector for Cartesian {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if !is_read(seen) || seen.record.rows < self.limits.cartesian_rows_min {
            return;
        }
        let Some((tables, found)) = self.find(seen) else { return };
        let names: Vec<Arc<str>> =
            tables.iter().map(|table| name(seen, table.oid, context)).collect();
        let duplicated = (seen.record.sent_bytes as f64 * duplicated_share(seen, &tables)) as u64;
        let transfer_us = if is_timed(seen) { seen.record.transfer_us } else { 0 };
        let share = duplicated as f64 / seen.record.sent_bytes.max(1) as f64;
        let saved_us = (transfer_us as f64 * share) as u64;
        let subject = Subject::of(seen);
        let mut verdict = verdict(seen, &tables, &names, found, duplicated);
        let much = saved_us >= self.severity.error_saved_min_us;
        verdict.severity_own = Some(if much { Severity::Error } else { Severity::Warning });
        let claim = subject.claim(verdict, context);
        let mut cost = exactly(saved_us, seen.record.duration_us());
        cost.bytes = Some(duplicated);
        let mut sighting = subject.sighting(1, cost);
        sighting.rows = Some(seen.record.rows);
        context.register.sighting(claim, sighting);
    }
}

fn verdict(
    seen: &Seen<'_>,
    tables: &[Table],
    names: &[Arc<str>],
    found: Product,
    duplicated: u64,
) -> Verdict {
    let (a, b, parent) = (&names[found.a], &names[found.b], &names[found.parent]);
    let kept = tables[found.parent].rows.len() as u64;
    let counted = |at: usize| grouped(tables[at].distinct as u64);
    let of = if kept < seen.record.rows { "the first " } else { "" };
    let sentence = format!(
        "The join returns every row of `{a}` with every row of `{b}` for each of `{parent}`: {of}{} rows hold \
         {} different rows of `{parent}`, {} of `{a}` and {} of `{b}`; {} were sent more than once.",
        grouped(kept),
        counted(found.parent),
        counted(found.a),
        counted(found.b),
        bytes(duplicated),
    );
    let per_table = names
        .iter()
        .zip(tables)
        .map(|(name, table)| Arc::from(format!("{name}: {}", table.distinct)));
    Verdict {
        evidence: vec![
            ("rows", EvidenceValue::Count(seen.record.rows)),
            ("kept_rows", EvidenceValue::Count(kept)),
            ("distinct_rows", EvidenceValue::List(per_table.collect())),
            ("duplicated_bytes", EvidenceValue::Count(duplicated)),
            ("product_parents", EvidenceValue::Count(found.parents as u64)),
            ("product_share", EvidenceValue::Number(found.share)),
        ],
        ..Verdict::new(Kind::CartesianExplosion, Proof::Observed, sentence)
    }
}

//! True bytes of an index that doesn't exist, from row counts, widths and distinct values.

use crate::catalog::{Catalog, Oid, Relation};
use crate::planner::{CandidateSpec, KeyPart, Method};

/// Usable bytes of a page.
const PAGE_BYTES: f64 = 8152.0;
/// Share of a leaf page that CREATE INDEX fills.
const FILL: f64 = 0.9;
/// Longest index tuple that may hold a posting list when an index is built, bytes.
const POSTING_BYTES: f64 = 812.0;

/// Least correlation of values and places in the table from which equal values lie together.
const TOGETHER_MIN: f64 = 0.99;

/// What the size of one btree is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Keys {
    /// Entries.
    pub rows: f64,
    /// Distinct key sets.
    pub distinct: f64,
    /// Bytes of the key columns and INCLUDE.
    pub width: f64,
    /// Rows differ in the bytes of their keys, which [`Keys::width`] is the mean of.
    pub varying: bool,
    /// Equal keys share one entry with a list of rows.
    pub deduplicated: bool,
    /// Share of rows with a NULL key.
    pub null_share: f64,
}

fn aligned(bytes: f64) -> f64 {
    (bytes / 8.0).ceil() * 8.0
}

/// Bytes of a btree.
pub fn btree_bytes(keys: Keys) -> f64 {
    let header = if keys.null_share > 0.5 { 16.0 } else { 8.0 };
    // Each entry is padded to eight bytes by itself: where widths differ, by half of them on average.
    let item = match keys.varying {
        true => header + keys.width + 3.5,
        false => aligned(header + keys.width),
    };
    let plain = keys.rows * (item + 4.0);
    let per_value = keys.rows / keys.distinct.max(1.0);
    let (bytes, posting) = if keys.deduplicated && per_value >= 1.02 {
        let cap = ((POSTING_BYTES - item) / 6.0).floor().max(1.0);
        let full = (per_value / cap).floor();
        let rest = per_value - full * cap;
        let whole = aligned(item + 6.0 * cap) + 4.0;
        let tail = if rest < 2.0 { rest * (item + 4.0) } else { aligned(item + 6.0 * rest) + 4.0 };
        let mean = if full >= 1.0 { whole } else { tail };
        (keys.distinct.max(1.0) * (full * whole + tail), mean.min(POSTING_BYTES))
    } else {
        (plain, 0.0)
    };
    let leaves = bytes / (FILL * PAGE_BYTES - 0.5 * posting);
    ((leaves.max(1.0) * 1.005).ceil() + 1.0) * 8192.0
}

/// Height of a btree of so many pages above its leaves.
pub fn height(bytes: u64, width: f64) -> f64 {
    let fanout = (0.7 * PAGE_BYTES / (aligned(8.0 + width) + 4.0)).floor().max(2.0);
    let mut pages = (bytes as f64 / 8192.0).max(1.0);
    let mut height = 0.0;
    while pages > 1.0 {
        pages = (pages / fanout).ceil();
        height += 1.0;
    }
    height
}

/// Average width of a column, bytes. Statistics have it without its fraction.
pub fn width_of(catalog: &Catalog, relation: &Relation, column: &str) -> f64 {
    if let Some(statistics) = relation.statistics_of(column) {
        let cut_off = if varies(catalog, relation, column) { 0.5 } else { 0.0 };
        return statistics.average_width.max(1.0) + cut_off;
    }
    let found = relation.column(column).and_then(|column| catalog.types.get(&column.type_oid));
    found.map_or(16.0, |found| if found.length > 0 { f64::from(found.length) } else { 16.0 })
}

/// Whether the values of a column have different widths; those of `char(n)` are padded.
fn varies(catalog: &Catalog, relation: &Relation, column: &str) -> bool {
    let found = relation.column(column).and_then(|column| catalog.types.get(&column.type_oid));
    found.is_none_or(|found| found.length < 0 && found.name != "bpchar")
}

/// Whether btree may share entries of equal keys of this column.
fn deduplicates(catalog: &Catalog, relation: &Relation, column: &str) -> bool {
    let found = relation.column(column).and_then(|column| catalog.types.get(&column.type_oid));
    found.is_some_and(|found| {
        !matches!(found.name.as_str(), "numeric" | "jsonb" | "float4" | "float8" | "bpchar")
            && !matches!(found.kind, 'r' | 'c' | 'm')
            && found.category != 'A'
    })
}

/// Distinct values of one key among `rows`.
pub fn distinct_of(catalog: &Catalog, table: Oid, part: &KeyPart, rows: f64) -> f64 {
    let Some(relation) = catalog.relations.get(&table) else { return rows };
    match part {
        KeyPart::Column(column) => {
            let Some(found) = relation.statistics_of(column) else { return rows.sqrt() };
            let said = found.distinct(rows);
            let together = found.correlation.is_some_and(|found| found.abs() >= TOGETHER_MIN);
            if together {
                let pages = catalog.pages_and_rows(table).0;
                distinct_together(said, rows, pages, sampled_rows(catalog, relation, column))
            } else {
                said
            }
        }
        // nothing is known of an expression: as many values as its rows could have
        KeyPart::Expression(_) => rows / 10.0,
    }
}

/// Rows that ANALYZE draws for a column, and blocks that it draws them from: 300 by unit of the statistics target.
fn sampled_rows(catalog: &Catalog, relation: &Relation, column: &str) -> f64 {
    let own = relation.column(column).and_then(|column| column.statistics_target);
    let target = own
        .filter(|own| *own >= 0)
        .map_or_else(|| catalog.number("default_statistics_target", 100.0), f64::from);
    300.0 * target
}

/// Distinct values of a column whose equal values lie together, where ANALYZE said so many.
///
/// It draws its rows from `sampled` blocks only. In those, neighbours meet more often than rows of the whole table
/// would; its estimator (Haas and Stokes, IBM Research Report RJ 10025) takes them for frequent values and says too
/// few. So its formula, n d / (n - f1 + f1 n / N), is turned round, and used again on the blocks that were drawn, whose
/// values are a share of all. With d = n - (n - f1) / 2, which holds where repeats are mostly pairs; elsewhere nothing
/// is corrected.
fn distinct_together(said: f64, rows: f64, pages: f64, sampled: f64) -> f64 {
    let share = sampled / pages.max(1.0);
    if share >= 1.0 || sampled >= rows {
        return said;
    }
    let n = sampled;
    let repeated = n * n * (1.0 - said / rows) / (said * (1.0 - n / rows) + n / 2.0);
    if !(0.0..n / 2.0).contains(&repeated) {
        return said;
    }
    let in_blocks = n * (n - repeated / 2.0) / (repeated + (n - repeated) * n / (rows * share));
    (in_blocks / share).clamp(said.min(rows), rows)
}

/// Bytes of a candidate over `rows` entries: the table's rows, or those of its predicate.
pub fn candidate_bytes(catalog: &Catalog, spec: &CandidateSpec, rows: f64) -> u64 {
    let Some(relation) = catalog.relations.get(&spec.table) else { return 0 };
    if spec.method == Method::Gin {
        return gin_bytes(catalog, relation, spec, rows) as u64;
    }
    let mut keys =
        Keys { rows, distinct: 1.0, deduplicated: spec.include.is_empty(), ..Keys::default() };
    for key in &spec.keys {
        match &key.part {
            KeyPart::Column(column) => {
                keys.width += width_of(catalog, relation, column);
                keys.varying |= varies(catalog, relation, column);
                keys.deduplicated &= deduplicates(catalog, relation, column);
                let nulls = relation.statistics_of(column).map_or(0.0, |found| found.null_fraction);
                keys.null_share = keys.null_share.max(nulls);
            }
            KeyPart::Expression(_) => keys.width += 16.0,
        }
        keys.distinct *= distinct_of(catalog, spec.table, &key.part, rows);
    }
    for column in &spec.include {
        keys.width += width_of(catalog, relation, column);
        keys.varying |= varies(catalog, relation, column);
    }
    keys.distinct = keys.distinct.clamp(1.0, rows.max(1.0));
    btree_bytes(keys) as u64
}

/// Rough by a factor of two: so is what it decides.
fn gin_bytes(catalog: &Catalog, relation: &Relation, spec: &CandidateSpec, rows: f64) -> f64 {
    let elements =
        spec.keys.iter().map(|key| elements_per_row(catalog, relation, &key.part)).sum::<f64>();
    (rows * elements * 3.5).max(3.0 * 8192.0)
}

/// Index entries that a row brings to a GIN index.
pub fn elements_per_row(catalog: &Catalog, relation: &Relation, part: &KeyPart) -> f64 {
    let KeyPart::Column(column) = part else { return 8.0 };
    let counts = relation.statistics_of(column).and_then(|found| found.element_counts.as_deref());
    let mean =
        counts.and_then(|text| text.trim_end_matches('}').rsplit(',').next()?.parse::<f64>().ok());
    mean.unwrap_or_else(|| {
        let text = relation
            .column(column)
            .and_then(|column| catalog.types.get(&column.type_oid))
            .is_some_and(|found| found.category == 'S');
        if text { width_of(catalog, relation, column) } else { 5.0 }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_built_indexes() {
        // PostgreSQL 15: bigint unique, int of 1,000 values, 32 characters unique, (int, bigint); (int) INCLUDE (three
        // numeric, char(1))
        let rows = [
            (8.0, false, 100_000.0, 100_000.0, 2_260_992.0),
            (4.0, false, 100_000.0, 1_000.0, 704_512.0),
            (33.5, true, 100_000.0, 100_000.0, 5_931_008.0),
            (16.0, false, 100_000.0, 100_000.0, 3_178_496.0),
            (25.5, true, 5_996_146.0, 5_996_146.0, 283_860_992.0),
        ];
        for (width, varying, rows, distinct, real) in rows {
            let keys = Keys { rows, distinct, width, varying, deduplicated: true, null_share: 0.0 };
            let error = btree_bytes(keys) / real - 1.0;
            assert!(
                error.abs() < 0.1,
                "width {width}, {distinct} values: {} of {real}",
                btree_bytes(keys)
            );
        }
    }

    #[test]
    fn values_that_lie_together_are_more_than_analyze_says() {
        // lines of orders, six million of four per order in 112,403 blocks, as PostgreSQL 15 analysed them
        let lines = distinct_together(390_342.0, 5_996_146.0, 112_403.0, 30_000.0);
        assert!((lines / 1_500_000.0 - 1.0).abs() < 0.2, "{lines}");
        let rows = [
            ("all blocks were read", 390_342.0, 25_000.0, 390_342.0),
            ("no value comes twice", 5_996_146.0, 112_403.0, 5_996_146.0),
            ("few values, most of them seen often", 1_000.0, 112_403.0, 1_000.0),
        ];
        for (name, said, pages, expected) in rows {
            let found = distinct_together(said, 5_996_146.0, pages, 30_000.0);
            assert!((found / expected - 1.0).abs() < 1e-9, "{name}: {found}");
        }
    }

    #[test]
    fn height_grows_with_pages() {
        let rows = [(8192, 0.0), (2 * 8192, 1.0), (280 * 8192, 1.0), (300 * 8192, 2.0)];
        for (bytes, expected) in rows {
            assert_eq!(height(bytes, 8.0), expected, "{bytes}");
        }
    }
}

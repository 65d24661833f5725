//! The product test: do the rows of a join multiply two independent branches?

use crate::Map;
use crate::record::ResultColumn;

/// The key tuples of one table, row by row; 0 where the outer join found nothing.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) oid: u32,
    pub(super) rows: Vec<u64>,
    pub(super) distinct: usize,
}

/// Two tables that multiply one another under a third.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Product {
    /// Indexes into the tables.
    pub(super) parent: usize,
    pub(super) a: usize,
    pub(super) b: usize,
    /// Parents with two rows and more of both.
    pub(super) parents: usize,
    /// Share of them whose rows are a product.
    pub(super) share: f64,
}

/// The tables of a result, by their kept key cells.
pub(super) fn tables(columns: &[ResultColumn], cells: &[u32]) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    for column in columns.iter().filter(|column| column.table_oid != 0) {
        let cells = column.cells.of(cells);
        let table = match tables.iter_mut().position(|table| table.oid == column.table_oid) {
            Some(at) => &mut tables[at],
            None => {
                let rows = vec![0; cells.len()];
                tables.push(Table { oid: column.table_oid, rows, distinct: 0 });
                let last = tables.len() - 1;
                &mut tables[last]
            }
        };
        for (tuple, cell) in table.rows.iter_mut().zip(cells) {
            *tuple = combined(*tuple, *cell);
        }
    }
    for table in &mut tables {
        let mut distinct = table.rows.clone();
        distinct.sort_unstable();
        distinct.dedup();
        table.distinct = distinct.iter().filter(|tuple| **tuple != 0).count();
    }
    tables
}

/// NULLs alone stay 0.
fn combined(tuple: u64, cell: u32) -> u64 {
    if tuple == 0 && cell == 0 {
        return 0;
    }
    (tuple.rotate_left(29) ^ u64::from(cell)).wrapping_mul(0x9e37_79b9_7f4a_7c15).max(1)
}

/// Whether every tuple of `a` meets one tuple of `b` only.
fn determines(a: &Table, b: &Table) -> bool {
    let mut meets: Map<u64, u64> = Map::default();
    let mut pairs = a.rows.iter().zip(&b.rows).filter(|(a, b)| **a != 0 && **b != 0);
    pairs.all(|(a, b)| *meets.entry(*a).or_insert(*b) == *b)
}

/// The pair of tables that multiply one another most surely, if any do.
pub(super) fn product(tables: &[Table], truncated: bool) -> Option<Product> {
    let mut best: Option<Product> = None;
    for a in 0..tables.len() {
        for b in a + 1..tables.len() {
            if determines(&tables[a], &tables[b]) || determines(&tables[b], &tables[a]) {
                continue;
            }
            for parent in (0..tables.len()).filter(|parent| *parent != a && *parent != b) {
                let of = |table: usize| determines(&tables[table], &tables[parent]);
                if !of(a) || !of(b) {
                    continue;
                }
                let (parents, share) = under(&tables[parent], &tables[a], &tables[b], truncated);
                let found = Product { parent, a, b, parents, share };
                let better = |best: &Product| (share, parents) > (best.share, best.parents);
                if parents > 0 && best.as_ref().is_none_or(better) {
                    best = Some(found);
                }
            }
        }
    }
    best
}

/// Parents with two and more of both, and the share of them whose rows are all pairs.
fn under(parent: &Table, a: &Table, b: &Table, truncated: bool) -> (usize, f64) {
    let mut groups: Map<u64, Vec<(u64, u64)>> = Map::default();
    for ((parent, a), b) in parent.rows.iter().zip(&a.rows).zip(&b.rows) {
        groups.entry(*parent).or_default().push((*a, *b));
    }
    // The rows of the last parent may go on behind what was kept.
    let cut = parent.rows.last().copied().filter(|_| truncated);
    let (mut both, mut products) = (0, 0);
    for (_, rows) in groups.iter().filter(|(parent, _)| **parent != 0 && Some(**parent) != cut) {
        let count = |side: fn(&(u64, u64)) -> u64| {
            let mut distinct: Vec<u64> =
                rows.iter().map(side).filter(|tuple| *tuple != 0).collect();
            distinct.sort_unstable();
            distinct.dedup();
            distinct.len()
        };
        let (a, b) = (count(|row| row.0), count(|row| row.1));
        if a >= 2 && b >= 2 {
            both += 1;
            products += usize::from(rows.len() == a * b);
        }
    }
    (both, if both == 0 { 0.0 } else { products as f64 / both as f64 })
}

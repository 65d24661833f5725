//! Which columns of a result are worth hashing: at most eight, chosen once per column plan.

use super::canonical::{INT2, INT4, INT8, OID, UUID, is_strict};

/// Most columns of one result that are hashed (`value_columns_max`).
pub const SELECTED_COLUMNS_MAX: usize = 8;

/// One column as RowDescription describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnShape<'a> {
    /// Position in the result, from 0.
    pub field: u16,
    /// OID of its table, 0 for an expression.
    pub table_oid: u32,
    /// Attribute number in its table, 0 for an expression.
    pub attnum: i16,
    /// OID of its type.
    pub type_oid: u32,
    /// Its label.
    pub label: &'a [u8],
}

/// A column that was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectedColumn {
    /// Position in the result, from 0.
    pub field: u16,
    /// Attribute number in its table.
    pub attnum: i16,
    /// OID of its table.
    pub table_oid: u32,
    /// OID of its type.
    pub type_oid: u32,
}

/// The chosen columns, by position; on the stack, as the forwarding path keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectedColumns {
    columns: [SelectedColumn; SELECTED_COLUMNS_MAX],
    len: u8,
}

impl SelectedColumns {
    /// The columns in ascending order of `field`.
    pub fn as_slice(&self) -> &[SelectedColumn] {
        self.columns.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Whether nothing in the result is key-like.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Chooses at most eight key-like columns: the first of each table, then ids by label, then other ints
/// and uuids, then texts; ties go to the earlier position.
pub fn select_columns<'a>(fields: impl Iterator<Item = ColumnShape<'a>>) -> SelectedColumns {
    let mut kept = [(0u8, SelectedColumn::default()); SELECTED_COLUMNS_MAX];
    let mut len = 0;
    for shape in fields.filter(|shape| is_strict(shape.type_oid)) {
        let rank = rank(&shape, kept.get(..len).unwrap_or(&[]));
        let at = kept.iter().take(len).position(|(other, _)| rank < *other).unwrap_or(len);
        if at == SELECTED_COLUMNS_MAX {
            continue;
        }
        len = (len + 1).min(SELECTED_COLUMNS_MAX);
        if let Some(tail) = kept.get_mut(at..len) {
            tail.rotate_right(1);
            tail[0] = (rank, selected(&shape));
        }
    }
    in_order(&kept, len)
}

fn selected(shape: &ColumnShape<'_>) -> SelectedColumn {
    SelectedColumn {
        field: shape.field,
        attnum: shape.attnum,
        table_oid: shape.table_oid,
        type_oid: shape.type_oid,
    }
}

fn in_order(kept: &[(u8, SelectedColumn); SELECTED_COLUMNS_MAX], len: usize) -> SelectedColumns {
    let mut columns = kept.map(|(_, column)| column);
    if let Some(used) = columns.get_mut(..len) {
        used.sort_unstable_by_key(|column| column.field);
    }
    // len <= SELECTED_COLUMNS_MAX, which fits
    SelectedColumns { columns, len: len as u8 }
}

/// A table that has a column among the kept ones has its first one there: rank 1 is never displaced but
/// by eight others of rank 1, and then nothing else can enter.
fn rank(shape: &ColumnShape<'_>, kept: &[(u8, SelectedColumn)]) -> u8 {
    let first =
        !kept.iter().any(|(rank, column)| *rank == 1 && column.table_oid == shape.table_oid);
    if shape.table_oid != 0 && first {
        1
    } else if is_id(shape.label) {
        2
    } else if matches!(shape.type_oid, INT2 | INT4 | INT8 | OID | UUID) {
        3
    } else {
        4
    }
}

fn is_id(label: &[u8]) -> bool {
    label.ends_with(b"id") || label.ends_with(b"Id") || label.ends_with(b"_uuid")
}

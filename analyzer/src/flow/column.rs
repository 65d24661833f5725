//! The kept values of one column of a held result.

use crate::record::ResultColumn;

/// Entries from which a column gets a table instead of being scanned: one line of a cache is scanned faster.
const TABLE_ENTRIES_MIN: usize = 16;

/// The distinct values of one column, in order of first occurrence (of a level: distinct per leaf).
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    pub(crate) field: u16,
    pub(crate) attnum: i16,
    pub(crate) table_oid: u32,
    values: Vec<u32>,
    /// Open addressing: position + 1 by hash, 0 = free; a power of two, at most half full.
    table: Vec<u16>,
}

impl Column {
    pub(crate) fn new(column: &ResultColumn) -> Self {
        Self {
            field: column.field,
            attnum: column.attnum,
            table_oid: column.table_oid,
            ..Self::default()
        }
    }

    /// Values kept.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// All values kept, by position.
    pub(crate) fn values(&self) -> &[u32] {
        &self.values
    }

    /// Position of a value; of several, the latest.
    pub(crate) fn find(&self, hash: u32) -> Option<u16> {
        if self.table.is_empty() {
            return self.values.iter().rposition(|known| *known == hash).map(|at| at as u16);
        }
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.table[at] {
                0 => return None,
                entry if self.values[usize::from(entry) - 1] == hash => return Some(entry - 1),
                _ => at = (at + 1) & mask,
            }
        }
    }

    /// Adds a value unless it is there already, at or behind position `from`; false where there is no room.
    pub(crate) fn push(&mut self, hash: u32, from: usize, rows_max: usize) -> bool {
        // Positions are u16, and one value is needed for "free".
        let rows_max = rows_max.min(usize::from(u16::MAX) - 1);
        if hash == 0 || self.find(hash).is_some_and(|at| usize::from(at) >= from) {
            return true;
        }
        if self.values.len() >= rows_max {
            return false;
        }
        self.values.push(hash);
        if self.values.len() * 2 > self.table.len() && self.values.len() > TABLE_ENTRIES_MIN {
            self.rebuild();
        } else if !self.table.is_empty() {
            self.enter(self.values.len() - 1);
        }
        true
    }

    fn rebuild(&mut self) {
        self.table = vec![0; (self.values.len() * 4).next_power_of_two()];
        for position in 0..self.values.len() {
            self.enter(position);
        }
    }

    /// A later position of the same value takes its place.
    fn enter(&mut self, position: usize) {
        let mask = self.table.len() - 1;
        let mut at = self.values[position] as usize & mask;
        while self.table[at] != 0
            && self.values[usize::from(self.table[at]) - 1] != self.values[position]
        {
            at = (at + 1) & mask;
        }
        self.table[at] = position as u16 + 1;
    }

    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * 4 + self.table.capacity() * 2 + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_finds_every_value_below_and_above_the_table_limit() {
        for count in [1u32, 15, 16, 17, 64, 65, 1_000, 1_024, 1_100] {
            let mut column = Column::default();
            let hash = |n: u32| n.wrapping_mul(0x9e37_79b1) | 1;
            for n in (0..count).chain(0..count) {
                column.push(hash(n), 0, 1_024);
            }
            let kept = count.min(1_024);
            assert_eq!(column.len(), kept as usize);
            for n in 0..kept {
                assert_eq!(column.find(hash(n)), Some(n as u16), "{n} of {count}");
            }
            assert_eq!(column.find(2), None);
        }
    }

    #[test]
    fn colliding_buckets_are_told_apart() {
        let mut column = Column::default();
        (1..=600u32).for_each(|n| assert!(column.push(n << 16, 0, 1_024)));
        assert_eq!(column.find(600 << 16), Some(599));
        assert_eq!(column.find(601 << 16), None);
    }

    #[test]
    fn a_value_of_a_later_leaf_is_found_there() {
        for count in [10u32, 400] {
            let mut column = Column::default();
            (1..=count).for_each(|n| assert!(column.push(n, 0, 1_024)));
            for again in 0..3 {
                assert!(column.push(5, count as usize, 1_024));
                assert_eq!(
                    (column.find(5), column.len()),
                    (Some(count as u16), count as usize + 1),
                    "{again}"
                );
            }
            assert_eq!(column.find(4), Some(3));
        }
    }

    #[test]
    fn null_is_no_value_and_the_limit_is_told() {
        let mut column = Column::default();
        assert!(column.push(0, 0, 1_024));
        assert_eq!(column.len(), 0);
        assert!(column.push(1, 0, 1));
        assert!(column.push(1, 0, 1), "known values need no room");
        assert!(!column.push(2, 0, 1));
    }
}

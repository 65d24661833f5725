//! Values as hashes: canonical, salted, 32 bits. No value leaves this module, and no allocation happens in it.
//!
//! The forwarding path calls it for bind values and result cells, the lexer for literals. A hash means
//! nothing outside the process: its key is drawn at start and never written anywhere.

mod array;
mod canonical;
mod columns;
#[cfg(test)]
mod tests;

pub use columns::{
    ColumnShape, SELECTED_COLUMNS_MAX, SelectedColumn, SelectedColumns, select_columns,
};

use crate::record::{BindCell, TextKey};
use array::Array;
use canonical::Canonical;
use foldhash::{SharedSeed, quality::FoldHasher};
use std::hash::{DefaultHasher, Hasher};

/// Seed of [`text_key`]: any constant, as long as every worker has the same.
const TEXT_KEY_SEED: u64 = 0x7067_736f_6e64_6531;

/// Identity of a statement text: equal bytes, equal key, on every worker of this process; never 0.
///
/// It isn't stable over versions or machines: nothing that is stored may contain it.
pub fn text_key(bytes: &[u8]) -> TextKey {
    let mut hasher = FoldHasher::with_seed(TEXT_KEY_SEED, SharedSeed::global_fixed());
    hasher.write(bytes);
    TextKey(hasher.finish().max(1))
}

/// The key of all value hashes: 128 random bits that the caller draws at start. It has no `Debug`.
#[derive(Clone)]
pub struct Salt {
    key: u64,
    low: u64,
    shared: SharedSeed,
}

impl Salt {
    /// Makes a salt of 128 random bits; equal bits give equal hashes, as tests and replays need.
    pub fn new(high: u64, low: u64) -> Self {
        Self { key: high, low, shared: SharedSeed::from_u64(low) }
    }

    /// Hashes one bind value that isn't NULL, by the lenient rule, and emits its cell.
    ///
    /// Returns the number of elements: of an array bind all of them (a cell is emitted only where there is
    /// exactly one), of a scalar 1, or 0 where it has no canonical value.
    pub fn bind(
        &self,
        slot: u16,
        type_oid: u32,
        binary: bool,
        bytes: &[u8],
        emit: &mut impl FnMut(BindCell),
    ) -> usize {
        match array(type_oid, binary, bytes) {
            Some(Array::Count(count)) => count,
            Some(Array::One(element, bytes)) => {
                self.scalar(slot, element, binary, bytes, emit);
                1
            }
            None => self.scalar(slot, type_oid, binary, bytes, emit),
        }
    }

    fn scalar(
        &self,
        slot: u16,
        type_oid: u32,
        binary: bool,
        bytes: &[u8],
        emit: &mut impl FnMut(BindCell),
    ) -> usize {
        let Some(value) = canonical::lenient(type_oid, binary, bytes) else {
            return 0;
        };
        emit(BindCell { slot, class: value.class(), hash: self.hash(value) });
        1
    }

    /// Hashes one result cell that isn't NULL, by the strict rule; 0 means "no canonical value".
    pub fn cell(&self, type_oid: u32, binary: bool, bytes: &[u8]) -> u32 {
        canonical::strict(type_oid, binary, bytes).map_or(0, |value| self.hash(value))
    }

    /// Hashes the content of a quoted literal, like a text-format bind of unknown type.
    pub fn literal_string(&self, slot: u16, content: &[u8]) -> Option<BindCell> {
        let mut cell = None;
        self.bind(slot, 0, false, content, &mut |found| cell = Some(found));
        cell
    }

    /// Hashes a whole number of the SQL text; equal to the literal string with the same digits.
    pub fn literal_number(&self, slot: u16, value: i64) -> BindCell {
        let value = Canonical::Int(value);
        BindCell { slot, class: value.class(), hash: self.hash(value) }
    }

    /// Adds one bind value (`None` = NULL) to a running hash of all binds; never 0.
    pub fn fold(&self, acc: u64, bytes: Option<&[u8]>) -> u64 {
        let mut hasher = FoldHasher::with_seed(self.key ^ acc.rotate_left(32), &self.shared);
        match bytes {
            Some(bytes) => {
                hasher.write_u64(bytes.len() as u64);
                hasher.write(bytes);
            }
            None => hasher.write_u64(u64::MAX),
        }
        hasher.finish().max(1)
    }

    /// A keyed hash of a name that leaves the process: SipHash behind a secret prefix, so that names can't be tried
    /// without the key.
    pub fn pseudonym(&self, name: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.key);
        hasher.write_u64(self.low);
        hasher.write(name.as_bytes());
        hasher.finish()
    }

    /// Low 32 bits of a keyed hash of type and bytes; 0 is kept free for "none".
    fn hash(&self, value: Canonical<'_>) -> u32 {
        let mut hasher = FoldHasher::with_seed(self.key, &self.shared);
        match value {
            Canonical::Int(int) => {
                hasher.write_u8(1);
                hasher.write_u64(int as u64);
            }
            Canonical::Uuid(uuid) => {
                hasher.write_u8(2);
                hasher.write(&uuid);
            }
            Canonical::Text(text) => {
                hasher.write_u8(3);
                hasher.write(text);
            }
        }
        (hasher.finish() as u32).max(1)
    }
}

fn array(type_oid: u32, binary: bool, bytes: &[u8]) -> Option<Array<'_>> {
    match array::element_type(type_oid) {
        Some(_) if binary => array::binary(bytes),
        Some(element) => array::text(bytes, element),
        None if type_oid == 0 && !binary => array::text(bytes, 0),
        None => None,
    }
}

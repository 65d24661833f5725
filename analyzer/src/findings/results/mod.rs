//! What results look like: too large, too wide, multiplied, too deep.

mod cartesian;
mod offset;
mod product;
mod rank;
#[cfg(test)]
mod tests;
mod unbounded;
mod wide;

use super::Detector;
use crate::Map;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::record::Timing;
use crate::seen::Seen;
use crate::text::Class;

/// The detectors of this family.
pub(super) fn detectors(limits: &Limits) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(unbounded::Unbounded::new(limits)),
        Box::new(wide::Wide::new(limits)),
        Box::new(offset::DeepOffset::new(limits)),
        Box::new(cartesian::Cartesian::new(limits)),
    ]
}

/// (database, digest)
type Key = (DatabaseId, u64);

fn key(seen: &Seen<'_>) -> Key {
    (seen.database, seen.statement.digest)
}

/// A whole read of an application that succeeded.
fn is_read(seen: &Seen<'_>) -> bool {
    seen.takes_part() && seen.statement.class == Class::Read && !seen.is_part()
}

/// Whether the record's phases are those of this execution.
fn is_timed(seen: &Seen<'_>) -> bool {
    matches!(seen.record.timing, Timing::Exact | Timing::Bound)
}

/// The entry of a key, made unless the table is full.
fn entry<T: Default>(entries: &mut Map<Key, T>, key: Key, max: usize) -> Option<&mut T> {
    if entries.len() >= max && !entries.contains_key(&key) {
        return None;
    }
    Some(entries.entry(key).or_default())
}

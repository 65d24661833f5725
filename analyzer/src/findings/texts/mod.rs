//! What texts say and how they vary.

mod churn;
mod large_list;
mod list_churn;
mod lock_hazard;
mod lock_timeout;
mod smell;
mod table_use;
#[cfg(test)]
mod tests;

use super::Detector;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::seen::Seen;
use crate::text::Class;

/// The detectors of this family.
pub(super) fn detectors(limits: &Limits) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(large_list::LargeList::new(limits)),
        Box::new(list_churn::ListChurn::new(limits)),
        Box::new(churn::Churn::new(limits)),
        Box::new(lock_hazard::LockHazards::new(limits)),
        Box::new(smell::Smells::new(limits)),
    ]
}

/// (database, digest)
type Key = (DatabaseId, u64);

fn key(seen: &Seen<'_>) -> Key {
    (seen.database, seen.statement.digest)
}

/// A whole read or write of an application that succeeded.
fn is_work(seen: &Seen<'_>) -> bool {
    let works = matches!(seen.statement.class, Class::Read | Class::Write);
    seen.takes_part() && works && !seen.is_part()
}

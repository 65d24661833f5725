//! The mark of the whole process: set over the admin listener, read by the analyzers.
//!
//! It is one per process, also where several proxies run in it (`pgsonde audit` before several servers).

use crate::clock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Acquire, Ordering::Release};
use std::sync::{Arc, Mutex, PoisonError};

/// Changes that are kept for analyzers that are behind; one looks with every batch.
const CHANGES_MAX: usize = 256;

/// From when on which mark holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    number: u64,
    /// On the process's clock, in microseconds.
    pub(crate) at_us: u64,
    /// `None` = no mark.
    pub(crate) mark: Option<Arc<str>>,
}

static LATEST: AtomicU64 = AtomicU64::new(0);
static CHANGES: Mutex<VecDeque<Change>> = Mutex::new(VecDeque::new());

/// From now on this mark holds.
pub(crate) fn set(mark: Option<&str>) {
    let mut changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let number = LATEST.load(Acquire) + 1;
    if changes.len() >= CHANGES_MAX {
        changes.pop_front();
    }
    changes.push_back(Change { number, at_us: clock::now_us(), mark: mark.map(Arc::from) });
    LATEST.store(number, Release);
}

/// What changed since the last question of the asker, who keeps `seen`.
pub(crate) fn news(seen: &mut u64) -> Vec<Change> {
    let latest = LATEST.load(Acquire);
    if latest == *seen {
        return Vec::new();
    }
    let changes = CHANGES.lock().unwrap_or_else(PoisonError::into_inner);
    let new = changes.iter().filter(|change| change.number > *seen).cloned().collect();
    *seen = latest.max(changes.back().map_or(0, |change| change.number));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asker_hears_of_every_change_once() {
        let (mut early, mut late) = (LATEST.load(Acquire), LATEST.load(Acquire));
        set(Some("a"));
        let marks = |changes: Vec<Change>| -> Vec<Option<String>> {
            changes.into_iter().map(|change| change.mark.map(|mark| mark.to_string())).collect()
        };
        assert_eq!(marks(news(&mut early)), [Some("a".to_owned())]);
        set(None);
        assert_eq!(marks(news(&mut early)), [None]);
        assert_eq!(marks(news(&mut early)), []);
        assert_eq!(marks(news(&mut late)), [Some("a".to_owned()), None]);
    }
}

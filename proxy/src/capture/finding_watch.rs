//! Which findings have news: opened, silenced, resolved, or with figures that changed notably.

use pgsonde_analyzer::finding::{Finding, Severity, State};
use pgsonde_analyzer::snapshot::Snapshot;
use std::collections::{HashMap, HashSet};

/// A finding whose figures changed a little is told again after this time.
const AGAIN_US: u64 = 10_000_000;

/// What was told last of one finding.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Told {
    state: State,
    severity: Severity,
    sightings: u64,
    busy_total_ms: f64,
    last_seen_us: u64,
    at_us: u64,
}

/// What was told of all of them; no more than the snapshot holds.
#[derive(Debug, Default)]
pub(crate) struct FindingWatch {
    told: HashMap<u64, Told>,
}

impl FindingWatch {
    /// Takes everything as told.
    pub(crate) fn prime(&mut self, snapshot: &Snapshot) {
        for finding in &snapshot.findings {
            self.told.insert(finding.id, Told::of(finding, snapshot.at_us));
        }
    }

    /// The findings with news, and the state that their line says.
    pub(crate) fn changes<'s>(
        &mut self,
        snapshot: &'s Snapshot,
        all: bool,
    ) -> Vec<(&'static str, &'s Finding)> {
        let mut changes = Vec::new();
        for finding in &snapshot.findings {
            let now = Told::of(finding, snapshot.at_us);
            let state = match self.told.get(&finding.id) {
                None => finding.state.name(),
                Some(told) if told.state != finding.state => finding.state.name(),
                Some(told) if told.is_stale(&now, all) => match finding.state {
                    State::Open => "updated",
                    other => other.name(),
                },
                Some(_) => continue,
            };
            self.told.insert(finding.id, now);
            changes.push((state, finding));
        }
        changes
    }

    /// Findings that were told and are shown no more.
    pub(crate) fn withdrawn(&mut self, snapshot: &Snapshot) -> Vec<u64> {
        if self.told.len() <= snapshot.findings.len() {
            return Vec::new();
        }
        let known: HashSet<u64> = snapshot.findings.iter().map(|finding| finding.id).collect();
        let mut gone: Vec<u64> =
            self.told.keys().copied().filter(|id| !known.contains(id)).collect();
        gone.sort_unstable();
        for id in &gone {
            self.told.remove(id);
        }
        gone
    }
}

impl Told {
    fn of(finding: &Finding, at_us: u64) -> Self {
        Self {
            state: finding.state,
            severity: finding.severity,
            sightings: finding.sightings,
            busy_total_ms: finding.cost.busy_total_ms,
            last_seen_us: finding.last_seen_us,
            at_us,
        }
    }

    fn is_stale(&self, now: &Self, all: bool) -> bool {
        let changed = self.sightings != now.sightings
            || self.last_seen_us != now.last_seen_us
            || self.busy_total_ms.to_bits() != now.busy_total_ms.to_bits();
        let notably = self.severity != now.severity
            || now.sightings.saturating_sub(self.sightings) * 10 >= self.sightings.max(1);
        let long_ago = now.at_us.saturating_sub(self.at_us) >= AGAIN_US;
        self.severity != now.severity || (changed && (all || notably || long_ago))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::n_plus_one as finding;

    fn snapshot(at_us: u64, findings: Vec<Finding>) -> Snapshot {
        Snapshot { at_us, findings, ..Snapshot::default() }
    }

    fn seen(id: u64, sightings: u64, state: State) -> Finding {
        Finding { id, sightings, state, ..finding() }
    }

    fn states(watch: &mut FindingWatch, snapshot: &Snapshot, all: bool) -> Vec<&'static str> {
        watch.changes(snapshot, all).into_iter().map(|(state, _)| state).collect()
    }

    #[test]
    fn a_finding_is_told_when_it_opens_grows_is_silenced_and_resolved() {
        let mut watch = FindingWatch::default();
        let steps: [(u64, u64, State, bool, &[&str]); 8] = [
            (1, 100, State::Open, false, &["open"]),
            (2, 100, State::Open, true, &[]),
            (3, 105, State::Open, false, &[]),
            (4, 110, State::Open, false, &["updated"]),
            (5, 111, State::Open, true, &["updated"]),
            (AGAIN_US + 5, 112, State::Open, false, &["updated"]),
            (AGAIN_US + 6, 112, State::Muted, false, &["muted"]),
            (AGAIN_US + 7, 112, State::Resolved, false, &["resolved"]),
        ];
        for (at_us, sightings, state, all, expected) in steps {
            let now = snapshot(at_us, vec![seen(1, sightings, state)]);
            assert_eq!(states(&mut watch, &now, all), expected, "at {at_us}");
            assert!(watch.withdrawn(&now).is_empty());
        }
        assert_eq!(watch.withdrawn(&snapshot(9, Vec::new())), [1]);
        assert!(watch.withdrawn(&snapshot(9, Vec::new())).is_empty());
    }

    #[test]
    fn what_was_there_before_a_stream_is_not_told() {
        let mut watch = FindingWatch::default();
        watch.prime(&snapshot(1, vec![seen(1, 5, State::Open)]));
        let both = snapshot(2, vec![seen(1, 5, State::Open), seen(2, 5, State::Open)]);
        let told: Vec<u64> = watch.changes(&both, false).iter().map(|(_, f)| f.id).collect();
        assert_eq!(told, [2]);
    }
}

//! How a finding lives: opened, lengthened, silenced, superseded, resolved, come back.

use super::mutes::Mutes;
use super::{Claim, Entry, Register, Sighting};
use crate::Map;
use crate::finding::{Finding, Kind, MuteRule, MuteTarget, Severity, State};
use crate::limits::Limits;
use crate::record::Micros;

/// Open findings come first, then those that somebody silenced.
pub(super) fn rank(state: State) -> u8 {
    match state {
        State::Open => 2,
        State::Muted => 1,
        State::Resolved => 0,
    }
}

impl Register {
    /// Resolves what was not seen for long enough, or what its parent has run without often enough.
    pub(crate) fn tick(&mut self, now: Micros) {
        for entry in self.entries.values_mut() {
            let quiet_us = now.saturating_sub(entry.last_us);
            let parents = entry.claim.parent_key.and_then(|key| self.parents.get(&key));
            let parents: u64 = parents.into_iter().flatten().map(|route| route.sightings).sum();
            let clean = parents.saturating_sub(entry.parents_then);
            let proved_clean = clean >= self.limits.resolve_clean_executions
                && quiet_us >= self.limits.resolve_min_us;
            if quiet_us >= self.limits.close_after_us || proved_clean {
                entry.state = State::Resolved;
            }
        }
        self.free_superseded();
        self.supersede_proved();
    }

    /// Where the finding that took another's place is over, the other one may come back.
    fn free_superseded(&mut self) {
        let over = |by: u64| self.entries.get(&by).is_none_or(|by| by.state == State::Resolved);
        let freed: Vec<u64> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.superseded_by.is_some_and(over))
            .map(|(id, _)| *id)
            .collect();
        for id in freed {
            if let Some(entry) = self.entries.get_mut(&id) {
                entry.superseded_by = None;
            }
        }
    }

    /// An occurrence that goes on: `was`, as it was sighted or lengthened before, has become `sighting`.
    pub(crate) fn lengthen(&mut self, claim: Claim, was: &Sighting, sighting: Sighting) {
        match self.entries.get_mut(&claim.id) {
            Some(entry) => {
                entry.claim = claim;
                entry.lengthen(was, sighting);
            }
            None => self.sighting(claim, sighting),
        }
    }

    /// The severity that the finding's own scale gave last, unless it is resolved or unknown.
    pub(crate) fn own_severity(&self, id: u64) -> Option<Severity> {
        let entry = self.entries.get(&id).filter(|entry| entry.state != State::Resolved)?;
        entry.claim.severity_own
    }

    /// Finding `id` is explained by the proved finding `by`, which takes its place.
    pub(crate) fn supersede(&mut self, id: u64, by: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.superseded_by = Some(by);
            entry.state = State::Resolved;
        }
    }

    /// A look-up in a loop whose parent was found meanwhile is no finding of its own.
    fn supersede_proved(&mut self) {
        let open = |kind| {
            self.entries
                .iter()
                .filter(move |(_, entry)| entry.claim.kind == kind && entry.state == State::Open)
                .filter_map(|(id, entry)| Some((*id, entry.claim.child.as_ref()?, entry)))
        };
        let mut proved: Map<_, (u16, u64)> = Map::default();
        for (id, child, entry) in open(Kind::NPlusOne) {
            let place =
                proved.entry((&entry.claim.database, child.digest)).or_insert((child.slot, id));
            *place = (*place).min((child.slot, id));
        }
        let superseded: Vec<(u64, u64)> = open(Kind::LoopedLookup)
            .filter_map(|(id, child, entry)| {
                let (slot, by) = proved.get(&(&entry.claim.database, child.digest))?;
                // Slot 0: the loop does not say by which of its values it looks up.
                (child.slot == 0 || child.slot == *slot).then_some((id, *by))
            })
            .collect();
        drop(proved);
        superseded.into_iter().for_each(|(id, by)| self.supersede(id, by));
    }

    /// Goes on under these limits. Mutes that were added since stay, unless the limits bring other ones.
    pub(crate) fn set_limits(&mut self, limits: &Limits) {
        if self.limits.mutes != limits.mutes {
            self.mutes = Mutes::new(&limits.mutes);
        }
        self.limits = limits.clone();
    }

    /// Silences what the rule names from now on; false where there is no room for one more rule.
    pub(crate) fn mute(&mut self, rule: MuteRule) -> bool {
        self.mutes.add(rule)
    }

    /// Takes a rule back; false where there was none.
    pub(crate) fn unmute(&mut self, target: &MuteTarget) -> bool {
        self.mutes.remove(target)
    }

    pub(super) fn silence(&self, finding: &mut Finding, entry: &Entry, now: Micros) {
        if finding.state == State::Open {
            let routes = entry.routes.iter().map(|sum| sum.route.as_ref());
            finding.mute = self.mutes.of(finding, routes, now);
            if finding.mute.is_some() {
                finding.state = State::Muted;
            }
        }
    }
}

impl Entry {
    /// Takes the newer wording; true if that reopens it. What was superseded stays so: its sightings only count.
    pub(super) fn update(&mut self, claim: Claim) -> bool {
        let named =
            |claim: &Claim| claim.parent.as_ref().is_some_and(|parent| parent.table.is_some());
        if named(&claim) || !named(&self.claim) {
            self.claim = claim;
        }
        let reopens = self.state == State::Resolved && self.superseded_by.is_none();
        self.reopened += u32::from(reopens);
        if reopens {
            self.state = State::Open;
        }
        reopens
    }

    fn lengthen(&mut self, was: &Sighting, sighting: Sighting) {
        let grown = |new: u64, old: u64| new.saturating_sub(old);
        let (new, old) = (&sighting.cost, &was.cost);
        let low_us = grown(new.saved_low_us, old.saved_low_us);
        let high_us = grown(new.saved_high_us, old.saved_high_us);
        let busy_us = grown(new.busy_us, old.busy_us);
        self.saved_low.replace(old.saved_low_us as f64, new.saved_low_us as f64);
        self.saved_high.replace(old.saved_high_us as f64, new.saved_high_us as f64);
        self.hour.add(sighting.at_us, [0, low_us, high_us]);
        self.busy_total_us += busy_us;
        super::count_route(&mut self.routes, sighting.route.clone(), 0, busy_us);
        let (before, after) = (was.example(), sighting.example());
        if let Some(example) = self.examples.iter_mut().find(|example| **example == before) {
            *example = after;
        }
        self.last_us = self.last_us.max(sighting.at_us);
        self.latest = sighting;
    }
}

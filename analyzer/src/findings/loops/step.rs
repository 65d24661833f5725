//! One execution as the rules of this family see it, and what they share.

use super::polling::Polls;
use super::report::Report;
use super::traits::Traits;
use crate::Map;
use crate::findings::cost::Costs;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use std::cell::Cell;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Joins two hashes; the order counts.
pub(super) fn mix(one: u64, other: u64) -> u64 {
    (one.rotate_left(29) ^ other).wrapping_mul(MULTIPLIER)
}

/// COMMITs of a session so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Commits {
    pub(super) count: u64,
    pub(super) us: u64,
}

/// One execution.
#[derive(Clone, Copy)]
pub(super) struct Step<'a> {
    pub(super) seen: &'a Seen<'a>,
    pub(super) traits: Traits,
    /// Pause of the client before it.
    pub(super) think_us: u64,
    /// Position among the statements of the session that are neither control nor catalogue.
    pub(super) ordinal: u64,
    /// Ordinal of its unit on the session.
    pub(super) unit: u64,
    /// It is the first of its unit.
    pub(super) fresh: bool,
    /// Trace of its unit.
    pub(super) trace: Option<u64>,
    pub(super) commits: Commits,
}

impl Step<'_> {
    pub(super) fn digest(&self) -> u64 {
        self.seen.statement.digest
    }

    pub(super) fn transaction(&self) -> u32 {
        self.seen.record.transaction
    }

    pub(super) fn session(&self) -> SessionId {
        self.seen.record.session
    }

    pub(super) fn round_trip(&self) -> u32 {
        self.seen.record.round_trip
    }

    pub(super) fn rows(&self) -> u64 {
        self.seen.record.rows
    }

    pub(super) fn begin_us(&self) -> Micros {
        self.seen.record.begin_us
    }

    pub(super) fn end_us(&self) -> Micros {
        self.seen.record.end_us()
    }

    pub(super) fn service_us(&self) -> u64 {
        self.seen.service_us.unwrap_or(0)
    }

    /// Hash of all values. Without tags the raw text stands for its literals; with them the literals do, if
    /// every one is known. Never equal for different values.
    pub(super) fn values(&self) -> u64 {
        let text = mix(self.seen.record.binds_hash, self.seen.record.text.0);
        let tagged = self.seen.tags.is_some_and(|tags| *tags != crate::text::Tags::default());
        let known = self.traits.literals.map(usize::from) == Some(self.seen.literals.len());
        if !tagged || !known {
            return text;
        }
        let literal = |hash, cell: &crate::record::BindCell| {
            mix(hash, u64::from(cell.hash) << 16 | u64::from(cell.slot))
        };
        self.seen.literals.iter().fold(self.seen.record.binds_hash, literal)
    }

    /// Hash of the values that say which row a look-up means; `None` if it asks for several at once.
    pub(super) fn key(&self) -> Option<u64> {
        let slots = self.traits.key_slots();
        let (mut hash, mut cells) = (0, 0);
        for cell in self.seen.binds() {
            let slot = self.seen.slot_of(cell.slot);
            if slots.contains(&slot) {
                hash = mix(hash, u64::from(cell.hash) << 16 | u64::from(slot));
                cells += 1;
            }
        }
        if self.traits.has_list() {
            return (cells == slots.len()).then_some(hash);
        }
        Some(if cells == 0 { self.values() } else { hash })
    }
}

/// What all sessions know of a digest.
#[derive(Default)]
pub(super) struct Known {
    pub(super) traits: Traits,
    pub(super) last_us: Cell<Micros>,
    last_session: Cell<SessionId>,
    /// When another session took over from the one before.
    switched_us: Cell<Micros>,
    /// Pairs of digest and values met in runs in autocommit, and how many of them were repeated.
    pub(super) met: Cell<u32>,
    pub(super) repeated: Cell<u32>,
    pub(super) polls: Cell<Option<Box<Polls>>>,
}

impl Known {
    pub(super) fn new(traits: Traits) -> Self {
        Self { traits, ..Self::default() }
    }

    /// Notes who executes it.
    pub(super) fn by(&self, session: SessionId, now: Micros) {
        if self.last_session.replace(session) != session {
            self.switched_us.set(self.switched_us.get().max(now));
        }
        self.last_us.set(self.last_us.get().max(now));
    }
}

/// Digests of all databases.
pub(super) type Digests = Map<(DatabaseId, u64), Known>;

/// Where rules put what they found, and what they judge by.
pub(super) struct Scene<'a> {
    pub(super) limits: &'a Limits,
    pub(super) costs: &'a Costs,
    pub(super) known: &'a Digests,
    pub(super) out: &'a mut Vec<Report>,
}

impl Scene<'_> {
    /// Whether any other session has executed the digest since then.
    pub(super) fn is_shared(&self, database: DatabaseId, digest: u64, since: Micros) -> bool {
        self.known.get(&(database, digest)).is_none_or(|known| known.switched_us.get() > since)
    }
}

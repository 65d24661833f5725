//! What statement and portal names stand for, as of the client's latest frame.
//!
//! Parse, Bind and Close change the maps when the client's frame is seen, because later frames of the same
//! pipeline refer to them. A change that the server then refuses or skips is taken back ([`Undo`]).

use super::Observer;
use super::queue::{Entry, Queue};
use crate::limits::{NAME_BYTES_MAX, PORTAL_NAMES_MAX, STATEMENT_NAMES_MAX};
use hashbrown::HashMap;

/// A name in a map: its bytes and its place.
const NAME_HEAP_BYTES: usize = NAME_BYTES_MAX + size_of::<Box<[u8]>>() + 1;

/// What the bound values of a portal take, as an estimate: some cells of some words.
const PORTAL_HEAP_BYTES: usize = 512;

type Map<V> = HashMap<Box<[u8]>, V, foldhash::fast::FixedState>;

/// What a name stood for before an entry changed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Undo<S> {
    /// The entry changed nothing.
    #[default]
    Nothing,
    /// The unnamed statement.
    Unnamed(Option<S>),
    /// A named statement.
    Named(Box<[u8]>, Option<S>),
}

impl<S: Copy> Undo<S> {
    /// The name that was changed, empty for the unnamed statement.
    fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Nothing => None,
            Self::Unnamed(_) => Some(b""),
            Self::Named(name, _) => Some(name),
        }
    }

    /// A failed Parse of the unnamed statement leaves none behind.
    pub(super) fn forget_unnamed(&mut self) {
        if let Self::Unnamed(previous) = self {
            *previous = None;
        }
    }

    fn previous(&self) -> Option<S> {
        match self {
            Self::Nothing => None,
            Self::Unnamed(previous) | Self::Named(_, previous) => *previous,
        }
    }

    fn set_previous(&mut self, value: Option<S>) {
        match self {
            Self::Nothing => {}
            Self::Unnamed(previous) | Self::Named(_, previous) => *previous = value,
        }
    }
}

/// A bound portal.
pub(super) struct Portal<O: Observer> {
    /// Ordinal of its Bind.
    pub(super) ordinal: u64,
    pub(super) statement: Option<O::Statement>,
    pub(super) data: O::Portal,
}

impl<O: Observer> Default for Portal<O> {
    fn default() -> Self {
        Self { ordinal: 0, statement: None, data: O::Portal::default() }
    }
}

/// Statement and portal names of one session.
pub(super) struct Names<O: Observer> {
    unnamed: Option<O::Statement>,
    statements: Map<O::Statement>,
    unnamed_portal: Portal<O>,
    portals: Map<Portal<O>>,
}

impl<O: Observer> Names<O> {
    /// No names. Clients choose them, so `seed` keeps a hostile one from making them collide.
    pub(super) fn seeded(seed: u64) -> Self {
        let state = foldhash::fast::FixedState::with_seed(seed);
        Self {
            unnamed: None,
            statements: Map::with_hasher(state.clone()),
            unnamed_portal: Portal::default(),
            portals: Map::with_hasher(state),
        }
    }
}

impl<O: Observer> Names<O> {
    pub(super) fn statement(&self, name: &[u8]) -> Option<O::Statement> {
        if name.is_empty() { self.unnamed } else { self.statements.get(name).copied() }
    }

    /// Sets or removes what a name stands for. `None` where there was no room.
    pub(super) fn set_statement(
        &mut self,
        name: &[u8],
        value: Option<O::Statement>,
    ) -> Option<Undo<O::Statement>> {
        if name.is_empty() {
            return Some(Undo::Unnamed(std::mem::replace(&mut self.unnamed, value)));
        }
        let full = self.statements.len() >= STATEMENT_NAMES_MAX;
        if full && value.is_some() && !self.statements.contains_key(name) {
            return None;
        }
        let previous = self.put(name.into(), value);
        Some(Undo::Named(name.into(), previous))
    }

    fn put(&mut self, name: Box<[u8]>, value: Option<O::Statement>) -> Option<O::Statement> {
        match value {
            Some(value) => self.statements.insert(name, value),
            None => self.statements.remove(&name),
        }
    }

    /// Takes back what the entry at `index` changed, unless a later one changed the same name again.
    pub(super) fn take_back(&mut self, queue: &mut Queue<O>, index: usize) {
        let (entries, later) = queue.split_at_mut(index + 1);
        let Some(undo) = entries.last_mut().and_then(Entry::undo_mut).map(std::mem::take) else {
            return;
        };
        let changed_again = later
            .iter_mut()
            .filter_map(Entry::undo_mut)
            .find(|candidate| undo.name().is_some() && candidate.name() == undo.name());
        match changed_again {
            Some(candidate) => candidate.set_previous(undo.previous()),
            None => self.restore(undo),
        }
    }

    /// Takes back what the first `end` entries changed, newest first. A name that an entry behind them changed
    /// again keeps that change; only its notion of "before" is corrected. One pass over each part.
    pub(super) fn take_back_before(&mut self, queue: &mut Queue<O>, end: usize) {
        let (skipped, later) = queue.split_at_mut(end);
        let mut changed_again: HashMap<Box<[u8]>, usize, foldhash::fast::FixedState> =
            HashMap::default();
        for (index, entry) in later.iter_mut().enumerate().rev() {
            if let Some(name) = entry.undo_mut().and_then(|undo| undo.name()) {
                changed_again.insert(name.into(), index);
            }
        }
        for entry in skipped.iter_mut().rev() {
            let Some(undo) = entry.undo_mut().map(std::mem::take) else { continue };
            let again = undo.name().and_then(|name| changed_again.get(name));
            match again.and_then(|index| later[*index].undo_mut()) {
                Some(candidate) => candidate.set_previous(undo.previous()),
                None => self.restore(undo),
            }
        }
    }

    fn restore(&mut self, undo: Undo<O::Statement>) {
        match undo {
            Undo::Nothing => {}
            Undo::Unnamed(previous) => self.unnamed = previous,
            Undo::Named(name, previous) => {
                self.put(name, previous);
            }
        }
    }

    /// About the bytes of all names and what they stand for: each name as if it had its full length.
    pub(super) fn held_bytes(&self) -> usize {
        let (statement, portal) = (size_of::<O::Statement>(), size_of::<Portal<O>>());
        self.statements.capacity() * (NAME_HEAP_BYTES + statement)
            + self.portals.capacity() * (NAME_HEAP_BYTES + portal + PORTAL_HEAP_BYTES)
    }

    /// `DEALLOCATE ALL` or `DISCARD ALL`.
    pub(super) fn clear_statements(&mut self) {
        self.statements.clear();
    }

    pub(super) fn portal(&self, name: &[u8]) -> Option<&Portal<O>> {
        if name.is_empty() {
            Some(&self.unnamed_portal).filter(|portal| portal.ordinal > 0)
        } else {
            self.portals.get(name)
        }
    }

    /// The place of a portal that is being bound; `None` where there is no room.
    pub(super) fn portal_to_bind(&mut self, name: &[u8]) -> Option<&mut Portal<O>> {
        if name.is_empty() {
            return Some(&mut self.unnamed_portal);
        }
        if self.portals.len() >= PORTAL_NAMES_MAX && !self.portals.contains_key(name) {
            return None;
        }
        Some(self.portals.entry_ref(name).or_default())
    }

    /// Closes a portal by name; tells its ordinal.
    pub(super) fn close_portal(&mut self, name: &[u8]) -> Option<u64> {
        if name.is_empty() {
            let ordinal = std::mem::take(&mut self.unnamed_portal.ordinal);
            return Some(ordinal).filter(|ordinal| *ordinal > 0);
        }
        self.portals.remove(name).map(|portal| portal.ordinal)
    }

    /// A transaction ended: portals bound up to `ordinal` are gone.
    pub(super) fn end_portals(&mut self, ordinal: u64) {
        if self.unnamed_portal.ordinal <= ordinal {
            self.unnamed_portal.ordinal = 0;
        }
        if !self.portals.is_empty() {
            self.portals.retain(|_, portal| portal.ordinal > ordinal);
        }
    }
}

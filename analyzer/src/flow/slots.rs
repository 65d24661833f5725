//! The binds of one execution, by slot.

use crate::record::BindCell;
use crate::seen::Seen;

/// Slots looked at per execution; further ones are ignored.
const SLOTS_MAX: usize = 32;
/// Values looked at per slot: enough to tell a list from a look-up.
const VALUES_MAX: usize = 32;

/// Scratch space, reused from execution to execution.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    slots: Vec<(u16, Vec<u32>)>,
    used: usize,
    /// Ordinal of the execution.
    pub(crate) execution: u32,
    /// Parent columns (digest, field, slot) that have explained this execution already.
    pub(crate) explained: Vec<(u64, u16, u16)>,
}

impl Slots {
    /// Takes the binds and literals of an execution; the elements of one list share its slot.
    pub(crate) fn fill(&mut self, seen: &Seen<'_>) {
        self.used = 0;
        for cell in seen.binds() {
            let slot = seen.slot_of(cell.slot);
            self.push(BindCell { slot, ..*cell });
        }
    }

    fn push(&mut self, cell: BindCell) {
        let known = self.slots[..self.used].iter().position(|(slot, _)| *slot == cell.slot);
        let index = match known {
            Some(index) => index,
            None if self.used == SLOTS_MAX => return,
            None => {
                if self.used == self.slots.len() {
                    self.slots.push((0, Vec::new()));
                }
                self.slots[self.used].0 = cell.slot;
                self.slots[self.used].1.clear();
                self.used += 1;
                self.used - 1
            }
        };
        let values = &mut self.slots[index].1;
        if values.len() < VALUES_MAX && !values.contains(&cell.hash) {
            values.push(cell.hash);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The only value of a slot: what the statement was asked for, as opposed to a list of values.
    pub(crate) fn is_asked_for(&self, hash: u32) -> bool {
        self.slots[..self.used].iter().any(|(_, values)| *values == [hash])
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    /// Slot number and distinct hashes.
    pub(crate) fn at(&self, index: usize) -> (u16, &[u32]) {
        let (slot, values) = &self.slots[index];
        (*slot, values)
    }
}

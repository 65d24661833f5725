//! Held results by id, without hashing: every statement asks for each result of its session several times.

use super::held::HeldId;
use slab::Slab;

/// Low bits of an id that say where its result stands; those above are its ordinal. Memory limits keep far fewer
/// results than there are places.
const PLACE_BITS: u32 = 24;

/// Results in places that are used again. An id is its ordinal over its place, so that later ids are greater, and the
/// id of a result that is gone finds nothing, whoever has its place now.
#[derive(Debug)]
pub(super) struct Results<T> {
    places: Slab<(HeldId, T)>,
    ordinal: u64,
}

impl<T> Default for Results<T> {
    fn default() -> Self {
        Self { places: Slab::new(), ordinal: 0 }
    }
}

impl<T> Results<T> {
    pub(super) fn get(&self, id: HeldId) -> Option<&T> {
        self.places.get(place_of(id)).filter(|(known, _)| *known == id).map(|(_, held)| held)
    }

    pub(super) fn change(&mut self, id: HeldId) -> Option<&mut T> {
        self.places.get_mut(place_of(id)).filter(|(known, _)| *known == id).map(|(_, held)| held)
    }

    /// Gives a result its place and its id.
    pub(super) fn insert(&mut self, held: T) -> HeldId {
        let place = self.places.vacant_entry();
        let id = self.ordinal << PLACE_BITS | place.key() as u64;
        self.ordinal += 1;
        place.insert((id, held));
        id
    }

    pub(super) fn remove(&mut self, id: HeldId) -> Option<T> {
        self.get(id)?;
        self.places.try_remove(place_of(id)).map(|(_, held)| held)
    }

    /// All of them, in no order that means anything.
    pub(super) fn iter(&self) -> impl Iterator<Item = (HeldId, &T)> {
        self.places.iter().map(|(_, (id, held))| (*id, held))
    }
}

fn place_of(id: HeldId) -> usize {
    (id & ((1 << PLACE_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_are_greater_and_old_ones_find_nothing() {
        let mut results = Results::default();
        let first = results.insert("a");
        let second = results.insert("b");
        assert_eq!(results.remove(first), Some("a"));
        let third = results.insert("c");
        assert_eq!(place_of(third), place_of(first), "the place is used again");
        assert!(first < second && second < third);
        assert_eq!(results.get(first), None);
        assert_eq!(results.change(first), None);
        assert_eq!(results.remove(first), None);
        assert_eq!((results.get(second), results.get(third)), (Some(&"b"), Some(&"c")));
        let mut left: Vec<HeldId> = results.iter().map(|(id, _)| id).collect();
        left.sort_unstable();
        assert_eq!(left, [second, third]);
    }
}

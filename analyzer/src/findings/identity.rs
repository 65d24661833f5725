//! Ids of findings: equal across restarts, environments and machines, for baselines refer to them.

use crate::text::StableHash;

/// What ids are hashed for.
const DOMAIN: u64 = 0x6669_6e64_696e_6700;
/// Bits that an id has less than the hash.
const UNUSED_BITS: u32 = 16;

/// An id in the making. It may contain no OID, salted hash, route, time, or name that is learnt later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity(StableHash);

impl Identity {
    pub(crate) fn new() -> Self {
        Self(StableHash::new(DOMAIN))
    }

    /// Adds a text; an absent part is the empty one.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.bytes(text.as_bytes());
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.0.word(number);
    }

    /// 48 bits.
    pub(crate) fn finish(self) -> u64 {
        self.0.finish() >> UNUSED_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_borders() {
        let of = |parts: &[&str]| {
            let mut id = Identity::new();
            parts.iter().for_each(|part| id.text(part));
            id.finish()
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["", "a"]), of(&["a", ""]));
        assert_eq!(of(&["a"]), of(&["a"]));
        assert!(of(&["a"]) < 1 << 48);
    }
}

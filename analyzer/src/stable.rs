//! A hash with a fixed definition: equal on every machine, in every version, for ids that are written down.

/// FNV-1a over length-prefixed parts, then the finaliser of MurmurHash3 (for well-mixed high bits).
#[derive(Clone, Copy, Debug)]
pub(crate) struct StableHash(u64);

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

impl StableHash {
    /// Starts in the domain `domain`, so that equal parts of different things don't meet.
    pub(crate) fn new(domain: &str) -> Self {
        let mut hash = Self(OFFSET);
        hash.text(domain);
        hash
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }

    /// All 64 bits.
    pub(crate) fn finish(self) -> u64 {
        mix(self.0)
    }

    /// The 48 bits of a finding's id.
    pub(crate) fn finish_48(self) -> u64 {
        self.finish() >> 16
    }
}

/// A bijection that spreads every input bit over all output bits (finaliser of MurmurHash3).
pub(crate) fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    x = (x ^ (x >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ (x >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_borders_and_domains_apart() {
        let of = |domain: &str, parts: &[&str]| {
            let mut hash = StableHash::new(domain);
            parts.iter().for_each(|part| hash.text(part));
            hash.finish()
        };
        assert_ne!(of("a", &["bc", "d"]), of("a", &["b", "cd"]));
        assert_ne!(of("a", &["b"]), of("b", &["b"]));
        assert_eq!(of("a", &["b"]), of("a", &["b"]));
        assert!(StableHash::new("x").finish_48() < 1 << 48);
    }
}

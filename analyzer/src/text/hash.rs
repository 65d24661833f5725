//! A hash that is the same on every machine, in every version and after every restart: digests and finding
//! ids are made of it, so it is our own and must never change without a new [`SHAPE_VERSION`].

/// Version of the shape; part of every shape's input. Raise it when equal texts would get other shapes.
pub const SHAPE_VERSION: u64 = 2;

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
const INCREMENT: u64 = 0xd6e8_feb8_6659_fd93;

/// 64-bit multiply-fold over 8-byte little-endian words. Not keyed: never use it for values.
#[derive(Clone, Copy, Debug)]
pub struct StableHash(u64);

impl StableHash {
    /// Starts with a number that separates uses from one another.
    pub fn new(domain: u64) -> Self {
        let mut hash = Self(INCREMENT);
        hash.word(domain);
        hash
    }

    /// Adds one number.
    #[inline]
    pub fn word(&mut self, word: u64) {
        let product =
            u128::from(self.0 ^ word).wrapping_mul(u128::from(MULTIPLIER)) ^ u128::from(INCREMENT);
        // the low half mixes upwards only; the high half brings the upper input bits down
        self.0 =
            (product as u64) ^ ((product >> 64) as u64).rotate_left(29) ^ self.0.rotate_left(17);
    }

    /// Adds bytes with their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.mapped(bytes, |byte| byte);
    }

    /// Adds bytes with their length, ASCII letters as lower case.
    pub fn folded(&mut self, bytes: &[u8]) {
        self.mapped(bytes, |byte| byte.to_ascii_lowercase());
    }

    #[inline]
    fn mapped(&mut self, bytes: &[u8], map: impl Fn(u8) -> u8) {
        self.word(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0u8; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = map(*from);
            }
            self.word(u64::from_le_bytes(word));
        }
    }

    /// The value so far; never 0.
    pub fn finish(self) -> u64 {
        let mut last = self;
        last.word(0);
        last.word(MULTIPLIER);
        last.0.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> u64 {
        let mut hash = StableHash::new(1);
        hash.bytes(bytes);
        hash.finish()
    }

    #[test]
    fn single_bits_change_about_half_of_the_result() {
        let base = of(b"SELECT * FROM orders WHERE id = ");
        let mut seen = vec![base];
        for bit in 0..256 {
            let mut bytes = *b"SELECT * FROM orders WHERE id = ";
            bytes[bit / 8] ^= 1 << (bit % 8);
            let other = of(&bytes);
            let changed = (base ^ other).count_ones();
            assert!((12..=52).contains(&changed), "bit {bit}: {changed}");
            seen.push(other);
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 257);
    }

    #[test]
    fn many_short_inputs_have_no_collision() {
        let mut seen: Vec<u64> = (0..200_000u32).map(|n| of(&n.to_le_bytes())).collect();
        seen.extend((0..200_000u32).map(|n| of(n.to_string().as_bytes())));
        seen.sort_unstable();
        let all = seen.len();
        seen.dedup();
        // "1234" is four bytes too: some of the inputs are equal
        let equal = (0..200_000u32).filter(|n| {
            let text = n.to_string();
            <[u8; 4]>::try_from(text.as_bytes()).is_ok_and(|b| u32::from_le_bytes(b) < 200_000)
        });
        assert_eq!(all - seen.len(), equal.count());
    }

    #[test]
    fn case_folds_only_where_asked() {
        let folded = |bytes: &[u8]| {
            let mut hash = StableHash::new(1);
            hash.folded(bytes);
            hash.finish()
        };
        assert_eq!(folded(b"SELECT_\xc4"), folded(b"select_\xc4"));
        assert_ne!(folded(b"SELECT_\xc4"), folded(b"select_\xe4"));
        assert_ne!(of(b"SELECT"), of(b"select"));
        assert_ne!(of(b""), of(b"\0"));
    }
}

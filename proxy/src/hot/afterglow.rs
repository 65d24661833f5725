//! Where a session stands that is forwarded unseen: told from the last bytes of its server alone.
//!
//! A ReadyForQuery outside a transaction is six bytes. If they are the latest that the server said, and the client has
//! said nothing since and for a while, nothing is going on: a drain need not wait for such a session.

/// ReadyForQuery, outside a transaction.
const READY: [u8; 6] = *b"Z\0\0\0\x05I";

/// The latest bytes of the server, and who spoke last.
#[derive(Debug, Default)]
pub(super) struct Afterglow {
    latest: [u8; READY.len()],
    is_answered: bool,
}

impl Afterglow {
    /// The client said something.
    pub(super) fn asked(&mut self) {
        self.is_answered = false;
    }

    /// The server said this.
    pub(super) fn answered(&mut self, bytes: &[u8]) {
        self.is_answered = true;
        let new = bytes.len().min(READY.len());
        self.latest.copy_within(new.., 0);
        self.latest[READY.len() - new..].copy_from_slice(&bytes[bytes.len() - new..]);
    }

    /// Whether the server is done, as far as its last bytes tell.
    pub(super) fn is_ready(&self) -> bool {
        self.is_answered && self.latest == READY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_servers_last_word_counts() {
        let whole = b"C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";
        for cut in 0..=whole.len() {
            let mut glow = Afterglow::default();
            glow.asked();
            glow.answered(&whole[..cut]);
            assert_eq!(glow.is_ready(), cut == whole.len(), "{cut}");
            glow.answered(&whole[cut..]);
            assert!(glow.is_ready(), "in two pieces: {cut}");
            glow.asked();
            assert!(!glow.is_ready());
        }
        for (words, why) in [(&b"Z\0\0\0\x05T"[..], "in a transaction"), (b"\0\0\x05I", "half")] {
            let mut glow = Afterglow::default();
            glow.answered(words);
            assert!(!glow.is_ready(), "{why}");
        }
    }
}

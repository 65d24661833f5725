//! Whether a session has set `lock_timeout`.

use crate::Map;
use crate::record::SessionId;
use crate::seen::Seen;

/// Sessions remembered.
const SESSIONS_MAX: usize = 4_096;
/// Class of the whole numbers 0 and 1 among bind cells; 0 switches the timeout off.
const CLASS_OF_ZERO: u8 = 1 << 6;

/// How long a setting lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Span {
    Session,
    Transaction(u32),
}

/// Sessions with a `lock_timeout`.
#[derive(Debug, Default)]
pub(super) struct LockTimeouts {
    set: Map<SessionId, Span>,
}

impl LockTimeouts {
    /// Takes in one successful control statement.
    pub(super) fn statement(&mut self, seen: &Seen<'_>) {
        let settles = |words: &&str| seen.statement.starts_with(words);
        if !["SET", "RESET", "DISCARD"].iter().any(settles) {
            return;
        }
        let text = seen.statement.words.to_ascii_lowercase();
        let session = seen.record.session;
        let is_reset = text.starts_with("reset all") || text.starts_with("discard all");
        if is_reset || text.starts_with("reset lock_timeout") {
            self.set.remove(&session);
        }
        let Some(rest) = text.strip_prefix("set ").filter(|_| text.contains("lock_timeout")) else {
            return;
        };
        let off = rest.contains("default")
            || seen.literals.iter().any(|cell| cell.class == CLASS_OF_ZERO);
        let local = rest.trim_start().starts_with("local ");
        if off {
            self.set.remove(&session);
        } else if self.set.len() < SESSIONS_MAX || self.set.contains_key(&session) {
            let span =
                if local { Span::Transaction(seen.record.transaction) } else { Span::Session };
            self.set.insert(session, span);
        }
    }

    /// Whether it holds for this execution.
    pub(super) fn holds(&self, seen: &Seen<'_>) -> bool {
        match self.set.get(&seen.record.session) {
            Some(Span::Session) => true,
            Some(Span::Transaction(of)) => *of == seen.record.transaction && *of != 0,
            None => false,
        }
    }

    /// The session ended.
    pub(super) fn closed(&mut self, session: SessionId) {
        self.set.remove(&session);
    }
}

//! Where a session stands between two requests: the worker's clock asks, the relay answers in passing.

use pgsonde_analyzer::record::{Event, SessionId};
use pgsonde_wire::Micros;
use std::cell::Cell;

/// A session that has stood inside a transaction for this long is told of, and again after as long, in microseconds.
const TELL_AFTER_US: u64 = 500_000;

/// Since when a session stands inside a transaction with nothing in flight.
#[derive(Debug, Default)]
pub struct Standing {
    session: Cell<SessionId>,
    /// The answer after which nothing came; 0 = the session isn't waiting there.
    since_us: Cell<Micros>,
    told_us: Cell<Micros>,
}

impl Standing {
    /// Whose it is.
    pub fn belong_to(&self, session: SessionId) {
        self.session.set(session);
    }

    /// Everything was answered at `now`, inside a transaction. A notice that comes later changes nothing.
    pub fn wait(&self, now: Micros) {
        if self.since_us.get() == 0 {
            self.since_us.set(now.max(1));
            self.told_us.set(now.max(1));
        }
    }

    /// The client sent something, or the transaction is over.
    pub fn go_on(&self) {
        self.since_us.set(0);
    }

    /// What the analyzer should know at `now`, if anything.
    pub fn tell(&self, now: Micros) -> Option<Event> {
        let since_us = self.since_us.get();
        if since_us == 0 || now.saturating_sub(self.told_us.get()) < TELL_AFTER_US {
            return None;
        }
        self.told_us.set(now);
        Some(Event::Waiting { session: self.session.get(), since_us, at_us: now })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_waiting_session_is_told_of_at_intervals() {
        let standing = Standing::default();
        standing.belong_to(SessionId(7));
        assert_eq!(standing.tell(10 * TELL_AFTER_US), None);
        standing.wait(1_000);
        standing.wait(2_000);
        let told = |at_us| Event::Waiting { session: SessionId(7), since_us: 1_000, at_us };
        for (now, expected) in [
            (1_000 + TELL_AFTER_US - 1, None),
            (1_000 + TELL_AFTER_US, Some(told(1_000 + TELL_AFTER_US))),
            (1_000 + 2 * TELL_AFTER_US - 1, None),
            (1_000 + 2 * TELL_AFTER_US, Some(told(1_000 + 2 * TELL_AFTER_US))),
        ] {
            assert_eq!(standing.tell(now), expected, "{now}");
        }
        standing.go_on();
        assert_eq!(standing.tell(100 * TELL_AFTER_US), None);
    }
}

//! Where a session stands between two requests: the worker's clock asks, the relay answers in passing.

use pgsonde_analyzer::record::{Event, SessionId};
use pgsonde_wire::Micros;
use std::cell::Cell;

/// What has lasted for this long is told of, and again after as long, in microseconds.
const TELL_AFTER_US: u64 = 500_000;

/// What a session does right now, as far as it may last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Now {
    /// Nothing in flight, outside a transaction.
    #[default]
    Idle,
    /// A request waits for its answer.
    Busy,
    /// Inside a transaction with nothing in flight.
    Waiting,
}

/// Since when a session works at a request, or stands inside a transaction with nothing in flight.
#[derive(Debug, Default)]
pub struct Standing {
    session: Cell<SessionId>,
    now: Cell<Now>,
    since_us: Cell<Micros>,
    told_us: Cell<Micros>,
}

impl Standing {
    /// Whose it is.
    pub fn belong_to(&self, session: SessionId) {
        self.session.set(session);
    }

    /// Everything was answered at `at_us`, inside a transaction. A notice that comes later changes nothing.
    pub fn wait(&self, at_us: Micros) {
        self.enter(Now::Waiting, at_us);
    }

    /// The client asked for something at `at_us`.
    pub fn work(&self, at_us: Micros) {
        self.enter(Now::Busy, at_us);
    }

    /// Everything was answered, outside a transaction.
    pub fn rest(&self) {
        self.now.set(Now::Idle);
    }

    fn enter(&self, now: Now, at_us: Micros) {
        if self.now.get() != now {
            self.now.set(now);
            self.since_us.set(at_us);
            self.told_us.set(at_us);
        }
    }

    /// What the analyzer should know at `at_us`, if anything.
    pub fn tell(&self, at_us: Micros) -> Option<Event> {
        let now = self.now.get();
        if now == Now::Idle || at_us.saturating_sub(self.told_us.get()) < TELL_AFTER_US {
            return None;
        }
        self.told_us.set(at_us);
        let (session, since_us) = (self.session.get(), self.since_us.get());
        Some(match now {
            Now::Busy => Event::Busy { session, since_us, at_us },
            _ => Event::Waiting { session, since_us, at_us },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_is_told_of_at_intervals() {
        let session = SessionId(7);
        let standing = Standing::default();
        standing.belong_to(session);
        assert_eq!(standing.tell(10 * TELL_AFTER_US), None);
        standing.wait(1_000);
        standing.wait(2_000);
        let told = |at_us| Event::Waiting { session, since_us: 1_000, at_us };
        for (now, expected) in [
            (1_000 + TELL_AFTER_US - 1, None),
            (1_000 + TELL_AFTER_US, Some(told(1_000 + TELL_AFTER_US))),
            (1_000 + 2 * TELL_AFTER_US - 1, None),
            (1_000 + 2 * TELL_AFTER_US, Some(told(1_000 + 2 * TELL_AFTER_US))),
        ] {
            assert_eq!(standing.tell(now), expected, "{now}");
        }
        standing.work(3 * TELL_AFTER_US);
        standing.work(3 * TELL_AFTER_US + 9);
        assert_eq!(standing.tell(4 * TELL_AFTER_US - 1), None);
        let at_us = 4 * TELL_AFTER_US;
        let busy = Event::Busy { session, since_us: 3 * TELL_AFTER_US, at_us };
        assert_eq!(standing.tell(at_us), Some(busy));
        standing.rest();
        assert_eq!(standing.tell(100 * TELL_AFTER_US), None);
    }
}

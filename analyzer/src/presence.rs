//! What a session was seen doing last: the rows of the connections page.

use crate::digest::Statement;
use crate::record::{Micros, SessionId, StatementRecord};
use crate::snapshot::{SessionRow, SessionState};
use std::sync::Arc;

/// News that something lasts are repeated well within this time; older ones are worth nothing, in microseconds.
const NEWS_AGE_MAX_US: u64 = 1_500_000;

/// One session's.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    pub(crate) opened_us: Micros,
    in_transaction: bool,
    /// What lasts, since when, and when that was heard last.
    lasting: Option<(SessionState, Micros, Micros)>,
    last: Option<Arc<Statement>>,
    route: Option<Arc<str>>,
}

impl Presence {
    /// A statement is complete.
    pub(crate) fn statement(
        &mut self,
        record: &StatementRecord,
        statement: &Arc<Statement>,
        route: Option<&Arc<str>>,
    ) {
        self.in_transaction = record.transaction != 0;
        if !self.last.as_ref().is_some_and(|last| Arc::ptr_eq(last, statement)) {
            self.last = Some(statement.clone());
        }
        if self.route.as_ref() != route {
            self.route = route.cloned();
        }
    }

    /// The transaction is over.
    pub(crate) fn transaction_over(&mut self) {
        self.in_transaction = false;
    }

    /// It has been in that state since `since_us`, and still was at `at_us`.
    pub(crate) fn lasts(&mut self, state: SessionState, since_us: Micros, at_us: Micros) {
        self.lasting = Some((state, since_us, at_us));
    }

    /// Its state at `now` and since when; `last_us` is the end of its latest exchange.
    fn state(&self, last_us: Micros, now: Micros) -> (SessionState, Micros) {
        let news = self.lasting.filter(|(_, _, at_us)| {
            *at_us >= last_us && now.saturating_sub(*at_us) <= NEWS_AGE_MAX_US
        });
        match (news, self.in_transaction) {
            (Some((state, since_us, _)), _) => (state, since_us),
            (None, true) => (SessionState::IdleInTransaction, last_us),
            (None, false) => (SessionState::Idle, last_us),
        }
    }

    /// Its row, without who it is.
    pub(crate) fn row(&self, id: SessionId, last_us: Micros, now: Micros) -> SessionRow {
        let (state, state_since_us) = self.state(last_us, now);
        SessionRow {
            id: id.0,
            state,
            state_since_us,
            opened_us: self.opened_us,
            last: self.last.as_ref().map(|last| (last.digest, last.summary.clone())),
            route: self.route.clone(),
            ..SessionRow::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_count_until_something_newer_or_for_a_while() {
        let mut presence = Presence::default();
        assert_eq!(presence.state(40, 50), (SessionState::Idle, 40));
        presence.in_transaction = true;
        assert_eq!(presence.state(40, 50), (SessionState::IdleInTransaction, 40));
        presence.lasts(SessionState::Active, 45, 500);
        assert_eq!(presence.state(40, 600), (SessionState::Active, 45));
        assert_eq!(presence.state(501, 600), (SessionState::IdleInTransaction, 501));
        let late = 500 + NEWS_AGE_MAX_US;
        assert_eq!(presence.state(40, late), (SessionState::Active, 45));
        assert_eq!(presence.state(40, late + 1), (SessionState::IdleInTransaction, 40));
        presence.transaction_over();
        assert_eq!(presence.state(40, late + 1), (SessionState::Idle, 40));
    }
}

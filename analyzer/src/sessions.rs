//! What the analyzer remembers of each client session. Bounded: beyond the limit a session is `other`.

use crate::Map;
use crate::as_sent::{AsSent, Coming};
use crate::events::{BlockLabels, Closed, Who};
use crate::findings::Orm;
use crate::labels::{DatabaseId, Labels, ServiceId};
use crate::latency::median;
use crate::marks::SessionMark;
use crate::presence::Presence;
use crate::record::{Driver, End, Micros, Opaque, SessionId, StatementRecord};
use crate::snapshot::{SESSIONS_SHOWN_MAX, SessionRow, SessionState};
use crate::units::{SessionUnit, ShapeSoFar};
use std::sync::Arc;

/// A session without events for this long may make room for a new one.
const IDLE_BEFORE_EVICTION_US: u64 = 600 * 1_000_000;
/// Trivial exchanges from which the baseline is taken.
const BASELINE_SAMPLES_MAX: usize = 16;
/// Domain of client keys among the uses of the hash.
const CLIENT_DOMAIN: u64 = 0x0063_6c69_656e_7400;
/// Half of the rolling window of a floor.
const FLOOR_SLOT_US: u64 = 300 * 1_000_000;

/// Smallest value of the last five to ten minutes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Floor {
    slot: u64,
    current: Option<u64>,
    previous: Option<u64>,
}

impl Floor {
    /// Adds one value.
    pub(crate) fn record(&mut self, now: Micros, us: u64) {
        let slot = now / FLOOR_SLOT_US;
        if slot > self.slot {
            self.previous = if slot == self.slot + 1 { self.current } else { None };
            self.current = None;
            self.slot = slot;
        }
        self.current = Some(self.current.map_or(us, |floor| floor.min(us)));
    }

    /// The smallest value at `now`, if there is one.
    pub(crate) fn at(&self, now: Micros) -> Option<u64> {
        match (now / FLOOR_SLOT_US).saturating_sub(self.slot) {
            0 => self.current.into_iter().chain(self.previous).min(),
            1 => self.current,
            _ => None,
        }
    }
}

/// Median first-row time of a session's trivial exchanges: what the path costs without any work.
#[derive(Clone, Debug, Default)]
pub(crate) struct Baseline {
    samples: Vec<u64>,
    next: usize,
    median_us: Option<u64>,
}

impl Baseline {
    /// Adds the first-row time of BEGIN, COMMIT, SET or `SELECT 1`.
    pub(crate) fn record(&mut self, us: u64) {
        if self.samples.len() < BASELINE_SAMPLES_MAX {
            self.samples.push(us);
        } else {
            self.samples[self.next] = us;
            self.next = (self.next + 1) % BASELINE_SAMPLES_MAX;
        }
        self.median_us = Some(median(&self.samples));
    }

    /// Median, if anything was seen.
    pub(crate) fn median_us(&self) -> Option<u64> {
        self.median_us
    }
}

/// The batch (flush group) that a session is in the middle of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenBatch {
    /// Digest of the first member.
    pub(crate) digest: u64,
    /// Whether every member so far had that digest.
    pub(crate) same: bool,
    /// Members so far.
    pub(crate) members: u64,
}

/// One client session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Database label.
    pub(crate) database: DatabaseId,
    /// Service after the application name.
    pub(crate) service: ServiceId,
    /// Database user.
    pub(crate) user: Arc<str>,
    /// Raw `application_name`.
    pub(crate) application_name: Arc<str>,
    /// Address of the client, without its port; empty where it is hidden.
    pub(crate) client: Arc<str>,
    /// Hash of the address.
    pub(crate) address_hash: u64,
    /// Process of the server that serves it; 0 if it was not told.
    pub(crate) server_pid: u32,
    /// Start-up packet to first ReadyForQuery.
    pub(crate) setup_us: u64,
    /// Hash of what is known of the client process: address, user and application name.
    pub(crate) client_key: u64,
    /// Driver, if a name gave it away.
    pub(crate) driver: Driver,
    /// The ORM that asked the service's connections about themselves.
    pub(crate) introspected: Option<Orm>,
    /// Time of the latest event.
    pub(crate) last_us: Micros,
    /// What it was seen doing last.
    pub(crate) presence: Presence,
    /// Flush group in progress.
    pub(crate) batch: Option<OpenBatch>,
    /// Unit of work in progress.
    pub(crate) unit: Option<SessionUnit>,
    /// Ordinal of the latest round trip that was counted in a unit.
    pub(crate) unit_round_trip: u32,
    /// Transaction in progress.
    pub(crate) shape: ShapeSoFar,
    /// What it says that it does.
    pub(crate) mark: SessionMark,
    /// It stands for sessions without state: nothing in it may go on from record to record.
    pub(crate) stands_for_many: bool,
    /// First-row time of trivial exchanges.
    pub(crate) baseline: Baseline,
    /// Smallest service time of trivial exchanges.
    pub(crate) round_trip: Floor,
    /// Statements since it opened.
    pub(crate) statements: u64,
    /// Transaction blocks that ended since it opened.
    pub(crate) transactions: u64,
    /// Time of its statements.
    pub(crate) busy_us: u64,
    /// The client's pauses outside and inside of transactions.
    pub(crate) think_us: [u64; 2],
    /// Bytes from and to the client.
    pub(crate) client_bytes: [u64; 2],
    /// What the statements of its transaction said, while somebody listens.
    pub(crate) block: Option<Box<BlockLabels>>,
    /// What was told of its next execution for events alone.
    pub(crate) coming: Option<Box<Coming>>,
    /// What listeners are told of it; made when somebody listens.
    pub(crate) who: Option<Arc<Who>>,
}

impl Session {
    pub(crate) fn new(database: DatabaseId, service: ServiceId, user: Arc<str>) -> Self {
        Self {
            database,
            service,
            user,
            application_name: Arc::from(""),
            client: Arc::from(""),
            address_hash: 0,
            server_pid: 0,
            setup_us: 0,
            client_key: 0,
            driver: Driver::Unknown,
            introspected: None,
            last_us: 0,
            presence: Presence::default(),
            batch: None,
            unit: None,
            unit_round_trip: 0,
            shape: ShapeSoFar::default(),
            mark: SessionMark::default(),
            stands_for_many: false,
            baseline: Baseline::default(),
            round_trip: Floor::default(),
            statements: 0,
            transactions: 0,
            busy_us: 0,
            think_us: [0; 2],
            client_bytes: [0; 2],
            block: None,
            coming: None,
            who: None,
        }
    }

    /// What an execution was sent as, where that is kept.
    pub(crate) fn as_sent(
        &mut self,
        record: &StatementRecord,
        query: Option<Arc<str>>,
    ) -> Option<Box<AsSent>> {
        match &mut self.coming {
            Some(coming) => Some(Box::new(coming.of(record, query))),
            None => query.map(|query| Box::new(AsSent { query: Some(query), ..AsSent::default() })),
        }
    }

    /// Where it comes from.
    pub(crate) fn address(&mut self, address: Arc<str>, is_shown: bool) {
        let mut hash = crate::text::StableHash::new(CLIENT_DOMAIN);
        hash.bytes(address.as_bytes());
        self.address_hash = hash.finish();
        self.client = if is_shown { address } else { Arc::from("") };
    }

    /// What listeners are told of it.
    pub(crate) fn who(&mut self, labels: &Labels) -> Arc<Who> {
        let (database, service) = (self.database, self.service);
        let who = self.who.get_or_insert_with(|| {
            Arc::new(Who {
                database: labels.database_name(database),
                user: self.user.clone(),
                application_name: self.application_name.clone(),
                client: self.client.clone(),
                service: labels.service_name(service),
                server_pid: self.server_pid,
            })
        });
        who.clone()
    }

    /// What listeners are told when it ends.
    pub(crate) fn told_at_its_end(
        &mut self,
        session: SessionId,
        at_us: Micros,
        (opaque, end): (Option<Opaque>, End),
        labels: &Labels,
    ) -> Closed {
        Closed {
            session,
            at_us,
            opaque,
            end,
            think_idle_us: self.think_us[0],
            think_in_transaction_us: self.think_us[1],
            received_bytes: self.client_bytes[0],
            sent_bytes: self.client_bytes[1],
            duration_us: at_us.saturating_sub(self.presence.opened_us),
            busy_us: self.busy_us,
            statements: self.statements,
            transactions: self.transactions,
            driver: self.driver,
            who: self.who(labels),
        }
    }

    fn named(&self, row: SessionRow, labels: &Labels) -> SessionRow {
        SessionRow {
            database: labels.database_name(self.database),
            service: labels.service_name(self.service),
            user: self.user.clone(),
            application_name: self.application_name.clone(),
            client: self.client.clone(),
            driver: self.driver,
            statements: self.statements,
            ..row
        }
    }

    /// Equal for sessions of the same client: same address, same user, same application name.
    pub(crate) fn key_of_client(&self) -> u64 {
        let mut hash = crate::text::StableHash::new(CLIENT_DOMAIN);
        hash.word(self.address_hash);
        hash.bytes(self.user.as_bytes());
        hash.bytes(self.application_name.as_bytes());
        hash.finish()
    }
}

/// All sessions with state, and one that stands for the rest.
#[derive(Debug)]
pub(crate) struct Sessions {
    known: Map<SessionId, Session>,
    rest: Session,
    max: usize,
    /// Sessions opened since start.
    pub(crate) seen: u64,
    /// Sessions that went opaque since start.
    pub(crate) opaque: u64,
}

impl Sessions {
    pub(crate) fn new(max: usize) -> Self {
        let user = Arc::from(crate::labels::OTHER);
        let rest = Session {
            stands_for_many: true,
            ..Session::new(DatabaseId::default(), ServiceId::default(), user)
        };
        Self { known: Map::default(), rest, max, seen: 0, opaque: 0 }
    }

    /// Admits a session; returns the one that had to go for it, if any.
    pub(crate) fn open(&mut self, id: SessionId, session: Session) -> Option<(SessionId, Session)> {
        self.seen += 1;
        let mut evicted = None;
        if self.known.len() >= self.max && !self.known.contains_key(&id) {
            let now = session.last_us;
            let idle =
                |other: &Session| now.saturating_sub(other.last_us) >= IDLE_BEFORE_EVICTION_US;
            let victim = self
                .known
                .iter()
                .filter(|(_, other)| idle(other))
                .min_by_key(|(other_id, other)| (other.last_us, **other_id))
                .map(|(other_id, _)| *other_id)?;
            evicted = self.known.remove(&victim).map(|gone| (victim, gone));
        }
        self.known.insert(id, session);
        evicted
    }

    /// Forgets a session.
    pub(crate) fn close(&mut self, id: SessionId, opaque: bool) -> Option<Session> {
        self.opaque += u64::from(opaque);
        self.known.remove(&id)
    }

    /// The session, or the one that stands for all sessions without state.
    pub(crate) fn of(&mut self, id: SessionId) -> &mut Session {
        match self.known.get_mut(&id) {
            Some(session) => session,
            None => {
                // It stands for many sessions at once, so nothing in it may go on from record to record.
                self.rest.unit = None;
                self.rest.batch = None;
                &mut self.rest
            }
        }
    }

    /// The session, if it has state.
    pub(crate) fn known(&mut self, id: SessionId) -> Option<&mut Session> {
        self.known.get_mut(&id)
    }

    /// Sessions with state.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Open sessions for the snapshot: at work or inside a transaction and longest so first, then the latest used.
    pub(crate) fn rows(&self, now: Micros, labels: &Labels) -> Vec<SessionRow> {
        let mut rows: Vec<(SessionRow, &Session)> = self
            .known
            .iter()
            .map(|(id, session)| (session.presence.row(*id, session.last_us, now), session))
            .collect();
        let age = |row: &SessionRow| match row.state {
            SessionState::Idle => u64::MAX - row.state_since_us,
            _ => row.state_since_us,
        };
        rows.sort_unstable_by_key(|(row, _)| (row.state, age(row), row.id));
        rows.truncate(SESSIONS_SHOWN_MAX);
        rows.into_iter().map(|(row, session)| session.named(row, labels)).collect()
    }

    /// Sessions in ascending order of their ids.
    pub(crate) fn sorted_ids(&self) -> Vec<SessionId> {
        let mut ids: Vec<_> = self.known.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(last_us: Micros) -> Session {
        Session { last_us, ..Session::new(DatabaseId(1), ServiceId(1), Arc::from("app")) }
    }

    #[test]
    fn a_floor_forgets_after_two_slots() {
        let mut floor = Floor::default();
        assert_eq!(floor.at(0), None);
        floor.record(10, 300);
        floor.record(20, 200);
        floor.record(FLOOR_SLOT_US, 250);
        for (now, expected) in
            [(FLOOR_SLOT_US, Some(200)), (2 * FLOOR_SLOT_US, Some(250)), (3 * FLOOR_SLOT_US, None)]
        {
            assert_eq!(floor.at(now), expected, "{now}");
        }
        floor.record(9 * FLOOR_SLOT_US, 900);
        assert_eq!(floor.at(9 * FLOOR_SLOT_US), Some(900));
    }

    #[test]
    fn a_baseline_is_the_median_of_the_latest() {
        let mut baseline = Baseline::default();
        assert_eq!(baseline.median_us(), None);
        [100, 300, 200].into_iter().for_each(|us| baseline.record(us));
        assert_eq!(baseline.median_us(), Some(200));
        (0..BASELINE_SAMPLES_MAX).for_each(|_| baseline.record(7));
        assert_eq!(baseline.median_us(), Some(7));
    }

    #[test]
    fn beyond_the_limit_only_an_idle_session_makes_room() {
        let mut sessions = Sessions::new(2);
        assert!(sessions.open(SessionId(1), session(0)).is_none());
        assert!(sessions.open(SessionId(2), session(5)).is_none());
        assert!(sessions.open(SessionId(3), session(IDLE_BEFORE_EVICTION_US - 1)).is_none());
        assert!(sessions.known(SessionId(3)).is_none());
        let gone = sessions.open(SessionId(4), session(IDLE_BEFORE_EVICTION_US));
        assert_eq!(gone.map(|(id, _)| id), Some(SessionId(1)));
        assert_eq!(sessions.sorted_ids(), [SessionId(2), SessionId(4)]);
        assert_eq!(sessions.seen, 4);
    }
}

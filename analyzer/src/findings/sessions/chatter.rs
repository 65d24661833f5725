//! `tx_chatter`: transaction control around single reads. `ping_overhead`: what a pool asks between two uses.
//!
//! Both count round trips, not statements: a BEGIN that travels with its read costs nothing.

use super::super::cost::OccurrenceCost;
use super::super::register::Sighting;
use super::{About, Context, Detector, Said};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Severity};
use crate::flow::Sender;
use crate::labels::{DatabaseId, ServiceId};
use crate::limits::SessionLimits;
use crate::record::{Micros, SessionId, Tag, Timing, TransactionRecord};
use crate::seen::Seen;
use crate::snapshot::Operation;
use crate::text::Class;
use std::mem::take;
use std::sync::Arc;

/// (database, service, route) sums held; more are counted without a route, then not at all.
const SUMS_MAX: usize = 512;

/// Pings and resets around one use of a connection. Where there are more, the connection is idle: nobody waits.
const PINGS_PER_USE_MAX: u64 = 3;

/// What a round trip was for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Purpose {
    /// The application's own statements.
    #[default]
    Work,
    /// Control of another kind: SET, SHOW, SAVEPOINT.
    Other,
    /// A word of transaction control: BEGIN, COMMIT, ROLLBACK.
    Transaction(usize),
    /// A ping or a reset: `SELECT 1`, the empty query, RESET and its kin.
    Ping(usize),
}

const TRANSACTION_WORDS: [&str; 3] = ["begin", "commit", "rollback"];
const PING_WORDS: [&str; 3] = ["select_1", "empty_query", "reset"];

/// The round trip that a session is in.
#[derive(Clone, Copy, Debug, Default)]
struct RoundTrip {
    number: u32,
    purpose: Purpose,
    us: u64,
}

/// A transaction in progress.
#[derive(Debug, Default)]
struct Block {
    words: [u64; 3],
    words_us: u64,
    reads: u64,
    /// Something that needs its transaction, or does more than read.
    works: bool,
}

#[derive(Debug, Default)]
struct Talk {
    now: Option<RoundTrip>,
    block: Block,
    sender: Sender,
    rtt_us: Option<u64>,
    /// Round trips since the last tick, or since somebody else talked: for both kinds.
    pings: Counts,
    chatter: Counts,
}

/// Round trips, and those of them that were for words alone.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    round_trips: u64,
    us: u64,
    words: [u64; 3],
    words_us: u64,
}

/// Round trips of one (database, service, route), or of one (database, service).
#[derive(Debug, Default)]
struct Sum {
    counts: Counts,
    sender: Sender,
    rtt_us: Option<u64>,
}

type Place = (Kind, DatabaseId, ServiceId, Option<Arc<str>>);

/// Counts round trips by what they are for.
#[derive(Debug)]
pub(super) struct Chatter {
    limits: SessionLimits,
    talks: Map<SessionId, (DatabaseId, Talk)>,
    sums: Map<Place, Sum>,
}

impl Chatter {
    pub(super) fn new(limits: &SessionLimits) -> Self {
        Self { limits: limits.clone(), talks: Map::default(), sums: Map::default() }
    }

    /// Brings the sums up to date. In the order of sessions, so that the same stream names the same sender.
    fn hand_over(&mut self) {
        let news = |(id, (_, talk)): (&SessionId, &(DatabaseId, Talk))| {
            (talk.pings.round_trips > 0).then_some(*id)
        };
        let mut sessions: Vec<SessionId> = self.talks.iter().filter_map(news).collect();
        sessions.sort_unstable();
        for session in sessions {
            if let Some((database, talk)) = self.talks.get_mut(&session) {
                talk.hand_over(*database, &mut self.sums);
            }
        }
    }

    /// A transaction of the session ended, and the round trip in progress with it.
    fn end_block(&mut self, session: SessionId) {
        let Some((database, talk)) = self.talks.get_mut(&session) else { return };
        talk.end_trip();
        let block = take(&mut talk.block);
        let place = (Kind::TxChatter, *database, talk.sender.service, talk.sender.route.clone());
        sum_of(&mut self.sums, place).counts.end_block(&block);
    }
}

/// The sum of a place; without room for its route, that of the service, and at last one that nobody reads.
fn sum_of(sums: &mut Map<Place, Sum>, place: Place) -> &mut Sum {
    let full = sums.len() >= SUMS_MAX && !sums.contains_key(&place);
    let place = match place {
        (kind, database, service, Some(_)) if full => (kind, database, service, None),
        place => place,
    };
    let full = sums.len() >= 2 * SUMS_MAX && !sums.contains_key(&place);
    let nobody = (Kind::TxChatter, DatabaseId::default(), ServiceId::default(), None);
    sums.entry(if full { nobody } else { place }).or_default()
}

impl Counts {
    fn count(&mut self, word: usize, times: u64, us: u64) {
        self.words[word] += times;
        self.words_us += us;
    }

    fn add(&mut self, more: &Self) {
        self.round_trips += more.round_trips;
        self.us += more.us;
        self.words.iter_mut().zip(more.words).for_each(|(word, times)| *word += times);
        self.words_us += more.words_us;
    }

    /// Control around a single read, or around nothing, was of no use.
    fn end_block(&mut self, block: &Block) {
        self.round_trips += block.words.iter().sum::<u64>();
        self.us += block.words_us;
        if block.reads <= 1 && !block.works {
            for (word, times) in block.words.iter().enumerate() {
                self.count(word, *times, 0);
            }
            self.words_us += block.words_us;
        }
    }
}

impl Sum {
    fn add(&mut self, counts: &Counts, talk: &Talk) {
        if self.counts.round_trips == 0 {
            self.sender = talk.sender.clone();
        }
        self.rtt_us = talk.rtt_us.or(self.rtt_us);
        self.counts.add(counts);
    }

    fn is_chatter(&self, limits: &SessionLimits) -> bool {
        let words: u64 = self.counts.words.iter().sum();
        words as f64 >= limits.chatter_share_min_ratio * self.counts.round_trips as f64
    }

    fn report(
        &self,
        (kind, database, ..): &Place,
        now: Micros,
        limits: &SessionLimits,
        context: &mut Context<'_>,
    ) {
        let words: u64 = self.counts.words.iter().sum();
        let time_share = self.counts.words_us as f64 / self.counts.us.max(1) as f64;
        let used = *kind != Kind::PingOverhead
            || words <= PINGS_PER_USE_MAX * self.counts.round_trips.saturating_sub(words);
        let heavy = used && time_share >= limits.chatter_warning_time_min_ratio;
        let said = Said {
            kind: *kind,
            database: *database,
            about: About::Service,
            sender: &self.sender,
            severity_own: Some(if heavy { Severity::Warning } else { Severity::Info }),
            sentence: self.sentence(*kind, words, time_share),
            evidence: self.evidence(*kind, words, time_share),
        };
        let low_us = (words * self.rtt_us.unwrap_or(0)).min(self.counts.words_us);
        let cost = OccurrenceCost {
            saved_low_us: low_us,
            saved_high_us: self.counts.words_us,
            rtt_us: self.rtt_us,
            busy_us: self.counts.words_us,
            round_trips: words,
            ..OccurrenceCost::default()
        };
        let claim = said.claim(context);
        let route = self.sender.route.clone();
        let sighting =
            Sighting { at_us: now, times: 1, n: Some(words), cost, route, ..Sighting::default() };
        context.register.sighting(claim, sighting);
    }

    fn sentence(&self, kind: Kind, words: u64, time_share: f64) -> String {
        let (what, percent) = match kind {
            Kind::TxChatter => ("began or ended a transaction around at most one read", time_share),
            _ => ("only asked whether the connection was there, or reset it", time_share),
        };
        format!(
            "Of {} round trips {words} {what}: {:.0} % of the time.",
            self.counts.round_trips,
            percent * 100.0,
        )
    }

    fn evidence(
        &self,
        kind: Kind,
        words: u64,
        time_share: f64,
    ) -> Vec<(&'static str, EvidenceValue)> {
        let names = if kind == Kind::TxChatter { TRANSACTION_WORDS } else { PING_WORDS };
        let share = words as f64 / self.counts.round_trips.max(1) as f64;
        let mut evidence = vec![
            ("round_trips", EvidenceValue::Count(self.counts.round_trips)),
            ("share", EvidenceValue::Number(share)),
            ("time_share", EvidenceValue::Number(time_share)),
        ];
        let counts = names.into_iter().zip(self.counts.words);
        evidence.extend(counts.map(|(name, count)| (name, EvidenceValue::Count(count))));
        evidence
    }
}

impl Detector for Chatter {
    fn statement(&mut self, seen: &Seen<'_>, _context: &mut Context<'_>) {
        if seen.is_part() {
            return;
        }
        let record = seen.record;
        let (database, talk) =
            self.talks.entry(record.session).or_insert_with(|| (seen.database, Talk::default()));
        if talk.now.is_some_and(|trip| trip.number != record.round_trip) {
            talk.end_trip();
        }
        let purpose = purpose_of(seen);
        if purpose == Purpose::Work && talk.is_other_sender(seen) {
            talk.hand_over(*database, &mut self.sums);
        }
        talk.rtt_us = seen.rtt_us.or(talk.rtt_us);
        talk.see(seen, purpose);
        let number = record.round_trip;
        let trip = talk.now.get_or_insert(RoundTrip { number, purpose, us: 0 });
        trip.us += record.duration_us();
        if purpose == Purpose::Work {
            trip.purpose = purpose;
        }
    }

    fn transaction(&mut self, record: &TransactionRecord, _context: &mut Context<'_>) {
        self.end_block(record.session);
    }

    fn closed(&mut self, session: SessionId, _at_us: Micros, _context: &mut Context<'_>) {
        if let Some((database, mut talk)) = self.talks.remove(&session) {
            talk.end_trip();
            talk.hand_over(database, &mut self.sums);
        }
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        self.hand_over();
        let full = |sum: &Sum| sum.counts.round_trips >= self.limits.chatter_round_trips_min;
        let ripe = |(place, sum): (&Place, &Sum)| full(sum).then(|| place.clone());
        let mut ripe: Vec<Place> = self.sums.iter().filter_map(ripe).collect();
        ripe.sort_unstable();
        for place in ripe {
            if let Some(sum) = self.sums.remove(&place).filter(|sum| sum.is_chatter(&self.limits)) {
                sum.report(&place, now, &self.limits, context);
            }
        }
    }
}

impl Talk {
    /// Counts the round trip in progress, if there is one.
    fn end_trip(&mut self) {
        let Some(trip) = self.now.take() else { return };
        self.pings.round_trips += 1;
        self.pings.us += trip.us;
        match trip.purpose {
            Purpose::Ping(word) => self.pings.count(word, 1, trip.us),
            Purpose::Transaction(word) => {
                self.block.words[word] += 1;
                self.block.words_us += trip.us;
            }
            Purpose::Work => {
                self.chatter.round_trips += 1;
                self.chatter.us += trip.us;
            }
            Purpose::Other => {}
        }
    }

    /// Whether the statement is work of another service or route than what was counted so far.
    fn is_other_sender(&self, seen: &Seen<'_>) -> bool {
        self.sender.service != seen.service || self.sender.route.as_ref() != seen.route
    }

    /// Adds what was counted to the sums of the sender.
    fn hand_over(&mut self, database: DatabaseId, sums: &mut Map<Place, Sum>) {
        let service = self.sender.service;
        let (pings, chatter) = (take(&mut self.pings), take(&mut self.chatter));
        if pings.round_trips > 0 {
            sum_of(sums, (Kind::PingOverhead, database, service, None)).add(&pings, self);
        }
        if chatter.round_trips > 0 {
            let route = self.sender.route.clone();
            sum_of(sums, (Kind::TxChatter, database, service, route)).add(&chatter, self);
        }
    }

    /// Learns who talks, and what the transaction does.
    fn see(&mut self, seen: &Seen<'_>, purpose: Purpose) {
        if self.sender.application_name.is_none() {
            self.sender = Sender::of(seen);
        }
        if purpose == Purpose::Work {
            self.block.reads += u64::from(seen.statement.class == Class::Read);
            let locking = seen.statement.facts.as_ref().is_some_and(|facts| facts.locking);
            self.block.works |=
                locking || !matches!(seen.statement.class, Class::Read | Class::Catalogue);
            if self.sender.route.as_ref() != seen.route || self.sender.service != seen.service {
                self.sender = Sender::of(seen);
            }
        } else if purpose == Purpose::Other && seen.record.transaction != 0 {
            // SET LOCAL, SAVEPOINT: somebody means his transaction.
            self.block.works = true;
        }
    }
}

fn purpose_of(seen: &Seen<'_>) -> Purpose {
    if seen.record.timing == Timing::Empty {
        return Purpose::Ping(1);
    }
    if seen.statement.class != Class::Control {
        return Purpose::Work;
    }
    match seen.record.tag {
        Tag::Begin => return Purpose::Transaction(0),
        Tag::Commit => return Purpose::Transaction(1),
        Tag::Rollback if !seen.statement.starts_with("ROLLBACK TO") => {
            return Purpose::Transaction(2);
        }
        _ => {}
    }
    let is = |words: &[&str]| words.iter().any(|words| seen.statement.starts_with(words));
    if is(&[
        "SELECT pg_advisory_unlock_all",
        "RESET",
        "DISCARD",
        "UNLISTEN",
        "CLOSE ALL",
        "DEALLOCATE ALL",
    ]) {
        Purpose::Ping(2)
    } else if seen.statement.operation == Operation::Select
        && seen.statement.words.len() <= "SELECT $1;".len()
    {
        Purpose::Ping(0)
    } else {
        Purpose::Other
    }
}

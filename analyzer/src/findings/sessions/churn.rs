//! `connection_churn`: one client that opens many sessions and sends little over each.

use super::super::cost::OccurrenceCost;
use super::super::register::{Claim, Sighting};
use super::super::samples::Samples;
use super::{About, Context, Detector, Said};
use crate::Map;
use crate::finding::{EvidenceValue, Kind};
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::limits::SessionLimits;
use crate::record::{Micros, SessionId};
use crate::seen::Seen;
use crate::sessions::Session;
use crate::snapshot::Operation;
use crate::text::Class;
use std::sync::Arc;

/// Clients told apart; the one that was quiet for longest goes first.
const CLIENTS_MAX: usize = 256;
const MINUTE_US: u64 = 60_000_000;
/// Parts that the latest minute is counted in.
const SLICES: usize = 6;
const SLICE_US: u64 = MINUTE_US / SLICES as u64;

/// Who connects: database, address, raw application name, hash of the address (also where it is hidden).
type Who = (DatabaseId, Arc<str>, Arc<str>, u64);

/// One session in progress.
#[derive(Debug)]
struct Life {
    who: Who,
    statements: u64,
    introspection: u64,
    introspection_us: u64,
}

/// Sessions of one client in a part of a minute.
#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    opened: u64,
    closed: u64,
}

/// The latest minute of one client; medians are those of its latest sessions.
#[derive(Debug, Default)]
struct Client {
    /// Number of the newest slice since the epoch.
    newest: u64,
    slices: [Slice; SLICES],
    /// Sessions opened since the last claim.
    untold: u64,
    setup_us: Samples,
    statements: Samples,
    introspection: Samples,
    introspection_us: Samples,
    sender: Sender,
}

/// Counts sessions by client.
#[derive(Debug)]
pub(super) struct Churn {
    limits: SessionLimits,
    clients: Map<Who, Client>,
    lives: Map<SessionId, Life>,
}

impl Churn {
    pub(super) fn new(limits: &SessionLimits) -> Self {
        Self { limits: limits.clone(), clients: Map::default(), lives: Map::default() }
    }

    /// The client in its minute up to `now`; what leaves the minute is judged before.
    fn client(&mut self, who: &Who, now: Micros, context: &mut Context<'_>) -> &mut Client {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(who) {
            let quiet = |(who, client): (&Who, &Client)| (client.newest, who.clone());
            if let Some((_, oldest)) = self.clients.iter().map(quiet).min() {
                self.clients.remove(&oldest);
            }
        }
        let client = self.clients.entry(who.clone()).or_default();
        if client.newest < now / SLICE_US {
            client.judge(who, now, &self.limits, context);
            client.roll(now);
        }
        client
    }
}

impl Detector for Churn {
    fn opened(&mut self, id: SessionId, session: &Session, context: &mut Context<'_>) {
        let (client, name) = (session.client.clone(), session.application_name.clone());
        let who = (session.database, client, name, session.address_hash);
        let client = self.client(&who, session.last_us, context);
        client.slice().opened += 1;
        client.untold += 1;
        client.setup_us.push(session.setup_us as f64);
        client.sender.service = session.service;
        client.sender.application_name = Some(session.application_name.clone());
        let life = Life { who, statements: 0, introspection: 0, introspection_us: 0 };
        self.lives.insert(id, life);
    }

    fn statement(&mut self, seen: &Seen<'_>, _context: &mut Context<'_>) {
        let Some(life) = self.lives.get_mut(&seen.record.session) else { return };
        match (seen.statement.class, seen.statement.operation) {
            _ if seen.is_part() => {}
            (Class::Control, Operation::Transaction) => {}
            (Class::Control | Class::Catalogue, _) => {
                life.introspection += 1;
                life.introspection_us += seen.record.duration_us();
            }
            _ => {
                life.statements += 1;
                if life.statements == 1
                    && let Some(client) = self.clients.get_mut(&life.who)
                {
                    client.sender = Sender::of(seen);
                }
            }
        }
    }

    fn closed(&mut self, session: SessionId, at_us: Micros, context: &mut Context<'_>) {
        let Some(life) = self.lives.remove(&session) else { return };
        let client = self.client(&life.who, at_us, context);
        client.slice().closed += 1;
        client.statements.push(life.statements as f64);
        client.introspection.push(life.introspection as f64);
        client.introspection_us.push(life.introspection_us as f64);
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let mut all: Vec<Who> = self.clients.keys().cloned().collect();
        all.sort_unstable();
        for who in all {
            let Some(client) = self.clients.get_mut(&who) else { continue };
            client.judge(&who, now, &self.limits, context);
            client.roll(now);
            if client.counted(|slice| slice.opened + slice.closed) == 0 {
                self.clients.remove(&who);
            }
        }
    }
}

impl Client {
    fn slice(&mut self) -> &mut Slice {
        &mut self.slices[self.newest as usize % SLICES]
    }

    fn counted(&self, count: impl Fn(&Slice) -> u64) -> u64 {
        self.slices.iter().map(count).sum()
    }

    /// Forgets what is older than a minute at `now`.
    fn roll(&mut self, now: Micros) {
        let newest = now / SLICE_US;
        let oldest = (newest + 1).saturating_sub(SLICES as u64);
        for slice in oldest.max(self.newest + 1)..=newest {
            self.slices[slice as usize % SLICES] = Slice::default();
        }
        self.newest = self.newest.max(newest);
    }

    /// Many sessions opened within a minute, and most of as many closed after few statements.
    fn judge(&mut self, who: &Who, now: Micros, limits: &SessionLimits, context: &mut Context<'_>) {
        let Some(statements) = self.statements.median_count() else { return };
        let opened = self.counted(|slice| slice.opened);
        let closed = self.counted(|slice| slice.closed);
        let many = opened >= limits.churn_connects_per_min_min;
        let short = statements <= limits.churn_statements_median_max;
        if self.untold == 0 || !many || !short || closed * 2 < opened {
            return;
        }
        let claim = self.claim(who, opened, statements, context);
        let times = self.untold.min(opened);
        self.untold = 0;
        let each_us = self.each_us();
        let cost = OccurrenceCost {
            saved_low_us: each_us,
            saved_high_us: each_us,
            busy_us: each_us * times,
            ..OccurrenceCost::default()
        };
        let sighting = Sighting {
            at_us: now,
            times,
            cost,
            route: self.sender.route.clone(),
            wall_us: MINUTE_US,
            ..Sighting::default()
        };
        context.register.sighting(claim, sighting);
    }

    /// What a session costs before its first statement of use: set-up and questions.
    fn each_us(&self) -> u64 {
        median(&self.setup_us) + median(&self.introspection_us)
    }

    fn claim(&self, who: &Who, opened: u64, statements: u64, context: &Context<'_>) -> Claim {
        let (setup_us, asked_us) = (median(&self.setup_us), median(&self.introspection_us));
        let said = Said {
            kind: Kind::ConnectionChurn,
            database: who.0,
            about: About::Service,
            sender: &self.sender,
            severity_own: None,
            sentence: sentence(&who.1, opened, statements, setup_us, asked_us),
            evidence: vec![
                ("connects_per_min", EvidenceValue::Count(opened)),
                ("statements_median", EvidenceValue::Count(statements)),
                ("setup_p50_ms", EvidenceValue::Number(setup_us as f64 / 1e3)),
                ("introspection_statements", EvidenceValue::Count(median(&self.introspection))),
                ("introspection_p50_ms", EvidenceValue::Number(asked_us as f64 / 1e3)),
                ("client", EvidenceValue::Text(who.1.clone())),
            ],
        };
        said.claim(context)
    }
}

fn median(samples: &Samples) -> u64 {
    samples.median_count().unwrap_or(0)
}

fn sentence(client: &str, opened: u64, statements: u64, setup_us: u64, asked_us: u64) -> String {
    let from = match client {
        "" => "One client".to_owned(),
        "local" => "The client on the same machine".to_owned(),
        address => format!("The client {address}"),
    };
    format!(
        "{from} opened {opened} sessions in one minute, half of which sent at most {statements} statements: each cost \
         {:.1} ms to set up and {:.1} ms of questions about the server.",
        setup_us as f64 / 1e3,
        asked_us as f64 / 1e3,
    )
}

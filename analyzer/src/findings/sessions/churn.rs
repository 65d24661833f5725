//! `connection_churn`: one client that opens many sessions and sends little over each.

use super::super::cost::OccurrenceCost;
use super::super::register::Sighting;
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

/// Who connects: database, address, raw application name.
type Who = (DatabaseId, Arc<str>, Arc<str>);

/// One session in progress.
#[derive(Debug)]
struct Life {
    who: Who,
    statements: u64,
    introspection: u64,
    introspection_us: u64,
}

/// The present minute of one client.
#[derive(Debug, Default)]
struct Client {
    minute: u64,
    opened: u64,
    closed: u64,
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

    /// The client in its minute at `now`; the minute before is judged.
    fn client(&mut self, who: &Who, now: Micros, context: &mut Context<'_>) -> &mut Client {
        if self.clients.len() >= CLIENTS_MAX && !self.clients.contains_key(who) {
            let quiet = |(who, client): (&Who, &Client)| (client.minute, who.clone());
            if let Some((_, oldest)) = self.clients.iter().map(quiet).min() {
                self.clients.remove(&oldest);
            }
        }
        let client = self.clients.entry(who.clone()).or_default();
        let minute = now / MINUTE_US;
        if client.minute < minute {
            client.judge(who, &self.limits, context);
            *client = Client { minute, sender: client.sender.clone(), ..Client::default() };
        }
        client
    }
}

impl Detector for Churn {
    fn opened(&mut self, id: SessionId, session: &Session, context: &mut Context<'_>) {
        let who = (session.database, session.client.clone(), session.application_name.clone());
        let client = self.client(&who, session.last_us, context);
        client.opened += 1;
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
        client.closed += 1;
        client.statements.push(life.statements as f64);
        client.introspection.push(life.introspection as f64);
        client.introspection_us.push(life.introspection_us as f64);
    }

    fn tick(&mut self, now: Micros, context: &mut Context<'_>) {
        let over = |client: &Client| client.minute < now / MINUTE_US;
        let mut quiet: Vec<Who> = self
            .clients
            .iter()
            .filter(|(_, client)| over(client))
            .map(|(who, _)| who.clone())
            .collect();
        quiet.sort_unstable();
        for who in quiet {
            if let Some(mut client) = self.clients.remove(&who) {
                client.judge(&who, &self.limits, context);
            }
        }
    }
}

impl Client {
    /// Many sessions opened in the minute, and most of as many closed after few statements.
    fn judge(&mut self, who: &Who, limits: &SessionLimits, context: &mut Context<'_>) {
        let Some(statements) = self.statements.median_count() else { return };
        let many = self.opened >= limits.churn_connects_per_min_min;
        let short = statements <= limits.churn_statements_median_max;
        if !many || !short || self.closed * 2 < self.opened {
            return;
        }
        let median = |samples: &Samples| samples.median_count().unwrap_or(0);
        let (setup_us, asked_us) = (median(&self.setup_us), median(&self.introspection_us));
        let said = Said {
            kind: Kind::ConnectionChurn,
            database: who.0,
            about: About::Service,
            sender: &self.sender,
            severity_own: None,
            sentence: self.sentence(&who.1, statements, setup_us, asked_us),
            evidence: vec![
                ("connects_per_min", EvidenceValue::Count(self.opened)),
                ("statements_median", EvidenceValue::Count(statements)),
                ("setup_p50_ms", EvidenceValue::Number(setup_us as f64 / 1e3)),
                ("introspection_statements", EvidenceValue::Count(median(&self.introspection))),
                ("introspection_p50_ms", EvidenceValue::Number(asked_us as f64 / 1e3)),
                ("client", EvidenceValue::Text(who.1.clone())),
            ],
        };
        let each_us = setup_us + asked_us;
        let cost = OccurrenceCost {
            saved_low_us: each_us,
            saved_high_us: each_us,
            busy_us: each_us * self.opened,
            ..OccurrenceCost::default()
        };
        let at_us = (self.minute + 1) * MINUTE_US;
        let claim = said.claim(context);
        let sighting = Sighting {
            at_us,
            times: self.opened,
            cost,
            route: self.sender.route.clone(),
            wall_us: MINUTE_US,
            ..Sighting::default()
        };
        context.register.sighting(claim, sighting);
    }

    fn sentence(&self, client: &str, statements: u64, setup_us: u64, asked_us: u64) -> String {
        let from = match client {
            "" => "One client".to_owned(),
            "local" => "The client on the same machine".to_owned(),
            address => format!("The client {address}"),
        };
        format!(
            "{from} opened {} sessions in one minute, half of which sent at most {statements} statements: each cost \
             {:.1} ms to set up and {:.1} ms of questions about the server.",
            self.opened,
            setup_us as f64 / 1e3,
            asked_us as f64 / 1e3,
        )
    }
}

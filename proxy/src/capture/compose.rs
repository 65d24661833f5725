//! From what was heard to lines: the one place where events get their spelling.

use super::finding_line;
use super::finding_watch::FindingWatch;
use super::hub::News;
use super::kinds::Kinds;
use super::words::{
    self, driver_words, is_suspended, outcome, prepare, protocol, sqlstate, tag, timing,
    transaction_outcome,
};
use crate::export::shapes::as_sent::AsSentFields;
use crate::export::shapes::lines::{
    CaptureLine, ConnectionLine, DigestLine, EndLine, GapLine, Head, SCHEMA, StatementLine,
    TrafficLine, TransactionLine, WhoFields, append, id_text,
};
use crate::filter::{Filter, Subject};
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::events::{Executed, Heard, StatementEvent, TransactionEvent, Who};
use pgsonde_analyzer::record::{Outcome, TrafficRecord, TransactionOutcome};
use pgsonde_analyzer::snapshot::Snapshot;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Digests whose text is remembered, to be told again in the next file; then all are forgotten.
const DIGESTS_MAX: usize = 10_000;
/// Tables of a digest line.
const TABLES_MAX: usize = 64;
/// Bytes of a text that didn't fit into a line.
const SHORT_TEXT_BYTES: usize = 1_024;

/// What is the same in every line and file of one proxy.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) proxy_id: Arc<str>,
    /// Unix microseconds at microsecond 0 of the records.
    pub(crate) started_us: u64,
    /// Pause that ends a unit of work.
    pub(crate) unit_gap_us: u64,
    /// What was kept of texts, values and names.
    pub(crate) redaction: Redaction,
}

impl Identity {
    pub(crate) fn new(proxy_id: Arc<str>, started: SystemTime, unit_gap_us: u64) -> Self {
        let since = started.duration_since(UNIX_EPOCH).unwrap_or_default();
        let started_us = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
        Self { proxy_id, started_us, unit_gap_us, redaction: Redaction::default() }
    }

    pub(crate) fn unix_us(&self, at_us: u64) -> u64 {
        self.started_us.saturating_add(at_us)
    }
}

/// Makes lines of one file, or of one stream.
pub(crate) struct Composer {
    identity: Identity,
    kinds: Kinds,
    filter: Filter,
    /// Share of the units that are kept, in parts per million.
    sample_millionths: u64,
    texts: HashMap<u64, Executed>,
    told: HashSet<u64>,
    pub(crate) findings: FindingWatch,
    pub(crate) statements: u64,
    ticks: bool,
    /// Something was told since the last tick.
    active: bool,
}

impl Composer {
    pub(crate) fn new(identity: Identity, kinds: Kinds) -> Self {
        Self {
            identity,
            kinds,
            filter: Filter::default(),
            sample_millionths: 1_000_000,
            texts: HashMap::new(),
            told: HashSet::new(),
            findings: FindingWatch::default(),
            statements: 0,
            ticks: false,
            active: false,
        }
    }

    /// For files: with what a reader needs to come to the same figures.
    pub(crate) fn for_replay(self) -> Self {
        Self { ticks: true, ..self }
    }

    pub(crate) fn sampling(self, sample_millionths: u64) -> Self {
        Self { sample_millionths, ..self }
    }

    pub(crate) fn filtering(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The next line belongs to a new file, or the earlier ones never reached a reader.
    pub(crate) fn begin_anew(&mut self) {
        self.told.clear();
        self.findings = FindingWatch::default();
        self.statements = 0;
    }

    /// First line of a file.
    pub(crate) fn capture(&self, now_us: u64, host: Option<&str>, out: &mut Vec<u8>) {
        append(
            out,
            &CaptureLine {
                ev: "capture".into(),
                proxy_id: (&*self.identity.proxy_id).into(),
                ts_us: self.identity.unix_us(now_us),
                schema: SCHEMA,
                hash_version: crate::export::shapes::HASH_VERSION,
                version: env!("CARGO_PKG_VERSION").into(),
                redact: self.identity.redaction.name().into(),
                sample: self.sample_millionths as f64 / 1e6,
                started_us: self.identity.started_us,
                host: host
                    .filter(|_| self.identity.redaction != Redaction::AllText)
                    .map(Cow::Borrowed),
                unit_gap_us: self.identity.unit_gap_us,
                events: self.kinds.names(),
            },
        );
    }

    /// Last line of a file.
    pub(crate) fn end(&self, now_us: u64, out: &mut Vec<u8>) {
        append(
            out,
            &EndLine {
                ev: "end".into(),
                proxy_id: (&*self.identity.proxy_id).into(),
                ts_us: self.identity.unix_us(now_us),
                statements: self.statements,
            },
        );
    }

    /// A line that says nothing, so that a quiet stream isn't taken for a dead one.
    pub(crate) fn alive(&self, now_us: u64, out: &mut Vec<u8>) {
        let ts_us = self.identity.unix_us(now_us);
        append(
            out,
            &Head { ev: "alive".into(), proxy_id: (&*self.identity.proxy_id).into(), ts_us },
        );
    }

    /// When the analyzer closed what had gone quiet: a reader does it at the same moments. One after each activity is
    /// enough, because later ones find nothing.
    fn tick(&mut self, now_us: u64, out: &mut Vec<u8>) {
        if self.ticks && std::mem::take(&mut self.active) {
            let ts_us = self.identity.unix_us(now_us);
            append(
                out,
                &Head { ev: "tick".into(), proxy_id: (&*self.identity.proxy_id).into(), ts_us },
            );
        }
    }

    /// Events that are missing between two moments.
    pub(crate) fn gap(&self, from_to_us: [u64; 2], dropped: u64, reason: &str, out: &mut Vec<u8>) {
        append(
            out,
            &GapLine {
                ev: "gap".into(),
                proxy_id: (&*self.identity.proxy_id).into(),
                ts_us: self.identity.unix_us(from_to_us[0]),
                until_us: self.identity.unix_us(from_to_us[1]),
                dropped,
                reason: reason.into(),
            },
        );
    }

    /// What one piece of news says, in lines; `admit` is asked before each statement.
    pub(crate) fn news(
        &mut self,
        news: &News,
        now_us: u64,
        mut admit: impl FnMut() -> bool,
        out: &mut Vec<u8>,
    ) {
        match news {
            News::Heard(events) => {
                self.active = true;
                for event in events.iter() {
                    self.heard(event, now_us, &mut admit, out);
                }
            }
            News::Snapshot(snapshot) => {
                self.snapshot(snapshot, false, out);
                self.tick(snapshot.at_us, out);
            }
            News::Refused(refused) if self.kinds.connection => {
                let line = ConnectionLine {
                    state: "refused".into(),
                    end_reason: Some(refused.reason.into()),
                    ..self.connection(refused.at_us, 0, &refused.who)
                };
                self.put_connection(&line, out);
            }
            News::Refused(_) => {}
            News::Lost { events, reason } => {
                self.gap([now_us, now_us], *events, reason, out);
            }
        }
    }

    /// Whether what belongs to a unit is written.
    fn wants<'e>(
        &self,
        kind: bool,
        unit_id: Option<u64>,
        subject: impl FnOnce() -> Subject<'e>,
    ) -> bool {
        kind && self.is_sampled(unit_id) && self.filter.holds(&subject())
    }

    fn heard(
        &mut self,
        event: &Heard,
        now_us: u64,
        admit: &mut dyn FnMut() -> bool,
        out: &mut Vec<u8>,
    ) {
        match event {
            Heard::Statement(event)
                if self.wants(self.kinds.statement, event.unit_id, || subject(event))
                    && admit() =>
            {
                self.statement(event, out);
            }
            Heard::Transaction(event)
                if self.wants(self.kinds.transaction, event.unit_id, || {
                    transaction_subject(event)
                }) =>
            {
                self.transaction(event, out);
            }
            Heard::Opened(opened) if self.kinds.connection => {
                let line = ConnectionLine {
                    state: "open".into(),
                    setup_auth_us: opened.setup_us,
                    server_version: (&*opened.server_version).into(),
                    auth: words::auth(opened.auth).map(Cow::Borrowed),
                    tls_client: words::tls(opened.setup.tls_client),
                    tls_server: words::tls(opened.setup.tls_server),
                    setup_tcp_us: opened.setup.tcp_us,
                    setup_tls_us: opened.setup.tls_us,
                    ..self.connection(opened.at_us, opened.session.0, &opened.who)
                };
                self.put_connection(&line, out);
            }
            Heard::Closed(closed) if self.kinds.connection => {
                let end = words::end(closed.end);
                let line = ConnectionLine {
                    think_idle_us: closed.think_idle_us,
                    think_in_transaction_us: closed.think_in_transaction_us,
                    received_bytes: closed.received_bytes,
                    sent_bytes: closed.sent_bytes,
                    end_side: end.map(|(side, _)| side.into()),
                    end_reason: end.map(|(_, reason)| reason.into()),
                    state: "closed".into(),
                    driver: driver_words(closed.driver).map(Cow::Borrowed),
                    duration_us: closed.duration_us,
                    busy_us: closed.busy_us,
                    statements: closed.statements,
                    transactions: closed.transactions,
                    opaque: closed.opaque.is_some(),
                    opaque_reason: closed.opaque.map(|reason| reason.name().into()),
                    ..self.connection(closed.at_us, closed.session.0, &closed.who)
                };
                self.put_connection(&line, out);
            }
            Heard::Traffic(record) if self.kinds.connection => {
                let session = Subject { session: Some(record.session.0), ..Subject::default() };
                if self.filter.holds(&session) {
                    self.traffic(record, now_us, out);
                }
            }
            _ => {}
        }
    }

    fn put_connection(&self, line: &ConnectionLine<'_>, out: &mut Vec<u8>) {
        let subject = Subject {
            session: Some(line.session),
            database: Some(&line.who.db_name),
            service: Some(&line.who.service),
            ..Subject::default()
        };
        if self.filter.holds(&subject) {
            append(out, line);
        }
    }

    fn connection<'a>(&'a self, at_us: u64, session: u64, who: &'a Who) -> ConnectionLine<'a> {
        ConnectionLine {
            ev: "connection".into(),
            proxy_id: (&*self.identity.proxy_id).into(),
            ts_us: self.identity.unix_us(at_us),
            session,
            who: who_fields(who),
            ..ConnectionLine::default()
        }
    }

    /// Whole units are kept or left out.
    fn is_sampled(&self, unit_id: Option<u64>) -> bool {
        is_sampled(unit_id, self.sample_millionths)
    }

    fn statement(&mut self, event: &StatementEvent, out: &mut Vec<u8>) {
        self.introduce(&event.executed, event.record.begin_us, out);
        self.statements += 1;
        append(out, &statement_line(&self.identity, event));
    }

    fn transaction(&mut self, event: &TransactionEvent, out: &mut Vec<u8>) {
        for digest in &event.digests {
            if let Some(known) = self.texts.get(digest).cloned() {
                self.introduce(&known, event.begin_us, out);
            }
        }
        append(out, &transaction_line(&self.identity, event));
    }

    fn traffic(&self, record: &TrafficRecord, now_us: u64, out: &mut Vec<u8>) {
        append(
            out,
            &TrafficLine {
                ev: "traffic".into(),
                proxy_id: (&*self.identity.proxy_id).into(),
                ts_us: self.identity.unix_us(now_us),
                session: record.session.0,
                client_received_bytes: record.client_received,
                client_sent_bytes: record.client_sent,
                server_received_bytes: record.server_received,
                server_sent_bytes: record.server_sent,
                prepares_named: record.prepares_named,
                prepares_unnamed: record.prepares_unnamed,
                prepares_again: record.prepares_again,
                skipped: record.skipped,
            },
        );
    }

    /// Tells what a digest is, unless the file or stream says so already.
    fn introduce(&mut self, executed: &Executed, at_us: u64, out: &mut Vec<u8>) {
        let digest = executed.digest();
        if self.told.contains(&digest) {
            return;
        }
        if self.texts.len() >= DIGESTS_MAX {
            self.texts.clear();
            self.told.clear();
        }
        self.texts.insert(digest, executed.clone());
        self.told.insert(digest);
        let line = digest_line(&self.identity, executed, at_us);
        if !append(out, &line) {
            let text = pgsonde_analyzer::text::cut(executed.query_text(), SHORT_TEXT_BYTES);
            let tables = Vec::new();
            append(out, &DigestLine { query_text: text.into(), cut: true, tables, ..line });
        }
    }

    /// Lines of the findings that changed; `all` of them, or those that changed notably.
    pub(crate) fn snapshot(&mut self, snapshot: &Snapshot, all: bool, out: &mut Vec<u8>) {
        if !self.kinds.finding {
            return;
        }
        for (state, finding) in self.findings.changes(snapshot, all) {
            let subject = finding_line::subject(finding);
            if self.filter.holds(&subject) {
                finding_line::write(&self.identity, state, finding, snapshot.at_us, out);
            }
        }
        for id in self.findings.withdrawn(snapshot) {
            finding_line::write_withdrawn(&self.identity, id, snapshot.at_us, out);
        }
    }
}

/// Whether a unit belongs to a share of all of them; the same in every export.
pub(crate) fn is_sampled(unit_id: Option<u64>, millionths: u64) -> bool {
    let spread = unit_id.unwrap_or(0).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32;
    spread % 1_000_000 < millionths
}

fn digest_line<'a>(identity: &'a Identity, executed: &'a Executed, at_us: u64) -> DigestLine<'a> {
    DigestLine {
        ev: "digest".into(),
        proxy_id: (&*identity.proxy_id).into(),
        ts_us: identity.unix_us(at_us),
        digest: executed.digest(),
        db_operation: executed.operation().name().into(),
        summary: executed.summary().into(),
        query_text: executed.query_text().into(),
        cut: executed.is_cut(),
        tables: executed.tables().iter().take(TABLES_MAX).map(|name| (&**name).into()).collect(),
        source: if executed.is_parsed() { "parser" } else { "lexer" }.into(),
        class: executed.class().name().into(),
    }
}

/// One execution as a line.
pub(crate) fn statement_line<'a>(
    identity: &'a Identity,
    event: &'a StatementEvent,
) -> StatementLine<'a> {
    let record = &event.record;
    StatementLine {
        ev: "statement".into(),
        proxy_id: (&*identity.proxy_id).into(),
        ts_us: identity.unix_us(record.begin_us),
        session: record.session.0,
        seq: event.seq,
        round_trip: record.round_trip,
        transaction: record.transaction,
        unit_id: event.unit_id,
        traced: event.traced,
        trace_id: event.context.map(|context| format!("{:032x}", context.trace_id).into()),
        span_id: event.context.map(|context| context.span_id).filter(|span| *span != 0),
        mark: event.mark.as_deref().map(Cow::Borrowed),
        service: (&*event.service).into(),
        route: event.route.as_deref().map(Cow::Borrowed),
        app: (&*event.who.application_name).into(),
        db_name: (&*event.who.database).into(),
        db_user: (&*event.who.user).into(),
        client_addr: (&*event.who.client).into(),
        pid: event.who.server_pid,
        code: event.code.as_deref().map(Cow::Borrowed),
        as_sent: AsSentFields::told(identity.redaction, event),
        tags: event.tags.iter().map(|(key, value)| ((&**key).into(), (&**value).into())).collect(),
        digest: event.executed.digest(),
        query_id: event.query_id.map(|id| id.to_string().into()),
        db_operation: event.executed.operation().name().into(),
        protocol: protocol(record.protocol).into(),
        prepare: prepare(record).into(),
        suspended: is_suspended(record),
        param_count: record.bind_count,
        in_transaction: record.in_transaction,
        duration_us: record.duration_us(),
        queue_us: record.queue_us,
        first_row_us: record.first_row_us,
        transfer_us: record.transfer_us,
        client_stall_us: record.client_stall_us,
        wait_us: record.wait_us,
        think_us: record.think_us,
        timing: timing(record.timing).map(Cow::Borrowed),
        batch_statements: record.batch_statements,
        rows: record.rows,
        received_bytes: record.received_bytes,
        sent_bytes: record.sent_bytes,
        outcome: outcome(record.outcome).into(),
        err_sqlstate: sqlstate(record.sqlstate),
        tag: tag(record.tag).map(Cow::Borrowed),
        changes_mark: event.changes_mark,
        literals: event.literals,
        untracked: event.untracked,
        values_hash: (event.values_hash != 0).then_some(event.values_hash),
    }
}

fn transaction_line<'a>(
    identity: &'a Identity,
    event: &'a TransactionEvent,
) -> TransactionLine<'a> {
    TransactionLine {
        ev: "transaction".into(),
        proxy_id: (&*identity.proxy_id).into(),
        ts_us: identity.unix_us(event.begin_us),
        session: event.session.0,
        transaction: event.transaction,
        unit_id: event.unit_id,
        trace_id: event.labels.trace_id.map(|id| format!("{id:032x}").into()),
        mark: event.labels.mark.as_deref().map(Cow::Borrowed),
        route: event.labels.route.as_deref().map(Cow::Borrowed),
        who: who_fields(&event.who),
        duration_us: event.end_us.saturating_sub(event.begin_us),
        busy_us: event.busy_us,
        think_us: event.think_us,
        statements: event.statements,
        round_trips: event.sums.round_trips,
        rows: event.sums.rows,
        received_bytes: event.sums.received_bytes,
        sent_bytes: event.sums.sent_bytes,
        writes: event.sums.writes,
        savepoints: event.sums.savepoints,
        err_sqlstate: sqlstate(event.sums.sqlstate),
        outcome: transaction_outcome(event.outcome).into(),
        shape: event.shape,
        digests: event.digests.iter().map(|digest| id_text(*digest).into()).collect(),
    }
}

fn subject(event: &StatementEvent) -> Subject<'_> {
    let record = &event.record;
    Subject {
        duration_us: Some(record.duration_us()),
        rows: Some(record.rows),
        sent_bytes: Some(record.sent_bytes),
        failed: record.outcome != Outcome::Ok,
        sqlstate: std::str::from_utf8(&record.sqlstate).ok().filter(|state| *state != "\0\0\0\0\0"),
        kind: None,
        operation: Some(event.executed.operation().name()),
        database: Some(&event.who.database),
        service: Some(&event.service),
        route: event.route.as_deref(),
        mark: event.mark.as_deref(),
        digest: Some(event.executed.digest()),
        unit: event.unit_id,
        session: Some(record.session.0),
        summary: Some(event.executed.summary()),
        text: Some(event.executed.query_text()),
    }
}

fn transaction_subject(event: &TransactionEvent) -> Subject<'_> {
    Subject {
        duration_us: Some(event.end_us.saturating_sub(event.begin_us)),
        failed: matches!(event.outcome, TransactionOutcome::Error | TransactionOutcome::Abandoned),
        database: Some(&event.who.database),
        service: Some(&event.who.service),
        route: event.labels.route.as_deref(),
        mark: event.labels.mark.as_deref(),
        unit: event.unit_id,
        session: Some(event.session.0),
        ..Subject::default()
    }
}

fn who_fields(who: &Who) -> WhoFields<'_> {
    WhoFields {
        service: (&*who.service).into(),
        app: (&*who.application_name).into(),
        db_name: (&*who.database).into(),
        db_user: (&*who.user).into(),
        client_addr: (&*who.client).into(),
        pid: who.server_pid,
    }
}

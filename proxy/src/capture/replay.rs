//! From a capture to the snapshot that the proxy had: its statements run through the analyzer once more.
//!
//! The detectors are off, because most of what they need (values, results) is in no capture; the findings are those of
//! the finding lines. Everything else comes out of the same code as it did live, at the same ticks.

use super::finding_line;
use super::reader::{self, FileHead, Lines};
use crate::export::shapes::lines::{
    ConnectionLine, DigestLine, FindingLine, GapLine, StatementLine, TrafficLine, TransactionLine,
    WhoFields, head,
};
use crate::export::{Build, EventDrops, Lifecycle, ProxyCounters, TimeRange, rfc3339_unix};
use crate::problem::Problem;
use pgsonde_analyzer::known::KnownText;
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::record::{
    End, Event, Opaque, Outcome, Protocol, RecordBatch, SessionId, SessionOpened, Span,
    StatementRecord, Tag, TextKey, Timing, TrafficRecord, TransactionOutcome, TransactionRecord,
};
use pgsonde_analyzer::snapshot::{Operation, Snapshot};
use pgsonde_analyzer::text::Class;
use pgsonde_analyzer::value::Salt;
use pgsonde_analyzer::{Analyzer, Redaction};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time between two ticks where the capture has none.
const TICK_US: u64 = 500_000;
/// A file that begins so soon after its proxy is taken as its beginning.
const BEGINNING_US: u64 = 5_000_000;
/// Bits of a session's number; the run of the proxy stands above them.
const SESSION_BITS: u32 = 48;

/// What a capture came to.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// As the proxy had it at the end of the capture.
    pub(crate) snapshot: Snapshot,
    /// What is known of the proxy itself.
    pub(crate) proxy: ProxyCounters,
    /// Wall-clock time of microsecond 0.
    pub(crate) started: SystemTime,
    /// What is strange about the capture, for people.
    pub(crate) notes: Vec<String>,
}

/// Reads a capture file, or a folder of them, and makes the snapshot of it; of what began within the range, if one is given.
///
/// # Errors
/// PGS0504 nothing within the range, PGS0511 no capture, PGS0512 of a newer version, PGS0513 unreadable.
pub(crate) fn replay(path: &Path, range: Option<TimeRange>) -> Result<Replayed, Problem> {
    let mut replay = Replay { range, ..Replay::new() };
    let mut notes = reader::read(path, &mut replay)?;
    replay.tell(&mut notes);
    if range.is_some_and(|range| !range.meets(replay.first_unix_us, replay.last_unix_us)) {
        let [first, last] = [replay.first_unix_us, replay.last_unix_us].map(rfc3339_unix);
        return Err(Problem::new(504, "nothing of the capture lies within the time range")
            .note(format!("it has what happened from {first} to {last}")));
    }
    Ok(replay.finish(notes))
}

/// One start of a proxy.
#[derive(Clone, Debug)]
struct Run {
    proxy_id: String,
    /// Number of the run, in its place of a session's number.
    base: u64,
}

/// What tells texts apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Text {
    digest: u64,
    literals: bool,
    changes_mark: bool,
    service: String,
    route: Option<String>,
    trace: Option<u64>,
    mark: Option<String>,
}

struct Replay {
    range: Option<TimeRange>,
    /// Of the whole capture, in microseconds since 1970.
    first_unix_us: u64,
    last_unix_us: u64,
    analyzer: Option<Analyzer>,
    limits: Limits,
    run: Run,
    runs: u64,
    origin_us: u64,
    digests: HashMap<u64, KnownText>,
    texts: HashMap<Text, TextKey>,
    texts_epoch: u32,
    next_text: u64,
    /// Raw application names of open sessions.
    sessions: HashMap<u64, String>,
    findings: BTreeMap<String, FindingLine>,
    finding_origin_us: u64,
    last_us: u64,
    next_tick_us: u64,
    has_ticks: bool,
    dropped: EventDrops,
    statements: u64,
    sample: f64,
    no_statements: bool,
    version: &'static str,
    redaction: Redaction,
}

impl Replay {
    fn new() -> Self {
        Self {
            range: None,
            first_unix_us: u64::MAX,
            last_unix_us: 0,
            analyzer: None,
            limits: Limits::default(),
            run: Run { proxy_id: String::new(), base: 0 },
            runs: 0,
            origin_us: 0,
            digests: HashMap::new(),
            texts: HashMap::new(),
            texts_epoch: 0,
            next_text: 0,
            sessions: HashMap::new(),
            findings: BTreeMap::new(),
            finding_origin_us: 0,
            last_us: 0,
            next_tick_us: 0,
            has_ticks: false,
            dropped: EventDrops::default(),
            statements: 0,
            sample: 1.0,
            no_statements: false,
            version: "",
            redaction: Redaction::default(),
        }
    }

    fn tell(&self, notes: &mut Vec<String>) {
        if self.sample < 1.0 {
            notes.push(format!(
                "the capture holds {} % of the units of work: all counts are of these",
                self.sample * 100.0
            ));
        }
        if self.no_statements {
            notes.push("the capture was made without statement lines".to_owned());
        }
        if self.dropped.total() > 0 {
            notes.push(format!("the capture lacks {} events that were lost", self.dropped.total()));
        }
        if self.runs > 1 {
            notes.push(format!("the captures are of {} starts of the proxy", self.runs));
        }
    }

    fn finish(mut self, notes: Vec<String>) -> Replayed {
        let last_us = self.last_us;
        let mut snapshot = match &mut self.analyzer {
            Some(analyzer) => {
                analyzer.finish(last_us);
                analyzer.snapshot(last_us)
            }
            None => Snapshot::default(),
        };
        let started_us = self.finding_origin_us;
        let met = |line: &&FindingLine| {
            self.range.is_none_or(|range| range.meets(line.first_seen_us, line.last_seen_us))
        };
        let findings = self.findings.values().filter(met);
        snapshot.adopt_findings(
            findings.filter_map(|line| finding_line::read(line, started_us)).collect(),
        );
        let version = if self.version.is_empty() { "unknown" } else { self.version };
        let proxy = ProxyCounters {
            build: Build { version, revision: "unknown", rustc: "unknown" },
            uptime_s: last_us / 1_000_000,
            lifecycle: Lifecycle::Draining,
            events: self.statements + self.dropped.total(),
            dropped: self.dropped,
            redaction: self.redaction,
            ..ProxyCounters::default()
        };
        let started = UNIX_EPOCH + Duration::from_micros(self.origin_us);
        Replayed { snapshot, proxy, started, notes }
    }

    /// Whether the line is about the time range. Who a session is, and what a digest is, must be known in any case.
    fn is_wanted(&mut self, ev: &str, line: &[u8]) -> bool {
        let Some(range) = self.range else { return true };
        if matches!(ev, "digest" | "finding") {
            return true;
        }
        let Some(head) = head(line) else { return true };
        self.last_unix_us = self.last_unix_us.max(head.ts_us);
        range.holds(head.ts_us) || ev == "connection" && head.ts_us < range.to_us
    }

    fn at(&self, unix_us: u64) -> u64 {
        unix_us.saturating_sub(self.origin_us)
    }

    fn session(&self, number: u64) -> SessionId {
        SessionId(self.run.base | (number & ((1 << SESSION_BITS) - 1)))
    }

    /// Time goes on to `now_us`; without ticks of its own, a capture gets them here.
    fn advance(&mut self, now_us: u64) {
        self.last_us = self.last_us.max(now_us);
        if !self.has_ticks && self.last_us >= self.next_tick_us {
            self.tick(self.last_us);
        }
    }

    fn tick(&mut self, now_us: u64) {
        self.next_tick_us = now_us + TICK_US;
        if let Some(analyzer) = &mut self.analyzer {
            analyzer.tick(now_us);
        }
    }

    fn ingest(&mut self, event: Event, bytes: Vec<u8>) {
        if let Some(analyzer) = &mut self.analyzer {
            analyzer.ingest(&RecordBatch { events: vec![event], bytes, ..RecordBatch::default() });
        }
    }

    /// Makes a session known, or gives it the name that it has now.
    fn meet(&mut self, number: u64, at_us: u64, setup_us: u64, who: &WhoFields<'_>) -> SessionId {
        let session = self.session(number);
        let known = self.sessions.get(&session.0).map(|name| *name == who.app);
        let mut arena = Arena::default();
        let event = match known {
            Some(true) => return session,
            Some(false) => {
                Event::Renamed { session, application_name: arena.add(who.app.as_bytes()) }
            }
            None => Event::Opened(SessionOpened {
                session,
                at_us,
                database: arena.add(who.db_name.as_bytes()),
                user: arena.add(who.db_user.as_bytes()),
                application_name: arena.add(who.app.as_bytes()),
                client: arena.add(who.client_addr.as_bytes()),
                setup_us,
                server_pid: who.pid,
                ..SessionOpened::default()
            }),
        };
        self.sessions.insert(session.0, who.app.clone().into_owned());
        self.ingest(event, arena.0);
        session
    }

    fn text(&mut self, line: &StatementLine<'_>) -> TextKey {
        let epoch = self.analyzer.as_ref().map_or(0, Analyzer::text_epoch);
        if epoch != self.texts_epoch {
            self.texts.clear();
            self.texts_epoch = epoch;
        }
        let text = Text {
            digest: line.digest,
            literals: line.literals,
            changes_mark: line.changes_mark,
            service: line.service.clone().into_owned(),
            route: line.route.clone().map(Into::into),
            trace: line.unit_id.filter(|_| line.traced),
            mark: line.mark.clone().map(Into::into),
        };
        if let Some(key) = self.texts.get(&text) {
            return *key;
        }
        let Some(known) = self.digests.get(&line.digest) else { return TextKey(0) };
        self.next_text += 1;
        let key = TextKey(self.next_text);
        let known = KnownText {
            key,
            literals: text.literals,
            changes_mark: text.changes_mark,
            service: Some(Arc::from(text.service.as_str()))
                .filter(|name: &Arc<str>| !name.is_empty()),
            route: text.route.as_deref().map(Arc::from),
            trace: text.trace,
            mark: text.mark.as_deref().map(Arc::from),
            ..known.clone()
        };
        if let Some(analyzer) = &mut self.analyzer {
            analyzer.know(known);
        }
        self.texts.insert(text, key);
        key
    }

    fn statement(&mut self, line: &StatementLine<'_>) {
        let who = WhoFields {
            service: line.service.clone(),
            app: line.app.clone(),
            db_name: line.db_name.clone(),
            db_user: line.db_user.clone(),
            client_addr: line.client_addr.clone(),
            pid: line.pid,
        };
        let begin_us = self.at(line.ts_us);
        let session = self.meet(line.session, begin_us, 0, &who);
        let text = if line.untracked { TextKey(0) } else { self.text(line) };
        let record = record(line, session, text, begin_us);
        self.statements += 1;
        self.ingest(Event::Statement(record), Vec::new());
        self.advance(record.end_us());
    }

    fn transaction(&mut self, line: &TransactionLine<'_>) {
        let begin_us = self.at(line.ts_us);
        let session = self.meet(line.session, begin_us, 0, &line.who);
        let record = TransactionRecord {
            session,
            transaction: line.transaction,
            begin_us,
            end_us: begin_us + line.duration_us,
            think_us: line.think_us,
            outcome: match &*line.outcome {
                "rollback" => TransactionOutcome::Rollback,
                "error" => TransactionOutcome::Error,
                "abandoned" => TransactionOutcome::Abandoned,
                _ => TransactionOutcome::Commit,
            },
        };
        self.ingest(Event::Transaction(record), Vec::new());
        self.advance(record.end_us);
    }

    fn connection(&mut self, line: &ConnectionLine<'_>) {
        let at_us = self.at(line.ts_us);
        match &*line.state {
            "open" => {
                self.meet(line.session, at_us, line.setup_auth_us, &line.who);
            }
            "closed" => {
                let session = self.meet(line.session, at_us, 0, &line.who);
                self.sessions.remove(&session.0);
                let reason = line.opaque_reason.as_deref().and_then(Opaque::named);
                let opaque = line.opaque.then_some(reason.unwrap_or(Opaque::Unknown));
                let end = End::Unknown;
                self.ingest(Event::Closed { session, at_us, opaque, end }, Vec::new());
            }
            _ => {}
        }
        self.advance(at_us);
    }

    fn traffic(&mut self, line: &TrafficLine<'_>) {
        let record = TrafficRecord {
            session: self.session(line.session),
            client_received: line.client_received_bytes,
            client_sent: line.client_sent_bytes,
            server_received: line.server_received_bytes,
            server_sent: line.server_sent_bytes,
            prepares_named: line.prepares_named,
            prepares_unnamed: line.prepares_unnamed,
            prepares_again: line.prepares_again,
            skipped: line.skipped,
        };
        self.ingest(Event::Traffic(record), Vec::new());
    }

    fn gap(&mut self, line: &GapLine<'_>) {
        let sum = match &*line.reason {
            "analyzer_restart" => &mut self.dropped.analyzer_restart,
            "memory_limit" => &mut self.dropped.memory_limit,
            _ => &mut self.dropped.queue_full,
        };
        *sum += line.dropped;
    }

    fn digest(&mut self, line: &DigestLine<'_>) {
        let known = KnownText {
            digest: line.digest,
            class: Class::named(&line.class).unwrap_or_default(),
            operation: Operation::named(&line.db_operation).unwrap_or_default(),
            query_text: Arc::from(&*line.query_text),
            cut: line.cut,
            parsed: line.source == "parser",
            summary: Arc::from(&*line.summary),
            tables: line.tables.iter().map(|name| Arc::from(&**name)).collect(),
            ..KnownText::default()
        };
        self.digests.insert(line.digest, known);
    }
}

impl Lines for Replay {
    fn begin(&mut self, head: &FileHead, _first: &[u8], notes: &mut Vec<String>) {
        if self.analyzer.is_none() {
            let since_start = head.opened_us.saturating_sub(head.started_us);
            let whole = since_start <= BEGINNING_US;
            self.origin_us = if whole { head.started_us } else { head.opened_us };
            if let Some(range) = self.range {
                self.origin_us = self.origin_us.max(range.from_us);
            }
            self.finding_origin_us = self.origin_us;
            if !whole {
                notes.push("the capture begins in the middle of the proxy's life".to_owned());
            }
            if head.unit_gap_us > 0 {
                self.limits.unit_gap_us = head.unit_gap_us;
            }
            // Nothing is hashed here: every hash comes from the capture.
            self.analyzer = Some(Analyzer::without_detectors(self.limits.clone(), Salt::new(0, 0)));
        }
        if self.run.proxy_id != head.proxy_id {
            let base = self.runs << SESSION_BITS;
            self.run = Run { proxy_id: head.proxy_id.clone(), base };
            self.runs += 1;
            self.has_ticks = false;
        }
        self.sample = self.sample.min(head.sample);
        self.no_statements |= !head.statements;
        self.version = head.version;
        self.redaction = head.redaction;
        self.first_unix_us = self.first_unix_us.min(head.opened_us);
        self.last_us = self.last_us.max(self.at(head.opened_us));
    }

    fn line(&mut self, ev: &str, line: &[u8]) -> bool {
        if !self.is_wanted(ev, line) {
            return true;
        }
        match ev {
            "statement" => serde_json::from_slice(line).map(|line| self.statement(&line)).is_ok(),
            "digest" => serde_json::from_slice(line).map(|line| self.digest(&line)).is_ok(),
            "transaction" => {
                serde_json::from_slice(line).map(|line| self.transaction(&line)).is_ok()
            }
            "connection" => serde_json::from_slice(line).map(|line| self.connection(&line)).is_ok(),
            "traffic" => serde_json::from_slice(line).map(|line| self.traffic(&line)).is_ok(),
            "gap" => serde_json::from_slice(line).map(|line| self.gap(&line)).is_ok(),
            "finding" => serde_json::from_slice::<FindingLine>(line)
                .map(|line| self.findings.insert(line.finding.clone(), line))
                .is_ok(),
            "tick" | "end" => {
                let now_us = self.at(head(line).map_or(0, |head| head.ts_us));
                self.has_ticks = true;
                self.last_us = self.last_us.max(now_us);
                self.tick(now_us);
                true
            }
            _ => true,
        }
    }
}

/// Bytes of labels.
#[derive(Default)]
struct Arena(Vec<u8>);

impl Arena {
    fn add(&mut self, bytes: &[u8]) -> Span {
        let (start, len) = (self.0.len() as u32, bytes.len() as u32);
        self.0.extend_from_slice(bytes);
        Span { start, len }
    }
}

fn record(
    line: &StatementLine<'_>,
    session: SessionId,
    text: TextKey,
    begin_us: u64,
) -> StatementRecord {
    let mut sqlstate = [0; 5];
    if let Some(state) = line.err_sqlstate.as_deref().filter(|state| state.len() == 5) {
        sqlstate.copy_from_slice(state.as_bytes());
    }
    StatementRecord {
        session,
        text,
        begin_us,
        queue_us: line.queue_us,
        first_row_us: line.first_row_us,
        transfer_us: line.transfer_us,
        client_stall_us: line.client_stall_us,
        think_us: line.think_us,
        wait_us: line.wait_us,
        rows: line.rows,
        sent_bytes: line.sent_bytes,
        received_bytes: line.received_bytes,
        binds_hash: line.values_hash.unwrap_or(0),
        round_trip: line.round_trip,
        transaction: line.transaction,
        bind_count: line.param_count,
        batch_statements: line.batch_statements,
        sqlstate,
        outcome: match &*line.outcome {
            "error" => Outcome::Error,
            "cancelled" => Outcome::Cancelled,
            "aborted" => Outcome::Aborted,
            _ => Outcome::Ok,
        },
        timing: match line.timing.as_deref() {
            Some("bound") => Timing::Bound,
            Some("batch") => Timing::Batch,
            Some("batch_last") => Timing::BatchLast,
            Some("empty") => Timing::Empty,
            _ => Timing::Exact,
        },
        protocol: match &*line.protocol {
            "extended" => Protocol::Extended,
            "function_call" => Protocol::FunctionCall,
            _ => Protocol::Simple,
        },
        tag: match line.tag.as_deref() {
            Some("begin") => Tag::Begin,
            Some("commit") => Tag::Commit,
            Some("rollback") => Tag::Rollback,
            _ => Tag::None,
        },
        in_transaction: line.in_transaction,
        parsed: matches!(&*line.prepare, "named" | "unnamed" | "new"),
        named: line.prepare == "named",
        ..StatementRecord::default()
    }
}

//! The analyzer: takes batches of events in, hands a snapshot out.

mod coming;
mod memory;
mod told;

use crate::Map;
use crate::count::{Counted, Counters};
use crate::digest::query_ids::QueryIds;
use crate::digest::{DigestTable, Statement, TextEntry, Texts, Wanted};
use crate::disguise::{Disguise, Noun};
use crate::events::{Executed, Heard, Listening, Opened, StatementEvent, TransactionEvent};
use crate::findings::{Findings, Orm, by_introspection};
use crate::history::History;
use crate::known::KnownText;
use crate::labels::{DatabaseId, Labels, ServiceId, label, service_of};
use crate::limits::Limits;
use crate::marks::MarkId;
use crate::merge::{DigestSketch, Sketched};
use crate::record::{
    End, Event, Micros, Opaque, Outcome, Protocol, RecordBatch, SessionId, SessionOpened, Span,
    StatementRecord, TextKey, Timing, TrafficRecord, TransactionRecord,
};
use crate::seen::{Prepared, Seen};
use crate::sessions::{Session, Sessions};
use crate::snapshot::{SessionState, Snapshot};
use crate::text::{Class, MarkChange};
use crate::units::{SessionUnit, Step, Units, values_of};
use crate::value::Salt;
use memory::Memory;
use std::sync::Arc;

/// Round trips of a session in which an ORM asks about the server.
const INTROSPECTION_ROUND_TRIPS_MAX: u32 = 64;

/// All statistics and detectors of one proxy.
pub struct Analyzer {
    limits: Limits,
    texts: Texts,
    labels: Labels,
    sessions: Sessions,
    digests: DigestTable,
    units: Units,
    counters: Counters,
    findings: Findings,
    history: History,
    /// Which ORM asked the connections of a service about themselves; bounded by the ceilings of the labels.
    introspected: Map<(DatabaseId, ServiceId), Orm>,
    listening: Listening,
    detects: bool,
    disguise: Disguise,
    query_ids: QueryIds,
    /// Longest wait for a client inside one transaction.
    idle_in_transaction_max_us: u64,
    unknown_text: Arc<Statement>,
    function_call: Arc<Statement>,
    /// Whether texts and findings are left aside.
    counters_only: bool,
    memory: Memory,
}

/// What one record executed.
struct Meaning {
    statement: Arc<Statement>,
    entry: Option<Arc<TextEntry>>,
}

impl Analyzer {
    /// An analyzer that knows nothing yet. Make it on the thread that it stays on: the grammar that it holds
    /// can't be sent elsewhere. `salt` must be the one that hashed the values of the records.
    pub fn new(limits: Limits, salt: Salt) -> Self {
        Self {
            disguise: Disguise::new(limits.redaction, &salt),
            texts: Texts::new(&limits, salt),
            labels: Labels::new(&limits),
            sessions: Sessions::new(limits.sessions_max),
            digests: DigestTable::new(limits.digests_max, limits.sources_max),
            units: Units::new(&limits),
            counters: Counters::default(),
            findings: Findings::new(&limits),
            history: History::new(&limits),
            introspected: Map::default(),
            query_ids: QueryIds::default(),
            listening: Listening::default(),
            detects: true,
            idle_in_transaction_max_us: 0,
            unknown_text: Arc::new(Statement::named("unknown text", Class::Other)),
            function_call: Arc::new(Statement::named("function call", Class::Other)),
            limits,
            counters_only: false,
            memory: Memory::default(),
        }
    }

    /// One that makes statistics only, without any detector: for records whose findings are known already.
    pub fn without_detectors(limits: Limits, salt: Salt) -> Self {
        Self { detects: false, ..Self::new(limits, salt) }
    }

    /// From now on somebody listens, or nobody does.
    pub fn listen(&mut self, on: bool) {
        self.listening.switch(on);
    }

    /// What was heard since the last time, and how many events found no room.
    pub fn take_heard(&mut self) -> (Vec<Heard>, u64) {
        self.listening.take()
    }

    /// Teaches a text whose reading is known already.
    pub fn know(&mut self, text: KnownText) {
        self.texts.know(text);
    }

    /// Goes on under other limits. Thresholds, `disabled`, `mutes`, `unit_gap_us` and `close_after_us` may differ;
    /// the sizes of tables stay as they were made. Detectors begin anew, findings and statistics stay.
    pub fn set_limits(&mut self, limits: Limits) {
        self.units.set_gap_us(limits.unit_gap_us);
        self.findings.begin_anew(&limits);
        self.limits = limits;
    }

    /// The generation of texts that senders should believe in; when it rises they send their texts again.
    pub fn text_epoch(&self) -> u32 {
        self.texts.epoch()
    }

    /// Texts and bytes held in both generations.
    #[cfg(test)]
    pub(crate) fn held_texts(&self) -> (usize, usize) {
        self.texts.held()
    }

    /// Bytes of all results that are held for the data-flow proof, roughly.
    pub fn held_bytes(&self) -> usize {
        self.findings.held_bytes()
    }

    /// Takes in one batch.
    pub fn ingest(&mut self, batch: &RecordBatch) {
        if !self.counts_only() {
            batch.texts.iter().for_each(|text| self.texts.learn(text, batch));
        }
        for event in &batch.events {
            self.event(event, batch);
        }
    }

    fn event(&mut self, event: &Event, batch: &RecordBatch) {
        match event {
            Event::Opened(opened) => self.opened(opened, batch),
            Event::Renamed { session, application_name } => {
                self.renamed(*session, application_name.of(&batch.bytes));
            }
            Event::DriverSeen { session, driver } => {
                if let Some(session) = self.sessions.known(*session) {
                    session.driver = *driver;
                }
            }
            Event::Described { text, fields } => {
                self.texts.describe(*text, fields.of(&batch.fields), batch);
            }
            Event::Values(of) => self.values_come(of, batch),
            Event::Message { session, message } => {
                self.message_comes(*session, message.of(&batch.bytes));
            }
            Event::Prepared { session, text, took_us } => self.prepared(*session, *text, *took_us),
            Event::WideParameters { text, parameters } => {
                self.texts.widen(*text, *parameters);
            }
            Event::Statement(record) => self.statement(record, batch),
            Event::Transaction(transaction) => self.transaction(transaction),
            Event::Waiting { session, since_us, at_us } => {
                self.waiting(*session, *since_us, *at_us);
            }
            Event::Busy { session, since_us, at_us } => {
                if let Some(session) = self.sessions.known(*session) {
                    session.presence.lasts(SessionState::Active, *since_us, *at_us);
                }
            }
            Event::Traffic(traffic) => self.traffic(traffic),
            Event::Closed { session, at_us, opaque, end } => {
                self.closed(*session, *at_us, (*opaque, *end));
            }
        }
    }

    fn opened(&mut self, opened: &SessionOpened, batch: &RecordBatch) {
        let text = |span: Span| label(span.of(&batch.bytes), self.limits.label_bytes_max);
        let named = |noun, span| self.disguise.label(noun, text(span));
        let (database, user) =
            (named(Noun::Database, opened.database), named(Noun::User, opened.user));
        let mark = named(Noun::Mark, opened.mark);
        let database = self.labels.database(&database);
        let mut session = Session::new(database, ServiceId::default(), user);
        session.last_us = opened.at_us;
        session.presence.opened_us = opened.at_us;
        session.address(text(opened.client), !self.disguise.is_on());
        session.setup_us = opened.setup_us;
        session.server_pid = opened.server_pid;
        let mark = Some(&mark).filter(|mark| !mark.is_empty());
        self.findings.marks().start(&mut session.mark, mark);
        let evicted = self.sessions.open(opened.session, session);
        self.renamed(opened.session, opened.application_name.of(&batch.bytes));
        if let Some((id, gone)) = evicted {
            let last_us = gone.last_us;
            self.forget(id, last_us, gone);
        }
        if let Some(session) = self.sessions.known(opened.session) {
            self.listening.hear(|| {
                let who = session.who(&self.labels);
                let (session, at_us, setup_us) = (opened.session, opened.at_us, opened.setup_us);
                let server_version =
                    label(opened.server_version.of(&batch.bytes), self.limits.label_bytes_max);
                let (setup, auth) = (opened.setup, opened.auth);
                Heard::Opened(Opened { session, at_us, setup_us, server_version, setup, auth, who })
            });
        }
        if self.counts_only() {
            return;
        }
        if let Some(session) = self.sessions.known(opened.session) {
            self.findings.opened(opened.session, session, &self.labels, &self.digests);
        }
    }

    fn renamed(&mut self, id: SessionId, name: &[u8]) {
        if let Some(session) = self.sessions.known(id) {
            let name = label(name, self.limits.label_bytes_max);
            let service = service_of(&name);
            // A disguised application is known by its service alone.
            let hidden = self.disguise.name(Noun::Service, &service).map(Arc::<str>::from);
            let hidden = hidden.filter(|_| !name.trim().is_empty());
            session.application_name = hidden.clone().unwrap_or(name);
            session.service = self.labels.service(&hidden.unwrap_or_else(|| Arc::from(service)));
            session.who = None;
            session.introspected =
                self.introspected.get(&(session.database, session.service)).copied();
            session.client_key = session.key_of_client();
            // A changed application name is the border of a unit.
            self.units.end(&mut session.unit, &mut self.labels);
        }
    }

    fn closed(&mut self, id: SessionId, at_us: Micros, how: (Option<Opaque>, End)) {
        if let Some(mut session) = self.sessions.close(id, how.0.is_some()) {
            self.listening
                .hear(|| Heard::Closed(session.told_at_its_end(id, at_us, how, &self.labels)));
            self.forget(id, at_us, session);
        }
    }

    fn forget(&mut self, id: SessionId, at_us: Micros, mut session: Session) {
        self.units.end(&mut session.unit, &mut self.labels);
        if !self.counts_only() {
            self.findings.closed(id, at_us, &self.labels, &self.digests);
        }
        self.findings.marks().closed(id);
    }

    fn transaction(&mut self, record: &TransactionRecord) {
        let session = self.sessions.of(record.session);
        session.last_us = session.last_us.max(record.end_us);
        self.listening.hear(|| {
            let event = TransactionEvent::of(record, session, &self.labels);
            Heard::Transaction(Box::new(event))
        });
        session.transactions += 1;
        session.presence.transaction_over();
        self.labels.add_transaction(session.database, session.service, record);
        let pair = (session.database, session.service);
        self.units.add_transaction(pair, record, &mut session.shape, &self.labels);
        self.units.end(&mut session.unit, &mut self.labels);
        session.mark.end(record.outcome);
        if !self.counts_only() {
            self.findings.transaction(record, &self.labels, &self.digests);
        }
    }

    fn waiting(&mut self, id: SessionId, since_us: Micros, at_us: Micros) {
        if let Some(session) = self.sessions.known(id) {
            session.last_us = session.last_us.max(at_us);
            session.presence.lasts(SessionState::IdleInTransaction, since_us, at_us);
            let waited_us = at_us.saturating_sub(since_us);
            self.idle_in_transaction_max_us = self.idle_in_transaction_max_us.max(waited_us);
            if !self.counts_only() {
                self.findings.waiting(id, [since_us, at_us], &self.labels, &self.digests);
            }
        }
    }

    fn traffic(&mut self, record: &TrafficRecord) {
        let session = self.sessions.of(record.session);
        session.client_bytes[0] += record.client_received;
        session.client_bytes[1] += record.client_sent;
        self.labels.add_traffic(session.database, session.service, record);
        self.counters.books.skipped += u64::from(record.skipped);
        self.listening.hear(|| Heard::Traffic(*record));
    }

    fn statement(&mut self, record: &StatementRecord, batch: &RecordBatch) {
        let meaning = self.meaning(record);
        let entry = meaning.entry.as_deref();
        let tags = entry.map(|entry| &entry.tags);
        let route = tags.and_then(|tags| tags.route.as_ref());
        let service =
            tags.and_then(|tags| tags.service.as_ref()).map(|name| self.labels.service(name));
        let service = service.unwrap_or(self.sessions.of(record.session).service);
        let service_us = self.count(record, &meaning, service);
        if let Some(change) = entry.and_then(|entry| entry.mark_change(record.member)) {
            self.change_mark(record, change);
        }
        if self.counts_only() || !self.detects {
            return;
        }
        // Without state there is no order to rely on, so nothing can be proved either.
        let Some(session) = self.sessions.known(record.session) else { return };
        let described = self.texts.described(record.text);
        if session.introspected.is_none() && record.round_trip <= INTROSPECTION_ROUND_TRIPS_MAX {
            let statement = &meaning.statement;
            session.introspected = by_introspection(statement.class, &statement.words);
            if let Some(orm) = session.introspected {
                self.introspected.insert((session.database, session.service), orm);
            }
        }
        let seen = Seen {
            record,
            batch,
            statement: &meaning.statement,
            literals: entry.map_or(&[], |entry| entry.literals(record.member)),
            shared_slots: entry.map_or(&[], |entry| entry.shared_slots(record.member)),
            tags,
            entry: meaning.entry.as_ref(),
            database: session.database,
            service,
            route,
            driver: session.driver,
            application_name: &session.application_name,
            introspected: session.introspected,
            client: session.client_key,
            baseline_us: session.baseline.median_us(),
            rtt_us: session.round_trip.at(record.end_us()),
            service_us,
            list_elements: entry.map_or(0, |entry| entry.list_elements(record.member)),
            code: entry.map_or(0, |entry| entry.code(record.member)),
            described: described.as_ref().map(|(described, _)| &**described),
            described_anew: described.as_ref().is_some_and(|(_, anew)| *anew),
            wide_parameters: self.texts.wide_parameters(record.text),
        };
        if let Some((_, widths)) = record.width_sample(batch) {
            let key = (seen.database, seen.statement.digest);
            if let Some(row) = self.digests.row(key) {
                let unnamed = |field| Arc::from(format!("column {}", field + 1));
                let name = |field| seen.column_name(field).unwrap_or_else(|| unnamed(field));
                row.add_widths(widths, name);
            }
        }
        self.findings.statement(&seen, &self.labels, &self.digests);
    }

    /// Counts one execution everywhere; parts of one are counted with its end. Returns its service time.
    fn count(
        &mut self,
        record: &StatementRecord,
        meaning: &Meaning,
        service: ServiceId,
    ) -> Option<u64> {
        if record.timing == Timing::Part {
            return None;
        }
        let session = self.sessions.of(record.session);
        let entry = meaning.entry.as_deref();
        let tags = entry.map(|entry| &entry.tags);
        let route = tags.and_then(|tags| tags.route.as_ref());
        let literal = entry.is_some_and(|entry| !entry.literals(record.member).is_empty());
        let counted = Counted::new(record, &meaning.statement, service, route, literal);
        session.presence.statement(record, &meaning.statement, route);
        let untracked = Arc::ptr_eq(&meaning.statement, &self.unknown_text);
        let (digests, labels) = (&mut self.digests, &mut self.labels);
        let (service_us, wanted) = self.counters.add(&counted, session, digests, labels, untracked);
        session.statements += 1;
        session.busy_us += record.duration_us();
        let waited_us = counted.phases.think_in_transaction_us;
        session.think_us[0] += counted.phases.think_idle_us;
        session.think_us[1] += waited_us;
        self.idle_in_transaction_max_us = self.idle_in_transaction_max_us.max(waited_us);
        let changes_mark = entry.and_then(|entry| entry.mark_change(record.member)).is_some();
        if changes_mark && MarkChange::is_its_only_purpose(&meaning.statement.words) {
            self.units.end_run(&mut session.unit, labels);
            if wanted.any() || self.listening.is_on() {
                self.tell(record, meaning, service, None, wanted);
            }
            return service_us;
        }
        let marks = self.findings.marks();
        let tag = tags.and_then(|tags| tags.mark.as_ref());
        let mark = marks.of(tag, &session.mark, record.begin_us);
        marks.add(record.session, mark, &counted);
        let step = Step {
            record,
            phases: &counted.phases,
            statement: &meaning.statement,
            literals: entry.map_or(&[], |entry| entry.literals(record.member)),
            service,
            route,
            trace: tags.and_then(|tags| tags.trace),
            mark,
        };
        self.units.step(session, &step, labels);
        if wanted.any() || self.listening.is_on() {
            self.tell(record, meaning, service, mark, wanted);
        }
        service_us
    }

    /// Tells the listener of an execution that stands in its unit, and keeps it as an example where it makes one.
    fn tell(
        &mut self,
        record: &StatementRecord,
        meaning: &Meaning,
        service: ServiceId,
        mark: Option<MarkId>,
        wanted: Wanted,
    ) {
        let session = self.sessions.of(record.session);
        let entry = meaning.entry.as_deref();
        let tags = entry.map(|entry| &entry.tags);
        let trace = tags.and_then(|tags| tags.trace);
        let literals = entry.map_or(&[][..], |entry| entry.literals(record.member));
        let database = session.database;
        let who = session.who(&self.labels);
        // Places in the arenas mean nothing outside of their batch.
        let (binds, columns) = (Span::default(), Span::default());
        let event = Arc::new(StatementEvent {
            record: StatementRecord { binds, columns, sample: 0, ..*record },
            executed: Executed::new(meaning.statement.clone()),
            untracked: Arc::ptr_eq(&meaning.statement, &self.unknown_text),
            literals: !literals.is_empty(),
            query_id: self.query_ids.of(&who.database, meaning.statement.digest),
            changes_mark: entry.and_then(|entry| entry.mark_change(record.member)).is_some(),
            values_hash: if self.disguise.is_on() {
                0
            } else {
                values_of(record.binds_hash, literals)
            },
            seq: session.statements,
            unit_id: trace.or_else(|| session.unit.as_ref().map(SessionUnit::id)),
            traced: trace.is_some(),
            context: tags.and_then(|tags| tags.context),
            code: tags.and_then(|tags| tags.code.clone()),
            tags: tags.map_or_else(Vec::new, |tags| tags.others.clone()),
            as_sent: session.as_sent(record, entry.and_then(|entry| entry.raw.clone())),
            service: self.labels.service_name(service),
            route: tags.and_then(|tags| tags.route.clone()),
            mark: mark.and_then(|mark| self.findings.marks().name(mark).cloned()),
            who,
        });
        if wanted.any() {
            self.digests.keep_example(database, &event, wanted);
        }
        if self.listening.is_on() && record.transaction != 0 {
            session.block.get_or_insert_default().note(&event);
        }
        self.listening.hear(|| Heard::Statement(event));
    }

    /// The statement set the mark of its session, or reset it.
    fn change_mark(&mut self, record: &StatementRecord, change: &MarkChange) {
        let session = self.sessions.of(record.session);
        if record.outcome == Outcome::Ok && !session.stands_for_many {
            let in_transaction = record.transaction != 0;
            self.findings.marks().change(&mut session.mark, change, in_transaction);
        }
    }

    fn prepared(&mut self, id: SessionId, text: TextKey, took_us: u64) {
        let statement = self.texts.find(text).and_then(|entry| entry.member(0)).cloned();
        let counts_only = self.counts_only();
        let session = self.sessions.known(id).filter(|_| !counts_only);
        if let (Some(statement), Some(session)) = (statement, session) {
            let prepared = Prepared { database: session.database, statement, took_us };
            self.findings.prepared(&prepared, &self.labels, &self.digests);
        }
    }

    fn meaning(&mut self, record: &StatementRecord) -> Meaning {
        if record.protocol == Protocol::FunctionCall {
            return Meaning { statement: self.function_call.clone(), entry: None };
        }
        let entry = self.texts.find(record.text);
        let statement = entry.and_then(|entry| entry.member(record.member));
        match statement {
            Some(statement) => Meaning { statement: statement.clone(), entry: entry.cloned() },
            None => Meaning { statement: self.unknown_text.clone(), entry: None },
        }
    }

    /// From `at_us` on everything without a nearer mark runs under this one; `None` = under none.
    pub fn mark_process(&mut self, at_us: Micros, mark: Option<&Arc<str>>) {
        let mark = mark.map(|mark| self.disguise.label(Noun::Mark, mark.clone()));
        self.findings.marks().set_process(at_us, mark.as_ref());
    }

    /// Ends every unit of work that is still open: nothing more will come.
    pub fn finish(&mut self, now: Micros) {
        for id in self.sessions.sorted_ids() {
            if let Some(session) = self.sessions.known(id) {
                self.units.end(&mut session.unit, &mut self.labels);
            }
        }
        self.units.end_traces(&mut self.labels);
        self.tick(now);
    }

    /// Closes what has gone quiet; call it about once a second.
    pub fn tick(&mut self, now: Micros) {
        self.counters.books.other += self.digests.tick(now);
        self.bound_memory(now);
        self.units.tick(now, &mut self.labels);
        for id in self.sessions.sorted_ids() {
            if let Some(session) = self.sessions.known(id) {
                self.units.tick_session(&mut session.unit, now, &mut self.labels);
            }
        }
        if !self.counts_only() {
            self.findings.tick(now, &self.labels, &self.digests);
        }
        if self.history.is_due(now) {
            let step = self.digests.end_step(&self.labels);
            self.history.end_step(now, self.counters.all(), step);
        }
    }

    /// The frozen image of everything known. Costs little for digests that did not change.
    pub fn snapshot(&mut self, now: Micros) -> Snapshot {
        let mut snapshot = Snapshot {
            at_us: now,
            books: self.counters.books,
            latency: self.counters.latency.summary(),
            phases: self.counters.phases,
            digests: self.digests.render(&self.labels),
            other: self.digests.other,
            indivisible_batches: self.counters.indivisible,
            sessions: self.sessions.rows(now, &self.labels),
            sessions_open: self.sessions.len(),
            history: self.history.steps(),
            history_step_us: self.limits.history_step_us,
            sessions_seen: self.sessions.seen,
            sessions_opaque: self.sessions.opaque,
            digests_tracked: self.digests.len(),
            digests_max: self.limits.digests_max,
            memory: self.memory_use(),
            ..Snapshot::default()
        };
        self.query_ids.fill(&mut snapshot.digests);
        self.labels.fill(&mut snapshot);
        self.units.fill(&mut snapshot);
        let no_room = self.digests.overflowed + snapshot.memory.digests_shed;
        snapshot.overflow.push(("digests", no_room));
        snapshot.idle_in_transaction_max_us = self.idle_in_transaction_max_us;
        self.findings.marks().fill(self.units.marks(), &mut snapshot);
        self.findings.fill(now, &mut snapshot);
        snapshot
    }

    /// The frozen image with the distributions behind it: what adds up with that of other proxies. Costs more than a
    /// snapshot.
    pub fn sketched(&mut self, now: Micros) -> Sketched {
        let snapshot = self.snapshot(now);
        let mut rows: Map<(Arc<str>, u64), DigestSketch> = self
            .digests
            .iter()
            .map(|row| ((self.labels.database_name(row.database), row.digest()), row.sketch()))
            .collect();
        let digests = snapshot.digests.iter();
        let digests = digests
            .map(|row| rows.remove(&(row.database.clone(), row.digest)).unwrap_or_default())
            .collect();
        let mut marks = self.findings.marks().sketches();
        Sketched {
            all: self.counters.latency.sketch(),
            digests,
            routes: self.units.sketches(),
            marks: snapshot
                .marks
                .iter()
                .map(|row| marks.remove(&row.mark).unwrap_or_default())
                .collect(),
            snapshot,
        }
    }
}

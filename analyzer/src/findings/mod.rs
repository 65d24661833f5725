//! Findings: detectors look at the stream and make claims; the register keeps their life, cost and severity.
//!
//! A detector is one file and one line in [`detectors`].

mod advice;
mod cost;
mod fix;
mod hour;
mod identity;
mod loops;
mod missing_index;
mod n_plus_one;
mod orm;
mod register;
mod results;
mod rewrite;
mod samples;
mod sessions;
mod severity;
mod subject;
mod texts;

pub(crate) use orm::{Orm, by_introspection};

use crate::Map;
use crate::digest::DigestTable;
use crate::finding::{Finding, MuteRule, MuteTarget};
use crate::flow::{Flow, Occurrence};
use crate::labels::{DatabaseId, Labels};
use crate::limits::Limits;
use crate::marks::Marks;
use crate::names::Names;
use crate::record::{Micros, SessionId, TransactionRecord};
use crate::seen::{Prepared, Seen};
use crate::sessions::Session;
use crate::snapshot::{NPlusOneRow, Snapshot};
use cost::Costs;
use register::Register;
use std::sync::Arc;

/// What a detector may read while it works, and where it puts its claims.
pub(crate) struct Context<'a> {
    pub(crate) register: &'a mut Register,
    pub(crate) names: &'a Names,
    pub(crate) costs: &'a Costs,
    pub(crate) labels: &'a Labels,
    pub(crate) digests: &'a DigestTable,
    pub(crate) services: &'a mut Vec<NPlusOneRow>,
    /// (database, child digest) of every proved `n_plus_one`, and its finding: what a candidate for the same
    /// child is superseded by.
    pub(crate) proved_children: &'a mut Map<(DatabaseId, u64), u64>,
}

/// One kind of finding.
pub(crate) trait Detector {
    /// Takes in one execution.
    fn statement(&mut self, _seen: &Seen<'_>, _context: &mut Context<'_>) {}
    /// A Parse was answered by itself.
    fn prepared(&mut self, _prepared: &Prepared, _context: &mut Context<'_>) {}
    /// A session may send statements from here on.
    fn opened(&mut self, _session: SessionId, _session_of: &Session, _context: &mut Context<'_>) {}
    /// A transaction block ended.
    fn transaction(&mut self, _record: &TransactionRecord, _context: &mut Context<'_>) {}
    /// A session stands inside a transaction with nothing in flight, since the first and up to the second time.
    fn waiting(
        &mut self,
        _session: SessionId,
        _from_to_us: [Micros; 2],
        _context: &mut Context<'_>,
    ) {
    }
    /// A session ended, or its state was given up.
    fn closed(&mut self, _session: SessionId, _at_us: Micros, _context: &mut Context<'_>) {}
    /// Takes in one proved data flow.
    fn occurrence(&mut self, _occurrence: &Occurrence, _context: &mut Context<'_>) {}
    /// Evaluates rules over windows.
    fn tick(&mut self, _now: Micros, _context: &mut Context<'_>) {}
}

/// Every detector that is wanted; a new one is a file and a line in its family's list.
fn detectors(limits: &Limits) -> Vec<Box<dyn Detector>> {
    let mut all: Vec<Box<dyn Detector>> = vec![Box::new(n_plus_one::NPlusOne)];
    all.extend(loops::detectors(limits));
    all.extend(sessions::detectors(limits));
    all.extend(results::detectors(limits));
    all.extend(texts::detectors(limits));
    if limits.missing_index.enabled {
        all.push(Box::new(missing_index::MissingIndex::new(limits)));
    }
    all
}

/// All detectors and what they share.
pub(crate) struct Findings {
    flow: Flow,
    detectors: Vec<Box<dyn Detector>>,
    register: Register,
    names: Names,
    costs: Costs,
    services: Vec<NPlusOneRow>,
    proved_children: Map<(DatabaseId, u64), u64>,
}

impl Findings {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            flow: Flow::new(limits),
            detectors: detectors(limits),
            register: Register::new(limits),
            names: Names::new(limits.names_max),
            costs: Costs::default(),
            services: Vec::new(),
            proved_children: Map::default(),
        }
    }

    /// Goes on under these limits: what is known of findings stays, what detectors were in the middle of is
    /// forgotten, so that nothing is proved across a gap.
    pub(crate) fn begin_anew(&mut self, limits: &Limits) {
        self.flow.begin_anew(limits);
        self.detectors = detectors(limits);
        self.register.set_limits(limits);
    }

    /// Takes in one execution of a session with state.
    pub(crate) fn statement(&mut self, seen: &Seen<'_>, labels: &Labels, digests: &DigestTable) {
        if let Some(described) = seen.described.filter(|_| seen.described_anew) {
            self.names.learn(seen.database, seen.statement, described);
        }
        self.flow.statement(seen);
        if !seen.is_part() {
            self.names.after(seen.database, seen.statement);
            self.costs.statement(seen);
        }
        self.each(labels, digests, |detector, context| detector.statement(seen, context));
        self.settle(labels, digests);
    }

    /// A Parse was answered by itself.
    pub(crate) fn prepared(&mut self, of: &Prepared, labels: &Labels, digests: &DigestTable) {
        self.each(labels, digests, |detector, context| detector.prepared(of, context));
    }

    /// A transaction block ended.
    pub(crate) fn transaction(
        &mut self,
        record: &TransactionRecord,
        labels: &Labels,
        digests: &DigestTable,
    ) {
        self.each(labels, digests, |detector, context| detector.transaction(record, context));
        self.flow.close_transaction(record);
        self.settle(labels, digests);
    }

    /// A session may send statements from here on.
    pub(crate) fn opened(
        &mut self,
        id: SessionId,
        session: &Session,
        labels: &Labels,
        digests: &DigestTable,
    ) {
        self.each(labels, digests, |detector, context| detector.opened(id, session, context));
    }

    /// A session stands inside a transaction with nothing in flight, since the first and up to the second time.
    pub(crate) fn waiting(
        &mut self,
        id: SessionId,
        from_to_us: [Micros; 2],
        labels: &Labels,
        digests: &DigestTable,
    ) {
        self.each(labels, digests, |detector, context| detector.waiting(id, from_to_us, context));
    }

    /// A session ended, or its state was given up.
    pub(crate) fn closed(
        &mut self,
        session: SessionId,
        at_us: Micros,
        labels: &Labels,
        digests: &DigestTable,
    ) {
        self.each(labels, digests, |detector, context| detector.closed(session, at_us, context));
        self.flow.close_session(session, at_us);
        self.settle(labels, digests);
    }

    /// Takes what the index advisor says in place of what it said before.
    pub(crate) fn advise(&mut self, verdicts: Vec<crate::finding::IndexVerdict>, now: Micros) {
        self.register.advise(verdicts, now);
    }

    /// Silences what the rule names; false where there is no room for one more rule.
    pub(crate) fn mute(&mut self, rule: MuteRule) -> bool {
        self.register.mute(rule)
    }

    /// Takes a rule back; false where there was none.
    pub(crate) fn unmute(&mut self, target: &MuteTarget) -> bool {
        self.register.unmute(target)
    }

    /// Evaluates rules over windows and ends what has gone quiet.
    pub(crate) fn tick(&mut self, now: Micros, labels: &Labels, digests: &DigestTable) {
        self.flow.tick(now);
        self.settle(labels, digests);
        self.each(labels, digests, |detector, context| detector.tick(now, context));
        self.register.tick(now);
    }

    /// Hands proved data flow to the detectors.
    fn settle(&mut self, labels: &Labels, digests: &DigestTable) {
        for parent in std::mem::take(&mut self.flow.ended) {
            self.register.parent_ended(parent);
        }
        for occurrence in std::mem::take(&mut self.flow.occurrences) {
            self.each(labels, digests, |detector, context| {
                detector.occurrence(&occurrence, context);
            });
        }
    }

    fn each(
        &mut self,
        labels: &Labels,
        digests: &DigestTable,
        mut call: impl FnMut(&mut dyn Detector, &mut Context<'_>),
    ) {
        let mut context = Context {
            register: &mut self.register,
            names: &self.names,
            costs: &self.costs,
            labels,
            digests,
            services: &mut self.services,
            proved_children: &mut self.proved_children,
        };
        for detector in &mut self.detectors {
            call(&mut **detector, &mut context);
        }
    }

    /// What the application says that it does.
    pub(crate) fn marks(&mut self) -> &mut Marks {
        &mut self.register.marks
    }

    /// Bytes of all results that are held for the data-flow proof.
    pub(crate) fn held_bytes(&self) -> usize {
        self.flow.held_bytes()
    }

    /// Findings in the register.
    pub(crate) fn len(&self) -> usize {
        self.register.len()
    }

    /// Fills findings, their sums, and the ids in the digest rows.
    pub(crate) fn fill(&mut self, now: Micros, snapshot: &mut Snapshot) {
        snapshot.findings = self.register.findings(now, &self.costs);
        snapshot.findings_opened = self.register.opened();
        snapshot.n_plus_one.clone_from(&self.services);
        snapshot.overflow.push(("findings", self.register.overflowed));
        snapshot.overflow.extend(self.flow.overflow());
        name_in_rows(snapshot);
    }
}

/// Puts the ids of the findings into the rows of the digests that they name.
fn name_in_rows(snapshot: &mut Snapshot) {
    let mut named: Map<u64, Vec<&Finding>> = Map::default();
    for finding in &snapshot.findings {
        for digest in named_digests(finding) {
            named.entry(digest).or_default().push(finding);
        }
    }
    for row in &mut snapshot.digests {
        let findings = named.get(&row.digest).map_or(&[][..], |findings| findings);
        let own = findings.iter().filter(|finding| finding.database == row.database);
        row.findings.extend(own.map(|finding| finding.id));
    }
}

/// Gives a snapshot without findings those that are known from elsewhere, in the order in which they are shown.
pub(crate) fn adopt(snapshot: &mut Snapshot, mut findings: Vec<Finding>) {
    register::worst_first(&mut findings);
    snapshot.findings = findings;
    name_in_rows(snapshot);
}

fn named_digests(finding: &Finding) -> impl Iterator<Item = u64> {
    let parent = finding.parent.as_ref().map(|parent| parent.digest);
    let child = finding.child.as_ref().map(|child| child.digest);
    parent.into_iter().chain(child)
}

/// The row of a service, added if it is new.
fn service_row<'a>(rows: &'a mut Vec<NPlusOneRow>, service: &Arc<str>) -> &'a mut NPlusOneRow {
    let known = rows.iter().position(|row| row.service == *service);
    let index = known.unwrap_or_else(|| {
        rows.push(NPlusOneRow { service: service.clone(), ..NPlusOneRow::default() });
        rows.len() - 1
    });
    &mut rows[index]
}

//! `statement_churn`: texts that hardly ever repeat, because of literals or of a comment that changes.
//!
//! Executions of a digest are judged in windows. A client that never sends parameters makes texts of all its
//! statements: that is one finding for the client, not one per digest.

use super::{Key, is_work, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof, Severity};
use crate::findings::subject::{Subject, Verdict, exactly, ms, percent};
use crate::findings::{Context, Detector};
use crate::labels::{DatabaseId, ServiceId};
use crate::limits::{Limits, TextLimits};
use crate::record::{Micros, Protocol};
use crate::seen::{Prepared, Seen};
use std::sync::Arc;

/// Share of Parse in the digest's time from which it is a warning.
const PARSE_WARNING_RATIO: f64 = 0.10;
/// Digests of one client that are counted.
const CLIENT_DIGESTS_MAX: usize = 256;

/// The executions of one digest since the window began.
#[derive(Clone, Debug, Default)]
struct Window {
    executions: u64,
    /// The latest text: one that repeats need not be looked up.
    latest: u64,
    extended: u64,
    bound: u64,
    texts: Map<u64, ()>,
    codes: Map<u64, ()>,
    lengths: Map<u32, ()>,
    /// The latest comment, and how often each of its keys changed.
    comment: Vec<(Arc<str>, u64)>,
    changes: Vec<(Arc<str>, u64)>,
    service_us: u64,
    parse_us: u64,
}

/// Why texts differ.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Cause {
    Literals,
    /// Key, if the comment has one that changes.
    Comment(Option<Arc<str>>),
    /// `in_list_churn` speaks of it.
    Lists,
}

impl Window {
    fn add(&mut self, seen: &Seen<'_>) {
        self.executions += 1;
        self.extended += u64::from(seen.record.protocol == Protocol::Extended);
        self.bound += u64::from(seen.record.bind_count > 0);
        self.service_us += seen.service_us.unwrap_or(0);
        if std::mem::replace(&mut self.latest, seen.record.text.0) == seen.record.text.0 {
            return;
        }
        self.texts.insert(seen.record.text.0, ());
        self.codes.insert(seen.code, ());
        self.lengths.insert(seen.list_elements, ());
        let keys = seen.tags.map_or(&[][..], |tags| &tags.keys);
        for (key, value) in keys {
            let before = self.comment.iter().find(|(known, _)| known == key);
            if before.is_some_and(|(_, before)| before != value) {
                match self.changes.iter_mut().find(|(known, _)| known == key) {
                    Some((_, count)) => *count += 1,
                    None => self.changes.push((key.clone(), 1)),
                }
            }
        }
        if !keys.is_empty() {
            self.comment.clear();
            self.comment.extend_from_slice(keys);
        }
    }

    fn share(&self) -> f64 {
        self.texts.len() as f64 / self.executions.max(1) as f64
    }

    fn cause(&self) -> Cause {
        let half = self.texts.len() / 2;
        if self.codes.len() <= half {
            let most = self.changes.iter().max_by_key(|(_, count)| *count);
            return Cause::Comment(most.map(|(key, _)| key.clone()));
        }
        if self.lengths.len() > half { Cause::Lists } else { Cause::Literals }
    }
}

/// A client whose texts are all new.
#[derive(Clone, Debug, Default)]
struct Client {
    digests: Map<u64, ()>,
    executions: u64,
    texts: u64,
}

/// The detector.
#[derive(Debug)]
pub(super) struct Churn {
    limits: TextLimits,
    max: usize,
    windows: Map<Key, Window>,
    clients: Map<(DatabaseId, ServiceId), Client>,
}

impl Churn {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.texts.clone(),
            max: limits.digests_max,
            windows: Map::default(),
            clients: Map::default(),
        }
    }

    fn judge(&mut self, seen: &Seen<'_>, window: &Window, context: &mut Context<'_>) {
        if window.share() < self.limits.churn_share_min_ratio {
            return;
        }
        let extended = window.extended * 2 > window.executions;
        match window.cause() {
            Cause::Lists => {}
            // The simple protocol parses each time anyway.
            Cause::Comment(_) if !extended => {}
            Cause::Comment(key) => {
                let what = match &key {
                    Some(key) => format!("of `{key}` in their comment"),
                    None => "of their comment".to_owned(),
                };
                claim(seen, window, "comment", &what, key, context);
            }
            Cause::Literals if window.bound == 0 => self.client(seen, window, context),
            Cause::Literals => {
                claim(seen, window, "literals", "of literals in the text", None, context);
            }
        }
    }

    fn client(&mut self, seen: &Seen<'_>, window: &Window, context: &mut Context<'_>) {
        let key = (seen.database, seen.service);
        if self.clients.len() >= self.max && !self.clients.contains_key(&key) {
            return;
        }
        let client = self.clients.entry(key).or_default();
        if client.digests.len() < CLIENT_DIGESTS_MAX {
            client.digests.insert(seen.statement.digest, ());
        }
        client.executions += window.executions;
        client.texts += window.texts.len() as u64;
        let service = context.labels.service_name(seen.service);
        let share = client.texts as f64 / client.executions as f64;
        let sentence = format!(
            "`{service}` sends values as literals: {} of its executions of {} statement{} had a text of their own, \
             so no plan is used again.",
            percent(share),
            client.digests.len(),
            if client.digests.len() == 1 { "" } else { "s" },
        );
        let verdict = Verdict {
            evidence: vec![
                ("cause", EvidenceValue::Text(Arc::from("literals"))),
                ("statements", EvidenceValue::Count(client.digests.len() as u64)),
                ("executions", EvidenceValue::Count(client.executions)),
                ("texts", EvidenceValue::Count(client.texts)),
            ],
            severity_own: Some(Severity::Info),
            ..Verdict::new(Kind::StatementChurn, Proof::Observed, sentence)
        };
        let subject = Subject::of(seen);
        let claim = subject.claim_of_client(verdict, &service, context);
        context.register.sighting(claim, subject.sighting(1, exactly(0, window.service_us)));
    }
}

fn claim(
    seen: &Seen<'_>,
    window: &Window,
    cause: &'static str,
    what: &str,
    key: Option<Arc<str>>,
    context: &mut Context<'_>,
) {
    let subject = Subject::of(seen);
    let sentence = format!(
        "{} of {} executions of `{}` had a text of their own, because {what}: each is parsed and planned anew.",
        window.texts.len(),
        window.executions,
        subject.name(),
    );
    let mut evidence = vec![
        ("cause", EvidenceValue::Text(Arc::from(cause))),
        ("executions", EvidenceValue::Count(window.executions)),
        ("texts", EvidenceValue::Count(window.texts.len() as u64)),
    ];
    evidence.extend(key.map(|key| ("comment_key", EvidenceValue::Text(key))));
    if window.parse_us > 0 {
        evidence.push(("parse_ms", ms(window.parse_us)));
    }
    let total_us = window.service_us + window.parse_us;
    let heavy = window.parse_us as f64 >= total_us as f64 * PARSE_WARNING_RATIO;
    let warns = heavy && window.parse_us > 0;
    let verdict = Verdict {
        evidence,
        severity_own: Some(if warns { Severity::Warning } else { Severity::Info }),
        ..Verdict::new(Kind::StatementChurn, Proof::Observed, sentence)
    };
    let claim = subject.claim(verdict, context);
    let cost = exactly(window.parse_us, total_us);
    context.register.sighting(claim, subject.sighting(1, cost));
}

impl Detector for Churn {
    fn statement(&mut self, seen: &Seen<'_>, context: &mut Context<'_>) {
        if !is_work(seen) {
            return;
        }
        let key = key(seen);
        if self.windows.len() >= self.max && !self.windows.contains_key(&key) {
            return;
        }
        let window = self.windows.entry(key).or_default();
        window.add(seen);
        if window.executions >= self.limits.churn_executions_min {
            let window = std::mem::take(window);
            self.judge(seen, &window, context);
        }
    }

    fn prepared(&mut self, prepared: &Prepared, _context: &mut Context<'_>) {
        let key = (prepared.database, prepared.statement.digest);
        if let Some(window) = self.windows.get_mut(&key) {
            window.parse_us += prepared.took_us;
        }
    }

    /// A digest that didn't fill its window makes room when room is needed.
    fn tick(&mut self, _now: Micros, _context: &mut Context<'_>) {
        if self.windows.len() >= self.max {
            self.windows
                .retain(|_, window| window.executions * 2 > self.limits.churn_executions_min);
        }
    }
}

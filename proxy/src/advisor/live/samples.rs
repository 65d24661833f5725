//! Real parameter sets of statements, three per statement, in memory alone.
//!
//! The analyzer's thread offers what passes; the advisor's thread takes copies to plan with. Nothing here has a way to be
//! shown: no `Debug`, no serialisation.

use pgsonde_analyzer::Analyzer;
use pgsonde_analyzer::record::{Event, RecordBatch, SessionId, SessionOpened, TextKey};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Statements with samples, per process.
const STATEMENTS_MAX: usize = 2_000;
/// Sessions whose user and search_path are known.
const SESSIONS_MAX: usize = 20_000;
/// Texts that are remembered, to know what values belong to.
const TEXTS_MAX: usize = 8_000;
/// Bytes of texts and values that are held.
const BYTES_MAX: usize = 16 << 20;
/// Longest text that is kept, bytes.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Share of the executions that the slow sample stands for.
const SLOW_SHARE: f64 = 0.05;
/// A slow sample gives way to a less slow one after so many newer samples.
const SLOW_LASTS: u64 = 64;

/// Whose statements look names up in the same way.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Origin {
    pub(crate) database: Arc<str>,
    pub(crate) user: Arc<str>,
    /// The search_path that the session has set, as it wrote it.
    pub(crate) search_path: Option<Arc<str>>,
}

/// A text as it was sent, with the values that were bound to it.
#[derive(Clone)]
pub(crate) struct Sample {
    pub(crate) text: Arc<str>,
    /// As [`pgsonde_analyzer::record::ValuesRecord`] has them; empty where the text holds its values.
    pub(crate) values: Arc<[u8]>,
    pub(crate) count: u16,
    hash: u64,
    took_us: u64,
    at: u64,
}

/// The samples of one statement.
#[derive(Clone, Default)]
pub(crate) struct Taken {
    modal: Option<Sample>,
    slow: Option<Sample>,
    random: Option<Sample>,
    /// Majority vote over the hashes of values: candidate and its lead.
    vote: (u64, u64),
    agreeing: u64,
    /// Executions seen.
    pub(crate) seen: u64,
    offered: u64,
}

impl Taken {
    /// Up to three samples with their share of the executions.
    pub(crate) fn weighted(&self) -> Vec<(&Sample, f64)> {
        let modal = (self.agreeing as f64 / self.seen.max(1) as f64).clamp(0.05, 0.9);
        let all = [
            (&self.modal, modal),
            (&self.slow, SLOW_SHARE),
            (&self.random, 1.0 - modal - SLOW_SHARE),
        ];
        let mut found: Vec<(&Sample, f64)> = Vec::new();
        for (sample, share) in all {
            let Some(sample) = sample else { continue };
            match found.iter_mut().find(|(known, _)| known.hash == sample.hash) {
                Some(known) => known.1 += share,
                None => found.push((sample, share)),
            }
        }
        found
    }

    fn vote(&mut self, hash: u64) {
        self.seen += 1;
        match self.vote {
            (known, lead) if known == hash => {
                self.vote.1 = lead + 1;
                self.agreeing += 1;
            }
            (_, 0) => {
                self.vote = (hash, 1);
                self.agreeing = 1;
            }
            _ => self.vote.1 -= 1,
        }
    }

    fn offer(&mut self, sample: Sample, chance: u64) {
        self.offered += 1;
        if self.modal.is_none() || sample.hash == self.vote.0 {
            self.modal = Some(sample.clone());
        }
        let slower = self.slow.as_ref().is_none_or(|slow| {
            sample.took_us >= slow.took_us || sample.at.saturating_sub(slow.at) > SLOW_LASTS
        });
        if slower {
            self.slow = Some(sample.clone());
        }
        if chance.is_multiple_of(self.offered) {
            self.random = Some(sample);
        }
    }

    fn bytes(&self) -> usize {
        let of = |sample: &Option<Sample>| {
            sample.as_ref().map_or(0, |sample| sample.text.len() + sample.values.len())
        };
        of(&self.modal) + of(&self.slow) + of(&self.random)
    }
}

/// What a text does to the search_path of its session.
enum PathChange {
    Set(Arc<str>),
    Reset,
}

struct Known {
    text: Arc<str>,
    change: Option<PathChange>,
}

/// Everything that was taken.
#[derive(Default)]
pub(crate) struct Samples {
    sessions: HashMap<SessionId, Origin>,
    texts: HashMap<TextKey, Known>,
    text_bytes: usize,
    statements: HashMap<(Origin, u64), Taken>,
    offered: u64,
    /// Samples that found no room.
    pub(crate) left_out: u64,
    chance: u64,
}

impl Samples {
    /// Looks through a batch that the analyzer has taken in.
    pub(crate) fn take(&mut self, batch: &RecordBatch, analyzer: &mut Analyzer) {
        for text in batch.texts.iter().filter(|text| !text.cut) {
            self.learn(text.key, text.bytes.of(&batch.bytes));
        }
        for event in &batch.events {
            match event {
                Event::Opened(opened) => self.open(opened, batch),
                Event::Closed { session, .. } => drop(self.sessions.remove(session)),
                Event::Values(of) if of.planner => {
                    let values: Arc<[u8]> = Arc::from(batch.values.of(of.values));
                    let made = (of.first_row_us, of.binds_hash, of.count);
                    self.offer(of.session, of.text, values, made, analyzer);
                }
                Event::Statement(of) => {
                    self.follow_path(of.session, of.text);
                    let Some(key) = self.key(of.session, of.text, analyzer) else { continue };
                    let hash = if of.bind_count == 0 { of.text.0 } else { of.binds_hash };
                    self.statement(key).vote(hash);
                    if of.bind_count == 0 {
                        let made = (of.first_row_us, hash, 0);
                        self.offer(of.session, of.text, Arc::from([]), made, analyzer);
                    }
                }
                _ => {}
            }
        }
    }

    /// Executions seen, by origin and digest.
    pub(crate) fn seen(&self) -> BTreeMap<Origin, BTreeMap<u64, u64>> {
        let mut found: BTreeMap<Origin, BTreeMap<u64, u64>> = BTreeMap::new();
        for ((origin, digest), taken) in &self.statements {
            found.entry(origin.clone()).or_default().insert(*digest, taken.seen);
        }
        found
    }

    /// The samples of a statement.
    pub(crate) fn of(&self, origin: &Origin, digest: u64) -> Option<Taken> {
        self.statements.get(&(origin.clone(), digest)).cloned()
    }

    fn learn(&mut self, key: TextKey, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        if self.texts.contains_key(&key) || text.len() > TEXT_BYTES_MAX {
            return;
        }
        if self.texts.len() >= TEXTS_MAX || self.text_bytes + text.len() > BYTES_MAX / 2 {
            // Samples hold their own texts; senders tell texts again when the analyzer forgets them.
            (self.texts, self.text_bytes) = (HashMap::new(), 0);
        }
        self.text_bytes += text.len();
        self.texts.insert(key, Known { text: Arc::from(text), change: path_change(text) });
    }

    fn open(&mut self, opened: &SessionOpened, batch: &RecordBatch) {
        if self.sessions.len() >= SESSIONS_MAX {
            return;
        }
        let text = |span: pgsonde_analyzer::record::Span| -> Arc<str> {
            Arc::from(String::from_utf8_lossy(span.of(&batch.bytes)).as_ref())
        };
        let (database, user) = (text(opened.database), text(opened.user));
        self.sessions.insert(opened.session, Origin { database, user, search_path: None });
    }

    fn follow_path(&mut self, session: SessionId, text: TextKey) {
        let change = self.texts.get(&text).and_then(|known| known.change.as_ref());
        if let (Some(change), Some(origin)) = (change, self.sessions.get_mut(&session)) {
            origin.search_path = match change {
                PathChange::Set(path) => Some(path.clone()),
                PathChange::Reset => None,
            };
        }
    }

    fn key(
        &self,
        session: SessionId,
        text: TextKey,
        analyzer: &mut Analyzer,
    ) -> Option<(Origin, u64)> {
        let digest = analyzer.digest_of(text)?;
        let key = (self.sessions.get(&session)?.clone(), digest);
        let room = self.statements.len() < STATEMENTS_MAX || self.statements.contains_key(&key);
        room.then_some(key)
    }

    fn statement(&mut self, key: (Origin, u64)) -> &mut Taken {
        self.statements.entry(key).or_default()
    }

    fn offer(
        &mut self,
        session: SessionId,
        text: TextKey,
        values: Arc<[u8]>,
        (took_us, hash, count): (u64, u64, u16),
        analyzer: &mut Analyzer,
    ) {
        let known = self.texts.get(&text).map(|known| known.text.clone());
        let (Some(text_kept), Some(key)) = (known, self.key(session, text, analyzer)) else {
            self.left_out += 1;
            return;
        };
        self.offered += 1;
        // A linear congruence is chance enough to pick samples with.
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (chance, at) = (self.chance >> 33, self.offered);
        let sample = Sample { text: text_kept, values, count, hash, took_us, at };
        self.statement(key).offer(sample, chance);
        if at.is_multiple_of(1_024) {
            self.shrink();
        }
    }

    /// Too much: the statements that ran least go.
    fn shrink(&mut self) {
        let mut bytes: usize = self.statements.values().map(Taken::bytes).sum();
        if bytes <= BYTES_MAX / 2 {
            return;
        }
        let mut order: Vec<(u64, usize, (Origin, u64))> = self
            .statements
            .iter()
            .map(|(key, taken)| (taken.seen, taken.bytes(), key.clone()))
            .collect();
        order.sort_unstable_by_key(|(seen, ..)| *seen);
        for (_, size, key) in order {
            if bytes <= BYTES_MAX / 4 {
                break;
            }
            bytes -= size;
            self.left_out += 1;
            self.statements.remove(&key);
        }
    }
}

/// `SET [SESSION] search_path`, `RESET`, `DISCARD ALL`; a `SET LOCAL` ends with its transaction and is left aside.
fn path_change(text: &str) -> Option<PathChange> {
    let text = text.trim().trim_end_matches(';').trim();
    let lower = text.to_ascii_lowercase();
    if matches!(lower.as_str(), "reset search_path" | "reset all" | "discard all") {
        return Some(PathChange::Reset);
    }
    let rest = lower.strip_prefix("set ")?.trim_start();
    let rest = rest.strip_prefix("session ").map_or(rest, str::trim_start);
    let value = rest.strip_prefix("search_path")?.trim_start();
    let value = value.strip_prefix("to ").or_else(|| value.strip_prefix('='))?.trim();
    let written = &text[text.len() - value.len()..];
    match value {
        "default" => Some(PathChange::Reset),
        _ => Some(PathChange::Set(Arc::from(written))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_changes_of_the_search_path() {
        let rows: [(&str, Option<Option<&str>>); 9] = [
            ("SET search_path TO a, \"B\"", Some(Some("a, \"B\""))),
            ("set session search_path = tenant_1;", Some(Some("tenant_1"))),
            ("SET search_path='x'", Some(Some("'x'"))),
            ("set search_path to default", Some(None)),
            ("RESET search_path", Some(None)),
            ("DISCARD ALL", Some(None)),
            ("SET LOCAL search_path TO a", None),
            ("SET work_mem = '1MB'", None),
            ("select 1", None),
        ];
        for (text, expected) in rows {
            let found = path_change(text).map(|change| match change {
                PathChange::Set(path) => Some(path.to_string()),
                PathChange::Reset => None,
            });
            assert_eq!(found, expected.map(|path| path.map(str::to_owned)), "{text}");
        }
    }

    fn sample(hash: u64, took_us: u64, at: u64) -> Sample {
        let (text, values) = (Arc::from("select 1"), Arc::from([]));
        Sample { text, values, count: 0, hash, took_us, at }
    }

    #[test]
    fn keeps_the_most_frequent_the_slowest_and_any() {
        let mut taken = Taken::default();
        for at in 0..1_000 {
            // 7 of 10 executions have the value 1; the value 5 is slow.
            let hash = [1, 1, 1, 1, 1, 1, 1, 2, 3, 5][at as usize % 10];
            taken.vote(hash);
            taken.offer(sample(hash, if hash == 5 { 900 } else { 10 }, at), at * 7);
        }
        assert_eq!(taken.modal.as_ref().unwrap().hash, 1);
        assert_eq!(taken.slow.as_ref().unwrap().hash, 5);
        let weighted = taken.weighted();
        let sum: f64 = weighted.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-9);
        assert!(weighted[0].1 > 0.6, "{}", weighted[0].1);
    }

    #[test]
    fn a_slow_sample_gives_way_in_time() {
        let mut taken = Taken::default();
        taken.offer(sample(1, 9_000, 1), 1);
        taken.offer(sample(2, 10, 2), 1);
        assert_eq!(taken.slow.as_ref().unwrap().hash, 1);
        taken.offer(sample(3, 20, 100), 1);
        assert_eq!(taken.slow.as_ref().unwrap().hash, 3);
    }
}

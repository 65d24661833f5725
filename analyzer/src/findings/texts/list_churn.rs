//! `in_list_churn`: texts that differ in the length of a list only, so that each is parsed anew.

use super::{Key, is_work, key};
use crate::Map;
use crate::finding::{EvidenceValue, Kind, Proof};
use crate::findings::subject::{Subject, Verdict, exactly, ms};
use crate::findings::{Context, Detector};
use crate::limits::Limits;
use crate::record::{Micros, Protocol};
use crate::seen::{Prepared, Seen};

/// Lengths told apart per digest.
const LENGTHS_MAX: usize = 1_024;

#[derive(Clone, Debug, Default)]
struct Lists {
    lengths: Map<u32, ()>,
    longest: u32,
    executions: u64,
    /// Executions whose text was parsed for them.
    parses: u64,
    /// What was measured of Parses that were answered by themselves.
    timed_parses: u64,
    parse_us: u64,
    /// Parses and their measured time since the last claim.
    fresh: (u64, u64),
    subject: Option<Subject>,
}

/// The detector.
#[derive(Debug)]
pub(super) struct ListChurn {
    texts_min: u64,
    max: usize,
    lists: Map<Key, Lists>,
}

impl ListChurn {
    pub(super) fn new(limits: &Limits) -> Self {
        let texts_min = limits.texts.list_texts_min;
        Self { texts_min, max: limits.digests_max, lists: Map::default() }
    }
}

impl Detector for ListChurn {
    fn statement(&mut self, seen: &Seen<'_>, _context: &mut Context<'_>) {
        let extended = seen.record.protocol == Protocol::Extended;
        // Literals make a text of its own each time, whatever the list's length.
        if seen.list_elements == 0 || !extended || seen.record.bind_count == 0 || !is_work(seen) {
            return;
        }
        let key = key(seen);
        if self.lists.len() >= self.max && !self.lists.contains_key(&key) {
            return;
        }
        let lists = self.lists.entry(key).or_default();
        if lists.lengths.len() < LENGTHS_MAX {
            lists.lengths.insert(seen.list_elements, ());
        }
        lists.longest = lists.longest.max(seen.list_elements);
        lists.executions += 1;
        lists.parses += u64::from(seen.record.parsed);
        lists.fresh.0 += u64::from(seen.record.parsed);
        if seen.record.parsed {
            lists.subject = Some(Subject::of(seen));
        }
    }

    fn prepared(&mut self, prepared: &Prepared, _context: &mut Context<'_>) {
        let key = (prepared.database, prepared.statement.digest);
        if let Some(lists) = self.lists.get_mut(&key) {
            lists.timed_parses += 1;
            lists.parse_us += prepared.took_us;
            lists.fresh.1 += prepared.took_us;
        }
    }

    fn tick(&mut self, _now: Micros, context: &mut Context<'_>) {
        let ripe =
            |lists: &Lists| lists.lengths.len() as u64 >= self.texts_min && lists.fresh.0 > 0;
        let mut keys: Vec<Key> =
            self.lists.iter().filter(|(_, lists)| ripe(lists)).map(|(key, _)| *key).collect();
        keys.sort_unstable();
        for key in keys {
            let Some(lists) = self.lists.get_mut(&key) else { continue };
            let (parses, parse_us) = std::mem::take(&mut lists.fresh);
            let Some(subject) = &lists.subject else { continue };
            let claim = subject.claim(verdict(subject, lists), context);
            // Each new text is parsed once more than one with an array parameter would be.
            let cost = exactly(parse_us / parses.max(1), parse_us);
            context.register.sighting(claim, subject.sighting(parses, cost));
        }
    }
}

fn verdict(subject: &Subject, lists: &Lists) -> Verdict {
    let texts = lists.lengths.len();
    let sentence = format!(
        "`{}` came in {texts} texts that differ in the length of a list only (up to {} parameters); {} of {} \
         executions had to be parsed first.",
        subject.name(),
        lists.longest,
        lists.parses,
        lists.executions,
    );
    let mut evidence = vec![
        ("texts", EvidenceValue::Count(texts as u64)),
        ("longest_list", EvidenceValue::Count(lists.longest.into())),
        ("executions", EvidenceValue::Count(lists.executions)),
        ("parses", EvidenceValue::Count(lists.parses)),
    ];
    if lists.timed_parses > 0 {
        evidence.push(("parse_ms", ms(lists.parse_us)));
    }
    Verdict { evidence, ..Verdict::new(Kind::InListChurn, Proof::Observed, sentence) }
}

//! What the analyzer is told beside the traffic.

use super::Analyzer;
use crate::digest::query_ids::QueryId;
use crate::finding::{IndexVerdict, MuteRule, MuteTarget};
use crate::record::{Micros, TextKey};

impl Analyzer {
    /// Takes what the index advisor says, in place of all that it said before.
    pub fn advise(&mut self, verdicts: Vec<IndexVerdict>, now: Micros) {
        self.findings.advise(verdicts, now);
    }

    /// The digest of a text that is one statement, if the text is known.
    pub fn digest_of(&mut self, text: TextKey) -> Option<u64> {
        let entry = self.texts.find(text)?;
        entry.single().map(|statement| statement.digest)
    }

    /// Silences the findings that the rule names, from the next snapshot on; false where there is no room for one
    /// more rule.
    pub fn mute(&mut self, rule: MuteRule) -> bool {
        self.findings.mute(rule)
    }

    /// Takes a rule back; false where there was none for that target.
    pub fn unmute(&mut self, target: &MuteTarget) -> bool {
        self.findings.unmute(target)
    }

    /// Takes what the server calls the digests, in place of all that it said before.
    pub fn name_queries(&mut self, ids: Vec<QueryId>) {
        self.query_ids.replace(ids);
    }
}

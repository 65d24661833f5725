//! The statement that a finding of results or texts is about.

use super::Context;
use super::advice::{Entities, advice};
use super::cost::OccurrenceCost;
use super::identity::Identity;
use super::orm;
use super::register::{Claim, Sighting};
use crate::digest::Statement;
use crate::finding::{Child, EvidenceValue, Kind, Proof, Severity};
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::record::Micros;
use crate::seen::Seen;
use std::sync::Arc;

/// Statement, sender, and its latest execution.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) database: DatabaseId,
    pub(crate) statement: Arc<Statement>,
    pub(crate) sender: Sender,
    pub(crate) session: u64,
    pub(crate) at_us: Micros,
    pub(crate) duration_us: u64,
}

/// What a detector has to say about a subject.
#[derive(Clone, Debug)]
pub(crate) struct Verdict {
    pub(crate) kind: Kind,
    pub(crate) proof: Proof,
    /// Which rule, for kinds with several; part of the identity.
    pub(crate) rule: Option<&'static str>,
    /// Column of the result by position; part of the identity.
    pub(crate) field: Option<u16>,
    /// `table.column`, for display.
    pub(crate) column: Option<Arc<str>>,
    pub(crate) sentence: String,
    pub(crate) evidence: Vec<(&'static str, EvidenceValue)>,
    pub(crate) severity_own: Option<Severity>,
    pub(crate) severity_max: Severity,
}

impl Verdict {
    /// On the general scale, without rule and column.
    pub(crate) fn new(kind: Kind, proof: Proof, sentence: String) -> Self {
        Self {
            kind,
            proof,
            rule: None,
            field: None,
            column: None,
            sentence,
            evidence: Vec::new(),
            severity_own: None,
            severity_max: if proof.is_proved() { Severity::Error } else { Severity::Warning },
        }
    }
}

impl Subject {
    pub(crate) fn of(seen: &Seen<'_>) -> Self {
        Self {
            database: seen.database,
            statement: seen.statement.clone(),
            sender: Sender::of(seen),
            session: seen.record.session.0,
            at_us: seen.record.end_us(),
            duration_us: seen.record.duration_us(),
        }
    }

    /// The first table that the text names.
    pub(crate) fn table(&self) -> Option<&Arc<str>> {
        self.statement.tables.first()
    }

    /// What the sentence calls it.
    pub(crate) fn name(&self) -> &str {
        &self.statement.summary
    }

    /// A sighting of the latest execution.
    pub(crate) fn sighting(&self, times: u64, cost: OccurrenceCost) -> Sighting {
        Sighting {
            at_us: self.at_us,
            session: self.session,
            times,
            cost,
            route: self.sender.route.clone(),
            wall_us: self.duration_us,
            ..Sighting::default()
        }
    }

    /// Without OIDs, hashes, routes and learnt names.
    fn identity(&self, database: &str, verdict: &Verdict) -> u64 {
        let mut hash = Identity::new();
        hash.text(verdict.kind.name());
        hash.text(database);
        hash.number(self.statement.digest);
        hash.text(verdict.rule.unwrap_or(""));
        hash.number(verdict.field.map_or(0, |field| u64::from(field) + 1));
        hash.finish()
    }

    /// A claim about the statement and the first table that it names.
    pub(crate) fn claim(&self, verdict: Verdict, context: &Context<'_>) -> Claim {
        self.claim_about(verdict, self.table(), context)
    }

    /// A claim about everything that a client sends.
    pub(crate) fn claim_of_client(
        &self,
        verdict: Verdict,
        service: &str,
        context: &Context<'_>,
    ) -> Claim {
        let mut claim = self.claim_about(verdict, None, context);
        let mut hash = Identity::new();
        hash.text(claim.kind.name());
        hash.text(&claim.database);
        hash.text("client");
        hash.text(service);
        claim.id = hash.finish();
        claim.child = None;
        claim
    }

    /// A claim about the statement and this table.
    pub(crate) fn claim_about(
        &self,
        verdict: Verdict,
        table: Option<&Arc<str>>,
        context: &Context<'_>,
    ) -> Claim {
        let database = context.labels.database_name(self.database);
        let column = verdict.column.as_deref().and_then(|column| column.rsplit('.').next());
        let entities = Entities { parent: None, child: table.map(|table| &**table), column };
        let orm = orm::guess(&self.sender, &[&self.statement.words]);
        Claim {
            id: self.identity(&database, &verdict),
            kind: verdict.kind,
            variant: None,
            proof: verdict.proof,
            gate: None,
            parent: None,
            service: context.labels.service_name(self.sender.service),
            fix: advice(verdict.kind, verdict.rule, orm, &entities),
            child: Some(Child {
                table: table.cloned(),
                column: column.map(Arc::from),
                digest: self.statement.digest,
                query_text: self.statement.text.clone(),
                slot: 0,
            }),
            column: verdict.column,
            sentence: verdict.sentence,
            evidence: verdict.evidence,
            rule: verdict.rule,
            severity_max: verdict.severity_max,
            severity_own: verdict.severity_own,
            parent_key: None,
            database,
        }
    }
}

/// A duration as evidence.
pub(crate) fn ms(us: u64) -> EvidenceValue {
    EvidenceValue::Number(us as f64 / 1_000.0)
}

/// A cost without a range: what one occurrence took in vain.
pub(crate) fn exactly(saved_us: u64, busy_us: u64) -> OccurrenceCost {
    OccurrenceCost {
        saved_low_us: saved_us,
        saved_high_us: saved_us,
        service_p50_us: busy_us,
        busy_us,
        ..OccurrenceCost::default()
    }
}

/// `12,345`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes with a unit that keeps them readable.
pub(crate) fn bytes(number: u64) -> String {
    match number {
        0..10_000 => format!("{number} bytes"),
        10_000..10_000_000 => format!("{:.0} kB", number as f64 / 1_000.0),
        _ => format!("{:.1} MB", number as f64 / 1_000_000.0),
    }
}

/// A share in percent.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (number, text) in
            [(0, "0"), (999, "999"), (1_000, "1,000"), (12_345, "12,345"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(number), text);
        }
        for (number, text) in [(9_999, "9999 bytes"), (123_456, "123 kB"), (12_300_000, "12.3 MB")]
        {
            assert_eq!(bytes(number), text);
        }
        assert_eq!(percent(0.666), "67 %");
    }
}

//! How sessions and transactions are used.

mod chatter;
mod churn;
mod open;
mod transactions;

use super::advice::{Entities, advice};
use super::identity::Identity;
use super::register::Claim;
use super::{Context, Detector, orm};
use crate::finding::{Child, EvidenceValue, Kind, Proof, Severity};
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::limits::Limits;
use std::sync::Arc;

/// The detectors of this family.
pub(super) fn detectors(limits: &Limits) -> Vec<Box<dyn Detector>> {
    vec![
        Box::new(transactions::Transactions::new(&limits.sessions)),
        Box::new(churn::Churn::new(&limits.sessions)),
        Box::new(chatter::Chatter::new(&limits.sessions)),
    ]
}

/// What the claims of this family share.
struct Said<'a> {
    kind: Kind,
    database: DatabaseId,
    /// Part of the identity besides kind and database: the child's digest, or the service's name.
    about: About,
    sender: &'a Sender,
    severity_own: Option<Severity>,
    sentence: String,
    evidence: Vec<(&'static str, EvidenceValue)>,
}

/// What a finding of this family is about.
enum About {
    Statement(Child),
    Service,
}

impl Said<'_> {
    fn id(&self, context: &Context<'_>) -> u64 {
        let mut id = Identity::new();
        id.text(self.kind.name());
        id.text(&context.labels.database_name(self.database));
        match &self.about {
            About::Statement(child) => id.number(child.digest),
            About::Service => id.text(&context.labels.service_name(self.sender.service)),
        }
        id.finish()
    }

    /// The claim; its own severity never falls while the finding is open.
    fn claim(self, context: &Context<'_>) -> Claim {
        let id = self.id(context);
        let child = match self.about {
            About::Statement(child) => Some(child),
            About::Service => None,
        };
        let text = child.as_ref().map(|child| child.query_text.clone()).unwrap_or_default();
        let table = child.as_ref().and_then(|child| child.table.clone());
        let entities = Entities { child: table.as_deref(), ..Entities::default() };
        let orm = orm::guess(self.sender, &[&text]);
        Claim {
            id,
            kind: self.kind,
            variant: None,
            proof: Proof::Observed,
            gate: None,
            database: context.labels.database_name(self.database),
            parent: None,
            child,
            service: context.labels.service_name(self.sender.service),
            column: None,
            sentence: self.sentence,
            fix: advice(self.kind, None, orm, &entities),
            evidence: self.evidence,
            rule: None,
            severity_max: Severity::Error,
            severity_own: self.severity_own.max(context.register.own_severity(id)),
            parent_key: None,
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn list(words: &[Arc<str>]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;

//! What a rule found, and how it becomes a claim.

use crate::digest::Statement;
use crate::finding::{Child, EvidenceValue, Kind, Proof, Severity};
use crate::findings::advice::{Entities, advice};
use crate::findings::cost::OccurrenceCost;
use crate::findings::identity::Identity;
use crate::findings::register::{Claim, Sighting};
use crate::findings::{Context, orm, rewrite};
use crate::flow::Sender;
use crate::labels::DatabaseId;
use crate::record::{Micros, SessionId};
use std::sync::Arc;

/// One occurrence that met its rule.
#[derive(Clone, Debug)]
pub(super) struct Report {
    pub(super) kind: Kind,
    pub(super) proof: Proof,
    pub(super) severity_max: Severity,
    /// On the kind's own scale, once it was seen often enough.
    pub(super) severity_own: Option<Severity>,
    pub(super) database: DatabaseId,
    /// The repeated statement.
    pub(super) statement: Arc<Statement>,
    /// The other statement of a pair; part of the identity.
    pub(super) partner: Option<u64>,
    /// The slot whose values differ.
    pub(super) slot: Option<u16>,
    pub(super) sender: Sender,
    pub(super) n: Option<u64>,
    pub(super) times: u64,
    pub(super) cost: OccurrenceCost,
    pub(super) session: SessionId,
    pub(super) first_us: Micros,
    pub(super) last_us: Micros,
    /// Transaction block whose end it has to wait for, and whether it is traced.
    pub(super) scope: (u32, bool),
    pub(super) sentence: String,
    pub(super) evidence: Vec<(&'static str, EvidenceValue)>,
}

impl Report {
    pub(super) fn new(
        kind: Kind,
        proof: Proof,
        database: DatabaseId,
        statement: &Arc<Statement>,
    ) -> Self {
        let severity_max = if proof.is_proved() { Severity::Error } else { Severity::Warning };
        Self {
            kind,
            proof,
            severity_max,
            severity_own: None,
            database,
            statement: statement.clone(),
            partner: None,
            slot: None,
            sender: Sender::default(),
            n: None,
            times: 1,
            cost: OccurrenceCost::default(),
            session: SessionId::default(),
            first_us: 0,
            last_us: 0,
            scope: (0, false),
            sentence: String::new(),
            evidence: Vec::new(),
        }
    }

    /// Equal across restarts, environments and machines.
    pub(super) fn identity(&self, database: &str) -> u64 {
        let mut hash = Identity::new();
        hash.text(self.kind.name());
        hash.text(database);
        match self.partner {
            Some(partner) => hash.number(partner),
            None => hash.text(""),
        }
        hash.text("");
        hash.number(self.statement.digest);
        match self.slot {
            Some(slot) => hash.number(slot.into()),
            None => hash.text(""),
        }
        hash.text("");
        hash.text("");
        hash.finish()
    }

    /// Predicate column of the slot, as the text names it.
    pub(super) fn column(&self) -> Option<Arc<str>> {
        let facts = self.statement.facts.as_ref()?;
        let slot = self.slot?;
        let predicate = facts.predicates.iter().find(|found| found.slots.contains(&slot))?;
        Some(Arc::from(predicate.column.as_str()))
    }

    fn claim(&self, id: u64, database: Arc<str>, context: &Context<'_>) -> Claim {
        let (table, column) = (self.statement.tables.first().cloned(), self.column());
        let orm = orm::guess(&self.sender, &[&self.statement.words]);
        let entities =
            Entities { parent: None, child: table.as_deref(), column: column.as_deref() };
        let mut fix = advice(self.kind, None, orm, &entities);
        if self.kind == Kind::LoopedLookup {
            fix.sql = self.slot.and_then(|slot| rewrite::batched(&self.statement, slot));
        }
        Claim {
            id,
            kind: self.kind,
            variant: None,
            proof: self.proof,
            gate: None,
            database,
            parent: None,
            child: Some(Child {
                table,
                column,
                digest: self.statement.digest,
                query_text: self.statement.text.clone(),
                slot: self.slot.unwrap_or(0),
            }),
            service: context.labels.service_name(self.sender.service),
            column: None,
            sentence: self.sentence.clone(),
            fix,
            evidence: self.evidence.clone(),
            rule: None,
            severity_max: self.severity_max,
            severity_own: self.severity_own,
            parent_key: None,
        }
    }

    /// Puts it into the register.
    pub(super) fn claim_into(&self, context: &mut Context<'_>) {
        let database = context.labels.database_name(self.database);
        let claim = self.claim(self.identity(&database), database, context);
        let sighting = Sighting {
            at_us: self.last_us,
            session: self.session.0,
            times: self.times,
            n: self.n,
            cost: self.cost,
            route: self.sender.route.clone(),
            wall_us: self.last_us.saturating_sub(self.first_us),
            ..Sighting::default()
        };
        context.register.sighting(claim, sighting);
    }
}

/// Milliseconds as evidence.
pub(super) fn ms(us: u64) -> EvidenceValue {
    EvidenceValue::Number(us as f64 / 1_000.0)
}

/// A digest as pages and the API write it.
pub(super) fn hex(digest: u64) -> EvidenceValue {
    EvidenceValue::Text(Arc::from(format!("{digest:016x}")))
}

/// Share of a part in a whole.
pub(super) fn share(part: u64, whole: u64) -> EvidenceValue {
    EvidenceValue::Number(part as f64 / whole.max(1) as f64)
}

/// The first table of a statement, else the statement in a few words.
pub(super) fn subject(statement: &Statement) -> &str {
    statement.tables.first().unwrap_or(&statement.summary)
}

//! What the index advisor says of missing indexes, laid over what the wire says.
//!
//! The detector goes on counting executions, routes and times; the advisor's words, proof and state stand before its own.

use super::{Claim, Entry, Register, Sighting};
use crate::finding::{Child, Finding, IndexVerdict, Kind, Severity, State};
use crate::record::Micros;

impl Register {
    /// Takes these verdicts in place of all earlier ones. Indexes that the wire did not suspect become findings.
    pub(crate) fn advise(&mut self, verdicts: Vec<IndexVerdict>, now: Micros) {
        self.verdicts.clear();
        for verdict in verdicts.into_iter().take(self.limits.findings_max) {
            let known = self.entries.contains_key(&verdict.id);
            if !known && verdict.state == State::Resolved {
                continue;
            }
            let claim = claim(&verdict);
            match self.entries.get_mut(&verdict.id) {
                Some(entry) => entry.last_us = entry.last_us.max(now),
                None => {
                    let sighting = Sighting { at_us: now, times: 1, ..Sighting::default() };
                    self.sighting(claim, sighting);
                }
            }
            self.verdicts.insert(verdict.id, verdict);
        }
    }

    /// The advisor's words in place of the detector's, where there are any.
    pub(super) fn lay_over(&self, finding: &mut Finding, entry: &Entry) {
        let Some(verdict) = self.verdicts.get(&finding.id) else { return };
        finding.variant = Some(verdict.variant);
        finding.proof = verdict.proof;
        finding.severity = match verdict.state {
            State::Resolved => Severity::Info,
            _ => finding.severity.max(verdict.severity),
        };
        finding.sentence.clone_from(&verdict.sentence);
        finding.fix = verdict.fix.clone();
        finding.column = Some(verdict.columns.clone());
        for (name, value) in &verdict.evidence {
            finding.evidence.retain(|(known, _)| known != name);
            finding.evidence.push((name, value.clone()));
        }
        if let Some(ms) = verdict.saved_ms_per_hour {
            finding.cost.saved_low_ms_per_hour = Some(ms);
            finding.cost.saved_high_ms_per_hour = Some(ms);
        }
        if entry.state == State::Open {
            finding.state = verdict.state;
        }
    }
}

fn claim(verdict: &IndexVerdict) -> Claim {
    Claim {
        id: verdict.id,
        kind: Kind::MissingIndex,
        variant: Some(verdict.variant),
        proof: verdict.proof,
        gate: None,
        database: verdict.database.clone(),
        parent: None,
        child: Some(Child {
            table: Some(verdict.table.clone()),
            column: None,
            digest: verdict.digest,
            query_text: verdict.query_text.clone(),
            slot: 0,
        }),
        service: verdict.service.clone(),
        column: Some(verdict.columns.clone()),
        sentence: verdict.sentence.clone(),
        fix: verdict.fix.clone(),
        evidence: verdict.evidence.clone(),
        rule: None,
        severity_max: Severity::Warning,
        severity_own: None,
        parent_key: None,
    }
}

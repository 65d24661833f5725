//! The parts of a finding as JSON, and back from a capture.

use super::{Child, Cost, Fix, MarkSightings, Parent, RouteSightings};
use crate::export::api::digest_text;
use pgsonde_analyzer::finding::{self, EvidenceValue};
use serde_json::Value;
use std::sync::Arc;

impl From<&finding::Parent> for Parent {
    fn from(parent: &finding::Parent) -> Self {
        Self {
            table: parent.table.as_ref().map(ToString::to_string),
            column: parent.column.as_ref().map(ToString::to_string),
            digest: digest_text(parent.digest),
            query_text: parent.query_text.to_string(),
            table_oid: parent.table_oid,
            attnum: parent.attnum,
            field: parent.field,
            alternatives: parent.alternatives.iter().map(ToString::to_string).collect(),
        }
    }
}

impl Parent {
    /// Nothing if the digest is none.
    pub(crate) fn restored(&self) -> Option<finding::Parent> {
        Some(finding::Parent {
            table: self.table.as_deref().map(Arc::from),
            column: self.column.as_deref().map(Arc::from),
            digest: u64::from_str_radix(&self.digest, 16).ok()?,
            query_text: Arc::from(self.query_text.as_str()),
            table_oid: self.table_oid,
            attnum: self.attnum,
            field: self.field,
            alternatives: self.alternatives.iter().map(|name| Arc::from(name.as_str())).collect(),
        })
    }
}

impl From<&finding::Child> for Child {
    fn from(child: &finding::Child) -> Self {
        Self {
            table: child.table.as_ref().map(ToString::to_string),
            column: child.column.as_ref().map(ToString::to_string),
            digest: digest_text(child.digest),
            query_text: child.query_text.to_string(),
            slot: child.slot,
        }
    }
}

impl Child {
    /// Nothing if the digest is none.
    pub(crate) fn restored(&self) -> Option<finding::Child> {
        Some(finding::Child {
            table: self.table.as_deref().map(Arc::from),
            column: self.column.as_deref().map(Arc::from),
            digest: u64::from_str_radix(&self.digest, 16).ok()?,
            query_text: Arc::from(self.query_text.as_str()),
            slot: self.slot,
        })
    }
}

impl From<&finding::Cost> for Cost {
    fn from(cost: &finding::Cost) -> Self {
        Self {
            saved_low_ms: cost.saved_low_ms,
            saved_high_ms: cost.saved_high_ms,
            saved_low_ms_per_hour: cost.saved_low_ms_per_hour,
            saved_high_ms_per_hour: cost.saved_high_ms_per_hour,
            occurrences_per_hour: cost.occurrences_per_hour,
            bytes: cost.bytes,
            round_trips: cost.round_trips,
            rtt_ms: cost.rtt_ms,
            service_p50_ms: cost.service_p50_ms,
            busy_ms: cost.busy_ms,
            busy_total_ms: cost.busy_total_ms,
        }
    }
}

impl Cost {
    pub(crate) fn restored(&self) -> finding::Cost {
        finding::Cost {
            saved_low_ms: self.saved_low_ms,
            saved_high_ms: self.saved_high_ms,
            saved_low_ms_per_hour: self.saved_low_ms_per_hour,
            saved_high_ms_per_hour: self.saved_high_ms_per_hour,
            occurrences_per_hour: self.occurrences_per_hour,
            bytes: self.bytes,
            round_trips: self.round_trips,
            rtt_ms: self.rtt_ms,
            service_p50_ms: self.service_p50_ms,
            busy_ms: self.busy_ms,
            busy_total_ms: self.busy_total_ms,
        }
    }
}

impl From<&finding::Fix> for Fix {
    fn from(fix: &finding::Fix) -> Self {
        Self { orm: fix.orm.map(str::to_owned), text: fix.text.clone(), sql: fix.sql.clone() }
    }
}

impl From<&(Arc<str>, u64)> for RouteSightings {
    fn from((route, sightings): &(Arc<str>, u64)) -> Self {
        Self { route: route.to_string(), sightings: *sightings }
    }
}

impl From<&(Arc<str>, u64)> for MarkSightings {
    fn from((mark, sightings): &(Arc<str>, u64)) -> Self {
        Self { mark: mark.to_string(), sightings: *sightings }
    }
}

/// A piece of evidence as JSON.
pub(crate) fn evidence_json(value: &EvidenceValue) -> Value {
    match value {
        EvidenceValue::Count(count) => Value::from(*count),
        EvidenceValue::Number(number) => Value::from(*number),
        EvidenceValue::Text(text) => Value::from(&**text),
        EvidenceValue::List(words) => words.iter().map(|word| Value::from(&**word)).collect(),
    }
}

/// What [`evidence_json`] wrote; nothing for JSON that it never writes.
pub(crate) fn evidence_restored(value: &Value) -> Option<EvidenceValue> {
    match value {
        Value::Number(number) => number
            .as_u64()
            .map(EvidenceValue::Count)
            .or_else(|| number.as_f64().map(EvidenceValue::Number)),
        Value::String(text) => Some(EvidenceValue::Text(Arc::from(text.as_str()))),
        Value::Array(words) => {
            let words = words.iter().map(|word| word.as_str().map(Arc::from));
            words.collect::<Option<_>>().map(EvidenceValue::List)
        }
        _ => None,
    }
}

//! `audit.json` and the baseline: what an audit leaves behind, as types.

use super::Finding;
use serde::{Deserialize, Serialize};

/// Version of `audit.json` and of the baseline.
pub(crate) const AUDIT_VERSION: u32 = 1;

/// `audit.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct AuditDocument {
    pub(crate) version: u32,
    pub(crate) pgsonde: String,
    pub(crate) totals: Totals,
    pub(crate) limits: Vec<JudgedLimit>,
    pub(crate) findings: Vec<JudgedFinding>,
    /// Sentences about what was lost or could not be done.
    pub(crate) warnings: Vec<String>,
    /// Of this process.
    pub(crate) exit_code: u8,
    /// `ok`, `child`, `budget` or `pgsonde`.
    pub(crate) exit_reason: String,
    /// Of the command; absent where it didn't start.
    pub(crate) child_code: Option<u8>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub(crate) marks: u64,
    pub(crate) connections: u64,
    pub(crate) statements: u64,
    pub(crate) errors: u64,
    /// Time of all statements.
    pub(crate) db_ms: f64,
    /// `host:port`
    pub(crate) upstreams: Vec<String>,
    pub(crate) dropped_events: u64,
}

/// One limit and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct JudgedLimit {
    /// `run`, `findings`, `route`, `mark` or `digest`.
    pub(crate) scope: String,
    /// The route, mark or digest, or the pattern where none fitted.
    pub(crate) subject: Option<String>,
    pub(crate) key: String,
    /// `count`, `us` or `bytes`, of both values.
    pub(crate) unit: String,
    pub(crate) limit: u64,
    pub(crate) measured: Option<u64>,
    /// `pass`, `fail` or `not judged`.
    pub(crate) verdict: String,
    /// What the value comes from, or why it isn't judged.
    pub(crate) detail: String,
}

/// One finding and whether it counts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JudgedFinding {
    #[serde(flatten)]
    pub(crate) finding: Finding,
    /// The baseline has it.
    pub(crate) known: bool,
    /// Sightings beyond those that the baseline has.
    pub(crate) beyond_baseline: u64,
    /// The reason of the budget's entry that ignores it.
    pub(crate) ignored: Option<String>,
}

/// The baseline: findings that are known, and how often statements run per unit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    pub(crate) version: u32,
    pub(crate) hash_version: u64,
    pub(crate) findings: Vec<KnownFinding>,
    pub(crate) digests: Vec<KnownDigest>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownFinding {
    pub(crate) finding: String,
    pub(crate) kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) route: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mark: Option<String>,
    /// Sightings in one run.
    pub(crate) count: u64,
    /// For people; kept as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KnownDigest {
    pub(crate) digest: String,
    pub(crate) calls_per_unit_max: u64,
}

impl Baseline {
    /// Sorted, one line per entry: made to be compared in reviews.
    pub(crate) fn to_text(&self) -> String {
        let mut findings = self.findings.clone();
        findings.sort_by(|a, b| (&a.kind, &a.finding).cmp(&(&b.kind, &b.finding)));
        let mut digests = self.digests.clone();
        digests.sort_by(|a, b| a.digest.cmp(&b.digest));
        format!(
            "{{\"version\":{},\"hash_version\":{},\"findings\":[{}],\n\"digests\":[{}]}}\n",
            self.version,
            self.hash_version,
            lines(&findings),
            lines(&digests)
        )
    }
}

fn lines<T: Serialize>(entries: &[T]) -> String {
    // Plain structs with text and numbers always have a JSON form.
    let line = |entry: &T| format!("\n  {}", serde_json::to_string(entry).unwrap_or_default());
    entries.iter().map(line).collect::<Vec<_>>().join(",")
}

/// JSON Schema (2020-12) of `audit.json`, for `config schema --audit`.
pub(crate) fn schema() -> serde_json::Value {
    let text = serde_json::json!({"type": "string"});
    let count = serde_json::json!({"type": "integer", "minimum": 0});
    let maybe = |kind: &str| serde_json::json!({"type": [kind, "null"]});
    serde_json::json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "audit.json of pgsonde",
        "type": "object",
        "required": ["version", "pgsonde", "totals", "limits", "findings", "warnings", "exit_code", "exit_reason"],
        "properties": {
            "version": {"const": AUDIT_VERSION},
            "pgsonde": text,
            "totals": {"type": "object",
                "required": ["marks", "connections", "statements", "errors", "db_ms", "upstreams", "dropped_events"],
                "properties": {"marks": count, "connections": count, "statements": count, "errors": count,
                    "db_ms": {"type": "number"}, "upstreams": {"type": "array", "items": text}, "dropped_events": count}},
            "limits": {"type": "array", "items": {"type": "object",
                "required": ["scope", "subject", "key", "unit", "limit", "measured", "verdict", "detail"],
                "properties": {
                    "scope": {"enum": ["run", "findings", "route", "mark", "digest"]}, "subject": maybe("string"), "key": text,
                    "unit": {"enum": ["count", "us", "bytes"]}, "limit": count, "measured": maybe("integer"),
                    "verdict": {"enum": ["pass", "fail", "not judged"]}, "detail": text}}},
            "findings": {"type": "array", "items": {"type": "object",
                "required": ["id", "kind", "severity", "proof", "sentence", "known", "beyond_baseline", "ignored"],
                "properties": {"id": {"type": "string", "pattern": "^[0-9a-f]{12}$"}, "known": {"type": "boolean"},
                    "beyond_baseline": count, "ignored": maybe("string")}}},
            "warnings": {"type": "array", "items": text},
            "exit_code": {"type": "integer", "minimum": 0, "maximum": 255},
            "exit_reason": {"enum": ["ok", "child", "budget", "pgsonde"]},
            "child_code": maybe("integer"),
        },
    })
}

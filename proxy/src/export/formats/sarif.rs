//! SARIF 2.1.0: findings where code scanning shows them.

use super::title;
use crate::export::shapes::{Finding, kind_words};
use crate::export::words;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Schema that the document follows.
const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// Where findings are shown that no code is known of, and what the baseline says of each.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// A file of the repository; its first line stands for all.
    pub(crate) file: String,
    /// Whether the baseline knows a finding, by id; empty without a baseline.
    pub(crate) known: Option<Vec<String>>,
    /// File and line of statements, by digest.
    pub(crate) code: BTreeMap<String, (String, u32)>,
}

impl Place {
    /// File and line of a finding: of the statement that repeats, else of the one before it, else the fallback's first.
    pub(crate) fn of(&self, finding: &Finding) -> (&str, u32) {
        let child = finding.child.iter().map(|child| &child.digest);
        let statements = child.chain(finding.parent.iter().map(|parent| &parent.digest));
        let found = statements.filter_map(|digest| self.code.get(digest)).next();
        found.map_or((&self.file, 1), |(file, line)| (file, *line))
    }
}

/// A file's name as a relative reference: everything but letters, digits and `-._~/` in per cent.
fn uri(file: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    file.bytes()
        .map(|byte| match plain(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}

impl Default for Place {
    fn default() -> Self {
        Self { file: "pgsonde-budget.toml".to_owned(), known: None, code: BTreeMap::new() }
    }
}

/// The document: a rule per kind, a result per open finding.
pub(crate) fn document(findings: &[Finding], place: &Place) -> Value {
    let open: Vec<&Finding> = findings.iter().filter(|finding| finding.state == "open").collect();
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    for finding in &open {
        rules.entry(&finding.kind).or_insert_with(|| rule(&finding.kind));
    }
    let order: Vec<&str> = rules.keys().copied().collect();
    let result = |finding: &&Finding| {
        let index = order.iter().position(|kind| *kind == finding.kind).unwrap_or(0);
        result(finding, index, place)
    };
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "pgsonde",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.values().cloned().collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": open.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn rule(kind: &str) -> Value {
    json!({
        "id": kind,
        "name": kind,
        "shortDescription": { "text": kind_words(kind) },
        "help": { "text": format!("docs/findings.md describes {kind}, its evidence and its fix.") },
    })
}

fn result(finding: &Finding, rule: usize, place: &Place) -> Value {
    let mut text = format!("{}: {}", title(finding), finding.sentence);
    if !finding.fix.text.is_empty() {
        text.push_str(&format!(" Fix: {}", finding.fix.text));
    }
    let mut result = json!({
        "ruleId": finding.kind,
        "ruleIndex": rule,
        "level": level(&finding.severity),
        "message": { "text": text },
        "locations": [location(finding, place)],
        "partialFingerprints": { "finding/v1": finding.id },
        "properties": { "proof": finding.proof, "cost": words::cost(finding), "mark": finding.mark },
    });
    if let Some(known) = &place.known {
        let state = if known.contains(&finding.id) { "unchanged" } else { "new" };
        result["baselineState"] = state.into();
    }
    result
}

fn level(severity: &str) -> &'static str {
    match severity {
        "error" => "error",
        "warning" => "warning",
        _ => "note",
    }
}

fn location(finding: &Finding, place: &Place) -> Value {
    let (file, line) = place.of(finding);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(file) },
            "region": { "startLine": line },
        },
    });
    let names = [(finding.route.as_ref(), "route"), (finding.mark.as_ref(), "mark")];
    let logical: Vec<Value> = names
        .into_iter()
        .filter_map(|(name, kind)| Some(json!({ "fullyQualifiedName": name?, "kind": kind })))
        .collect();
    if !logical.is_empty() {
        location["logicalLocations"] = logical.into();
    }
    location
}

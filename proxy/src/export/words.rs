//! A finding in words: evidence and cost as lines that page and terminal both print.

use super::shapes::{Finding, is_proved};
use super::text::{count, duration, percent, three_digits};

/// `proved` or `candidate`.
pub(crate) fn grade(finding: &Finding) -> &'static str {
    if is_proved(&finding.proof) { "proved" } else { "candidate" }
}

/// What speaks for it, as (name, sentence).
pub(crate) fn evidence(finding: &Finding) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut say = |name: &str, text: Option<String>| {
        lines.extend(text.map(|text| (name.to_owned(), text)));
    };
    say("Where", Some(place(finding)));
    say(
        "Parent",
        finding.parent.as_ref().map(|parent| {
            let mut text = named(parent.table.as_deref(), parent.column.as_deref(), || {
                format!("table OID {}, column {}", parent.table_oid, parent.attnum)
            });
            text.push_str(&format!(" (field {} of its result)", parent.field));
            if !parent.alternatives.is_empty() {
                text.push_str(&format!(
                    "; equally explained by {}",
                    parent.alternatives.join(", ")
                ));
            }
            text
        }),
    );
    say(
        "Child",
        finding.child.as_ref().map(|child| {
            let column = || format!("parameter {}", child.slot);
            named(child.table.as_deref(), child.column.as_deref(), column)
        }),
    );
    say("Column", finding.column.clone());
    say("Executions", executions(finding));
    say("Seen", Some(sightings(finding)));
    say("Values", values(finding));
    say("Proof", Some(proof(finding)));
    for (name, value) in &finding.evidence {
        lines.push((name.replace('_', " "), plain(value)));
    }
    lines
}

fn place(finding: &Finding) -> String {
    let mut text = format!("database {}, service {}", finding.db_name, finding.service);
    if let Some(route) = &finding.route {
        text.push_str(&format!(", route {route}"));
    }
    if finding.routes.len() > 1 {
        text.push_str(&format!(" and {} more", finding.routes.len() - 1));
    }
    text
}

fn named(table: Option<&str>, column: Option<&str>, unknown: impl Fn() -> String) -> String {
    match (table, column) {
        (Some(table), Some(column)) => format!("{table}.{column}"),
        (Some(table), None) => format!("{table}, {}", unknown()),
        (None, Some(column)) => column.to_owned(),
        (None, None) => unknown(),
    }
}

fn executions(finding: &Finding) -> Option<String> {
    let mut text = format!("{} in the latest occurrence", count(finding.n?));
    if let (Some(median), Some(most)) = (finding.n_median, finding.n_max) {
        text.push_str(&format!(", median {}, most {}", count(median), count(most)));
    }
    if let Some(rows) = finding.rows_median {
        text.push_str(&format!("; the parent returned {} rows (median)", count(rows)));
    }
    Some(text)
}

fn sightings(finding: &Finding) -> String {
    let times = if finding.sightings == 1 {
        "once".to_owned()
    } else {
        format!("{} times", count(finding.sightings))
    };
    let mut text = format!("{times}, from {} to {}", finding.first_seen, finding.last_seen);
    if let Some(ratio) = finding.ratio {
        text.push_str(&format!(
            "; in {} of the parent's executions that could show it",
            percent(ratio)
        ));
    }
    text
}

fn values(finding: &Finding) -> Option<String> {
    let coverage = finding
        .coverage
        .map(|share| format!("{} of the parent's values were looked up", percent(share)));
    let explained = finding
        .explained
        .map(|share| format!("{} of the look-ups are explained by them", percent(share)));
    let parts: Vec<String> = coverage.into_iter().chain(explained).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn proof(finding: &Finding) -> String {
    let why = match finding.proof.as_str() {
        "dataflow" => {
            "the look-ups' values were shown to be values of one column of one earlier result"
        }
        "observed" => "the wire shows it directly",
        "sequence" => "order, timing and repetition speak for it",
        _ => "only the statement text and its times speak for it",
    };
    match &finding.gate {
        Some(gate) => format!("{} ({gate}): {why}", finding.proof),
        None => format!("{}: {why}", finding.proof),
    }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(whole), _) => count(whole),
            (None, Some(float)) => three_digits(float),
            (None, None) => number.to_string(),
        },
        serde_json::Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// What it costs and what the fix saves, one sentence.
pub(crate) fn cost(finding: &Finding) -> String {
    let cost = &finding.cost;
    let mut parts = Vec::new();
    if cost.busy_ms > 0.0 {
        parts.push(format!("{} in the latest occurrence", duration(cost.busy_ms)));
    }
    if cost.busy_total_ms > 0.0 {
        parts.push(format!("{} since start", duration(cost.busy_total_ms)));
    }
    if cost.saved_high_ms > 0.0 {
        parts.push(format!(
            "the fix saves {} each time",
            range(cost.saved_low_ms, cost.saved_high_ms)
        ));
    }
    if let (Some(low), Some(high)) = (cost.saved_low_ms_per_hour, cost.saved_high_ms_per_hour) {
        parts.push(format!("{} an hour", range(low, high)));
    }
    if parts.is_empty() { "not known yet".to_owned() } else { parts.join("; ") }
}

fn range(low: f64, high: f64) -> String {
    let (low, high) = (duration(low), duration(high));
    if low == high { low } else { format!("{low} to {high}") }
}

/// The advice, with the guess about the program worded as one.
pub(crate) fn fix(finding: &Finding) -> String {
    match &finding.fix.orm {
        Some(orm) => format!("Looks like {orm}. {}", finding.fix.text),
        None => finding.fix.text.clone(),
    }
}

//! A finding in words: evidence and cost as phrases that page and terminal both print.

use super::shapes::{Finding, Loss, is_proved, kind_words};
use super::text::{bytes, count, counted, duration, moments, percent, three_digits};
use pgsonde_analyzer::finding::Kind;
use serde_json::Value;

/// `proved` or `candidate`.
pub(crate) fn grade(finding: &Finding) -> &'static str {
    if is_proved(&finding.proof) { "proved" } else { "candidate" }
}

/// Where it is: the columns that belong together, then route, service and database.
pub(crate) fn place(finding: &Finding) -> String {
    let mut parts = Vec::new();
    parts.extend(columns(finding));
    if let Some(route) = &finding.route {
        let more = finding.routes.len().saturating_sub(1);
        let others = if more == 0 { String::new() } else { format!(" and {more} more") };
        parts.push(format!("route {route}{others}"));
    }
    parts.push(format!("service {}", finding.service));
    parts.push(format!("database {}", finding.db_name));
    parts.join(", ")
}

/// `orders.customer_id → customers.id`, or the column that a predicate asks for.
fn columns(finding: &Finding) -> Option<String> {
    let (Some(parent), Some(child)) = (&finding.parent, &finding.child) else {
        return finding.column.clone();
    };
    let from = named(parent.table.as_deref(), parent.column.as_deref(), || {
        format!("column {} of the result", parent.field + 1)
    });
    let to = named(child.table.as_deref(), child.column.as_deref(), || {
        format!("parameter {}", child.slot)
    });
    Some(format!("{from} → {to}"))
}

fn named(table: Option<&str>, column: Option<&str>, unknown: impl Fn() -> String) -> String {
    match (table, column) {
        (Some(table), Some(column)) => format!("{table}.{column}"),
        (Some(table), None) => format!("{table}, {}", unknown()),
        (None, Some(column)) => column.to_owned(),
        (None, None) => unknown(),
    }
}

/// How often and when.
pub(crate) fn seen(finding: &Finding) -> String {
    let times = match finding.sightings {
        1 => "once".to_owned(),
        n => counted(n, "time"),
    };
    format!("{times}, {}", moments(&finding.first_seen, &finding.last_seen))
}

/// What speaks for it, one phrase each.
pub(crate) fn evidence(finding: &Finding) -> Vec<String> {
    let numbers = Numbers(finding);
    let mut phrases = match finding.kind.as_str() {
        "n_plus_one" => look_ups(finding, &numbers),
        "missing_index" => slow_search(&numbers),
        _ => Vec::new(),
    };
    if phrases.is_empty() {
        phrases.push(proof(finding).to_owned());
    }
    phrases.extend(finding.evidence.iter().filter_map(|(name, value)| {
        let told = TOLD
            .iter()
            .any(|(kind, names)| *kind == finding.kind && names.contains(&name.as_str()));
        (!told).then(|| format!("{} {}", spaced(name), plain(name, value)))
    }));
    phrases
}

/// Numbers that the sentence or the phrases of a kind already say, or that say nothing to a person.
const TOLD: [(&str, &[&str]); 2] = [
    ("n_plus_one", &["distinct_values_used", "distinct_values_kept", "wall_ms"]),
    (
        "missing_index",
        &[
            "calls",
            "server_p50_ms",
            "server_total_ms",
            "server_share",
            "baseline_ms",
            "rows_p50",
            "rows_p95",
            "bytes_p50",
            "support",
        ],
    ),
];

/// Evidence by name.
struct Numbers<'a>(&'a Finding);

impl Numbers<'_> {
    fn float(&self, name: &str) -> Option<f64> {
        self.0.evidence.get(name).and_then(Value::as_f64)
    }

    fn whole(&self, name: &str) -> Option<u64> {
        self.0.evidence.get(name).and_then(Value::as_u64)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.0.evidence.get(name).and_then(Value::as_str)
    }
}

fn look_ups(finding: &Finding, numbers: &Numbers<'_>) -> Vec<String> {
    let mut phrases = vec![proof(finding).to_owned()];
    phrases.extend(executions(finding));
    phrases.extend(finding.coverage.map(|share| match share {
        share if share >= 0.9995 => "every value looked up".to_owned(),
        share => format!("{} of the values looked up", percent(share)),
    }));
    let explained = finding.explained.filter(|share| *share < 0.9995);
    phrases.extend(explained.map(|share| format!("explains {} of such look-ups", percent(share))));
    phrases.extend(finding.ratio.map(|ratio| match ratio {
        ratio if ratio >= 0.9995 => "after every run of the parent".to_owned(),
        ratio => format!("after {} of the parent's runs", percent(ratio)),
    }));
    let wall = numbers.float("wall_ms").filter(|ms| *ms > 0.0);
    phrases.extend(wall.map(|ms| format!("{} from first to last", duration(ms))));
    let alternatives = finding.parent.iter().flat_map(|parent| &parent.alternatives);
    let alternatives: Vec<&str> = alternatives.map(String::as_str).collect();
    if !alternatives.is_empty() {
        phrases.push(format!("equally explained by {}", alternatives.join(", ")));
    }
    phrases
}

fn executions(finding: &Finding) -> Option<String> {
    let latest = finding.n?;
    let mut text = counted(latest, "look-up");
    if let Some(rows) = finding.rows_median {
        text.push_str(&format!(" after {}", counted(rows, "row")));
    }
    let usual = finding.n_median.unwrap_or(latest);
    let most = finding.n_max.unwrap_or(latest);
    if (usual, most) != (latest, latest) {
        text.push_str(&format!(" (usually {}, at most {})", count(usual), count(most)));
    }
    Some(text)
}

fn slow_search(numbers: &Numbers<'_>) -> Vec<String> {
    let mut phrases = Vec::new();
    let share = numbers.float("server_share");
    phrases.extend(share.map(|share| format!("{} of all server time", percent(share))));
    let baseline = numbers.float("baseline_ms").filter(|ms| *ms > 0.0);
    let trip = baseline.map(|ms| format!(" (the quickest answer took {})", duration(ms)));
    let why = numbers.text("support");
    phrases.extend(why.map(|why| format!("{why}{}", trip.unwrap_or_default())));
    let size = numbers.whole("bytes_p50");
    phrases.extend(size.map(|size| format!("results of {} (median)", bytes(size))));
    phrases
}

fn proof(finding: &Finding) -> &'static str {
    match finding.proof.as_str() {
        "dataflow" => "the parameters were values of an earlier result",
        "duplicate" => "statement and values were the same each time",
        "observed" => "the wire shows it directly",
        "plan" => "a planner chose it with the server's own statistics",
        "sequence" => "order, timing and repetition speak for it",
        _ => "only the statement's text and its times speak for it",
    }
}

/// A name without the unit that [`plain`] prints beside the value.
fn spaced(name: &str) -> String {
    let stem =
        ["_ms", "_bytes", "_share", "_ratio"].iter().find_map(|unit| name.strip_suffix(unit));
    stem.unwrap_or(name).replace('_', " ").replace("p50", "median").replace("p95", "95 %")
}

fn plain(name: &str, value: &Value) -> String {
    match (value, value.as_u64(), value.as_f64()) {
        (_, _, Some(ms)) if name.ends_with("_ms") => duration(ms),
        (_, _, Some(share)) if name.ends_with("_share") || name.ends_with("_ratio") => {
            percent(share)
        }
        (_, Some(size), _) if name.ends_with("_bytes") => bytes(size),
        (_, Some(whole), _) => count(whole),
        (_, None, Some(float)) => three_digits(float),
        (Value::String(text), ..) => text.clone(),
        (Value::Array(items), ..) => {
            let items: Vec<String> = items.iter().map(|item| plain("", item)).collect();
            let has_commas = items.iter().any(|item| item.contains(", ") || item.contains("="));
            let lines = items.len() > 1 && has_commas && items.iter().any(|item| item.len() > 8);
            items.iter().map(|item| item.trim()).collect::<Vec<_>>().join(if lines {
                "; "
            } else {
                ", "
            })
        }
        (other, ..) => other.to_string(),
    }
}

/// What it costs and, where that was measured, what the fix saves.
pub(crate) fn cost(finding: &Finding) -> String {
    let cost = &finding.cost;
    let mut parts = Vec::new();
    let total = cost.busy_total_ms;
    if total > 0.0 {
        #[allow(clippy::cast_precision_loss)]
        let each = total / finding.sightings.max(1) as f64;
        let each = match finding.sightings {
            0 | 1 => String::new(),
            _ => format!(", {} each time on average", duration(each)),
        };
        parts.push(format!("{} since start{each}", duration(total)));
    }
    // Without a proof the bounds are none to zero and all of it: no information.
    if is_proved(&finding.proof) && cost.saved_high_ms > 0.0 {
        let mut saved =
            format!("the fix saves {} each time", range(cost.saved_low_ms, cost.saved_high_ms));
        if let (Some(low), Some(high)) = (cost.saved_low_ms_per_hour, cost.saved_high_ms_per_hour) {
            saved.push_str(&format!(", {} an hour", range(low, high)));
        }
        parts.push(saved);
    }
    if parts.is_empty() { "not known yet".to_owned() } else { parts.join("; ") }
}

/// `2.00 to 8.59 ms`, `800 µs to 1.20 ms`, `at most 8.59 ms`.
fn range(low: f64, high: f64) -> String {
    if low <= 0.0 {
        return format!("at most {}", duration(high));
    }
    let (low, high) = (duration(low), duration(high));
    if low == high {
        return low;
    }
    match (low.split_once(' '), high.split_once(' ')) {
        (Some((number, unit)), Some((_, same))) if unit == same => format!("{number} to {high}"),
        _ => format!("{low} to {high}"),
    }
}

/// What is missing in the numbers, as sentences.
pub(crate) fn losses(loss: &Loss) -> Vec<String> {
    let mut sentences = Vec::new();
    if loss.dropped > 0 {
        let events = counted(loss.events, "event");
        sentences.push(format!("{} of {events} were dropped.", count(loss.dropped)));
    }
    if loss.opaque_sessions > 0 {
        let sessions = counted(loss.opaque_sessions, "session");
        sentences.push(format!("Forwarded unread: {sessions}."));
    }
    sentences
}

/// The words of all kinds of findings, with semicolons between them.
pub(crate) fn kinds_looked_for() -> String {
    let words = |kind: &Kind| kind_words(kind.name());
    Kind::ALL.iter().map(words).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_say_a_unit_once() {
        for (low, high, expected) in [
            (2.0, 8.59, "2.00 to 8.59 ms"),
            (0.8, 1.2, "800 µs to 1.20 ms"),
            (0.0, 8.59, "at most 8.59 ms"),
            (3.0, 3.0, "3.00 ms"),
        ] {
            assert_eq!(range(low, high), expected);
        }
    }

    #[test]
    fn numbers_of_unknown_kinds_have_a_unit() {
        for (name, value, expected) in [
            ("wait_p50_ms", Value::from(12.5), "wait median 12.5 ms"),
            ("row_bytes", Value::from(2_048), "row 2.00 KiB"),
            ("hit_share", Value::from(0.25), "hit 25.0 %"),
            ("calls", Value::from(1_200), "calls 1,200"),
            ("operators", Value::from(vec!["=", "~~"]), "operators =, ~~"),
        ] {
            assert_eq!(format!("{} {}", spaced(name), plain(name, &value)), expected);
        }
    }
}

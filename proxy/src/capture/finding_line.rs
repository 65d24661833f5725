//! A finding as a line, and back.

use super::compose::Identity;
use crate::export::shapes::lines::{
    ExampleFields, FindingDetail, FindingLine, MutedFields, append, id_text,
};
use crate::export::shapes::{self, evidence_json, evidence_restored, kind_words};
use crate::filter::Subject;
use pgsonde_analyzer::finding::{Example, Finding, Fix, Kind, Mute, Proof, Severity, State};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a text in a finding that would else be too long for a line.
const SHORT_TEXT_BYTES: usize = 1_024;
/// Words of a capture that are kept for the life of the process: names of variants, gates, rules, pieces of evidence.
const WORDS_MAX: usize = 4_096;
/// Bytes of such a word.
const WORD_BYTES_MAX: usize = 64;

/// What a filter may ask of a finding.
pub(crate) fn subject(finding: &Finding) -> Subject<'_> {
    Subject {
        kind: Some(finding.kind.name()),
        database: Some(&finding.database),
        service: Some(&finding.service),
        route: finding.route.as_deref(),
        digest: finding.child.as_ref().map(|child| child.digest),
        summary: Some(&finding.sentence),
        text: finding.child.as_ref().map(|child| &*child.query_text),
        ..Subject::default()
    }
}

/// Appends the line of a finding.
pub(crate) fn write(
    identity: &Identity,
    state: &str,
    finding: &Finding,
    at_us: u64,
    out: &mut Vec<u8>,
) {
    let mut line = line_of(identity, state, finding, at_us);
    if append(out, &line) {
        return;
    }
    shorten(&mut line);
    if !append(out, &line) {
        line.detail = None;
        line.evidence.clear();
        append(out, &line);
    }
}

/// Appends the line of a finding that is shown no more.
pub(crate) fn write_withdrawn(identity: &Identity, id: u64, at_us: u64, out: &mut Vec<u8>) {
    append(
        out,
        &FindingLine {
            ev: "finding".to_owned(),
            proxy_id: identity.proxy_id.to_string(),
            ts_us: identity.unix_us(at_us),
            finding: finding_text(id),
            state: "withdrawn".to_owned(),
            ..FindingLine::default()
        },
    );
}

fn finding_text(id: u64) -> String {
    format!("{id:012x}")
}

fn line_of(identity: &Identity, state: &str, finding: &Finding, at_us: u64) -> FindingLine {
    let owned = |text: &Arc<str>| text.to_string();
    let cost = &finding.cost;
    let child = finding.child.as_ref();
    let column = finding.column.as_deref().unwrap_or_default();
    FindingLine {
        ev: "finding".to_owned(),
        proxy_id: identity.proxy_id.to_string(),
        ts_us: identity.unix_us(at_us),
        finding: finding_text(finding.id),
        state: state.to_owned(),
        kind: finding.kind.name().to_owned(),
        severity: finding.severity.name().to_owned(),
        confidence: Some(confidence(finding.proof).to_owned()),
        proof: finding.proof.name().to_owned(),
        title: kind_words(finding.kind.name()).to_owned(),
        sentence: finding.sentence.clone(),
        digest: child.map(|child| id_text(child.digest)),
        parent_digest: finding.parent.as_ref().map(|parent| id_text(parent.digest)),
        table: child.and_then(|child| child.table.as_ref()).map(owned),
        columns: column.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        service: finding.service.to_string(),
        route: finding.route.as_ref().map(owned),
        mark: finding.marks.iter().max_by_key(|(_, n)| *n).map(|(mark, _)| mark.to_string()),
        db_name: finding.database.to_string(),
        occurrences: finding.sightings,
        statements: finding.n.unwrap_or(0),
        avoidable_low_us: us(cost.saved_low_ms),
        avoidable_high_us: us(cost.saved_high_ms),
        avoidable_per_day_us: cost.saved_low_ms_per_hour.map(|ms| us(ms * 24.0)),
        first_seen_us: identity.unix_us(finding.first_seen_us),
        last_seen_us: identity.unix_us(finding.last_seen_us),
        evidence: finding
            .evidence
            .iter()
            .map(|(name, value)| ((*name).to_owned(), evidence_json(value)))
            .collect(),
        fix: shapes::Fix::from(&finding.fix),
        muted: finding.mute.as_ref().map(|mute| MutedFields {
            reason: mute.reason.to_string(),
            until_us: mute.until_unix_us,
        }),
        detail: Some(Box::new(detail(identity, finding))),
    }
}

fn detail(identity: &Identity, finding: &Finding) -> FindingDetail {
    let owned = |text: &str| text.to_owned();
    FindingDetail {
        variant: finding.variant.map(owned),
        gate: finding.gate.map(owned),
        rule: finding.rule.map(owned),
        reopened: finding.reopened,
        superseded_by: finding.superseded_by.map(finding_text),
        parent: finding.parent.as_ref().map(shapes::Parent::from),
        child: finding.child.as_ref().map(shapes::Child::from),
        n: finding.n,
        n_median: finding.n_median,
        n_max: finding.n_max,
        rows_median: finding.rows_median,
        ratio: finding.ratio,
        coverage: finding.coverage,
        explained: finding.explained,
        order: finding.order,
        cost: Some(shapes::Cost::from(&finding.cost)),
        routes: finding.routes.iter().map(shapes::RouteSightings::from).collect(),
        marks: finding.marks.iter().map(|(mark, n)| (mark.to_string(), *n)).collect(),
        column: finding.column.as_deref().map(owned),
        examples: finding
            .examples
            .iter()
            .map(|example| ExampleFields {
                at_us: identity.unix_us(example.at_us),
                session: example.session,
                n: example.n,
                rows: example.rows,
                wall_us: example.wall_us,
            })
            .collect(),
    }
}

/// proved: values or planner show it; likely: a strong pattern; suspect: text and timing only.
fn confidence(proof: Proof) -> &'static str {
    match proof {
        Proof::Dataflow | Proof::Duplicate | Proof::Observed | Proof::Plan => "proved",
        Proof::Sequence => "likely",
        Proof::Text => "suspect",
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn us(ms: f64) -> u64 {
    (ms * 1_000.0).round().max(0.0) as u64
}

/// Cuts what may be long.
fn shorten(line: &mut FindingLine) {
    let short = |text: &mut String| {
        text.truncate(pgsonde_analyzer::text::cut(text, SHORT_TEXT_BYTES).len());
    };
    short(&mut line.sentence);
    short(&mut line.fix.text);
    line.fix.sql = line.fix.sql.take().filter(|sql| sql.len() <= SHORT_TEXT_BYTES);
    if let Some(detail) = &mut line.detail {
        if let Some(child) = &mut detail.child {
            short(&mut child.query_text);
        }
        if let Some(parent) = &mut detail.parent {
            short(&mut parent.query_text);
            parent.alternatives.clear();
        }
    }
}

/// The finding that a line tells of, on a clock that begins at `started_us`; nothing for kinds that this version
/// doesn't know, and for withdrawn ones.
pub(crate) fn read(line: &FindingLine, started_us: u64) -> Option<Finding> {
    let at = |unix_us: u64| unix_us.saturating_sub(started_us);
    let shared = |text: &Option<String>| text.as_deref().map(Arc::<str>::from);
    let detail = line.detail.as_deref().cloned().unwrap_or_default();
    Some(Finding {
        id: u64::from_str_radix(&line.finding, 16).ok()?,
        kind: Kind::named(&line.kind)?,
        variant: detail.variant.as_deref().map(lasting),
        severity: Severity::named(&line.severity)?,
        proof: Proof::named(&line.proof)?,
        gate: detail.gate.as_deref().map(lasting),
        state: state(&line.state)?,
        reopened: detail.reopened,
        mute: line.muted.as_ref().map(|muted| Mute {
            reason: Arc::from(muted.reason.as_str()),
            until_unix_us: muted.until_us,
        }),
        superseded_by: detail.superseded_by.and_then(|id| u64::from_str_radix(&id, 16).ok()),
        rule: detail.rule.as_deref().map(lasting),
        database: Arc::from(line.db_name.as_str()),
        parent: detail.parent.as_ref().and_then(shapes::Parent::restored),
        child: detail.child.as_ref().and_then(shapes::Child::restored),
        n: detail.n,
        n_median: detail.n_median,
        n_max: detail.n_max,
        rows_median: detail.rows_median,
        sightings: line.occurrences,
        ratio: detail.ratio,
        coverage: detail.coverage,
        explained: detail.explained,
        order: detail.order,
        cost: detail.cost.as_ref().map(shapes::Cost::restored).unwrap_or_default(),
        route: shared(&line.route),
        routes: detail
            .routes
            .iter()
            .map(|sum| (Arc::from(sum.route.as_str()), sum.sightings))
            .collect(),
        marks: detail.marks.iter().map(|(mark, n)| (Arc::from(mark.as_str()), *n)).collect(),
        service: Arc::from(line.service.as_str()),
        column: shared(&detail.column),
        sentence: line.sentence.clone(),
        fix: Fix {
            orm: line.fix.orm.as_deref().map(lasting),
            text: line.fix.text.clone(),
            sql: line.fix.sql.clone(),
        },
        evidence: line
            .evidence
            .iter()
            .filter_map(|(name, value)| Some((lasting(name), evidence_restored(value)?)))
            .collect(),
        first_seen_us: at(line.first_seen_us),
        last_seen_us: at(line.last_seen_us),
        examples: detail
            .examples
            .iter()
            .map(|example| Example {
                at_us: at(example.at_us),
                session: example.session,
                n: example.n,
                rows: example.rows,
                wall_us: example.wall_us,
            })
            .collect(),
    })
}

fn state(name: &str) -> Option<State> {
    match name {
        "open" | "updated" => Some(State::Open),
        "muted" => Some(State::Muted),
        "resolved" => Some(State::Resolved),
        _ => None,
    }
}

/// The same word for the life of the process. Findings name such things by words of the program itself; a capture may
/// come from a version with others, so their number is bounded.
pub(crate) fn lasting(word: &str) -> &'static str {
    static WORDS: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let words = words.get_or_insert_with(HashSet::new);
    if let Some(known) = words.get(word) {
        return known;
    }
    if words.len() >= WORDS_MAX || word.len() > WORD_BYTES_MAX {
        return "other";
    }
    let kept: &'static str = Box::leak(word.to_owned().into_boxed_str());
    words.insert(kept);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::fixture::n_plus_one as finding;
    use crate::export::shapes::lines::LINE_BYTES_MAX;
    use pgsonde_analyzer::finding::EvidenceValue;

    fn identity() -> Identity {
        use pgsonde_analyzer::Redaction;
        Identity {
            proxy_id: Arc::from("0123456789ab"),
            started_us: 1_000_000,
            unit_gap_us: 1,
            redaction: Redaction::default(),
        }
    }

    fn written(finding: &Finding) -> Vec<u8> {
        let mut out = Vec::new();
        write(&identity(), "updated", finding, 5, &mut out);
        out
    }

    #[test]
    fn a_finding_comes_back_as_it_was() {
        let before = finding();
        let line: FindingLine = serde_json::from_slice(&written(&before)).unwrap();
        assert_eq!(line.mark.as_deref(), Some("test_orders"), "under which it was seen most");
        let after = read(&line, 1_000_000).unwrap();
        let mut sorted = before.clone();
        sorted.evidence.sort_by_key(|(name, _)| *name);
        assert_eq!(format!("{after:?}"), format!("{sorted:?}"));
    }

    #[test]
    fn a_line_is_never_too_long() {
        let mut long = finding();
        let text = Arc::<str>::from("\u{1}".repeat(8_192));
        long.child.as_mut().unwrap().query_text = Arc::clone(&text);
        long.parent.as_mut().unwrap().query_text = text;
        let line = written(&long);
        assert!(!line.is_empty() && line.len() <= LINE_BYTES_MAX);
        long.evidence = vec![("words", EvidenceValue::List(vec![Arc::from("x"); 40_000]))];
        let line = written(&long);
        assert!(!line.is_empty() && line.len() <= LINE_BYTES_MAX);
    }

    #[test]
    fn kinds_of_a_newer_version_are_left_out() {
        let mut line: FindingLine = serde_json::from_slice(&written(&finding())).unwrap();
        line.kind = "time_travel".to_owned();
        assert!(read(&line, 0).is_none());
    }
}

//! Each rule below, at and above its limits, and its traps with twins that must fire.

mod lock_hazard;
mod smell;

use crate::finding::{EvidenceValue, Finding, Kind, Proof, Severity};
use crate::limits::Limits;
use crate::record::{Outcome, Protocol, Tag, Timing};
use crate::testing::{Exec, Stream};

fn all(stream: &mut Stream, kind: Kind) -> Vec<Finding> {
    stream.pass(2_000_000);
    stream.findings().into_iter().filter(|finding| finding.kind == kind).collect()
}

fn found(stream: &mut Stream, kind: Kind) -> Option<Finding> {
    let found = all(stream, kind);
    assert!(found.len() <= 1, "one finding: {found:?}");
    found.into_iter().next()
}

fn evidence<'a>(finding: &'a Finding, name: &str) -> &'a EvidenceValue {
    let value = finding.evidence.iter().find(|(known, _)| *known == name);
    value.map_or_else(|| panic!("{name} in {:?}", finding.evidence), |(_, value)| value)
}

fn list(elements: usize) -> String {
    let values: Vec<String> = (1..=elements).map(|n| n.to_string()).collect();
    format!("SELECT id FROM orders WHERE id IN ({})", values.join(", "))
}

fn bound(elements: usize) -> String {
    let values: Vec<String> = (1..=elements).map(|n| format!("${n}")).collect();
    format!("SELECT id FROM orders WHERE id IN ({})", values.join(", "))
}

fn extended(sql: &str, binds: u16) -> Exec<'_> {
    Exec {
        sql,
        bind_count: Some(binds),
        protocol: Protocol::Extended,
        parsed: true,
        transaction: 0,
        ..Exec::default()
    }
}

#[test]
fn large_lists_at_their_limits_and_traps() {
    let insert = "INSERT INTO orders (id) VALUES ($1), ($2)";
    let any = "SELECT id FROM orders WHERE id = ANY($1)";
    for (name, sql, binds, severity) in [
        ("999 literals", list(999), 0, None),
        ("1,000 literals", list(1_000), 0, Some(Severity::Warning)),
        ("1,001 parameters", bound(1_001), 1_001, Some(Severity::Warning)),
        ("an array parameter", any.to_owned(), 1, None),
        ("many parameters, below", insert.to_owned(), 32_766, None),
        ("many parameters, at", insert.to_owned(), 32_767, Some(Severity::Warning)),
        ("below nine tenths of the limit", insert.to_owned(), 58_976, Some(Severity::Warning)),
        ("near the limit", insert.to_owned(), 58_977, Some(Severity::Error)),
        ("at the limit", insert.to_owned(), 65_535, Some(Severity::Error)),
    ] {
        let mut stream = Stream::new(Limits::default());
        stream.exec(extended(&sql, binds));
        let finding = found(&mut stream, Kind::LargeInList);
        assert_eq!(finding.map(|finding| finding.severity), severity, "{name}");
    }
}

#[test]
fn a_large_list_costs_what_it_takes_more_than_a_small_one() {
    let mut stream = Stream::new(Limits::default());
    let (small, large) = (bound(10), bound(2_000));
    (0..3).for_each(|_| stream.exec(Exec { us: 2_000, ..extended(&small, 10) }));
    stream.exec(Exec { us: 50_000, ..extended(&large, 2_000) });
    let finding = found(&mut stream, Kind::LargeInList).unwrap();
    assert_eq!(finding.cost.saved_high_ms, 48.0);
    assert_eq!(finding.sentence, "`SELECT orders` was sent with a list of 2,000 values.");
    assert_eq!(finding.proof, Proof::Observed);
}

#[test]
fn list_lengths_at_their_limit_and_traps() {
    let base = extended("", 0);
    let lengths = |count: usize| (1..=count).map(bound).collect::<Vec<String>>();
    let same = (0..40).map(|_| bound(7)).collect::<Vec<String>>();
    let literals = (1..=30).map(list).collect::<Vec<String>>();
    let arrays = vec!["SELECT id FROM orders WHERE id = ANY($1)".to_owned(); 40];
    let simple = Exec { protocol: Protocol::Simple, parsed: false, ..base };
    for (name, texts, exec, fires) in [
        ("19 lengths", lengths(19), base, false),
        ("20 lengths", lengths(20), base, true),
        ("21 lengths", lengths(21), base, true),
        ("one length", same, base, false),
        ("literals", literals, Exec { bind_count: Some(0), ..base }, false),
        ("arrays", arrays, base, false),
        ("the simple protocol", lengths(30), simple, false),
        ("prepared before", lengths(30), Exec { parsed: false, ..base }, false),
    ] {
        let mut stream = Stream::new(Limits::default());
        for sql in &texts {
            let bind_count = exec.bind_count.filter(|_| name == "literals").or(Some(1));
            stream.exec(Exec { sql, bind_count, ..exec });
        }
        assert_eq!(found(&mut stream, Kind::InListChurn).is_some(), fires, "{name}");
    }
}

#[test]
fn parses_are_counted_and_timed_where_the_wire_shows_them() {
    let mut stream = Stream::new(Limits::default());
    for elements in 1..=20 {
        let sql = bound(elements);
        stream.prepared(1, &sql, 500);
        stream.exec(extended(&sql, elements as u16));
        // once more, by the same prepared statement
        stream.exec(Exec { parsed: false, ..extended(&sql, elements as u16) });
    }
    let finding = found(&mut stream, Kind::InListChurn).unwrap();
    assert_eq!(*evidence(&finding, "texts"), EvidenceValue::Count(20));
    assert_eq!(*evidence(&finding, "executions"), EvidenceValue::Count(40));
    assert_eq!(*evidence(&finding, "parses"), EvidenceValue::Count(20));
    // the first Parse came before anything was known of its digest
    assert_eq!(*evidence(&finding, "parse_ms"), EvidenceValue::Number(9.5));
    assert_eq!(finding.sightings, 20);
}

/// 100 executions, of which `texts` have a text of their own.
fn churned(make: impl Fn(usize) -> String, exec: Exec<'_>, texts: usize) -> Vec<Finding> {
    let mut stream = Stream::new(Limits::default());
    for n in 0..100 {
        let sql = make(n.min(texts - 1));
        stream.exec(Exec { sql: &sql, ..exec });
    }
    all(&mut stream, Kind::StatementChurn)
}

#[test]
fn churn_at_its_limits_and_its_causes() {
    let traced = |n: usize| {
        format!(
            "SELECT id FROM orders WHERE id = $1 /*route='a',traceparent='00-{n:032x}-{n:016x}-01'*/"
        )
    };
    let mixed = |n: usize| format!("SELECT id FROM orders WHERE id = $1 AND state = 'state {n}'");
    let literal = |n: usize| format!("SELECT id FROM orders WHERE id = {n}");
    let lists = |n: usize| bound(n + 1);
    let one_bind = extended("", 1);
    let no_bind = Exec { protocol: Protocol::Simple, parsed: false, ..extended("", 0) };
    let text = |finding: &Finding, name: &str| match evidence(finding, name) {
        EvidenceValue::Text(text) => text.to_string(),
        other => panic!("{other:?}"),
    };
    for (name, findings, cause) in [
        ("49 traced texts", churned(traced, one_bind, 49), None),
        ("50 traced texts", churned(traced, one_bind, 50), Some("comment")),
        ("100 traced texts", churned(traced, one_bind, 100), Some("comment")),
        ("traces on the simple protocol", churned(traced, no_bind, 100), None),
        ("literals beside parameters", churned(mixed, one_bind, 100), Some("literals")),
        ("a client of literals", churned(literal, no_bind, 100), Some("literals")),
        ("lists alone", churned(lists, one_bind, 100), None),
        ("one text", churned(traced, one_bind, 1), None),
        ("failed ones", churned(mixed, Exec { outcome: Outcome::Error, ..one_bind }, 100), None),
        ("parts", churned(mixed, Exec { timing: Timing::Part, ..one_bind }, 100), None),
    ] {
        assert_eq!(findings.len(), usize::from(cause.is_some()), "{name}: {findings:?}");
        let found = findings.first().map(|finding| text(finding, "cause"));
        assert_eq!(found.as_deref(), cause, "{name}");
        assert!(findings.iter().all(|finding| finding.severity == Severity::Info), "{name}");
    }
    let findings = churned(traced, one_bind, 100);
    assert_eq!(text(&findings[0], "comment_key"), "traceparent");
    assert_eq!(
        findings[0].sentence,
        "100 of 100 executions of `SELECT orders` had a text of their own, because of `traceparent` in their \
         comment: each is parsed and planned anew."
    );
}

#[test]
fn literals_of_one_client_are_one_finding() {
    let mut stream = Stream::new(Limits::default());
    for n in 0..100 {
        for table in ["orders", "customers", "items"] {
            let sql = format!("SELECT id FROM {table} WHERE id = {n}");
            stream.exec(Exec { sql: &sql, transaction: 0, tag: Tag::Select, ..Exec::default() });
        }
    }
    let finding = found(&mut stream, Kind::StatementChurn).unwrap();
    assert_eq!(*evidence(&finding, "statements"), EvidenceValue::Count(3));
    assert!(finding.child.is_none());
    assert_eq!(
        finding.sentence,
        "`web` sends values as literals: 100 % of its executions of 3 statements had a text of their own, so no \
         plan is used again."
    );
}

#[test]
fn parsing_that_takes_a_tenth_of_the_time_is_a_warning() {
    for (parse_us, severity) in [(100, Severity::Info), (113, Severity::Warning)] {
        let mut stream = Stream::new(Limits::default());
        for n in 0..101 {
            let sql = format!("SELECT id FROM orders WHERE id = $1 AND state = 's{n}'");
            stream.prepared(1, &sql, parse_us);
            stream.exec(Exec { us: 1_000, ..extended(&sql, 1) });
        }
        // 99 Parses of the window were timed: 9,900 of 109,900 us, and 11,187 of 111,187 us
        let finding = found(&mut stream, Kind::StatementChurn).unwrap();
        assert_eq!(finding.severity, severity, "{parse_us}");
    }
}

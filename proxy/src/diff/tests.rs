//! Verdicts on hand-made reports that differ in one thing at a time.

use super::*;
use crate::export::testing::report;

fn with(change: impl FnOnce(&mut Report)) -> Report {
    let mut report = report();
    // Everything is shown, so that "new" can be said.
    report.statements.total = report.statements.items.len() as u64;
    report.statements.other = None;
    change(&mut report);
    report
}

fn verdicts(base: Report, head: Report, fail_on: &[FailOn]) -> (Vec<String>, Vec<String>) {
    let document = compare::document(["base", "head"], &[base, head], fail_on);
    let verdicts = document.statements.iter().flat_map(|diff| diff.verdicts.clone()).collect();
    (verdicts, document.failures)
}

/// Moves all executions of the first statement up by `buckets`.
fn slow(report: &mut Report, buckets: usize, ratio: f64) {
    let detail = &mut report.statements.items[0];
    let counts: Vec<u64> = detail.histogram.iter().map(|bucket| bucket.count).collect();
    for (index, bucket) in detail.histogram.iter_mut().enumerate() {
        bucket.count = index.checked_sub(buckets).map_or(0, |from| counts[from]);
    }
    detail.item.p50_ms = detail.item.p50_ms.map(|p50| p50 * ratio);
}

#[test]
fn the_same_report_has_no_verdict() {
    let (verdicts, failures) =
        verdicts(with(|_| ()), with(|_| ()), &[FailOn::New, FailOn::Slower(0.0)]);
    assert_eq!((verdicts, failures), (vec![], vec![]));
}

#[test]
fn each_change_has_its_verdict() {
    type Change = fn(&mut Report);
    let cases: [(&str, Change, FailOn); 4] = [
        ("slower", |report| slow(report, 2, 5.0), FailOn::Slower(0.2)),
        (
            "more_calls",
            |report| report.statements.items[0].item.calls_per_unit_max = 99,
            FailOn::MoreCalls,
        ),
        ("more_rows", |report| report.statements.items[0].item.rows *= 10, FailOn::MoreRows),
        (
            "new",
            |report| report.statements.items[0].item.digest = "00000000000000ff".to_owned(),
            FailOn::New,
        ),
    ];
    for (verdict, change, rule) in cases {
        let (verdicts, failures) = verdicts(with(|_| ()), with(change), &[rule]);
        assert!(verdicts.contains(&verdict.to_owned()), "{verdict}: {verdicts:?}");
        assert_eq!(failures.len(), 1, "{verdict}");
    }
    let (verdicts, failures) =
        verdicts(with(|report| slow(report, 2, 5.0)), with(|_| ()), &[FailOn::Slower(0.2)]);
    assert_eq!((verdicts, failures), (vec!["faster".to_owned()], vec![]));
}

#[test]
fn a_limit_above_the_change_does_not_fail() {
    let head = || with(|report| slow(report, 1, 1.5));
    assert_eq!(verdicts(with(|_| ()), head(), &[FailOn::Slower(0.4)]).1.len(), 1);
    assert_eq!(verdicts(with(|_| ()), head(), &[FailOn::Slower(0.6)]).1.len(), 0);
}

#[test]
fn few_executions_are_not_judged() {
    let few = |report: &mut Report| {
        report.statements.items[0]
            .histogram
            .iter_mut()
            .for_each(|bucket| bucket.count = bucket.count.min(5));
    };
    let head = with(|report| {
        slow(report, 3, 10.0);
        few(report);
    });
    let document = compare::document(["a", "b"], &[with(few), head], &[]);
    let first =
        document.statements.iter().find(|diff| diff.time_ratio.is_some_and(|r| r > 5.0)).unwrap();
    assert_eq!(first.verdicts, Vec::<String>::new());
    assert!(first.not_judged.as_ref().unwrap().contains("fewer than 20"));
}

#[test]
fn new_is_not_said_where_base_hides_statements() {
    let head =
        with(|report| report.statements.items[0].item.digest = "00000000000000ff".to_owned());
    let base = with(|report| report.statements.total += 1);
    let (verdicts, failures) = verdicts(base, head, &[FailOn::New]);
    assert!(!verdicts.contains(&"new".to_owned()));
    assert_eq!(failures, Vec::<String>::new());
}

#[test]
fn a_new_n_plus_one_fails() {
    let base = with(|report| report.findings.items.retain(|finding| finding.kind != "n_plus_one"));
    assert_eq!(verdicts(base.clone(), with(|_| ()), &[FailOn::NPlusOne]).1.len(), 1);
    assert_eq!(verdicts(base.clone(), with(|_| ()), &[]).1.len(), 0);
    assert_eq!(verdicts(with(|_| ()), base, &[FailOn::NPlusOne]).1.len(), 0);
}

#[test]
fn words_of_fail_on() {
    let rows = [
        ("slower=20%", Some(FailOn::Slower(0.2))),
        ("slower", Some(FailOn::Slower(0.2))),
        ("slower=0%", Some(FailOn::Slower(0.0))),
        ("slower=20", None),
        ("slower=-1%", None),
        ("new", Some(FailOn::New)),
        ("new=1", None),
        ("n-plus-one", Some(FailOn::NPlusOne)),
        ("newer", None),
        ("", None),
    ];
    for (word, wanted) in rows {
        assert_eq!(FailOn::parse(word), wanted, "{word}");
    }
}

#[test]
fn every_form_names_the_change() {
    let head = with(|report| slow(report, 2, 5.0));
    let document =
        compare::document(["a.json", "b.json"], &[with(|_| ()), head], &[FailOn::Slower(0.2)]);
    for form in [Form::Text, Form::Md, Form::Json] {
        let text = written(&document, form);
        assert!(text.contains("slower"), "{form:?}: {text}");
        assert!(form != Form::Md || !text.contains("<img"), "{form:?}");
    }
}

#[test]
fn reports_of_different_rules_are_not_compared() {
    let other = with(|report| report.info.hash_version += 1);
    let problem = comparable(&[with(|_| ()), other]).unwrap_err();
    assert_eq!((problem.number(), problem.exit_code()), (505, 4));
}

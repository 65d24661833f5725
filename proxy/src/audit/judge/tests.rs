//! Verdicts on a hand-made report: one N+1 on /orders, seen six times under two tests.

use super::*;
use crate::audit::budget::Ignore;
use crate::export::testing::report;

fn limit(key: &'static str, unit: Unit, most: u64) -> Limit {
    Limit { key, unit, most }
}

fn verdicts(
    budget: &Budget,
    baseline: &Baseline,
    today: &str,
) -> Vec<(String, Option<u64>, String)> {
    let reports = [report()];
    let judgement = Judgement::of(&Case { reports: &reports, budget, baseline, today });
    judgement.limits.into_iter().map(|l| (l.key, l.measured, l.verdict)).collect()
}

fn one(limit: Limit) -> Budget {
    Budget { whole: vec![limit], ..Budget::default() }
}

#[test]
fn a_limit_holds_up_to_its_value() {
    let seen = report().findings.items[0].sightings;
    for (most, verdict) in [(seen - 1, "fail"), (seen, "pass"), (seen + 1, "pass")] {
        let budget = one(limit("n_plus_one", Unit::Count, most));
        let got = verdicts(&budget, &Baseline::default(), "2026-01-01");
        assert_eq!(got, [("n_plus_one".to_owned(), Some(seen), verdict.to_owned())]);
    }
}

#[test]
fn what_the_baseline_knows_does_not_count() {
    let finding = report().findings.items[0].clone();
    for (count, measured) in [(finding.sightings, 0), (finding.sightings - 1, 1), (99, 0)] {
        let known = KnownFinding { finding: finding.id.clone(), count, ..KnownFinding::default() };
        let baseline = Baseline { findings: vec![known], ..Baseline::default() };
        let budget = one(limit("n_plus_one", Unit::Count, 0));
        assert_eq!(verdicts(&budget, &baseline, "2026-01-01")[0].1, Some(measured), "{count}");
    }
}

#[test]
fn ignored_findings_count_again_after_their_day() {
    let ignore = Ignore {
        kind: Some("n_plus_one".to_owned()),
        route: Some("/ord*".to_owned()),
        reason: "known".to_owned(),
        until: Some("2026-01-31".to_owned()),
        ..Ignore::default()
    };
    let budget =
        Budget { ignores: vec![ignore.clone()], ..one(limit("n_plus_one", Unit::Count, 0)) };
    for (today, verdict) in [("2026-01-31", "pass"), ("2026-02-01", "fail")] {
        assert_eq!(verdicts(&budget, &Baseline::default(), today)[0].2, verdict, "{today}");
    }
    let elsewhere = Ignore { route: Some("/other".to_owned()), ..ignore };
    let budget = Budget { ignores: vec![elsewhere], ..budget };
    assert_eq!(verdicts(&budget, &Baseline::default(), "2026-01-01")[0].2, "fail");
}

#[test]
fn routes_are_judged_by_their_largest_unit_and_the_first_rule_that_fits() {
    let rule = |pattern: &str, most| Rule {
        pattern: pattern.to_owned(),
        service: None,
        limits: vec![limit("statements", Unit::Count, most)],
    };
    let budget = Budget { routes: vec![rule("/orders", 18), rule("*", 0)], ..Budget::default() };
    let got = verdicts(&budget, &Baseline::default(), "2026-01-01");
    assert_eq!(got[0], ("statements".to_owned(), Some(19), "fail".to_owned()));
    assert_eq!(got[1].2, "not judged", "everything fits the first rule: {got:?}");
    let service = Rule { service: Some("nobody".to_owned()), ..rule("/orders", 0) };
    let budget = Budget { routes: vec![service], ..Budget::default() };
    assert_eq!(verdicts(&budget, &Baseline::default(), "2026-01-01")[0].2, "not judged");
}

#[test]
fn digests_are_named_by_id_or_summary() {
    let seen = report().statements.items[0].item.clone();
    let rule = |pattern: &str, key, unit, most| Rule {
        pattern: pattern.to_owned(),
        service: None,
        limits: vec![limit(key, unit, most)],
    };
    let of = |rules: Vec<Rule>| {
        let budget = Budget { digests: rules, ..Budget::default() };
        verdicts(&budget, &Baseline::default(), "2026-01-01")
    };
    assert!(seen.calls > 0);
    for (pattern, most, verdict) in [
        (seen.digest.as_str(), seen.calls, "pass"),
        (&seen.digest, seen.calls - 1, "fail"),
        (&seen.summary, seen.calls - 1, "fail"),
    ] {
        let got = of(vec![rule(pattern, "calls", Unit::Count, most)]);
        let expected = ("calls".to_owned(), Some(seen.calls), verdict.to_owned());
        assert!(got.contains(&expected), "{pattern}: {got:?}");
    }
    let time = (seen.total_ms * 1e3).round() as u64;
    let got = of(vec![rule(&seen.digest, "db_time", Unit::Time, time)]);
    assert_eq!(got, [("db_time".to_owned(), Some(time), "pass".to_owned())]);
    assert_eq!(of(vec![rule("nothing", "rows", Unit::Count, 0)])[0].2, "not judged");
}

#[test]
fn a_quantile_of_few_samples_is_not_judged() {
    let budget = Budget {
        routes: vec![Rule {
            pattern: "/orders".to_owned(),
            service: None,
            limits: vec![limit("p95", Unit::Time, 1)],
        }],
        ..Budget::default()
    };
    assert_eq!(verdicts(&budget, &Baseline::default(), "2026-01-01")[0].2, "not judged");
}

#[test]
fn severities_and_kinds_count_findings_not_sightings() {
    let first = report().findings.items[0].clone();
    for group in [first.severity, first.kind] {
        let known = crate::audit::budget::finding_groups();
        let key = known.into_iter().find(|known| *known == group).unwrap();
        let items = report().findings.items;
        let expected = items.iter().filter(|f| f.severity == group || f.kind == group).count();
        let budget = Budget { findings: vec![limit(key, Unit::Count, 0)], ..Budget::default() };
        let got = verdicts(&budget, &Baseline::default(), "2026-01-01");
        assert_eq!(got[0].1, Some(expected as u64), "{group}");
    }
}

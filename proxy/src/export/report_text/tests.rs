//! The report as a person sees it, whole, from the hand-made snapshot.

use super::super::api::View;
use super::super::fixture::{self, clock};
use super::super::status::ProxyCounters;
use super::*;
use pgsonde_analyzer::snapshot::Snapshot;

fn report(snapshot: &Snapshot, proxy: &ProxyCounters, top: usize) -> Report {
    Report::of(&View { snapshot, proxy, clock: clock() }, top)
}

fn text(top: usize) -> String {
    render(&report(&fixture::snapshot(), &fixture::counters(), top), "http://127.0.0.1:9635")
}

#[test]
fn looks_like_this() {
    let mut snapshot = fixture::snapshot();
    snapshot.findings.truncate(1);
    let version = env!("CARGO_PKG_VERSION");
    let text = render(&report(&snapshot, &fixture::counters(), 1), "http://127.0.0.1:9635");
    let golden = include_str!("golden.txt").replace("{version}", version);
    assert_eq!(text, golden, "\n{text}");
}

#[test]
fn fits_in_80_columns_and_steers_no_terminal() {
    for line in text(9).lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(line, line.trim_end(), "{line:?}");
    }
}

#[test]
fn the_profile_adds_up_to_100_percent() {
    for top in [1, 2, 9] {
        let text = text(top);
        let table = text.split("# Profile").nth(1).unwrap().split("\n# ").next().unwrap();
        let shares = table
            .lines()
            .filter_map(|line| line.split_once(" %"))
            .map(|(left, _)| left.rsplit(' ').next().unwrap().parse::<f64>().unwrap());
        assert!((shares.sum::<f64>() - 100.0).abs() < 0.3, "top {top}: {table}");
    }
}

#[test]
fn ten_statements_are_shown_one_by_one() {
    let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
    for (listed, shown, more) in [
        (3, 3, None),
        (10, 10, None),
        (11, 10, Some("# 1 more statement\n")),
        (14, 10, Some("# 4 more statements\n")),
    ] {
        let mut report = report(&snapshot, &proxy, 9);
        let first = report.statements.items[0].clone();
        report.statements.items = vec![first; listed];
        let text = render(&report, "http://x");
        assert_eq!(text.matches("\n# Statement ").count(), shown, "{listed}");
        assert_eq!(text.matches("9f2c000000000001   600 ms").count(), listed, "all in the table");
        match more {
            Some(words) => assert!(text.contains(words), "{text}"),
            None => assert!(!text.contains(" more statement")),
        }
    }
}

#[test]
fn an_empty_report_says_what_to_do() {
    let text = render(&report(&Snapshot::default(), &ProxyCounters::default(), 9), "http://x");
    assert!(text.contains("No statements yet."));
    assert!(text.contains("Nothing found."));
    assert!(text.contains("Loss        none"));
}

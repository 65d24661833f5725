//! The text that Prometheus would read: parsed again, counted, and held against the catalogue.

use super::super::fixture::{self, Fixed, HOSTILE};
use super::super::status::ProxyCounters;
use super::*;
use pgsonde_analyzer::snapshot::{DigestRow, DigestTotals, PairRow, SetRow, Snapshot};
use std::collections::{BTreeMap, BTreeSet};

const SETTINGS: MetricSettings = MetricSettings {
    digests: 100,
    digest_histograms: false,
    routes: 128,
    findings: 100,
    pairs: 24,
    statement_sets: 96,
    error_sets: 64,
};

fn exporter(source: &Fixed, settings: MetricSettings) -> Exporter {
    Exporter::new(Arc::new(source.clone()), Arc::new(source.clone()), settings).unwrap()
}

fn scrape(snapshot: Snapshot) -> Scrape {
    Scrape::parse(&exporter(&Fixed::new(snapshot, fixture::counters()), SETTINGS).text().unwrap())
}

/// A strict reader of the text format 0.0.4.
struct Scrape {
    types: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Scrape {
    fn parse(text: &str) -> Self {
        let mut scrape = Self { types: BTreeMap::new(), values: BTreeMap::new() };
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(
                    scrape.types.insert(name.into(), kind.into()).is_none(),
                    "family twice: {name}"
                );
            } else if !line.starts_with("# HELP ") {
                let (series, value) = line.rsplit_once(' ').unwrap();
                Self::check_series(series);
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(
                    scrape.values.insert(series.into(), value).is_none(),
                    "series twice: {series}"
                );
            }
        }
        scrape
    }

    /// `name{label="escaped",…}`
    fn check_series(series: &str) {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), "{series}");
        let mut rest = labels.strip_suffix('}').unwrap();
        while !rest.is_empty() {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(label.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{series}");
            let mut escaped = false;
            let end = after
                .bytes()
                .position(|b| {
                    let quote = b == b'"' && !escaped;
                    escaped = b == b'\\' && !escaped;
                    quote
                })
                .unwrap_or_else(|| panic!("unclosed label in {series}"));
            rest = after[end + 1..].strip_prefix(',').unwrap_or(&after[end + 1..]);
        }
    }

    fn value(&self, series: &str) -> f64 {
        *self.values.get(series).unwrap_or_else(|| panic!("no {series}"))
    }
}

#[test]
fn every_series_is_unique_and_counted() {
    let scrape = scrape(fixture::snapshot());
    assert_eq!(scrape.value("pgsonde_exposed_series"), scrape.values.len() as f64);
    assert!(scrape.values.keys().any(|series| series.starts_with("process_cpu_seconds_total")));
}

#[test]
fn the_full_fixture_fills_the_whole_catalogue() {
    let settings = MetricSettings { digest_histograms: true, ..SETTINGS };
    let source = Fixed::new(fixture::snapshot(), fixture::counters());
    let scrape = Scrape::parse(&exporter(&source, settings).text().unwrap());
    for (name, kind, _, _) in CATALOGUE {
        let kind_text = format!("{kind:?}").to_lowercase();
        assert_eq!(scrape.types.get(&format!("pgsonde_{name}")), Some(&kind_text), "{name}");
    }
}

#[test]
fn values_are_in_base_units() {
    let scrape = scrape(fixture::snapshot());
    let set = "database=\"shop\",service=\"web\",operation=\"select\"";
    let pair = "database=\"shop\",service=\"web\"";
    let rows = [
        (format!("pgsonde_statements_total{{{set},outcome=\"ok\"}}"), 150.0),
        (format!("pgsonde_rows_total{{{set}}}"), 450.0),
        (format!("pgsonde_statement_duration_seconds_count{{{set}}}"), 3.0),
        (format!("pgsonde_statement_duration_seconds_sum{{{set}}}"), 31.000501),
        (format!("pgsonde_statement_duration_seconds_bucket{{{set},le=\"0.00025\"}}"), 1.0),
        (format!("pgsonde_statement_duration_seconds_bucket{{{set},le=\"0.0005\"}}"), 2.0),
        (format!("pgsonde_statement_duration_seconds_bucket{{{set},le=\"30\"}}"), 2.0),
        (format!("pgsonde_statement_phase_seconds_total{{{pair},phase=\"first_row\"}}"), 0.8),
        (format!("pgsonde_statement_phase_seconds_total{{{pair},phase=\"think_idle\"}}"), 4.0),
        (format!("pgsonde_prepares_total{{{pair},kind=\"reparse\"}}"), 6.0),
        ("pgsonde_received_bytes_total{database=\"shop\",side=\"server\"}".to_owned(), 3.0),
        ("pgsonde_sent_bytes_total{database=\"shop\",side=\"client\"}".to_owned(), 2.0),
        (
            "pgsonde_errors_total{database=\"shop\",service=\"web\",sqlstate_class=\"40\"}"
                .to_owned(),
            2.0,
        ),
        ("pgsonde_unit_statements_bucket{service=\"web\",le=\"20\"}".to_owned(), 3.0),
        ("pgsonde_n_plus_one_bursts_total{service=\"web\",proof=\"dataflow\"}".to_owned(), 6.0),
        ("pgsonde_n_plus_one_seconds_total{service=\"web\"}".to_owned(), 0.24),
        (
            "pgsonde_digest_calls_total{database=\"shop\",digest=\"9f2c000000000001\"}".to_owned(),
            100.0,
        ),
        ("pgsonde_digest_calls_total{database=\"other\",digest=\"other\"}".to_owned(), 1.0),
        ("pgsonde_findings{kind=\"n_plus_one\",severity=\"error\"}".to_owned(), 1.0),
        ("pgsonde_findings{kind=\"n_plus_one\",severity=\"info\"}".to_owned(), 0.0),
        ("pgsonde_events_dropped_total{reason=\"queue_full\"}".to_owned(), 3.0),
        (
            "pgsonde_proxy_overhead_seconds_bucket{direction=\"to_server\",le=\"0.000001\"}"
                .to_owned(),
            1.0,
        ),
        ("pgsonde_label_overflow_total{table=\"digests\"}".to_owned(), 1.0),
        ("pgsonde_profiling_mode{mode=\"full\"}".to_owned(), 1.0),
        ("pgsonde_client_connections_total{result=\"upstream_refused\"}".to_owned(), 1.0),
    ];
    for (series, expected) in rows {
        assert!(
            (scrape.value(&series) - expected).abs() < 1e-9,
            "{series} = {}",
            scrape.value(&series)
        );
    }
    let info = "pgsonde_finding_info{finding=\"3f2a00000001\",kind=\"n_plus_one\",severity=\"error\",\
                digest=\"9f2c000000000001\",service=\"web\",route=\"/orders\"}";
    assert_eq!(scrape.value(info), 1.0);
}

#[test]
fn digest_seconds_add_up_to_all_statement_time() {
    let scrape = scrape(fixture::snapshot());
    let seconds =
        scrape.values.iter().filter(|(s, _)| s.starts_with("pgsonde_digest_seconds_total"));
    assert!((seconds.map(|(_, value)| value).sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn every_histogram_is_cumulative_and_ends_in_its_count() {
    let scrape = scrape(fixture::snapshot());
    let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
    for (series, value) in &scrape.values {
        let Some((name, labels)) = series.split_once("_bucket{") else { continue };
        let (labels, le) = labels.strip_suffix("\"}").unwrap().rsplit_once("le=\"").unwrap();
        let le = le.parse().unwrap();
        buckets.entry(format!("{name}{{{labels}")).or_default().push((le, *value));
    }
    assert!(buckets.len() >= 9, "{}", buckets.len());
    for (key, mut rows) in buckets {
        rows.sort_by(|a, b| a.0.total_cmp(&b.0));
        assert!(rows.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{key}");
        let (name, labels) = key.split_once('{').unwrap();
        let labels = labels.trim_end_matches(',');
        let count = format!("{name}_count{{{labels}}}");
        assert_eq!(rows.last().unwrap(), &(f64::INFINITY, scrape.value(&count)), "{key}");
    }
}

#[test]
fn hostile_names_stay_inside_their_labels() {
    let text =
        exporter(&Fixed::new(fixture::snapshot(), fixture::counters()), SETTINGS).text().unwrap();
    Scrape::parse(&text);
    assert!(!text.contains('\u{1b}'));
    let line = text
        .lines()
        .find(|line| line.contains("onerror") && line.contains("digest_calls"))
        .unwrap();
    assert!(line.contains("\\\"'&"), "quotes are escaped: {line}");
    assert!(
        HOSTILE.contains('\n') && line.ends_with(" 1"),
        "the line break did not end the line: {line}"
    );
    assert!(!text.contains("FROM items"), "no statement text in metrics");
}

#[test]
fn rows_with_equal_labels_become_one_series() {
    let set = || SetRow {
        database: "d".into(),
        service: "s".into(),
        outcomes: [2, 0, 0],
        ..SetRow::default()
    };
    let pair = || PairRow { database: "d".into(), service: "s".into(), ..PairRow::default() };
    let scrape = scrape(Snapshot {
        sets: vec![set(), set()],
        pairs: vec![pair(), pair()],
        ..Snapshot::default()
    });
    let series =
        "pgsonde_statements_total{database=\"d\",service=\"s\",operation=\"other\",outcome=\"ok\"}";
    assert_eq!(scrape.value(series), 4.0);
}

#[test]
fn an_empty_snapshot_still_tells_about_the_proxy() {
    let source = Fixed::new(Snapshot::default(), ProxyCounters::default());
    let scrape = Scrape::parse(&exporter(&source, SETTINGS).text().unwrap());
    assert_eq!(scrape.value("pgsonde_client_connections{state=\"active\"}"), 0.0);
    assert!(!scrape.types.contains_key("pgsonde_statements_total"));
    assert_eq!(scrape.value("pgsonde_exposed_series"), scrape.values.len() as f64);
}

#[test]
fn no_digest_counter_falls_and_ceilings_hold_while_digests_come_and_go() {
    let source = Fixed::new(Snapshot::default(), ProxyCounters::default());
    let exporter = exporter(&source, MetricSettings { digests: 10, findings: 1, ..SETTINGS });
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    for step in 1..30_u64 {
        let rows = (0..step * 3).map(|digest| DigestRow {
            digest,
            database: if digest % 2 == 0 { "a" } else { "b" }.into(),
            totals: DigestTotals { calls: step + digest, ..DigestTotals::default() },
            ..DigestRow::default()
        });
        let findings = fixture::snapshot().findings;
        let snapshot = Snapshot {
            at_us: step * 60_000_000,
            digests: rows.collect(),
            findings,
            ..Snapshot::default()
        };
        *source.snapshot.lock().unwrap() = Arc::new(snapshot);
        let scrape = Scrape::parse(&exporter.text().unwrap());
        let digests: BTreeMap<String, f64> = scrape
            .values
            .into_iter()
            .filter(|(series, _)| series.starts_with("pgsonde_digest_calls"))
            .collect();
        assert!(digests.len() <= 12, "10 residents and one rest per database: {}", digests.len());
        for (series, value) in &before {
            assert!(digests[series] >= *value, "{series}");
        }
        let all: u64 = (0..step * 3).map(|digest| step + digest).sum();
        assert_eq!(digests.values().sum::<f64>(), all as f64);
        before = digests;
    }
}

#[test]
fn the_ceiling_of_findings_holds() {
    let source = Fixed::new(fixture::snapshot(), fixture::counters());
    let text = exporter(&source, MetricSettings { findings: 1, ..SETTINGS }).text().unwrap();
    let named: BTreeSet<&str> =
        text.lines().filter(|line| line.starts_with("pgsonde_finding_info")).collect();
    assert_eq!(named.len(), 1);
    assert!(text.contains("pgsonde_findings{kind=\"missing_index\",severity=\"warning\"} 1"));
}

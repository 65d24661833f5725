//! How many series `/metrics` can have at most, computed from the catalogue and the limits.

use super::catalogue::{CATALOGUE, Type};
use super::status::{OVERHEAD_BUCKETS_NS, SETUP_BUCKETS_US};
use super::sticky::DIGEST_BUCKETS_US;
use crate::config::MetricSettings;
use pgsonde_analyzer::finding::Kind;
use pgsonde_analyzer::snapshot::{STATEMENT_BUCKETS_US, TRANSACTION_BUCKETS_US, UNIT_BUCKETS};

/// Series of the process collector, and the one that counts the others.
const OWN: usize = 8;
/// Lines of a histogram beside its bounds: the bucket of infinity, sum and count.
const HISTOGRAM_LINES: usize = 3;
/// Tables that can overflow, by name.
const OVERFLOW_TABLES_MAX: usize = 16;

/// Rows of the tables that have a ceiling, those for what overflows included.
struct Rows {
    pairs: usize,
    services: usize,
    databases: usize,
    sets: usize,
    errors: usize,
    digests: usize,
    digest_histograms: usize,
    routes: usize,
    findings: usize,
}

impl Rows {
    fn of(limits: &MetricSettings) -> Self {
        let pairs = limits.pairs + 1;
        Self {
            pairs,
            services: pairs,
            databases: pairs,
            sets: limits.statement_sets + pairs,
            errors: limits.error_sets + pairs,
            digests: limits.digests + pairs,
            digest_histograms: if limits.digest_histograms { limits.digests } else { 0 },
            routes: limits.routes + pairs,
            findings: limits.findings,
        }
    }

    /// Rows of a family.
    fn rows(&self, family: &str) -> usize {
        let kinds = Kind::ALL.len();
        match family {
            "statements_total" => self.sets * 3,
            "statement_duration_seconds" | "rows_total" => self.sets,
            "statement_phase_seconds_total" => self.pairs * 6,
            "received_bytes_total" | "sent_bytes_total" => self.databases * 2,
            "errors_total" => self.errors,
            "transactions_total" | "prepares_total" => self.pairs * 3,
            "transaction_duration_seconds" => self.pairs,
            "unit_statements" => self.services,
            "n_plus_one_bursts_total" => self.services * 3,
            "n_plus_one_statements_total" | "n_plus_one_seconds_total" => self.services,
            "digest_calls_total" | "digest_errors_total" | "digest_rows_total" | "digest_info" => {
                self.digests
            }
            "digest_seconds_total" => self.digests * 2,
            "digest_duration_seconds" => self.digest_histograms,
            "route_units_total" | "route_statements_total" => self.routes,
            "route_seconds_total" => self.routes * 3,
            "findings" => kinds * 3,
            "findings_opened_total" => kinds,
            "finding_info" => self.findings,
            "client_connections" | "connection_setup_seconds" | "profiling_mode" => 3,
            "client_connections_total" | "opaque_sessions_total" => 6,
            "proxy_overhead_seconds" => 2,
            "events_dropped_total" | "advisor_explains_total" => 4,
            "advisor_skipped_total" => 17,
            "label_overflow_total" => OVERFLOW_TABLES_MAX,
            _ => 1,
        }
    }
}

/// Lines of one row of a family.
fn lines(family: &str, kind: Type) -> usize {
    let bounds = match family {
        _ if kind != Type::Histogram => return 1,
        "statement_duration_seconds" => STATEMENT_BUCKETS_US.len(),
        "transaction_duration_seconds" => TRANSACTION_BUCKETS_US.len(),
        "digest_duration_seconds" => DIGEST_BUCKETS_US.len(),
        "unit_statements" => UNIT_BUCKETS.len(),
        "connection_setup_seconds" => SETUP_BUCKETS_US.len(),
        _ => OVERHEAD_BUCKETS_NS.len(),
    };
    bounds + HISTOGRAM_LINES
}

/// Most series in one answer of `/metrics`, whatever clients do.
pub(crate) fn series_bound(limits: &MetricSettings) -> usize {
    let rows = Rows::of(limits);
    let families = CATALOGUE.iter().map(|(name, kind, ..)| rows.rows(name) * lines(name, *kind));
    families.sum::<usize>() + OWN
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;
    use crate::export::fixture::Fixed;
    use crate::export::metrics::Exporter;
    use crate::export::{fixture, status::SnapshotSource};
    use pgsonde_analyzer::Analyzer;
    use pgsonde_analyzer::limits::Limits;
    use pgsonde_analyzer::record::{
        Event, NewText, RecordBatch, SessionId, SessionOpened, Span, StatementRecord, TrafficRecord,
    };
    use pgsonde_analyzer::value::{Salt, text_key};
    use std::sync::Arc;
    use std::time::Instant;

    fn limits(text: &str) -> (MetricSettings, Limits) {
        let text = format!("[proxy]\nupstream = 'postgresql://db'\n{text}");
        let settings = Settings::parse(&text).unwrap();
        (settings.metrics, settings.limits())
    }

    fn put(batch: &mut RecordBatch, bytes: &[u8]) -> Span {
        let start = batch.bytes.len() as u32;
        batch.bytes.extend_from_slice(bytes);
        Span { start, len: bytes.len() as u32 }
    }

    /// Sessions of databases, users and applications that never come again, each with texts of its own: every
    /// name that a client can choose is another one each time.
    fn hostile(batch: &mut RecordBatch, session: u64, texts: u64) {
        let name = |what: &str| format!("{what}{}\"\n", letters(session));
        let opened = SessionOpened {
            session: SessionId(session),
            database: put(batch, name("db").as_bytes()),
            user: put(batch, name("user").as_bytes()),
            application_name: put(batch, name("app").as_bytes()),
            ..SessionOpened::default()
        };
        batch.events.push(Event::Opened(opened));
        for at in 0..texts {
            let (table, route) = (letters(session * texts + at), letters(at * 7 + session));
            let verb =
                ["select", "update", "delete from", "drop table", "nonsense"][at as usize % 5];
            let text = format!(
                "{verb} t_{table} /*route='/{route}',application='{table}',traceparent='00-{session:032x}-{at:016x}-01'*/"
            );
            let bytes = put(batch, text.as_bytes());
            let key = text_key(text.as_bytes());
            batch.texts.push(NewText { key, bytes, cut: false });
            let begin_us = session * 1_000 + at * 10;
            batch.events.push(Event::Statement(StatementRecord {
                session: SessionId(session),
                text: key,
                begin_us,
                first_row_us: at % 50,
                round_trip: at as u32,
                ..StatementRecord::default()
            }));
        }
        let session = SessionId(session);
        batch.events.push(Event::Traffic(TrafficRecord { session, ..TrafficRecord::default() }));
    }

    /// A number in letters: digits are masked in the names of services.
    fn letters(mut number: u64) -> String {
        let mut text = String::new();
        loop {
            text.push(char::from(b'a' + (number % 26) as u8));
            number /= 26;
            if number == 0 {
                return text;
            }
        }
    }

    fn filled(limits: Limits, sessions: u64, texts: u64) -> Analyzer {
        let mut analyzer = Analyzer::new(limits, Salt::new(1, 2));
        for session in 1..=sessions {
            let mut batch = RecordBatch::default();
            hostile(&mut batch, session, texts);
            analyzer.ingest(&batch);
            if session % 500 == 0 {
                analyzer.tick(session * 1_000);
            }
        }
        analyzer.tick(sessions * 1_000 + 20_000_000);
        analyzer
    }

    fn scrape(analyzer: &mut Analyzer, metrics: MetricSettings) -> String {
        let snapshot = analyzer.snapshot(1_000_000_000);
        let source = Arc::new(Fixed::new(snapshot, fixture::counters()));
        Exporter::new(source.clone(), source, metrics).unwrap().text().unwrap()
    }

    fn exposed(text: &str) -> usize {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.count()
    }

    #[test]
    fn the_bound_with_defaults_is_the_published_one() {
        let (metrics, _) = limits("");
        assert!(series_bound(&metrics) < 6_000, "{}", series_bound(&metrics));
        let (most, _) = limits(
            "[metrics]\ndigest_histograms = true\npairs = 256\nstatement_sets = 2048\nerror_sets = 1024\ndigests = 1000\nroutes = 1000\nfindings = 500\n",
        );
        let (histograms, _) = limits("[metrics]\ndigest_histograms = true\n");
        assert_eq!(series_bound(&histograms), series_bound(&metrics) + 100 * 11);
        assert!(series_bound(&most) > 10 * series_bound(&metrics));
    }

    #[test]
    fn hostile_names_stay_under_the_bound() {
        let small = "[metrics]\npairs = 3\nstatement_sets = 8\nerror_sets = 8\ndigests = 5\nroutes = 4\nfindings = 2\n";
        for (text, sessions) in [
            ("", 2_000),
            ("[metrics]\ndigest_histograms = true\n", 2_000),
            (small, 500),
            ("[metrics]\ndigests = 0\nroutes = 0\n", 300),
        ] {
            let (metrics, limits) = limits(text);
            let text = scrape(&mut filled(limits, sessions, 20), metrics);
            let (exposed, bound) = (exposed(&text), series_bound(&metrics));
            assert!(exposed <= bound, "{exposed} series, but at most {bound}");
            assert!(
                exposed * 8 >= bound || sessions < 1_000,
                "{exposed} of {bound}: the workload fills the tables"
            );
            let said = format!("pgsonde_exposed_series {exposed}\n");
            assert!(text.contains(&said), "the count that is exposed is right");
        }
    }

    /// cargo test -p pgsonde --lib -- --nocapture hostile_million
    #[test]
    fn hostile_million() {
        let (metrics, limits) = limits("");
        let mut analyzer = filled(limits, 50_000, 20);
        let text = scrape(&mut analyzer, metrics);
        println!("{} series of at most {}", exposed(&text), series_bound(&metrics));
        assert!(exposed(&text) <= series_bound(&metrics));
    }

    /// cargo test --release -p pgsonde --lib -- --ignored --nocapture scrape_time
    #[test]
    #[ignore = "a measurement"]
    fn scrape_time() {
        let (metrics, limits) = limits("");
        let mut analyzer = filled(limits, 1_000, 20);
        let snapshot = analyzer.snapshot(1_000_000_000);
        println!("{} digests tracked", snapshot.digests_tracked);
        let source = Arc::new(Fixed::new(snapshot, fixture::counters()));
        let exporter = Exporter::new(source.clone(), source.clone(), metrics).unwrap();
        assert!(source.snapshot().digests_tracked >= 4_000);
        for _ in 0..5 {
            let began = Instant::now();
            let bytes = exporter.text().unwrap().len();
            println!("{bytes} bytes in {:.1} ms", began.elapsed().as_secs_f64() * 1e3);
        }
    }
}

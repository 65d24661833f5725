//! The export by OpenTelemetry: a receiver inside the test decodes what arrives with the published definitions.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric};
use opentelemetry_proto::tonic::trace::v1::Span;
use pgsonde_tests::certificates::{self, Authority};
use pgsonde_tests::exporting::{server, table};
use pgsonde_tests::{Proxy, eventually, paths, python};
use prost::Message;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(60);

/// How the receiver answers spans; everything else it always takes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mood {
    Takes,
    /// Takes all but one.
    TakesInPart,
    /// Closes the connection without an answer.
    HangsUp,
    /// Says nothing until the mood changes.
    Silent,
    /// Refuses with this status.
    Refuses(&'static str),
}

/// What arrived.
#[derive(Default)]
struct Arrived {
    metrics: Vec<ExportMetricsServiceRequest>,
    spans: Vec<Span>,
    logs: Vec<LogRecord>,
    heads: Vec<String>,
    bytes: Vec<u8>,
    refused: Vec<Instant>,
    taken: Vec<Instant>,
}

struct Receiver {
    port: u16,
    mood: Arc<Mutex<Mood>>,
    arrived: Arc<Mutex<Arrived>>,
}

impl Receiver {
    fn start(mood: Mood, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (mood, arrived) = (Arc::new(Mutex::new(mood)), Arc::new(Mutex::default()));
        let (mood_now, arrived_now) = (Arc::clone(&mood), Arc::clone(&arrived));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mood, arrived) = (Arc::clone(&mood_now), Arc::clone(&arrived_now));
                let tls = tls.clone();
                std::thread::spawn(move || match tls {
                    Some(tls) => {
                        let session = rustls::ServerConnection::new(tls).expect("a session");
                        serve(rustls::StreamOwned::new(session, stream), &mood, &arrived);
                    }
                    None => serve(stream, &mood, &arrived),
                });
            }
        });
        Self { port, mood, arrived }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn is_now(&self, mood: Mood) {
        *self.mood.lock().expect("not poisoned") = mood;
    }

    fn arrived<T>(&self, look: impl FnOnce(&Arrived) -> T) -> T {
        look(&self.arrived.lock().expect("not poisoned"))
    }

    fn spans(&self, word: &str) -> Vec<Span> {
        self.arrived(|arrived| {
            arrived.spans.iter().filter(|span| span.name.contains(word)).cloned().collect()
        })
    }

    fn await_spans(&self, word: &str, count: usize) -> Vec<Span> {
        eventually("the spans arrive", LIMIT, || {
            let spans = self.spans(word);
            (spans.len() >= count).then_some(spans)
        })
    }
}

/// One connection.
fn serve(stream: impl Read + Write, mood: &Mutex<Mood>, arrived: &Mutex<Arrived>) {
    let mut stream = BufReader::new(stream);
    while let Some((head, body)) = request(&mut stream) {
        let now = || *mood.lock().expect("not poisoned");
        if head.starts_with("POST /v1/traces") || head.starts_with("POST /base/v1/traces") {
            while now() == Mood::Silent {
                std::thread::sleep(Duration::from_millis(20));
            }
            if now() != Mood::Takes && now() != Mood::TakesInPart {
                arrived.lock().expect("not poisoned").refused.push(Instant::now());
            }
        }
        let answer = match now() {
            _ if !head.contains("v1/traces") => take(head, &body, 0, arrived),
            Mood::TakesInPart => take(head, &body, 1, arrived),
            Mood::Refuses(status) => {
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").into()
            }
            Mood::HangsUp => return,
            _ => take(head, &body, 0, arrived),
        };
        if stream.get_mut().write_all(&answer).and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn request(stream: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length =
        |line: &str| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
    let mut body = vec![0; head.lines().find_map(length)?];
    stream.read_exact(&mut body).ok()?;
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_end(&mut plain).expect("gzip");
    Some((head, plain))
}

fn take(head: String, body: &[u8], rejected: i64, arrived: &Mutex<Arrived>) -> Vec<u8> {
    let mut arrived = arrived.lock().expect("not poisoned");
    assert!(head.contains("application/x-protobuf"), "{head}");
    if head.contains("v1/metrics ") {
        arrived.metrics.push(Message::decode(body).expect("metrics"));
    } else if head.contains("v1/traces ") {
        let request = ExportTraceServiceRequest::decode(body).expect("spans");
        let scopes = request.resource_spans.into_iter().flat_map(|all| all.scope_spans);
        arrived.spans.extend(scopes.flat_map(|scope| scope.spans));
        arrived.taken.push(Instant::now());
    } else if head.contains("v1/logs ") {
        let request = ExportLogsServiceRequest::decode(body).expect("logs");
        let scopes = request.resource_logs.into_iter().flat_map(|all| all.scope_logs);
        arrived.logs.extend(scopes.flat_map(|scope| scope.log_records));
    } else {
        panic!("{head}");
    }
    arrived.heads.push(head);
    arrived.bytes.extend_from_slice(body);
    let partial = ExportTracePartialSuccess { rejected_spans: rejected, ..Default::default() };
    let partial_success = (rejected > 0).then_some(partial);
    let answer = ExportTraceServiceResponse { partial_success }.encode_to_vec();
    let mut out =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len()).into_bytes();
    out.extend_from_slice(&answer);
    out
}

fn configuration(folder: &Path, url: &str, more: &str) -> String {
    let file = folder.join("pgsonde.toml");
    let text = format!(
        "[proxy]\nupstream = \"{}\"\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [export.otlp]\nurl = \"{url}\"\ninterval = \"200ms\"\n{more}\n",
        server().upstream(),
    );
    std::fs::write(&file, text).expect("the configuration is written");
    file.display().to_string()
}

fn exporting(folder: &Path, url: &str, more: &str) -> Proxy {
    Proxy::configured(Path::new(&configuration(folder, url, more)))
}

fn value(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        None => String::new(),
        other => panic!("{key}: {other:?}"),
    }
}

fn exported(proxy: &Proxy, name: &str, labels: &[&str]) -> f64 {
    let labels = [labels, &["exporter=\"otlp\""]].concat();
    proxy.metrics().matching(&format!("pgsonde_export_{name}"), &labels)
}

/// `count` statements, each a unit of work of its own trace, so that all of them leave at once.
fn load(proxy: &Proxy, table: &str, count: usize) {
    let sql: String = (1..=count)
        .map(|n| {
            format!("select n from {table} where n = 4711{n} /*traceparent='00-{n:032x}-{n:016x}-01'*/;\n")
        })
        .collect();
    server().psql_ok(proxy.port(), &sql);
}

fn metrics(receiver: &Receiver, name: &str) -> Option<Metric> {
    receiver.arrived(|arrived| {
        let latest = arrived.metrics.last()?.resource_metrics.first()?.scope_metrics.first()?;
        latest.metrics.iter().find(|metric| metric.name == name).cloned()
    })
}

fn durations(receiver: &Receiver) -> Vec<HistogramDataPoint> {
    match metrics(receiver, "db.client.operation.duration").and_then(|metric| metric.data) {
        Some(Data::Histogram(histogram)) => {
            assert_eq!(histogram.aggregation_temporality, 2, "cumulative");
            histogram.data_points
        }
        _ => Vec::new(),
    }
}

#[test]
fn histograms_are_what_the_proxy_counted() {
    table("counted");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Takes, None);
    let proxy = exporting(folder.path(), &receiver.url(), "");
    load(&proxy, "counted", 40);
    server().psql_ok(proxy.port(), "select pg_sleep(0.02)");
    proxy.settle();
    let own = proxy.metrics();
    let count = own.sum("pgsonde_statement_duration_seconds_count");
    assert!(count >= 41.0, "{count}");
    let points = eventually("the sums arrive", LIMIT, || {
        let points = durations(&receiver);
        let told: u64 = points.iter().map(|point| point.count).sum();
        (told as f64 >= count).then_some(points)
    });
    assert_eq!(points.iter().map(|point| point.count).sum::<u64>() as f64, count);
    let bounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
    for point in &points {
        assert_eq!(point.explicit_bounds, bounds, "those of the conventions");
        assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
        assert_eq!(value(&point.attributes, "db.system.name"), "postgresql");
        assert_eq!(value(&point.attributes, "db.namespace"), "postgres");
        assert_eq!(value(&point.attributes, "db.operation.name"), "SELECT");
        assert_eq!(value(&point.attributes, "server.port"), server().port().to_string());
        assert_eq!(value(&point.attributes, "pgsonde.service"), "psql");
        assert!(point.start_time_unix_nano < point.time_unix_nano);
    }
    let above_20_ms: u64 = points.iter().flat_map(|point| &point.bucket_counts[3..]).sum();
    assert!(above_20_ms >= 1, "the statement that slept");
    let sum: f64 = points.iter().filter_map(|point| point.sum).sum();
    let told = own.sum("pgsonde_statement_duration_seconds_sum");
    assert!((sum - told).abs() < 1e-6, "{sum} {told}");
    assert_eq!(exported(&proxy, "failures_total", &[]), 0.0);
    assert_eq!(proxy.api("info")["exports"][0]["exporter"], "otlp");
    assert_eq!(proxy.stop(), 0);
}

#[test]
fn spans_stand_below_those_of_the_application() {
    table("spanned");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Takes, None);
    let proxy = exporting(folder.path(), &receiver.url(), "sample = \"100%\"");
    load(&proxy, "spanned", 30);
    let output = server().psql(proxy.port(), "begin; select 1/0 from spanned; rollback");
    assert!(!output.is_ok());
    let spans = receiver.await_spans("SELECT spanned", 31);
    assert_eq!(spans.len(), 31);
    let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    assert_eq!(ids.len(), 31, "ids are all different");
    for span in &spans {
        assert_eq!((span.kind, span.trace_id.len(), span.span_id.len()), (3, 16, 8));
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        assert_eq!(value(&span.attributes, "db.collection.name"), "spanned");
        assert_eq!(value(&span.attributes, "db.query.summary"), span.name);
    }
    for n in 1..=30_u64 {
        let trace = u128::from(n).to_be_bytes().to_vec();
        let span = spans.iter().find(|span| span.trace_id == trace);
        let span = span.unwrap_or_else(|| panic!("{n} is missing"));
        assert_eq!(span.parent_span_id, n.to_be_bytes());
        assert_eq!(value(&span.attributes, "db.query.text"), "select n from spanned where n = ?");
        assert_eq!(value(&span.attributes, "db.response.returned_rows"), "0");
    }
    let failed: Vec<_> = spans
        .iter()
        .filter(|span| span.status.as_ref().is_some_and(|status| status.code == 2))
        .collect();
    assert_eq!(failed.len(), 1);
    assert_eq!(value(&failed[0].attributes, "db.response.status_code"), "22012");
    // The end of the proxy ends its units: the span around what no trace of the application contains.
    let parent = failed[0].parent_span_id.clone();
    assert_eq!(proxy.stop(), 0);
    let units = receiver.spans("unit of work");
    assert!(units.iter().any(|unit| unit.span_id == parent && unit.kind == 1), "{units:?}");
    let secret = receiver.arrived(|arrived| arrived.bytes.windows(4).any(|bytes| bytes == b"4711"));
    assert!(!secret, "no literal leaves");
}

#[test]
fn slow_units_leave_and_quick_ones_do_not() {
    table("slow");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Takes, None);
    let proxy = exporting(folder.path(), &receiver.url(), "sample = \"0%\"\nslow = \"100ms\"");
    let trace =
        |n: u32, flags: &str| format!("/*traceparent='00-{n:032x}-00000000000000aa-{flags}'*/");
    for sql in [
        "select 1 from slow".to_owned(),
        format!("select 2 from slow {}", trace(2, "00")),
        format!("select 3, pg_sleep(0.12) from slow {}", trace(3, "00")),
        "select n, n, pg_sleep(0.12) from slow".to_owned(),
        format!("select 5 from slow {}", trace(5, "01")),
    ] {
        server().psql_ok(proxy.port(), &sql);
    }
    let spans = receiver.await_spans("SELECT slow", 3);
    proxy.settle();
    assert_eq!(proxy.stop(), 0);
    let texts: BTreeSet<String> = receiver
        .spans("SELECT slow")
        .iter()
        .map(|span| value(&span.attributes, "db.query.text"))
        .collect();
    assert_eq!((spans.len(), texts.len()), (3, 3), "{texts:?}");
    assert_eq!(texts.iter().filter(|text| text.contains("pg_sleep")).count(), 2, "{texts:?}");
}

#[test]
fn findings_are_logs() {
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Takes, None);
    let proxy = exporting(folder.path(), &receiver.url(), "");
    server().psql_ok(server().port(), "create database told");
    let url = |port: u16| format!("postgresql://postgres@127.0.0.1:{port}/told");
    python("orm.py", &["prepare", &url(server().port()), "psycopg", "lazy"], LIMIT);
    python("orm.py", &["run", &url(proxy.port()), "psycopg", "lazy", "5"], LIMIT);
    let of =
        |record: &&LogRecord| value(&record.attributes, "pgsonde.finding.kind") == "n_plus_one";
    let record = eventually("the finding arrives", LIMIT, || {
        receiver.arrived(|arrived| arrived.logs.iter().find(of).cloned())
    });
    let own = proxy.findings("n_plus_one");
    assert_eq!(value(&record.attributes, "pgsonde.finding.id"), own[0]["id"].as_str().expect("id"));
    assert_eq!(value(&record.attributes, "db.namespace"), "told");
    assert!(value(&record.attributes, "pgsonde.finding.fix").contains("joinedload"));
    assert_eq!(
        (record.event_name.as_str(), record.severity_number >= 9),
        ("pgsonde.finding", true)
    );
}

/// Whatever the receiver does: no statement of the application is touched, and each span is there once afterwards.
#[test]
fn a_receiver_that_is_away_gets_each_span_once() {
    let moods = [Mood::HangsUp, Mood::Refuses("503 Service Unavailable"), Mood::Silent];
    for (at, mood) in moods.into_iter().enumerate() {
        let name = format!("away{at}");
        table(&name);
        let folder = tempfile::tempdir().expect("a folder");
        let receiver = Receiver::start(mood, None);
        let proxy = exporting(folder.path(), &receiver.url(), "");
        load(&proxy, &name, 60);
        proxy.settle();
        assert_eq!(proxy.calls_and_errors(&name), (60, 0), "{mood:?}");
        if mood != Mood::Silent {
            eventually("the failure is counted", LIMIT, || {
                (exported(&proxy, "failures_total", &[]) >= 2.0).then_some(())
            });
            proxy.await_line(&["cannot export by OTLP"]);
            assert!(proxy.api("info")["exports"][0]["last_error"].is_string());
        }
        eventually("spans wait", LIMIT, || {
            (exported(&proxy, "spool_bytes", &[]) > 0.0).then_some(())
        });
        receiver.is_now(Mood::Takes);
        let spans = receiver.await_spans(&name, 60);
        eventually("nothing waits", LIMIT, || {
            (exported(&proxy, "spool_bytes", &[]) == 0.0).then_some(())
        });
        let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert_eq!((ids.len(), receiver.spans(&name).len()), (60, 60), "{mood:?}");
        assert_eq!(exported(&proxy, "dropped_rows_total", &[]), 0.0, "{mood:?}");
        assert_eq!(proxy.stop(), 0);
    }
}

#[test]
fn a_receiver_may_ask_for_patience() {
    table("patience");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Refuses("429 Too Many Requests\r\nRetry-After: 2"), None);
    let proxy = exporting(folder.path(), &receiver.url(), "");
    load(&proxy, "patience", 10);
    eventually("the refusal", LIMIT, || {
        receiver.arrived(|arrived| arrived.refused.first().copied())
    });
    receiver.is_now(Mood::Takes);
    receiver.await_spans("patience", 10);
    let waited = receiver.arrived(|arrived| arrived.taken[0] - arrived.refused[0]);
    // Not a measurement: less would be a broken promise, however slow the machine is.
    assert!(waited >= Duration::from_secs(2), "{waited:?}");
    drop(proxy);
}

#[test]
fn what_is_refused_for_good_is_a_number() {
    table("refused");
    let folder = tempfile::tempdir().expect("a folder");
    let receiver = Receiver::start(Mood::Refuses("400 Bad Request"), None);
    let proxy = exporting(folder.path(), &receiver.url(), "");
    load(&proxy, "refused", 25);
    let dropped = || exported(&proxy, "dropped_rows_total", &["reason=\"refused\""]);
    eventually("the loss is counted", LIMIT, || (dropped() >= 25.0).then_some(()));
    assert_eq!(dropped(), 25.0);
    proxy.await_line(&["the receiver refuses", "status 400"]);
    let told = proxy.api("info")["exports"][0]["dropped"]["refused"].as_u64();
    assert_eq!(told, Some(25));
    receiver.is_now(Mood::TakesInPart);
    load(&proxy, "refused", 3);
    receiver.await_spans("refused", 3);
    eventually("the rejected span is counted", LIMIT, || (dropped() > 25.0).then_some(()));
}

#[test]
fn tls_a_path_and_headers() {
    table("safe");
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("the receiver's authority");
    let (certificate, key) = authority.sign("localhost").write(folder.path(), "receiver");
    let roots = certificates::write(&folder.path().join("roots.pem"), &authority.pem);
    let receiver = Receiver::start(Mood::Takes, Some(tls(&certificate, &key)));
    let headers =
        certificates::write(&folder.path().join("headers"), "api-key=abc-123, x-team=shop");
    let url = format!("https://localhost:{}/base", receiver.port);
    let more = format!("headers = \"file:{}\"", headers.display());
    let file = configuration(folder.path(), &url, &more);
    let roots = format!("SSL_CERT_FILE={}", roots.display());
    let program = paths::pgsonde().display().to_string();
    let start = |roots: &str| {
        Proxy::started(Path::new("/usr/bin/env"), &[roots, &program, "--config", &file, "proxy"])
    };
    let stranger = start("SSL_CERT_FILE=/dev/null");
    load(&stranger, "safe", 5);
    eventually("a certificate that nobody vouches for", LIMIT, || {
        (exported(&stranger, "failures_total", &[]) > 0.0).then_some(())
    });
    drop(stranger);
    assert_eq!(receiver.spans("safe").len(), 0);
    let proxy = start(&roots);
    load(&proxy, "safe", 5);
    receiver.await_spans("safe", 5);
    receiver.arrived(|arrived| {
        for head in &arrived.heads {
            assert!(head.starts_with("POST /base/v1/"), "{head}");
            let lower = head.to_ascii_lowercase();
            assert!(lower.contains("api-key: abc-123") && lower.contains("x-team: shop"), "{head}");
        }
    });
    assert!(!proxy.lines().join("\n").contains("abc-123"));
}

fn tls(certificate: &Path, key: &Path) -> Arc<rustls::ServerConfig> {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = vec![CertificateDer::from_pem_file(certificate).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key);
    Arc::new(config.expect("a configuration"))
}

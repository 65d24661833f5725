//! The listener on a free loopback port, asked as a browser, a scraper and an attacker would ask it.

use super::super::fixture::{self, Fixed};
use super::super::formats::Format;
use super::super::report;
use super::super::status::Lifecycle;
use super::*;
use crate::config::Settings;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;

struct Running {
    address: SocketAddr,
    source: Fixed,
    access: Arc<Access>,
    /// What was ordered, as `Debug` prints it.
    orders: Arc<Mutex<Vec<String>>>,
}

fn start() -> Running {
    start_with("")
}

/// With these lines in `[admin]`. Orders are noted and carried out, but for those to drain.
fn start_with(admin: &str) -> Running {
    let text = format!("[proxy]\nupstream = 'postgresql://db'\n[admin]\n{admin}\n");
    let settings = Settings::parse(&text).unwrap();
    let access = Arc::new(Access::new(&settings.admin).unwrap());
    let (line, mut inbox) = Orders::line();
    let orders: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = Arc::clone(&orders);
    std::thread::spawn(move || {
        while let Some(crate::orders::Request { order, answer }) = inbox.blocking_recv() {
            noted.lock().unwrap().push(format!("{order:?}"));
            let ends = matches!(order, crate::orders::Order::Drain);
            let outcome = if ends { Err(Problem::new(705, "not now")) } else { Ok(()) };
            answer.send(outcome).unwrap();
        }
    });
    let source = Fixed::new(fixture::snapshot(), fixture::counters());
    let state = AdminState {
        snapshots: Arc::new(source.clone()),
        status: Arc::new(source.clone()),
        started: std::time::UNIX_EPOCH,
        metrics: MetricSettings {
            digests: 100,
            digest_histograms: false,
            routes: 128,
            findings: 100,
            pairs: 24,
            statement_sets: 96,
            error_sets: 64,
        },
        listen: "127.0.0.1:6435".to_owned(),
        access: Arc::clone(&access),
        orders: line,
    };
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            serve(
                tokio::net::TcpListener::from_std(listener).unwrap(),
                state,
                std::future::pending(),
            )
            .await
            .unwrap();
        });
    });
    Running { address, source, access, orders }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{}", self.body))
    }
}

impl Running {
    /// Bytes on the wire, so that any header can be sent.
    fn send(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// With the token, unless another `Authorization` is given.
    fn write(&self, line: &str, body: &str, authorization: Option<&str>) -> Answer {
        let token = format!("Bearer {}", self.access.token());
        let authorization = authorization.unwrap_or(&token);
        self.send(&format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        ))
    }

    fn get(&self, path: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        ))
    }
}

#[test]
fn every_route_answers() {
    let running = start();
    let rows = [
        ("/", "text/html; charset=utf-8"),
        ("/plain", "text/html; charset=utf-8"),
        ("/statements/9f2c000000000001", "text/html; charset=utf-8"),
        ("/live", "application/json"),
        ("/ready", "application/json"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
        ("/api/v1/info", "application/json"),
        ("/api/v1/summary", "application/json"),
        ("/api/v1/statements?limit=1&sort=calls", "application/json"),
        ("/api/v1/statements/9F2C000000000001?database=shop", "application/json"),
        ("/api/v1/findings?kind=n_plus_one&severity=error&state=open", "application/json"),
        ("/api/v1/findings/3f2a00000001", "application/json"),
        ("/api/v1/routes?sort=p95&limit=1", "application/json"),
        ("/api/v1/routes/web/%2Forders", "application/json"),
        ("/api/v1/units/00000000000000a1", "application/json"),
        ("/api/v1/transactions?sort=think", "application/json"),
    ];
    for (path, content_type) in rows {
        let answer = running.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert!(
            answer.head.contains(&format!("content-type: {content_type}")),
            "{path}: {}",
            answer.head
        );
        assert!(
            answer.head.contains("content-security-policy: default-src 'none'; script-src '"),
            "{path}"
        );
        assert!(answer.head.contains("x-content-type-options: nosniff"), "{path}");
        assert!(answer.head.contains("referrer-policy: no-referrer"), "{path}");
        let no_store = answer.head.contains("cache-control: no-store");
        assert_eq!(no_store, path.starts_with("/api"), "{path}");
    }
    assert_eq!(running.get("/api/v1/findings/3f2a00000001").json()["kind"], "n_plus_one");
}

#[test]
fn refusals_are_problem_documents() {
    let running = start();
    let rows = [
        ("/api/v1/statements/00000000000000ff", 404, "PGS0704"),
        ("/api/v1/statements/9f2c000000000001?database=none", 404, "PGS0704"),
        ("/api/v1/findings/0000000000ff", 404, "PGS0704"),
        ("/api/v1/statements/xyz", 400, "PGS0701"),
        ("/api/v1/routes/web/%2Fnone", 404, "PGS0704"),
        ("/api/v1/routes?sort=calls", 400, "PGS0701"),
        ("/api/v1/units/00000000000000ff", 404, "PGS0704"),
        ("/api/v1/units/1", 400, "PGS0701"),
        ("/api/v1/transactions?database=shop", 400, "PGS0701"),
        ("/api/v1/statements/+f2c000000000001", 400, "PGS0701"),
        ("/api/v1/statements?limit=0", 400, "PGS0701"),
        ("/api/v1/statements?limit=501", 400, "PGS0701"),
        ("/api/v1/statements?sort=speed", 400, "PGS0701"),
        ("/api/v1/statements?colour=x", 400, "PGS0701"),
        ("/api/v1/statements?q=op:", 400, "PGS0701"),
        ("/api/v1/findings?limit=-1", 400, "PGS0701"),
        ("/api/v1/findings?from=soon", 400, "PGS0701"),
    ];
    for (path, status, code) in rows {
        let answer = running.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(
            answer.head.contains("content-type: application/problem+json"),
            "{path}: {}",
            answer.head
        );
        let body = answer.json();
        assert_eq!(body["code"], code, "{path}");
        assert_eq!(body["type"], format!("urn:pgsonde:{code}"), "{path}");
        assert_eq!(body["status"], status, "{path}");
    }
    assert_eq!(running.write("POST /api/v1/info", "", None).status, 405);
}

#[test]
fn refusals_of_pages_are_pages() {
    let running = start();
    let rows = [
        ("/nowhere", 404, "nothing at this address"),
        ("/statements/00000000000000ff", 404, "no statement 00000000000000ff is known"),
        ("/statements/%3Cimg%3E", 400, "an id has 16 hexadecimal digits"),
        ("/statements/9f2c000000000001?page=2", 400, "unknown parameter `page`"),
    ];
    for (path, status, words) in rows {
        let answer = running.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.head.contains("content-type: text/html; charset=utf-8"), "{path}");
        assert!(answer.body.contains(words), "{path}: {}", answer.body);
        assert!(answer.body.contains("<a href=\"/\">"), "{path}: a way back");
    }
}

#[test]
fn foreign_hosts_and_origins_are_refused() {
    let running = start();
    let rows = [
        ("Host: localhost:9635", 200),
        ("Host: LOCALHOST", 200),
        ("Host: 127.0.0.1", 200),
        ("Host: 10.0.0.1:80", 200),
        ("Host: [::1]:9635", 200),
        ("Host: evil.example", 403),
        ("Host: evil.example:9635", 403),
        ("Host: localhost.evil.example", 403),
        ("Host: 127.0.0.1.evil.example", 403),
        ("Host: [::1].evil.example", 403),
        ("Host: localhost:", 403),
        ("Host: ", 403),
        ("Host: localhost\r\nOrigin: http://localhost:9635", 200),
        ("Host: localhost\r\nOrigin: http://evil.example", 403),
        ("Host: localhost\r\nOrigin: null", 403),
    ];
    for (headers, status) in rows {
        for path in ["/", "/metrics", "/api/v1/info", "/nowhere"] {
            let answer = running
                .send(&format!("GET {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n"));
            let expected = if status == 200 && path == "/nowhere" { 404 } else { status };
            assert_eq!(answer.status, expected, "{headers} {path}");
            assert!(status != 403 || answer.json()["code"] == "PGS0703", "{headers}");
            assert!(answer.head.contains("nosniff"), "also a refusal has the headers: {headers}");
        }
    }
}

#[test]
fn ready_follows_the_lifecycle_and_tells_of_the_server() {
    let running = start();
    assert_eq!(running.get("/ready").json()["state"], "ready");
    let change =
        |change: &dyn Fn(&mut ProxyCounters)| change(&mut running.source.proxy.lock().unwrap());
    change(&|proxy| {
        proxy.upstream.ok = false;
        proxy.upstream.last_error = Some("connection refused".to_owned());
    });
    let answer = running.get("/ready");
    assert_eq!(answer.status, 200, "an outage of the database must not unroute every application");
    assert_eq!(answer.json()["upstream_ok"], false);
    assert_eq!(answer.json()["reasons"][0], "upstream db.internal:5432: connection refused");
    assert_eq!(running.get("/live").status, 200);
    change(&|proxy| {
        proxy.upstream.ok = true;
        proxy.lifecycle = Lifecycle::Draining;
    });
    assert_eq!(
        (running.get("/ready").status, running.get("/ready").json()["state"].clone()),
        (503, "draining".into())
    );
    change(&|proxy| proxy.lifecycle = Lifecycle::Starting);
    assert_eq!(running.get("/ready").status, 503);
}

#[test]
fn the_style_in_the_page_is_the_one_that_the_policy_allows() {
    let answer = start().get("/plain");
    let (_, rest) = answer.body.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    assert_eq!(style, include_str!("../../../templates/style.css"));
    assert!(!answer.body.contains("<script"), "no JavaScript");
    assert!(!answer.body.contains(" style="), "no style attributes");
}

#[test]
fn the_report_reads_what_the_api_writes() {
    let running = start();
    let folder = std::env::temp_dir().join(format!("pgsonde-report-{}", running.address.port()));
    let source = format!("http://{}", running.address);
    let options = |format| report::Options {
        what_if: None,
        source: source.clone(),
        format,
        from: None,
        to: None,
        output: Some(folder.clone()),
        top: 2,
    };
    report::run(&options(Format::Json)).unwrap();
    let document: Value = serde_json::from_str(&std::fs::read_to_string(&folder).unwrap()).unwrap();
    assert_eq!(document["statements"]["items"].as_array().unwrap().len(), 2);
    assert_eq!(document["statements"]["items"][0]["histogram"][10]["count"], 60);
    assert_eq!(document["findings"]["total"], 2);
    assert_eq!(document["info"]["uptime_s"], 10);
    assert_eq!(document["summary"]["books"]["statements"], 152);
    report::run(&options(Format::Text)).unwrap();
    let text = std::fs::read_to_string(&folder).unwrap();
    std::fs::remove_file(&folder).unwrap();
    assert!(text.contains("9f2c000000000001"));
}

#[test]
fn a_server_that_is_not_pgsonde_is_named_so() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello")
            .unwrap();
    });
    let options = report::Options {
        what_if: None,
        source: format!("http://{address}"),
        format: Format::Text,
        from: None,
        to: None,
        output: None,
        top: 2,
    };
    let problem = report::run(&options).unwrap_err();
    server.join().unwrap();
    assert_eq!((problem.number(), problem.exit_code()), (502, 4));
}

#[test]
fn orders_need_the_token() {
    let running = start();
    let rows = [
        ("POST /api/v1/reload", "", 204, "Reload"),
        ("POST /api/v1/drain", "", 409, "Drain"),
        ("PUT /api/v1/mode", r#"{"mode":"counters_only"}"#, 204, "Mode(CountersOnly)"),
        ("PUT /api/v1/mode", r#"{"mode":"half"}"#, 400, ""),
        ("PUT /api/v1/mode", r#"{"mode":"full","x":1}"#, 400, ""),
        ("PUT /api/v1/mode", "", 400, ""),
        ("PUT /api/v1/log-level", r#"{"level":"debug"}"#, 204, "LogFilter(\"debug\")"),
        ("POST /api/v1/findings/3f2a00000001/mute", r#"{"reason":"known"}"#, 200, "Mute(MuteRule"),
        ("POST /api/v1/findings/3f2a00000001/mute", r#"{"reason":" "}"#, 400, ""),
        ("POST /api/v1/findings/3f2a00000001/mute", r#"{"reason":"x","until":"soon"}"#, 400, ""),
        ("POST /api/v1/findings/00000000dead/mute", r#"{"reason":"x"}"#, 404, ""),
        ("DELETE /api/v1/findings/3f2a00000001/mute", "", 200, "Unmute(Finding("),
        ("PATCH /api/v1/mode", "", 405, ""),
    ];
    for (line, body, status, order) in rows {
        running.orders.lock().unwrap().clear();
        for wrong in ["", "Bearer", "Bearer 0123456789abcdef", "Basic dG9rZW4="] {
            let answer = running.write(line, body, Some(wrong));
            assert_eq!(answer.status, 401, "{line} {wrong}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{}", answer.head);
            assert_eq!(answer.json()["code"], "PGS0702");
        }
        assert!(running.orders.lock().unwrap().is_empty(), "{line} was obeyed without the token");
        let answer = running.write(line, body, None);
        assert_eq!(answer.status, status, "{line} {body}: {}", answer.body);
        let noted = running.orders.lock().unwrap().concat();
        assert!(
            noted.starts_with(order) && order.is_empty() == noted.is_empty(),
            "{line}: {noted}"
        );
    }
    let token = running.access.token();
    let query = running.write(&format!("POST /api/v1/reload?token={token}"), "", Some(""));
    assert_eq!(query.status, 401, "never in a query string");
}

#[test]
fn bodies_are_bounded() {
    let running = start();
    let body = format!(r#"{{"level":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(running.write("PUT /api/v1/log-level", &body, None).status, 413);
}

#[test]
fn other_machines_need_the_token_to_read() {
    let running = start_with("listen = '0.0.0.0:1'\ntoken = 'env:UNREAD'\n");
    for path in ["/live", "/ready", "/metrics"] {
        assert_eq!(running.get(path).status, 200, "{path}");
    }
    for path in ["/plain", "/api/v1/info", "/statements/9f2c000000000001", "/nothing", "/live/"] {
        assert_eq!(running.get(path).status, 401, "{path}");
    }
    let page = if web::is_built() { 200 } else { 401 };
    assert_eq!(running.get("/").status, page, "the page without data is open, tables are not");
    assert_eq!(running.write("GET /api/v1/info", "", None).status, 200);
    assert_eq!(running.write("GET /", "", None).status, 200);
}

#[test]
fn without_api_there_is_health_and_metrics() {
    let running = start_with("listen = '0.0.0.0:1'\napi = false\n");
    for path in ["/live", "/ready", "/metrics"] {
        assert_eq!(running.get(path).status, 200, "{path}");
    }
    for path in ["/", "/api/v1/info", "/api/v1/reload"] {
        let answer = running.write(&format!("GET {path}"), "", None);
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (403, Some("PGS0703")),
            "{path}"
        );
    }
}

#[test]
fn further_names_can_be_allowed() {
    let running = start_with("allowed_hosts = ['pgsonde.internal']\n");
    let ask = |head: &str| {
        running.send(&format!("GET /live HTTP/1.1\r\n{head}\r\nConnection: close\r\n\r\n")).status
    };
    assert_eq!(ask("Host: PGSONDE.internal:9635"), 200);
    assert_eq!(ask("Host: pgsonde.internal\r\nOrigin: https://pgsonde.internal"), 200);
    assert_eq!(ask("Host: pgsonde.internal\r\nOrigin: https://evil.example"), 403);
    assert_eq!(ask("Host: evil.example"), 403);
}

//! What hostile browsers and crowds can do to the admin listener: nothing to it, and nothing to the sessions.
//! Numbers in the names of the tests are the rows of the attack checklist.

use pgsonde_tests::fake_server::{FakeServer, pass, rest};
use pgsonde_tests::{Proxy, eventually, raw};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

fn admin(proxy: &Proxy) -> TcpStream {
    let port = proxy.admin().rsplit(':').next().and_then(|port| port.parse().ok());
    raw::connect(port.expect("the admin address ends with a port"))
}

/// Status and whole answer to a request as it stands.
fn ask(proxy: &Proxy, request: &str) -> (u16, String) {
    let mut socket = admin(proxy);
    socket.write_all(request.as_bytes()).expect("written");
    let answer = String::from_utf8_lossy(&rest(&mut socket)).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

#[test]
fn row_27_foreign_hosts_and_origins_are_refused() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let cases = [
        ("Host: 127.0.0.1", 200),
        ("Host: localhost:9635", 200),
        ("Host: [::1]:9635", 200),
        ("Host: evil.example", 403),
        ("Host: 127.0.0.1.evil.example", 403),
        ("Host: localhost.evil.example:80", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://evil.example", 403),
        ("Host: 127.0.0.1\r\nOrigin: null", 403),
        ("Host: 127.0.0.1\r\nOrigin: http://127.0.0.1.evil.example", 403),
        ("X-No-Host: 1", 400),
    ];
    for path in ["/", "/metrics", "/api/v1/summary", "/live"] {
        for (headers, expected) in cases {
            let request = format!("GET {path} HTTP/1.1\r\n{headers}\r\nConnection: close\r\n\r\n");
            let (status, answer) = ask(&proxy, &request);
            let as_expected = status == expected || (expected == 400 && status == 403);
            assert!(as_expected, "{path} with {headers:?}: {status}");
            let lower = answer.to_ascii_lowercase();
            assert!(!lower.contains("access-control-allow"), "no CORS: {answer}");
        }
    }
}

#[test]
fn row_28_nothing_changes_state() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "GETT"] {
        for path in ["/", "/metrics", "/api/v1/summary", "/api/v1/statements/x"] {
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            let (status, _) = ask(&proxy, &request);
            assert!((400..500).contains(&status), "{method} {path}: {status}");
        }
    }
}

#[test]
fn row_28_orders_take_the_token_from_nowhere_but_its_header() {
    let token = "0123456789abcdef0123456789abcdef";
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (config, secret) = (folder.path().join("pgsonde.toml"), folder.path().join("token"));
    std::fs::write(&secret, token).expect("written");
    let text = format!("[admin]\ntoken = 'file:{}'\n", secret.display());
    std::fs::write(&config, text).expect("written");
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["--config", &config.display().to_string()]);
    let (mut client, mut server) = fake.session(&proxy);
    let orders = [
        ("POST", "/api/v1/drain", ""),
        ("POST", "/api/v1/reload", ""),
        ("PUT", "/api/v1/mode", r#"{"mode":"bypass"}"#),
        ("POST", "/api/v1/captures", r#"{"duration_s":1}"#),
        ("DELETE", "/api/v1/captures", ""),
        ("PUT", "/api/v1/log-level", r#"{"level":"off"}"#),
        ("POST", "/api/v1/findings/0123456789ab/mute", r#"{"reason":"x"}"#),
        ("DELETE", "/api/v1/findings/0123456789ab/mute", ""),
    ];
    let short = &token[..token.len() - 1];
    let ways = [
        (String::new(), String::new()),
        (format!("?token={token}"), String::new()),
        (String::new(), format!("Cookie: token={token}; pgsonde_token={token}\r\n")),
        (String::new(), format!("Authorization: Basic {token}\r\n")),
        (String::new(), format!("Authorization: {token}\r\n")),
        (String::new(), format!("Authorization: Bearer {short}\r\n")),
        (String::new(), format!("Authorization: Bearer {token}0\r\n")),
        (String::new(), "Authorization: Bearer \r\n".to_owned()),
        (String::new(), format!("X-Token: {token}\r\nX-HTTP-Method-Override: POST\r\n")),
    ];
    for (method, path, body) in orders {
        for (query, header) in &ways {
            let (status, _) =
                ask(&proxy, &request(method, &format!("{path}{query}"), header, body));
            assert_eq!(status, 401, "{method} {path}{query} with {header:?}");
        }
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let (status, _) = ask(&proxy, &request("GET", path, &bearer, body));
        // The list of captures is a GET.
        let is_list = path.ends_with("captures") && status == 200;
        assert!((400..500).contains(&status) || is_list, "an order by GET {path}: {status}");
    }
    assert_eq!(proxy.http("/ready").0, 200, "it doesn't drain");
    pass(&mut client, &mut server, &raw::query("select 'still_looked_at'"));
    let answer = [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
    pass(&mut server, &mut client, &answer);
    proxy.settle();
    assert_eq!(proxy.books()["statements"], 1, "it isn't in bypass");
    let bearer = format!("Authorization: bearer {token}\r\n");
    let (status, _) = ask(&proxy, &request("POST", "/api/v1/reload", &bearer, ""));
    assert!(!matches!(status, 401 | 403), "the token itself is let in: {status}");
}

fn request(method: &str, path: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[test]
fn row_29_every_answer_carries_the_headers_that_disarm_markup() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    for path in ["/", "/plain", "/metrics", "/api/v1/summary", "/nowhere", "/api/v1/nowhere"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n");
        let (_, answer) = ask(&proxy, &request);
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_ascii_lowercase();
        for wanted in
            ["content-security-policy: ", "default-src 'none'", "frame-ancestors 'none'", "nosniff"]
        {
            assert!(head.contains(wanted), "{path} lacks {wanted}: {head}");
        }
        assert!(!head.contains("unsafe-inline"), "{path}: {head}");
    }
}

#[test]
fn row_30_slow_and_huge_requests_are_bounded() {
    const CROWD: usize = 600;
    const GROWTH_MAX: u64 = 32 << 20;
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let (mut client, mut server) = fake.session(&proxy);
    let resident = proxy.resident_bytes();
    let huge = [
        format!("GET /{} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "x".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: {}\r\n\r\n", "y".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n{}\r\n", "Z: z\r\n".repeat(50_000)),
    ];
    for request in huge {
        let mut socket = admin(&proxy);
        // It may be closed before all is written.
        let _closed = socket.write_all(request.as_bytes());
        let _closed = socket.shutdown(std::net::Shutdown::Write);
        let mut head = [0; 64];
        let seen = socket.read(&mut head).unwrap_or_default();
        let answer = String::from_utf8_lossy(&head[..seen]);
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    let crowd: Vec<TcpStream> = (0..CROWD)
        .map(|_| {
            let mut socket = admin(&proxy);
            let _closed = socket.write_all(b"GET / HTTP/1.1\r\nHost: 127.");
            socket
        })
        .collect();
    for _ in 0..100 {
        pass(&mut client, &mut server, &raw::query("select 1"));
        pass(
            &mut server,
            &mut client,
            &[raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat(),
        );
    }
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for {CROWD} slow requests");
    drop(crowd);
    eventually("the admin listener answers again", LIMIT, || {
        let mut socket = admin(&proxy);
        socket.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        socket
            .write_all(b"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            .ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        answer.contains(" 200 ").then_some(())
    });
}

/// Opens as many connections as can be had, each with the beginning of a request, within `limit` altogether.
fn crowd_of(port: u16, wanted: usize, limit: Duration) -> Vec<TcpStream> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..wanted {
            tries.spawn(async move {
                let socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()?;
                socket.try_write(b"GET /metrics HTTP/1.1\r\nHost: 127.").ok()?;
                socket.into_std().ok()
            });
        }
        let mut open = Vec::new();
        let all = async {
            while let Some(socket) = tries.join_next().await {
                open.extend(socket.ok().flatten());
            }
        };
        // Those for whom the queue of the listener has no room are still trying by then.
        let _in_time = tokio::time::timeout(limit, all).await;
        open
    })
}

#[test]
fn row_30_ten_thousand_visitors_at_once_touch_no_session() {
    const VISITORS: usize = 10_000;
    const GROWTH_MAX: u64 = 32 << 20;
    let own = std::process::id().to_string();
    let mut raise = std::process::Command::new("prlimit");
    let raised = raise.args(["--pid", &own, "--nofile=12000:"]).status();
    let visitors = if raised.is_ok_and(|status| status.success()) { VISITORS } else { 500 };
    let fake = FakeServer::start();
    let proxy = fake.proxy(&[]);
    let (mut client, mut server) = fake.session(&proxy);
    let resident = proxy.resident_bytes();
    let port = proxy.admin().rsplit(':').next().and_then(|port| port.parse().ok());
    let crowd = crowd_of(port.expect("an address with a port"), visitors, Duration::from_secs(5));
    println!("{} of {visitors} visitors hold a connection", crowd.len());
    assert!(crowd.len() >= 100, "there is a crowd: {}", crowd.len());
    let answer = [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
    for _ in 0..100 {
        pass(&mut client, &mut server, &raw::query("select 1"));
        pass(&mut server, &mut client, &answer);
    }
    // New sessions come in as well.
    let _later = fake.session(&proxy);
    let grown = proxy.resident_bytes().saturating_sub(resident);
    assert!(grown < GROWTH_MAX, "{grown} bytes more for {} visitors", crowd.len());
    drop(crowd);
    eventually("the admin listener answers again", LIMIT, || {
        let mut socket = admin(&proxy);
        socket.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        socket.write_all(request("GET", "/live", "", "").as_bytes()).ok()?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).ok()?;
        answer.contains(" 200 ").then_some(())
    });
}

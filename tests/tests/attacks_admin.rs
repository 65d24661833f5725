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

//! What must not leak, and what hostile content must not break: canaries in every place where an application puts
//! secrets, labels that want to be markup, texts that no lexer can read. Numbers in the names of the tests are the
//! rows of the attack checklist.

use pgsonde_tests::fake_server::{FakeServer, pass};
use pgsonde_tests::{Postgres, Proxy, raw};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);
const CANARY: &str = "c4n4ry";

/// Everything that the proxy shows to anybody: all pages, all of the API, metrics, and the log.
fn everything_shown(proxy: &Proxy) -> String {
    let mut shown = proxy.lines().join("\n");
    let fixed = ["/", "/plain", "/metrics", "/ready", "/api/v1/info", "/api/v1/summary"];
    let lists = ["/api/v1/statements?limit=500", "/api/v1/findings"];
    for path in fixed.iter().chain(&lists) {
        write!(shown, "\n== {path}\n{}", proxy.http(path).1).expect("a String takes everything");
    }
    let statements = proxy.api("statements?limit=500");
    for item in statements["items"].as_array().expect("a list") {
        let digest = item["digest"].as_str().expect("a digest has an id");
        for path in [format!("/statements/{digest}"), format!("/api/v1/statements/{digest}")] {
            write!(shown, "\n== {path}\n{}", proxy.http(&path).1)
                .expect("a String takes everything");
        }
    }
    shown
}

/// The lines that hold a canary.
fn leaks(shown: &str) -> Vec<&str> {
    shown.lines().filter(|line| line.to_ascii_lowercase().contains(CANARY)).collect()
}

#[test]
fn row_21_and_22_canaries_are_in_no_output() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &["-vvv"]);
    let texts = [
        "select 'C4N4RY'".to_owned(),
        "select E'it\\'s c4n4ry', $$c4n4ry$$, $t$c4n4ry$t$, U&'c4n4ry'".to_owned(),
        "select 1 /* c4n4ry */ -- c4n4ry".to_owned(),
        "create role r1 login password 'c4n4ry'".to_owned(),
        "alter role r1 with encrypted password 'c4n4ry' valid until 'infinity'".to_owned(),
        "create subscription s connection 'host=h password=c4n4ry' publication p".to_owned(),
        "select * from dblink('password=c4n4ry', 'select 1') as t(a int)".to_owned(),
        "create user mapping for r1 server s options (user 'u', password 'c4n4ry')".to_owned(),
        "set app.secret = 'c4n4ry'".to_owned(),
        "selec 'c4n4ry' frm nowhere where x = 'c4n4ry'".to_owned(),
        "select 'c4n4ry".to_owned(),
        "select $q$c4n4ry".to_owned(),
        "select /* c4n4ry".to_owned(),
        format!("select '{}'", "c4n4ry".repeat(30_000)),
        "create table leaky (id int primary key, note text unique)".to_owned(),
        "insert into leaky values (1, 'c4n4ry'), (2, 'two')".to_owned(),
        "insert into leaky values (3, 'c4n4ry')".to_owned(),
        "do $$ begin raise exception 'c4n4ry' using detail = 'c4n4ry', hint = 'c4n4ry'; end $$"
            .to_owned(),
        "copy leaky from stdin;\n7\tc4n4ry\n\\.\n".to_owned(),
        "copy leaky to stdout".to_owned(),
        "prepare p(text) as select $1; execute p('c4n4ry')".to_owned(),
        "declare c4 cursor with hold for select 'c4n4ry'; fetch all c4; notify n, 'c4n4ry'"
            .to_owned(),
    ];
    for text in &texts {
        // Many of them fail, which is the point.
        let _outcome = postgres.psql(proxy.port(), &format!("{text};\n"));
    }
    let mut client = raw::session(proxy.port());
    let bind = [&b"\0\0\0\0\0\x01\0\0\0\x06"[..], CANARY.as_bytes(), b"\0\0"].concat();
    let frames = [
        raw::frame(b'P', b"\0select note from leaky where note = $1\0\0\0"),
        raw::frame(b'B', &bind),
        raw::frame(b'E', b"\0\0\0\0\0"),
        raw::frame(b'S', b""),
    ];
    client.write_all(&frames.concat()).expect("written");
    raw::read_until_ready(&mut client, 1);
    proxy.settle();
    let shown = everything_shown(&proxy);
    assert!(shown.contains("leaky"), "the statements are there");
    assert!(leaks(&shown).is_empty(), "{:#?}", leaks(&shown));
    assert!(shown.contains("23505"), "of an error, its SQLSTATE is shown");
}

#[test]
fn row_23_passwords_and_cancel_keys_are_in_no_output() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["-vvv"]);
    let mut client = raw::connect(proxy.port());
    client.write_all(&raw::startup()).expect("written");
    let mut server = fake.accept();
    let mut seen = vec![0; raw::startup().len()];
    server.read_exact(&mut seen).expect("a start-up");
    pass(&mut server, &mut client, &raw::frame(b'R', &[0, 0, 0, 3]));
    pass(&mut client, &mut server, &raw::frame(b'p', b"c4n4ry\0"));
    let key = raw::frame(b'K', b"\0\0\0\x07c4n4");
    let welcome = [raw::frame(b'R', &[0; 4]), key, raw::frame(b'Z', b"I")].concat();
    pass(&mut server, &mut client, &welcome);
    pass(&mut client, &mut server, &raw::frame(b'p', b"c4n4ry in the main phase\0"));
    let mut cancel = raw::connect(proxy.port());
    cancel.write_all(b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07c4n4").expect("written");
    drop(fake.accept());
    pass(&mut client, &mut server, &raw::query("select 1"));
    let shown = everything_shown(&proxy).to_ascii_lowercase();
    assert!(!shown.contains("c4n4"), "a password or a key is shown");
}

/// What a Prometheus server refuses.
fn bad_lines(metrics: &str) -> Vec<&str> {
    let is_bad = |line: &&str| {
        if line.is_empty() || line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
            return false;
        }
        let Some((series, value)) = line.rsplit_once(' ') else { return true };
        let name_end = series.find('{').unwrap_or(series.len());
        let name_is_bad =
            !series[..name_end].bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        name_is_bad || value.parse::<f64>().is_err() || series.contains('\u{1b}')
    };
    metrics.lines().filter(is_bad).collect()
}

#[test]
fn row_24_29_and_31_hostile_labels_stay_labels() {
    let fake = FakeServer::start();
    let proxy = fake.proxy(&["-vvv"]);
    let script = "</script><img src=x onerror=alert(1)>";
    let names: [Vec<u8>; 7] = [
        b"line\nbreak\r\npgsonde_up 0".to_vec(),
        b"esc\x1b[31mred\x1b[0m\x07".to_vec(),
        b"quote\"s\\and{labels=\"x\"}'".to_vec(),
        vec![b'L'; 3_000],
        b"invalid\xff\xfe\xc3\x28".to_vec(),
        script.as_bytes().to_vec(),
        "bidi\u{202e}\u{2066}\u{0}".trim_end_matches('\0').as_bytes().to_vec(),
    ];
    let sessions: Vec<_> = names
        .iter()
        .map(|name| {
            let mut body = vec![0, 3, 0, 0];
            for key in ["user", "database", "application_name"] {
                body.extend([key.as_bytes(), b"\0", name, b"\0"].concat());
            }
            body.push(0);
            let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
            let startup = [&length[..], &body].concat();
            let (mut client, mut server) = fake.welcome(raw::connect(proxy.port()), &startup);
            let text = format!("select 1 from t /*route='{script}',application='{script}'*/");
            pass(&mut client, &mut server, &raw::query(&text));
            let renamed = raw::frame(b'S', &[b"application_name\0", &name[..], b"\0"].concat());
            let done = [renamed, raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
            pass(&mut server, &mut client, &done);
            pass(&mut client, &mut server, &raw::query(&format!("select \"{script}\" from t")));
            pass(
                &mut server,
                &mut client,
                &[raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat(),
            );
            (client, server)
        })
        .collect();
    proxy.settle();
    let (_, metrics) = proxy.http("/metrics");
    assert!(bad_lines(&metrics).is_empty(), "{:#?}", bad_lines(&metrics));
    assert!(!metrics.contains("from t"), "no SQL text in metrics");
    let longest = metrics.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 2_000, "labels are cut: a line of {longest} bytes");
    let shown = everything_shown(&proxy);
    for raw_text in ["<img src=x", "</script><img"] {
        let html = shown.split("\n== ").filter(|part| {
            let path = part.lines().next().unwrap_or_default();
            path == "/" || path == "/plain" || path.starts_with("/statements/")
        });
        html.for_each(|page| assert!(!page.contains(raw_text), "markup is escaped: {page}"));
    }
    let log = proxy.lines().join("\n");
    assert!(!log.contains('\u{1b}'), "no escape sequences in the log");
    assert!(!log.contains("\npgsonde_up 0"), "no line breaks of others in the log");
    drop(sessions);
}

#[test]
fn row_25_strange_encodings_keep_literals_in() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    let settings = ["SJIS", "GBK", "BIG5", "UTF8", "LATIN1", "no_such_encoding"];
    for encoding in settings {
        let mut client = raw::session(proxy.port());
        client.set_read_timeout(Some(LIMIT)).expect("a limit");
        client
            .write_all(&raw::query(&format!("set client_encoding = {encoding}")))
            .expect("written");
        raw::read_until_ready(&mut client, 1);
        // In SJIS and GBK the second byte of a character may be a backslash or a quote's neighbour.
        let texts: [&[u8]; 5] = [
            b"select '\x83\x5c', 'c4n4ry' as s",
            b"select '\x95\x5c' || 'c4n4ry' || '\x83\x5c'",
            b"select E'\x83\x5c\\'c4n4ry' as e",
            b"select '\xc0\x27c4n4ry' as broken",
            b"select '\xa1\x5c\x27c4n4ry\x27",
        ];
        for text in texts {
            client.write_all(&raw::frame(b'Q', &[text, b"\0"].concat())).expect("written");
            raw::read_until_ready(&mut client, 1);
        }
    }
    proxy.settle();
    let shown = everything_shown(&proxy);
    assert!(leaks(&shown).is_empty(), "{:#?}", leaks(&shown));
    assert_eq!(proxy.metrics().sum("pgsonde_opaque_sessions_total"), 0.0);
}

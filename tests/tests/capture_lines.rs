//! What single lines of a capture say: how sessions ended, how statements were prepared.

use pgsonde_tests::captured::{lines, of};
use pgsonde_tests::{Postgres, Proxy, raw};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Read, Write};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn lines_say_who_ended_a_session() {
    let postgres = Postgres::start();
    let own = tempfile::tempdir().expect("a folder");
    let folder = own.path().join("captures");
    let proxy = Proxy::start(&postgres, &["--capture", folder.to_str().expect("UTF-8")]);
    let session = |name: &str| {
        let mut socket = raw::session(proxy.port());
        socket.write_all(&raw::query(&format!("set application_name = '{name}'"))).expect("sent");
        raw::read_until_ready(&mut socket, 1);
        socket
    };
    drop(session("leaves"));
    let mut killed = session("is_killed");
    let kill = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'is_killed'";
    assert_eq!(postgres.psql_ok(postgres.port(), kill), "t");
    let _last_words = killed.read_to_end(&mut Vec::new());
    let _stays = session("stays");
    // Whoever takes its leave has ended it, though the server hangs up first.
    let mut polite = session("says_goodbye");
    polite.write_all(&raw::frame(b'X', b"")).expect("sent");
    let _nothing = polite.read_to_end(&mut Vec::new());
    proxy.settle();
    assert_eq!(proxy.stop(), 0);
    let lines = lines(&folder);
    let ends: BTreeMap<&str, [&str; 2]> = of(&lines, "connection")
        .filter(|line| line["state"] == "closed")
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or_default();
            (text("app"), [text("end_side"), text("end_reason")])
        })
        .collect();
    let expected = [
        ("is_killed", ["server", "server_closed"]),
        ("leaves", ["client", "client_closed"]),
        ("says_goodbye", ["client", "client_closed"]),
        ("stays", ["proxy", "drain"]),
    ];
    assert_eq!(ends, BTreeMap::from(expected));
}

#[test]
fn lines_say_how_a_statement_was_prepared_and_what_was_left_of_it() {
    let postgres = Postgres::start();
    let own = tempfile::tempdir().expect("a folder");
    let (folder, token) = (own.path().join("captures"), own.path().join("token"));
    std::fs::write(&token, TOKEN).expect("written");
    let config = own.path().join("pgsonde.toml");
    let keys = format!("[admin]\ntoken = 'file:{}'\n", token.display());
    std::fs::write(&config, keys).expect("written");
    let [config, captures] = [&config, &folder].map(|path| path.to_str().expect("UTF-8"));
    let proxy = Proxy::start(&postgres, &["--config", config, "--capture", captures]);
    let mut socket = raw::session(proxy.port());
    let mut send = |messages: &[Vec<u8>]| {
        socket.write_all(&messages.concat()).expect("sent");
        raw::read_until_ready(&mut socket, 1);
    };
    let rows = "select n from generate_series(1, 9) n";
    let parse =
        |name: &str, text: &str| raw::frame(b'P', format!("{name}\0{text}\0\0\0").as_bytes());
    let bind = |name: &str| raw::frame(b'B', format!("\0{name}\0\0\0\0\0\0\0").as_bytes());
    let execute = |rows: u8| raw::frame(b'E', &[0, 0, 0, 0, rows]);
    let sync = || raw::frame(b'S', b"");
    send(&[parse("s", rows), bind("s"), execute(2), sync()]);
    send(&[bind("s"), execute(0), sync()]);
    send(&[parse("", "select 'x'"), bind(""), execute(0), sync()]);
    send(&[raw::query("select 1.5")]);
    proxy.settle();
    let (status, body) = proxy.order("PUT", "mode", "{\"mode\":\"bypass\"}", TOKEN);
    assert_eq!(status, 204, "{body}");
    send(&[raw::query("select 1")]);
    drop(socket);
    assert_eq!(proxy.stop(), 0);
    let lines = lines(&folder);
    let told: Vec<(&str, bool, u64)> = of(&lines, "statement")
        .map(|line| {
            let prepare = line["prepare"].as_str().unwrap_or_default();
            (prepare, line["suspended"] == true, line["rows"].as_u64().unwrap_or(0))
        })
        .collect();
    let expected =
        [("named", true, 2), ("reuse", false, 9), ("unnamed", false, 1), ("none", false, 1)];
    assert_eq!(told, expected);
    let closed = of(&lines, "connection").find(|line| line["state"] == "closed");
    let reason = closed.map(|line| [line["opaque"].clone(), line["opaque_reason"].clone()]);
    assert_eq!(reason, Some([Value::from(true), Value::from("bypass")]), "{closed:?}");
}

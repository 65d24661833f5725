//! SIGTERM: idle sessions are told and closed, open transactions may end first, the exit code is 0.

use pgsonde_tests::{Postgres, Proxy, raw, run_ok};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(30);

/// Everything until the other side ends the stream.
fn last_words(mut socket: TcpStream) -> String {
    socket.set_read_timeout(Some(LIMIT)).expect("a socket takes a limit");
    let mut words = Vec::new();
    socket.read_to_end(&mut words).expect("an orderly end");
    String::from_utf8_lossy(&words).into_owned()
}

#[test]
fn a_drain_tells_idle_sessions_and_lets_transactions_end() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &[]);
    let idle = raw::session(proxy.port());
    let mut busy = raw::session(proxy.port());
    busy.write_all(&raw::query("begin")).expect("written");
    raw::read_until_ready(&mut busy, 1);

    run_ok(Command::new("kill").args(["-TERM", &proxy.pid().to_string()]), "", LIMIT);

    let words = last_words(idle);
    assert!(words.contains("C57P01\0") && words.contains("DPGS0104\0"), "{words:?}");
    busy.write_all(&raw::query("select 'still served'")).expect("written");
    raw::read_until_ready(&mut busy, 1);
    busy.write_all(&raw::query("commit")).expect("written");
    let words = last_words(busy);
    let (commit, goodbye) = (words.find("COMMIT\0"), words.find("C57P01\0"));
    assert!(commit.is_some() && commit < goodbye, "first the answer, then the goodbye: {words:?}");
    assert_eq!(proxy.stop(), 0, "a drain is no failure");
}

/// What a session that is forwarded unseen is doing is told from the server's last word and from silence alone.
#[test]
fn a_drain_does_not_wait_for_sessions_that_are_bypassed_and_idle() {
    let postgres = Postgres::start();
    let proxy = Proxy::start(&postgres, &["--mode", "bypass"]);
    let mut idle = raw::session(proxy.port());
    idle.write_all(&raw::query("select 1")).expect("written");
    raw::read_until_ready(&mut idle, 1);
    let mut busy = raw::session(proxy.port());
    busy.write_all(&raw::query("begin")).expect("written");
    raw::read_until_ready(&mut busy, 1);

    run_ok(Command::new("kill").args(["-TERM", &proxy.pid().to_string()]), "", LIMIT);

    let words = last_words(idle);
    assert!(words.contains("C57P01\0"), "{words:?}");
    // Were it the deadline that ended the first one, this one had ended with it.
    busy.write_all(&raw::query("select 'still served'")).expect("written");
    raw::read_until_ready(&mut busy, 1);
    busy.write_all(&raw::query("commit")).expect("written");
    let words = last_words(busy);
    assert!(words.find("COMMIT\0") < words.find("C57P01\0"), "{words:?}");
    assert_eq!(proxy.stop(), 0);
}

//! More than the analyzer can take in: forwarding goes on, the books say what was lost, and only counters are kept
//! until there is calm.

use pgsonde_tests::fake_server::{FakeServer, pass};
use pgsonde_tests::{Proxy, eventually, raw};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Literals of one text: about what a session keeps of it.
const LITERALS: u64 = 6_000;

/// A statement that takes long to be read, and whose text is new.
fn text(n: u64) -> String {
    let literals: Vec<String> = (n..n + LITERALS).map(|value| value.to_string()).collect();
    format!("select {}", literals.join(", "))
}

fn is_in(proxy: &Proxy, mode: &str) -> bool {
    proxy.metrics().matching("pgsonde_profiling_mode", &[&format!("mode=\"{mode}\"")]) == 1.0
}

#[test]
fn an_overloaded_analyzer_keeps_counters_until_there_is_calm() {
    let fake = FakeServer::start();
    let config = tempfile::tempdir().expect("a temporary folder");
    let file = config.path().join("pgsonde.toml");
    std::fs::write(&file, "[profile]\nqueue_batches = 64\n").expect("written");
    let proxy = fake.proxy(&["--config", &file.display().to_string()]);
    let mut sessions: Vec<_> = (0..4).map(|_| fake.session(&proxy)).collect();
    let (over, passed) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for (client, server) in &mut sessions {
            let (over, passed) = (&over, &passed);
            scope.spawn(move || {
                let complete = raw::frame(b'C', b"SELECT 1\0");
                let answer = [complete, raw::frame(b'Z', b"I")].concat();
                while !over.load(Relaxed) {
                    pass(client, server, &raw::query(&text(passed.fetch_add(1, Relaxed))));
                    pass(server, client, &answer);
                }
            });
        }
        eventually("nothing but counters is kept", LIMIT, || {
            is_in(&proxy, "counters_only").then_some(())
        });
        over.store(true, Relaxed);
    });
    proxy.await_line(&["the analyzer does not keep up"]);
    let sent = passed.load(Relaxed) as f64;
    let metrics = eventually("the books are closed", LIMIT, || {
        let metrics = proxy.metrics();
        let dropped = metrics.sum("pgsonde_events_dropped_total");
        let counted = metrics.sum("pgsonde_statements_total");
        (dropped > 0.0 && counted + dropped >= sent).then_some(metrics)
    });
    let dropped = metrics.sum("pgsonde_events_dropped_total");
    assert_eq!(metrics.sum("pgsonde_statements_total") + dropped, sent, "each statement once");
    eventually("everything is taken up again", LIMIT, || is_in(&proxy, "full").then_some(()));
    proxy.await_line(&["the analyzer keeps up again"]);
    let (client, server) = &mut sessions[0];
    pass(client, server, &raw::query("select calm from sea"));
    let answer = [raw::frame(b'C', b"SELECT 1\0"), raw::frame(b'Z', b"I")].concat();
    pass(server, client, &answer);
    eventually("a new text is read", LIMIT, || {
        let list = proxy.api("statements?limit=500");
        let mut items = list["items"].as_array().expect("items").iter();
        items.any(|item| item["query_text"] == "select calm from sea").then_some(())
    });
}

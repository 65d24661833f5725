//! What stands on the page, what a hostile name cannot do there, and what an empty page teaches.

use super::super::fixture::{self, clock};
use super::super::status::ProxyCounters;
use super::*;
use pgsonde_analyzer::snapshot::Snapshot;

fn pages() -> Pages {
    Pages { listen: "127.0.0.1:6435".to_owned() }
}

fn index(snapshot: &Snapshot, proxy: &ProxyCounters) -> String {
    pages().index(&View { snapshot, proxy, clock: clock() }).unwrap()
}

fn statement(digest: u64) -> String {
    let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
    let view = View { snapshot: &snapshot, proxy: &proxy, clock: clock() };
    pages().statement(&view, &view.statement_detail(digest, None).unwrap()).unwrap()
}

#[test]
fn shows_numbers_findings_and_statements() {
    let page = index(&fixture::snapshot(), &fixture::counters());
    for part in [
        "<strong>15.2</strong> statements per second, 152 in all",
        "<strong>24.0 s</strong> avoidable per day",
        "N+1 · proved",
        "Index missing · candidate",
        "For every row of orders, items is read once more",
        "orders.id → items.order_id, route /orders, service web, database shop",
        "SELECT order_id, id, name FROM items WHERE order_id = ANY($1)",
        "selectinload(Order.items)",
        "href=\"/statements/9f2c000000000001?database=shop\">SELECT items</a>",
        "60.0 %",
        "everything else",
        "batches, not divisible",
        "/orders",
        "3 of 200 events were dropped",
        "1 session forwarded without being read",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let headers = page.matches("<th ").count();
    assert_eq!(headers, page.matches("<th scope=").count(), "every header cell has a scope");
}

#[test]
fn names_in_backticks_are_code() {
    let stretch = |code, text: &str| Stretch { code, text: text.to_owned() };
    let rows = [
        (
            "`a` reads `b`.",
            vec![
                stretch(true, "a"),
                stretch(false, " reads "),
                stretch(true, "b"),
                stretch(false, "."),
            ],
        ),
        ("one ` alone", vec![stretch(false, "one ` alone")]),
        ("", vec![]),
    ];
    for (text, expected) in rows {
        assert_eq!(stretches(text), expected);
    }
}

#[test]
fn hostile_names_are_text() {
    for page in [index(&fixture::snapshot(), &fixture::counters()), statement(3)] {
        assert!(page.contains("onerror"), "the name is shown");
        assert!(!page.contains("<img"), "but it is no element");
        assert!(!page.contains("</script"), "and closes none");
        assert!(!page.contains('\u{1b}'));
        assert_eq!(page.matches("<style>").count(), 1);
    }
}

#[test]
fn an_empty_page_teaches_the_next_step() {
    let page = index(&Snapshot::default(), &ProxyCounters::default());
    assert!(
        page.contains(
            "No statements yet. Point an app at <code>postgresql://127.0.0.1:6435</code>"
        )
    );
    assert!(page.contains("Nothing found in 0 statements since"));
    assert!(page.contains("No route tags seen."));
    assert!(!page.contains("Attention"));
}

#[test]
fn a_server_out_of_reach_is_said() {
    let mut proxy = fixture::counters();
    proxy.upstream.ok = false;
    proxy.upstream.last_error = Some("connection refused".to_owned());
    let page = index(&fixture::snapshot(), &proxy);
    assert!(page.contains("The server cannot be reached: connection refused"));
}

#[test]
fn a_statement_page_has_its_histogram() {
    let page = statement(0x9f2c_0000_0000_0001);
    for part in [
        "≤ 2.00 ms",
        "≤ 10.0 ms",
        "value=\"1.0000\"",
        "value=\"0.6667\"",
        "40001",
        "<a href=\"/plain#finding-3f2a00000001\">N+1: For every row of orders",
    ] {
        assert!(page.contains(part), "{part}");
    }
    // 2, 5 and 10 ms: the empty row between two filled ones is shown, those outside are not.
    assert_eq!(page.matches("<meter").count(), 3);
    assert!(statement(2).contains("No execution was timed on its own"));
}

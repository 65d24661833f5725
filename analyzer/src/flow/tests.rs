//! Tests of the data-flow proof, through the analyzer: each dirty stream has clean twins.

use crate::finding::{Finding, Kind, Proof};
use crate::limits::{FlowLimits, Limits};
use crate::record::{Outcome, Protocol, Tag, Timing};
use crate::testing::{Exec, Stream, values};

const ORDERS: &str = "SELECT id, customer_id FROM orders WHERE shop_id = $1";
const CUSTOMER: &str = "SELECT id, name FROM customers WHERE id = $1";
const ITEMS: &str = "SELECT id, order_id FROM items WHERE order_id = $1";

/// In autocommit.
const AUTO: Exec<'static> = Exec {
    session: 1,
    transaction: 0,
    sql: "",
    binds: &[],
    columns: &[],
    rows: None,
    us: 1_000,
    think_us: 0,
    timing: Timing::Exact,
    outcome: Outcome::Ok,
    tag: Tag::Select,
    same_round_trip: false,
    truncated: false,
    batch_statements: 0,
    bytes: 100,
    widths: &[],
    protocol: Protocol::Simple,
    bind_count: None,
    row_limited: false,
    parsed: false,
    transfer_us: None,
};

fn n_plus_ones(stream: &mut Stream) -> Vec<Finding> {
    let mut findings = stream.findings();
    findings.retain(|finding| finding.kind == Kind::NPlusOne);
    findings
}

/// (child's summary, parent's field, n, sightings).
fn found(stream: &mut Stream) -> Vec<(String, u16, u64, u64)> {
    let mut found: Vec<_> = n_plus_ones(stream)
        .iter()
        .map(|finding| {
            let parent = finding.parent.as_ref().unwrap();
            let child = finding.child.as_ref().unwrap();
            let n = finding.n.unwrap();
            (child.query_text.to_string(), parent.field, n, finding.sightings)
        })
        .collect();
    found.sort();
    found
}

fn stream() -> Stream {
    Stream::new(Limits::default())
}

/// `count` orders of customers 1000, 1001, …
fn orders(stream: &mut Stream, exec: Exec<'_>, count: usize) {
    let (ids, customers) = (values(1, count), values(1_000, count));
    let columns = [(10, 1, &ids[..]), (10, 2, &customers[..])];
    stream.exec(Exec { sql: ORDERS, binds: &[77], columns: &columns, ..exec });
}

/// Customers one by one.
fn look_ups(stream: &mut Stream, exec: Exec<'_>, keys: &[i64]) {
    for key in keys {
        let row = [*key];
        stream.exec(Exec { sql: CUSTOMER, binds: &row, columns: &[(20, 1, &row)], ..exec });
    }
}

#[test]
fn a_loop_in_a_transaction_is_proved_and_named() {
    let mut stream = stream();
    stream.describe(ORDERS, &[(10, 1, "id"), (10, 2, "customer_id")]);
    stream.begin(1, 1);
    orders(&mut stream, Exec::default(), 50);
    look_ups(&mut stream, Exec::default(), &values(1_000, 50));
    assert_eq!(n_plus_ones(&mut stream).len(), 0, "judged when the transaction ends");
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!(findings.len(), 1);
    let finding = &findings[0];
    assert_eq!((finding.n, finding.rows_median, finding.sightings), (Some(50), Some(50), 1));
    assert_eq!((finding.proof, finding.gate), (Proof::Dataflow, Some("scope")));
    assert_eq!(finding.variant, Some("plain"));
    assert_eq!(finding.coverage, Some(1.0));
    assert_eq!(finding.explained, Some(1.0));
    assert_eq!(finding.column.as_deref(), Some("orders.customer_id"));
    let child = finding.child.as_ref().unwrap();
    assert_eq!((child.table.as_deref(), child.column.as_deref()), (Some("customers"), Some("id")));
    assert_eq!(
        finding.sentence,
        "For each of 50 rows of `orders`, `customers` is read once more by `id`: values of \
         `orders.customer_id` were the parameters of 50 statements."
    );
    assert_eq!(
        finding.fix.sql.as_deref(),
        Some("SELECT id, name FROM customers WHERE id = ANY($1)")
    );
    assert_eq!(finding.cost.rtt_ms, Some(0.2));
    assert_eq!(finding.cost.busy_ms, 50.0);
    assert_eq!(finding.cost.saved_high_ms, 49.0);
    assert_eq!(finding.cost.saved_low_ms_per_hour, None, "the window is too short");
    let snapshot = stream.snapshot();
    assert_eq!(snapshot.n_plus_one[0].statements, 49);
    let named = snapshot.digests.iter().filter(|row| row.findings == [finding.id]).count();
    assert_eq!(named, 2, "parent and child");
}

#[test]
fn the_sentence_says_how_many_more_where_values_repeat() {
    let mut stream = stream();
    stream.describe(ORDERS, &[(10, 1, "id"), (10, 2, "customer_id")]);
    let (ids, customers) = (values(1, 40), [values(1_000, 20), values(1_000, 20)].concat());
    let columns = [(10, 1, &ids[..]), (10, 2, &customers[..])];
    stream.begin(1, 1);
    stream.exec(Exec { sql: ORDERS, binds: &[77], columns: &columns, ..Exec::default() });
    look_ups(&mut stream, Exec::default(), &values(1_000, 20));
    stream.commit(1, 1);
    assert_eq!(
        n_plus_ones(&mut stream)[0].sentence,
        "After a read of 40 rows of `orders`, `customers` is read 20 more times by `id`: once for \
         each distinct value of `orders.customer_id`."
    );
}

#[test]
fn literals_are_binds() {
    let mut stream = stream();
    let ids = values(500, 20);
    let parent = "SELECT \"o\".\"id\" FROM \"o\" WHERE \"o\".\"shop\" = 3";
    stream.exec(Exec { sql: parent, columns: &[(10, 1, &ids)], ..Exec::default() });
    for id in &ids {
        let sql =
            format!("SELECT \"i\".\"id\" FROM \"i\" WHERE \"i\".\"order_id\" = {id} LIMIT 21");
        stream.exec(Exec { sql: &sql, rows: Some(0), ..Exec::default() });
    }
    stream.commit(1, 1);
    let found = found(&mut stream);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].1, found[0].2), (0, 20));
    let finding = &n_plus_ones(&mut stream)[0];
    assert_eq!(finding.column.as_deref(), Some("o.id"), "named by the text, without a description");
    assert_eq!(finding.fix.orm, Some("Django"));
}

#[test]
fn a_trace_binds_a_request_in_autocommit_and_over_sessions() {
    let tagged = |sql: &str, trace: u8| {
        format!("{sql} /*traceparent='00-{trace:032x}-00f067aa0ba902b7-01',route='%2Forders'*/")
    };
    for (name, sessions, expected) in [("one session", [1, 1], 1), ("two sessions", [1, 2], 1)] {
        let mut stream = stream();
        let auto = Exec { transaction: 0, ..Exec::default() };
        let ids = values(1, 10);
        stream.exec(Exec {
            sql: &tagged("SELECT id FROM orders", 7),
            session: sessions[0],
            columns: &[(10, 1, &ids)],
            ..auto
        });
        for id in &ids {
            let session = sessions[*id as usize % 2];
            stream.exec(Exec {
                sql: &tagged(ITEMS, 7),
                session,
                binds: &[*id],
                rows: Some(1),
                ..auto
            });
        }
        assert_eq!(n_plus_ones(&mut stream).len(), 0, "{name}: the trace is still open");
        stream.pass(10_000_000);
        let findings = n_plus_ones(&mut stream);
        assert_eq!(findings.len(), expected, "{name}");
        assert_eq!(findings[0].n, Some(10), "{name}");
        assert_eq!(findings[0].route.as_deref(), Some("/orders"), "{name}");
    }
}

#[test]
fn different_traces_never_pair() {
    let mut stream = stream();
    let ids = values(1, 10);
    let tagged = |sql: &str, trace: u8| {
        format!("{sql} /*traceparent='00-{trace:032x}-00f067aa0ba902b7-01'*/")
    };
    stream.exec(Exec {
        sql: &tagged("SELECT id FROM orders", 1),
        columns: &[(10, 1, &ids)],
        ..Exec::default()
    });
    for id in &ids {
        stream.exec(Exec { sql: &tagged(ITEMS, 2), binds: &[*id], ..Exec::default() });
    }
    stream.commit(1, 1);
    stream.pass(20_000_000);
    assert_eq!(found(&mut stream), []);
}

/// A clean stream: name and what it sends.
type Clean = (&'static str, fn(&mut Stream));

const CLEAN: &[Clean] = &[
    ("a busy endpoint without a parent", |stream| {
        look_ups(stream, Exec::default(), &values(1_000, 50));
    }),
    ("autocommit, a pause after the parent", |stream| {
        let auto = Exec { transaction: 0, ..Exec::default() };
        orders(stream, auto, 50);
        stream.pass(2_300_000);
        look_ups(stream, auto, &values(1_000, 50));
    }),
    ("two requests in two transactions", |stream| {
        orders(stream, Exec::default(), 50);
        stream.commit(1, 1);
        stream.pass(2_300_000);
        look_ups(stream, Exec { transaction: 2, ..Exec::default() }, &values(1_000, 50));
        stream.commit(1, 2);
    }),
    ("two clients", |stream| {
        orders(stream, Exec::default(), 50);
        stream.open(4, "shop", "other");
        look_ups(stream, Exec { session: 4, ..Exec::default() }, &values(1_000, 50));
        stream.commit(4, 1);
    }),
    ("one list", |stream| {
        orders(stream, Exec::default(), 50);
        let list: Vec<String> = values(1_000, 50).iter().map(ToString::to_string).collect();
        let sql = format!("SELECT id, name FROM customers WHERE id IN ({})", list.join(", "));
        stream.exec(Exec { sql: &sql, rows: Some(50), ..Exec::default() });
    }),
    ("chunks of ten parameters", |stream| {
        orders(stream, Exec::default(), 100);
        let parameters: Vec<String> = (1..=10).map(|n| format!("${n}")).collect();
        let sql = format!("SELECT id FROM customers WHERE id IN ({})", parameters.join(", "));
        for chunk in values(1_000, 100).chunks(10) {
            stream.exec(Exec { sql: &sql, binds: chunk, rows: Some(10), ..Exec::default() });
        }
    }),
    ("a queue worker: one-row parents", |stream| {
        for id in 1..40 {
            let job = "SELECT id FROM jobs WHERE state = $1 LIMIT 1";
            stream.exec(Exec {
                sql: job,
                binds: &[0],
                columns: &[(30, 1, &[id])],
                ..Exec::default()
            });
            let detail = "SELECT body FROM bodies WHERE job_id = $1";
            stream.exec(Exec { sql: detail, binds: &[id], rows: Some(1), ..Exec::default() });
        }
    }),
    ("the same binds again and again", |stream| {
        orders(stream, Exec::default(), 50);
        for _ in 0..50 {
            look_ups(stream, Exec::default(), &[1_000, 1_001, 1_002, 1_003]);
        }
    }),
    ("values that come from nowhere", |stream| {
        orders(stream, Exec::default(), 50);
        look_ups(stream, Exec::default(), &values(900_000, 50));
    }),
    ("look-ups before the parent", |stream| {
        look_ups(stream, Exec::default(), &values(1_000, 50));
        orders(stream, Exec::default(), 50);
    }),
    ("one pipeline: nobody has read the parent yet", |stream| {
        orders(stream, Exec::default(), 50);
        look_ups(stream, Exec { same_round_trip: true, ..Exec::default() }, &values(1_000, 50));
    }),
    ("failed children", |stream| {
        orders(stream, Exec::default(), 50);
        let failed = Exec { outcome: Outcome::Error, ..Exec::default() };
        look_ups(stream, failed, &values(1_000, 50));
    }),
    ("writes are no children", |stream| {
        orders(stream, Exec::default(), 50);
        for id in values(1, 50) {
            let sql = "UPDATE orders SET seen = true WHERE id = $1";
            stream.exec(Exec {
                sql,
                binds: &[id],
                tag: Tag::Update,
                rows: Some(1),
                ..Exec::default()
            });
        }
    }),
    ("keyset pages: the same digest", |stream| {
        for page in 0..20 {
            let ids = values(page * 10, 10);
            let sql = "SELECT id FROM orders WHERE id > $1 ORDER BY id LIMIT 10";
            stream.exec(Exec {
                sql,
                binds: &[page * 10 - 1],
                columns: &[(10, 1, &ids)],
                ..Exec::default()
            });
        }
    }),
    ("a tenant in every row", |stream| {
        let (ids, tenants) = (values(1, 50), vec![5; 50]);
        let columns = [(10, 1, &ids[..]), (10, 2, &tenants[..])];
        stream.exec(Exec {
            sql: "SELECT id, tenant FROM orders",
            columns: &columns,
            ..Exec::default()
        });
        for page in 0..50 {
            let sql = "SELECT name FROM settings WHERE tenant = $1 AND page = $2";
            stream.exec(Exec { sql, binds: &[5, 10_000 + page], rows: Some(1), ..Exec::default() });
        }
    }),
    ("the catalogue", |stream| {
        let oids = values(16_400, 30);
        let sql = "SELECT oid FROM pg_catalog.pg_class";
        stream.exec(Exec { sql, columns: &[(1_259, 1, &oids)], ..Exec::default() });
        for oid in &oids {
            let sql = "SELECT attname FROM pg_catalog.pg_attribute WHERE attrelid = $1";
            stream.exec(Exec { sql, binds: &[*oid], rows: Some(3), ..Exec::default() });
        }
    }),
];

#[test]
fn clean_streams_are_silent() {
    for (name, send) in CLEAN {
        let mut stream = stream();
        send(&mut stream);
        for session in 1..=3 {
            stream.commit(session, 1);
        }
        stream.pass(20_000_000);
        assert_eq!(found(&mut stream), [], "{name}");
    }
}

#[test]
fn limits_hold_exactly() {
    for (name, rows, used, repeats, expected) in [
        ("five of five", 5, 5, 1, true),
        ("four of five", 5, 4, 1, false),
        ("five of twenty", 20, 5, 1, true),
        ("five of twenty-one: a quarter isn't reached", 21, 5, 1, false),
        ("four values, many executions", 5, 4, 10, false),
        ("two rows can't have five values", 2, 2, 10, false),
    ] {
        let mut stream = stream();
        orders(&mut stream, Exec::default(), rows);
        for _ in 0..repeats {
            look_ups(&mut stream, Exec::default(), &values(1_000, used));
        }
        stream.commit(1, 1);
        assert_eq!(!found(&mut stream).is_empty(), expected, "{name}");
    }
}

#[test]
fn look_ups_in_a_small_domain_need_more_values() {
    for (used, expected) in [(7, 0), (8, 1)] {
        let mut stream = stream();
        // Fifty executions elsewhere show that only ten values are ever asked for.
        let auto = Exec { transaction: 0, session: 2, ..Exec::default() };
        (0..50).for_each(|n| look_ups(&mut stream, auto, &[1_000 + n % 10]));
        orders(&mut stream, Exec::default(), 10);
        look_ups(&mut stream, Exec::default(), &values(1_000, used));
        stream.commit(1, 1);
        assert_eq!(found(&mut stream).len(), expected, "{used}");
    }
}

#[test]
fn interleaved_children_are_two_findings() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 20);
    for n in 0..20 {
        look_ups(&mut stream, Exec::default(), &[1_000 + n]);
        stream.exec(Exec { sql: ITEMS, binds: &[1 + n], rows: Some(3), ..Exec::default() });
    }
    stream.commit(1, 1);
    let found = found(&mut stream);
    let brief: Vec<_> = found.iter().map(|(_, field, n, _)| (*field, *n)).collect();
    assert_eq!(brief, [(1, 20), (0, 20)], "{found:?}");
}

#[test]
fn a_loop_twice_is_two_occurrences() {
    let mut stream = stream();
    for _ in 0..2 {
        orders(&mut stream, Exec::default(), 20);
        look_ups(&mut stream, Exec::default(), &values(1_000, 20));
    }
    stream.commit(1, 1);
    let found = found(&mut stream);
    assert_eq!((found.len(), found[0].2, found[0].3), (1, 20, 2));
}

#[test]
fn children_with_several_rows_do_not_push_the_parent_out() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 50);
    for id in values(1, 50) {
        let (rows, parents) = (values(id * 100, 3), vec![id; 3]);
        let columns = [(40, 1, &rows[..]), (40, 2, &parents[..])];
        stream.exec(Exec { sql: ITEMS, binds: &[id], columns: &columns, ..Exec::default() });
    }
    stream.commit(1, 1);
    let found = found(&mut stream);
    assert_eq!((found.len(), found[0].2), (1, 50), "{found:?}");
}

#[test]
fn one_explanation_takes_the_occurrence() {
    let mut stream = stream();
    let customers = values(1_000, 20);
    // The addresses hold the same keys, but half of them only.
    orders(&mut stream, Exec::default(), 20);
    let sql = "SELECT customer_id FROM addresses";
    stream.exec(Exec { sql, columns: &[(50, 2, &customers[..10])], ..Exec::default() });
    look_ups(&mut stream, Exec::default(), &customers);
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].parent.as_ref().unwrap().table_oid, 10);
    assert_eq!(findings[0].n, Some(20));
}

#[test]
fn equal_explanations_are_alternatives() {
    let mut stream = stream();
    let keys = values(1_000, 20);
    let columns = [(10, 1, &keys[..]), (10, 2, &keys[..])];
    stream.exec(Exec { sql: ORDERS, binds: &[1], columns: &columns, ..Exec::default() });
    look_ups(&mut stream, Exec::default(), &keys);
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    let parent = findings[0].parent.as_ref().unwrap();
    // customer_id is named after the child's table.
    assert_eq!((findings.len(), parent.field, parent.alternatives.len()), (1, 1, 1));
}

#[test]
fn a_truncated_parent_keeps_n_exact() {
    let limits = Limits {
        flow: FlowLimits { value_rows_max: 10, ..FlowLimits::default() },
        ..Limits::default()
    };
    let mut stream = Stream::new(limits);
    let ids = values(1, 10);
    let parent =
        Exec { sql: "SELECT id FROM orders", rows: Some(30), truncated: true, ..Exec::default() };
    stream.exec(Exec { columns: &[(10, 1, &ids)], ..parent });
    for id in values(1, 30) {
        stream.exec(Exec { sql: ITEMS, binds: &[id], rows: Some(1), ..Exec::default() });
    }
    // Repetitions and anything beyond the parent's rows aren't explained.
    for id in [29, 30, 31, 32] {
        stream.exec(Exec { sql: ITEMS, binds: &[id], rows: Some(1), ..Exec::default() });
    }
    stream.commit(1, 1);
    assert_eq!(found(&mut stream)[0].2, 30);
}

#[test]
fn parts_of_a_portal_are_one_result() {
    let mut stream = stream();
    let sql = "SELECT id FROM orders";
    for part in 0..5 {
        let ids = values(part * 4, 4);
        let timing = if part < 4 { Timing::Part } else { Timing::Exact };
        stream.exec(Exec { sql, timing, columns: &[(10, 1, &ids)], ..Exec::default() });
        for id in ids {
            stream.exec(Exec { sql: ITEMS, binds: &[id], rows: Some(1), ..Exec::default() });
        }
    }
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].n, findings[0].rows_median), (1, Some(20), Some(20)));
    assert_eq!(stream.snapshot().books.statements, 20 + 1 + 1, "parts are no statements");
}

#[test]
fn a_cursor_is_named_by_its_query() {
    let mut stream = stream();
    stream.begin(1, 1);
    let declare = "DECLARE \"c_1\" NO SCROLL CURSOR FOR SELECT id FROM orders";
    stream.exec(Exec { sql: declare, tag: Tag::Other, ..Exec::default() });
    for part in 0..4 {
        let ids = values(part * 5, 5);
        let fetch =
            Exec { sql: "FETCH FORWARD 5 FROM \"c_1\"", tag: Tag::Fetch, ..Exec::default() };
        stream.exec(Exec { columns: &[(10, 1, &ids)], ..fetch });
        for id in ids {
            stream.exec(Exec { sql: ITEMS, binds: &[id], rows: Some(1), ..Exec::default() });
        }
    }
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].n), (1, Some(20)));
    assert!(findings[0].parent.as_ref().unwrap().query_text.starts_with("DECLARE"));
}

#[test]
fn returned_rows_feed_a_refresh() {
    let mut stream = stream();
    let insert = "INSERT INTO orders (total) VALUES ($1) RETURNING id";
    let read = "SELECT id, total FROM orders WHERE id = $1";
    let ids = values(1, 10);
    stream.describe(read, &[(10, 1, "id"), (10, 2, "total")]);
    for id in &ids {
        let write = Exec { sql: insert, binds: &[90_000], tag: Tag::Insert, ..Exec::default() };
        stream.exec(Exec { columns: &[(10, 1, &[*id])], ..write });
    }
    for id in &ids {
        stream.exec(Exec {
            sql: read,
            binds: &[*id],
            columns: &[(10, 1, &[*id])],
            ..Exec::default()
        });
    }
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!(
        (findings.len(), findings[0].n, findings[0].variant),
        (1, Some(10), Some("refresh"))
    );
}

#[test]
fn an_aggregate_per_row_is_its_own_variant() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 10);
    for id in values(1, 10) {
        let sql = "SELECT count(*) FROM items WHERE order_id = $1";
        stream.exec(Exec { sql, binds: &[id], rows: Some(1), ..Exec::default() });
    }
    stream.commit(1, 1);
    assert_eq!(n_plus_ones(&mut stream)[0].variant, Some("aggregate"));
}

#[test]
fn the_end_of_a_session_judges() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 10);
    look_ups(&mut stream, Exec::default(), &values(1_000, 10));
    stream.close(1);
    assert_eq!(found(&mut stream).len(), 1);
}

#[test]
fn held_results_stay_within_their_memory() {
    let flow = FlowLimits { ring_total_max_kib: 64, ..FlowLimits::default() };
    let mut stream = Stream::new(Limits { flow, ..Limits::default() });
    for session in 10..60 {
        stream.open(session, "shop", "web");
        for n in 0..8 {
            let ids = values(n * 1_000, 900);
            let sql = format!("SELECT id FROM t{n}");
            stream.exec(Exec { session, sql: &sql, columns: &[(10, 1, &ids)], ..Exec::default() });
        }
    }
    let overflow = stream.snapshot().overflow;
    let evicted = overflow.iter().find(|(table, _)| *table == "held_results").unwrap().1;
    // A result of 900 values costs at least 900 x (4 + 4 x 2) bytes, so 64 KiB hold fewer than ten.
    assert!(evicted >= 50 * 8 - 10, "{evicted}");
}

#[test]
fn batches_take_their_time_once() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 5);
    let keys = values(1_000, 5);
    for key in &keys[..4] {
        look_ups(&mut stream, Exec { timing: Timing::Batch, us: 0, ..Exec::default() }, &[*key]);
    }
    let last =
        Exec { timing: Timing::BatchLast, us: 5_000, batch_statements: 5, ..Exec::default() };
    look_ups(&mut stream, last, &keys[4..]);
    stream.commit(1, 1);
    let finding = &n_plus_ones(&mut stream)[0];
    assert_eq!((finding.n, finding.cost.busy_ms), (Some(5), 5.0));
}

mod bursts;
mod chains;
mod levels;

//! The burst gate: the children of one result over the connections of a pool.

use super::*;

/// Orders on session 1, then their customers over sessions 2 and 3.
fn fan_out(stream: &mut Stream, rows: usize, keys: &[i64]) {
    orders(stream, AUTO, rows);
    for key in keys {
        let session = 2 + (*key as u64 % 2);
        look_ups(stream, Exec { session, ..AUTO }, &[*key]);
    }
}

fn judged(send: impl FnOnce(&mut Stream)) -> Vec<Finding> {
    let mut stream = stream();
    send(&mut stream);
    stream.pass(3_000_000);
    n_plus_ones(&mut stream)
}

#[test]
fn a_fan_out_is_proved() {
    let findings = judged(|stream| fan_out(stream, 20, &values(1_000, 20)));
    assert_eq!((findings.len(), findings[0].n), (1, Some(20)));
    assert_eq!((findings[0].gate, findings[0].proof), (Some("burst"), Proof::Dataflow));
    assert_eq!(findings[0].parent.as_ref().unwrap().field, 1);
}

/// Name, stream, findings.
type Case = (&'static str, fn(&mut Stream), usize);

fn keys() -> Vec<i64> {
    values(1_000, 20)
}

fn fan_out_too_late(stream: &mut Stream) {
    fan_out(stream, 20, &[]);
    stream.now += 2_000_000;
    look_ups(stream, Exec { session: 2, ..AUTO }, &keys());
}

fn fan_out_among_others(stream: &mut Stream) {
    let others = |(at, key): (usize, i64)| match at % 3 {
        0 => vec![key, 800_000 + key],
        _ => vec![key],
    };
    let keys: Vec<i64> = keys().into_iter().enumerate().flat_map(others).collect();
    fan_out(stream, 20, &keys);
}

fn fan_out_backwards(stream: &mut Stream) {
    let mut keys = keys();
    keys.reverse();
    fan_out(stream, 20, &keys);
}

fn fan_out_switched_off(stream: &mut Stream) {
    let flow = FlowLimits { burst: false, ..FlowLimits::default() };
    *stream = Stream::new(Limits { flow, ..Limits::default() });
    fan_out(stream, 20, &keys());
}

fn fan_out_elsewhere(stream: &mut Stream, database: &str, application_name: &str) {
    stream.open(2, database, application_name);
    stream.open(3, database, application_name);
    fan_out(stream, 20, &keys());
}

fn fan_out_with_two_parents(stream: &mut Stream) {
    orders(stream, AUTO, 20);
    let keys = keys();
    let columns = [(30, 1, &keys[..])];
    stream.exec(Exec { sql: "SELECT customer_id FROM invoices", columns: &columns, ..AUTO });
    look_ups(stream, Exec { session: 2, ..AUTO }, &keys);
}

const CASES: &[Case] = &[
    ("eight of eight", |s| fan_out(s, 8, &values(1_000, 8)), 1),
    ("seven of seven", |s| fan_out(s, 7, &values(1_000, 7)), 0),
    ("four fifths", |s| fan_out(s, 20, &values(1_000, 16)), 1),
    ("less", |s| fan_out(s, 20, &values(1_000, 15)), 0),
    ("one in ten twice", |s| fan_out(s, 20, &[keys(), vec![1_019; 2]].concat()), 1),
    ("one in six twice", |s| fan_out(s, 20, &[keys(), vec![1_019; 3]].concat()), 0),
    ("others ask too", fan_out_among_others, 0),
    ("backwards", fan_out_backwards, 0),
    ("too late", fan_out_too_late, 0),
    ("switched off", fan_out_switched_off, 0),
    ("another client", |s| fan_out_elsewhere(s, "shop", "other"), 0),
    ("another database", |s| fan_out_elsewhere(s, "other", "web"), 0),
    ("a later result is nearer", fan_out_with_two_parents, 1),
];

#[test]
fn every_condition_of_the_burst_counts() {
    for (name, send, expected) in CASES {
        assert_eq!(judged(send).len(), *expected, "{name}");
    }
}

#[test]
fn what_a_chain_proves_is_no_burst() {
    let findings = judged(|stream| {
        orders(stream, AUTO, 20);
        look_ups(stream, AUTO, &values(1_000, 20));
    });
    assert_eq!((findings.len(), findings[0].gate, findings[0].sightings), (1, Some("chain"), 1));
}

#[test]
fn more_executions_than_are_remembered_prove_nothing() {
    for (remembered, expected) in [(21, 1), (19, 0)] {
        let flow = FlowLimits { burst_entries_max: remembered, ..FlowLimits::default() };
        let mut stream = Stream::new(Limits { flow, ..Limits::default() });
        fan_out(&mut stream, 20, &values(1_000, 20));
        stream.pass(3_000_000);
        assert_eq!(found(&mut stream).len(), expected, "{remembered}");
        let overflow = stream.snapshot().overflow;
        let counted = overflow.iter().find(|(table, _)| *table == "bursts").unwrap().1;
        assert_eq!(counted, u64::from(expected == 0), "{remembered}");
    }
}

#[test]
fn a_trace_over_sessions_pairs_whatever_came_first() {
    let tagged = |sql: &str| format!("{sql} /*traceparent='00-{:032x}-00f067aa0ba902b7-01'*/", 9);
    let mut stream = stream();
    let ids = values(1, 10);
    let (parent_at, children_at) = (stream.now, stream.now + 50_000);
    // The children's batch arrives before the parent's.
    stream.now = children_at;
    for id in &ids {
        stream.exec(Exec { sql: &tagged(ITEMS), session: 2, binds: &[*id], rows: Some(1), ..AUTO });
    }
    stream.now = parent_at;
    let parent = Exec { sql: &tagged("SELECT id FROM orders"), ..AUTO };
    stream.exec(Exec { columns: &[(10, 1, &ids)], ..parent });
    stream.now = children_at;
    stream.pass(20_000_000);
    let findings = n_plus_ones(&mut stream);
    assert_eq!((findings.len(), findings[0].n, findings[0].gate), (1, Some(10), Some("scope")));
}

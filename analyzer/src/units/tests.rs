//! Units, routes and shapes as the snapshot shows them.

use super::unit::UNIT_STATEMENTS_MAX;
use crate::limits::Limits;
use crate::record::Tag;
use crate::snapshot::{RouteRow, Snapshot, UnitRow};
use crate::testing::{Exec, Stream};
use std::sync::Arc;

const ORDER: &str = "SELECT id FROM orders WHERE id = $1";
const ITEMS: &str = "SELECT id FROM items WHERE order_id = $1";
const WRITE: &str = "UPDATE orders SET total = 1 WHERE id = $1";

fn read<'a>(sql: &'a str, binds: &'a [i64]) -> Exec<'a> {
    Exec { sql, binds, transaction: 0, rows: Some(2), ..Exec::default() }
}

fn route(snapshot: &Snapshot, name: &str) -> RouteRow {
    snapshot.routes.iter().find(|row| &*row.route == name).cloned().expect("route")
}

fn unit(snapshot: &Snapshot, id: Option<u64>) -> Arc<UnitRow> {
    snapshot.units.iter().find(|unit| Some(unit.id) == id).cloned().expect("unit")
}

/// One unit of the given statements in autocommit.
fn run(statements: &[Exec<'_>]) -> RouteRow {
    let mut stream = Stream::new(Limits::default());
    statements.iter().for_each(|exec| stream.exec(*exec));
    stream.pass(1_000_000);
    route(&stream.snapshot(), "none")
}

#[test]
fn repetitions_are_counted_without_their_first() {
    let literal = |id: u8| format!("SELECT id FROM orders WHERE id = {id}");
    let (one, two) = (literal(1), literal(2));
    for (name, statements, similar, duplicate) in [
        ("one", vec![read(ORDER, &[1])], 0, 0),
        ("other values", vec![read(ORDER, &[1]), read(ORDER, &[2]), read(ORDER, &[3])], 2, 0),
        ("the same values", vec![read(ORDER, &[1]), read(ITEMS, &[1]), read(ORDER, &[1])], 1, 1),
        ("literals", vec![read(&one, &[]), read(&two, &[]), read(&one, &[])], 2, 1),
        ("writes", vec![read(WRITE, &[1]), read(WRITE, &[1])], 1, 0),
        ("pings", vec![read("SELECT 1", &[]), read("SELECT 1", &[])], 0, 0),
    ] {
        let row = run(&statements);
        assert_eq!((row.units, row.statements), (1, statements.len() as u64), "{name}");
        assert_eq!((row.similar, row.duplicate), (similar, duplicate), "{name}");
    }
}

#[test]
fn statements_of_one_round_trip_are_one_round_trip() {
    let together = Exec { same_round_trip: true, ..read(ORDER, &[2]) };
    let row = run(&[read(ORDER, &[1]), together, together, read(ITEMS, &[1])]);
    assert_eq!((row.statements, row.round_trips), (4, 2));
}

#[test]
fn a_change_of_route_ends_a_run_and_a_gap_too() {
    let a = format!("{ORDER} /*route='/a'*/");
    let b = format!("{ORDER} /*route='/b'*/");
    let mut stream = Stream::new(Limits::default());
    for exec in [read(&a, &[1]), read(ITEMS, &[1]), read(&b, &[1]), read(ITEMS, &[2])] {
        stream.exec(exec);
    }
    stream.exec(Exec { think_us: 50_000, ..read(ITEMS, &[3]) });
    stream.pass(1_000_000);
    let snapshot = stream.snapshot();
    let units = |name: &str| (route(&snapshot, name).units, route(&snapshot, name).statements);
    assert_eq!((units("/a"), units("/b"), units("none")), ((1, 2), (1, 2), (1, 1)));
}

#[test]
fn the_worst_and_a_typical_unit_are_kept() {
    let mut stream = Stream::new(Limits::default());
    for us in [1_000, 2_000, 9_000, 2_100, 1_900, 2_000] {
        stream.exec(Exec { us, think_us: 100_000, ..read(ORDER, &[1]) });
        stream.exec(read(ITEMS, &[1]));
    }
    stream.pass(1_000_000);
    let snapshot = stream.snapshot();
    let row = route(&snapshot, "none");
    assert_eq!((row.units, row.statements_p50, row.statements_p95), (6, 2, 2));
    assert_eq!((row.database_p50_us, row.database_p95_us), (3_000, 10_000));
    let worst = unit(&snapshot, row.worst_unit);
    assert_eq!((worst.database_us, worst.statements, worst.cut), (10_000, 2, false));
    // The second begins 100 microseconds after the end of the first.
    let offsets: Vec<u64> = worst.waterfall.iter().map(|statement| statement.offset_us).collect();
    assert_eq!(offsets, [0, 9_100]);
    assert_eq!(worst.duration_us, 10_100);
    assert_eq!(worst.waterfall.iter().map(|statement| statement.rows).sum::<u64>(), 4);
    assert_eq!(unit(&snapshot, row.typical_unit).database_us, 3_000);
    assert_eq!((&*worst.service, &*worst.route), ("web", "none"));
}

#[test]
fn a_long_unit_is_cut_and_says_so() {
    let mut stream = Stream::new(Limits::default());
    let count = UNIT_STATEMENTS_MAX + 3;
    (0..count).for_each(|id| stream.exec(read(ORDER, &[id as i64])));
    stream.pass(1_000_000);
    let snapshot = stream.snapshot();
    let row = route(&snapshot, "none");
    assert_eq!(row.statements, count as u64);
    let worst = unit(&snapshot, row.worst_unit);
    assert_eq!((worst.waterfall.len(), worst.cut), (super::routes::WATERFALL_STATEMENTS_MAX, true));
    assert_eq!(worst.similar, UNIT_STATEMENTS_MAX as u64 - 1, "of those that were told apart");
    let overflow = snapshot.overflow.iter().find(|(name, _)| *name == "unit_entries");
    assert_eq!(overflow, Some(&("unit_entries", 3)));
}

#[test]
fn entries_of_open_units_have_a_common_limit() {
    let mut stream = Stream::new(Limits { unit_entries_max: 3, ..Limits::default() });
    for round in 0..3 {
        for session in 1..=2 {
            stream.exec(Exec { session, ..read(ORDER, &[round]) });
        }
    }
    stream.pass(1_000_000);
    let entries: usize = stream.snapshot().units.iter().map(|unit| unit.waterfall.len()).sum();
    assert_eq!(entries, 3);
    // The room is given back.
    (0..3).for_each(|id| stream.exec(Exec { us: 50_000, ..read(ORDER, &[id]) }));
    stream.pass(1_000_000);
    let snapshot = stream.snapshot();
    let worst = unit(&snapshot, route(&snapshot, "none").worst_unit);
    assert_eq!((worst.waterfall.len(), worst.cut), (3, false));
}

#[test]
fn a_trace_over_two_sessions_is_one_unit_in_order_of_time() {
    let traced = |sql: &str| {
        format!("{sql} /*traceparent='00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'*/")
    };
    let (order, items) = (traced(ORDER), traced(ITEMS));
    let mut stream = Stream::new(Limits::default());
    stream.exec(read(&order, &[1]));
    stream.exec(Exec { session: 2, ..read(&items, &[1]) });
    stream.exec(read(&items, &[2]));
    stream.pass(11_000_000);
    let snapshot = stream.snapshot();
    let row = route(&snapshot, "none");
    assert_eq!((row.units, row.statements, row.round_trips, row.similar), (1, 3, 3, 1));
    let unit = unit(&snapshot, row.worst_unit);
    assert!(unit.traced && unit.waterfall.is_sorted_by_key(|statement| statement.offset_us));
}

#[test]
fn shapes_fold_repetitions_in_a_row() {
    let mut stream = Stream::new(Limits::default());
    for (transaction, rounds) in [(1, 1), (2, 7)] {
        stream.begin(1, transaction);
        stream.exec(Exec { transaction, ..read(ORDER, &[1]) });
        for id in 0..rounds {
            stream.exec(Exec { transaction, ..read(ITEMS, &[id]) });
        }
        stream.commit(1, transaction);
    }
    stream.begin(1, 3);
    stream.exec(Exec { transaction: 3, tag: Tag::Update, ..read(WRITE, &[1]) });
    stream.commit(1, 3);
    let snapshot = stream.snapshot();
    let rows: Vec<_> = snapshot
        .transactions
        .iter()
        .map(|row| (row.count, row.statements, row.digests.len()))
        .collect();
    assert_eq!(rows, [(2, 10, 2), (1, 1, 1)]);
    assert_eq!(snapshot.transactions[0].busy_us, 10_000);
    assert_eq!(snapshot.transactions_other.count, 0);
}

#[test]
fn shapes_beyond_the_limit_are_summed() {
    let mut stream = Stream::new(Limits { transaction_shapes_max: 1, ..Limits::default() });
    for (transaction, sql) in [(1, ORDER), (2, ITEMS), (3, ORDER)] {
        stream.begin(1, transaction);
        stream.exec(Exec { transaction, ..read(sql, &[1]) });
        stream.commit(1, transaction);
    }
    let snapshot = stream.snapshot();
    assert_eq!((snapshot.transactions.len(), snapshot.transactions[0].count), (1, 2));
    assert_eq!(snapshot.transactions_other.count, 1);
}

/// The same statements in batches of one event and in one batch give the same units.
#[test]
fn batches_make_no_difference() {
    let snapshot = |batched: bool| {
        let mut stream = Stream::new(Limits::default());
        stream.batched = batched;
        for round in 0..40 {
            let tagged = format!("{ORDER} /*route='/r{}'*/", round % 3);
            stream.exec(Exec { us: 500 + 37 * round, think_us: 60_000, ..read(&tagged, &[1]) });
            stream.exec(Exec { session: 2, us: 700, ..read(ITEMS, &[2]) });
            stream.begin(1, round as u32 + 1);
            stream.exec(Exec { transaction: round as u32 + 1, ..read(ITEMS, &[3]) });
            stream.commit(1, round as u32 + 1);
        }
        stream.pass(1_000_000);
        stream.snapshot()
    };
    let (one, many) = (snapshot(true), snapshot(false));
    assert_eq!(one.routes, many.routes);
    assert_eq!(one.units, many.units);
    assert_eq!(one.transactions, many.transactions);
    assert!(one.units.len() > 3);
}

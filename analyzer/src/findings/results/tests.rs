//! Each rule below, at and above its limits, and its traps with twins that must fire.

use crate::finding::{EvidenceValue, Finding, Kind, Proof, Severity};
use crate::limits::Limits;
use crate::record::{Micros, Outcome, Tag, Timing};
use crate::testing::{Cells, Exec, Stream};

const DAY_US: u64 = 24 * 3_600 * 1_000_000;
const ALL: &str = "SELECT id, total FROM orders";

fn limits() -> Limits {
    Limits { close_after_us: 100 * DAY_US, ..Limits::default() }
}

fn stream() -> Stream {
    Stream::new(limits())
}

fn found(stream: &mut Stream, kind: Kind) -> Option<Finding> {
    stream.pass(2_000_000);
    let found: Vec<Finding> =
        stream.findings().into_iter().filter(|finding| finding.kind == kind).collect();
    assert!(found.len() <= 1, "one finding: {found:?}");
    found.into_iter().next()
}

fn evidence(finding: &Finding, name: &str) -> f64 {
    let value = finding.evidence.iter().find(|(known, _)| *known == name).map(|(_, value)| value);
    match value {
        Some(EvidenceValue::Count(count)) => *count as f64,
        Some(EvidenceValue::Number(number)) => *number,
        other => panic!("{name}: {other:?} in {:?}", finding.evidence),
    }
}

fn large() -> Exec<'static> {
    Exec { sql: ALL, rows: Some(10_000), us: 100_000, transaction: 0, ..Exec::default() }
}

#[test]
fn unbounded_results_at_their_limits_and_traps() {
    let base = large();
    let at = |rows, bytes| Exec { rows: Some(rows), bytes, ..base };
    for (name, exec, fires) in [
        ("rows below", at(9_999, 1_000), false),
        ("rows at", at(10_000, 1_000), true),
        ("rows above", at(10_001, 1_000), true),
        ("bytes below", at(10, 9_999_999), false),
        ("bytes at", at(10, 10_000_000), true),
        ("a LIMIT", Exec { sql: "SELECT id FROM orders LIMIT 20000", ..base }, false),
        (
            "a bound LIMIT",
            Exec { sql: "SELECT id FROM orders LIMIT $1", binds: &[20_000], ..base },
            false,
        ),
        ("a cursor", Exec { sql: "FETCH 10000 FROM c", tag: Tag::Fetch, ..base }, false),
        ("a row-limited portal", Exec { row_limited: true, ..base }, false),
        ("a part of a portal", Exec { timing: Timing::Part, ..base }, false),
        ("COPY", Exec { sql: "COPY orders TO STDOUT", tag: Tag::Copy, ..base }, false),
        ("failed", Exec { outcome: Outcome::Error, ..base }, false),
        ("a write", Exec { sql: "UPDATE orders SET total = 1", tag: Tag::Update, ..base }, false),
        ("the catalogue", Exec { sql: "SELECT oid FROM pg_catalog.pg_class", ..base }, false),
    ] {
        let mut stream = stream();
        stream.exec(exec);
        assert_eq!(found(&mut stream, Kind::UnboundedResult).is_some(), fires, "{name}");
    }
}

#[test]
fn an_export_is_worth_knowing_and_a_habit_a_warning() {
    for (times, severity) in [(1, Severity::Info), (2, Severity::Warning), (5, Severity::Warning)] {
        let mut stream = stream();
        (0..times).for_each(|_| stream.exec(large()));
        let finding = found(&mut stream, Kind::UnboundedResult).unwrap();
        assert_eq!((finding.severity, finding.sightings), (severity, times), "{times}");
        assert_eq!(finding.proof, Proof::Observed);
        // a tenth of 100 ms is transfer
        assert_eq!(finding.cost.saved_high_ms, 10.0);
        let sentence =
            "`SELECT orders` has no LIMIT and returned 10,000 rows (100 bytes) in 100 ms.";
        assert_eq!(finding.sentence, sentence);
    }
}

#[test]
fn growth_is_told_from_days_far_enough_apart() {
    for (name, days, grows) in [
        ("half more over three days", &[(0, 10_000), (3, 15_000)][..], true),
        ("a little less", &[(0, 10_000), (3, 14_999)], false),
        ("two days only", &[(0, 10_000), (2, 30_000)], false),
        ("shrinks", &[(0, 30_000), (4, 10_000)], false),
        ("day by day", &[(0, 10_000), (1, 12_000), (2, 14_000), (3, 16_000)], true),
    ] {
        let mut stream = stream();
        let start = stream.now;
        for (day, rows) in days {
            stream.now = start + day * DAY_US;
            stream.exec(Exec { rows: Some(*rows), ..large() });
        }
        let finding = found(&mut stream, Kind::UnboundedResult).unwrap();
        assert_eq!(finding.severity == Severity::Error, grows, "{name}");
        if name == "half more over three days" {
            assert_eq!(evidence(&finding, "growth_rows_per_day").round(), 1_667.0);
        }
    }
}

const DOCUMENTS: &str = "SELECT id, title, body FROM documents WHERE owner_id = $1";

fn wide(widths: &'static [u64], bytes: u64) -> Exec<'static> {
    Exec {
        sql: DOCUMENTS,
        binds: &[7],
        rows: Some(100),
        widths,
        bytes,
        us: 50_000,
        ..Exec::default()
    }
}

#[test]
fn wide_columns_at_their_limits_and_traps() {
    let base = wide(&[100, 300, 600], 2_000_000);
    for (name, exec, times, fires) in [
        ("share at", base, 3, true),
        ("share below", wide(&[100, 301, 599], 2_000_000), 3, false),
        ("bytes at", wide(&[100, 100, 800], 1_250_000), 3, true),
        ("bytes below", wide(&[100, 100, 800], 1_249_998), 3, false),
        ("seen twice", base, 2, false),
        ("seen four times", base, 4, true),
        ("nothing sampled", Exec { widths: &[], ..base }, 3, false),
        ("the only column", Exec { widths: &[1_000], ..base }, 3, false),
        ("a failed one", Exec { outcome: Outcome::Error, ..base }, 3, false),
    ] {
        let mut stream = stream();
        (0..times).for_each(|_| stream.exec(exec));
        let finding = found(&mut stream, Kind::WideFetch);
        assert_eq!(finding.is_some(), fires, "{name}");
        if let Some(finding) = finding {
            assert_eq!(finding.sightings, times, "{name}");
            assert_eq!(finding.column.as_deref(), Some("documents.body"), "{name}");
        }
    }
}

#[test]
fn wide_columns_cost_their_share_of_the_transfer() {
    let mut stream = stream();
    let exec = Exec { transfer_us: Some(40_000), ..wide(&[100, 300, 600], 2_000_000) };
    (0..3).for_each(|_| stream.exec(exec));
    let finding = found(&mut stream, Kind::WideFetch).unwrap();
    assert_eq!(finding.cost.saved_high_ms, 24.0);
    assert_eq!(finding.cost.bytes, Some(1_200_000));
    assert_eq!(finding.severity, Severity::Warning, "24 ms at three sightings");
    assert_eq!(
        finding.sentence,
        "`documents.body` holds 60 % of what `SELECT documents` returns: 1200 kB of 2000 kB for 100 rows."
    );
}

#[test]
fn a_star_takes_the_column_from_the_description() {
    let sql = "SELECT * FROM documents";
    let mut stream = stream();
    stream.describe(sql, &[(50, 1, "id"), (50, 2, "title"), (50, 3, "body")]);
    let exec = Exec { sql, binds: &[], ..wide(&[100, 300, 600], 2_000_000) };
    (0..3).for_each(|_| stream.exec(exec));
    let finding = found(&mut stream, Kind::WideFetch).unwrap();
    assert_eq!(finding.column.as_deref(), Some("documents.body"));
}

const PAGE: &str = "SELECT id FROM orders ORDER BY created_at LIMIT $1 OFFSET $2";

/// Pages by offset, each with its time in microseconds.
fn pages(sql: &str, pages: &[(i64, u64)]) -> Stream {
    let mut stream = stream();
    for (offset, us) in pages {
        let binds = [20, *offset];
        stream.exec(Exec {
            sql,
            binds: &binds,
            us: *us,
            rows: Some(20),
            transaction: 0,
            ..Exec::default()
        });
    }
    stream
}

#[test]
fn deep_offsets_at_their_limits_and_traps() {
    let deep: Vec<(i64, u64)> = (0..12).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).collect();
    let flat: Vec<(i64, u64)> = (0..12).map(|n| (1 << n, 5_000)).collect();
    let random = [5, 3, 9, 1, 7, 2, 8, 4, 6, 5, 3, 9];
    let random: Vec<(i64, u64)> = (0..12).map(|n| (1 << n, 1_000 * random[n])).collect();
    let shallow: Vec<(i64, u64)> = (0..10).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).collect();
    let few: Vec<(i64, u64)> = (5..12).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).collect();
    let enough: Vec<(i64, u64)> = (4..12).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).collect();
    let below: Vec<(i64, u64)> =
        (0..8).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).chain([(1_023, 30_000)]).collect();
    let at: Vec<(i64, u64)> =
        (0..8).map(|n| (1 << n, 1_000 + 2_000 * n as u64)).chain([(1_024, 30_000)]).collect();
    for (name, list, fires) in [
        ("slower the deeper", &deep, true),
        ("the same time at any depth", &flat, false),
        ("any time at any depth", &random, false),
        ("first pages only", &shallow, false),
        ("seven samples", &few, false),
        ("eight samples", &enough, true),
        ("deepest below the class", &below, false),
        ("deepest at the class", &at, true),
    ] {
        assert_eq!(found(&mut pages(PAGE, list), Kind::DeepOffset).is_some(), fires, "{name}");
    }
    let keyset = "SELECT id FROM orders WHERE id > $2 ORDER BY id LIMIT $1";
    assert!(found(&mut pages(keyset, &deep), Kind::DeepOffset).is_none(), "keyset paging");
}

#[test]
fn literal_offsets_count_as_bound_ones() {
    let mut stream = stream();
    for n in 0..12 {
        let sql = format!("SELECT id FROM orders ORDER BY created_at LIMIT 20 OFFSET {}", 1 << n);
        let us = 1_000 + 2_000 * n;
        stream.exec(Exec { sql: &sql, us, rows: Some(20), transaction: 0, ..Exec::default() });
    }
    let finding = found(&mut stream, Kind::DeepOffset).unwrap();
    assert_eq!(evidence(&finding, "offset_at_least_rows"), 2_048.0);
    assert_eq!(evidence(&finding, "rank_correlation"), 1.0);
    // 21 and 23 ms at 1,024 and 2,048 rows, 1 ms at the first page
    assert_eq!(finding.cost.saved_high_ms, 20.0);
    assert_eq!(finding.column.as_deref(), Some("orders.created_at"));
}

const JOIN: &str = "SELECT a.id, i.id, t.id FROM albums a JOIN images i ON i.album_id = a.id \
                    JOIN tags t ON t.album_id = a.id";

/// Rows of albums with `images` x `tags` each; key cells of the three tables.
fn multiplied(albums: i64, images: i64, tags: i64) -> [Vec<i64>; 3] {
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for album in 0..albums {
        for image in 0..images {
            for tag in 0..tags {
                columns[0].push(album);
                columns[1].push(album * images + image);
                columns[2].push(album * tags + tag);
            }
        }
    }
    columns
}

fn joined(columns: &[Vec<i64>; 3], truncated: bool) -> Option<Finding> {
    let mut stream = stream();
    let fields = [(10, 1, "id"), (20, 1, "id"), (30, 1, "id")];
    stream.describe(JOIN, &fields);
    let cells: Vec<Cells<'_>> =
        columns.iter().zip([10, 20, 30]).map(|(cells, oid)| (oid, 1, &cells[..])).collect();
    let exec = Exec {
        sql: JOIN,
        columns: &cells,
        us: 100_000,
        bytes: 100_000,
        truncated,
        ..Exec::default()
    };
    stream.exec(exec);
    found(&mut stream, Kind::CartesianExplosion)
}

#[test]
fn products_fire_and_pairs_are_silent() {
    // many-to-many: the link's rows are pairs of 50 images and 50 tags, 10 of each image, not all of them
    let mut pairs = [Vec::new(), Vec::new(), Vec::new()];
    for n in 0..500 {
        pairs[0].push(n / 50);
        pairs[1].push(n / 5);
        pairs[2].push((n / 50) * 10 + (n * 7 + n / 5) % 10);
    }
    // one child list only: each image once, its tag determined by the album
    let single =
        [(0..600).map(|n| n / 6).collect(), (0..600).collect(), (0..600).map(|n| n / 6).collect()];
    for (name, columns, truncated, fires) in [
        ("10 albums of 10 x 5", multiplied(10, 10, 5), false, true),
        ("499 rows", multiplied(1, 499, 1), false, false),
        ("below the rows: 9 of 11 x 5", multiplied(9, 11, 5), false, false),
        ("one album", multiplied(1, 25, 20), false, true),
        ("blow-up at 1.5: 2 x 2 has 2", multiplied(125, 2, 2), false, true),
        ("no second branch", multiplied(300, 2, 1), false, false),
        ("pairs of a link table", pairs, false, false),
        ("a list of one kind", single, false, false),
        ("cut inside the last album", multiplied(12, 10, 5), true, true),
        ("cut inside the only album", multiplied(1, 25, 20), true, false),
    ] {
        assert_eq!(joined(&columns, truncated).is_some(), fires, "{name}");
    }
}

#[test]
fn most_parents_must_be_products() {
    let broken = |albums: usize| {
        let mut columns = multiplied(20, 5, 6);
        // an album loses one of its 30 rows: no product any more
        let keep: Vec<usize> = (0..600).filter(|row| row % 30 != 0 || row / 30 >= albums).collect();
        columns = columns.map(|cells| keep.iter().map(|row| cells[*row]).collect());
        joined(&columns, false)
    };
    for (albums, fires) in [(3, true), (4, true), (5, false)] {
        assert_eq!(broken(albums).is_some(), fires, "{albums} of 20 albums are none");
    }
}

#[test]
fn an_explosion_names_tables_and_what_it_repeats() {
    let finding = joined(&multiplied(10, 10, 5), false).unwrap();
    assert_eq!(finding.severity, Severity::Warning, "one sighting is proof enough");
    assert_eq!(finding.proof, Proof::Observed);
    assert_eq!(evidence(&finding, "product_parents"), 10.0);
    // 490, 400 and 450 of 500 rows repeat an album, an image, a tag: 1340 / 1500 of the bytes
    assert_eq!(evidence(&finding, "duplicated_bytes"), 89_333.0);
    assert_eq!(
        finding.sentence,
        "The join returns every row of `images` with every row of `tags` for each of `albums`: 500 rows hold 10 \
         different rows of `albums`, 100 of `images` and 50 of `tags`; 89 kB were sent more than once."
    );
}

#[test]
fn ids_stay_the_same_and_tell_databases_apart() {
    let id = |database: &str, start: Micros| {
        let mut stream = stream();
        stream.now += start;
        stream.open(9, database, "web");
        stream.exec(Exec { session: 9, ..large() });
        found(&mut stream, Kind::UnboundedResult).unwrap().id
    };
    assert_eq!(id("shop", 0), id("shop", 5_000));
    assert_ne!(id("shop", 0), id("other", 0));
}

use super::*;
use crate::record::BindCell;

fn salt() -> Salt {
    Salt::new(1, 2)
}

fn info(text: &str) -> TextInfo {
    read(text.as_bytes(), &salt())
}

fn part(text: &str) -> Part {
    let mut parts = info(text).parts;
    assert_eq!(parts.len(), 1, "{text}");
    parts.remove(0)
}

fn cell(slot: u16, content: &str) -> BindCell {
    salt().literal_string(slot, content.as_bytes()).unwrap()
}

/// Text, for display, for the parser.
const RENDERED: &[(&str, &str, &str)] = &[
    (
        "SELECT customers.id AS customers_id, customers.name AS customers_name \nFROM customers \nWHERE customers.id = $1::INTEGER",
        "SELECT customers.id AS customers_id, customers.name AS customers_name FROM customers WHERE customers.id = $1::INTEGER",
        "SELECT customers.id AS customers_id, customers.name AS customers_name FROM customers WHERE customers.id = $1::INTEGER",
    ),
    (
        "SELECT \"o\".\"id\" FROM \"shop_order\" \"o\" WHERE \"o\".\"id\" = 5 LIMIT 21",
        "SELECT \"o\".\"id\" FROM \"shop_order\" \"o\" WHERE \"o\".\"id\" = ? LIMIT ?",
        "SELECT \"o\".\"id\" FROM \"shop_order\" \"o\" WHERE \"o\".\"id\" = $32768 LIMIT $32769",
    ),
    (
        "SELECT 'a''b', E'\\'', $$x$$, 1.5e3",
        "SELECT ?, ?, ?, ?",
        "SELECT $32768, $32769, $32770, $32771",
    ),
    ("SELECT'a'from t", "SELECT ? from t", "SELECT $32768 from t"),
    ("select a/* secret */-1 -- bye", "select a -?", "select a -$32768"),
    (
        "SELECT a-1, b - -1, -1, (-2), -b, 3-4",
        "SELECT a-?, b - ?, ?, (?), -b, ?-?",
        "SELECT a-$32768, b - $32769, $32770, ($32771), -b, $32772-$32773",
    ),
    (
        "SELECT 1 WHERE a=-1 AND b BETWEEN -5 AND +5",
        "SELECT ? WHERE a=? AND b BETWEEN ? AND ?",
        "SELECT $32768 WHERE a=$32769 AND b BETWEEN $32770 AND $32771",
    ),
    (
        "SELECT a FROM t WHERE id IN (1, 2,3)",
        "SELECT a FROM t WHERE id IN (…)",
        "SELECT a FROM t WHERE id IN ($32768)",
    ),
    (
        "SELECT a FROM t WHERE id in ($2,$3) and b = 7",
        "SELECT a FROM t WHERE id in (…) and b = ?",
        "SELECT a FROM t WHERE id in ($2) and b = $32768",
    ),
    ("WHERE id IN ($1::INTEGER, $2::INTEGER)", "WHERE id IN (…)", "WHERE id IN ($1::INTEGER)"),
    (
        "WHERE (a,b) IN ((1,'x'), (2,'y')) AND c = 3",
        "WHERE (a,b) IN (…) AND c = ?",
        "WHERE (a,b) IN ((1,'x')) AND c = 1",
    ),
    (
        "SELECT 1 FROM t WHERE (a,b) IN ((1,'x'), (2,'y'))",
        "SELECT ? FROM t WHERE (a,b) IN (…)",
        "SELECT $32768 FROM t WHERE (a,b) IN (($32769,$32770))",
    ),
    (
        "SELECT a FROM t WHERE id IN (SELECT 1)",
        "SELECT a FROM t WHERE id IN (SELECT ?)",
        "SELECT a FROM t WHERE id IN (SELECT $32768)",
    ),
    (
        "SELECT a FROM t WHERE id = ANY(ARRAY[1,2])",
        "SELECT a FROM t WHERE id = ANY(ARRAY[…])",
        "SELECT a FROM t WHERE id = ANY(ARRAY[$32768])",
    ),
    (
        "INSERT INTO t (a,b) VALUES (1, now())",
        "INSERT INTO t (a,b) VALUES (?, now())",
        "INSERT INTO t (a,b) VALUES ($32768, now())",
    ),
    (
        "INSERT INTO t (a,b) VALUES (1, now()), (2, DEFAULT) RETURNING id",
        "INSERT INTO t (a,b) VALUES (…) RETURNING id",
        "INSERT INTO t (a,b) VALUES ($32768, now()) RETURNING id",
    ),
    (
        "INSERT INTO t VALUES ($1,$2),($3,$4) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES (…) ON CONFLICT DO NOTHING",
        "INSERT INTO t VALUES ($1,$2) ON CONFLICT DO NOTHING",
    ),
    (
        "SELECT '2020-01-01 00:00'::timestamp(3) without time zone, 1::numeric(10,2)",
        "SELECT ?::timestamp(?) without time zone, ?::numeric(?)",
        "SELECT $32768::timestamp without time zone, $32769::numeric",
    ),
    (
        "SELECT a::varchar(10) FROM t WHERE b = 'x'",
        "SELECT a::varchar(?) FROM t WHERE b = ?",
        "SELECT a::varchar(1) FROM t WHERE b = $32769",
    ),
    (
        "SELECT 'x'::text[] , '{1}'::int[3]",
        "SELECT ?::text[] , ?::int[]",
        "SELECT $32768::text[] , $32769::int[]",
    ),
    (
        "SELECT a FROM t WHERE b LIKE 'secret%' OR b LIKE '%secret'",
        "SELECT a FROM t WHERE b LIKE ? OR b LIKE ?",
        "SELECT a FROM t WHERE b LIKE '32768%' OR b LIKE '%32769'",
    ),
    ("SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT ?", "SELECT a FROM t LIMIT 1"),
    (
        "SELECT a FROM t FETCH FIRST 1 ROWS ONLY",
        "SELECT a FROM t FETCH FIRST ? ROWS ONLY",
        "SELECT a FROM t FETCH FIRST 1 ROWS ONLY",
    ),
    (
        "CREATE ROLE bob LOGIN PASSWORD 'secret' VALID UNTIL '2030-01-01'",
        "CREATE ROLE bob LOGIN PASSWORD ? VALID UNTIL ?",
        "CREATE ROLE bob LOGIN PASSWORD 'x' VALID UNTIL 'x'",
    ),
    ("DO $do$ BEGIN PERFORM 1; END $do$", "DO ?", "DO 'x'"),
    (
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 'secret' $$",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS ?",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'x'",
    ),
    (
        "COPY t FROM STDIN WITH (FORMAT csv, DELIMITER ';')",
        "COPY t FROM STDIN WITH (FORMAT csv, DELIMITER ?)",
        "COPY t FROM STDIN WITH (FORMAT csv, DELIMITER 'x')",
    ),
    (
        "CREATE TABLE t (a varchar(255), b numeric(10,2) DEFAULT -1)",
        "CREATE TABLE t (a varchar(?), b numeric(?,?) DEFAULT ?)",
        "CREATE TABLE t (a varchar(1), b numeric(1,1) DEFAULT 1)",
    ),
    (
        "SELECT U&'d!0061' UESCAPE '!', 'a'\n'b', n'x'",
        "SELECT ?, ?, ?",
        "SELECT $32768, $32769, $32770",
    ),
    ("SELECT $1abc, 12abc", "SELECT $1, ?", "SELECT $1, $32768"),
    (
        "SELECT a ->> 'k', b ? 'c', d @> '{}'",
        "SELECT a ->> ?, b ? ?, d @> ?",
        "SELECT a ->> $32768, b ? $32769, d @> $32770",
    ),
    ("SELECT 1;", "SELECT ?", "SELECT $32768"),
    ("SAVEPOINT s1_x2", "SAVEPOINT ?", "SAVEPOINT x"),
    ("ROLLBACK TO SAVEPOINT s1", "ROLLBACK TO SAVEPOINT ?", "ROLLBACK TO SAVEPOINT x"),
    ("rollback to s1", "rollback to ?", "rollback to x"),
    ("RELEASE s1", "RELEASE ?", "RELEASE x"),
    (
        "DECLARE \"c_1_2\" CURSOR FOR SELECT line_1 FROM t WHERE a = 5",
        "DECLARE ? CURSOR FOR SELECT line_1 FROM t WHERE a = ?",
        "DECLARE x CURSOR FOR SELECT line_1 FROM t WHERE a = $32768",
    ),
    ("FETCH FORWARD 50 FROM \"c_1_2\"", "FETCH FORWARD ? FROM ?", "FETCH FORWARD 1 FROM x"),
    ("FETCH ALL IN c", "FETCH ALL IN ?", "FETCH ALL IN x"),
    ("CLOSE ALL", "CLOSE ALL", "CLOSE ALL"),
    ("CLOSE _django_curs_1_sync_2", "CLOSE ?", "CLOSE x"),
    ("DEALLOCATE PREPARE _pg3_1", "DEALLOCATE PREPARE ?", "DEALLOCATE PREPARE x"),
    ("DEALLOCATE ALL", "DEALLOCATE ALL", "DEALLOCATE ALL"),
    (
        "PREPARE p1 (int) AS SELECT $1",
        "PREPARE ? (int) AS SELECT $1",
        "PREPARE x (int) AS SELECT $1",
    ),
    ("EXECUTE p1(5, 'secret')", "EXECUTE ?(?, ?)", "EXECUTE x($32768, $32769)"),
    ("LISTEN chan_7", "LISTEN ?", "LISTEN x"),
    ("UNLISTEN *", "UNLISTEN *", "UNLISTEN *"),
    ("NOTIFY chan_7, 'secret'", "NOTIFY ?, ?", "NOTIFY x, 'x'"),
    (
        "UPDATE t SET a = 1 WHERE CURRENT OF c_12",
        "UPDATE t SET a = ? WHERE CURRENT OF ?",
        "UPDATE t SET a = $32768 WHERE CURRENT OF x",
    ),
    ("SET LOCAL app.tenant = acme", "SET LOCAL app.tenant = ?", "SET LOCAL app.tenant = x"),
    (
        "SET search_path TO shop, public",
        "SET search_path TO shop, public",
        "SET search_path TO shop, public",
    ),
];

#[test]
fn texts_are_rendered_without_what_they_carry() {
    for (text, redacted, parser_text) in RENDERED {
        let part = part(text);
        assert_eq!(part.redacted, *redacted, "{text}");
        assert_eq!(part.parser_text, *parser_text, "{text}");
        assert!(part.readable);
        let empty = Part { redacted: String::new(), parser_text: String::new(), ..part };
        assert_eq!(read_shape(text.as_bytes(), &salt()).parts, [empty], "{text}");
    }
}

/// Texts in one row have one shape; no two rows share one.
const SHAPES: &[&[&str]] = &[
    &[
        "SELECT a FROM t WHERE id = 5",
        "select A from T where ID = 'x'",
        "SELECT a\n\tFROM t -- why\n WHERE id=$1",
        "SELECT a FROM t WHERE id = -5",
        "SELECT a FROM t WHERE id = $77::int",
        "SELECT a FROM t WHERE id = '5038'::uuid /*route='x'*/",
        "SELECT a FROM t WHERE id = $1::character varying(20)",
        "SELECT a FROM t WHERE id = $1::timestamp(3) with time zone",
        "SELECT a FROM t WHERE id = $1::pg_catalog.int4[]::text",
        "SELECT a FROM t WHERE id = E'\\'' 'b'",
        "SELECT a FROM t WHERE id = $$x$$;",
    ],
    &["SELECT a FROM t WHERE id = b"],
    &["SELECT a FROM t WHERE id = 5 + 5"],
    &["SELECT a FROM t WHERE id <> 5"],
    &["SELECT \"a\" FROM t WHERE id = 5"],
    &["SELECT \"A\" FROM t WHERE id = 5"],
    &["SELECT a FROM t WHERE id::text = '5'", "SELECT a FROM t WHERE id::text = $1::text"],
    &[
        "SELECT a FROM t WHERE id IN (1)",
        "SELECT a FROM t WHERE id IN (1, 2, -3)",
        "SELECT a FROM t WHERE id IN ($1::int, $2::int)",
        "SELECT a FROM t WHERE id IN ('a', NULL, 'c')",
    ],
    &["SELECT a FROM t WHERE id NOT IN (1)"],
    &[
        "SELECT a FROM t WHERE id = ANY(ARRAY[1])",
        "SELECT a FROM t WHERE id = ANY(ARRAY['x', 'y'])",
    ],
    &["SELECT a FROM t WHERE id = ANY($1)", "SELECT a FROM t WHERE id = ANY('{1,2}'::int[])"],
    &["INSERT INTO t (a, b) VALUES (1, 2)", "INSERT INTO t (a, b) VALUES ($1,$2),($3,now())"],
    &["INSERT INTO t (a, b, c) VALUES (1, 2, 3)"],
    &["SELECT a FROM t LIMIT 1"],
    &["SELECT a FROM t LIMIT 2", "SELECT a FROM t LIMIT $1"],
    &["SELECT a FROM t WHERE a LIKE 'x%'", "SELECT a FROM t WHERE a LIKE 'yes%no'"],
    &["SELECT a FROM t WHERE a LIKE $1", "SELECT a FROM t WHERE a LIKE E'x%'"],
    &["SELECT a FROM t WHERE a LIKE '%x'", "SELECT a FROM t WHERE a LIKE '_y'"],
    &["SAVEPOINT a", "savepoint b", "SAVEPOINT \"C\""],
    &["DECLARE a CURSOR FOR SELECT 1", "DECLARE b CURSOR FOR SELECT 2"],
    &["FETCH 50 FROM a", "FETCH 10 FROM b"],
    &["FETCH FORWARD 50 FROM a"],
    &["SELECT line_1 FROM t"],
    &["SELECT line_2 FROM t"],
    &["SET app.tenant = acme", "SET app.tenant = other"],
    &["SELECT longer_than_eight FROM t", "SELECT LONGER_than_EIGHT FROM t"],
    &["SELECT longer_than_eigth FROM t"],
    &["SELECT * FROM orders t"],
    &["SELECT * FROM users t"],
];

#[test]
fn a_shape_is_what_a_statement_is_but_for_its_values() {
    let shapes: Vec<Vec<u64>> =
        SHAPES.iter().map(|row| row.iter().map(|text| part(text).shape).collect()).collect();
    for (i, row) in shapes.iter().enumerate() {
        for (j, shape) in row.iter().enumerate() {
            assert_eq!(*shape, row[0], "{} / {}", SHAPES[i][j], SHAPES[i][0]);
            for (k, other) in shapes.iter().enumerate().filter(|(k, _)| *k != i) {
                assert!(!other.contains(shape), "{} / {}", SHAPES[i][j], SHAPES[k][0]);
            }
        }
    }
}

#[test]
fn literals_have_slots_in_order_and_lists_share_one() {
    let first = LITERAL_SLOT_FIRST;
    let rows: Vec<(&str, Vec<BindCell>)> = vec![
        ("SELECT 1 FROM t WHERE a = 'x' AND b = $1", vec![cell(first, "1"), cell(first + 1, "x")]),
        (
            "SELECT a FROM t WHERE a IN (1, 2, -3) AND b = 'it''s' AND c = $$d$$",
            vec![
                cell(first, "1"),
                cell(first, "2"),
                cell(first, "-3"),
                cell(first + 1, "it's"),
                cell(first + 2, "d"),
            ],
        ),
        (
            "SELECT a FROM t WHERE (a,b) IN ((1,'x'),(2,'y'))",
            vec![cell(first, "1"), cell(first + 1, "x"), cell(first, "2"), cell(first + 1, "y")],
        ),
        (
            "INSERT INTO t VALUES (1, f(9), 'x'), (2, f(8), 'y')",
            vec![
                cell(first, "1"),
                cell(first + 1, "9"),
                cell(first + 2, "x"),
                cell(first, "2"),
                cell(first + 2, "y"),
            ],
        ),
        (
            "SELECT a FROM t WHERE a = -5 AND b = - 6",
            vec![cell(first, "-5"), cell(first + 1, "-6")],
        ),
        (
            "SELECT a FROM t WHERE a = 0x1F AND b = 1_000",
            vec![cell(first, "31"), cell(first + 1, "1000")],
        ),
        ("SELECT a FROM t WHERE a = 1.5 AND b = 1e3 AND c = 7", vec![cell(first + 2, "7")]),
        ("SELECT a FROM t WHERE a = E'x\\n' AND b = E'y' AND c = b'1'", vec![cell(first + 1, "y")]),
        (
            "SELECT a FROM t WHERE a = 'x'::varchar(9) AND b = 8",
            vec![cell(first, "x"), cell(first + 1, "8")],
        ),
        ("SELECT a FROM t WHERE a = true AND b = NULL AND c = ''", vec![]),
        (
            "SELECT a FROM t WHERE a = '6BA7B810-9DAD-11D1-80B4-00C04FD430C8'",
            vec![cell(first, "6ba7b8109dad11d180b400c04fd430c8")],
        ),
        ("SELECT a FROM t WHERE a = 99999999999999999999", vec![]),
    ];
    for (text, cells) in rows {
        assert_eq!(part(text).literals, cells, "{text}");
    }
}

#[test]
fn long_lists_keep_few_literals() {
    let list = (0..1000).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let part = part(&format!("SELECT a FROM t WHERE id IN ({list}) AND b = 'x'"));
    assert_eq!(part.literals.len(), 32);
    assert!(part.literals.iter().all(|cell| cell.slot == LITERAL_SLOT_FIRST));
    assert!(part.parser_text.ends_with("IN ($32768) AND b = $32769"), "{}", part.parser_text);
}

#[test]
fn parameters_of_a_list_share_a_slot() {
    let list = (3..=500).map(|n| format!("${n}::int")).collect::<Vec<_>>().join(", ");
    let read = part(&format!("SELECT a FROM t WHERE b = $1 AND id IN ($2, {list})"));
    assert_eq!(read.shared_slots, [SharedSlot { first: 3, last: 500, slot: 2 }]);
    assert_eq!([1, 2, 3, 500, 501].map(|n| read.slot_of(n)), [1, 2, 2, 2, 501]);
    let rows = part("INSERT INTO t VALUES ($1,$2),($3,$4)");
    assert_eq!([1, 2, 3, 4].map(|n| rows.slot_of(n)), [1, 2, 1, 2]);
}

#[test]
fn parameters_beyond_the_slots_stay_below_the_literals() {
    let read = part("SELECT $65535, $99999999999, 'x'");
    assert_eq!(read.parser_text, "SELECT $32767, $32767, $32768");
}

#[test]
fn texts_split_at_their_semicolons() {
    let rows: &[(&str, &[&str])] = &[
        ("", &[]),
        (" ; /* x */ ;; -- y", &[]),
        ("SELECT 1; SELECT 2", &["SELECT ?", "SELECT ?"]),
        ("BEGIN; ;COMMIT;", &["BEGIN", "COMMIT"]),
        ("SELECT ';'; SELECT $$;$$, \";\"", &["SELECT ?", "SELECT ?, \";\""]),
        (
            "CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2); SELECT 3",
            &["CREATE RULE r AS ON INSERT TO t DO (SELECT ?; SELECT ?)", "SELECT ?"],
        ),
        (
            "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; SELECT 2; END; SELECT 3",
            &[
                "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN ? END; SELECT ?; END",
                "SELECT ?",
            ],
        ),
    ];
    for (text, wanted) in rows {
        let parts = info(text).parts;
        let redacted: Vec<&str> = parts.iter().map(|part| part.redacted.as_str()).collect();
        assert_eq!(redacted, *wanted, "{text}");
    }
}

#[test]
fn statements_have_a_class_and_an_operation() {
    use Class::{Catalogue, Control, Other, Read, Write};
    use Operation as Op;
    let rows = [
        ("BEGIN", Control, Op::Transaction),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", Control, Op::Transaction),
        ("commit", Control, Op::Transaction),
        ("ROLLBACK TO SAVEPOINT x", Control, Op::Transaction),
        ("RELEASE x", Control, Op::Transaction),
        ("PREPARE TRANSACTION 'x'", Control, Op::Transaction),
        ("SET search_path TO x", Control, Op::Utility),
        ("SHOW transaction_read_only", Control, Op::Utility),
        ("DISCARD ALL", Control, Op::Utility),
        ("CLOSE ALL", Control, Op::Utility),
        ("UNLISTEN *", Control, Op::Utility),
        ("SELECT 1", Control, Op::Select),
        ("SELECT 1 AS ok", Control, Op::Select),
        ("select version()", Control, Op::Select),
        ("select pg_catalog.version()", Control, Op::Select),
        ("select current_schema()", Control, Op::Select),
        ("SELECT pg_advisory_unlock_all()", Control, Op::Select),
        ("SELECT 1 FROM t", Read, Op::Select),
        ("SELECT 1 + a", Read, Op::Select),
        ("SELECT nextval('x')", Read, Op::Select),
        ("(SELECT a FROM t) UNION SELECT 1", Read, Op::Select),
        ("VALUES (1)", Control, Op::Select),
        ("TABLE orders", Read, Op::Select),
        ("FETCH 10 FROM c", Read, Op::Select),
        ("SELECT a INTO b FROM t", Write, Op::Select),
        ("SELECT (SELECT 1 FROM t)", Read, Op::Select),
        ("INSERT INTO t VALUES (1)", Write, Op::Insert),
        ("UPDATE t SET a = 1", Write, Op::Update),
        ("DELETE FROM t", Write, Op::Delete),
        ("MERGE INTO t USING s ON true WHEN MATCHED THEN DELETE", Write, Op::Merge),
        ("WITH a AS (SELECT 1) SELECT * FROM a", Read, Op::Select),
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", Write, Op::Select),
        (
            "WITH a AS MATERIALIZED (SELECT 1 FROM t) INSERT INTO b SELECT * FROM a",
            Write,
            Op::Insert,
        ),
        ("WITH a AS (SELECT 1 FROM pg_class) SELECT * FROM a", Catalogue, Op::Select),
        ("SELECT relname FROM pg_class", Catalogue, Op::Select),
        ("SELECT * FROM \"pg_catalog\".pg_type", Catalogue, Op::Select),
        ("SELECT * FROM INFORMATION_SCHEMA.tables", Catalogue, Op::Select),
        ("SELECT a FROM t WHERE b = 1::pg_catalog.int4", Read, Op::Select),
        ("SELECT a FROM t WHERE b OPERATOR(pg_catalog.=) 1", Read, Op::Select),
        ("SELECT pg_sleep(1), a FROM t", Read, Op::Select),
        ("SELECT pg_catalog.now(), a FROM t", Read, Op::Select),
        ("SELECT * FROM pg_stat_activity", Catalogue, Op::Select),
        ("SELECT * FROM pg_orders", Read, Op::Select),
        ("SELECT t.pg_type FROM t", Read, Op::Select),
        ("INSERT INTO t SELECT * FROM pg_class", Write, Op::Insert),
        ("COPY t FROM STDIN", Other, Op::Copy),
        ("CREATE TABLE t (a int)", Other, Op::Ddl),
        ("TRUNCATE t", Other, Op::Ddl),
        ("EXPLAIN SELECT 1", Other, Op::Utility),
        ("LOCK TABLE t", Other, Op::Utility),
        ("CALL p()", Other, Op::Utility),
        ("frobnicate", Other, Op::Other),
        ("\"select\" 1", Other, Op::Other),
    ];
    for (text, class, operation) in rows {
        let part = part(text);
        assert_eq!((part.class, part.operation), (class, operation), "{text}");
    }
    let release = info("SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;").parts;
    assert_eq!(release.len(), 4);
    assert!(release.iter().all(|part| part.class == Control));
}

#[test]
fn what_cannot_be_read_shows_nothing() {
    for text in
        ["SELECT 'secret", "SELECT 1; SELECT 2 /* secret", "SELECT \"secret", "DO $$ secret $"]
    {
        let parts = info(text).parts;
        let [part] = &parts[..] else { panic!("{text}") };
        assert!(!part.readable && part.shape != 0, "{text}");
        assert_eq!((part.redacted.as_str(), part.parser_text.as_str()), ("", ""), "{text}");
        assert!(part.literals.is_empty(), "{text}");
    }
    assert_eq!(part("SELECT 'a").shape, part("SELECT 'b c").shape);
    assert_ne!(part("SELECT 'a").shape, part("DELETE 'a").shape);
}

#[test]
fn cut_texts_end_before_their_last_token() {
    let rows = [
        ("SELECT a FROM t WHERE b = 'secre", "SELECT a FROM t WHERE b ="),
        ("SELECT a FROM t WHERE b = 12", "SELECT a FROM t WHERE b ="),
        ("SELECT a FROM t WHERE b = 12 ", "SELECT a FROM t WHERE b = ?"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'secre", "INSERT INTO t VALUES (…)"),
    ];
    for (text, wanted) in rows {
        let parts = read_cut(text.as_bytes(), &salt()).parts;
        assert_eq!(parts[0].redacted, wanted, "{text}");
        assert!(parts[0].readable);
    }
}

#[test]
fn names_that_are_not_utf8_are_shown_lossily_and_told_apart() {
    let read = |bytes: &[u8]| read(bytes, &salt()).parts.remove(0);
    let (one, two) = (read(b"SELECT \xe4 FROM t"), read(b"SELECT \xf6 FROM t"));
    assert_eq!(one.redacted, "SELECT \u{fffd} FROM t");
    assert_ne!(one.shape, two.shape);
    let literal = read(b"SELECT a FROM t WHERE b = '\xe4'");
    assert_eq!(literal.literals, vec![salt().literal_string(LITERAL_SLOT_FIRST, b"\xe4").unwrap()]);
}

#[test]
fn slots_tell_arrangements_of_one_shape_apart() {
    let texts = ["a = $1 AND b = $2", "a = $2 AND b = $1", "a = 1 AND b = $1", "a = $1 AND b = 1"];
    let parts = texts.map(|text| part(&format!("SELECT 1 FROM t WHERE {text}")));
    for (at, one) in parts.iter().enumerate() {
        let same = |other: &Part| (other.shape == one.shape, other.arrangement == one.arrangement);
        assert_eq!(parts[0].shape, one.shape, "{}", texts[at]);
        assert!(parts[..at].iter().map(same).all(|same| same == (true, false)), "{}", texts[at]);
    }
    let literal = |value: &str| part(&format!("SELECT a FROM t WHERE b = {value}")).arrangement;
    assert_eq!(literal("1"), literal("'x'"));
}

#[test]
fn tags_come_with_the_text_and_leave_the_shape() {
    let read = info(
        "SELECT a FROM t /*route='%2Fx',traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'*/",
    );
    assert_eq!(read.tags.route.as_deref(), Some("/x"));
    assert_eq!(read.parts[0].shape, part("SELECT a FROM t").shape);
}

#[test]
fn cutting_respects_characters() {
    assert_eq!(cut("äöü", 3), "ä");
    assert_eq!(cut("abc", 8), "abc");
    assert_eq!(cut("ä", 0), "");
}

//! Rules of table 4.3, spelled as psql, Alembic, Django and Rails do.

use super::*;

const TABLE: &str = "CREATE TABLE orders (id int PRIMARY KEY, customer_id int)";
const READ: &str = "SELECT id, customer_id FROM orders";

fn ddl(sql: &str, transaction: u32, us: u64) -> Exec<'_> {
    Exec { sql, transaction, us, tag: Tag::Other, ..Exec::default() }
}

/// A table of 5,000 rows that session 2 uses, and a session 1 with a lock_timeout.
fn shop() -> Stream {
    let mut stream = Stream::new(Limits::default());
    let read = Exec { sql: READ, rows: Some(5_000), transaction: 0, ..Exec::default() };
    stream.exec(Exec { session: 2, ..read });
    stream.exec(ddl("SET lock_timeout TO '2s'", 0, 100));
    stream
}

fn rules(stream: &mut Stream) -> Vec<&'static str> {
    let mut rules: Vec<&str> =
        all(stream, Kind::LockHazard).iter().filter_map(|finding| finding.rule).collect();
    rules.sort_unstable();
    rules
}

#[test]
fn each_rule_and_its_safe_form() {
    for (sql, expected) in [
        ("CREATE INDEX orders_c ON orders (customer_id)", Some("index_not_concurrent")),
        ("CREATE INDEX CONCURRENTLY orders_c ON orders (customer_id)", None),
        (
            "CREATE INDEX \"shop_order_customer_id_5a\" ON \"orders\" (\"customer_id\")",
            Some("index_not_concurrent"),
        ),
        ("CREATE INDEX CONCURRENTLY \"index_orders\" ON \"orders\" (\"customer_id\")", None),
        ("DROP INDEX orders_c", Some("index_not_concurrent")),
        ("DROP INDEX CONCURRENTLY orders_c", None),
        ("REINDEX TABLE orders", Some("index_not_concurrent")),
        ("REINDEX TABLE CONCURRENTLY orders", None),
        (
            "ALTER TABLE orders ADD CONSTRAINT f FOREIGN KEY(customer_id) REFERENCES customers (id)",
            Some("constraint_validates"),
        ),
        (
            "ALTER TABLE \"orders\" ADD CONSTRAINT \"fk_rails_1\" FOREIGN KEY (\"customer_id\") REFERENCES \
             \"customers\" (\"id\") NOT VALID",
            None,
        ),
        (
            "ALTER TABLE \"orders\" ADD CONSTRAINT \"f\" FOREIGN KEY (\"customer_id\") REFERENCES \"customers\" \
             (\"id\") DEFERRABLE INITIALLY DEFERRED",
            Some("constraint_validates"),
        ),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0)", Some("constraint_validates")),
        ("ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0) NOT VALID", None),
        ("ALTER TABLE orders VALIDATE CONSTRAINT c", None),
        ("ALTER TABLE orders ADD CONSTRAINT u UNIQUE (customer_id)", Some("unique_builds_index")),
        ("ALTER TABLE orders ADD PRIMARY KEY (id)", Some("unique_builds_index")),
        ("ALTER TABLE orders ADD CONSTRAINT u UNIQUE USING INDEX orders_u", None),
        ("ALTER TABLE orders ALTER COLUMN customer_id SET NOT NULL", Some("set_not_null")),
        ("ALTER TABLE orders ALTER COLUMN customer_id DROP NOT NULL", None),
        (
            "ALTER TABLE orders ADD COLUMN k uuid DEFAULT gen_random_uuid()",
            Some("volatile_default"),
        ),
        ("ALTER TABLE orders ADD COLUMN k bigserial", Some("volatile_default")),
        ("ALTER TABLE orders ADD COLUMN k timestamptz DEFAULT now() NOT NULL", None),
        ("ALTER TABLE orders ADD COLUMN k timestamptz DEFAULT CURRENT_TIMESTAMP", None),
        ("ALTER TABLE \"orders\" ADD COLUMN \"k\" integer DEFAULT 0 NOT NULL", None),
        ("ALTER TABLE orders ADD COLUMN k text", None),
        ("ALTER TABLE orders ALTER COLUMN id TYPE BIGINT", Some("type_change")),
        (
            "ALTER TABLE \"orders\" ALTER COLUMN \"id\" TYPE bigint USING \"id\"::bigint",
            Some("type_change"),
        ),
        ("ALTER TABLE orders ALTER COLUMN name TYPE VARCHAR(200)", None),
        ("ALTER TABLE orders ALTER COLUMN name TYPE text", None),
        ("ALTER TABLE orders ALTER COLUMN name TYPE text USING name::text", Some("type_change")),
        ("ALTER TABLE orders RENAME COLUMN customer_id TO buyer_id", Some("rename")),
        ("ALTER TABLE orders RENAME TO purchases", Some("rename")),
        ("ALTER TABLE orders RENAME CONSTRAINT a TO b", None),
        ("ALTER TABLE orders DROP COLUMN customer_id", Some("drop")),
        ("DROP TABLE orders", Some("drop")),
        ("DROP VIEW recent_orders", None),
        ("ALTER TABLE customers DROP COLUMN fax", None), // nobody else was seen to use it
    ] {
        let mut stream = shop();
        stream.exec(ddl(sql, 0, 20_000));
        let rules = rules(&mut stream);
        assert_eq!(rules, expected.into_iter().collect::<Vec<_>>(), "{sql}");
    }
}

#[test]
fn what_the_text_does_not_say_is_claimed_once_the_lock_was_held() {
    let longer = "ALTER TABLE orders ALTER COLUMN name TYPE VARCHAR(200)";
    let not_null = "ALTER TABLE orders ALTER COLUMN name SET NOT NULL";
    for (name, sql, validated, us, fires) in [
        ("a longer varchar, at once", longer, false, 99_999, false),
        ("a varchar that took its time", longer, false, 100_000, true),
        ("NOT NULL with a validated CHECK", not_null, true, 1_000, false),
        ("NOT NULL without one", not_null, false, 1_000, true),
    ] {
        let mut stream = shop();
        if validated {
            stream.exec(ddl("ALTER TABLE orders VALIDATE CONSTRAINT name_not_null", 0, 900));
        }
        stream.exec(ddl(sql, 0, us));
        assert_eq!(!rules(&mut stream).is_empty(), fires, "{name}");
    }
}

#[test]
fn severity_and_proof_follow_the_time_that_the_lock_was_held() {
    for (us, severity, proof) in [
        (99_999, Severity::Warning, Proof::Text),
        (100_000, Severity::Warning, Proof::Observed),
        (999_999, Severity::Warning, Proof::Observed),
        (1_000_000, Severity::Error, Proof::Observed),
    ] {
        let mut stream = shop();
        stream.exec(ddl("CREATE INDEX orders_c ON orders (customer_id)", 0, us));
        let finding = found(&mut stream, Kind::LockHazard).unwrap();
        assert_eq!((finding.severity, finding.proof), (severity, proof), "{us}");
        assert_eq!(finding.sentence.starts_with("Candidate: "), proof == Proof::Text, "{us}");
    }
}

#[test]
fn size_decides_where_the_lock_was_short() {
    for (rows, severity) in [(999, Severity::Info), (1_000, Severity::Warning)] {
        let mut stream = Stream::new(Limits::default());
        let read = Exec { sql: READ, rows: Some(rows), transaction: 0, ..Exec::default() };
        stream.exec(read);
        stream.exec(ddl("CREATE INDEX orders_c ON orders (customer_id)", 0, 20_000));
        assert_eq!(found(&mut stream, Kind::LockHazard).unwrap().severity, severity, "{rows}");
    }
}

#[test]
fn new_tables_are_exempt() {
    let index = "CREATE INDEX orders_c ON orders (customer_id)";
    let insert = Exec {
        sql: "INSERT INTO orders (id) VALUES (1), (2)",
        rows: Some(2),
        tag: Tag::Insert,
        transaction: 0,
        ..Exec::default()
    };
    let mut same = Stream::new(Limits::default());
    same.begin(1, 1);
    same.exec(ddl(TABLE, 1, 900));
    same.exec(Exec { transaction: 1, rows: Some(50_000), ..insert });
    same.exec(ddl(index, 1, 2_000_000));
    same.commit(1, 1);
    assert_eq!(rules(&mut same), [""; 0], "made in the same transaction");

    let mut empty = Stream::new(Limits::default());
    empty.exec(ddl(TABLE, 0, 900));
    empty.exec(ddl(index, 0, 900));
    assert_eq!(rules(&mut empty), [""; 0], "empty");

    let mut small = Stream::new(Limits::default());
    small.exec(ddl(TABLE, 0, 900));
    small.exec(insert);
    small.exec(ddl(index, 0, 2_000_000));
    let finding = found(&mut small, Kind::LockHazard).unwrap();
    assert_eq!(finding.severity, Severity::Info, "small");

    let temporary = TABLE.replace("CREATE", "CREATE TEMPORARY");
    let mut own = Stream::new(Limits::default());
    own.exec(ddl(&temporary, 0, 900));
    own.exec(Exec { rows: Some(50_000), ..insert });
    own.exec(ddl(index, 0, 900));
    assert_eq!(rules(&mut own), [""; 0], "temporary");

    let maybe = TABLE.replace("TABLE", "TABLE IF NOT EXISTS");
    let mut there = Stream::new(Limits::default());
    there.exec(ddl(&maybe, 0, 900));
    there.exec(ddl(index, 0, 900));
    assert_eq!(rules(&mut there), ["index_not_concurrent"], "it may have been there before");

    let mut large = Stream::new(Limits::default());
    large.exec(ddl(TABLE, 0, 900));
    large.exec(Exec { rows: Some(1_000), ..insert });
    large.exec(ddl(index, 0, 900));
    assert_eq!(found(&mut large, Kind::LockHazard).unwrap().severity, Severity::Warning, "filled");
}

#[test]
fn a_lock_lasts_to_the_end_of_its_transaction_and_counts_who_waited() {
    let mut stream = shop();
    stream.begin(1, 1);
    stream.exec(ddl("ALTER TABLE orders ADD CONSTRAINT c CHECK (id > 0)", 1, 10_000));
    let locked_us = stream.now;
    // another statement of the migration: half a second
    stream.exec(ddl("UPDATE customers SET name = 'x'", 1, 500_000));
    let read = Exec { sql: READ, rows: Some(1), transaction: 0, ..Exec::default() };
    // began while it was locked, ended when it was free
    stream.exec(Exec { session: 3, us: 5_000, ..read });
    stream.commit(1, 1);
    let held_us = stream.now - (locked_us - 10_000);
    stream.exec(Exec { session: 2, us: 5_000, ..read });
    let finding = found(&mut stream, Kind::LockHazard).unwrap();
    assert_eq!(*evidence(&finding, "other_sessions"), EvidenceValue::Count(1));
    assert_eq!(*evidence(&finding, "held_ms"), EvidenceValue::Number(held_us as f64 / 1_000.0));
    assert_eq!(finding.cost.saved_high_ms, held_us as f64 / 1_000.0);
    assert_eq!(finding.proof, Proof::Observed);
    assert!(finding.sentence.ends_with("and 1 other session used the table meanwhile."));
}

#[test]
fn lock_timeouts_by_session_and_transaction() {
    let drop = "ALTER TABLE orders ALTER COLUMN name DROP NOT NULL";
    for (name, before, transaction, fires) in [
        ("none", &[][..], 0, true),
        ("of the session", &["SET lock_timeout = '2s'"], 0, false),
        ("Rails", &["SET lock_timeout TO 5000"], 0, false),
        ("switched off", &["SET lock_timeout = '2s'", "SET lock_timeout = 0"], 0, true),
        ("default", &["SET lock_timeout = '2s'", "SET lock_timeout TO DEFAULT"], 0, true),
        ("reset", &["SET lock_timeout = '2s'", "RESET lock_timeout"], 0, true),
        ("reset all", &["SET lock_timeout = '2s'", "DISCARD ALL"], 0, true),
        ("another setting", &["SET statement_timeout = '2s'"], 0, true),
        ("of this transaction", &["SET LOCAL lock_timeout = '2s'"], 4, false),
    ] {
        let mut stream = Stream::new(Limits::default());
        before.iter().for_each(|sql| stream.exec(ddl(sql, transaction, 100)));
        stream.exec(ddl(drop, transaction, 900));
        stream.commit(1, transaction);
        let expected: &[&str] = if fires { &["no_lock_timeout"] } else { &[] };
        assert_eq!(rules(&mut stream), expected, "{name}");
    }
    let mut stream = Stream::new(Limits::default());
    stream.exec(ddl("SET LOCAL lock_timeout = '2s'", 4, 100));
    stream.commit(1, 4);
    stream.exec(ddl(drop, 5, 900));
    stream.commit(1, 5);
    assert_eq!(rules(&mut stream), ["no_lock_timeout"], "of an earlier transaction");
}

#[test]
fn a_failed_change_is_no_hazard() {
    let mut stream = shop();
    let index = ddl("CREATE INDEX orders_c ON orders (customer_id)", 0, 2_000_000);
    stream.exec(Exec { outcome: Outcome::Error, ..index });
    assert_eq!(rules(&mut stream), [""; 0]);
}

use super::*;
use crate::facts::{Predicate, StatementFacts};
use crate::text::{self, Class, LITERAL_SLOT_FIRST, Part};
use crate::value::Salt;

fn part(text: &str) -> Part {
    let mut parts = text::read(text.as_bytes(), &Salt::new(1, 2)).parts;
    assert_eq!(parts.len(), 1, "{text}");
    parts.remove(0)
}

fn analysed(text: &str) -> Analysed {
    let part = part(text);
    Grammar::new().analyse(&part.parser_text).unwrap_or_else(|| panic!("{}", part.parser_text))
}

fn facts(text: &str) -> StatementFacts {
    analysed(text).facts.unwrap_or_else(|| panic!("no tree: {text}"))
}

fn relation(facts: &StatementFacts, at: usize) -> String {
    let relation = &facts.relations[at];
    relation.alias.clone().unwrap_or_else(|| relation.name.clone())
}

fn slot(slot: u16) -> String {
    match slot.checked_sub(LITERAL_SLOT_FIRST) {
        Some(literal) => format!("L{literal}"),
        None => slot.to_string(),
    }
}

/// `orders.id Eq 1`; an inner one in parentheses.
fn predicate(facts: &StatementFacts, predicate: &Predicate) -> String {
    let column = format!("{}.{}", relation(facts, predicate.relation), predicate.column);
    let mut text = format!("{column} {:?}", predicate.class);
    for value in &predicate.slots {
        text += &format!(" {}", slot(*value));
    }
    if let Some((other, column)) = &predicate.join {
        text += &format!(" {}.{column}", relation(facts, *other));
    }
    if predicate.top_level { text } else { format!("({text})") }
}

/// Predicates and the number of residuals.
fn predicates(text: &str) -> String {
    let facts = facts(text);
    let mut words: Vec<String> = facts.predicates.iter().map(|p| predicate(&facts, p)).collect();
    if facts.residuals > 0 {
        words.push(format!("residual {}", facts.residuals));
    }
    words.join(", ")
}

/// Spellings of drivers and ORMs, then every rule: text and its predicates.
const PREDICATES: &[(&str, &str)] = &[
    // SQLAlchemy over asyncpg and psycopg2, Django, Rails, Hibernate, Prisma, Sequelize, TypeORM
    (
        "SELECT customers.id AS customers_id, customers.name AS customers_name \nFROM customers \nWHERE customers.id = $1::INTEGER",
        "customers.id Eq 1",
    ),
    (
        "SELECT orders.id AS orders_id FROM orders WHERE orders.customer_id IN ($1::INTEGER, $2::INTEGER)",
        "orders.customer_id In 1",
    ),
    (
        "SELECT \"shop_order\".\"id\", \"shop_order\".\"at\" FROM \"shop_order\" WHERE \"shop_order\".\"id\" = 5 LIMIT 21",
        "shop_order.id Eq L0",
    ),
    (
        "SELECT \"o\".\"id\" FROM \"o\" INNER JOIN \"c\" ON (\"o\".\"c_id\" = \"c\".\"id\") WHERE UPPER(\"c\".\"name\"::text) = UPPER('x')",
        "o.c_id Join c.id, c.id Join o.c_id, c.name Expr L0",
    ),
    ("SELECT \"orders\".* FROM \"orders\" WHERE \"orders\".\"id\" = $1 LIMIT $2", "orders.id Eq 1"),
    (
        "select o1_0.id,o1_0.customer_id from orders o1_0 where o1_0.customer_id=$1",
        "o1_0.customer_id Eq 1",
    ),
    (
        "SELECT \"public\".\"Order\".\"id\" FROM \"public\".\"Order\" WHERE (\"public\".\"Order\".\"id\" = $1 AND 1=1) LIMIT $2 OFFSET $3",
        "Order.id Eq 1",
    ),
    (
        "SELECT \"id\" FROM \"Orders\" AS \"Order\" WHERE \"Order\".\"CustomerId\" = '5038' AND \"Order\".\"deletedAt\" IS NULL",
        "Order.CustomerId Eq L0, Order.deletedAt Null",
    ),
    (
        "SELECT DISTINCT \"distinctAlias\".\"O_id\" AS \"ids\" FROM (SELECT \"O\".\"id\" AS \"O_id\" FROM \"orders\" \"O\" WHERE \"O\".\"cid\" = $1) \"distinctAlias\" LIMIT 1",
        "(O.cid Eq 1)",
    ),
    // equality
    ("SELECT a FROM t WHERE $1 = b", "t.b Eq 1"),
    ("SELECT a FROM t WHERE b IS NOT DISTINCT FROM $1", "t.b Eq 1"),
    ("SELECT a FROM t WHERE (b, c) = ($1, 'x')", "t.b Eq 1, t.c Eq L0"),
    ("SELECT a FROM t WHERE active", "t.active Eq"),
    ("SELECT a FROM t WHERE NOT active AND b IS TRUE", "t.active Eq, t.b Eq"),
    ("SELECT a FROM t WHERE b = true", "t.b Eq"),
    ("SELECT a FROM t WHERE b = now()", "t.b Eq"),
    ("SELECT a FROM t WHERE b = (SELECT max(c) FROM u)", "t.b Eq"),
    ("SELECT a FROM t WHERE CAST($1 AS int) = b", "t.b Eq 1"),
    // lists
    ("SELECT a FROM t WHERE b IN ($1)", "t.b In 1"),
    ("SELECT a FROM t WHERE b IN (1, 2, 3) AND c = 4", "t.b In L0, t.c Eq L1"),
    ("SELECT a FROM t WHERE b = ANY($1::int[])", "t.b In 1"),
    ("SELECT a FROM t WHERE b = ANY(ARRAY[1, 2])", "t.b In L0"),
    ("SELECT a FROM t WHERE (b, c) IN ((1, $2), (3, $4))", "t.b In L0, t.c In 2"),
    ("SELECT a FROM t WHERE b NOT IN (1, 2) AND c <> ALL($1)", "residual 2"),
    // ranges
    ("SELECT a FROM t WHERE b > $1 AND $2 >= b", "t.b Range 1, t.b Range 2"),
    ("SELECT a FROM t WHERE b BETWEEN $1 AND 9", "t.b Range 1 L0"),
    ("SELECT a FROM t WHERE $1 BETWEEN b AND c", "t.b Range 1, t.c Range 1"),
    ("SELECT a FROM t WHERE b NOT BETWEEN 1 AND 2", "residual 1"),
    ("SELECT a FROM t WHERE (b, c) < ($1, $2)", "t.b Range 1, t.c Range 2"),
    ("SELECT a FROM t WHERE b > now() - $1::interval", "t.b Range 1"),
    // patterns
    ("SELECT a FROM t WHERE b LIKE $1", "t.b LikeInfix 1"),
    ("SELECT a FROM t WHERE b LIKE 'x%'", "t.b LikePrefix L0"),
    ("SELECT a FROM t WHERE b LIKE '%x'", "t.b LikeInfix L0"),
    ("SELECT a FROM t WHERE b ILIKE 'x%'", "t.b LikeInfix L0"),
    ("SELECT a FROM t WHERE b NOT LIKE 'x%'", "residual 1"),
    ("SELECT a FROM t WHERE b ~* $1", "t.b LikeInfix 1"),
    ("SELECT a FROM t WHERE starts_with(b, $1)", "t.b LikePrefix 1"),
    ("SELECT a FROM t WHERE b ^@ $1", "t.b LikePrefix 1"),
    // documents, expressions, nulls
    (
        "SELECT a FROM t WHERE b @> $1 AND c ? 'k' AND $2 <@ d",
        "t.b Json 1, t.c Json L0, t.d Json 2",
    ),
    ("SELECT a FROM t WHERE lower(b) = $1", "t.b Expr 1"),
    ("SELECT a FROM t WHERE b::date = $1 AND c + 1 = $2", "t.b Expr 1, t.c Expr 2"),
    ("SELECT a FROM t WHERE b->>'k' = 'v'", "t.b Expr L1"),
    ("SELECT a FROM t WHERE coalesce(b, c) = $1", "t.b Expr 1"),
    (
        "SELECT a FROM t WHERE b IS NULL AND c IS NOT NULL AND NOT (d IS NULL)",
        "t.b Null, t.c Null, t.d Null",
    ),
    // nothing to hold on to
    ("SELECT a FROM t WHERE b <> $1 AND b != c", "residual 2"),
    ("SELECT a FROM t WHERE b = c", "residual 1"),
    ("SELECT a FROM t WHERE f(b) AND 1 = 1 AND true", "residual 1"),
    ("SELECT a FROM t WHERE NOT (b = $1)", "residual 1"),
    ("SELECT a FROM t, u WHERE b = $1", ""),
    ("SELECT a FROM f($1) x WHERE x.b = $2", ""),
    ("SELECT a FROM t WHERE u.b = $1", ""),
    ("SELECT a FROM t WHERE $1 = ANY(b)", "residual 1"),
    ("SELECT a FROM t WHERE b = $1 OR c = $2", "(t.b Eq 1), (t.c Eq 2)"),
    ("SELECT a FROM t WHERE d = $3 AND (b = $1 OR b IS NULL)", "t.d Eq 3, (t.b Eq 1), (t.b Null)"),
    // joins
    ("SELECT 1 FROM a JOIN b ON a.x = b.y WHERE b.z = $1", "a.x Join b.y, b.y Join a.x, b.z Eq 1"),
    ("SELECT 1 FROM a, b WHERE a.x = b.y", "a.x Join b.y, b.y Join a.x"),
    (
        "SELECT 1 FROM a LEFT JOIN b ON b.y = a.x AND b.k = 7",
        "b.y Join a.x, a.x Join b.y, b.k Eq L1",
    ),
    ("SELECT 1 FROM a JOIN b USING (x)", "a.x Join b.x, b.x Join a.x"),
    ("SELECT 1 FROM a JOIN b USING (x) JOIN c USING (y)", "a.x Join b.x, b.x Join a.x, c.y Join"),
    ("SELECT 1 FROM t a JOIN t b ON a.x = b.y", "a.x Join b.y, b.y Join a.x"),
    ("SELECT 1 FROM a JOIN b ON a.x + 1 = b.y", "residual 1"),
    // sub-queries
    (
        "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE d = $1)",
        "t.b Join u.c, (u.c Join t.b), (u.d Eq 1)",
    ),
    ("SELECT a FROM t WHERE b NOT IN (SELECT c FROM u)", "residual 1"),
    (
        "SELECT a FROM t WHERE EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id AND u.k = $1)",
        "(u.t_id Join t.id), (t.id Join u.t_id), (u.k Eq 1)",
    ),
    (
        "SELECT (SELECT b FROM u WHERE u.id = t.u_id) FROM t WHERE t.k = $1",
        "t.k Eq 1, (u.id Join t.u_id), (t.u_id Join u.id)",
    ),
    (
        "WITH c AS (SELECT id FROM t WHERE k = $1) SELECT * FROM c JOIN u ON u.t_id = c.id",
        "(t.k Eq 1), u.t_id Join",
    ),
    (
        "WITH RECURSIVE c AS (SELECT id FROM t WHERE k = $1 UNION ALL SELECT t.id FROM t JOIN c ON t.up = c.id) SELECT * FROM c",
        "(t.k Eq 1), (t.up Join)",
    ),
    ("SELECT a FROM t WHERE b = $1 UNION ALL SELECT a FROM u WHERE c = $2", "t.b Eq 1, u.c Eq 2"),
    (
        "SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.t_id = t.id LIMIT 3) x",
        "(u.t_id Join t.id), (t.id Join u.t_id)",
    ),
    // writes
    ("UPDATE t SET a = $1, b = b + 1 WHERE id = $2", "t.id Eq 2"),
    (
        "UPDATE t SET a = u.a FROM u WHERE u.id = t.u_id AND t.k = 5",
        "u.id Join t.u_id, t.u_id Join u.id, t.k Eq L0",
    ),
    ("DELETE FROM t WHERE id = 5", "t.id Eq L0"),
    (
        "DELETE FROM t USING u WHERE t.u_id = u.id AND u.k = $1",
        "t.u_id Join u.id, u.id Join t.u_id, u.k Eq 1",
    ),
    ("INSERT INTO t (a) SELECT b FROM u WHERE c = $1", "u.c Eq 1"),
    ("INSERT INTO t (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = 1", ""),
    (
        "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = 1",
        "t.id Join u.id, u.id Join t.id",
    ),
    ("DECLARE c CURSOR FOR SELECT a FROM t WHERE b = 5", "t.b Eq L0"),
];

#[test]
fn conditions_become_predicates() {
    assert!(PREDICATES.len() >= 60);
    for (text, wanted) in PREDICATES {
        assert_eq!(predicates(text), *wanted, "{text}");
    }
}

/// Relations, output columns, order and flags.
fn outline(text: &str) -> String {
    let facts = facts(text);
    let relations: Vec<String> = (facts.relations.iter())
        .map(|relation| match &relation.schema {
            Some(schema) => format!("{schema}.{}", relation.name),
            None => relation.name.clone(),
        })
        .collect();
    let column = |c: &crate::facts::TargetColumn| {
        format!("{}:{}.{}", c.position, relation(&facts, c.relation), c.column)
    };
    let mut words = vec![facts.operation.name().to_owned(), relations.join("+")];
    words.extend(facts.target_columns.iter().map(column));
    words.extend(facts.order_by.iter().map(|key| format!("by {}", column(key))));
    words.extend(facts.star_of.map(|at| format!("star {}", relation(&facts, at))));
    let flags = [
        (facts.writes, "writes"),
        (facts.has_from, "from"),
        (facts.aggregate, "aggregate"),
        (facts.grouped, "grouped"),
        (facts.locking, "locking"),
        (facts.limited, "limited"),
        (facts.limit_may_exceed_one, "many"),
        (facts.functions_in_targets, "calls"),
    ];
    words.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned()));
    words.retain(|word| !word.is_empty());
    words.join(" ")
}

const OUTLINES: &[(&str, &str)] = &[
    ("SELECT id, t.b AS x, 1, lower(c) FROM s.t", "select s.t 0:t.id 1:t.b from calls"),
    ("SELECT * FROM t", "select t star t from"),
    ("SELECT orders.* FROM orders JOIN c ON true", "select orders+c star orders from"),
    ("SELECT * FROM a JOIN b ON true", "select a+b from"),
    ("SELECT a.id, b.*, a.x FROM a, b", "select a+b 0:a.id from"),
    ("SELECT a.id, b.id FROM t a, t b", "select t+t 0:a.id 1:b.id from"),
    ("SELECT id FROM t UNION SELECT id FROM t", "select t from grouped"),
    ("SELECT count(*), max(a) FROM t", "select t from aggregate"),
    ("SELECT coalesce(sum(a), 0)::int FROM t", "select t from aggregate"),
    ("SELECT EXISTS (SELECT 1 FROM t WHERE a = 1)", "select t from aggregate"),
    ("SELECT 1 AS one FROM t WHERE a = $1 LIMIT 1", "select t from aggregate limited"),
    ("SELECT count(*), a FROM t GROUP BY a", "select t 1:t.a from grouped"),
    ("SELECT DISTINCT a FROM t", "select t 0:t.a from grouped"),
    ("SELECT row_number() OVER () FROM t", "select t from grouped calls"),
    ("SELECT array_agg(a) FROM t", "select t from"),
    ("SELECT a FROM t FOR UPDATE SKIP LOCKED", "select t 0:t.a from locking"),
    ("SELECT a FROM t LIMIT 1", "select t 0:t.a from limited"),
    ("SELECT a FROM t LIMIT 2", "select t 0:t.a from limited many"),
    ("SELECT a FROM t LIMIT $1", "select t 0:t.a from limited many"),
    ("SELECT a FROM t LIMIT ALL", "select t 0:t.a from"),
    ("SELECT a FROM t FETCH FIRST ROW ONLY", "select t 0:t.a from limited"),
    ("SELECT a FROM t ORDER BY b DESC, t.c", "select t 0:t.a by 0:t.b by 1:t.c from"),
    (
        "SELECT t.a AS x FROM t JOIN u ON true ORDER BY x, y, lower(t.a)",
        "select t+u 0:t.a by 0:t.a from",
    ),
    ("SELECT 1", "select"),
    ("SELECT now()", "select calls"),
    ("SELECT a FROM generate_series(1, 3) a", "select"),
    ("VALUES (1, 2)", "select"),
    ("SELECT a INTO b FROM t", "select t 0:t.a writes from"),
    ("INSERT INTO t (a) VALUES (1) RETURNING id", "insert t 0:t.id writes"),
    ("WITH c AS (SELECT a FROM u) INSERT INTO t SELECT a FROM c", "insert t+u writes from"),
    ("UPDATE t SET a = 1 RETURNING *", "update t star t writes"),
    ("DELETE FROM t", "delete t writes"),
    ("WITH d AS (DELETE FROM t RETURNING id) SELECT id FROM d", "select t writes"),
    ("MERGE INTO t USING u ON t.a = u.a WHEN MATCHED THEN DELETE", "merge t+u writes from"),
    ("COPY t FROM STDIN", "copy t"),
    ("CREATE TABLE s.t (a varchar(20) DEFAULT 'x')", "ddl s.t"),
    ("ALTER TABLE t ADD COLUMN b int DEFAULT 5", "ddl t"),
    ("CREATE INDEX ON t (a) WITH (fillfactor = 70)", "ddl t"),
    ("TRUNCATE t, u", "ddl t+u"),
    ("BEGIN", "transaction"),
    ("SAVEPOINT s_1", "transaction"),
    ("SET x = 'y'", "utility"),
    ("DO $$ BEGIN END $$", "other"),
];

#[test]
fn statements_have_an_outline() {
    for (text, wanted) in OUTLINES {
        assert_eq!(outline(text), *wanted, "{text}");
    }
}

#[test]
fn functions_are_listed_once_and_bounded() {
    let read = facts("SELECT LOWER(a), lower(b), x.f(g(1)) FROM h(2) WHERE k(a) ORDER BY l(a)");
    assert_eq!(read.functions, ["h", "k", "lower", "f", "g", "l"]);
    let calls: Vec<String> = (0..40).map(|n| format!("f{n}()")).collect();
    assert_eq!(facts(&format!("SELECT {}", calls.join(","))).functions.len(), 16);
    let ands: Vec<String> = (0..90).map(|n| format!("c{n} = $1")).collect();
    assert_eq!(
        facts(&format!("SELECT 1 FROM t WHERE {}", ands.join(" AND "))).predicates.len(),
        64
    );
}

/// Texts in one row mean the same; no two rows do.
const FINGERPRINTS: &[&[&str]] = &[
    &[
        "SELECT a FROM t WHERE id = 5",
        "SELECT a FROM t WHERE id = $1",
        "SELECT a FROM t WHERE id = $7::bigint",
        "select  A from T x where ID = 'x'::text",
        "SELECT a FROM t WHERE id IN (1, 2)",
        "SELECT a FROM t WHERE id IN ($1, $2, $3)",
    ],
    &["SELECT a FROM t WHERE id = 5 AND b = 6", "SELECT a FROM t WHERE id = $2 AND b = $1"],
    &["SELECT a FROM t WHERE id > 5"],
    &["SELECT a FROM u WHERE id = 5"],
    &["SELECT a FROM s.t WHERE id = 5"],
    &["SELECT * FROM users t"],
    &["SELECT * FROM orders t", "SELECT * FROM orders"],
    &["SELECT a FROM t LIMIT 1", "SELECT a FROM t LIMIT $1"],
    &["SELECT a FROM t WHERE b LIKE 'x%'", "SELECT a FROM t WHERE b LIKE $1"],
    &["INSERT INTO t VALUES (1, 2)", "INSERT INTO t VALUES ($1, $2), ($3, $4)"],
    &["SAVEPOINT a", "SAVEPOINT b"],
    &["DECLARE a CURSOR FOR SELECT 1", "DECLARE b CURSOR FOR SELECT 2"],
    &["CREATE ROLE x PASSWORD 'a'", "CREATE ROLE x PASSWORD 'b'"],
];

#[test]
fn fingerprints_group_what_means_the_same() {
    let all: Vec<Vec<u64>> = FINGERPRINTS
        .iter()
        .map(|row| row.iter().map(|text| analysed(text).fingerprint).collect())
        .collect();
    for (i, row) in all.iter().enumerate() {
        for (j, fingerprint) in row.iter().enumerate() {
            assert_eq!(*fingerprint, row[0], "{} / {}", FINGERPRINTS[i][j], FINGERPRINTS[i][0]);
            for (k, other) in all.iter().enumerate().filter(|(k, _)| *k != i) {
                assert!(
                    !other.contains(fingerprint),
                    "{} / {}",
                    FINGERPRINTS[i][j],
                    FINGERPRINTS[k][0]
                );
            }
        }
    }
}

#[test]
fn what_the_parser_refuses_has_no_analysis() {
    let grammar = Grammar::new();
    let long = format!("SELECT {}", "a,".repeat(PARSED_BYTES_MAX));
    for text in ["", "  \n", "frobnicate", "SELECT FROM WHERE", "SELECT \0 1", &long] {
        assert_eq!(grammar.analyse(text), None);
    }
}

#[test]
fn deep_trees_keep_their_fingerprint_or_nothing_but_never_fail() {
    let grammar = Grammar::new();
    for depth in [20, 200, 2_000, 20_000] {
        let nested = format!("SELECT {}1{}", "(".repeat(depth), ")".repeat(depth));
        let chain = format!("SELECT {}1", "1+".repeat(depth));
        for text in [nested, chain] {
            let found = grammar.analyse(&text);
            assert!(found.is_some() || depth > 20, "{depth}");
            if let Some(found) = found {
                assert!(found.facts.is_some_and(|facts| facts.predicates.is_empty()) || depth > 20);
            }
        }
    }
}

/// The parser is its own oracle: what the lexer takes out of a text must not change what the text means.
#[test]
fn the_lexer_takes_out_nothing_that_the_fingerprint_needs() {
    const MORE: &[&str] = &[
        "SELECT DATE '2020-01-01', INTERVAL '1 day', INTERVAL '1' DAY, TIMESTAMP WITH TIME ZONE 'now'",
        "SELECT a::numeric(10,2), CAST(b AS varchar(20)), '5'::numeric(10,2)::text FROM t",
        "SELECT a[1], a[1:2], (a).b, a -1, a - -1, -a, - 5, 2 ^ -1 FROM t",
        "SELECT extract(year FROM a), position('x' IN a), trim(both 'x' FROM a), substring(a FROM 1 FOR 2) FROM t",
        "SELECT a AT TIME ZONE 'UTC', a COLLATE \"C\", CASE a WHEN 1 THEN 'x' ELSE NULL END FROM t",
        "SELECT U&'d!0061' UESCAPE '!', E'a\\'b', B'101', X'1F', $$x$$, 'a'\n'b', 1e5, .5, 0x1F, 1_000",
        "SELECT * FROM t WHERE (a, b) IN ((1, 2), (3, 4)) AND c = ANY('{1,2}'::int[]) AND d IN (-1, 2)",
        "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) v (x, y) JOIN t ON t.x = v.x",
        "SELECT * FROM t TABLESAMPLE bernoulli (5) FETCH FIRST 10 ROWS ONLY",
        "SELECT sum(a) FILTER (WHERE b > 5) OVER (PARTITION BY c ORDER BY d ROWS BETWEEN 1 PRECEDING AND 2 FOLLOWING) FROM t",
        "SELECT a FROM t WHERE b LIKE 'x!%%' ESCAPE '!' OR b SIMILAR TO '(a|b)%'",
        "SELECT json_build_object('k', a) ->> 'k', b #> '{a,b}', c ? 'x' FROM t",
        "INSERT INTO t (a, b) VALUES (1, now()), (2, now()) ON CONFLICT (a) DO UPDATE SET b = excluded.b WHERE t.a > 5",
        "UPDATE t SET (a, b) = (1, 2), c = c + 1 WHERE d BETWEEN -5 AND 5",
        "CREATE TABLE t (a varchar(20) DEFAULT 'x', b numeric(10,2) CHECK (b > 0), c timestamp(3) with time zone)",
        "CREATE USER x WITH PASSWORD 'secret' VALID UNTIL '2030-01-01' CONNECTION LIMIT 5",
        "COMMENT ON TABLE t IS 'secret'",
        "CREATE TYPE mood AS ENUM ('a', 'b')",
        "ALTER TABLE t ALTER a SET DEFAULT -1, ADD CHECK (a IN (1, 2))",
        "COPY t (a, b) FROM '/tmp/x' WITH (FORMAT csv, DELIMITER ',', HEADER true)",
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS $f$ SELECT $1 $f$",
        "FETCH FORWARD 50 FROM c_1",
        "NOTIFY channel_1, 'payload'",
        "PREPARE p_1 (int) AS SELECT * FROM t WHERE a = $1",
        "EXECUTE p_1 (5, 'x')",
        "PREPARE TRANSACTION 'x'",
        "SET statement_timeout = '5s'",
        "SET LOCAL app.tenant = acme",
        "EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM t WHERE a = 5",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "CREATE INDEX CONCURRENTLY i ON t (lower(a)) WITH (fillfactor = 70) WHERE b > 5",
        "CALL p(1, 'x')",
        "DO LANGUAGE plpgsql $$ BEGIN PERFORM 1; END $$",
        "SELECT current_timestamp(1), '{\"a\": [1]}'::jsonb @> '{}'",
    ];
    let tables = PREDICATES.iter().chain(OUTLINES).map(|(text, _)| *text);
    let mode = FingerprintOptions::RANGEVAR_PG17_COMPAT;
    for text in tables
        .chain(FINGERPRINTS.iter().flat_map(|row| row.iter().copied()))
        .chain(MORE.iter().copied())
    {
        let raw =
            pg_query::fingerprint(text, 0, mode).unwrap_or_else(|error| panic!("{error}: {text}"));
        let part = part(text);
        let ours = Grammar::new().analyse(&part.parser_text).map(|found| found.fingerprint);
        // numbers of utility statements are literals to us and settings to the fingerprint
        let utility =
            matches!(part.class, Class::Control | Class::Other) || text.starts_with("FETCH");
        let same = if utility { ours.is_some() } else { ours == Some(raw.value) };
        assert!(
            same,
            "{text}
{}",
            part.parser_text
        );
    }
}

#[test]
fn numbered_tables_keep_their_names() {
    let fingerprint = |text: &str| analysed(text).fingerprint;
    for (name, a, b, same) in [
        ("years", "SELECT a FROM orders_2024", "SELECT a FROM orders_2025", false),
        ("two digits", "SELECT a FROM t10", "SELECT a FROM t11", false),
        ("writes", "INSERT INTO log_01 VALUES (1)", "INSERT INTO log_02 VALUES (1)", false),
        (
            "joins",
            "SELECT 1 FROM a JOIN p_10 b ON true",
            "SELECT 1 FROM a JOIN p_11 b ON true",
            false,
        ),
        ("an alias", "SELECT a FROM orders_2024", "SELECT o.a FROM orders_2024 o", false),
        (
            "the same, other literals",
            "SELECT a FROM t10 WHERE a = 1",
            "SELECT a FROM t10 WHERE a = 2",
            true,
        ),
        ("the same, other case", "select a from t10", "SELECT a FROM T10", true),
        ("no digits", "SELECT a FROM t WHERE a IN (1)", "SELECT a FROM t WHERE a IN (1, 2)", true),
    ] {
        assert_eq!(fingerprint(a) == fingerprint(b), same, "{name}");
    }
}

#[test]
fn slots_of_offset() {
    for (text, slots) in [
        ("SELECT a FROM t LIMIT $1 OFFSET $2", &[2_u16][..]),
        ("SELECT a FROM t LIMIT 5 OFFSET 100", &[LITERAL_SLOT_FIRST + 1]),
        ("SELECT a FROM t OFFSET $1::bigint", &[1]),
        ("SELECT a FROM t OFFSET $1 ROWS FETCH NEXT $2 ROWS ONLY", &[1]),
        ("SELECT a FROM t LIMIT 5", &[]),
        ("SELECT a FROM (SELECT a FROM t OFFSET $1) x", &[]),
    ] {
        assert_eq!(facts(text).skip_slots, slots, "{text}");
    }
}

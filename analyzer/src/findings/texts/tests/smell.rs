//! Rules of table 4.4, with the forms that are none.

use super::*;

fn smells(sql: &str, exec: Exec<'_>) -> Vec<Finding> {
    let mut stream = Stream::new(Limits::default());
    (0..5).for_each(|_| stream.exec(Exec { sql, ..exec }));
    all(&mut stream, Kind::SqlSmell)
}

fn slow() -> Exec<'static> {
    Exec { us: 10_000, rows: Some(10), transaction: 0, ..Exec::default() }
}

/// Text, rule, and the word of the redacted text that it points at.
const TEXTS: &[(&str, Option<(&str, &str)>)] = &[
    ("SELECT id FROM t ORDER BY random() LIMIT 5", Some(("order_by_random", "random()"))),
    ("SELECT id FROM t ORDER BY RANDOM() LIMIT $1", Some(("order_by_random", "RANDOM()"))),
    ("SELECT id FROM t ORDER BY random()", None),
    ("SELECT random() FROM t ORDER BY id LIMIT 5", None),
    ("SELECT id FROM t WHERE name LIKE '%x'", Some(("leading_wildcard", "name LIKE"))),
    ("SELECT id FROM t WHERE name ILIKE '_x%'", Some(("leading_wildcard", "name ILIKE"))),
    ("SELECT id FROM t WHERE name LIKE 'x%'", None),
    ("SELECT id FROM t WHERE name ILIKE 'x%'", None),
    ("SELECT id FROM t WHERE name LIKE $1", None),
    ("SELECT id FROM t WHERE name NOT LIKE '%x'", None),
    ("SELECT id FROM t WHERE owner_id = 5 AND name LIKE '%x'", None),
    ("SELECT id FROM t WHERE lower(name) = 'x'", Some(("function_on_column", "lower(name)"))),
    ("SELECT id FROM t WHERE id IN (1, 2, 3) OR lower(name) = 'x'", None),
    ("SELECT t.id FROM t WHERE date(t.made) = $1", Some(("function_on_column", "date(t.made)"))),
    ("SELECT id FROM t WHERE price + 1 = 10", Some(("function_on_column", "price + ?"))),
    ("SELECT id FROM t WHERE $1 < price * 2", Some(("function_on_column", "price * ?"))),
    ("SELECT id FROM t WHERE price = 10 + 1", None),
    ("SELECT id FROM t WHERE made > now() - interval '1 day'", None),
    ("SELECT lower(name) FROM t WHERE name = 'x'", None),
    ("SELECT id FROM t WHERE id = 1 AND lower(name) = 'x'", None),
    (
        "SELECT id FROM t WHERE id NOT IN (SELECT t_id FROM u)",
        Some(("not_in_subquery", "id NOT IN")),
    ),
    ("SELECT id FROM t WHERE id NOT IN (1, 2, 3)", None),
    ("SELECT id FROM t WHERE id IN (SELECT t_id FROM u)", None),
    ("SELECT id FROM t WHERE NOT EXISTS (SELECT 1 FROM u WHERE u.t_id = t.id)", None),
];

#[test]
fn each_rule_points_at_its_place() {
    for (sql, expected) in TEXTS {
        let findings = smells(sql, slow());
        let rules: Vec<_> = findings.iter().filter_map(|finding| finding.rule).collect();
        let wanted: Vec<_> = expected.iter().map(|(rule, _)| *rule).collect();
        assert_eq!(rules, wanted, "{sql}");
        let (Some(finding), Some((_, word))) = (findings.first(), expected) else { continue };
        let EvidenceValue::Count(offset) = evidence(finding, "offset_bytes") else {
            panic!("{sql}")
        };
        let shown = finding.child.as_ref().unwrap().query_text.clone();
        assert!(shown[*offset as usize..].starts_with(word), "{sql}: {shown} at {offset}");
        assert_eq!(finding.proof, Proof::Text, "{sql}");
        assert!(finding.sentence.starts_with("Candidate: "), "{sql}");
    }
}

#[test]
fn what_costs_nothing_is_not_mentioned() {
    let sql = "SELECT id FROM t WHERE lower(name) = 'x'";
    for (us, fires) in [(9_999, false), (10_000, true)] {
        assert_eq!(!smells(sql, Exec { us, ..slow() }).is_empty(), fires, "{us}");
    }
    // 3,600 an hour is one a second; a rate is only told of 300 s and more
    for (name, per_second, seconds, fires) in
        [("often", 2, 400, true), ("not often", 1, 400, false), ("not for long", 2, 200, false)]
    {
        let mut stream = Stream::new(Limits::default());
        for _ in 0..seconds {
            (0..per_second).for_each(|_| stream.exec(Exec { sql, us: 500, ..slow() }));
            stream.now += 1_000_100 - per_second * 600;
        }
        assert_eq!(!all(&mut stream, Kind::SqlSmell).is_empty(), fires, "{name}");
    }
}

#[test]
fn sorting_few_rows_by_chance_does_no_harm() {
    let sql = "SELECT id FROM t ORDER BY random()";
    for (rows, fires) in [(999, false), (1_000, true)] {
        let findings = smells(sql, Exec { rows: Some(rows), ..slow() });
        assert_eq!(!findings.is_empty(), fires, "{rows}");
    }
}

#[test]
fn a_share_of_all_waiting_makes_it_a_warning() {
    let sql = "SELECT id FROM t WHERE lower(name) = 'x'";
    for (name, other_us, severity) in
        [("half of it", 1_000_000, Severity::Warning), ("little", 200_000_000, Severity::Info)]
    {
        let mut stream = Stream::new(Limits::default());
        stream.exec(Exec { sql: "SELECT pg_sleep(1)", us: other_us, ..slow() });
        stream.now += 400_000_000;
        (0..50).for_each(|_| stream.exec(Exec { sql, us: 20_000, ..slow() }));
        let finding = found(&mut stream, Kind::SqlSmell).unwrap();
        assert_eq!(finding.severity, severity, "{name}");
    }
}

#[test]
fn wide_parameters_against_integers() {
    let learn = "SELECT id, name FROM t";
    let by = |column: &str| format!("SELECT id FROM t WHERE {column} = $1");
    for (name, sql, parameters, fires) in [
        ("a numeric parameter", by("id"), 1, true),
        ("an integer one", by("id"), 0, false),
        ("another parameter is", by("id"), 2, false),
        ("a column of unknown type", by("price"), 1, false),
    ] {
        let mut stream = Stream::new(Limits::default());
        stream.describe(learn, &[(50, 1, "id"), (50, 2, "name")]);
        stream.exec(Exec { sql: learn, ..slow() });
        if parameters != 0 {
            stream.wide_parameters(&sql, parameters);
        }
        stream.exec(Exec { sql: &sql, binds: &[5], ..slow() });
        let found = found(&mut stream, Kind::SqlSmell);
        assert_eq!(found.and_then(|finding| finding.rule).is_some(), fires, "{name}");
    }
}

#[test]
fn a_star_is_mentioned_for_columns_that_another_statement_showed_to_be_wide() {
    let wide = Exec {
        sql: "SELECT id, title, body FROM documents WHERE id = $1",
        binds: &[1],
        widths: &[10, 20, 970],
        bytes: 5_000_000,
        ..slow()
    };
    for (name, star, known, fires) in [
        ("the same table", "SELECT * FROM documents", true, true),
        ("another table", "SELECT * FROM folders", true, false),
        ("nothing known", "SELECT * FROM documents", false, false),
    ] {
        let mut stream = Stream::new(Limits::default());
        if known {
            (0..3).for_each(|_| stream.exec(wide));
        }
        (0..3).for_each(|_| stream.exec(Exec { sql: star, ..slow() }));
        let rule = found(&mut stream, Kind::SqlSmell).and_then(|finding| finding.rule);
        assert_eq!(rule, fires.then_some("select_star_wide"), "{name}");
    }
    let mut stream = Stream::new(Limits::default());
    let sql = "SELECT * FROM documents";
    stream.describe(sql, &[(50, 1, "id"), (50, 2, "title"), (50, 3, "body")]);
    (0..3).for_each(|_| stream.exec(Exec { sql, binds: &[], ..wide }));
    assert!(found(&mut stream, Kind::SqlSmell).is_none(), "wide_fetch speaks of it");
}

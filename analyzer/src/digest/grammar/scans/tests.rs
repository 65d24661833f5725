use super::{Grammar, Names, NoNames};

/// A small shop, and a view of it.
struct Shop;

const TABLES: [(&str, &[&str]); 5] = [
    ("orders", &["id", "customer_id", "status", "created_at", "total", "region"]),
    ("customers", &["id", "name", "email", "data", "tags", "active"]),
    ("lines", &["id", "order_id", "sku"]),
    ("open_orders", &["oid", "customer", "created_at"]),
    ("per_day", &["day", "n"]),
];

impl Names for Shop {
    fn columns(&self, _: Option<&str>, relation: &str) -> Option<Vec<String>> {
        let found = TABLES.iter().find(|(name, _)| *name == relation)?;
        Some(found.1.iter().map(|&column| column.to_owned()).collect())
    }

    fn view(&self, _: Option<&str>, relation: &str) -> Option<String> {
        let text = match relation {
            "open_orders" => {
                "SELECT o.id, o.customer_id, o.created_at FROM orders o WHERE o.status = 'open';"
            }
            "per_day" => "SELECT created_at::date AS day, count(*) AS n FROM orders GROUP BY 1",
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn check(rows: &[(&str, &str)], names: &dyn Names) {
    let grammar = Grammar::new();
    for (sql, expected) in rows {
        let facts = grammar.scans(sql, names).unwrap_or_else(|| panic!("{sql} parses"));
        let scans: Vec<String> = facts.scans.iter().map(ToString::to_string).collect();
        assert_eq!(scans.join(" | "), *expected, "{sql}");
    }
}

fn check_where(rows: &[(&str, &str)]) {
    let whole: Vec<(String, String)> = rows
        .iter()
        .map(|(condition, expected)| {
            (
                format!("SELECT id FROM customers WHERE {condition}"),
                format!("customers: {expected}"),
            )
        })
        .collect();
    let borrowed: Vec<(&str, &str)> =
        whole.iter().map(|(sql, expected)| (sql.as_str(), expected.as_str())).collect();
    check(&borrowed, &Shop);
}

#[test]
fn classes_of_conditions() {
    check_where(&[
        ("id = 1", "eq id"),
        ("1 = id", "eq id"),
        ("id = $1", "eq id"),
        ("id = -1", "eq id"),
        ("customers.id = 1", "eq id"),
        ("public.customers.id = 1", ""),
        ("active", "eq active"),
        ("NOT active", "eq active"),
        ("active IS TRUE", "eq active"),
        ("active IS NOT TRUE", "residual"),
        ("id IN (1, 2, 3)", "in3 id"),
        ("id IN (1)", "eq id"),
        ("id = ANY ('{1,2}')", "in2 id"),
        ("id = ANY (ARRAY[1, 2, 3])", "in3 id"),
        ("id = ANY ($1)", "in id"),
        ("id NOT IN (1, 2)", "residual"),
        ("id <> 1", "residual"),
        ("id < 1", "range id"),
        ("1 >= id", "range id"),
        ("id BETWEEN 1 AND 5", "range id"),
        ("id NOT BETWEEN 1 AND 5", "residual"),
        ("id > 1 AND id < 9", "range id; range id"),
        ("NOT id > 1", "range id"),
        ("NOT id = 1", "residual"),
        ("NOT id <> 1", "eq id"),
        ("name IS NULL", "null name"),
        ("name IS NOT NULL", "notnull name"),
        ("NOT name IS NULL", "notnull name"),
        ("id IS NOT DISTINCT FROM 1", "residual"),
        ("(id, name) = (1, 'a')", "eq id; eq name"),
        ("(name, id) > ('a', 1)", "range (name,id)"),
        ("(name, id) < (email, 1)", "residual"),
        ("true", ""),
        ("1 = 1", ""),
        ("id = id", "residual"),
        ("id = random()", "residual"),
        ("id = (SELECT 1)", "eq id"),
        ("id > now() - interval '1 day'", "range id"),
    ]);
}

#[test]
fn classes_of_patterns_and_containment() {
    check_where(&[
        ("name LIKE 'abc%'", "prefix3 name"),
        ("name LIKE 'a\\_c%'", "prefix3 name"),
        ("name LIKE 'abc'", "prefix3 name"),
        ("name LIKE '%abc%'", "infix3 name"),
        ("name LIKE '_bc'", "infix2 name"),
        ("name LIKE $1", "infix0 name"),
        ("name NOT LIKE 'abc%'", "residual"),
        ("name ILIKE 'abc%'", "infix3 name"),
        ("name ~ '^abc'", "prefix3 name"),
        ("name ~ '^ab*'", "prefix1 name"),
        ("name ~ 'abc'", "infix3 name"),
        ("name ~* '^abc'", "infix3 name"),
        ("name ^@ 'ab'", "prefix2 name"),
        ("starts_with(name, 'ab')", "prefix2 name"),
        ("data @> '{\"a\": 1}'", "contains@> data"),
        ("data ? 'a'", "contains? data"),
        ("tags && '{a}'", "contains&& tags"),
        ("'a' = ANY (tags)", "residual"),
        ("data->>'a' = 'x'", "eq <data ->> 'a'>"),
        ("(data->'a'->>'b')::int = 5", "eq <(data -> 'a' ->> 'b')::int>"),
        ("lower(email) = 'x'", "eq <lower(email)>"),
        ("lower(customers.email) LIKE 'x%'", "prefix1 <lower(email)>"),
        ("coalesce(name, '') = 'x'", "eq <COALESCE(name, '')>"),
        ("id + 1 = 5", "eq <id + 1>"),
        ("upper(name) IN ('A', 'B')", "in2 <upper(name)>"),
        ("name || email = 'x'", "eq <name || email>"),
        ("random() < 0.5", ""),
    ]);
}

#[test]
fn disjunctions() {
    check_where(&[
        ("id = 1 OR id = 2", "in2 id"),
        ("id = 1 OR name = 'a'", "or(eq id | eq name)"),
        ("(id = 1 AND name = 'a') OR email = 'b'", "or(eq id & eq name | eq email)"),
        ("(id = 1 OR name = 'a') AND active", "or(eq id | eq name); eq active"),
        ("NOT (id > 1 OR name IS NULL)", "range id; notnull name"),
        ("NOT (id > 1 AND name IS NULL)", "or(range id | notnull name)"),
        ("id > 5 OR name LIKE 'a%'", "or(range id | prefix1 name)"),
    ]);
    check(
        &[(
            "SELECT 1 FROM orders o, customers c WHERE o.id = 1 OR c.id = 2",
            "orders: residual | customers: residual",
        )],
        &Shop,
    );
}

#[test]
fn joins() {
    check(
        &[
            (
                "SELECT 1 FROM orders o JOIN customers c ON c.id = o.customer_id",
                "orders: join customer_id=1 | customers: join id=0",
            ),
            (
                "SELECT 1 FROM orders, customers WHERE customers.id = customer_id",
                "orders: join customer_id=1 | customers: join id=0",
            ),
            (
                "SELECT 1 FROM orders JOIN lines ON order_id = orders.id AND sku = 3",
                "orders: join id=1 | lines: join order_id=0; eq sku",
            ),
            (
                "SELECT 1 FROM orders o LEFT JOIN lines l ON l.order_id = o.id",
                "orders:  | lines: outer order_id=0",
            ),
            (
                "SELECT 1 FROM orders o LEFT JOIN lines l ON l.order_id = o.id AND o.total > 5",
                "orders:  | lines: outer order_id=0",
            ),
            (
                "SELECT 1 FROM lines l RIGHT JOIN orders o ON l.order_id = o.id",
                "lines: outer order_id=1 | orders: ",
            ),
            ("SELECT 1 FROM orders JOIN lines USING (id)", "orders: join id=1 | lines: join id=0"),
            (
                "SELECT 1 FROM orders o WHERE EXISTS (SELECT 1 FROM lines l WHERE l.order_id = o.id)",
                "orders: semi id=1 | lines: semi order_id=0",
            ),
            (
                "SELECT 1 FROM orders o WHERE NOT EXISTS (SELECT 1 FROM lines l WHERE l.order_id = o.id)",
                "orders: anti id=1 | lines: anti order_id=0",
            ),
            (
                "SELECT 1 FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE name = 'a')",
                "orders: semi customer_id=1 | customers: eq name; semi id=0",
            ),
            (
                "SELECT 1 FROM orders WHERE customer_id NOT IN (SELECT id FROM customers)",
                "orders: residual | customers: ",
            ),
            (
                "SELECT 1 FROM orders o JOIN customers c ON lower(c.name) = o.status",
                "orders: join status=1 | customers: join <lower(name)>=0",
            ),
            (
                "SELECT 1 FROM orders o JOIN lines l ON l.order_id < o.id",
                "orders: residual | lines: residual",
            ),
            (
                "SELECT (SELECT max(sku) FROM lines WHERE order_id = o.id) FROM orders o WHERE o.id = 1",
                "orders: eq id; semi id=1 | lines: semi order_id=0; order sku desc; limit 1",
            ),
            (
                "SELECT 1 FROM orders a JOIN orders b ON a.id = b.customer_id",
                "orders: join id=1 | orders: join customer_id=0",
            ),
        ],
        &Shop,
    );
}

#[test]
fn order_and_limit() {
    check(
        &[
            (
                "SELECT * FROM orders ORDER BY created_at LIMIT 5",
                "orders: order created_at; limit 5",
            ),
            (
                "SELECT * FROM orders ORDER BY created_at DESC, id LIMIT 5 OFFSET 10",
                "orders: order created_at desc,id; limit 5+10",
            ),
            (
                "SELECT * FROM orders ORDER BY created_at DESC NULLS LAST LIMIT $1",
                "orders: order created_at desc nulls last; limit ?",
            ),
            (
                "SELECT * FROM orders ORDER BY created_at NULLS FIRST",
                "orders: order created_at nulls first",
            ),
            (
                "SELECT id, created_at AS at FROM orders ORDER BY at LIMIT 1",
                "orders: order created_at; limit 1",
            ),
            (
                "SELECT id, total FROM orders ORDER BY 2 FETCH FIRST 3 ROWS ONLY",
                "orders: order total; limit 3",
            ),
            (
                "SELECT * FROM customers ORDER BY lower(name) LIMIT 3",
                "customers: order <lower(name)>; limit 3",
            ),
            (
                "SELECT max(created_at) FROM orders WHERE customer_id = 1",
                "orders: eq customer_id; order created_at desc; limit 1",
            ),
            ("SELECT coalesce(min(id), 0) FROM orders", "orders: order id; limit 1"),
            (
                "SELECT region, max(id) FROM orders GROUP BY region ORDER BY region LIMIT 3",
                "orders: ",
            ),
            ("SELECT DISTINCT region FROM orders ORDER BY region LIMIT 3", "orders: limit 3"),
            ("SELECT * FROM orders LIMIT ALL", "orders: "),
            (
                "SELECT * FROM orders o JOIN customers c ON c.id = o.customer_id ORDER BY o.id, c.id LIMIT 2",
                "orders: join customer_id=1; limit 2 | customers: join id=0; limit 2",
            ),
            ("SELECT count(*) FROM orders", "orders: "),
        ],
        &Shop,
    );
}

#[test]
fn nested_queries_views_and_writes() {
    check(
        &[
            (
                "WITH a AS (SELECT * FROM orders) SELECT * FROM a WHERE customer_id = 1",
                "orders: eq customer_id",
            ),
            (
                "WITH a AS MATERIALIZED (SELECT * FROM orders) SELECT * FROM a WHERE customer_id = 1",
                "orders: ",
            ),
            (
                "WITH a AS (SELECT * FROM orders WHERE region = 2) SELECT * FROM a x JOIN a y ON x.id = y.id",
                "orders: eq region",
            ),
            ("SELECT * FROM (SELECT id AS i, total FROM orders) x WHERE i = 1", "orders: eq id"),
            (
                "SELECT * FROM (SELECT id, count(*) AS n FROM orders GROUP BY id) x WHERE id = 1",
                "orders: ",
            ),
            ("SELECT * FROM (SELECT id FROM orders LIMIT 5) x WHERE id = 1", "orders: limit 5"),
            ("SELECT * FROM open_orders WHERE customer = 1", "orders: eq status; eq customer_id"),
            ("SELECT * FROM per_day WHERE n = 1", "orders: "),
            (
                "SELECT id FROM orders WHERE id = 1 UNION ALL SELECT id FROM lines WHERE sku = 2",
                "orders: eq id | lines: eq sku",
            ),
            (
                "SELECT * FROM (SELECT id FROM orders UNION ALL SELECT id FROM lines) x WHERE id = 3",
                "orders: eq id | lines: eq id",
            ),
            (
                "SELECT * FROM (SELECT id FROM orders UNION SELECT id FROM lines) x WHERE id = 3",
                "orders:  | lines: ",
            ),
            ("UPDATE orders SET total = 1 WHERE customer_id = 5", "orders: eq customer_id"),
            (
                "UPDATE orders o SET total = 1 FROM customers c WHERE c.id = o.customer_id AND c.name = 'a'",
                "orders: join customer_id=1 | customers: join id=0; eq name",
            ),
            ("DELETE FROM orders WHERE created_at < now()", "orders: range created_at"),
            (
                "DELETE FROM lines USING orders o WHERE o.id = order_id AND o.region = 1",
                "lines: join order_id=1 | orders: join id=0; eq region",
            ),
            (
                "INSERT INTO lines (order_id) SELECT id FROM orders WHERE region = 1",
                "orders: eq region",
            ),
            ("INSERT INTO lines (order_id) VALUES (1)", ""),
            (
                "MERGE INTO orders o USING lines l ON l.order_id = o.id WHEN MATCHED THEN DELETE",
                "orders: join id=1 | lines: join order_id=0",
            ),
        ],
        &Shop,
    );
}

#[test]
fn without_a_catalogue_only_sure_names_count() {
    check(
        &[
            ("SELECT * FROM t WHERE a = 1", "t: eq a"),
            ("SELECT * FROM s.t WHERE a = 1", "s.t: eq a"),
            ("SELECT * FROM t, u WHERE a = 1", "t:  | u: "),
            (
                "SELECT * FROM t, u WHERE t.a = u.b AND u.c > 1",
                "t: join a=1 | u: join b=0; range c",
            ),
            ("SELECT * FROM t WHERE x.a = 1", "t: "),
        ],
        &NoNames,
    );
}

#[test]
fn select_forms() {
    let rows = [
        ("SELECT * FROM t WHERE a = 1 FOR UPDATE", Some("SELECT * FROM t WHERE a = 1")),
        ("UPDATE t SET a = 1 WHERE b = 2", Some("SELECT t.ctid FROM t WHERE b = 2")),
        (
            "UPDATE t x SET a = 1 FROM u WHERE u.id = x.id",
            Some("SELECT x.ctid FROM t x, u WHERE u.id = x.id"),
        ),
        ("DELETE FROM t WHERE b = 2 RETURNING *", Some("SELECT t.ctid FROM t WHERE b = 2")),
        ("INSERT INTO t SELECT * FROM u WHERE c = 1", Some("SELECT * FROM u WHERE c = 1")),
        ("INSERT INTO t VALUES (1)", None),
        ("SELECT 1 INTO x FROM t", None),
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", None),
        ("CREATE TABLE t (a int)", None),
        ("SELECT 1; DELETE FROM t", None),
    ];
    for (sql, expected) in rows {
        assert_eq!(Grammar::new().select_form(sql).as_deref(), expected, "{sql}");
    }
}

#[test]
fn normal_texts() {
    let rows = [
        ("lower((email)::text)", "lower(email)"),
        ("(data ->> 'k'::text)", "data ->> 'k'"),
        ("t.a + 1", "a + 1"),
        ("((created_at)::date)", "created_at::date"),
    ];
    for (text, expected) in rows {
        assert_eq!(Grammar::new().normal_expression(text).as_deref(), Some(expected), "{text}");
    }
    let conjuncts =
        Grammar::new().normal_conjuncts("((status = 'open'::text) AND (closed_at IS NULL))");
    assert_eq!(conjuncts, Some(vec!["status = 'open'".to_owned(), "closed_at IS NULL".to_owned()]));
}

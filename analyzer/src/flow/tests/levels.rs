//! Nested loops, steps from row to row, and two parents at once.

use super::*;

const PRODUCT: &str = "SELECT id, name FROM products WHERE id = $1";

/// Orders 1.. with `items` rows each; per row one product; products of different orders differ.
fn nested(stream: &mut Stream, exec: Exec<'_>, item_counts: &[usize], depth_first: bool) {
    let ids = values(1, item_counts.len());
    stream.exec(Exec { sql: ORDERS, binds: &[77], columns: &[(10, 1, &ids)], ..exec });
    let mut later = Vec::new();
    for (id, items) in ids.iter().zip(item_counts) {
        let (rows, orders) = (values(id * 100, *items), vec![*id; *items]);
        let products = values(id * 1_000, *items);
        let columns = [(40, 1, &rows[..]), (40, 2, &orders[..]), (40, 3, &products[..])];
        let sql = "SELECT id, order_id, product_id FROM items WHERE order_id = $1";
        stream.exec(Exec { sql, binds: &[*id], columns: &columns, ..exec });
        if depth_first {
            read_products(stream, exec, &products);
        } else {
            later.extend(products);
        }
    }
    read_products(stream, exec, &later);
}

fn read_products(stream: &mut Stream, exec: Exec<'_>, products: &[i64]) {
    for product in products {
        let row = [*product];
        stream.exec(Exec { sql: PRODUCT, binds: &row, columns: &[(60, 1, &row)], ..exec });
    }
}

/// (variant, n) of the findings whose child is that table.
fn of_child(stream: &mut Stream, table: &str) -> Vec<(&'static str, u64)> {
    let findings = n_plus_ones(stream);
    let of = |f: &&Finding| f.child.as_ref().unwrap().table.as_deref() == Some(table);
    findings.iter().filter(of).map(|f| (f.variant.unwrap(), f.n.unwrap())).collect()
}

#[test]
fn nested_loops_are_summed_under_their_root() {
    let counts = [3, 1, 4, 2, 1, 5, 3, 2, 4, 1];
    for (name, transaction) in [("scope", 1), ("chain", 0)] {
        for depth_first in [true, false] {
            let mut stream = stream();
            nested(&mut stream, Exec { transaction, ..AUTO }, &counts, depth_first);
            stream.commit(1, 1);
            stream.pass(3_000_000);
            assert_eq!(of_child(&mut stream, "items"), [("plain", 10)], "{name} {depth_first}");
            assert_eq!(of_child(&mut stream, "products"), [("nested", 26)], "{name} {depth_first}");
            let findings = n_plus_ones(&mut stream);
            let nested = findings.iter().find(|f| f.variant == Some("nested")).unwrap();
            assert_eq!((nested.gate, nested.parent.as_ref().unwrap().field), (Some(name), 2));
            let leaves = nested.evidence.iter().find(|(name, _)| *name == "leaves").unwrap();
            assert_eq!(leaves.1, crate::finding::EvidenceValue::Count(10));
        }
    }
}

#[test]
fn a_nested_chain_needs_its_root_proved_and_a_nested_scope_does_not() {
    // Four roots are too few for a loop of their own.
    for (transaction, expected) in [(0, &[][..]), (1, &[("nested", 16)][..])] {
        let mut stream = stream();
        nested(&mut stream, Exec { transaction, ..AUTO }, &[4, 4, 4, 4], true);
        stream.commit(1, 1);
        stream.pass(3_000_000);
        assert_eq!(of_child(&mut stream, "products"), expected, "{transaction}");
    }
}

#[test]
fn nested_limits() {
    for (name, counts, expected) in [
        ("nine pairs", &[3, 3, 3][..], &[][..]),
        ("ten pairs", &[4, 3, 3], &[("nested", 10)]),
        ("one row each is a step, not a level", &[1; 12], &[]),
        ("one result only", &[0, 0, 7, 0, 0], &[("plain", 7)]),
    ] {
        let mut stream = stream();
        nested(&mut stream, Exec::default(), counts, true);
        stream.commit(1, 1);
        assert_eq!(of_child(&mut stream, "products"), expected, "{name}");
    }
}

#[test]
fn what_a_child_was_asked_for_is_not_what_it_brings() {
    // items.order_id only echoes orders.id: payments are fed by the orders.
    let mut stream = stream();
    let ids = values(1, 12);
    stream.exec(Exec { sql: ORDERS, binds: &[77], columns: &[(10, 1, &ids)], ..Exec::default() });
    for id in &ids {
        let rows = values(id * 100, 1);
        let columns = [(40, 1, &rows[..]), (40, 2, &[*id][..])];
        stream.exec(Exec { sql: ITEMS, binds: &[*id], columns: &columns, ..Exec::default() });
    }
    for id in &ids {
        let sql = "SELECT id FROM payments WHERE order_id = $1";
        stream.exec(Exec { sql, binds: &[*id], rows: Some(0), ..Exec::default() });
    }
    stream.commit(1, 1);
    let findings = n_plus_ones(&mut stream);
    assert_eq!(findings.len(), 2);
    for finding in findings {
        let parent = finding.parent.unwrap();
        assert_eq!((parent.table_oid, parent.attnum, parent.alternatives.len()), (10, 1, 0));
    }
}

#[test]
fn interleaved_loops_over_one_child_belong_to_both_parents() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 20);
    let reviewers = values(5_000, 15);
    let sql = "SELECT reviewer_id FROM reviews";
    stream.exec(Exec { sql, columns: &[(70, 2, &reviewers)], ..Exec::default() });
    for n in 0..20 {
        look_ups(&mut stream, Exec::default(), &[1_000 + n]);
        look_ups(
            &mut stream,
            Exec::default(),
            reviewers
                .get(n as usize)
                .as_slice()
                .iter()
                .copied()
                .copied()
                .collect::<Vec<_>>()
                .as_slice(),
        );
    }
    stream.commit(1, 1);
    let mut found: Vec<_> = n_plus_ones(&mut stream)
        .iter()
        .map(|finding| (finding.parent.as_ref().unwrap().table_oid, finding.n.unwrap()))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [(10, 20), (70, 15)]);
}

#[test]
fn short_lists_of_varying_length_are_children() {
    let mut stream = stream();
    orders(&mut stream, Exec::default(), 30);
    for keys in values(1_000, 30).chunk_by(|a, _| a % 4 != 3) {
        let parameters: Vec<String> = (1..=keys.len()).map(|n| format!("${n}")).collect();
        let sql = format!("SELECT id FROM customers WHERE id IN ({})", parameters.join(", "));
        stream.exec(Exec {
            sql: &sql,
            binds: keys,
            rows: Some(keys.len() as u64),
            ..Exec::default()
        });
    }
    stream.commit(1, 1);
    assert_eq!(found(&mut stream)[0].2, 8);
}

#[test]
fn a_session_stays_within_its_memory() {
    let flow = FlowLimits { ring_session_max_kib: 16, ..FlowLimits::default() };
    let mut stream = Stream::new(Limits { flow, ..Limits::default() });
    for n in 0..8 {
        let ids = values(n * 1_000, 900);
        let sql = format!("SELECT id FROM t{n}");
        stream.exec(Exec { sql: &sql, columns: &[(10, 1, &ids)], ..Exec::default() });
    }
    let overflow = stream.snapshot().overflow;
    let evicted = overflow.iter().find(|(table, _)| *table == "held_results").unwrap().1;
    assert!(evicted >= 6, "{evicted}");
}

//! CREATE INDEX as text: quoting, names, partitions.

use crate::catalog::{Catalog, Relation};
use crate::planner::{CandidateSpec, KeyPart, KeySpec, Method};

/// Longest identifier, bytes.
const NAME_BYTES_MAX: usize = 63;

/// Reserved words of PostgreSQL: quoted although they look plain.
const RESERVED: &str = " all analyse analyze and any array as asc asymmetric authorization between binary both case cast \
    check collate collation column concurrently constraint create cross current_catalog current_date current_role \
    current_schema current_time current_timestamp current_user default deferrable desc distinct do else end except false \
    fetch for foreign freeze from full grant group having ilike in initially inner intersect into is isnull join lateral \
    leading left like limit localtime localtimestamp natural not notnull null offset on only or order outer overlaps \
    placing primary references returning right select session_user similar some symmetric table tablesample then to \
    trailing true union unique user using variadic verbose when where window with ";

/// An identifier as SQL.
pub fn quoted(name: &str) -> String {
    let plain = name.starts_with(|letter: char| letter.is_ascii_lowercase() || letter == '_')
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && !RESERVED.contains(&format!(" {name} "));
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `schema.table`.
pub fn qualified(relation: &Relation) -> String {
    format!("{}.{}", quoted(&relation.schema), quoted(&relation.name))
}

/// What is behind `ON table`: method, keys, INCLUDE, predicate.
pub fn body(spec: &CandidateSpec) -> String {
    let method = match spec.method {
        Method::Btree => "btree",
        Method::Gin => "gin",
    };
    let keys: Vec<String> = spec.keys.iter().map(key).collect();
    let mut text = format!("USING {method} ({})", keys.join(", "));
    if !spec.include.is_empty() {
        let columns: Vec<String> = spec.include.iter().map(|column| quoted(column)).collect();
        text.push_str(&format!(" INCLUDE ({})", columns.join(", ")));
    }
    if !spec.predicate.is_empty() {
        let conjuncts: Vec<String> =
            spec.predicate.iter().map(|text| format!("({text})")).collect();
        text.push_str(&format!(" WHERE {}", conjuncts.join(" AND ")));
    }
    text
}

fn key(key: &KeySpec) -> String {
    let mut text = match &key.part {
        KeyPart::Column(column) => quoted(column),
        KeyPart::Expression(expression) => format!("({expression})"),
    };
    if let Some(class) = &key.opclass {
        text.push(' ');
        text.push_str(class);
    }
    match (key.descending, key.nulls_first) {
        (false, true) => text.push_str(" NULLS FIRST"),
        (true, true) => text.push_str(" DESC"),
        (true, false) => text.push_str(" DESC NULLS LAST"),
        (false, false) => {}
    }
    text
}

/// The stable identity of a candidate: equal across restarts, 64 bits.
pub fn identity(catalog: &Catalog, spec: &CandidateSpec) -> u64 {
    let table = catalog.relations.get(&spec.table).map(qualified).unwrap_or_default();
    let text = format!("{}\n{table}\n{}", catalog.database.name, body(spec));
    // FNV-1a: a fixed function of the text
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A name that repeated advice gives again.
pub fn name(catalog: &Catalog, spec: &CandidateSpec) -> String {
    let table = catalog.relations.get(&spec.table).map_or("", |relation| relation.name.as_str());
    let mut stem = table.to_owned();
    for key in &spec.keys {
        stem.push('_');
        match &key.part {
            KeyPart::Column(column) => stem.push_str(column),
            KeyPart::Expression(_) => stem.push_str("expr"),
        }
    }
    let tail = format!("_{:06x}_idx", identity(catalog, spec) >> 40);
    format!("{}{tail}", cut(&stem, NAME_BYTES_MAX - tail.len()))
}

/// At most `bytes_max` bytes, whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The statements that build it, in order: one, or for a partitioned table its parts.
pub fn statements(catalog: &Catalog, spec: &CandidateSpec) -> Vec<String> {
    let Some(relation) = catalog.relations.get(&spec.table) else { return Vec::new() };
    let (name, body) = (name(catalog, spec), body(spec));
    if relation.kind != 'p' {
        return vec![format!(
            "CREATE INDEX CONCURRENTLY {} ON {} {body};",
            quoted(&name),
            qualified(relation)
        )];
    }
    let mut found =
        vec![format!("CREATE INDEX {} ON ONLY {} {body};", quoted(&name), qualified(relation))];
    for (number, leaf) in catalog.leaves(spec.table).into_iter().enumerate() {
        let mut part = name.clone();
        let tail = format!("_p{number}");
        part = format!("{}{tail}", cut(&part, NAME_BYTES_MAX - tail.len()));
        found.push(format!(
            "CREATE INDEX CONCURRENTLY {} ON {} {body};",
            quoted(&part),
            qualified(leaf)
        ));
        let parent = format!("{}.{}", quoted(&relation.schema), quoted(&name));
        let child = format!("{}.{}", quoted(&leaf.schema), quoted(&part));
        found.push(format!("ALTER INDEX {parent} ATTACH PARTITION {child};"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_needs_it() {
        let rows = [
            ("orders", "orders"),
            ("_x1", "_x1"),
            ("Order", "\"Order\""),
            ("select", "\"select\""),
            ("user", "\"user\""),
            ("a b", "\"a b\""),
            ("a\"b", "\"a\"\"b\""),
            ("1a", "\"1a\""),
            ("größe", "\"größe\""),
            ("", "\"\""),
        ];
        for (name, expected) in rows {
            assert_eq!(quoted(name), expected);
        }
    }

    fn spec(keys: Vec<KeySpec>) -> CandidateSpec {
        let (include, predicate) = (Vec::new(), Vec::new());
        CandidateSpec { table: 1, method: Method::Btree, keys, include, predicate, size_bytes: 0 }
    }

    fn column(name: &str, descending: bool, nulls_first: bool) -> KeySpec {
        KeySpec { part: KeyPart::Column(name.to_owned()), opclass: None, descending, nulls_first }
    }

    #[test]
    fn writes_keys_with_directions_classes_and_conditions() {
        let pattern = KeySpec {
            opclass: Some("text_pattern_ops".to_owned()),
            ..column("name", false, false)
        };
        let lower = KeySpec {
            part: KeyPart::Expression("lower(email)".to_owned()),
            ..column("", false, false)
        };
        let partial = CandidateSpec {
            include: vec!["Total".to_owned()],
            predicate: vec!["status = 'open'".to_owned()],
            ..spec(vec![column("a", false, false)])
        };
        let rows = [
            (
                spec(vec![column("a", false, false), column("B", true, true)]),
                "USING btree (a, \"B\" DESC)",
            ),
            (spec(vec![column("a", true, false)]), "USING btree (a DESC NULLS LAST)"),
            (spec(vec![column("a", false, true)]), "USING btree (a NULLS FIRST)"),
            (spec(vec![pattern]), "USING btree (name text_pattern_ops)"),
            (spec(vec![lower]), "USING btree ((lower(email)))"),
            (partial, "USING btree (a) INCLUDE (\"Total\") WHERE (status = 'open')"),
        ];
        for (spec, expected) in rows {
            assert_eq!(body(&spec), expected);
        }
    }

    #[test]
    fn names_fit_and_stay() {
        let mut catalog = Catalog::default();
        let name_of = |catalog: &Catalog, spec: &CandidateSpec| name(catalog, spec);
        for table in ["orders", &"ü".repeat(40), &"x".repeat(70)] {
            let relation = Relation {
                oid: 1,
                schema: "public".to_owned(),
                name: table.to_owned(),
                ..Relation::default()
            };
            catalog.relations.insert(1, relation);
            let one = spec(vec![column("a", false, false)]);
            let other = spec(vec![column("a", true, true)]);
            assert!(name_of(&catalog, &one).len() <= NAME_BYTES_MAX, "{table}");
            assert_eq!(name_of(&catalog, &one), name_of(&catalog, &one));
            assert_ne!(name_of(&catalog, &one), name_of(&catalog, &other), "{table}");
        }
    }
}

//! Types and expressions as far as index keys need them: what may be indexed, by which operator class.

use crate::catalog::{Catalog, Relation, Type};
use crate::planner::KeyPart;
use crate::write_cost::mentions;

/// Functions of the server that are immutable for the argument types that occur in keys.
const IMMUTABLE: [&str; 32] = [
    "lower",
    "upper",
    "md5",
    "abs",
    "length",
    "char_length",
    "octet_length",
    "btrim",
    "ltrim",
    "rtrim",
    "substr",
    "substring",
    "left",
    "right",
    "replace",
    "reverse",
    "round",
    "floor",
    "ceil",
    "trunc",
    "mod",
    "sign",
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "split_part",
    "initcap",
    "to_tsvector",
    "jsonb_extract_path_text",
    "date_trunc",
    "extract",
];
/// Functions and casts whose answer depends on TimeZone when they meet a timestamptz.
const OF_TIME: [&str; 5] = ["date_trunc", "extract", "date_part", "::date", "::time"];

fn type_of<'a>(catalog: &'a Catalog, relation: &Relation, column: &str) -> Option<&'a Type> {
    let mut found = catalog.types.get(&relation.column(column)?.type_oid)?;
    // a domain is what it is made of
    for _ in 0..8 {
        match catalog.types.get(&found.element) {
            Some(base) if found.kind == 'd' => found = base,
            _ => break,
        }
    }
    Some(found)
}

/// Whether an expression in normal text can be an index key: only immutable functions, no cast that depends on a setting.
pub fn is_immutable(catalog: &Catalog, relation: &Relation, text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let known = |name: &str| {
        IMMUTABLE.contains(&name)
            || catalog
                .functions
                .iter()
                .any(|function| function.name == name && function.volatility == 'i')
    };
    if !calls(&lower).iter().all(|name| known(name)) {
        return false;
    }
    // without a configuration the server's default_text_search_config decides
    if lower.contains("to_tsvector(") && !lower.contains("to_tsvector('") {
        return false;
    }
    let zoned = relation.columns.iter().any(|column| {
        mentions(text, &column.name)
            && type_of(catalog, relation, &column.name)
                .is_some_and(|found| matches!(found.name.as_str(), "timestamptz" | "timetz"))
    });
    let to_text = ["::text", "::varchar", "to_char"].iter().any(|cast| lower.contains(cast));
    if zoned
        && (OF_TIME.iter().any(|name| lower.contains(name)) || to_text)
        && !lower.contains("at time zone")
    {
        return false;
    }
    // a string becomes a time by DateStyle
    let from_text =
        ["::timestamp", "::timestamptz", "::date"].iter().any(|cast| lower.contains(cast));
    let stringy = relation.columns.iter().any(|column| {
        mentions(text, &column.name)
            && type_of(catalog, relation, &column.name).is_some_and(|found| {
                found.category == 'S' || found.name == "jsonb" || found.name == "json"
            })
    });
    !(from_text && stringy)
}

/// Names in front of an opening parenthesis.
fn calls(text: &str) -> Vec<&str> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let before = |at: usize| text[..at].trim_end_matches(is_word).len();
    let found = text.match_indices('(').map(|(at, _)| &text[before(at)..at]);
    found
        .filter(|name| {
            !name.is_empty() && !matches!(*name, "and" | "or" | "in" | "any" | "array" | "row")
        })
        .collect()
}

/// Types of the server without an order.
const UNORDERED: [&str; 10] =
    ["json", "xml", "point", "box", "polygon", "circle", "line", "path", "lseg", "tsquery"];

/// Whether a default btree class exists for a key.
pub fn is_btree_type(catalog: &Catalog, relation: &Relation, part: &KeyPart) -> bool {
    let KeyPart::Column(column) = part else { return true };
    type_of(catalog, relation, column).is_none_or(|found| {
        // of the base types that extensions bring, only this one surely has an order
        let foreign = found.schema != "pg_catalog" && found.kind == 'b' && found.name != "citext";
        !(foreign || UNORDERED.contains(&found.name.as_str()))
    })
}

/// C4: the operator class for prefix matches, where the collation doesn't sort by bytes.
pub fn pattern_opclass(catalog: &Catalog, relation: &Relation, part: &KeyPart) -> Option<String> {
    let class = match part {
        KeyPart::Column(column) => {
            if relation.column(column)?.sorts_by_bytes {
                return None;
            }
            match type_of(catalog, relation, column)?.name.as_str() {
                "varchar" => "varchar_pattern_ops",
                "bpchar" => "bpchar_pattern_ops",
                "text" | "name" => "text_pattern_ops",
                _ => return None,
            }
        }
        KeyPart::Expression(_) => {
            let collate = catalog.database.collate.as_str();
            if catalog.database.locale_provider == "b"
                || catalog.database.locale_provider == "c" && matches!(collate, "C" | "POSIX")
            {
                return None;
            }
            "text_pattern_ops"
        }
    };
    Some(class.to_owned())
}

/// C8: the GIN class that has the operator; `Some(None)` = the type's default.
pub fn gin_opclass(
    catalog: &Catalog,
    relation: &Relation,
    part: &KeyPart,
    operator: &str,
) -> Option<Option<String>> {
    let KeyPart::Column(column) = part else {
        let KeyPart::Expression(text) = part else { return None };
        let vector = operator == "@@" && text.starts_with("to_tsvector(");
        return vector.then_some(None);
    };
    let found = type_of(catalog, relation, column)?;
    match (found.name.as_str(), operator) {
        ("jsonb", "@>" | "@?" | "@@") => Some(Some("jsonb_path_ops".to_owned())),
        ("jsonb", "?" | "?|" | "?&") => Some(None),
        ("tsvector", "@@") => Some(None),
        (_, "@>" | "<@" | "&&") if found.category == 'A' => Some(None),
        _ => None,
    }
}

/// C9: trigrams, if the extension is there.
pub fn trigram_opclass(
    catalog: &Catalog,
    relation: &Relation,
    part: &KeyPart,
) -> Option<Option<String>> {
    let extension = catalog.extension("pg_trgm")?;
    let stringy = match part {
        KeyPart::Column(column) => type_of(catalog, relation, column)?.category == 'S',
        KeyPart::Expression(_) => true,
    };
    stringy.then(|| Some(format!("{}.gin_trgm_ops", crate::ddl::quoted(&extension.schema))))
}

/// C6: whether a partial index's constant may be printed: numbers, booleans, NULL, and short common texts.
pub fn may_be_shown(relation: &Relation, column: &str, text: &str) -> bool {
    let Some(start) = text.find('\'') else { return true };
    let constant = text[start + 1..].split('\'').next().unwrap_or_default();
    let common = relation
        .statistics_of(column)
        .and_then(|found| found.common_values.as_deref())
        .unwrap_or_default();
    constant.chars().count() <= 32 && common.contains(constant)
}

/// V7: the literal's type makes the server cast the column, so that no index on it serves.
pub fn casts_column(catalog: &Catalog, relation: &Relation, column: &str, literal: &str) -> bool {
    let Some(found) = type_of(catalog, relation, column) else { return false };
    let integer = matches!(found.name.as_str(), "int2" | "int4" | "int8");
    match literal {
        "numeric" => integer,
        "float8" | "float4" => integer || found.name == "numeric",
        "text" => found.name == "bpchar",
        _ => false,
    }
}

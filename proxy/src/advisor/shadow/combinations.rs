//! Lists of most common combinations (extended statistics of kind `mcv`).
//!
//! The server alone knows how to write such a list, so it writes one: ANALYZE over a small table that holds each
//! combination once. The list's frequencies, which say "one each" then, are replaced by those of the target. They are
//! the last part of it, an entry after the other (`mcv.c`: which values are NULL, frequency, base frequency, places of
//! the values).

use super::super::side::SideError;
use super::client::{Writer, literal};
use pgsonde_advisor::catalog::{Catalog, ExtendedStatistics, Relation};
use pgsonde_advisor::ddl;

/// The small table, and the statistics object on it.
const TABLE: &str = "pgsonde_combinations";
const STATISTICS: &str = "pgsonde_combinations_stat";

/// Lets bytes become a list; once per shadow.
pub(super) fn prepare(builder: &Writer) -> Result<(), SideError> {
    builder.run("CREATE CAST (bytea AS pg_mcv_list) WITHOUT FUNCTION")
}

/// Copies one list; `false` where it could not be done.
pub(super) fn copy(
    builder: &Writer,
    owner: &Writer,
    catalog: &Catalog,
    found: &ExtendedStatistics,
) -> bool {
    let Some(relation) = catalog.relations.get(&found.relation) else { return false };
    let [Some(values), Some(own), Some(base)] =
        [&found.common_values, &found.common_frequencies, &found.common_base_frequencies]
    else {
        return false;
    };
    // places of expressions are not told
    if found.kinds.contains('e') {
        return false;
    }
    let Some(make) = small_table(relation, found, values) else { return false };
    let made = owner.run(&make).is_ok() && owner.run(&format!("ANALYZE {TABLE}")).is_ok();
    let list = made.then(|| entries(builder, values, own, base)).and_then(Result::ok);
    let bytes = list.and_then(|(bytes, entries)| patched(bytes, &entries, found.columns.len()));
    let written = bytes.is_some_and(|bytes| builder.run(&write(found, &bytes)).is_ok());
    // it must be away before the next one, and before candidates are planned
    owner.run(&format!("DROP TABLE IF EXISTS {TABLE}; SET search_path = pg_catalog")).is_ok()
        && written
}

/// The planner's role makes it: casts to the target's types run the target's functions.
fn small_table(relation: &Relation, found: &ExtendedStatistics, values: &str) -> Option<String> {
    let names: Vec<String> = found.columns.iter().map(|name| ddl::quoted(name)).collect();
    let types: Option<Vec<&str>> =
        found.columns.iter().map(|name| Some(relation.column(name)?.type_text.as_str())).collect();
    let casts = types?.into_iter().enumerate();
    let casts: Vec<String> = casts.map(|(at, of)| format!("a[i][{}]::{of}", at + 1)).collect();
    Some(format!(
        "SET search_path = {schema}; CREATE TABLE {TABLE} AS SELECT {names} FROM {table} LIMIT 0; \
         CREATE STATISTICS {STATISTICS} (mcv) ON {names} FROM {TABLE}; \
         ALTER STATISTICS {STATISTICS} SET STATISTICS 10000; \
         INSERT INTO {TABLE} SELECT {casts} FROM (SELECT {values}::text[] AS a) v, generate_subscripts(a, 1) i",
        schema = ddl::quoted(&relation.schema),
        names = names.join(", "),
        table = ddl::qualified(relation),
        casts = casts.join(", "),
        values = literal(values),
    ))
}

/// The list as bytes, and by place in it: frequency and base frequency on the target.
type Listed = (Vec<u8>, Vec<(usize, f64, f64)>);

fn entries(builder: &Writer, values: &str, own: &str, base: &str) -> Result<Listed, SideError> {
    let list = format!(
        "(SELECT d.stxdmcv FROM pg_statistic_ext_data d JOIN pg_statistic_ext e ON e.oid = d.stxoid \
         WHERE e.stxname = '{STATISTICS}')"
    );
    let (mut bytes, mut entries) = (Vec::new(), Vec::new());
    builder.each(&format!("SELECT encode({list}::bytea, 'hex') AS list"), |row| {
        bytes = from_hexadecimal(&row.text("list")).unwrap_or_default();
    })?;
    let sql = format!(
        "SELECT m.index AS at, f[i] AS own, b[i] AS base FROM pg_mcv_list_items({list}) m \
         JOIN (SELECT i, f, b, ARRAY(SELECT a[i][j] FROM generate_subscripts(a, 2) j ORDER BY j) AS item \
          FROM (SELECT {}::text[] AS a, {}::float8[] AS f, {}::float8[] AS b) v, generate_subscripts(a, 1) i) o \
         ON o.item = m.values ORDER BY 1",
        literal(values),
        literal(own),
        literal(base)
    );
    builder.each(&sql, |row| {
        entries.push((row.number("at"), row.number("own"), row.number("base")));
    })?;
    Ok((bytes, entries))
}

/// The list with other frequencies; `None` where it isn't laid out as expected.
fn patched(mut bytes: Vec<u8>, entries: &[(usize, f64, f64)], columns: usize) -> Option<Vec<u8>> {
    let count = entries.len();
    let item = columns * 3 + 16;
    let start = bytes.len().checked_sub(count * item)?;
    let even = 1.0 / count as f64;
    for (at, (index, own, base)) in entries.iter().enumerate() {
        let place = start + at * item + columns;
        let known = f64::from_le_bytes(bytes.get(place..place + 8)?.try_into().ok()?);
        if *index != at || (known - even).abs() > 1e-9 {
            return None;
        }
        bytes[place..place + 8].copy_from_slice(&own.to_le_bytes());
        bytes.get_mut(place + 8..place + 16)?.copy_from_slice(&base.to_le_bytes());
    }
    (count > 0).then_some(bytes)
}

fn write(found: &ExtendedStatistics, bytes: &[u8]) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "UPDATE pg_statistic_ext_data SET stxdmcv = decode('{text}', 'hex')::pg_mcv_list WHERE stxoid = \
         (SELECT e.oid FROM pg_statistic_ext e JOIN pg_namespace n ON n.oid = e.stxnamespace \
          WHERE n.nspname = {} AND e.stxname = {})",
        literal(&found.name.0),
        literal(&found.name.1)
    )
}

fn from_hexadecimal(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_are_replaced_entry_by_entry_or_not_at_all() {
        // two columns, two entries after a head of three bytes
        let mut list = vec![7, 7, 7];
        for _ in 0..2 {
            list.extend([0, 1]);
            list.extend(0.5f64.to_le_bytes());
            list.extend(0.25f64.to_le_bytes());
            list.extend([9, 0, 9, 0]);
        }
        let entries = [(0, 0.3, 0.1), (1, 0.2, 0.02)];
        let found = patched(list.clone(), &entries, 2).expect("laid out as expected");
        assert_eq!(found.len(), list.len());
        assert_eq!((&found[..5], &found[21..27]), (&list[..5], &list[21..27]));
        assert_eq!(found[5..13], 0.3f64.to_le_bytes());
        assert_eq!(found[13..21], 0.1f64.to_le_bytes());
        assert_eq!(found[27..35], 0.2f64.to_le_bytes());
        // an entry is missing, out of place, or the list has another width
        assert_eq!(patched(list.clone(), &entries[..1], 2), None);
        assert_eq!(patched(list.clone(), &[(1, 0.3, 0.1), (0, 0.2, 0.02)], 2), None);
        assert_eq!(patched(list.clone(), &entries, 3), None);
        assert_eq!(patched(Vec::new(), &entries, 2), None);
    }
}

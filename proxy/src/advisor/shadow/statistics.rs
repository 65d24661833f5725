//! The target's statistics, written into the shadow's catalogue without a row of data.
//!
//! `pg_stats` shows a row of `pg_statistic` slot by slot; it goes back the same way (`pg_statistic.h`: 1 most common
//! values, 2 histogram, 3 correlation, 4 most common elements, 5 element counts). The operators are those of the type's
//! default btree class, as ANALYZE takes them. One statement does a whole table, row by row, so that a value which
//! can't be read (an enum label that went away) costs its own column only.

use super::super::side::SideError;
use super::client::{Writer, literal, literal_or_null};
use pgsonde_advisor::catalog::{Catalog, ColumnStatistics, ExtendedStatistics, Relation};
use std::collections::BTreeMap;

const STAGE: &str = "CREATE TEMP TABLE stage (schema text, relation text, attname text, inherited bool, nulls real, \
    width int, n_distinct real, mcv text, mcf text, histogram text, correlation real, elements text, element_freqs text, \
    element_counts text); CREATE TEMP TABLE failed (schema text, relation text, attname text)";

/// The operators of each type, found as the server's type cache does: exact, binary-coercible, or by kind.
const OPERATORS: &str = "CREATE TEMP TABLE operators AS \
    WITH RECURSIVE down(type, at) AS (SELECT oid, oid FROM pg_type UNION ALL \
      SELECT d.type, t.typbasetype FROM down d JOIN pg_type t ON t.oid = d.at WHERE t.typtype = 'd'), \
    base AS (SELECT d.type, t.oid AS at, t.typtype, t.typelem, t.typcategory = 'A' AND t.typlen = -1 AND t.typelem <> 0 \
      AS is_array FROM down d JOIN pg_type t ON t.oid = d.at WHERE t.typtype <> 'd') \
    SELECT b.type, CASE WHEN b.at = 'tsvector'::regtype THEN 'text'::regtype::oid WHEN b.is_array THEN b.typelem END \
      AS element, b.at = 'tsvector'::regtype AS is_tsvector, \
     (SELECT o.amopopr FROM pg_amop o WHERE o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype \
      AND o.amoprighttype = c.opcintype AND o.amopstrategy = CASE c.opcmethod WHEN 403 THEN 3 ELSE 1 END) AS eq, \
     (SELECT o.amopopr FROM pg_amop o WHERE o.amopfamily = c.opcfamily AND o.amoplefttype = c.opcintype \
      AND o.amoprighttype = c.opcintype AND o.amopstrategy = 1 AND c.opcmethod = 403) AS lt \
    FROM base b LEFT JOIN LATERAL (SELECT c.* FROM pg_opclass c JOIN pg_type i ON i.oid = c.opcintype \
      WHERE c.opcmethod IN (403, 405) AND c.opcdefault AND (c.opcintype = b.at \
       OR EXISTS (SELECT FROM pg_cast k WHERE k.castsource = b.at AND k.casttarget = c.opcintype \
          AND k.castmethod = 'b' AND k.castcontext = 'i') \
       OR c.opcintype = CASE WHEN b.is_array THEN 'anyarray'::regtype WHEN b.typtype = 'e' THEN 'anyenum'::regtype \
          WHEN b.typtype = 'r' THEN 'anyrange'::regtype WHEN b.typtype = 'c' THEN 'record'::regtype END) \
      ORDER BY c.opcmethod, c.opcintype = b.at DESC, i.typispreferred DESC LIMIT 1) c ON true; \
    CREATE INDEX ON operators (type)";

const WRITE: &str = "DO $body$ DECLARE r record; k int[]; o oid[]; c oid[]; n text[]; v text[]; t oid[]; BEGIN \
    FOR r IN SELECT s.*, a.attrelid, a.attnum, a.atttypid, a.attcollation, p.eq, p.lt, p.element, p.is_tsvector, \
      (SELECT e.eq FROM operators e WHERE e.type = p.element) AS element_eq \
      FROM stage s JOIN pg_namespace m ON m.nspname = s.schema \
      JOIN pg_class x ON x.relnamespace = m.oid AND x.relname = s.relation \
      JOIN pg_attribute a ON a.attrelid = x.oid AND a.attname = s.attname JOIN operators p ON p.type = a.atttypid \
    LOOP BEGIN k := '{}'; o := '{}'; c := '{}'; n := '{}'; v := '{}'; t := '{}'; \
      IF r.mcv IS NOT NULL THEN k := k || 1; o := o || r.eq; c := c || r.attcollation; n := n || r.mcf; \
        v := v || r.mcv; t := t || r.atttypid; END IF; \
      IF r.histogram IS NOT NULL THEN k := k || 2; o := o || r.lt; c := c || r.attcollation; n := n || NULL::text; \
        v := v || r.histogram; t := t || r.atttypid; END IF; \
      IF r.correlation IS NOT NULL THEN k := k || 3; o := o || r.lt; c := c || r.attcollation; \
        n := n || format('{%s}', r.correlation); v := v || NULL::text; t := t || 0::oid; END IF; \
      IF r.elements IS NOT NULL THEN k := k || 4; o := o || r.element_eq; \
        c := c || CASE WHEN r.is_tsvector THEN 100::oid ELSE r.attcollation END; \
        n := n || r.element_freqs; v := v || r.elements; t := t || r.element; END IF; \
      IF r.element_counts IS NOT NULL THEN k := k || 5; o := o || r.element_eq; c := c || r.attcollation; \
        n := n || r.element_counts; v := v || NULL::text; t := t || 0::oid; END IF; \
      DELETE FROM pg_statistic WHERE starelid = r.attrelid AND staattnum = r.attnum AND stainherit = r.inherited; \
      INSERT INTO pg_statistic (starelid, staattnum, stainherit, stanullfrac, stawidth, stadistinct, \
        stakind1, stakind2, stakind3, stakind4, stakind5, staop1, staop2, staop3, staop4, staop5, \
        stacoll1, stacoll2, stacoll3, stacoll4, stacoll5, \
        stanumbers1, stanumbers2, stanumbers3, stanumbers4, stanumbers5, \
        stavalues1, stavalues2, stavalues3, stavalues4, stavalues5) \
      VALUES (r.attrelid, r.attnum, r.inherited, r.nulls, r.width, r.n_distinct, \
        coalesce(k[1], 0), coalesce(k[2], 0), coalesce(k[3], 0), coalesce(k[4], 0), coalesce(k[5], 0), \
        coalesce(o[1], 0), coalesce(o[2], 0), coalesce(o[3], 0), coalesce(o[4], 0), coalesce(o[5], 0), \
        coalesce(c[1], 0), coalesce(c[2], 0), coalesce(c[3], 0), coalesce(c[4], 0), coalesce(c[5], 0), \
        n[1]::real[], n[2]::real[], n[3]::real[], n[4]::real[], n[5]::real[], \
        array_in(textout(v[1]), t[1], -1), array_in(textout(v[2]), t[2], -1), array_in(textout(v[3]), t[3], -1), \
        array_in(textout(v[4]), t[4], -1), array_in(textout(v[5]), t[5], -1)); \
    EXCEPTION WHEN OTHERS THEN INSERT INTO failed VALUES (r.schema, r.relation, r.attname); END; END LOOP; \
    TRUNCATE stage; END $body$";

/// Prepares a builder's session: the tables that statistics pass through.
pub(super) fn prepare(builder: &Writer) -> Result<(), SideError> {
    builder.run(STAGE)?;
    builder.run(OPERATORS)
}

/// Writes the statistics of all columns and expression indexes; gives (schema, relation, column) of what failed.
pub(super) fn copy(
    builder: &Writer,
    catalog: &Catalog,
) -> Result<Vec<(String, String, String)>, SideError> {
    let mut batch = String::new();
    for relation in catalog.relations.values() {
        stage(&mut batch, &relation.schema, &relation.name, &relation.statistics);
        for index in relation.indexes.iter().filter(|index| !index.statistics.is_empty()) {
            stage(&mut batch, &index.schema, &index.name, &index.statistics);
        }
        if batch.len() > 1 << 20 {
            builder.run(&std::mem::take(&mut batch))?;
        }
    }
    builder.run(&batch)?;
    builder.run(WRITE)?;
    let mut failed = Vec::new();
    builder.each("SELECT * FROM failed", |row| {
        failed.push((row.text("schema"), row.text("relation"), row.text("attname")));
    })?;
    Ok(failed)
}

/// Writes the statistics of one relation, as `copy` does.
pub(super) fn write_one(
    builder: &Writer,
    schema: &str,
    relation: &str,
    rows: &[ColumnStatistics],
) -> Result<(), SideError> {
    let mut batch = String::new();
    stage(&mut batch, schema, relation, rows);
    builder.run(&batch)?;
    builder.run(WRITE)
}

fn stage(batch: &mut String, schema: &str, relation: &str, rows: &[ColumnStatistics]) {
    let of = |row: &ColumnStatistics| {
        let cells = [
            literal(schema),
            literal(relation),
            literal(&row.column),
            row.inherited.to_string(),
            row.null_fraction.to_string(),
            row.average_width.to_string(),
            row.n_distinct.to_string(),
            literal_or_null(row.common_values.as_deref()),
            literal_or_null(row.common_frequencies.as_deref()),
            literal_or_null(row.histogram.as_deref()),
            row.correlation.map_or("NULL".to_owned(), |number| number.to_string()),
            literal_or_null(row.common_elements.as_deref()),
            literal_or_null(row.element_frequencies.as_deref()),
            literal_or_null(row.element_counts.as_deref()),
        ];
        format!("({})", cells.join(", "))
    };
    let rows: Vec<String> = rows.iter().map(of).collect();
    if !rows.is_empty() {
        batch.push_str(&format!("INSERT INTO stage VALUES {};", rows.join(", ")));
    }
}

/// Pages and rows of tables and indexes. After the last CREATE INDEX, which sets those of its table to zero.
pub(super) fn counts(catalog: &Catalog) -> Option<String> {
    let row = |schema: &str, name: &str, pages: f64, tuples: f64, visible: f64| {
        format!("({}, {}, {pages}, {tuples}, {visible})", literal(schema), literal(name))
    };
    let mut rows = Vec::new();
    for relation in catalog.relations.values().filter(|relation| super::schema::is_table(relation))
    {
        let (pages, tuples) = (relation.pages, relation.tuples);
        rows.push(row(&relation.schema, &relation.name, pages, tuples, relation.all_visible_pages));
        rows.extend(
            relation
                .indexes
                .iter()
                .filter(|index| index.valid)
                .map(|index| row(&index.schema, &index.name, index.pages, index.tuples, 0.0)),
        );
    }
    (!rows.is_empty()).then(|| {
        format!(
            "UPDATE pg_class c SET relpages = v.pages, reltuples = v.tuples, relallvisible = v.visible \
             FROM (VALUES {}) v(schema, name, pages, tuples, visible) JOIN pg_namespace n ON n.nspname = v.schema \
             WHERE c.relnamespace = n.oid AND c.relname = v.name",
            rows.join(", ")
        )
    })
}

/// The statements that write n_distinct and dependencies of extended statistics; the most common combinations go
/// another way (`combinations`).
pub(super) fn extended(catalog: &Catalog) -> Vec<String> {
    let mut all = vec![
        "CREATE CAST (bytea AS pg_ndistinct) WITHOUT FUNCTION".to_owned(),
        "CREATE CAST (bytea AS pg_dependencies) WITHOUT FUNCTION".to_owned(),
    ];
    let with_inherit = catalog.server_version >= 150_000;
    for found in catalog.extended.iter().filter(|found| found.readable) {
        let Some(relation) = catalog.relations.get(&found.relation) else { continue };
        all.push(extended_row(relation, found, with_inherit));
    }
    all
}

fn extended_row(relation: &Relation, found: &ExtendedStatistics, with_inherit: bool) -> String {
    let numbers: BTreeMap<i16, i16> = relation
        .columns
        .iter()
        .enumerate()
        .map(|(at, column)| (column.number, at as i16 + 1))
        .collect();
    let hex = |text: &Option<String>, write: fn(&str, &BTreeMap<i16, i16>) -> Option<Vec<u8>>| {
        let bytes = text.as_deref().and_then(|text| write(text, &numbers));
        bytes.map_or("NULL".to_owned(), |bytes| format!("decode('{}', 'hex')", hexadecimal(&bytes)))
    };
    let distinct = hex(&found.n_distinct, distinct_bytes);
    let dependencies = hex(&found.dependencies, dependency_bytes);
    let (column, value) = match with_inherit {
        true => (", stxdinherit", format!(", {}", relation.kind == 'p')),
        false => ("", String::new()),
    };
    let which = format!(
        "SELECT e.oid FROM pg_statistic_ext e JOIN pg_namespace n ON n.oid = e.stxnamespace \
         WHERE n.nspname = {} AND e.stxname = {}",
        literal(&found.name.0),
        literal(&found.name.1)
    );
    format!(
        "DELETE FROM pg_statistic_ext_data WHERE stxoid = ({which}); \
         INSERT INTO pg_statistic_ext_data (stxoid{column}, stxdndistinct, stxddependencies) \
         SELECT ({which}){value}, {distinct}::bytea::pg_ndistinct, {dependencies}::bytea::pg_dependencies"
    )
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `{"1, 2": 100, "1, 2, 3": 4000}` as `mvdistinct.c` stores it.
fn distinct_bytes(text: &str, numbers: &BTreeMap<i16, i16>) -> Option<Vec<u8>> {
    let items: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let mut bytes = header(0xA352_BFA4, items.len());
    for (key, value) in &items {
        let columns = attributes(key, numbers)?;
        bytes.extend(value.as_f64()?.to_le_bytes());
        bytes.extend((columns.len() as i32).to_le_bytes());
        columns.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    }
    Some(bytes)
}

/// `{"1 => 2": 1.000000, "1, 2 => 3": 0.5}` as `dependencies.c` stores it.
fn dependency_bytes(text: &str, numbers: &BTreeMap<i16, i16>) -> Option<Vec<u8>> {
    let items: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    let mut bytes = header(0xB454_9A2C, items.len());
    for (key, value) in &items {
        let columns = attributes(&key.replace("=>", ","), numbers)?;
        bytes.extend(value.as_f64()?.to_le_bytes());
        bytes.extend((columns.len() as i16).to_le_bytes());
        columns.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    }
    Some(bytes)
}

fn header(magic: u32, items: usize) -> Vec<u8> {
    let words = [magic, 1, items as u32];
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

/// Attribute numbers of the target as those of the shadow, where dropped columns are absent; expressions are negative.
fn attributes(key: &str, numbers: &BTreeMap<i16, i16>) -> Option<Vec<i16>> {
    let map = |number: i16| if number < 0 { Some(number) } else { numbers.get(&number).copied() };
    key.split(',').map(|text| text.trim().parse().ok().and_then(map)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_statistics_are_serialised_as_the_server_does() {
        // a table whose second column was dropped: 1 and 3 are 1 and 2 here
        let numbers = BTreeMap::from([(1, 1), (3, 2)]);
        let distinct = distinct_bytes("{\"1, 3\": 500}", &numbers).expect("known columns");
        let mut expected = vec![0xa4, 0xbf, 0x52, 0xa3, 1, 0, 0, 0, 1, 0, 0, 0];
        expected.extend(500f64.to_le_bytes());
        expected.extend([2, 0, 0, 0, 1, 0, 2, 0]);
        assert_eq!(distinct, expected);
        let found = dependency_bytes("{\"3 => 1\": 0.5}", &numbers).expect("known columns");
        let mut expected = vec![0x2c, 0x9a, 0x54, 0xb4, 1, 0, 0, 0, 1, 0, 0, 0];
        expected.extend(0.5f64.to_le_bytes());
        expected.extend([2, 0, 2, 0, 1, 0]);
        assert_eq!(found, expected);
        assert_eq!(distinct_bytes("{\"1, 2\": 500}", &numbers), None, "2 is gone");
    }
}

//! The catalogue image, read from a live server by the queries of `catalog_sql`.

use super::catalog_sql as sql;
use super::rows::{Cells, strings};
use super::side::{Side, SideError};
use pgsonde_advisor::catalog::{
    Activity, Catalog, Collation, Column, ColumnStatistics, Constraint, Database,
    ExtendedStatistics, Extension, Function, Index, IndexKey, Inheritance, Oid, Relation,
    RoleSetting, Type,
};
use serde_json::Value;

/// Collation OIDs that the server's own header fixes.
const COLLATION_DEFAULT: Oid = 100;
const COLLATION_C: Oid = 950;
const COLLATION_POSIX: Oid = 951;

/// Reads everything, in at most 18 queries; on request without the values that the statistics hold.
///
/// # Errors
/// The connection failed, or the server refused a query.
pub(super) fn read(side: &mut Side, values: bool) -> Result<Catalog, SideError> {
    let mut image = Catalog::default();
    environment(side, &mut image)?;
    types(side, &mut image)?;
    relations(side, &mut image)?;
    columns(side, &mut image)?;
    constraints(side, &mut image)?;
    indexes(side, &mut image)?;
    statistics(side, &mut image, values)?;
    activity(side, &mut image)?;
    Ok(image)
}

fn environment(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    side.each(sql::SETTINGS, |row| {
        image.settings.insert(row.text("name"), row.text("setting"));
    })?;
    image.server_version = image.number("server_version_num", 0.0) as u32;
    side.each(sql::DATABASE, |row| {
        image.database = database(row);
        for space in row.json("tablespaces").as_array().into_iter().flatten() {
            let oid = space[0].as_u64().unwrap_or(0) as Oid;
            let name = space[1].as_str().unwrap_or_default().to_owned();
            image.tablespaces.insert(oid, (name, strings(&space[2])));
        }
    })?;
    image.database.version_text = image.settings.get("server_version").cloned().unwrap_or_default();
    side.each(sql::ROLE_SETTINGS, |row| {
        let setting = row.text("setting");
        if let Some((name, value)) = setting.split_once('=') {
            let (role, name, value) = (row.maybe("rolname"), name.to_owned(), value.to_owned());
            image.role_settings.push(RoleSetting { role, name, value });
        }
    })?;
    side.each(sql::EXTENSIONS, |row| {
        let (name, version) = (row.text("extname"), row.text("extversion"));
        image.extensions.push(Extension { name, version, schema: row.text("nspname") });
    })?;
    side.each(sql::SCHEMAS, |row| {
        image.schemas.insert(row.number("oid"), row.text("nspname"));
    })?;
    side.each(sql::FUNCTIONS, |row| image.functions.push(function(row)))?;
    side.each(sql::COLLATIONS, |row| image.collations.push(collation(row)))
}

fn database(row: &Cells<'_>) -> Database {
    Database {
        name: row.text("datname"),
        encoding: row.text("encoding"),
        collate: row.text("datcollate"),
        ctype: row.text("datctype"),
        locale_provider: row.text("provider"),
        locale: row.maybe("locale"),
        stats_age_s: row.parsed("stats_age"),
        role: row.text("role"),
        role_is_superuser: row.flag("super"),
        version_text: String::new(),
    }
}

fn function(row: &Cells<'_>) -> Function {
    Function {
        schema: row.text("nspname"),
        name: row.text("proname"),
        language: row.text("lanname"),
        volatility: row.letter("provolatile"),
        definition: row.text("definition"),
    }
}

fn collation(row: &Cells<'_>) -> Collation {
    Collation {
        oid: row.number("oid"),
        schema: row.text("nspname"),
        name: row.text("collname"),
        provider: row.text("collprovider"),
        deterministic: row.flag("deterministic"),
        locale: row.maybe("locale"),
    }
}

fn types(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    side.each(sql::TYPES, |row| {
        let attributes = row.json("attributes");
        let attribute =
            |pair: &Value| Some((pair[0].as_str()?.to_owned(), pair[1].as_str()?.to_owned()));
        let found = Type {
            oid: row.number("oid"),
            schema: row.text("nspname"),
            name: row.text("typname"),
            kind: row.letter("typtype"),
            category: row.letter("typcategory"),
            length: row.number("typlen"),
            align: row.number("align"),
            element: row.number("element"),
            base: row.maybe("base"),
            labels: row.list("labels"),
            checks: row.list("checks"),
            attributes: attributes.as_array().into_iter().flatten().filter_map(attribute).collect(),
            in_extension: row.flag("in_extension"),
        };
        image.types.insert(found.oid, found);
    })
}

/// With file sizes, else, where a lock bars them, without.
fn sized(
    side: &mut Side,
    queries: [&'static str; 2],
    mut visit: impl FnMut(&Cells<'_>, bool),
) -> Result<(), SideError> {
    match side.each(queries[0], |row| visit(row, true)) {
        Err(SideError::Server { code, .. }) if code == "55P03" => {
            side.each(queries[1], |row| visit(row, false))
        }
        outcome => outcome,
    }
}

fn relations(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    let block_size = image.block_size();
    sized(side, sql::RELATIONS, |row, with_size| {
        let found = relation(row, with_size, block_size);
        image.relations.insert(found.oid, found);
    })?;
    side.each(sql::INHERITANCE, |row| {
        image
            .inheritance
            .push(Inheritance { child: row.number("child"), parent: row.number("parent") });
    })
}

fn relation(row: &Cells<'_>, with_size: bool, block_size: u64) -> Relation {
    let pages: f64 = row.number("relpages");
    let bytes: Option<u64> = row.parsed("bytes");
    Relation {
        oid: row.number("oid"),
        schema: row.text("nspname"),
        name: row.text("relname"),
        kind: row.letter("relkind"),
        persistence: row.letter("relpersistence"),
        access_method: row.text("am"),
        pages,
        tuples: row.number("reltuples"),
        all_visible_pages: row.number("relallvisible"),
        blocks: bytes.map_or(pages as u64, |bytes| bytes / block_size.max(1)),
        size_from_relpages: !with_size,
        options: row.list("options"),
        tablespace: row.number("tablespace"),
        row_security: row.flag("rls"),
        readable: row.flag("readable"),
        owned: row.flag("owned"),
        partition_key: row.maybe("partkey"),
        partition_bound: row.maybe("bound"),
        view: row.maybe("viewdef"),
        ..Relation::default()
    }
}

fn columns(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    let database_by_bytes = matches!(image.database.collate.as_str(), "C" | "POSIX")
        && image.database.locale_provider == "c"
        || image.database.locale_provider == "b";
    let Catalog { relations, .. } = image;
    side.each(sql::COLUMNS, |row| {
        let Some(relation) = relations.get_mut(&row.number("relation")) else { return };
        let collation: Oid = row.number("collation");
        let by_bytes = match collation {
            COLLATION_DEFAULT => database_by_bytes,
            COLLATION_C | COLLATION_POSIX => true,
            _ => matches!(row.optional("collcollate"), Some("C" | "POSIX")),
        };
        let own = row.flag("own_collation").then(|| (row.text("collschema"), row.text("collname")));
        relation.columns.push(Column {
            number: row.number("attnum"),
            name: row.text("attname"),
            type_oid: row.number("type"),
            type_text: row.text("type_text"),
            not_null: row.flag("not_null"),
            collation: own,
            sorts_by_bytes: by_bytes,
            statistics_target: row.parsed("target"),
            generated: row.optional("generated").and_then(|text| text.chars().next()),
            generation: row.maybe("generation"),
        });
    })
}

fn constraints(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    let Catalog { relations, .. } = image;
    side.each(sql::CONSTRAINTS, |row| {
        let Some(relation) = relations.get_mut(&row.number("relation")) else { return };
        let foreign: Oid = row.number("foreign");
        relation.constraints.push(Constraint {
            name: row.text("conname"),
            kind: row.letter("contype"),
            columns: row.list("columns"),
            foreign: (foreign != 0)
                .then(|| (foreign, row.list("foreign_columns"), row.letter("confdeltype"))),
            definition: row.text("definition"),
            index: row.number("index"),
            inherited: row.flag("inherited"),
        });
    })
}

fn indexes(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    let block_size = image.block_size();
    let Catalog { relations, .. } = image;
    sized(side, sql::INDEXES, |row, _| {
        if let Some(relation) = relations.get_mut(&row.number("relation")) {
            relation.indexes.push(index(row, block_size));
        }
    })
}

fn index(row: &Cells<'_>, block_size: u64) -> Index {
    let pages: f64 = row.number("relpages");
    let bytes: Option<u64> = row.parsed("bytes");
    Index {
        oid: row.number("oid"),
        schema: row.text("nspname"),
        name: row.text("relname"),
        access_method: row.text("amname"),
        keys: row.json("keys").as_array().into_iter().flatten().map(index_key).collect(),
        include: row.list("include"),
        predicate: row.maybe("predicate"),
        predicate_conjuncts: Vec::new(),
        unique: row.flag("is_unique"),
        primary: row.flag("is_primary"),
        of_constraint: row.flag("of_constraint"),
        replica_identity: row.flag("replica"),
        valid: row.flag("valid"),
        definition: row.text("definition"),
        blocks: bytes.map_or(pages as u64, |bytes| bytes / block_size.max(1)),
        pages,
        tuples: row.number("reltuples"),
        scans: 0,
        statistics: Vec::new(),
        options: row.list("options"),
    }
}

fn index_key(key: &Value) -> IndexKey {
    let text = |name: &str| key[name].as_str().unwrap_or_default().to_owned();
    let options = key["options"].as_i64().unwrap_or(0);
    IndexKey {
        column: key["column"].as_str().map(str::to_owned),
        text: text("text"),
        normal: None,
        opclass: (text("schema"), text("class")),
        descending: options & 1 != 0,
        nulls_first: options & 2 != 0,
    }
}

fn statistics(side: &mut Side, image: &mut Catalog, values: bool) -> Result<(), SideError> {
    let Catalog { relations, extended, .. } = image;
    let by_name: std::collections::HashMap<(String, String), Oid> = relations
        .values()
        .map(|relation| ((relation.schema.clone(), relation.name.clone()), relation.oid))
        .collect();
    let mut of_indexes: std::collections::HashMap<(String, String), Vec<ColumnStatistics>> =
        std::collections::HashMap::new();
    side.each(sql::STATISTICS[usize::from(!values)], |row| {
        let name = (row.text("schemaname"), row.text("tablename"));
        match by_name.get(&name).and_then(|oid| relations.get_mut(oid)) {
            Some(relation) => relation.statistics.push(column_statistics(row)),
            None => of_indexes.entry(name).or_default().push(column_statistics(row)),
        }
    })?;
    for index in relations.values_mut().flat_map(|relation| &mut relation.indexes) {
        let name = (index.schema.clone(), index.name.clone());
        index.statistics = of_indexes.remove(&name).unwrap_or_default();
    }
    side.each(sql::EXTENDED[usize::from(!values)], |row| {
        extended.push(ExtendedStatistics {
            relation: row.number("relation"),
            name: (row.text("schema"), row.text("stxname")),
            definition: row.text("definition"),
            kinds: row.text("kinds"),
            columns: row.list("columns"),
            n_distinct: row.maybe("n_distinct"),
            dependencies: row.maybe("dependencies"),
            common_values: row.maybe("common_values"),
            common_frequencies: row.maybe("common_frequencies"),
            common_base_frequencies: row.maybe("common_base"),
            readable: row.flag("readable"),
        });
    })
}

fn column_statistics(row: &Cells<'_>) -> ColumnStatistics {
    ColumnStatistics {
        column: row.text("attname"),
        inherited: row.flag("inherited"),
        null_fraction: row.number("null_frac"),
        average_width: row.number("avg_width"),
        n_distinct: row.number("n_distinct"),
        common_values: row.maybe("mcv"),
        common_frequencies: row.maybe("mcf"),
        histogram: row.maybe("histogram"),
        correlation: row.parsed("correlation"),
        common_elements: row.maybe("elements"),
        element_frequencies: row.maybe("element_freqs"),
        element_counts: row.maybe("element_counts"),
    }
}

fn activity(side: &mut Side, image: &mut Catalog) -> Result<(), SideError> {
    let Catalog { relations, .. } = image;
    side.each(sql::TABLE_ACTIVITY, |row| {
        let Some(relation) = relations.get_mut(&row.number("relation")) else { return };
        relation.activity = Activity {
            inserted: row.number("n_tup_ins"),
            updated: row.number("n_tup_upd"),
            hot_updated: row.number("n_tup_hot_upd"),
            deleted: row.number("n_tup_del"),
            modified_since_analyze: row.number("n_mod_since_analyze"),
            analyzed: row.flag("analyzed"),
        };
    })?;
    side.each(sql::INDEX_ACTIVITY, |row| {
        let Some(relation) = relations.get_mut(&row.number("relation")) else { return };
        let oid: Oid = row.number("oid");
        let index = relation.indexes.iter_mut().find(|index| index.oid == oid);
        index.into_iter().for_each(|index| index.scans = row.number("idx_scan"));
    })
}

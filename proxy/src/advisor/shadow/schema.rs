//! The target's schema as statements, from the catalogue image alone.

use super::client::literal;
use pgsonde_advisor::catalog::{Catalog, Column, Constraint, Function, Oid, Relation, Type};
use pgsonde_advisor::ddl::{qualified, quoted};
use std::collections::BTreeSet;

/// Extensions that are types, operators and functions of types, and can't reach beyond the database.
const EXTENSIONS: [&str; 18] = [
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "earthdistance",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "postgis",
    "seg",
    "tablefunc",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// Planner settings that are the database's.
const SETTINGS: [&str; 52] = [
    "seq_page_cost",
    "random_page_cost",
    "cpu_tuple_cost",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "parallel_tuple_cost",
    "parallel_setup_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
    "max_parallel_workers_per_gather",
    "max_parallel_workers",
    "parallel_leader_participation",
    "effective_cache_size",
    "work_mem",
    "hash_mem_multiplier",
    "enable_async_append",
    "enable_bitmapscan",
    "enable_distinct_reordering",
    "enable_gathermerge",
    "enable_group_by_reordering",
    "enable_hashagg",
    "enable_hashjoin",
    "enable_incremental_sort",
    "enable_indexonlyscan",
    "enable_indexscan",
    "enable_material",
    "enable_memoize",
    "enable_mergejoin",
    "enable_nestloop",
    "enable_parallel_append",
    "enable_parallel_hash",
    "enable_partition_pruning",
    "enable_partitionwise_aggregate",
    "enable_partitionwise_join",
    "enable_presorted_aggregate",
    "enable_self_join_elimination",
    "enable_seqscan",
    "enable_sort",
    "enable_tidscan",
    "geqo",
    "geqo_effort",
    "geqo_generations",
    "geqo_pool_size",
    "geqo_seed",
    "geqo_selection_bias",
    "geqo_threshold",
    "from_collapse_limit",
    "join_collapse_limit",
    "default_statistics_target",
    "constraint_exclusion",
    "cursor_tuple_fraction",
    "recursive_worktable_factor",
];

/// Who runs a statement: whoever may do less, does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// The owner of everything that is imported; also the role that plans.
    Planner,
    /// The superuser, who never runs a function of the target.
    Builder,
}

/// One object of the target.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// What is wrong if it can't be made.
    pub(super) what: String,
    /// The relation that can't be trusted then.
    pub(super) relation: Option<Oid>,
    pub(super) by: By,
    pub(super) sql: String,
}

/// Everything in an order in which most of it can be made at once; what failed is tried again after the rest.
pub(super) fn objects(catalog: &Catalog) -> Vec<Object> {
    let mut all = foundations(catalog);
    all.extend(catalog.types.values().filter_map(user_type));
    all.extend(catalog.functions.iter().map(function));
    let tables = || catalog.relations.values().filter(|relation| is_table(relation));
    all.extend(tables().map(table));
    all.extend(tables().filter_map(|relation| child(catalog, relation)));
    let mut deepest_first: Vec<&Relation> = tables().collect();
    deepest_first.sort_by_key(|relation| std::cmp::Reverse(depth(catalog, relation.oid)));
    for relation in &deepest_first {
        all.extend(relation.constraints.iter().filter_map(|key| indexed(relation, key)));
        all.extend(indexes(relation));
    }
    all.extend(tables().flat_map(|relation| {
        relation.constraints.iter().filter_map(move |rule| unindexed(relation, rule))
    }));
    all.extend(catalog.relations.values().filter(|relation| relation.kind == 'v').map(view));
    all.extend(catalog.extended.iter().map(|extended| {
        let what = format!("the extended statistics {}", extended.name.1);
        object(what, Some(extended.relation), extended.definition.clone())
    }));
    all
}

fn object(what: String, relation: Option<Oid>, sql: String) -> Object {
    Object { what, relation, by: By::Planner, sql }
}

/// Schemas, extensions, collations.
fn foundations(catalog: &Catalog) -> Vec<Object> {
    let schemas: BTreeSet<&String> = catalog.schemas.values().collect();
    let mut all: Vec<Object> = schemas
        .into_iter()
        .map(|schema| {
            let sql = format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(schema));
            object(format!("the schema {schema}"), None, sql)
        })
        .collect();
    for extension in catalog.extensions.iter().filter(|extension| extension.name != "plpgsql") {
        let known = EXTENSIONS.contains(&extension.name.as_str());
        if known {
            let (name, schema) = (quoted(&extension.name), quoted(&extension.schema));
            let sql = format!("CREATE EXTENSION IF NOT EXISTS {name} SCHEMA {schema}");
            let what = format!("the extension {}", extension.name);
            all.push(Object { what, relation: None, by: By::Builder, sql });
        }
    }
    for collation in &catalog.collations {
        let provider = match collation.provider.as_str() {
            "i" => "icu",
            "b" => "builtin",
            _ => "libc",
        };
        let sql = format!(
            "CREATE COLLATION {}.{} (provider = {provider}, locale = {}, deterministic = {})",
            quoted(&collation.schema),
            quoted(&collation.name),
            literal(collation.locale.as_deref().unwrap_or("C")),
            collation.deterministic
        );
        all.push(object(format!("the collation {}", collation.name), None, sql));
    }
    all
}

/// Enums, domains and composites.
fn user_type(found: &Type) -> Option<Object> {
    if found.in_extension || matches!(found.schema.as_str(), "pg_catalog" | "pg_toast") {
        return None;
    }
    let name = format!("{}.{}", quoted(&found.schema), quoted(&found.name));
    let sql = match found.kind {
        'e' => {
            let labels: Vec<String> = found.labels.iter().map(|label| literal(label)).collect();
            format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", "))
        }
        'd' => {
            let checks = found.checks.join(" ");
            format!("CREATE DOMAIN {name} AS {} {checks}", found.base.as_deref()?)
        }
        'c' => {
            let of = |(name, of): &(String, String)| format!("{} {of}", quoted(name));
            let attributes: Vec<String> = found.attributes.iter().map(of).collect();
            format!("CREATE TYPE {name} AS ({})", attributes.join(", "))
        }
        _ => return None,
    };
    Some(object(format!("the type {}", found.name), None, sql))
}

fn function(function: &Function) -> Object {
    object(format!("the function {}", function.name), None, function.definition.clone())
}

/// What has rows of its own and can have indexes.
pub(super) fn is_table(relation: &Relation) -> bool {
    matches!(relation.kind, 'r' | 'p' | 'm') && relation.persistence != 't'
}

fn table(relation: &Relation) -> Object {
    let columns: Vec<String> = relation.columns.iter().map(column).collect();
    let mut sql = format!("CREATE TABLE {} ({})", qualified(relation), columns.join(", "));
    if let Some(key) = &relation.partition_key {
        sql.push_str(&format!(" PARTITION BY {key}"));
    }
    // the planner reads these two
    let options: Vec<String> = relation
        .options
        .iter()
        .filter(|option| {
            option.starts_with("fillfactor=") || option.starts_with("parallel_workers=")
        })
        .cloned()
        .collect();
    if !options.is_empty() {
        sql.push_str(&format!(" WITH ({})", options.join(", ")));
    }
    object("the table".to_owned(), Some(relation.oid), sql)
}

fn column(column: &Column) -> String {
    let mut text = format!("{} {}", quoted(&column.name), column.type_text);
    if let Some((schema, name)) = &column.collation {
        text.push_str(&format!(" COLLATE {}.{}", quoted(schema), quoted(name)));
    }
    if let (Some('v'), Some(expression)) = (column.generated, &column.generation) {
        text.push_str(&format!(" GENERATED ALWAYS AS ({expression}) VIRTUAL"));
    }
    if column.not_null {
        text.push_str(" NOT NULL");
    }
    text
}

/// A partition or a child, attached to its parent.
fn child(catalog: &Catalog, relation: &Relation) -> Option<Object> {
    let link = catalog.inheritance.iter().find(|link| link.child == relation.oid)?;
    let parent = catalog.relations.get(&link.parent)?;
    let (name, above) = (qualified(relation), qualified(parent));
    let sql = match &relation.partition_bound {
        Some(bound) => format!("ALTER TABLE {above} ATTACH PARTITION {name} {bound}"),
        None => format!("ALTER TABLE {name} INHERIT {above}"),
    };
    Some(object("its place below its parent".to_owned(), Some(relation.oid), sql))
}

fn depth(catalog: &Catalog, oid: Oid) -> usize {
    let mut at = oid;
    for depth in 0..64 {
        match catalog.inheritance.iter().find(|link| link.child == at) {
            Some(link) => at = link.parent,
            None => return depth,
        }
    }
    64
}

/// Keys that bring an index: those of partitions as well, so that they keep their names.
fn indexed(relation: &Relation, key: &Constraint) -> Option<Object> {
    matches!(key.kind, 'p' | 'u' | 'x').then(|| constraint(relation, key))
}

/// Checks and foreign keys; those that are inherited come with the parent's.
fn unindexed(relation: &Relation, rule: &Constraint) -> Option<Object> {
    (matches!(rule.kind, 'c' | 'f') && !rule.inherited).then(|| constraint(relation, rule))
}

fn constraint(relation: &Relation, rule: &Constraint) -> Object {
    let (table, name) = (qualified(relation), quoted(&rule.name));
    let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {name} {}", rule.definition);
    object(format!("its constraint {}", rule.name), Some(relation.oid), sql)
}

/// Valid indexes that no constraint brings. A parent's is made without ONLY: it takes up those of its partitions.
fn indexes(relation: &Relation) -> impl Iterator<Item = Object> + '_ {
    let wanted = relation.indexes.iter().filter(|index| index.valid && !index.of_constraint);
    wanted.map(move |index| {
        let sql = index.definition.replacen(" ON ONLY ", " ON ", 1);
        object(format!("its index {}", index.name), Some(relation.oid), sql)
    })
}

fn view(relation: &Relation) -> Object {
    let options = match relation.options.as_slice() {
        [] => String::new(),
        options => format!(" WITH ({})", options.join(", ")),
    };
    let definition = relation.view.as_deref().unwrap_or_default().trim_end_matches(';');
    let sql = format!("CREATE VIEW {}{options} AS {definition}", qualified(relation));
    object("the view".to_owned(), Some(relation.oid), sql)
}

/// The planner's settings, and page costs of the default tablespace; each may be unknown to this minor version.
pub(super) fn settings(catalog: &Catalog, search_path: &[String]) -> Vec<String> {
    let known = |name: &&&str| catalog.settings.contains_key(**name);
    let of = |name: &str| {
        let value = literal(&catalog.settings[name]);
        format!("ALTER DATABASE {} SET {name} = {value}", super::client::DATABASE)
    };
    let mut all: Vec<String> = SETTINGS.iter().filter(known).map(|name| of(name)).collect();
    all.push(format!("ALTER ROLE {} {}", super::PLANNER, set_search_path(search_path)));
    let default = catalog.tablespaces.values().find(|(name, _)| name == "pg_default");
    if let Some((_, options)) = default.filter(|(_, options)| !options.is_empty()) {
        all.push(format!("ALTER TABLESPACE pg_default SET ({})", options.join(", ")));
    }
    all
}

/// The schemas in which the workload's names are looked up.
pub(super) fn set_search_path(search_path: &[String]) -> String {
    let schemas: Vec<String> = search_path.iter().map(|schema| quoted(schema)).collect();
    let path = if schemas.is_empty() { "pg_catalog".to_owned() } else { schemas.join(", ") };
    format!("SET search_path = {path}")
}

//! The catalogue image: what the advisor knows of the target, as plain values.
//!
//! It is read once per run; everything that is decided later is decided from it. Types are named by OID where the
//! server names them so; texts are the server's own (`pg_get_indexdef`, `format_type`, arrays of `pg_stats`).

use std::collections::BTreeMap;

/// An object identifier of the server.
pub type Oid = u32;

/// Everything read from one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// `server_version_num`: 150004 is 15.4.
    pub server_version: u32,
    /// The database itself.
    pub database: Database,
    /// `pg_settings` by name, in base units (pages, kB, ms).
    pub settings: BTreeMap<String, String>,
    /// `ALTER ROLE … SET` and `ALTER DATABASE … SET`.
    pub role_settings: Vec<RoleSetting>,
    /// Installed extensions.
    pub extensions: Vec<Extension>,
    /// Schemas by OID.
    pub schemas: BTreeMap<Oid, String>,
    /// Tablespaces by OID: name and options.
    pub tablespaces: BTreeMap<Oid, (String, Vec<String>)>,
    /// Collations that users defined.
    pub collations: Vec<Collation>,
    /// Types by OID, as far as columns, domains and composites use them.
    pub types: BTreeMap<Oid, Type>,
    /// Functions in `sql` and `plpgsql` outside of `pg_catalog` and extensions.
    pub functions: Vec<Function>,
    /// Tables, partitioned tables, views, materialized views, foreign tables, by OID.
    pub relations: BTreeMap<Oid, Relation>,
    /// Parents and children, in `inhseqno` order.
    pub inheritance: Vec<Inheritance>,
    /// Extended statistics.
    pub extended: Vec<ExtendedStatistics>,
    /// What could not be read or is known only roughly, in words.
    pub notes: Vec<String>,
}

/// `pg_database`, of the current database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    /// Its name.
    pub name: String,
    /// Its encoding, `UTF8`.
    pub encoding: String,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// `c`, `i` (ICU) or `b` (built in); `c` before 15.
    pub locale_provider: String,
    /// Locale of ICU or the built-in provider.
    pub locale: Option<String>,
    /// Seconds since `stats_reset`, if there ever was one.
    pub stats_age_s: Option<f64>,
    /// The role that reads.
    pub role: String,
    /// Whether that role is a superuser.
    pub role_is_superuser: bool,
    /// `server_version`, as people write it.
    pub version_text: String,
}

/// One `name=value` of `pg_db_role_setting`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSetting {
    /// The role; `None` = all.
    pub role: Option<String>,
    /// Name of the setting.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// An installed extension.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema of its objects.
    pub schema: String,
}

/// A collation that a user defined.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collation {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `c`, `i`, `b` or `d`.
    pub provider: String,
    /// Whether equal means equal bytes.
    pub deterministic: bool,
    /// `collcollate`, or the ICU locale.
    pub locale: Option<String>,
}

/// A data type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Type {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// `pg_type.typname`: `int8`, `_text`, `citext`.
    pub name: String,
    /// `typtype`: b base, c composite, d domain, e enum, r range, m multirange.
    pub kind: char,
    /// `typcategory`: N numeric, S string, A array, U user.
    pub category: char,
    /// `typlen` in bytes; negative = variable.
    pub length: i16,
    /// `typalign` in bytes.
    pub align: u8,
    /// Element type of an array, base type of a domain, else 0.
    pub element: Oid,
    /// For domains: `format_type` of the base type, with NOT NULL and the default in `checks`.
    pub base: Option<String>,
    /// Labels of an enum, in order.
    pub labels: Vec<String>,
    /// Constraints of a domain (`pg_get_constraintdef`).
    pub checks: Vec<String>,
    /// Attributes of a composite: name and type as text.
    pub attributes: Vec<(String, String)>,
    /// Owned by an extension.
    pub in_extension: bool,
}

/// A function that expressions, views or checks may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Function {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `sql` or `plpgsql`.
    pub language: String,
    /// `i`, `s` or `v`.
    pub volatility: char,
    /// `pg_get_functiondef`.
    pub definition: String,
}

/// A table, view or materialized view.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Relation {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `relkind`: r table, p partitioned, v view, m materialized view, f foreign.
    pub kind: char,
    /// `relpersistence`: p, u, t.
    pub persistence: char,
    /// Its access method, `heap`.
    pub access_method: String,
    /// `relpages`, as of the last ANALYZE or VACUUM.
    pub pages: f64,
    /// `reltuples`; −1 = never analysed.
    pub tuples: f64,
    /// `relallvisible`.
    pub all_visible_pages: f64,
    /// Blocks of the main fork now.
    pub blocks: u64,
    /// The size is `relpages`: the file could not be looked at.
    pub size_from_relpages: bool,
    /// `reloptions`.
    pub options: Vec<String>,
    /// Tablespace; 0 = the database's.
    pub tablespace: Oid,
    /// Row security is on.
    pub row_security: bool,
    /// The reading role may SELECT.
    pub readable: bool,
    /// The reading role owns it.
    pub owned: bool,
    /// `pg_get_partkeydef`.
    pub partition_key: Option<String>,
    /// `FOR VALUES …` of a partition.
    pub partition_bound: Option<String>,
    /// `pg_get_viewdef`.
    pub view: Option<String>,
    /// Columns in order, without dropped ones.
    pub columns: Vec<Column>,
    /// Constraints.
    pub constraints: Vec<Constraint>,
    /// Indexes, valid or not.
    pub indexes: Vec<Index>,
    /// Rows of `pg_stats`.
    pub statistics: Vec<ColumnStatistics>,
    /// Counters of `pg_stat_user_tables`.
    pub activity: Activity,
}

/// A column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Column {
    /// `attnum`.
    pub number: i16,
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub type_oid: Oid,
    /// `format_type` with the modifier.
    pub type_text: String,
    /// NOT NULL.
    pub not_null: bool,
    /// Schema and name of a collation that isn't the type's.
    pub collation: Option<(String, String)>,
    /// Whether that collation, else the database's, sorts by bytes.
    pub sorts_by_bytes: bool,
    /// `attstattarget`; `None` = default.
    pub statistics_target: Option<i16>,
    /// `s` stored, `v` virtual.
    pub generated: Option<char>,
    /// Expression of a generated column.
    pub generation: Option<String>,
}

/// A constraint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Constraint {
    /// Its name.
    pub name: String,
    /// `contype`: p, u, f, c, x, n.
    pub kind: char,
    /// Columns by name, in the constraint's order.
    pub columns: Vec<String>,
    /// For foreign keys: the table referred to, its columns, and `confdeltype` (a, r, c, n, d).
    pub foreign: Option<(Oid, Vec<String>, char)>,
    /// `pg_get_constraintdef`.
    pub definition: String,
    /// Its index, else 0.
    pub index: Oid,
    /// Inherited from a parent: the parent's constraint brings it.
    pub inherited: bool,
}

/// An index.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Index {
    /// Its OID.
    pub oid: Oid,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `btree`, `hash`, `gin` …
    pub access_method: String,
    /// Key columns, in order.
    pub keys: Vec<IndexKey>,
    /// INCLUDE columns by name.
    pub include: Vec<String>,
    /// The predicate (`pg_get_expr`).
    pub predicate: Option<String>,
    /// The predicate's conjuncts in normal text, filled in by the parser.
    pub predicate_conjuncts: Vec<String>,
    /// UNIQUE.
    pub unique: bool,
    /// Of the primary key.
    pub primary: bool,
    /// Made by a constraint.
    pub of_constraint: bool,
    /// Replica identity.
    pub replica_identity: bool,
    /// Valid, ready and live.
    pub valid: bool,
    /// `pg_get_indexdef`.
    pub definition: String,
    /// Blocks of the main fork now.
    pub blocks: u64,
    /// `relpages` and `reltuples`.
    pub pages: f64,
    /// Entries as of the last ANALYZE or VACUUM.
    pub tuples: f64,
    /// `idx_scan`.
    pub scans: u64,
    /// Rows of `pg_stats` for keys that are expressions, as far as the role may read them.
    pub statistics: Vec<ColumnStatistics>,
    /// `reloptions`.
    pub options: Vec<String>,
}

/// One key of an index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexKey {
    /// The column; `None` for an expression.
    pub column: Option<String>,
    /// `pg_get_indexdef(index, n, true)`.
    pub text: String,
    /// The expression in normal text, filled in by the parser.
    pub normal: Option<String>,
    /// Schema and name of the operator class.
    pub opclass: (String, String),
    /// DESC.
    pub descending: bool,
    /// NULLS FIRST.
    pub nulls_first: bool,
}

/// A parent and a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Inheritance {
    /// The child.
    pub child: Oid,
    /// The parent.
    pub parent: Oid,
}

/// A row of `pg_stats`; arrays as the server writes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStatistics {
    /// The column.
    pub column: String,
    /// Over the children too.
    pub inherited: bool,
    /// Share of NULL.
    pub null_fraction: f64,
    /// Bytes.
    pub average_width: f64,
    /// As `pg_stats.n_distinct`: negative = share of the rows.
    pub n_distinct: f64,
    /// Most common values.
    pub common_values: Option<String>,
    /// Their frequencies.
    pub common_frequencies: Option<String>,
    /// Bounds of the histogram.
    pub histogram: Option<String>,
    /// Correlation with the physical order.
    pub correlation: Option<f64>,
    /// Most common elements.
    pub common_elements: Option<String>,
    /// Their frequencies, with the trailing minimum and maximum.
    pub element_frequencies: Option<String>,
    /// Counts of elements; the last is the mean.
    pub element_counts: Option<String>,
}

/// Extended statistics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExtendedStatistics {
    /// The table.
    pub relation: Oid,
    /// Schema and name.
    pub name: (String, String),
    /// `pg_get_statisticsobjdef`.
    pub definition: String,
    /// Kinds: d, f, m, e.
    pub kinds: String,
    /// Plain columns by name, in attribute order.
    pub columns: Vec<String>,
    /// `pg_stats_ext.n_distinct` as text.
    pub n_distinct: Option<String>,
    /// `pg_stats_ext.dependencies` as text.
    pub dependencies: Option<String>,
    /// `pg_stats_ext.most_common_vals` as text: the most common combinations.
    pub common_values: Option<String>,
    /// Their shares of the rows, as the text of an array.
    pub common_frequencies: Option<String>,
    /// Their shares of the rows if the columns were independent, as the text of an array.
    pub common_base_frequencies: Option<String>,
    /// `pg_stats_ext` showed a row.
    pub readable: bool,
}

/// Counters since the last reset.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Activity {
    /// Rows inserted.
    pub inserted: u64,
    /// Rows updated.
    pub updated: u64,
    /// Rows updated without new index entries.
    pub hot_updated: u64,
    /// Rows deleted.
    pub deleted: u64,
    /// Rows changed since the last ANALYZE.
    pub modified_since_analyze: u64,
    /// It was analysed at least once.
    pub analyzed: bool,
}

impl Catalog {
    /// A planner setting as a number; `default` where it is missing.
    pub fn number(&self, setting: &str, default: f64) -> f64 {
        self.settings.get(setting).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// Bytes of a block.
    pub fn block_size(&self) -> u64 {
        self.number("block_size", 8192.0) as u64
    }

    /// A relation by schema and name; without a schema the first hit along `search_path`.
    pub fn find(
        &self,
        schema: Option<&str>,
        name: &str,
        search_path: &[String],
    ) -> Option<&Relation> {
        let in_schema = |schema: &str| {
            self.relations.values().find(|found| found.schema == schema && found.name == name)
        };
        match schema {
            Some(schema) => in_schema(schema),
            None => search_path.iter().find_map(|schema| in_schema(schema)),
        }
    }

    /// The topmost table above a partition or child, itself if it has no parent.
    pub fn topmost(&self, oid: Oid) -> Oid {
        let mut at = oid;
        // a cycle can't occur in the catalogue, but an image may be torn
        for _ in 0..64 {
            match self.inheritance.iter().find(|link| link.child == at) {
                Some(link) => at = link.parent,
                None => break,
            }
        }
        at
    }

    /// The tables that hold the rows of `oid`: itself, or the leaves below a partitioned table.
    pub fn leaves(&self, oid: Oid) -> Vec<&Relation> {
        let Some(relation) = self.relations.get(&oid) else { return Vec::new() };
        if relation.kind != 'p' {
            return vec![relation];
        }
        let children = self.inheritance.iter().filter(|link| link.parent == oid);
        children.filter(|link| link.child != oid).flat_map(|link| self.leaves(link.child)).collect()
    }

    /// Pages and rows of a table, summed over partitions.
    pub fn pages_and_rows(&self, oid: Oid) -> (f64, f64) {
        let sum = |(pages, rows): (f64, f64), leaf: &Relation| {
            (pages + leaf.blocks as f64, rows + leaf.rows())
        };
        self.leaves(oid).into_iter().fold((0.0, 0.0), sum)
    }

    /// Bytes of all heaps.
    pub fn heap_bytes(&self) -> u64 {
        let heaps = self.relations.values().filter(|relation| matches!(relation.kind, 'r' | 'm'));
        heaps.map(|relation| relation.blocks).sum::<u64>() * self.block_size()
    }

    /// Whether an extension is installed.
    pub fn extension(&self, name: &str) -> Option<&Extension> {
        self.extensions.iter().find(|extension| extension.name == name)
    }
}

impl Relation {
    /// Rows now, as the planner sees them: density of the last ANALYZE times the present size.
    pub fn rows(&self) -> f64 {
        if self.tuples < 0.0 {
            return 0.0;
        }
        if self.pages > 0.0 { self.tuples / self.pages * self.blocks as f64 } else { self.tuples }
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Statistics of a column; over the children where there are such.
    pub fn statistics_of(&self, column: &str) -> Option<&ColumnStatistics> {
        let of = |inherited: bool| {
            self.statistics
                .iter()
                .find(move |row| row.column == column && row.inherited == inherited)
        };
        if self.kind == 'p' { of(true) } else { of(false) }
    }

    /// Share of all-visible pages, 0 to 1.
    pub fn visible_share(&self) -> f64 {
        if self.pages > 0.0 { (self.all_visible_pages / self.pages).min(1.0) } else { 0.0 }
    }
}

impl ColumnStatistics {
    /// Distinct values among `rows`, at least 1.
    pub fn distinct(&self, rows: f64) -> f64 {
        let count = if self.n_distinct < 0.0 { -self.n_distinct * rows } else { self.n_distinct };
        count.clamp(1.0, rows.max(1.0))
    }
}

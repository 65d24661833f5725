//! The catalogue queries: all that is ever read of the target besides EXPLAIN. Each gives texts only.

/// Schemas whose objects are nobody's to index.
macro_rules! own_schemas {
    () => {
        "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    };
}

macro_rules! relations {
    ($size:literal) => {
        concat!(
            "SELECT c.oid::int8 AS oid, n.nspname, c.relname, c.relkind, c.relpersistence, coalesce(a.amname, '') AS am, \
             c.relpages, c.reltuples, c.relallvisible, CASE WHEN c.relkind IN ('r','m') THEN ",
            $size,
            " END AS bytes, \
             coalesce(to_json(c.reloptions), '[]') AS options, c.reltablespace::int8 AS tablespace, \
             c.relrowsecurity AS rls, has_table_privilege(c.oid, 'SELECT') AS readable, \
             pg_get_userbyid(c.relowner) = current_user AS owned, \
             CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partkey, \
             CASE WHEN c.relispartition THEN pg_get_expr(c.relpartbound, c.oid) END AS bound, \
             CASE WHEN c.relkind IN ('v','m') THEN pg_get_viewdef(c.oid) END AS viewdef \
             FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam \
             WHERE c.relkind IN ('r','p','v','m','f') AND ",
            own_schemas!(),
            " ORDER BY c.oid LIMIT 20000"
        )
    };
}

macro_rules! indexes {
    ($size:literal) => {
        concat!(
            "SELECT i.indrelid::int8 AS relation, i.indexrelid::int8 AS oid, n.nspname, x.relname, a.amname, \
             i.indisunique AS is_unique, i.indisprimary AS is_primary, i.indisreplident AS replica, \
             i.indisvalid AND i.indisready AND i.indislive AS valid, x.relpages, x.reltuples, \
             CASE WHEN x.relkind = 'i' THEN ",
            $size,
            " END AS bytes, coalesce(to_json(x.reloptions), '[]') AS options, \
             EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p','u','x')) \
              AS of_constraint, \
             pg_get_indexdef(i.indexrelid) AS definition, pg_get_expr(i.indpred, i.indrelid) AS predicate, \
             (SELECT json_agg(json_build_object('text', pg_get_indexdef(i.indexrelid, p.at, true), 'column', c.attname, \
               'class', o.opcname, 'schema', os.nspname, 'options', i.indoption[p.at - 1]) ORDER BY p.at) \
              FROM generate_series(1, i.indnkeyatts) p(at) \
              LEFT JOIN pg_attribute c ON c.attrelid = i.indrelid AND c.attnum = i.indkey[p.at - 1] AND c.attnum > 0 \
              LEFT JOIN pg_opclass o ON o.oid = i.indclass[p.at - 1] \
              LEFT JOIN pg_namespace os ON os.oid = o.opcnamespace) AS keys, \
             (SELECT json_agg(c.attname ORDER BY p.at) FROM generate_series(i.indnkeyatts + 1, i.indnatts) p(at) \
              JOIN pg_attribute c ON c.attrelid = i.indrelid AND c.attnum = i.indkey[p.at - 1]) AS include \
             FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid \
             JOIN pg_namespace n ON n.oid = t.relnamespace JOIN pg_am a ON a.oid = x.relam WHERE ",
            own_schemas!(),
            " ORDER BY i.indrelid, x.relname"
        )
    };
}

/// Whether more than 80 % of the connections are taken.
pub(super) const BUSY: &str = "SELECT (SELECT sum(numbackends) FROM pg_stat_database) \
    > 0.8 * current_setting('max_connections')::int AS busy";

/// Another one wherever an index comes, goes or becomes valid.
pub(super) const INDEX_MARK: &str = "SELECT count(*) AS count, coalesce(sum(indexrelid::int8), 0) AS sum \
    FROM pg_index WHERE indisvalid";

/// Where `pg_stat_statements` lives, if it does.
pub(super) const STATEMENTS_SCHEMA: &str = "SELECT nspname AS schema FROM pg_extension \
    JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'pg_stat_statements'";

/// The server's ids and texts of this database's statements; texts over 16 KiB are left out, and so is what other roles
/// ran where this one may not see it. `schema` is quoted.
pub(super) fn query_texts(schema: &str) -> String {
    format!(
        "SELECT queryid, query FROM {schema}.pg_stat_statements \
         WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         AND queryid <> 0 AND octet_length(query) <= 16384 AND query <> '<insufficient privilege>' \
         ORDER BY calls DESC LIMIT 5000"
    )
}

pub(super) const SETTINGS: &str = "SELECT name, setting FROM pg_settings \
    WHERE category LIKE 'Query Tuning%' OR name LIKE 'jit%' OR name IN ('block_size', 'segment_size', \
    'server_version_num', 'server_version', 'work_mem', 'hash_mem_multiplier', 'max_parallel_workers_per_gather', \
    'max_parallel_workers', 'max_worker_processes', 'max_connections', 'default_statistics_target', 'search_path')";

/// The newer columns differ by version: JSON finds those that are there.
pub(super) const DATABASE: &str = "SELECT d.datname, pg_encoding_to_char(d.encoding) AS encoding, \
    d.datcollate, d.datctype, coalesce(j.d->>'datlocprovider', 'c') AS provider, \
    coalesce(j.d->>'datlocale', j.d->>'daticulocale') AS locale, current_user AS role, \
    (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS super, \
    extract(epoch FROM now() - (SELECT stats_reset FROM pg_stat_database WHERE datid = d.oid)) AS stats_age, \
    (SELECT json_agg(json_build_array(t.oid::int8, t.spcname, coalesce(t.spcoptions, '{}'))) \
     FROM pg_tablespace t) AS tablespaces \
    FROM pg_database d, LATERAL (SELECT to_jsonb(d) AS d) j WHERE d.datname = current_database()";

pub(super) const ROLE_SETTINGS: &str = "SELECT r.rolname, v.setting \
    FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole, LATERAL unnest(s.setconfig) v(setting) \
    WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
    ORDER BY 1 NULLS FIRST, 2";

pub(super) const EXTENSIONS: &str = "SELECT e.extname, e.extversion, n.nspname \
    FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";

pub(super) const SCHEMAS: &str =
    concat!("SELECT n.oid::int8 AS oid, n.nspname FROM pg_namespace n WHERE ", own_schemas!());

pub(super) const COLLATIONS: &str = concat!(
    "SELECT c.oid::int8 AS oid, n.nspname, c.collname, c.collprovider, c.collisdeterministic AS deterministic, \
     coalesce(to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale', c.collcollate) AS locale \
     FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE ",
    own_schemas!()
);

/// Every base type, and what users made; row types of tables are left out.
pub(super) const TYPES: &str = "SELECT t.oid::int8 AS oid, n.nspname, t.typname, t.typtype, t.typcategory, t.typlen, \
    CASE t.typalign WHEN 'd' THEN 8 WHEN 'i' THEN 4 WHEN 's' THEN 2 ELSE 1 END AS align, \
    (CASE WHEN t.typtype = 'd' THEN t.typbasetype ELSE t.typelem END)::int8 AS element, \
    CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) \
     || CASE WHEN t.typnotnull THEN ' NOT NULL' ELSE '' END END AS base, \
    (SELECT json_agg(e.enumlabel ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = t.oid) AS labels, \
    (SELECT json_agg(pg_get_constraintdef(c.oid) ORDER BY c.conname) FROM pg_constraint c \
     WHERE c.contypid = t.oid AND c.contype = 'c') AS checks, \
    (SELECT json_agg(json_build_array(a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum) \
     FROM pg_attribute a WHERE a.attrelid = t.typrelid AND t.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped) \
     AS attributes, \
    EXISTS (SELECT FROM pg_depend p WHERE p.classid = 'pg_type'::regclass AND p.objid = t.oid AND p.deptype = 'e') \
     AS in_extension \
    FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class r ON r.oid = t.typrelid \
    WHERE t.typtype <> 'p' AND (r.oid IS NULL OR r.relkind = 'c') AND n.nspname <> 'information_schema'";

/// `pg_relation_size` opens each file: behind an exclusive lock it fails, and the image does without.
pub(super) const RELATIONS: [&str; 2] =
    [relations!("pg_relation_size(c.oid)"), relations!("NULL::int8")];

pub(super) const COLUMNS: &str = concat!(
    "SELECT a.attrelid::int8 AS relation, a.attnum, a.attname, a.atttypid::int8 AS type, \
     format_type(a.atttypid, a.atttypmod) AS type_text, a.attnotnull AS not_null, a.attcollation::int8 AS collation, \
     co.collname, cn.nspname AS collschema, co.collcollate, a.attcollation <> t.typcollation AS own_collation, \
     CASE WHEN a.attstattarget >= 0 THEN a.attstattarget END AS target, nullif(a.attgenerated, '') AS generated, \
     CASE WHEN a.attgenerated <> '' THEN pg_get_expr(d.adbin, d.adrelid) END AS generation \
     FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
     JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
     LEFT JOIN pg_collation co ON co.oid = a.attcollation LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace \
     WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r','p','v','m','f') AND ",
    own_schemas!(),
    " ORDER BY a.attrelid, a.attnum"
);

pub(super) const CONSTRAINTS: &str = concat!(
    "SELECT k.conrelid::int8 AS relation, k.conname, k.contype, \
     (SELECT json_agg(a.attname ORDER BY u.ord) FROM unnest(k.conkey) WITH ORDINALITY u(num, ord) \
      JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.num) AS columns, \
     k.confrelid::int8 AS foreign, k.confdeltype, \
     (SELECT json_agg(a.attname ORDER BY u.ord) FROM unnest(k.confkey) WITH ORDINALITY u(num, ord) \
      JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.num) AS foreign_columns, \
     pg_get_constraintdef(k.oid) AS definition, k.conindid::int8 AS index, k.coninhcount > 0 AS inherited \
     FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ",
    own_schemas!(),
    " ORDER BY k.conrelid, k.conname"
);

pub(super) const INDEXES: [&str; 2] =
    [indexes!("pg_relation_size(i.indexrelid)"), indexes!("NULL::int8")];

pub(super) const INHERITANCE: &str = concat!(
    "SELECT h.inhrelid::int8 AS child, h.inhparent::int8 AS parent FROM pg_inherits h \
     JOIN pg_class c ON c.oid = h.inhrelid AND c.relkind IN ('r','p','f') \
     JOIN pg_namespace n ON n.oid = c.relnamespace WHERE ",
    own_schemas!(),
    " ORDER BY h.inhparent, h.inhseqno, c.relname"
);

pub(super) const FUNCTIONS: &str = concat!(
    "SELECT n.nspname, p.proname, l.lanname, p.provolatile, pg_get_functiondef(p.oid) AS definition \
     FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang \
     WHERE p.prokind = 'f' AND l.lanname IN ('sql','plpgsql') AND NOT EXISTS (SELECT FROM pg_depend d \
      WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') AND ",
    own_schemas!(),
    " ORDER BY p.oid LIMIT 2000"
);

macro_rules! statistics {
    ($values:literal) => {
        concat!(
            "SELECT s.schemaname, s.tablename, s.attname, s.inherited, s.null_frac, s.avg_width, s.n_distinct, \
             s.most_common_freqs::text AS mcf, s.correlation, s.most_common_elem_freqs::text AS element_freqs, \
             s.elem_count_histogram::text AS element_counts, ",
            $values,
            " FROM pg_stats s WHERE s.schemaname !~ '^pg_' AND s.schemaname <> 'information_schema'"
        )
    };
}

/// With values of the tables, and without.
pub(super) const STATISTICS: [&str; 2] = [
    statistics!(
        "s.most_common_vals::text AS mcv, s.histogram_bounds::text AS histogram, s.most_common_elems::text AS elements"
    ),
    statistics!("NULL AS mcv, NULL AS histogram, NULL AS elements"),
];

macro_rules! extended {
    ($values:literal) => {
        concat!(
            "SELECT e.stxrelid::int8 AS relation, en.nspname AS schema, e.stxname, \
             pg_get_statisticsobjdef(e.oid) AS definition, array_to_string(e.stxkind, '') AS kinds, \
             (SELECT json_agg(a.attname ORDER BY a.attnum) FROM unnest(e.stxkeys::int2[]) u(num) \
              JOIN pg_attribute a ON a.attrelid = e.stxrelid AND a.attnum = u.num) AS columns, \
             x.n_distinct::text AS n_distinct, x.dependencies::text AS dependencies, ",
            $values,
            " AS common_values, x.most_common_freqs::text AS common_frequencies, \
             x.most_common_base_freqs::text AS common_base, x.statistics_name IS NOT NULL AS readable \
             FROM pg_statistic_ext e JOIN pg_namespace en ON en.oid = e.stxnamespace \
             JOIN pg_class c ON c.oid = e.stxrelid JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_stats_ext x ON x.statistics_schemaname = en.nspname AND x.statistics_name = e.stxname WHERE ",
            own_schemas!(),
            " ORDER BY e.oid"
        )
    };
}

/// With values of the tables, and without.
pub(super) const EXTENDED: [&str; 2] = [extended!("x.most_common_vals::text"), extended!("NULL")];

pub(super) const TABLE_ACTIVITY: &str = "SELECT relid::int8 AS relation, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, \
    n_mod_since_analyze, coalesce(last_analyze, last_autoanalyze) IS NOT NULL AS analyzed FROM pg_stat_user_tables";

pub(super) const INDEX_ACTIVITY: &str =
    "SELECT relid::int8 AS relation, indexrelid::int8 AS oid, idx_scan FROM pg_stat_user_indexes";

//! The words of every fix: per topic one aim, one way in plain SQL, and one way per ORM. Data only.
//!
//! `{child}`, `{parent}` and `{column}` are replaced by what is known of the statement.

/// What a fix is about; several kinds may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    /// `n_plus_one`: the row that a parent row refers to.
    ToOne,
    /// `n_plus_one`: the rows that refer to a parent row; nested relations.
    ToMany,
    /// `n_plus_one`: a count or sum per parent row.
    Aggregate,
    /// `n_plus_one`: the parent row itself, once more.
    Refresh,
    /// `looped_lookup`.
    LoopedLookup,
    /// `write_loop`, `savepoint_loop`.
    RowWrites,
    /// `upsert_loop`.
    Upsert,
    /// `duplicate_query`.
    Duplicate,
    /// `deep_offset`, `count_every_page`.
    Paging,
    /// `unbounded_result`, `tiny_fetch`.
    Streaming,
    /// `cartesian_explosion`.
    Multiplied,
    /// `wide_fetch`.
    Columns,
    /// `large_in_list`, `in_list_churn`.
    Lists,
    /// `statement_churn`.
    Texts,
    /// `sequential_independent`.
    Independent,
    /// `idle_in_transaction`, `long_transaction`.
    Transactions,
    /// `connection_churn`.
    Connections,
    /// `tx_chatter`, `ping_overhead`.
    Chatter,
    /// `lock_hazard`.
    Migrations,
}

/// One topic of the table; `calls` in the order of [`super::super::orm::Orm::ALL`], empty where there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Words {
    pub(crate) topic: Topic,
    pub(crate) aim: &'static str,
    pub(crate) plain: &'static str,
    pub(crate) calls: [&'static str; 7],
}

/// Every topic.
pub(crate) const TABLE: [Words; 19] = [
    Words {
        topic: Topic::ToOne,
        aim: "Load {child} together with {parent}",
        plain: "join {child} in, or read it once with `{column} = ANY($1)` for all values",
        calls: [
            "use `joinedload(...)` of the relationship, with `raiseload('*', sql_only=True)` as a guard",
            "use `select_related(...)`",
            "use `includes(...)`, with `strict_loading` as a guard",
            "use `JOIN FETCH`, an `@EntityGraph`, or `@BatchSize`",
            "use `include`",
            "use `.Include(...)`",
            "use `Joins(...)`",
        ],
    },
    Words {
        topic: Topic::ToMany,
        aim: "Load {child} together with {parent}",
        plain: "join {child} in, or read it once with `{column} = ANY($1)` for all values",
        calls: [
            "use `selectinload(...)` of the relationship",
            "use `prefetch_related(...)`, with `Prefetch(queryset=...)` if a filter defeats it",
            "use `preload(...)`",
            "use `@Fetch(SUBSELECT)` or `default_batch_fetch_size`",
            "use `include`, with `relationLoadStrategy` to choose join or query",
            "use `.Include(...).AsSplitQuery()`",
            "use `Preload(...)`",
        ],
    },
    Words {
        topic: Topic::Aggregate,
        aim: "Compute the figure from {child} in the query on {parent}",
        plain: "one query over {child} with `{column} = ANY($1)` and GROUP BY `{column}`",
        calls: [
            "use a `column_property` or a grouped subquery",
            "use `annotate(Count(...))`",
            "use a `counter_cache` or a grouped `count`",
            "use a projection with the aggregate",
            "use `_count` in `include` or `select`",
            "use `Select(x => x.Items.Count())`",
            "use a grouped subquery",
        ],
    },
    Words {
        topic: Topic::Refresh,
        aim: "Keep the rows of {parent} instead of reading them again",
        plain: "select every needed column the first time",
        calls: [
            "use `expire_on_commit=False`, or `undefer(...)` of the column",
            "use the query without `.only()` or `.defer()`",
            "use a wider `select(...)`",
            "use a fetch profile",
            "use a wider `select`",
            "use the tracked entity, or `AsNoTracking()` with every needed column",
            "use a wider `Select(...)`",
        ],
    },
    Words {
        topic: Topic::LoopedLookup,
        aim: "Read the rows of {child} for all keys at once",
        plain: "collect the keys and read with `{column} = ANY($1)`",
        calls: [
            "use `in_(...)` or `== any_(...)` over the collected keys",
            "use `filter(pk__in=...)` or `in_bulk(...)`",
            "use `where(id: ids)`",
            "use `findAllById(...)`",
            "use `findMany` with `in`",
            "use `Where(x => ids.Contains(x.Id))`",
            "use `Find(&x, ids)`",
        ],
    },
    Words {
        topic: Topic::RowWrites,
        aim: "Write the rows of {child} in batches",
        plain: "one INSERT with many VALUES, `UPDATE ... FROM (VALUES ...)` or COPY; at most one savepoint around the batch",
        calls: [
            "use `insert().values([...])`, the ORM bulk insert, psycopg 3's `executemany` or COPY, and one `begin_nested`",
            "use `bulk_create`, `bulk_update` or `update()`",
            "use `insert_all` or `update_all`",
            "set `hibernate.jdbc.batch_size`, and `reWriteBatchedInserts` of the driver",
            "use `createMany` or `updateMany`",
            "use `ExecuteUpdate`, or one `SaveChanges` for all rows",
            "use `CreateInBatches`",
        ],
    },
    Words {
        topic: Topic::Upsert,
        aim: "Let the server decide whether a row of {child} exists",
        plain: "`INSERT ... ON CONFLICT DO UPDATE` (or DO NOTHING) with all rows",
        calls: [
            "use `insert().on_conflict_do_update(...)` or `on_conflict_do_nothing()`",
            "use `bulk_create(update_conflicts=True)`",
            "use `upsert_all`",
            "use a merge statement or `@SQLInsert`",
            "use `upsert`, or `createMany` with `skipDuplicates`",
            "use raw SQL with ON CONFLICT",
            "use `clause.OnConflict`",
        ],
    },
    Words {
        topic: Topic::Duplicate,
        aim: "Read {child} once and keep the answer for the unit of work",
        plain: "pass the row on instead of asking for it again",
        calls: [
            "use `session.get(...)`, or pass the object on",
            "use `cached_property`, or pass the object on",
            "memoise the call",
            "use `getReference`, or the second-level cache",
            "memoise the call",
            "use `Find(...)`, which asks the context first",
            "pass the value on",
        ],
    },
    Words {
        topic: Topic::Paging,
        aim: "Page through {child} by key instead of by position",
        plain: "`WHERE {column} > $1 ORDER BY {column} LIMIT $2`, and one row more than shown instead of a count",
        calls: [
            "use keyset paging, and `limit(n + 1)` instead of a count",
            "use keyset paging, and a `Paginator` without count",
            "use `find_each`, or a countless pager",
            "use `Slice` and keyset scrolling",
            "use `cursor`",
            "use keyset paging, and `Take(n + 1)` instead of a count",
            "use keyset paging",
        ],
    },
    Words {
        topic: Topic::Streaming,
        aim: "Read {child} in parts of some hundred rows",
        plain: "a LIMIT where not all rows are needed, else a cursor with `FETCH 500`",
        calls: [
            "use `yield_per` of at least 500",
            "use `.iterator(chunk_size=2000)`",
            "use `find_each`",
            "use `setFetchSize(500)`",
            "use cursor pages",
            "use `AsAsyncEnumerable()`",
            "use `FindInBatches` or `Rows`",
        ],
    },
    Words {
        topic: Topic::Multiplied,
        aim: "Read the independent branches of {child} in separate statements",
        plain: "one query per branch with `= ANY($1)` over the parents' keys",
        calls: [
            "use `selectinload(...)` for one branch",
            "use `prefetch_related(...)`",
            "use `preload(...)`, not `eager_load(...)`",
            "fetch one bag per query",
            "use the default `relationLoadStrategy`",
            "use `AsSplitQuery()`",
            "use `Preload(...)`",
        ],
    },
    Words {
        topic: Topic::Columns,
        aim: "Leave the heavy column of {child} out where it isn't needed",
        plain: "name the columns instead of `*`",
        calls: [
            "use `defer(...)` or `load_only(...)`",
            "use `defer(...)` or `only(...)`",
            "use `select(...)`",
            "use a projection, or a lazy basic attribute",
            "use `select` or `omit`",
            "use a projection",
            "use `Select(...)` or `Omit(...)`",
        ],
    },
    Words {
        topic: Topic::Lists,
        aim: "Send the list as one array",
        plain: "`{column} = ANY($1)` with an array parameter, so that the text stays the same",
        calls: [
            "use `col == any_(array)`",
            "use a subquery in `__in`",
            "use a subquery in `where`",
            "set `in_clause_parameter_padding`, or bind an array",
            "use a relation filter",
            "use `Contains` on an array parameter",
            "use `= ANY(?)` with an array",
        ],
    },
    Words {
        topic: Topic::Texts,
        aim: "Keep the text of the statement the same from call to call",
        plain: "bind values as parameters, and leave changing comments out of prepared statements",
        calls: [
            "bind the values, and put no traceparent into prepared texts",
            "set `server_side_binding`",
            "set `prepared_statements: true`",
            "bind criteria literals (`hibernate.criteria.literal_handling_mode=bind`)",
            "use the tagged form of `$queryRaw`",
            "use the interpolated form of `FromSql`",
            "set `PrepareStmt: true`",
        ],
    },
    Words {
        topic: Topic::Independent,
        aim: "See whether the reads can run at once or as one",
        plain: "one statement, or own connections side by side",
        calls: [
            "use `gather` with a session each, or one query",
            "use one query",
            "use `load_async`",
            "use a session each",
            "use `Promise.all`",
            "use a context each",
            "use an errgroup",
        ],
    },
    Words {
        topic: Topic::Transactions,
        aim: "Keep the transaction shorter: do remote calls and rendering before or after it",
        plain: "COMMIT as soon as the writes are done; `idle_in_transaction_session_timeout` as a net",
        calls: [
            "use a short `with Session.begin()` without remote calls inside",
            "use a smaller `atomic` block, and no `ATOMIC_REQUESTS`",
            "use a short `transaction`, and `after_commit` for the rest",
            "set `open-in-view=false`",
            "set `timeout` of `$transaction`",
            "make no remote calls inside the transaction",
            "use a short `Transaction`",
        ],
    },
    Words {
        topic: Topic::Connections,
        aim: "Keep connections open and use them again",
        plain: "a connection pool in the application, or PgBouncer before the server",
        calls: [
            "use the default pool, no `NullPool`",
            "set `CONN_MAX_AGE` or the pool option",
            "set the pool's size",
            "use HikariCP",
            "use one `PrismaClient` for the process",
            "use pooled contexts (`AddDbContextPool`)",
            "raise `SetMaxIdleConns`",
        ],
    },
    Words {
        topic: Topic::Chatter,
        aim: "Save the round trips around single reads",
        plain: "read in autocommit, and test idle connections by age instead of before each use",
        calls: [
            "use an engine with `isolation_level=\"AUTOCOMMIT\"` for reads; `pool_recycle` instead of `pool_pre_ping`",
            "use no `ATOMIC_REQUESTS` on views that only read",
            "",
            "put no `@Transactional` around one read",
            "",
            "set `AutoTransactionBehavior`",
            "set `SkipDefaultTransaction`",
        ],
    },
    Words {
        topic: Topic::Migrations,
        aim: "Change {child} without locking others out",
        plain: "",
        calls: [
            "in Alembic, use `postgresql_concurrently=True` in an `autocommit_block()`, and `postgresql_not_valid`",
            "use `AddIndexConcurrently` in a migration with `atomic = False`",
            "use `algorithm: :concurrently` with `disable_ddl_transaction!`",
            "run the migration outside a transaction",
            "edit the SQL of the migration",
            "use `IsCreatedConcurrently()`",
            "use no AutoMigrate in production",
        ],
    },
];

/// Safe forms of `lock_hazard`, and cures of `sql_smell`, by rule.
pub(crate) const RULES: [(&str, &str); 15] = [
    ("index_not_concurrent", "CONCURRENTLY, outside a transaction"),
    ("constraint_validates", "NOT VALID, then VALIDATE CONSTRAINT"),
    ("unique_builds_index", "a unique index made concurrently, then the constraint USING INDEX"),
    ("set_not_null", "CHECK (... IS NOT NULL) NOT VALID, VALIDATE, then SET NOT NULL"),
    (
        "volatile_default",
        "add the column without default, fill it in batches, then set the default",
    ),
    ("type_change", "a new column, copy in batches, then swap"),
    ("rename", "expand and contract: both names until nobody uses the old one"),
    ("drop", "expand and contract: drop when nobody uses it any more"),
    ("no_lock_timeout", "`SET LOCAL lock_timeout = '2s'`, and try again"),
    ("order_by_random", "pick random keys in the application, or TABLESAMPLE"),
    ("leading_wildcard", "a trigram index (`pg_trgm`), or full-text search"),
    ("function_on_column", "compare the bare column, or make an index on the expression"),
    ("implicit_cast", "bind the value with the type of the column"),
    ("not_in_subquery", "NOT EXISTS, which also treats NULL as one expects"),
    ("select_star_wide", "name the columns that are needed"),
];

//! Every cell of the table of fixes gives its words.

use super::*;

const ENTITIES: Entities<'_> =
    Entities { parent: Some("orders"), child: Some("items"), column: Some("order_id") };

/// One word of every cell: kind, variant, then one per ORM in their order; "" = no call of its own.
type Row = (Kind, Option<&'static str>, [&'static str; 7]);

const CELLS: [Row; 26] = [
    (
        Kind::NPlusOne,
        None,
        ["joinedload", "select_related", "includes", "JOIN FETCH", "include", ".Include(", "Joins"],
    ),
    (
        Kind::NPlusOne,
        Some("to_many"),
        [
            "selectinload",
            "prefetch_related",
            "preload",
            "SUBSELECT",
            "relationLoadStrategy",
            "AsSplitQuery",
            "Preload",
        ],
    ),
    (
        Kind::NPlusOne,
        Some("nested"),
        [
            "selectinload",
            "Prefetch(queryset",
            "preload",
            "default_batch_fetch_size",
            "include",
            "AsSplitQuery",
            "Preload",
        ],
    ),
    (
        Kind::NPlusOne,
        Some("aggregate"),
        [
            "column_property",
            "annotate(Count",
            "counter_cache",
            "projection",
            "_count",
            "Items.Count()",
            "grouped subquery",
        ],
    ),
    (
        Kind::NPlusOne,
        Some("refresh"),
        [
            "expire_on_commit=False",
            ".only()",
            "wider `select",
            "fetch profile",
            "wider `select",
            "AsNoTracking",
            "wider `Select",
        ],
    ),
    (
        Kind::LoopedLookup,
        None,
        [
            "any_(",
            "in_bulk",
            "where(id: ids)",
            "findAllById",
            "findMany",
            "Contains",
            "Find(&x, ids)",
        ],
    ),
    (
        Kind::WriteLoop,
        None,
        [
            "executemany",
            "bulk_create",
            "insert_all",
            "reWriteBatchedInserts",
            "createMany",
            "ExecuteUpdate",
            "CreateInBatches",
        ],
    ),
    (
        Kind::SavepointLoop,
        None,
        [
            "one `begin_nested`",
            "bulk_update",
            "update_all",
            "hibernate.jdbc.batch_size",
            "updateMany",
            "one `SaveChanges`",
            "CreateInBatches",
        ],
    ),
    (
        Kind::UpsertLoop,
        None,
        [
            "on_conflict_do_",
            "update_conflicts=True",
            "upsert_all",
            "@SQLInsert",
            "skipDuplicates",
            "ON CONFLICT",
            "clause.OnConflict",
        ],
    ),
    (
        Kind::DuplicateQuery,
        None,
        [
            "session.get",
            "cached_property",
            "memoise",
            "getReference",
            "memoise",
            "Find",
            "pass the value",
        ],
    ),
    (
        Kind::DeepOffset,
        None,
        ["keyset", "keyset", "find_each", "Slice", "cursor", "keyset", "keyset"],
    ),
    (
        Kind::CountEveryPage,
        None,
        ["limit(n + 1)", "Paginator", "countless", "Slice", "cursor", "Take(n + 1)", "keyset"],
    ),
    (
        Kind::UnboundedResult,
        None,
        [
            "yield_per",
            "chunk_size=2000",
            "find_each",
            "setFetchSize(500)",
            "cursor pages",
            "AsAsyncEnumerable",
            "FindInBatches",
        ],
    ),
    (
        Kind::TinyFetch,
        None,
        ["500", ".iterator", "find_each", "setFetchSize", "cursor", "AsAsyncEnumerable", "Rows"],
    ),
    (
        Kind::CartesianExplosion,
        None,
        [
            "selectinload",
            "prefetch_related",
            "not `eager_load",
            "one bag",
            "default `relationLoadStrategy`",
            "AsSplitQuery",
            "Preload",
        ],
    ),
    (
        Kind::WideFetch,
        None,
        ["load_only", "only(", "select(", "projection", "omit", "projection", "Omit"],
    ),
    (
        Kind::LargeInList,
        None,
        [
            "any_(array)",
            "subquery in `__in`",
            "subquery in `where`",
            "in_clause_parameter_padding",
            "relation filter",
            "Contains",
            "= ANY(?)",
        ],
    ),
    (
        Kind::InListChurn,
        None,
        ["any_(array)", "__in", "subquery", "array", "relation filter", "array", "array"],
    ),
    (
        Kind::StatementChurn,
        None,
        [
            "traceparent",
            "server_side_binding",
            "prepared_statements: true",
            "bind criteria literals",
            "$queryRaw",
            "FromSql",
            "PrepareStmt: true",
        ],
    ),
    (
        Kind::SequentialIndependent,
        None,
        [
            "gather",
            "one query",
            "load_async",
            "session each",
            "Promise.all",
            "context each",
            "errgroup",
        ],
    ),
    (
        Kind::IdleInTransaction,
        None,
        [
            "Session.begin()",
            "ATOMIC_REQUESTS",
            "after_commit",
            "open-in-view=false",
            "`timeout` of `$transaction`",
            "no remote calls",
            "short `Transaction`",
        ],
    ),
    (
        Kind::LongTransaction,
        None,
        [
            "Session.begin()",
            "smaller `atomic`",
            "short `transaction`",
            "open-in-view=false",
            "$transaction",
            "no remote calls",
            "short `Transaction`",
        ],
    ),
    (
        Kind::ConnectionChurn,
        None,
        [
            "NullPool",
            "CONN_MAX_AGE",
            "pool's size",
            "HikariCP",
            "one `PrismaClient`",
            "pooled contexts",
            "SetMaxIdleConns",
        ],
    ),
    (
        Kind::TxChatter,
        None,
        [
            "AUTOCOMMIT",
            "ATOMIC_REQUESTS",
            "",
            "no `@Transactional` around one read",
            "",
            "AutoTransactionBehavior",
            "SkipDefaultTransaction",
        ],
    ),
    (
        Kind::PingOverhead,
        None,
        [
            "pool_recycle",
            "ATOMIC_REQUESTS",
            "",
            "@Transactional",
            "",
            "AutoTransactionBehavior",
            "SkipDefaultTransaction",
        ],
    ),
    (
        Kind::LockHazard,
        Some("index_not_concurrent"),
        [
            "postgresql_concurrently=True",
            "AddIndexConcurrently",
            "disable_ddl_transaction!",
            "outside a transaction",
            "SQL of the migration",
            "IsCreatedConcurrently",
            "no AutoMigrate",
        ],
    ),
];

#[test]
fn every_cell_gives_its_words_and_only_a_likeness() {
    for (kind, variant, words) in CELLS {
        let plain = advice(kind, variant, None, &ENTITIES);
        assert_eq!(plain.orm, None);
        assert!(!plain.text.contains("looks like"), "{}", plain.text);
        for (orm, word) in Orm::ALL.into_iter().zip(words) {
            let fix = advice(kind, variant, Some(orm), &ENTITIES);
            assert_eq!(fix.orm, Some(orm.name()));
            if word.is_empty() {
                assert_eq!(fix.text, plain.text, "{kind:?} {orm:?}");
                continue;
            }
            let (_, call) = fix
                .text
                .split_once(&format!("This looks like {}: ", orm.name()))
                .unwrap_or_else(|| panic!("stated as a fact: {}", fix.text));
            assert!(call.contains(word), "{kind:?} {orm:?}: {}", fix.text);
        }
    }
}

#[test]
fn every_kind_has_advice_without_an_orm_and_without_holes() {
    for kind in Kind::ALL {
        for entities in [ENTITIES, Entities::default()] {
            for orm in [None, Some(Orm::Rails)] {
                let text = advice(kind, None, orm, &entities).text;
                assert!(text.ends_with('.') && text.len() > 20, "{kind:?}: {text}");
                assert!(!text.contains(['{', '}']), "{kind:?}: {text}");
            }
        }
        assert_eq!(
            CELLS.iter().any(|(known, ..)| *known == kind),
            topic(kind, None).is_some(),
            "{kind:?} is in the table and not in the test, or the other way round",
        );
    }
}

#[test]
fn a_fix_names_the_entities() {
    for (kind, orm, words) in [
        (Kind::NPlusOne, None, &["`items`", "`orders`", "order_id = ANY($1)"][..]),
        (Kind::NPlusOne, Some(Orm::Django), &["`items`", "`orders`"]),
        (Kind::WriteLoop, Some(Orm::Gorm), &["`items`"]),
        (Kind::DeepOffset, None, &["`items`", "ORDER BY order_id"]),
        (Kind::Polling, Some(Orm::Rails), &["`items`", "LISTEN"]),
        (Kind::MissingIndex, None, &["`items`", "`order_id`"]),
    ] {
        let text = advice(kind, None, orm, &ENTITIES).text;
        words.iter().for_each(|word| assert!(text.contains(word), "{kind:?}: {text}"));
    }
}

#[test]
fn rules_give_their_safe_form() {
    for (rule, words) in RULES {
        let hazard = advice(Kind::LockHazard, Some(rule), Some(Orm::Django), &ENTITIES).text;
        assert!(hazard.contains(words) && hazard.contains("looks like Django"), "{hazard}");
        let smell = advice(Kind::SqlSmell, Some(rule), Some(Orm::Django), &ENTITIES).text;
        assert!(smell.contains(words) && !smell.contains("Django"), "{smell}");
    }
}

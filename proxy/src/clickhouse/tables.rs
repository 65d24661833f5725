//! What the store looks like: tables, columns, and how lines get there.
//!
//! Column names are those of pg_stat_ch where the meaning is the same: `ts`, `duration_us`, `db_name`, `db_user`,
//! `db_operation`, `rows`, `query_text`, `err_sqlstate`, `app`, `client_addr`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Days that rows of single executions are kept by a modern store.
const RAW_DAYS: u32 = 7;
/// Days that sums by minute are kept by a modern store.
const MINUTE_DAYS: u32 = 400;

/// What a store understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// 22.3 and newer: DateTime64, LowCardinality, TTL, deduplication tokens, zstd.
    Modern,
    /// Older ones: plain types, partitions dropped by hand, gzip.
    Compat,
}

impl Dialect {
    /// By the answer to `SELECT version()`.
    pub(super) fn of_version(version: &str) -> Self {
        let mut parts = version.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        let number = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if number >= (22, 3) { Self::Modern } else { Self::Compat }
    }

    pub(super) fn encoding(self) -> &'static str {
        match self {
            Self::Modern => "zstd",
            Self::Compat => "gzip",
        }
    }

    /// The name in output.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Compat => "compat",
        }
    }
}

/// One column: name, type, how it is read. `low` is text of few values.
struct Column(&'static str, &'static str, &'static str);

/// One table.
struct Table {
    ev: &'static str,
    name: &'static str,
    order: &'static str,
    /// What tells its rows apart.
    identity: &'static [&'static str],
    columns: &'static [Column],
    days: Option<u32>,
}

const PROXY: Column = Column("proxy_id", "low", "Start of a proxy that told it, 12 hex.");
const TS_US: Column = Column(
    "ts_us",
    "UInt64",
    "Begin of what is described, Unix microseconds by the clock of the proxy.",
);
const SESSION: Column =
    Column("session", "String", "Ordinal of the client connection within proxy_id.");
const SERVICE: Column =
    Column("service", "low", "Which program sent it: SQL comment, else application_name masked.");
const APP: Column = Column("app", "low", "application_name as sent.");
const DB_NAME: Column = Column("db_name", "low", "Database.");
const DB_USER: Column = Column("db_user", "low", "Database user.");
const PID: Column =
    Column("pid", "UInt32", "Process of the server: with ts it finds the server's own record.");
const CLIENT: Column = Column("client_addr", "low", "Address of the client without its port.");
const UNIT: Column =
    Column("unit_id", "String", "Unit of work (one request), 16 hex; empty if none.");
const DIGEST: Column = Column(
    "digest",
    "low",
    "Identity of the statement's text without literals, 16 hex, equal on all proxies.",
);

#[rustfmt::skip]
const TABLES: &[Table] = &[
    Table {
        ev: "statement", name: "pgsonde_statements", order: "db_name, digest, ts_us, proxy_id, session, seq",
        identity: &["proxy_id", "ts_us", "session", "seq"], days: Some(RAW_DAYS),
        columns: &[
            PROXY, TS_US, SESSION, Column("seq", "UInt64", "Ordinal of the statement within the session."),
            Column("round_trip", "UInt32", "Ordinal of the round trip; equal for statements under one Sync."),
            Column("transaction", "UInt32", "Ordinal of the transaction; 0 in autocommit."), UNIT,
            Column("traced", "UInt8", "1: unit_id is the hash of the trace id in the statement's comment."),
            Column("mark", "low", "Mark (test) under which it ran; empty if none."), SERVICE,
            Column("route", "low", "Route out of the SQL comment; empty if none."), APP, DB_NAME, DB_USER, CLIENT, PID, DIGEST,
            Column("query_id", "Int64", "queryid of pg_stat_statements; 0 while not known."),
            Column("trace_id", "String", "Trace out of the SQL comment, 32 hex; empty if none."),
            Column("span_id", "String", "Span of the application out of the SQL comment, 16 hex; empty if none."),
            Column("code", "low", "file:line out of the SQL comment; empty if none."),
            Column("values_hash", "String", "Equal for equal values within one proxy_id; empty if it has none."),
            Column("db_operation", "low", "select, insert, update, delete, merge, copy, transaction, ddl, utility, other."),
            Column("protocol", "low", "simple, extended, function_call."),
            Column("prepare", "low", "none; unnamed or named, where it was parsed for this execution; reuse."),
            Column("param_count", "UInt16", "Bound parameters."),
            Column("in_transaction", "UInt8", "1: ran inside a transaction block."),
            Column("duration_us", "UInt64", "Request complete to last byte of the answer, in microseconds, at the proxy."),
            Column("queue_us", "UInt64", "Of duration_us: request read to forwarded."),
            Column("first_row_us", "UInt64", "Of duration_us: forwarded to first row or completion."),
            Column("transfer_us", "UInt64", "Of duration_us: first row to completion."),
            Column("client_stall_us", "UInt64", "Of duration_us: the client took nothing."),
            Column("wait_us", "UInt64", "Behind own earlier pipelined statements; not in duration_us."),
            Column("think_us", "UInt64", "Previous answer delivered to first byte of this request."),
            Column("timing", "low", "Empty: its own times. bound, batch, batch_last, empty: see docs/scaling.md."),
            Column("batch_statements", "UInt32", "On the last member of a batch: its statements."),
            Column("rows", "UInt64", "Rows returned or affected, from the completion tag."),
            Column("received_bytes", "UInt64", "Request on the client leg."),
            Column("sent_bytes", "UInt64", "Answer on the client leg."),
            Column("outcome", "low", "ok, error, cancelled, aborted."),
            Column("err_sqlstate", "low", "SQLSTATE of its error; empty if none."),
            Column("suspended", "UInt8", "1: its portal was not read to its end."),
        ],
    },
    Table {
        ev: "transaction", name: "pgsonde_transactions", order: "db_name, shape, ts_us, proxy_id, session, transaction",
        identity: &["proxy_id", "ts_us", "session", "transaction"], days: Some(RAW_DAYS),
        columns: &[
            PROXY, TS_US, SESSION, Column("transaction", "UInt32", "Ordinal of the transaction within the session."), UNIT,
            Column("trace_id", "String", "Trace that a statement of it named, 32 hex; empty if none."),
            Column("mark", "low", "Mark (test) under which it ran; empty if none."), SERVICE,
            Column("route", "low", "Route that a statement of it named; empty if none."), APP, DB_NAME, DB_USER, CLIENT, PID,
            Column("duration_us", "UInt64", "Leaving idle until idle again."),
            Column("busy_us", "UInt64", "Sum of its statements' durations."),
            Column("think_us", "UInt64", "The client left it waiting."),
            Column("statements", "UInt64", "Statements in it, without BEGIN, COMMIT and ROLLBACK."),
            Column("round_trips", "UInt64", "Round trips in it."),
            Column("rows", "UInt64", "Rows of all its statements."),
            Column("received_bytes", "UInt64", "Requests on the client leg."),
            Column("sent_bytes", "UInt64", "Answers on the client leg."),
            Column("writes", "UInt8", "1: a statement in it wrote."),
            Column("savepoints", "UInt64", "Savepoints that were set."),
            Column("err_sqlstate", "low", "SQLSTATE of its error; empty if none."),
            Column("outcome", "low", "commit, rollback, error, abandoned."),
            Column("shape", "low", "Hash of the sequence of digests, 16 hex, equal on all proxies."),
            Column("digests", "Array(String)", "The sequence of digests, first 32."),
        ],
    },
    Table {
        ev: "connection", name: "pgsonde_connections", order: "ts_us, proxy_id, session, state",
        identity: &["proxy_id", "ts_us", "session", "state"], days: Some(RAW_DAYS),
        columns: &[
            PROXY, TS_US, SESSION, SERVICE, APP, DB_NAME, DB_USER, CLIENT, PID,
            Column("state", "low", "open, closed, refused."), Column("driver", "low", "Guess of the driver."),
            Column("auth", "low", "What the server asked for: trust (nothing), password, md5, scram-sha-256, oauth, gss, sspi."),
            Column("tls_client", "low", "TLS of the client's leg; empty without."),
            Column("tls_server", "low", "TLS of the server's leg; empty without."),
            Column("setup_tcp_us", "UInt64", "Connecting to the server."),
            Column("setup_tls_us", "UInt64", "Its TLS handshake."),
            Column("setup_auth_us", "UInt64", "Start-up packet to first ReadyForQuery."),
            Column("server_version", "low", "Version of the server, as it says it."),
            Column("duration_us", "UInt64", "On close: first ReadyForQuery to its end."),
            Column("busy_us", "UInt64", "On close: sum of its statements' durations."),
            Column("transactions", "UInt64", "On close: transactions of the session."),
            Column("think_idle_us", "UInt64", "On close: the client's pauses outside of transactions."),
            Column("think_in_transaction_us", "UInt64", "On close: the client's pauses inside of transactions."),
            Column("received_bytes", "UInt64", "On close: requests on the client leg."),
            Column("sent_bytes", "UInt64", "On close: answers on the client leg."),
            Column("end_side", "low", "On close: client, server, proxy; empty if it was not seen."),
            Column("end_reason", "low", "How it ended (client_closed, idle_timeout, drain, …) or why it was refused."),
            Column("statements", "UInt64", "On close: statements of the session."),
            Column("opaque", "UInt8", "On close: 1 if it was forwarded unseen at its end."),
            Column("opaque_reason", "low", "Why: framing, replication, unknown, memory, gss, bypass."),
        ],
    },
    Table {
        ev: "finding", name: "pgsonde_findings", order: "finding, proxy_id, ts_us, state",
        identity: &["proxy_id", "ts_us", "finding", "state"], days: Some(MINUTE_DAYS),
        columns: &[
            PROXY, TS_US, Column("finding", "String", "Identity, 12 hex, equal on all proxies."),
            Column("state", "low", "open, updated, muted, resolved, withdrawn; the latest of a proxy counts."),
            Column("kind", "low", "n_plus_one, missing_index and so on."), Column("severity", "low", "error, warning, info."),
            Column("confidence", "low", "proved, likely, suspect."), Column("proof", "low", "What the evidence is made of."),
            Column("title", "String", "Kind in words."), Column("sentence", "String", "The claim in one sentence."), DIGEST,
            Column("parent_digest", "String", "Digest of the parent statement; empty if none."),
            Column("table", "String", "Table."), Column("columns", "Array(String)", "Columns."), SERVICE,
            Column("route", "low", "Costliest route."),
            Column("mark", "low", "Mark (test) under which it was seen most; empty if none."), DB_NAME,
            Column("occurrences", "UInt64", "Sightings of this proxy since its start."),
            Column("statements", "UInt64", "Executions in the latest occurrence."),
            Column("avoidable_low_us", "UInt64", "Least time that a repair saves per occurrence."),
            Column("avoidable_high_us", "UInt64", "Most time that it saves per occurrence."),
            Column("avoidable_per_day_us", "UInt64", "Least time that it saves per day; 0 while not known."),
            Column("first_seen_us", "UInt64", "Unix microseconds."), Column("last_seen_us", "UInt64", "Unix microseconds."),
            Column("line", "String", "The whole line as JSON, with evidence and fix."),
        ],
    },
    Table {
        ev: "digest", name: "pgsonde_digests", order: "digest, proxy_id, ts_us", identity: &["proxy_id", "ts_us", "digest"], days: None,
        columns: &[
            PROXY, TS_US, DIGEST, Column("db_operation", "low", "As in pgsonde_statements."),
            Column("summary", "String", "Operation and targets, as SELECT orders customers."),
            Column("query_text", "String", "Text with literals as ? and without comments."),
            Column("cut", "UInt8", "1: the text was cut."), Column("tables", "Array(String)", "Tables that it names."),
            Column("source", "low", "parser or lexer."), Column("class", "low", "control, catalogue, read, write, other."),
        ],
    },
    Table {
        ev: "gap", name: "pgsonde_gaps", order: "ts_us, proxy_id, reason", identity: &["proxy_id", "ts_us", "until_us", "reason"], days: Some(MINUTE_DAYS),
        columns: &[
            PROXY, TS_US, Column("until_us", "UInt64", "Until then."), Column("dropped", "UInt64", "Rows that are missing."),
            Column("reason", "low", "queue_full, memory_limit, analyzer_restart, spool_full, spool_failed."),
        ],
    },
];

/// Sums by minute: what reports are made of when single executions are long gone.
const MINUTES: &str = "pgsonde_minutes";

/// Microseconds of a row as the lowest value of its bucket in a histogram of two significant digits: as proxies keep
/// them, so that the fleet's percentiles are theirs.
const BUCKET: &str = "toUInt64(if(duration_us < 256, duration_us, bitShiftLeft(bitShiftRight(duration_us, \
    toUInt8(floor(log2(duration_us)) - 7)), toUInt8(floor(log2(duration_us)) - 7))))";
const TIMED: &str = "timing IN ('', 'bound') AND outcome != 'aborted'";

/// Name (none of a column of executions: an alias would stand for itself), aggregate function with its arguments'
/// types, value, how it is read.
#[rustfmt::skip]
const SUMS: &[(&str, &str, &str, &str)] = &[
    ("calls", "sum, UInt64", "sumState(toUInt64(1))", "Executions."),
    ("errors", "sum, UInt64", "sumState(toUInt64(outcome != 'ok'))", "Failed executions."),
    ("rows_sum", "sum, UInt64", "sumState(rows)", "Rows."),
    ("received_bytes_sum", "sum, UInt64", "sumState(received_bytes)", "Bytes of requests."),
    ("sent_bytes_sum", "sum, UInt64", "sumState(sent_bytes)", "Bytes of answers."),
    ("batch_members", "sum, UInt64", "sumState(toUInt64(timing IN ('batch', 'batch_last')))", "Members of batches, without a time of their own."),
    ("queue_us_sum", "sum, UInt64", "sumState(if(timing = 'batch', toUInt64(0), queue_us))", "Request read to forwarded."),
    ("first_row_us_sum", "sum, UInt64", "sumState(if(timing = 'batch', toUInt64(0), first_row_us))", "Forwarded to first row."),
    ("transfer_us_sum", "sum, UInt64", "sumState(if(timing = 'batch', toUInt64(0), transfer_us))", "First row to completion."),
    ("client_stall_us_sum", "sum, UInt64", "sumState(if(timing = 'batch', toUInt64(0), client_stall_us))", "The client took nothing."),
    ("think_in_transaction_us", "sum, UInt64", "sumState(if(in_transaction = 1, think_us, toUInt64(0)))", "The client left a transaction waiting."),
    ("timed", "sum, UInt64", "sumState(toUInt64({timed}))", "Executions timed by themselves."),
    ("duration_us_sum", "sum, UInt64", "sumState(if({timed}, duration_us, toUInt64(0)))", "Sum of their durations."),
    ("duration_us_squares", "sum, Float64", "sumState(if({timed}, toFloat64(duration_us) * toFloat64(duration_us), toFloat64(0)))", "Sum of the squares of their durations."),
    ("duration_us_min", "min, UInt64", "minState(if({timed}, duration_us, toUInt64(18446744073709551615)))", "Shortest."),
    ("duration_us_max", "max, UInt64", "maxState(if({timed}, duration_us, toUInt64(0)))", "Longest."),
    ("durations", "sumMap, Array(UInt64), Array(UInt64)", "sumMapState([{bucket}], [toUInt64({timed})])", "Executions by bucket of a histogram with two significant digits: sumMapMerge gives the lowest value of each and its number."),
    ("first_seen_us", "min, UInt64", "minState(ts_us)", "First execution, Unix microseconds."),
    ("last_seen_us", "max, UInt64", "maxState(ts_us)", "Latest execution, Unix microseconds."),
];

/// Where a line belongs: its table, and when it was.
pub(super) fn of_line(line: &[u8]) -> Option<(&'static str, u64)> {
    let ev = line.strip_prefix(b"{\"ev\":\"")?;
    let end = ev.iter().position(|byte| *byte == b'"')?;
    let table = TABLES.iter().find(|table| table.ev.as_bytes() == &ev[..end])?;
    let key = b"\"ts_us\":";
    let at = line.windows(key.len()).take(128).position(|window| window == key)? + key.len();
    let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
    let ts_us = digits
        .fold(0_u64, |sum, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    Some((table.name, ts_us))
}

/// Puts a line where it belongs: as it is, but that a finding also carries itself as text, because its evidence has no
/// columns.
pub(super) fn put_line(table: &str, line: &[u8], out: &mut Vec<u8>) {
    let object = line.trim_ascii_end();
    let whole = (table == "pgsonde_findings").then(|| std::str::from_utf8(object).ok()).flatten();
    match (whole.and_then(|text| serde_json::to_string(text).ok()), object.strip_suffix(b"}")) {
        (Some(text), Some(open)) => {
            out.extend_from_slice(open);
            out.extend_from_slice(b",\"line\":");
            out.extend_from_slice(text.as_bytes());
            out.extend_from_slice(b"}\n");
        }
        _ => out.extend_from_slice(line),
    }
}

/// The columns by which a row of the table is known.
pub(super) fn identity(table: &str) -> &'static [&'static str] {
    TABLES.iter().find(|known| known.name == table).map_or(&[], |known| known.identity)
}

/// What makes the tables: statements in their order. With a cluster each node has the rows of some proxies, and the
/// tables of the usual names read all of them.
pub(crate) fn statements(dialect: Dialect, database: &str, cluster: Option<&str>) -> Vec<String> {
    let mut all = Vec::new();
    let on = on_cluster(dialect, cluster);
    let local = |name: &str| match cluster {
        Some(_) => format!("{name}_local"),
        None => name.to_owned(),
    };
    let distributed = |name: &str, all: &mut Vec<String>| {
        if let Some(cluster) = cluster {
            all.push(format!(
                "CREATE TABLE IF NOT EXISTS {name}{on} AS {name}_local \
                 ENGINE = Distributed('{cluster}', '{database}', '{name}_local', cityHash64(proxy_id))"
            ));
        }
    };
    for table in TABLES {
        all.push(create(table, dialect, &local(table.name), &on));
        distributed(table.name, &mut all);
    }
    all.push(minutes(dialect, &local(MINUTES), &on));
    distributed(MINUTES, &mut all);
    all
}

/// What makes the views, when the tables have all their columns: what a view shows is settled when it is made.
pub(crate) fn views(dialect: Dialect, cluster: Option<&str>) -> Vec<String> {
    let on = on_cluster(dialect, cluster);
    let local = if cluster.is_some() { "_local" } else { "" };
    vec![
        view(&format!("{MINUTES}{local}"), &format!("pgsonde_statements{local}"), &on),
        format!("DROP TABLE IF EXISTS pgsonde_events{on}"),
        events(&on, cluster.is_some()),
    ]
}

/// Executions with their texts.
fn events(on: &str, global: bool) -> String {
    let columns: Vec<String> = TABLES[0]
        .columns
        .iter()
        .map(|Column(name, ..)| format!("`{name}`"))
        .chain(["ts", "summary", "query_text"].map(str::to_owned))
        .collect();
    let global = if global { "GLOBAL " } else { "" };
    format!(
        "CREATE VIEW IF NOT EXISTS pgsonde_events{on} AS SELECT {} FROM pgsonde_statements {global}ANY LEFT JOIN \
         (SELECT digest, any(summary) AS summary, any(query_text) AS query_text FROM pgsonde_digests GROUP BY digest) \
         AS texts USING digest",
        columns.join(", ")
    )
}

/// What tells [`missing`] which columns there are: a table and a column per line.
pub(crate) const PRESENT: &str =
    "SELECT table, name FROM system.columns WHERE database = currentDatabase() FORMAT TabSeparated";

/// What gives tables of an older version the columns that they lack; what was stored before has their defaults.
/// Old stores know no `ADD COLUMN IF NOT EXISTS`.
pub(crate) fn missing(dialect: Dialect, cluster: Option<&str>, present: &str) -> Vec<String> {
    let on = on_cluster(dialect, cluster);
    let present: BTreeSet<&str> = present.lines().collect();
    let mut all = Vec::new();
    for table in TABLES {
        let local = cluster.map(|_| format!("{}_local", table.name));
        for name in local.iter().map(String::as_str).chain([table.name]) {
            let lacks = |column: &&Column| !present.contains(&*format!("{name}\t{}", column.0));
            // What only passes rows on stores nothing.
            let codec = |column| match (&local, name == table.name) {
                (Some(_), true) => "",
                _ => codec(column, dialect),
            };
            let added = table.columns.iter().filter(lacks);
            let added = added
                .map(|column| format!("ADD COLUMN {}{}", defined(column, dialect), codec(column)));
            let added: Vec<String> = added.collect();
            if !added.is_empty() {
                all.push(format!("ALTER TABLE {name}{on} {}", added.join(", ")));
            }
        }
    }
    all
}

fn on_cluster(dialect: Dialect, cluster: Option<&str>) -> String {
    match (cluster, dialect) {
        (Some(cluster), Dialect::Modern) => format!(" ON CLUSTER '{cluster}'"),
        // Without a coordinator each node is told by itself.
        _ => String::new(),
    }
}

fn create(table: &Table, dialect: Dialect, name: &str, on: &str) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {name}{on} (\n");
    for column in table.columns {
        // Writing into a String can't fail.
        let _ = writeln!(sql, "    {}{} ,", defined(column, dialect), codec(column, dialect));
    }
    // Computed where it is read: a stored one could not be inserted through a table of a cluster.
    let ts = match dialect {
        Dialect::Modern => "DateTime64(6) ALIAS fromUnixTimestamp64Micro(toInt64(ts_us))",
        Dialect::Compat => "DateTime ALIAS toDateTime(intDiv(ts_us, 1000000))",
    };
    let _ = writeln!(sql, "    `ts` {ts}{}", commented("ts_us as a time."));
    let engine = if table.ev == "digest" { "ReplacingMergeTree" } else { "MergeTree" };
    let partition = match table.days {
        Some(_) => " PARTITION BY intDiv(ts_us, 86400000000)",
        None => "",
    };
    let _ = write!(sql, ") ENGINE = {engine}{partition} ORDER BY ({})", table.order);
    if let (Dialect::Modern, Some(days)) = (dialect, table.days) {
        let _ = write!(sql, " TTL toDateTime(intDiv(ts_us, 1000000)) + INTERVAL {days} DAY");
    }
    sql + settings(dialect)
}

/// A repetition of a block is left out, also where no replication keeps account of blocks.
fn settings(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Modern => " SETTINGS non_replicated_deduplication_window = 10000",
        Dialect::Compat => "",
    }
}

fn spelled(kind: &'static str, dialect: Dialect) -> &'static str {
    match (kind, dialect) {
        ("low", Dialect::Modern) => "LowCardinality(String)",
        ("low", Dialect::Compat) => "String",
        (kind, _) => kind,
    }
}

/// What compresses a column better than the store's default: steps of times and ordinals, and hexadecimal digits.
fn codec(Column(column, kind, _): &Column, dialect: Dialect) -> &'static str {
    match (dialect, *column, *kind) {
        (Dialect::Modern, "ts_us" | "seq" | "round_trip" | "transaction", _) => {
            " CODEC(Delta, ZSTD)"
        }
        (Dialect::Modern, _, "String") => " CODEC(ZSTD)",
        _ => "",
    }
}

/// Name, type and comment.
fn defined(Column(column, kind, comment): &Column, dialect: Dialect) -> String {
    format!("`{column}` {}{}", spelled(kind, dialect), commented(comment))
}

fn commented(comment: &str) -> String {
    format!(" COMMENT '{}'", comment.replace('\'', "\\'"))
}

fn minutes(dialect: Dialect, name: &str, on: &str) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {name}{on} (\n");
    let low = spelled("low", dialect);
    let _ = writeln!(sql, "    `minute` DateTime COMMENT 'Begin of the minute, UTC.',");
    for column in ["db_name", "service", "route", "digest", "db_operation", "proxy_id"] {
        let _ = writeln!(sql, "    `{column}` {low} COMMENT 'As in pgsonde_statements.',");
    }
    let sums: Vec<String> = SUMS
        .iter()
        .map(|(column, kind, _, comment)| {
            format!("    `{column}` AggregateFunction({kind}) COMMENT '{comment}'")
        })
        .collect();
    let _ = write!(
        sql,
        "{}\n) ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(minute) \
         ORDER BY (db_name, digest, service, route, db_operation, proxy_id, minute)",
        sums.join(",\n")
    );
    if dialect == Dialect::Modern {
        let _ = write!(sql, " TTL minute + INTERVAL {MINUTE_DAYS} DAY");
    }
    sql + settings(dialect)
}

fn view(minutes: &str, statements: &str, on: &str) -> String {
    let sums: Vec<String> = SUMS
        .iter()
        .map(|(column, _, value, _)| {
            let value = value.replace("{timed}", TIMED).replace("{bucket}", BUCKET);
            format!("{value} AS {column}")
        })
        .collect();
    format!(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {minutes}_view{on} TO {minutes} AS \
         SELECT toStartOfMinute(toDateTime(intDiv(ts_us, 1000000))) AS minute, db_name, service, route, digest, \
         db_operation, proxy_id, {} FROM {statements} \
         GROUP BY minute, db_name, service, route, digest, db_operation, proxy_id",
        sums.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_choose_the_dialect() {
        for (version, dialect) in [
            ("18.16.1", Dialect::Compat),
            ("22.2.9.1", Dialect::Compat),
            ("22.3.1.1", Dialect::Modern),
            ("26.9.0.1", Dialect::Modern),
            ("nonsense", Dialect::Compat),
        ] {
            assert_eq!(Dialect::of_version(version), dialect, "{version}");
        }
    }

    #[test]
    fn lines_find_their_table_and_day() {
        let line =
            b"{\"ev\":\"statement\",\"proxy_id\":\"5be0c1d2a9f3\",\"ts_us\":86400000007,\"x\":1}\n";
        assert_eq!(of_line(line), Some(("pgsonde_statements", 86_400_000_007)));
        assert_eq!(of_line(b"{\"ev\":\"alive\",\"ts_us\":1}\n"), None);
        let mut out = Vec::new();
        put_line("pgsonde_statements", line, &mut out);
        assert_eq!(out, line);
        out.clear();
        put_line("pgsonde_findings", b"{\"ev\":\"finding\",\"a\":\"b\"}\n", &mut out);
        let row: serde_json::Value = serde_json::from_slice(&out).unwrap();
        let whole: serde_json::Value = serde_json::from_str(row["line"].as_str().unwrap()).unwrap();
        assert_eq!((&row["a"], &whole["a"]), (&"b".into(), &"b".into()));
    }

    #[test]
    fn every_table_has_what_it_is_told_apart_by_and_says_what_columns_are() {
        for table in TABLES {
            let names: Vec<_> = table.columns.iter().map(|Column(name, ..)| *name).collect();
            assert!(table.identity.iter().all(|name| names.contains(name)), "{}", table.name);
            for Column(name, _, comment) in table.columns {
                assert!(comment.ends_with('.') && comment.len() < 120, "{name}: {comment}");
            }
        }
        for (dialect, cluster) in [(Dialect::Modern, Some("c")), (Dialect::Compat, Some("c"))] {
            let all = statements(dialect, "d", cluster).join(";\n");
            assert_eq!(all.matches("ENGINE = Distributed('c', 'd'").count(), TABLES.len() + 1);
            assert_eq!(all.contains("ON CLUSTER"), dialect == Dialect::Modern);
        }
        let compat = statements(Dialect::Compat, "d", None).join("\n");
        assert!(!compat.contains("TTL") && !compat.contains("LowCardinality"));
    }
}

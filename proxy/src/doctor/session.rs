//! What a session says about the server: version, poolers, round trip, clock, rights, limits.

use super::network::shown;
use super::outcome::Outcome;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_postgres::{Client, SimpleQueryMessage, SimpleQueryRow};

/// Oldest and newest major versions that the tests know.
const MAJORS: std::ops::RangeInclusive<u32> = 12..=18;
/// Empty statements from which the round trip is told.
const ROUND_TRIPS: usize = 20;
/// Difference of the clocks from which joins with the server's log by time go wrong.
const CLOCK_DIFFERENCE_MAX_US: i64 = 1_000;
/// Statements from which a pooler is told: each of them may meet another backend.
const POOLER_QUESTIONS: usize = 5;

const RIGHTS: &str = "SELECT current_user AS role, r.rolsuper AS super, \
      pg_has_role(current_user, 'pg_read_all_stats', 'MEMBER') AS stats, \
      current_setting('server_version_num')::int AS version, \
      (SELECT count(*) FROM tables) AS tables, \
      (SELECT count(*) FROM tables WHERE NOT readable) AS hidden, \
      (SELECT string_agg(DISTINCT quote_ident(nspname), ', ') FROM tables WHERE NOT readable) AS schemas, \
      (SELECT count(*) FROM tables WHERE writable) AS writable, \
      (SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements') AS statements, \
      (SELECT extversion FROM pg_extension WHERE extname = 'hypopg') AS hypopg \
    FROM pg_roles r WHERE r.rolname = current_user";

const TABLES: &str = "WITH tables AS MATERIALIZED (SELECT n.nspname, \
      has_table_privilege(c.oid, 'SELECT') AS readable, \
      has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE') AS writable \
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
    WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_') ";

/// First row of a statement without parameters.
async fn row(client: &Client, sql: &str) -> Result<SimpleQueryRow, String> {
    let messages = client.simple_query(sql).await.map_err(|error| words(&error))?;
    let found = messages.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    found.ok_or_else(|| "the server returned no row".to_owned())
}

/// The server's own words, or those of the connection.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("{} (SQLSTATE {})", error.message(), error.code().code()),
        None => {
            std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
        }
    }
}

fn number(row: &SimpleQueryRow, column: &str) -> u64 {
    row.get(column).and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) async fn version(client: &Client) -> Outcome {
    let step = "version";
    let sql = "SELECT current_setting('server_version') AS text, current_setting('server_version_num') AS number";
    let found = match row(client, sql).await {
        Ok(found) => found,
        Err(error) => return Outcome::fail(step, error),
    };
    let major = u32::try_from(number(&found, "number") / 10_000).unwrap_or(0);
    let line = format!("PostgreSQL {}", found.get("text").unwrap_or("?"));
    if major < *MAJORS.start() {
        Outcome::warn(step, line).fix(format!("versions before {} are not tested", MAJORS.start()))
    } else if major > *MAJORS.end() {
        Outcome::note(
            step,
            format!("{line}: newer than the newest that is tested ({})", MAJORS.end()),
        )
    } else {
        Outcome::ok(step, line)
    }
}

/// Whether each statement meets the same backend.
pub(super) async fn pooler(client: &Client) -> Outcome {
    let step = "pooler";
    let mut pids = Vec::new();
    for _ in 0..POOLER_QUESTIONS {
        match row(client, "SELECT pg_backend_pid() AS pid").await {
            Ok(row) => pids.push(number(&row, "pid")),
            Err(error) => return Outcome::fail(step, error),
        }
    }
    pids.dedup();
    match pids.len() {
        1 => Outcome::ok(step, "none in between, as far as one idle session can tell"),
        _ => Outcome::note(
            step,
            "the backend changes from statement to statement: a pooler in transaction mode",
        )
        .fix("pgsonde works there; joins with the server's log by process id don't"),
    }
}

pub(super) async fn round_trip(client: &Client) -> Outcome {
    let step = "round trip";
    let mut times = Vec::new();
    for _ in 0..ROUND_TRIPS {
        let began = Instant::now();
        if let Err(error) = client.simple_query("").await {
            return Outcome::fail(step, words(&error));
        }
        times.push(began.elapsed());
    }
    times.sort_unstable();
    let (median, high) = (times[ROUND_TRIPS / 2], times[ROUND_TRIPS * 95 / 100 - 1]);
    Outcome::ok(step, format!("median {}, 95 % within {}", shown(median), shown(high)))
}

/// The server's clock against this machine's, as exact as half a round trip.
pub(super) async fn clock(client: &Client) -> Outcome {
    let step = "clock";
    let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS us";
    let (before, began) = (SystemTime::now(), Instant::now());
    let found = match row(client, sql).await {
        Ok(found) => found,
        Err(error) => return Outcome::fail(step, error),
    };
    let took = began.elapsed();
    let middle = before.duration_since(UNIX_EPOCH).unwrap_or_default() + took / 2;
    let server_us = i64::try_from(number(&found, "us")).unwrap_or(0);
    let difference_us = server_us - i64::try_from(middle.as_micros()).unwrap_or(0);
    let half_us = i64::try_from((took / 2).as_micros()).unwrap_or(i64::MAX);
    let line = format!(
        "server − this machine = {:+.2} ms (± {})",
        difference_us as f64 / 1e3,
        shown(took / 2)
    );
    if difference_us.abs() > CLOCK_DIFFERENCE_MAX_US + half_us {
        Outcome::warn(step, line).fix(
            "synchronise both clocks (chrony): statements are joined with the server's log by time",
        )
    } else {
        Outcome::ok(step, line)
    }
}

/// What the index advisor may see with this role, and what it must not be able to do.
pub(super) async fn rights(client: &Client) -> Vec<Outcome> {
    let step = "rights";
    let found = match row(client, &format!("{TABLES}{RIGHTS}")).await {
        Ok(found) => found,
        Err(error) => return vec![Outcome::fail(step, error)],
    };
    let text = |column| found.get(column).unwrap_or_default();
    let flag = |column| found.get(column) == Some("t");
    let role = text("role").to_owned();
    let mut outcomes = Vec::new();
    let (tables, hidden) = (number(&found, "tables"), number(&found, "hidden"));
    if hidden > 0 {
        let line = format!(
            "{role} can't read {hidden} of {tables} tables: no plans and no statistics of them"
        );
        let grant = match number(&found, "version") {
            140_000.. => format!("GRANT pg_read_all_data TO {};", quoted(&role)),
            _ => format!(
                "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {};",
                text("schemas"),
                quoted(&role)
            ),
        };
        outcomes.push(Outcome::warn(step, line).fix(grant));
    } else {
        outcomes.push(Outcome::ok(
            step,
            format!("{role} can read all {tables} tables and their statistics"),
        ));
    }
    outcomes.extend(power(&role, flag("super"), number(&found, "writable")));
    let extension = |name: &str, column| match found.get(column) {
        Some(version) => format!("{name} {version}"),
        None => format!("no {name}"),
    };
    let there = [extension("pg_stat_statements", "statements"), extension("HypoPG", "hypopg")];
    outcomes.push(Outcome::note("extensions", format!("{} (neither is needed)", there.join(", "))));
    if !flag("stats") && found.get("statements").is_some() {
        let grant = format!("GRANT pg_read_all_stats TO {};", quoted(&role));
        outcomes.push(
            Outcome::note(
                step,
                format!("{role} sees its own statements only in pg_stat_statements"),
            )
            .fix(grant),
        );
    }
    outcomes
}

fn power(role: &str, superuser: bool, writable: u64) -> Option<Outcome> {
    let line = match (superuser, writable) {
        (true, _) => format!("{role} is a superuser"),
        (false, 0) => return None,
        (false, n) => format!("{role} could write to {n} table{}", if n == 1 { "" } else { "s" }),
    };
    let help = "as an application's role that is right; give the index advisor (--side-connection) one that can only read";
    Some(Outcome::note("rights", line).fix(help))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The server's room for sessions.
pub(super) async fn limits(client: &Client, ours: usize) -> Outcome {
    let step = "limits";
    let sql = "SELECT current_setting('max_connections')::int AS max, \
        current_setting('superuser_reserved_connections')::int AS reserved";
    let found = match row(client, sql).await {
        Ok(found) => found,
        Err(error) => return Outcome::fail(step, error),
    };
    let free = number(&found, "max").saturating_sub(number(&found, "reserved"));
    let line =
        format!("the server takes {free} sessions, the proxy {ours} (proxy.max_connections)");
    if free < ours as u64 {
        let help = format!(
            "set proxy.max_connections = {free}, so that the refusal names its reason; or raise max_connections"
        );
        Outcome::note(step, line).fix(help)
    } else {
        Outcome::ok(step, line)
    }
}

/// How long a session takes to say one word through a running proxy.
pub(super) async fn same_through(client: &Client, via: &str, opened: Duration) -> Outcome {
    let step = "via";
    match row(client, "SELECT current_setting('server_version') AS text").await {
        Ok(_) => Outcome::ok(step, format!("{via} takes sessions (opened in {})", shown(opened))),
        Err(error) => Outcome::fail(step, format!("{via}: {error}")),
    }
}

//! What stands in lines for the codes of records.

use pgsonde_analyzer::record::{Driver, Outcome, Protocol, Tag, Timing, TransactionOutcome};
use std::borrow::Cow;

pub(super) fn sqlstate(code: [u8; 5]) -> Option<Cow<'static, str>> {
    (code != [0; 5]).then(|| code.escape_ascii().to_string().into())
}

pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Simple => "simple",
        Protocol::Extended => "extended",
        Protocol::FunctionCall => "function_call",
    }
}

pub(super) fn prepare(protocol: Protocol, parsed: bool) -> &'static str {
    match (protocol, parsed) {
        (Protocol::Extended, true) => "new",
        (Protocol::Extended, false) => "reuse",
        _ => "none",
    }
}

pub(super) fn timing(timing: Timing) -> Option<&'static str> {
    match timing {
        Timing::Exact | Timing::Part => None,
        Timing::Bound => Some("bound"),
        Timing::Batch => Some("batch"),
        Timing::BatchLast => Some("batch_last"),
        Timing::Empty => Some("empty"),
    }
}

pub(super) fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Error => "error",
        Outcome::Cancelled => "cancelled",
        Outcome::Aborted => "aborted",
    }
}

pub(super) fn tag(tag: Tag) -> Option<&'static str> {
    match tag {
        Tag::Begin => Some("begin"),
        Tag::Commit => Some("commit"),
        Tag::Rollback => Some("rollback"),
        _ => None,
    }
}

pub(super) fn transaction_outcome(outcome: TransactionOutcome) -> &'static str {
    match outcome {
        TransactionOutcome::Commit => "commit",
        TransactionOutcome::Rollback => "rollback",
        TransactionOutcome::Error => "error",
        TransactionOutcome::Abandoned => "abandoned",
    }
}

pub(super) fn driver_words(driver: Driver) -> Option<&'static str> {
    match driver {
        Driver::Unknown => None,
        Driver::Psycopg3 => Some("looks like psycopg 3"),
        Driver::Asyncpg => Some("looks like asyncpg"),
        Driver::PgJdbc => Some("looks like pgjdbc"),
        Driver::ActiveRecord => Some("looks like ActiveRecord"),
        Driver::Pgx => Some("looks like pgx"),
        Driver::Npgsql => Some("looks like Npgsql"),
        Driver::TokioPostgres => Some("looks like tokio-postgres or Prisma"),
    }
}

//! What stands in lines for the codes of records.

use crate::stream::tls_words;
use pgsonde_analyzer::record::{
    Auth, Driver, End, Outcome, Protocol, StatementRecord, Tag, Timing, Tls, TransactionOutcome,
};
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

pub(super) fn prepare(record: &StatementRecord) -> &'static str {
    match (record.protocol, record.parsed, record.named) {
        (Protocol::Extended, true, true) => "named",
        (Protocol::Extended, true, false) => "unnamed",
        (Protocol::Extended, false, _) => "reuse",
        _ => "none",
    }
}

/// Whether its portal was not read to its end: no completion tag came, and no error.
pub(super) fn is_suspended(record: &StatementRecord) -> bool {
    record.row_limited
        && record.tag == Tag::None
        && record.outcome == Outcome::Ok
        && record.timing != Timing::Empty
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

pub(super) fn auth(auth: Auth) -> Option<&'static str> {
    match auth {
        Auth::Unknown => None,
        Auth::Nothing => Some("trust"),
        Auth::Password => Some("password"),
        Auth::Md5 => Some("md5"),
        Auth::ScramSha256 => Some("scram-sha-256"),
        Auth::OAuth => Some("oauth"),
        Auth::Gss => Some("gss"),
        Auth::Sspi => Some("sspi"),
    }
}

/// Who ended a session, and how.
pub(super) fn end(end: End) -> Option<(&'static str, &'static str)> {
    match end {
        End::Unknown => None,
        End::ClientClosed => Some(("client", "client_closed")),
        End::ClientReset => Some(("client", "client_reset")),
        End::ServerClosed => Some(("server", "server_closed")),
        End::ServerReset => Some(("server", "server_reset")),
        End::IdleTimeout => Some(("proxy", "idle_timeout")),
        End::Drain => Some(("proxy", "drain")),
    }
}

/// The version of TLS of a leg, if it has one.
pub(super) fn tls(version: Tls) -> Option<Cow<'static, str>> {
    (version != Tls::Off).then(|| tls_words(version).into())
}

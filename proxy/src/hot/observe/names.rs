//! What names, tags and codes on the wire mean.

use pgsonde_analyzer::record::{Auth, Driver, Tag};

/// The driver that spells statement names like this.
pub(super) fn driver_of(name: &[u8]) -> Driver {
    let numbered = |prefix: &[u8]| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
    };
    match name {
        b"" => Driver::Unknown,
        _ if numbered(b"_pg3_") => Driver::Psycopg3,
        _ if name.starts_with(b"__asyncpg_") => Driver::Asyncpg,
        _ if numbered(b"S_") => Driver::PgJdbc,
        _ if name.starts_with(b"stmtcache_") || name.starts_with(b"lrupsc_") => Driver::Pgx,
        _ if numbered(b"_auto") || numbered(b"_p") => Driver::Npgsql,
        _ if numbered(b"a") => Driver::ActiveRecord,
        _ if numbered(b"s") => Driver::TokioPostgres,
        _ => Driver::Unknown,
    }
}

pub(super) fn tag_of(tag: &[u8]) -> Tag {
    let word = tag.split(|byte| *byte == b' ').next().unwrap_or_default();
    match word {
        b"" => Tag::None,
        b"SELECT" => Tag::Select,
        b"INSERT" => Tag::Insert,
        b"UPDATE" => Tag::Update,
        b"DELETE" => Tag::Delete,
        b"MERGE" => Tag::Merge,
        b"FETCH" | b"MOVE" => Tag::Fetch,
        b"COPY" => Tag::Copy,
        b"BEGIN" | b"START" => Tag::Begin,
        b"COMMIT" => Tag::Commit,
        b"ROLLBACK" => Tag::Rollback,
        _ => Tag::Other,
    }
}

/// What an authentication request asks for: its code, and the name of the first mechanism
/// (Message Formats, AuthenticationOk and its siblings).
pub(super) fn auth_of(code: u32, rest: &[u8]) -> Auth {
    match code {
        0 => Auth::Nothing,
        3 => Auth::Password,
        5 => Auth::Md5,
        7 => Auth::Gss,
        9 => Auth::Sspi,
        10 if rest.starts_with(b"SCRAM-SHA-256") => Auth::ScramSha256,
        10 if rest.starts_with(b"OAUTHBEARER") => Auth::OAuth,
        _ => Auth::Unknown,
    }
}

//! The read-only side connection: catalogue queries and plain EXPLAIN, nothing else.
//!
//! Everything runs in `READ ONLY` transactions under short limits. The server never hears of a statement that the
//! parser has not found to be one SELECT behind a plain EXPLAIN.

use super::catalog_sql as sql;
use super::pace::Pace;
use super::rows::Cells;
use pgsonde_advisor::ddl;
use pgsonde_analyzer::digest::grammar::Grammar;
use rustls::{ClientConfig, RootCertStore};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time that connecting may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// Longest time that any answer may take: above the server's own limit of 2 s, for a network that went away.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The session's contract: limits, read-only, and a form of output that doesn't depend on the role.
const CONTRACT: &str = "SET default_transaction_read_only = on; SET statement_timeout = '2s'; \
    SET lock_timeout = '50ms'; SET idle_in_transaction_session_timeout = '30s'; SET client_encoding = 'UTF8'; \
    SET standard_conforming_strings = on; SET DateStyle = 'ISO, YMD'; SET IntervalStyle = 'postgres'; \
    SET extra_float_digits = 3; SET bytea_output = 'hex'; SET plan_cache_mode = 'force_custom_plan'";

/// Why the side connection gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SideError {
    /// No connection.
    #[error("{0}")]
    Connect(String),
    /// The server refused a statement.
    #[error("{message} (SQLSTATE {code})")]
    Server {
        /// SQLSTATE.
        code: String,
        /// The server's message; it may quote a value of a statement.
        message: String,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
}

/// A text that the parser found to be one SELECT that writes and locks nothing.
pub(super) struct OneSelect(String);

impl OneSelect {
    /// The statement as such a SELECT; `None` where it reads nothing, or where a part of it writes.
    pub(super) fn checked(grammar: &Grammar, text: &str) -> Option<Self> {
        grammar.select_form(text).map(Self)
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

/// One connection and the thread-bound runtime that drives it.
pub(super) struct Side {
    runtime: Runtime,
    client: Client,
    /// The server's search_path for this role, before anything was set.
    pub(super) search_path: Vec<String>,
    /// Statements sent so far.
    pub(super) sent: u64,
    /// EXPLAINs among them.
    pub(super) explained: u64,
    /// What is set in each transaction that explains, beside the limits.
    local: String,
    /// Holds EXPLAINs back on a database that others live from.
    pace: Option<Pace>,
}

impl Side {
    /// Connects and sets the contract.
    pub(super) fn connect(config: &Config) -> Result<Self, SideError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SideError::Connect(error.to_string()))?;
        let client = runtime.block_on(async {
            tokio::time::timeout(CONNECT_LIMIT, open(config)).await.map_err(|_| {
                SideError::Connect(format!("no answer within {} s", CONNECT_LIMIT.as_secs()))
            })?
        })?;
        let (search_path, local) = (Vec::new(), String::new());
        let mut side =
            Self { runtime, client, search_path, sent: 0, explained: 0, local, pace: None };
        side.run(CONTRACT)?;
        side.check_contract()?;
        side.search_path = side.schemas()?;
        Ok(side)
    }

    /// Looks names up as the sessions do whose statements are explained.
    pub(super) fn use_path(&mut self, schemas: Vec<String>) {
        let quoted: Vec<String> = schemas.iter().map(|name| ddl::quoted(name)).collect();
        self.local = format!("SET LOCAL search_path = {}; ", quoted.join(", "));
        self.search_path = schemas;
    }

    /// Holds EXPLAINs back from now on.
    pub(super) fn pace(&mut self, pace: Pace) {
        self.pace = Some(pace);
    }

    /// A new run begins: its EXPLAINs are counted anew.
    pub(super) fn begin_run(&mut self) {
        self.pace.iter_mut().for_each(Pace::begin);
    }

    /// Whether the connection is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Whether the server has hardly any connections left.
    pub(super) fn is_busy(&mut self) -> Result<bool, SideError> {
        let mut busy = false;
        self.each(sql::BUSY, |row| busy = row.flag("busy"))?;
        Ok(busy)
    }

    /// Changes when an index comes, goes, or becomes valid.
    pub(super) fn index_mark(&mut self) -> Result<(u64, u64), SideError> {
        let mut mark = (0, 0);
        self.each(sql::INDEX_MARK, |row| mark = (row.number("count"), row.number("sum")))?;
        Ok(mark)
    }

    /// What `pg_stat_statements` holds of this database, most called first; nothing where it isn't installed.
    pub(super) fn query_texts(&mut self) -> Result<Vec<(i64, String)>, SideError> {
        let mut schema = None;
        self.each(sql::STATEMENTS_SCHEMA, |row| schema = row.maybe("schema"))?;
        let Some(schema) = schema else { return Ok(Vec::new()) };
        let sql = sql::query_texts(&ddl::quoted(&schema));
        let messages = self.in_transaction("SET LOCAL search_path = pg_catalog", &sql)?;
        let read = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = Cells(row);
                Some((cells.parsed("queryid")?, cells.maybe("query")?))
            }
            _ => None,
        };
        Ok(messages.iter().filter_map(read).collect())
    }

    /// The schemas that names are looked up in, for this role.
    fn schemas(&mut self) -> Result<Vec<String>, SideError> {
        Ok(texts(&self.ask("SELECT unnest(current_schemas(false)) AS schema")?))
    }

    /// A pooler or a proxy may drop settings: then nothing may be sent.
    fn check_contract(&mut self) -> Result<(), SideError> {
        let mut kept = false;
        let sql = "SELECT current_setting('default_transaction_read_only') = 'on' \
            AND current_setting('statement_timeout') = '2s' AND current_setting('lock_timeout') = '50ms' AS kept";
        self.each(sql, |row| kept = row.flag("kept"))?;
        let refused = "the server did not keep the limits of the session (read-only, 2 s, 50 ms)";
        if kept { Ok(()) } else { Err(SideError::Connect(refused.to_owned())) }
    }

    /// Runs one of our own constant statements.
    fn run(&mut self, sql: &'static str) -> Result<(), SideError> {
        self.ask(sql).map(|_| ())
    }

    /// Reads a catalogue query's rows, in a read-only transaction.
    pub(super) fn each(
        &mut self,
        sql: &'static str,
        mut visit: impl FnMut(&Cells<'_>),
    ) -> Result<(), SideError> {
        let messages = self.in_transaction("SET LOCAL search_path = pg_catalog", sql)?;
        for message in &messages {
            if let SimpleQueryMessage::Row(row) = message {
                visit(&Cells(row));
            }
        }
        Ok(())
    }

    /// EXPLAIN (FORMAT JSON) of a text that the parser found to be one SELECT. Without parallel plans on request.
    pub(super) fn explain(
        &mut self,
        select: &OneSelect,
        parallel: bool,
    ) -> Result<serde_json::Value, SideError> {
        self.plan(select, parallel, "").map(|(plan, _)| plan)
    }

    /// EXPLAIN (FORMAT JSON, SETTINGS), as the server would plan the statement now.
    pub(super) fn explain_with_settings(
        &mut self,
        select: &OneSelect,
    ) -> Result<serde_json::Value, SideError> {
        let local = self.local.clone();
        self.planned(&local, &format!("EXPLAIN (FORMAT JSON, SETTINGS) {}", select.0))
            .map(|(plan, _)| plan)
    }

    /// What HypoPG calls these indexes (`CREATE INDEX …`); they are forgotten at once.
    pub(super) fn suppose(
        &mut self,
        hypopg: &HypoPgSchema,
        indexes: &[String],
    ) -> Result<Vec<String>, SideError> {
        let local = format!("{}SET LOCAL jit = off", self.local);
        let answer = self.in_transaction(&local, &hypopg.create(indexes));
        // hypotheses outlive a transaction
        self.ask(&hypopg.reset())?;
        Ok(texts(&answer?))
    }

    /// EXPLAIN (FORMAT JSON) as if these indexes (`CREATE INDEX …`) existed, and what HypoPG calls them.
    pub(super) fn explain_supposing(
        &mut self,
        hypopg: &HypoPgSchema,
        indexes: &[String],
        select: &OneSelect,
    ) -> Result<(serde_json::Value, Vec<String>), SideError> {
        let answer = self.plan(select, true, &hypopg.create(indexes));
        self.ask(&hypopg.reset())?;
        answer
    }

    /// The plan, and what the statements before gave.
    fn plan(
        &mut self,
        select: &OneSelect,
        parallel: bool,
        before: &str,
    ) -> Result<(serde_json::Value, Vec<String>), SideError> {
        let local = if parallel {
            "SET LOCAL jit = off"
        } else {
            "SET LOCAL max_parallel_workers_per_gather = 0"
        };
        let local = format!("{}{local}", self.local);
        self.planned(&local, &format!("{before}EXPLAIN (FORMAT JSON) {}", select.0))
    }

    fn planned(
        &mut self,
        local: &str,
        sql: &str,
    ) -> Result<(serde_json::Value, Vec<String>), SideError> {
        self.pace.as_mut().map_or(Ok(()), Pace::wait)?;
        self.explained += 1;
        let begun = std::time::Instant::now();
        let answer = self.in_transaction(local, sql);
        if let Some(pace) = &mut self.pace {
            pace.note(begun.elapsed(), answer.as_ref().err());
        }
        let mut texts = texts(&answer?);
        let plan = texts.pop().and_then(|text| serde_json::from_str(&text).ok());
        let plan = plan.ok_or_else(|| SideError::Lost("EXPLAIN gave no JSON".to_owned()))?;
        Ok((plan, texts))
    }

    fn in_transaction(
        &mut self,
        local: &str,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, SideError> {
        self.ask(&format!("BEGIN READ ONLY; {local}"))?;
        let outcome = self.ask(sql);
        self.ask("ROLLBACK")?;
        outcome
    }

    fn ask(&mut self, sql: &str) -> Result<Vec<SimpleQueryMessage>, SideError> {
        self.sent += 1;
        let Self { runtime, client, .. } = self;
        let answer = runtime
            .block_on(async { tokio::time::timeout(ANSWER_LIMIT, client.simple_query(sql)).await });
        match answer {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(error)) => Err(classed(&error)),
            Err(_) => {
                Err(SideError::Lost(format!("no answer within {} s", ANSWER_LIMIT.as_secs())))
            }
        }
    }
}

/// The first column of every row.
fn texts(messages: &[SimpleQueryMessage]) -> Vec<String> {
    let text = |message: &SimpleQueryMessage| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or_default().to_owned()),
        _ => None,
    };
    messages.iter().filter_map(text).collect()
}

/// Where the extension HypoPG has its functions.
pub(super) struct HypoPgSchema(String);

impl HypoPgSchema {
    pub(super) fn named(schema: &str) -> Self {
        Self(ddl::quoted(schema))
    }

    fn create(&self, indexes: &[String]) -> String {
        let one = |sql: &String| {
            let text = sql.replace('\'', "''");
            format!("SELECT indexname FROM {}.hypopg_create_index('{text}'); ", self.0)
        };
        indexes.iter().map(one).collect()
    }

    fn reset(&self) -> String {
        format!("SELECT {}.hypopg_reset()", self.0)
    }
}

pub(super) fn classed(error: &tokio_postgres::Error) -> SideError {
    match error.as_db_error() {
        Some(database) => SideError::Server {
            code: database.code().code().to_owned(),
            message: database.message().to_owned(),
        },
        None => SideError::Lost(cause(error)),
    }
}

/// The innermost cause says most.
fn cause(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text = inner.to_string();
        source = inner.source();
    }
    text
}

/// TLS where the URL and the server want it; `prefer` goes plain where TLS can't be had.
async fn open(config: &Config) -> Result<Client, SideError> {
    if config.get_ssl_mode() == SslMode::Disable {
        return plain(config).await;
    }
    match secured(config).await {
        Err(_) if config.get_ssl_mode() == SslMode::Prefer => {
            let mut without = config.clone();
            without.ssl_mode(SslMode::Disable);
            plain(&without).await
        }
        outcome => outcome,
    }
}

async fn plain(config: &Config) -> Result<Client, SideError> {
    let (client, connection) = config.connect(NoTls).await.map_err(|error| refused(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

async fn secured(config: &Config) -> Result<Client, SideError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| SideError::Connect(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connecting = config.connect(MakeRustlsConnect::new(tls));
    let (client, connection) = connecting.await.map_err(|error| refused(&error))?;
    tokio::spawn(connection);
    Ok(client)
}

fn refused(error: &tokio_postgres::Error) -> SideError {
    match classed(error) {
        SideError::Lost(cause) => SideError::Connect(cause),
        SideError::Server { code, message } => {
            SideError::Connect(format!("{message} (SQLSTATE {code})"))
        }
        other @ SideError::Connect(_) => other,
    }
}

//! Connections to the shadow itself: they may write, and only ever lead into its private socket.

use super::super::rows::Cells;
use super::super::side::{SideError, classed};
use super::Unavailable;
use super::cluster::Cluster;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::config::SslMode;
use tokio_postgres::{Client, Config, NoTls, SimpleQueryMessage};

/// Longest time that a server may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(20);
/// Longest time of one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// The database of the shadow: the one that every cluster has.
pub(super) const DATABASE: &str = "postgres";

/// One connection that may write.
pub(super) struct Writer {
    runtime: Runtime,
    client: Client,
}

/// How a role reaches the shadow.
pub(super) fn config(folder: &Path, user: &str) -> Config {
    let mut config = Config::new();
    config.host_path(folder).port(5432).user(user).dbname(DATABASE).ssl_mode(SslMode::Disable);
    config.connect_timeout(Duration::from_secs(5)).application_name("pgsonde-shadow");
    config
}

impl Writer {
    /// Connects as soon as the server answers.
    pub(super) fn connect(cluster: &Cluster, user: &str) -> Result<Self, Unavailable> {
        let started = Instant::now();
        loop {
            match Self::try_connect(&config(&cluster.folder, user)) {
                Ok(writer) => return Ok(writer),
                Err(error) if started.elapsed() > START_LIMIT => {
                    return Err(Unavailable::new(
                        format!(
                            "the shadow's server did not start: {error}. {}",
                            cluster.last_words()
                        ),
                        "look whether the machine has memory and space left".to_owned(),
                    ));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    fn try_connect(config: &Config) -> Result<Self, SideError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| SideError::Connect(error.to_string()))?;
        let client = runtime.block_on(async {
            let (client, connection) =
                config.connect(NoTls).await.map_err(|error| classed(&error))?;
            tokio::spawn(connection);
            Ok::<_, SideError>(client)
        })?;
        let writer = Self { runtime, client };
        writer.run("SET search_path = pg_catalog; SET check_function_bodies = off; SET statement_timeout = '30s'; \
            SET client_min_messages = error; SET allow_system_table_mods = on")
            .or_else(|_| {
                writer.run("SET search_path = pg_catalog; SET check_function_bodies = off; \
                    SET statement_timeout = '30s'; SET client_min_messages = error")
            })?;
        Ok(writer)
    }

    /// Runs statements; several in one text are one transaction.
    pub(super) fn run(&self, sql: &str) -> Result<(), SideError> {
        self.ask(sql).map(|_| ())
    }

    /// Reads rows.
    pub(super) fn each(
        &self,
        sql: &str,
        mut visit: impl FnMut(&Cells<'_>),
    ) -> Result<(), SideError> {
        for message in &self.ask(sql)? {
            if let SimpleQueryMessage::Row(row) = message {
                visit(&Cells(row));
            }
        }
        Ok(())
    }

    fn ask(&self, sql: &str) -> Result<Vec<SimpleQueryMessage>, SideError> {
        let asking =
            async { tokio::time::timeout(ANSWER_LIMIT, self.client.simple_query(sql)).await };
        match self.runtime.block_on(asking) {
            Ok(Ok(messages)) => Ok(messages),
            Ok(Err(error)) => Err(classed(&error)),
            Err(_) => Err(SideError::Lost("the shadow did not answer".to_owned())),
        }
    }
}

/// A text as SQL; the shadow has standard_conforming_strings on.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as SQL, or NULL.
pub(super) fn literal_or_null(text: Option<&str>) -> String {
    text.map_or("NULL".to_owned(), literal)
}

//! `[export.*]`: where events and figures go besides files and Prometheus.

use super::keys::{Key, Kind, Value};
use super::{Values, secret};
use crate::capture::Kinds;
use crate::clickhouse::Place;
use crate::problem::Problem;
use std::path::PathBuf;
use std::time::Duration;

use super::Secret;

/// Exporters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportSettings {
    /// `[export.clickhouse]`; absent = off.
    pub clickhouse: Option<ClickHouseSettings>,
}

/// To ClickHouse over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct ClickHouseSettings {
    /// Where it is.
    pub place: Place,
    /// Read where the configuration is loaded.
    pub password: Option<Secret>,
    /// Folder of batches that wait.
    pub spool: PathBuf,
    /// Bytes of them; more are dropped and counted.
    pub spool_bytes_max: u64,
    /// Rows of a batch.
    pub batch_rows: u64,
    /// Time after which a smaller one leaves.
    pub batch_interval: Duration,
    /// Share of the units of work that are exported, in parts per million.
    pub sample_millionths: u64,
    /// Which lines.
    pub kinds: Kinds,
}

const S: u64 = 1_000_000;
const MIB: u64 = 1 << 20;

const fn key(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { name, kind, default }
}

/// The keys.
pub(super) const EXPORT_KEYS: &[Key] = &[
    key("export.clickhouse.url", "", Kind::Web),
    key("export.clickhouse.password", "", Kind::Secret),
    key("export.clickhouse.spool", "", Kind::Path),
    key("export.clickhouse.spool_max", "1GiB", Kind::Size(MIB, 1_048_576 * MIB)),
    key("export.clickhouse.batch_rows", "10000", Kind::Count(100, 100_000)),
    key("export.clickhouse.batch_interval", "1s", Kind::Duration(S / 10, 60 * S, false)),
    key("export.clickhouse.sample", "100%", Kind::Share),
    key("export.clickhouse.events", "", Kind::EventKinds),
];

/// The rule of `Kind::Web`.
pub(super) fn check_url(text: &str) -> Result<(), String> {
    Place::parse(text).map(|_| ())
}

impl Values {
    pub(super) fn export(&self) -> Result<ExportSettings, Problem> {
        Ok(ExportSettings { clickhouse: self.clickhouse()? })
    }

    fn clickhouse(&self) -> Result<Option<ClickHouseSettings>, Problem> {
        let url = self.text("export.clickhouse.url");
        if url.is_empty() {
            return Ok(None);
        }
        let wrong = |rule: String| Problem::new(204, format!("`export.clickhouse.url`: {rule}"));
        let spool = self.path("export.clickhouse.spool").ok_or_else(|| {
            Problem::new(206, "`export.clickhouse.url` is set, and `export.clickhouse.spool` isn't")
                .help("it names a folder of this proxy alone, in which batches wait while the store is away")
        })?;
        Ok(Some(ClickHouseSettings {
            place: Place::parse(&url).map_err(wrong)?,
            password: None,
            spool,
            spool_bytes_max: self.number("export.clickhouse.spool_max"),
            batch_rows: self.number("export.clickhouse.batch_rows"),
            batch_interval: self.duration("export.clickhouse.batch_interval"),
            sample_millionths: self.number("export.clickhouse.sample"),
            kinds: match self.values.get("export.clickhouse.events") {
                Some(Value::EventKinds(kinds)) => *kinds,
                _ => Kinds::ALL,
            },
        }))
    }
}

impl ExportSettings {
    /// Reads the secrets that the keys name.
    pub(super) fn read_secrets<'a>(
        &mut self,
        place: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Problem> {
        let read = |key: &str| {
            place(key)
                .map(|place| secret::read(key, place, |name| std::env::var(name).ok()))
                .transpose()
        };
        if let Some(clickhouse) = &mut self.clickhouse {
            clickhouse.password = read("export.clickhouse.password")?;
        }
        Ok(())
    }
}

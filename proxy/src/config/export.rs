//! `[export.*]`: where events and figures go besides files and Prometheus.

use super::keys::{Key, Kind, Value};
use super::{Values, secret};
use crate::capture::Kinds;
use crate::clickhouse::Place;
use crate::problem::Problem;
use std::path::PathBuf;
use std::time::Duration;
use ureq::http::{HeaderName, HeaderValue};
use url::Url;

use super::Secret;

/// Exporters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExportSettings {
    /// `[export.clickhouse]`; absent = off.
    pub clickhouse: Option<ClickHouseSettings>,
    /// `[export.otlp]`; absent = off.
    pub otlp: Option<OtlpSettings>,
}

/// To an OpenTelemetry receiver over HTTP.
#[derive(Clone, Debug, PartialEq)]
pub struct OtlpSettings {
    /// What `v1/metrics`, `v1/traces` and `v1/logs` are below.
    pub base: Url,
    /// Headers of each request, `name=value,…`; read where the configuration is loaded.
    pub headers: Option<Secret>,
    /// Time between two exports of the histograms, and after which spans and logs leave at the latest.
    pub interval: Duration,
    /// Share of the units of work without a trace of their own whose spans leave, in parts per million.
    pub sample_millionths: u64,
    /// Units that take this long always leave, in microseconds.
    pub slow_us: u64,
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
    key("export.otlp.url", "", Kind::Receiver),
    key("export.otlp.headers", "", Kind::Secret),
    key("export.otlp.interval", "10s", Kind::Duration(S / 10, 600 * S, false)),
    key("export.otlp.sample", "1%", Kind::Share),
    key("export.otlp.slow", "1s", Kind::Duration(S / 1_000, 3_600 * S, false)),
];

/// The rule of `Kind::Web`.
pub(super) fn check_url(text: &str) -> Result<(), String> {
    Place::parse(text).map(|_| ())
}

/// The rule of `Kind::Receiver`.
pub(super) fn receiver(text: &str) -> Result<Url, String> {
    let rule = "a receiver is http://host[:4318][/path] or https://…, without user and password";
    let mut url = Url::parse(text).map_err(|_| rule.to_owned())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() || !plain {
        return Err(rule.to_owned());
    }
    if !cfg!(feature = "otlp") {
        return Err("this build has no OpenTelemetry (cargo feature `otlp`)".to_owned());
    }
    if url.port().is_none() && url.scheme() == "http" {
        // Errors are for URLs without a host, and this has one.
        let _ = url.set_port(Some(4318));
    }
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    Ok(url)
}

impl Values {
    pub(super) fn export(&self) -> Result<ExportSettings, Problem> {
        Ok(ExportSettings { clickhouse: self.clickhouse()?, otlp: self.otlp()? })
    }

    fn otlp(&self) -> Result<Option<OtlpSettings>, Problem> {
        let url = self.text("export.otlp.url");
        if url.is_empty() {
            return Ok(None);
        }
        let wrong = |rule: String| Problem::new(204, format!("`export.otlp.url`: {rule}"));
        Ok(Some(OtlpSettings {
            base: receiver(&url).map_err(wrong)?,
            headers: None,
            interval: self.duration("export.otlp.interval"),
            sample_millionths: self.number("export.otlp.sample"),
            slow_us: self.number("export.otlp.slow"),
        }))
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
        if let Some(otlp) = &mut self.otlp {
            otlp.headers = read("export.otlp.headers")?;
            let fits = otlp.headers.as_ref().is_none_or(|headers| pairs(headers).is_some());
            if !fits {
                let rule =
                    "`export.otlp.headers`: it names a text of the form name=value,name=value";
                return Err(Problem::new(204, rule));
            }
        }
        Ok(())
    }
}

/// The headers that a secret holds, as OTEL_EXPORTER_OTLP_HEADERS spells them; nothing if it doesn't.
pub(crate) fn pairs(headers: &Secret) -> Option<Vec<(HeaderName, HeaderValue)>> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
    };
    headers.expose().split(',').map(pair).collect()
}

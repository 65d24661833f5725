//! What the forwarding side tells the renderings about itself: plain counters, read at one moment.

use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::snapshot::{Buckets, Snapshot};
use std::sync::Arc;

/// Upper bounds in nanoseconds of `proxy_overhead_seconds` (H10o of the metric catalogue).
pub const OVERHEAD_BUCKETS_NS: [u64; 10] =
    [1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 10_000_000];

/// Upper bounds in microseconds of `connection_setup_seconds` (H10c).
pub const SETUP_BUCKETS_US: [u64; 10] =
    [500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000];

/// Where the renderings get the latest snapshot.
pub trait SnapshotSource: Send + Sync {
    /// The latest one.
    fn snapshot(&self) -> Arc<Snapshot>;
}

impl SnapshotSource for tokio::sync::watch::Receiver<Arc<Snapshot>> {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.borrow().clone()
    }
}

/// Where the renderings get the proxy's own counters.
pub trait ProxyStatus: Send + Sync {
    /// The counters now.
    fn proxy(&self) -> ProxyCounters;

    /// Where live events and captures come from, if there are any.
    fn events(&self) -> Option<Arc<crate::capture::Events>> {
        None
    }
}

/// The proxy's own counters at one moment.
#[derive(Clone, Debug, Default)]
pub struct ProxyCounters {
    /// What runs.
    pub build: Build,
    /// Seconds since start.
    pub uptime_s: u64,
    /// What is inspected.
    pub mode: Mode,
    /// What is kept of texts, values and names.
    pub redaction: Redaction,
    /// Whether it takes sessions.
    pub lifecycle: Lifecycle,
    /// The server behind it.
    pub upstream: UpstreamState,
    /// Client sessions now.
    pub client_connections: ClientConnections,
    /// Limit of client sessions.
    pub connections_max: u64,
    /// Client connections since start by what became of them.
    pub connections: ConnectionResults,
    /// Cancel requests relayed.
    pub cancel_requests: u64,
    /// Sessions forwarded but no longer read, by reason.
    pub opaque: OpaqueReasons,
    /// Events made, dropped ones included.
    pub events: u64,
    /// Events that never reached the statistics, by reason.
    pub dropped: EventDrops,
    /// Batches waiting for the analyzer.
    pub queue_batches: u64,
    /// Limit of them.
    pub queue_batches_max: u64,
    /// Restarts of the analyzer after a failure; its statistics began anew.
    pub analyzer_restarts: u64,
    /// Time that a batch of messages spent inside.
    pub overhead: Overhead,
    /// Time of connection set-up by stage.
    pub setup: ConnectionSetup,
    /// What this process takes itself; absent where nobody runs (a file) or the system doesn't say.
    pub own_use: Option<crate::own_use::OwnUse>,
    /// What the capture came to.
    pub capture: CaptureCounts,
    /// What the exporters came to.
    pub exports: Vec<ExporterCounts>,
    /// Limits by name, names with units, for people.
    pub limits: Vec<(&'static str, u64)>,
    /// Whether the latest reload of the configuration was taken over; true before the first.
    pub reload_successful: bool,
    /// When the configuration in force was read, in seconds since 1970.
    pub reload_success_unix_s: u64,
    /// What the index advisor does.
    pub advisor: AdvisorStatus,
}

/// What the index advisor does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvisorStatus {
    /// `off`, `suspect`, `estimated`, `verified`: the best that it can say now.
    pub tier: &'static str,
    /// What keeps it from saying more.
    pub problems: Vec<AdvisorProblem>,
    /// Databases that it has looked at.
    pub databases: Vec<AdvisorDatabase>,
    /// EXPLAINs on the target by outcome: ok, error, timeout, refused.
    pub explains: [(&'static str, u64); 4],
    /// What was left out, by reason.
    pub skipped: Vec<(&'static str, u64)>,
}

impl Default for AdvisorStatus {
    fn default() -> Self {
        Self {
            tier: "off",
            problems: Vec::new(),
            databases: Vec::new(),
            explains: [("ok", 0), ("error", 0), ("timeout", 0), ("refused", 0)],
            skipped: Vec::new(),
        }
    }
}

/// What keeps the advisor from saying more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvisorProblem {
    /// Database, where it is one's.
    pub database: Option<String>,
    /// In plain words, without values.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

/// A database that the advisor has looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdvisorDatabase {
    /// Its name.
    pub name: String,
    /// Unix microseconds of the latest run.
    pub run_unix_us: u64,
    /// How long it took, milliseconds.
    pub run_ms: u64,
    /// Statements with plans.
    pub statements: usize,
    /// Indexes that were tried.
    pub candidates: usize,
    /// Plans compared between target and shadow, and those within 0.1 %.
    pub fidelity: Option<(usize, usize)>,
    /// Existing indexes that may be unnecessary: table, index, kind, why.
    pub existing_indexes: Vec<[String; 4]>,
    /// What else should be known.
    pub notes: Vec<String>,
}

/// What the capture came to since start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CaptureCounts {
    /// Bytes in files, compressed.
    pub written_bytes: u64,
    /// Failures of files, and events that found the capture's queue full.
    pub errors: u64,
}

/// What an exporter came to since start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExporterCounts {
    /// `clickhouse` or `otlp`.
    pub exporter: &'static str,
    /// Rows that the other side has.
    pub rows: u64,
    /// Bytes of their bodies, compressed.
    pub bytes: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Rows that will never arrive, by reason.
    pub dropped: Vec<(&'static str, u64)>,
    /// Bytes that wait, on disk or in memory.
    pub spool_bytes: u64,
    /// Why the latest attempt failed; none while it works.
    pub last_error: Option<String>,
}

impl From<&ExporterCounts> for super::shapes::ExportInfo {
    fn from(of: &ExporterCounts) -> Self {
        Self {
            exporter: of.exporter.to_owned(),
            rows: of.rows,
            bytes: of.bytes,
            failures: of.failures,
            dropped: of.dropped.iter().map(|(why, rows)| ((*why).to_owned(), *rows)).collect(),
            spool_bytes: of.spool_bytes,
            last_error: of.last_error.clone(),
        }
    }
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    /// Version of the crate.
    pub version: &'static str,
    /// Revision of the source, or `unknown`.
    pub revision: &'static str,
    /// Compiler, or `unknown`.
    pub rustc: &'static str,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("PGSONDE_REVISION").unwrap_or("unknown"),
            rustc: option_env!("PGSONDE_RUSTC").unwrap_or("unknown"),
        }
    }
}

/// What is inspected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Everything.
    #[default]
    Full,
    /// Counters without texts and findings.
    CountersOnly,
    /// Bytes only.
    Bypass,
}

impl Mode {
    /// All modes, for metrics that show each.
    pub const ALL: [Self; 3] = [Self::Full, Self::CountersOnly, Self::Bypass];

    /// The name in API, metrics and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::CountersOnly => "counters_only",
            Self::Bypass => "bypass",
        }
    }
}

/// Whether it takes sessions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifecycle {
    /// Not yet listening.
    #[default]
    Starting,
    /// Taking sessions.
    Ready,
    /// Letting the last ones end.
    Draining,
}

impl Lifecycle {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// The server behind the proxy.
#[derive(Clone, Debug, Default)]
pub struct UpstreamState {
    /// Name or IP literal.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Whether the latest connection (or probe) reached it.
    pub ok: bool,
    /// Why not; no secrets.
    pub last_error: Option<String>,
    /// Latest TCP connect time in microseconds, where one is known.
    pub connect_us: Option<u64>,
    /// `off`, or sslmode and version (`verify-full TLSv1.3`).
    pub tls: String,
}

/// Client sessions by state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientConnections {
    /// A request is being answered.
    pub active: u64,
    /// Waiting for the client, outside a transaction.
    pub idle: u64,
    /// Waiting for the client, inside a transaction.
    pub idle_in_transaction: u64,
}

/// Client connections since start by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConnectionResults {
    pub ok: u64,
    pub auth_failed: u64,
    pub upstream_refused: u64,
    pub upstream_timeout: u64,
    pub tls_error: u64,
    pub limit: u64,
}

/// Opaque sessions by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct OpaqueReasons {
    pub framing: u64,
    pub gss: u64,
    pub replication: u64,
    pub unknown: u64,
    pub memory: u64,
    pub bypass: u64,
}

impl OpaqueReasons {
    /// All of them.
    pub fn total(self) -> u64 {
        self.framing + self.gss + self.replication + self.unknown + self.memory + self.bypass
    }
}

/// Lost events by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EventDrops {
    pub queue_full: u64,
    pub memory_limit: u64,
    pub sampled: u64,
    pub analyzer_restart: u64,
}

impl EventDrops {
    /// All of them.
    pub fn total(self) -> u64 {
        self.queue_full + self.memory_limit + self.sampled + self.analyzer_restart
    }
}

/// Time inside by direction, in nanoseconds over [`OVERHEAD_BUCKETS_NS`].
#[derive(Clone, Debug, Default)]
pub struct Overhead {
    /// Client to server.
    pub to_server: Buckets<10>,
    /// Server to client.
    pub to_client: Buckets<10>,
}

/// Set-up times in microseconds over [`SETUP_BUCKETS_US`].
#[derive(Clone, Debug, Default)]
pub struct ConnectionSetup {
    /// TCP connect to the server.
    pub tcp: Buckets<10>,
    /// TLS handshake with the server.
    pub tls: Buckets<10>,
    /// Start-up packet to the first ReadyForQuery.
    pub auth: Buckets<10>,
}

//! What acceptor, workers, analyzer thread and admin interface share.

use crate::advisor::live::AdvisorState;
use crate::capture::Events;
use crate::clock;
use crate::config::{Endpoint, ProxySettings, Settings};
use crate::counters::{AtomicBuckets, Connections, Gauges, ModeCell, SessionState};
use crate::export::{
    Build, ClientConnections, ConnectionResults, ConnectionSetup, EventDrops, Lifecycle, Mode,
    OpaqueReasons, Overhead, ProxyCounters, ProxyStatus, UpstreamState, series_bound,
};
use crate::exports::Exports;
use crate::hot::budget::TrackingBudget;
use crate::hot::outbox::OutboxCounters;
use crate::startups::Startups;
use crate::tls::Tls;
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::record::Opaque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::Semaphore;

/// Cancel connections that are forwarded at once; they have places of their own, apart from `proxy.max_connections`.
const CANCEL_CONNECTIONS_MAX: usize = 64;

/// Cancel connections that wait for such a place; more are closed.
const CANCEL_CONNECTIONS_WAITING_MAX: usize = 256;

/// Process-wide state.
#[derive(Debug)]
pub struct Shared {
    /// The configuration as it was at the start: only for keys that a reload can't change; the others are those of
    /// [`Self::current`].
    pub settings: Settings,
    /// What reloads are counted by.
    pub reloads: Reloads,
    /// Rare events.
    pub connections: Connections,
    /// One per worker.
    pub gauges: Vec<Arc<Gauges>>,
    /// What workers and analyzer share.
    pub outbox: Arc<OutboxCounters>,
    /// TCP connect times to the server.
    pub setup_tcp_us: AtomicBuckets,
    /// TLS handshake times with the server.
    pub setup_tls_us: AtomicBuckets,
    /// Start-up packet to first ReadyForQuery.
    pub setup_auth_us: AtomicBuckets,
    /// Next session number.
    pub next_session: AtomicU64,
    /// The analyzer is short of memory and keeps counters only.
    pub memory_short: AtomicBool,
    /// The analyzer doesn't keep up, so that it keeps nothing but counters.
    pub overloaded: AtomicBool,
    /// Restarts of the analyzer after a panic.
    pub analyzer_restarts: AtomicU64,
    /// Statements lost by these restarts.
    pub restart_dropped_statements: AtomicU64,
    /// Unauthenticated connections by address.
    pub startups: Arc<Startups>,
    /// Places for cancel connections that are forwarded.
    pub cancels: Semaphore,
    /// Places for cancel connections, those that wait included.
    pub cancels_waiting: Semaphore,
    /// Who listens to events, and the capture.
    pub events: Arc<Events>,
    /// Where events go besides.
    pub exports: Exports,
    /// The index advisor.
    pub advisor: Arc<AdvisorState>,
    /// What sessions hold to be followed.
    pub tracking: Arc<TrackingBudget>,
    lifecycle: AtomicU8,
    upstream: Mutex<Reach>,
    current: RwLock<Arc<Current>>,
    /// What is inspected.
    pub mode: Arc<ModeCell>,
}

/// What is in force now; replaced as a whole, so that a session never sees halves of two configurations.
#[derive(Debug)]
pub struct Current {
    /// The settings.
    pub settings: Settings,
    /// Certificates and keys.
    pub tls: Arc<Tls>,
}

impl Current {
    /// The way to the server.
    pub fn way(&self) -> Way<'_> {
        Way { proxy: &self.settings.proxy, tls: &self.tls }
    }
}

/// How to reach the server: settings and TLS that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// `[proxy]`
    pub proxy: &'a ProxySettings,
    /// TLS of both legs.
    pub tls: &'a Tls,
}

/// What became of reloads.
#[derive(Debug)]
pub struct Reloads {
    /// Whether the latest one was taken over.
    pub successful: AtomicBool,
    /// When the latest one that was taken over happened, in seconds since 1970; the start counts.
    pub success_unix_s: AtomicU64,
}

impl Reloads {
    fn now() -> u64 {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(0, |since| since.as_secs())
    }

    /// Notes one.
    pub fn note(&self, successful: bool) {
        self.successful.store(successful, Relaxed);
        if successful {
            self.success_unix_s.store(Self::now(), Relaxed);
        }
    }
}

impl Default for Reloads {
    fn default() -> Self {
        Self { successful: AtomicBool::new(true), success_unix_s: AtomicU64::new(Self::now()) }
    }
}

/// A server that was reached.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// Its index in `proxy.upstream`.
    pub host: usize,
    /// Connect time in microseconds.
    pub connect_us: u64,
    /// Version of TLS, or `off`.
    pub protection: &'static str,
}

/// How the server was reached last.
#[derive(Clone, Debug, Default)]
struct Reach {
    last: Option<Reached>,
    error: Option<String>,
}

impl Shared {
    /// State of a process with this many workers.
    pub fn new(settings: Settings, tls: Tls, workers: usize) -> Self {
        let as_sent = settings.profile.redact == Redaction::Off;
        Self {
            startups: Arc::new(Startups::new(settings.proxy.startups_per_address)),
            cancels: Semaphore::new(CANCEL_CONNECTIONS_MAX),
            cancels_waiting: Semaphore::new(
                CANCEL_CONNECTIONS_MAX + CANCEL_CONNECTIONS_WAITING_MAX,
            ),
            advisor: Arc::default(),
            tracking: Arc::default(),
            current: RwLock::new(Arc::new(Current {
                settings: settings.clone(),
                tls: Arc::new(tls),
            })),
            mode: Arc::new(ModeCell::new(settings.profile.mode)),
            reloads: Reloads::default(),
            events: Arc::new(Events::new(&settings)),
            exports: Exports::default(),
            settings,
            connections: Connections::default(),
            gauges: (0..workers).map(|_| Arc::default()).collect(),
            outbox: Arc::new(OutboxCounters { as_sent, ..OutboxCounters::default() }),
            setup_tcp_us: AtomicBuckets::default(),
            setup_tls_us: AtomicBuckets::default(),
            setup_auth_us: AtomicBuckets::default(),
            next_session: AtomicU64::new(1),
            memory_short: AtomicBool::new(false),
            overloaded: AtomicBool::new(false),
            analyzer_restarts: AtomicU64::new(0),
            restart_dropped_statements: AtomicU64::new(0),
            lifecycle: AtomicU8::new(Lifecycle::Starting as u8),
            upstream: Mutex::default(),
        }
    }

    /// Enters a stage of life.
    pub fn enter(&self, lifecycle: Lifecycle) {
        self.lifecycle.store(lifecycle as u8, Relaxed);
    }

    /// What is in force now.
    pub fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// TLS as configured now.
    pub fn tls(&self) -> Arc<Tls> {
        Arc::clone(&self.current().tls)
    }

    /// New sessions use this from now on; where the server is another one, nothing is known of it yet.
    pub fn set_current(&self, current: Current) {
        let mut place = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if place.settings.proxy.upstream != current.settings.proxy.upstream {
            *self.reach() = Reach::default();
        }
        *place = Arc::new(current);
    }

    fn reach(&self) -> std::sync::MutexGuard<'_, Reach> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A server was reached, or none.
    pub fn note_upstream(&self, outcome: Result<Reached, String>) {
        let mut reach = self.reach();
        match outcome {
            Ok(reached) => *reach = Reach { last: Some(reached), error: None },
            Err(error) => reach.error = Some(error),
        }
    }

    /// The server that was reached last answered after this many microseconds, or didn't.
    pub fn note_probe(&self, outcome: Result<u64, String>) {
        let mut reach = self.reach();
        match (outcome, &mut reach.last) {
            (Ok(connect_us), Some(last)) => {
                last.connect_us = connect_us;
                reach.error = None;
            }
            (Ok(_), None) => {}
            (Err(error), _) => reach.error = Some(error),
        }
    }

    /// Why the server could not be reached, if it could not.
    pub fn upstream_error(&self) -> Option<String> {
        self.reach().error.clone()
    }

    /// The server that was reached last, if one was.
    pub fn upstream_reached(&self) -> Option<Reached> {
        self.reach().last
    }

    /// The server that was reached last, else the first.
    pub fn reached_host(&self) -> Endpoint {
        let current = self.current();
        let index = self.reach().last.map_or(0, |last| last.host);
        let hosts = &current.settings.proxy.upstream.hosts;
        hosts.get(index).unwrap_or(&hosts[0]).clone()
    }

    fn lifecycle(&self) -> Lifecycle {
        match self.lifecycle.load(Relaxed) {
            1 => Lifecycle::Ready,
            2 => Lifecycle::Draining,
            _ => Lifecycle::Starting,
        }
    }

    fn sessions(&self, state: SessionState) -> u64 {
        self.gauges.iter().map(|gauges| gauges.sessions(state)).fold(0, u64::wrapping_add)
    }

    fn opaque(&self, reason: Opaque) -> u64 {
        self.gauges.iter().map(|gauges| gauges.opaque_sessions(reason)).sum()
    }

    fn upstream_state(&self) -> UpstreamState {
        let reach = self.reach().clone();
        let host = self.reached_host();
        let current = self.current();
        let upstream = &current.settings.proxy.upstream;
        UpstreamState {
            host: host.host().to_owned(),
            port: host.port(),
            ok: reach.last.is_some() && reach.error.is_none(),
            last_error: reach.error,
            connect_us: reach.last.map(|last| last.connect_us),
            tls: match reach.last.map(|last| last.protection) {
                None | Some("off") => "off".to_owned(),
                Some(version) => format!("{} {version}", upstream.sslmode.name()),
            },
        }
    }

    fn overhead(&self) -> Overhead {
        let mut overhead = Overhead::default();
        for gauges in &self.gauges {
            let [to_server, to_client] = gauges.overheads();
            to_server.add_to(&mut overhead.to_server);
            to_client.add_to(&mut overhead.to_client);
        }
        overhead
    }

    fn setup(&self) -> ConnectionSetup {
        let mut setup = ConnectionSetup::default();
        self.setup_tcp_us.add_to(&mut setup.tcp);
        self.setup_tls_us.add_to(&mut setup.tls);
        self.setup_auth_us.add_to(&mut setup.auth);
        setup
    }

    fn limits(&self) -> Vec<(&'static str, u64)> {
        let settings = &self.settings;
        vec![
            ("connections_max", self.current().settings.proxy.max_connections as u64),
            ("digests_max", settings.profile.max_digests as u64),
            ("queue_batches_max", settings.profile.queue_batches as u64),
            ("series_max", series_bound(&settings.metrics) as u64),
            ("statement_text_bytes_max", settings.profile.max_statement_text_bytes as u64),
        ]
    }
}

impl Shared {
    /// Whether less is kept than was asked for.
    fn is_short(&self) -> bool {
        self.memory_short.load(Relaxed) || self.overloaded.load(Relaxed)
    }
}

impl ProxyStatus for Shared {
    fn proxy(&self) -> ProxyCounters {
        let connections = &self.connections;
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        ProxyCounters {
            own_use: crate::own_use::now(),
            build: Build::default(),
            uptime_s: clock::now_us() / 1_000_000,
            mode: match self.mode.mode() {
                Mode::Full if self.is_short() => Mode::CountersOnly,
                mode => mode,
            },
            redaction: self.settings.profile.redact,
            lifecycle: self.lifecycle(),
            upstream: self.upstream_state(),
            client_connections: ClientConnections {
                active: self.sessions(SessionState::Active),
                idle: self.sessions(SessionState::Idle),
                idle_in_transaction: self.sessions(SessionState::IdleInTransaction),
            },
            connections_max: self.current().settings.proxy.max_connections as u64,
            connections: ConnectionResults {
                ok: of(&connections.ok),
                auth_failed: of(&connections.auth_failed),
                upstream_refused: of(&connections.upstream_refused),
                upstream_timeout: of(&connections.upstream_timeout),
                tls_error: of(&connections.tls_error),
                limit: of(&connections.limit),
            },
            cancel_requests: of(&connections.cancel_requests),
            opaque: OpaqueReasons {
                framing: self.opaque(Opaque::Framing),
                gss: self.opaque(Opaque::Gss),
                replication: self.opaque(Opaque::Replication),
                unknown: self.opaque(Opaque::Unknown),
                memory: self.opaque(Opaque::Memory),
                bypass: self.opaque(Opaque::Bypass),
            },
            events: of(&self.outbox.statements),
            dropped: EventDrops {
                queue_full: of(&self.outbox.dropped_statements),
                analyzer_restart: of(&self.restart_dropped_statements),
                ..EventDrops::default()
            },
            queue_batches: of(&self.outbox.queued_batches),
            queue_batches_max: self.settings.profile.queue_batches as u64,
            analyzer_restarts: of(&self.analyzer_restarts),
            overhead: self.overhead(),
            setup: self.setup(),
            capture: self.events.counts(),
            exports: self.exports.counts(),
            limits: self.limits(),
            reload_successful: self.reloads.successful.load(Relaxed),
            reload_success_unix_s: of(&self.reloads.success_unix_s),
            advisor: self.advisor.status(),
        }
    }

    fn events(&self) -> Option<Arc<Events>> {
        Some(Arc::clone(&self.events))
    }
}

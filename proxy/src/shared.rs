//! What acceptor, workers, analyzer thread and admin interface share.

use crate::clock;
use crate::config::Settings;
use crate::counters::{AtomicBuckets, Connections, Gauges, Opaque, SessionState};
use crate::export::{
    Build, ClientConnections, ConnectionResults, ConnectionSetup, EventDrops, Lifecycle, Mode,
    OpaqueReasons, Overhead, ProxyCounters, ProxyStatus, UpstreamState,
};
use crate::hot::outbox::OutboxCounters;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Process-wide state.
#[derive(Debug)]
pub struct Shared {
    /// The effective configuration.
    pub settings: Settings,
    /// Rare events.
    pub connections: Connections,
    /// One per worker.
    pub gauges: Vec<Arc<Gauges>>,
    /// What workers and analyzer share.
    pub outbox: Arc<OutboxCounters>,
    /// TCP connect times to the server.
    pub setup_tcp_us: AtomicBuckets,
    /// Start-up packet to first ReadyForQuery.
    pub setup_auth_us: AtomicBuckets,
    /// Next session number.
    pub next_session: AtomicU64,
    /// Restarts of the analyzer after a panic.
    pub analyzer_restarts: AtomicU64,
    /// Statements lost by these restarts.
    pub restart_dropped_statements: AtomicU64,
    lifecycle: AtomicU8,
    upstream: Mutex<Reach>,
}

/// How the server was reached last.
#[derive(Clone, Debug, Default)]
struct Reach {
    ok: bool,
    error: Option<String>,
    connect_us: Option<u64>,
}

impl Shared {
    /// State of a process with this many workers.
    pub fn new(settings: Settings, workers: usize) -> Self {
        Self {
            settings,
            connections: Connections::default(),
            gauges: (0..workers).map(|_| Arc::default()).collect(),
            outbox: Arc::default(),
            setup_tcp_us: AtomicBuckets::default(),
            setup_auth_us: AtomicBuckets::default(),
            next_session: AtomicU64::new(1),
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

    /// The server was reached, or not.
    pub fn note_upstream(&self, outcome: Result<u64, String>) {
        let mut reach = self.upstream.lock().unwrap_or_else(PoisonError::into_inner);
        *reach = match outcome {
            Ok(connect_us) => Reach { ok: true, error: None, connect_us: Some(connect_us) },
            Err(error) => Reach { ok: false, error: Some(error), connect_us: None },
        };
    }

    /// Why the server could not be reached, if it could not.
    pub fn upstream_error(&self) -> Option<String> {
        self.upstream.lock().unwrap_or_else(PoisonError::into_inner).error.clone()
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
        let reach = self.upstream.lock().unwrap_or_else(PoisonError::into_inner).clone();
        UpstreamState {
            host: self.settings.proxy.upstream.host.clone(),
            port: self.settings.proxy.upstream.port,
            ok: reach.ok,
            last_error: reach.error,
            connect_us: reach.connect_us,
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
        self.setup_auth_us.add_to(&mut setup.auth);
        setup
    }

    fn limits(&self) -> Vec<(&'static str, u64)> {
        let settings = &self.settings;
        vec![
            ("connections_max", settings.proxy.max_connections as u64),
            ("digests_max", settings.profile.max_digests as u64),
            ("queue_batches_max", settings.profile.queue_batches as u64),
            ("statement_text_bytes_max", settings.profile.max_statement_text_bytes as u64),
        ]
    }
}

impl ProxyStatus for Shared {
    fn proxy(&self) -> ProxyCounters {
        let connections = &self.connections;
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        ProxyCounters {
            build: Build::default(),
            uptime_s: clock::now_us() / 1_000_000,
            mode: Mode::Full,
            lifecycle: self.lifecycle(),
            upstream: self.upstream_state(),
            client_connections: ClientConnections {
                active: self.sessions(SessionState::Active),
                idle: self.sessions(SessionState::Idle),
                idle_in_transaction: self.sessions(SessionState::IdleInTransaction),
            },
            connections_max: self.settings.proxy.max_connections as u64,
            connections: ConnectionResults {
                ok: of(&connections.ok),
                auth_failed: of(&connections.auth_failed),
                upstream_refused: of(&connections.upstream_refused),
                upstream_timeout: of(&connections.upstream_timeout),
                tls_error: 0,
                limit: of(&connections.limit),
            },
            cancel_requests: of(&connections.cancel_requests),
            opaque: OpaqueReasons {
                framing: self.opaque(Opaque::Framing),
                gss: 0,
                replication: self.opaque(Opaque::Replication),
                unknown: self.opaque(Opaque::Unknown),
                memory: self.opaque(Opaque::Memory),
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
            limits: self.limits(),
        }
    }
}

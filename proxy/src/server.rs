//! The process: listeners, workers, analyzer, admin interface, signals.

use crate::analysis::Analysis;
use crate::clock;
use crate::config::{Address, Settings};
use crate::export::Lifecycle;
use crate::export::admin::{self, AdminState};
use crate::own_error;
use crate::problem::{CANNOT_LISTEN, LOCAL_RESOURCE, Problem};
use crate::session::{Asked, negotiate, say_goodbye};
use crate::shared::Shared;
use crate::upstream;
use crate::worker::{Parts, Worker};
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::value::Salt;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Connections that the kernel holds while the acceptor is busy.
const BACKLOG: i32 = 1_024;

/// Empty batches that wait for a worker.
const SPARE_BATCHES: usize = 8;

/// Pause of the acceptor when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Time between two questions to the server whether it is there.
const PROBE_PERIOD: Duration = Duration::from_secs(2);

/// How often a draining process looks whether its workers are done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Clients that are told at one time that there is no room.
const TURNED_AWAY_MAX: usize = 64;

/// Time for a client that is turned away to say who it is.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(2);

/// Which signal ended the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: exit code 0.
    Terminated,
    /// SIGINT: exit code 130.
    Interrupted,
}

impl Ending {
    /// Exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Terminated => 0,
            Self::Interrupted => 130,
        }
    }
}

/// Everything that runs beside the main thread.
struct Machinery {
    shared: Arc<Shared>,
    workers: Vec<Worker>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    analyzer: JoinHandle<()>,
    /// Its count, less one, is the number of clients being turned away.
    turning_away: Rc<()>,
}

/// Listens, serves and observes until a signal ends it.
///
/// # Errors
/// An address can't be listened on, or a thread can't be made.
pub fn run(settings: Settings) -> Result<Ending, Problem> {
    let admin_address = settings.admin.listen.clone();
    let bound = settings.proxy.listen.iter().map(bind).collect::<Result<Vec<_>, _>>()?;
    let listeners = bound.into_iter().flatten().collect();
    let admin_listeners = bind(&admin_address)?;
    let machinery = Machinery::start(settings).map_err(|error| no_thread(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?;
    LocalSet::new().block_on(&runtime, serve(machinery, listeners, admin_listeners))
}

fn no_thread(error: &io::Error) -> Problem {
    Problem::new(LOCAL_RESOURCE, format!("cannot start: {error}"))
}

/// One socket per address that the name stands for.
fn bind(address: &Address) -> Result<Vec<StdListener>, Problem> {
    let refused = |error: io::Error| cannot_listen(address, &error);
    let resolved = address.resolve().map_err(refused)?;
    resolved.into_iter().map(|at| listen(at).map_err(refused)).collect()
}

fn listen(at: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn cannot_listen(address: &Address, error: &io::Error) -> Problem {
    let (what, help) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "the port is in use by another process".to_owned(),
            "choose another with --listen or --admin; port 0 takes any free one",
        ),
        io::ErrorKind::PermissionDenied => (
            "permission denied".to_owned(),
            "ports below 1024 need privileges: choose a higher one",
        ),
        _ => (error.to_string(), "check the address; 127.0.0.1 is always there"),
    };
    Problem::new(CANNOT_LISTEN, format!("cannot listen on {address}: {what}")).help(help)
}

impl Machinery {
    fn start(settings: Settings) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let mut limits = settings.limits();
        let start = crate::clock::started_at().duration_since(std::time::UNIX_EPOCH);
        let start_us =
            start.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        for mute in &mut limits.mutes {
            mute.until_us = mute.until_unix_us.map(|until| until.saturating_sub(start_us));
        }
        let (full, batches) = sync_channel(settings.profile.queue_batches);
        let shared = Arc::new(Shared::new(settings, count));
        let salt = random_salt();
        let mut spare_senders = Vec::new();
        let mut workers = Vec::new();
        for index in 0..count {
            let (give, spare) = sync_channel(SPARE_BATCHES);
            spare_senders.push(give);
            let (shared, salt, full) = (Arc::clone(&shared), salt.clone(), full.clone());
            workers.push(Worker::spawn(Parts { index, shared, salt, full, spare })?);
        }
        let (publisher, snapshots) = watch::channel(Arc::default());
        let analysis = Analysis {
            limits,
            salt,
            full: batches,
            spare: spare_senders,
            snapshots: publisher,
            shared: Arc::clone(&shared),
        };
        let analyzer = analysis.spawn()?;
        Ok(Self { shared, workers, snapshots, analyzer, turning_away: Rc::new(()) })
    }

    fn least_loaded(&self) -> Option<&Worker> {
        self.workers.iter().min_by_key(|worker| worker.sessions())
    }

    /// Says why, to as many clients at a time as [`TURNED_AWAY_MAX`]; the others are closed without a word, or
    /// they would take the file descriptors of everybody.
    fn turn_away(&self, client: TcpStream, limit: usize) {
        if Rc::strong_count(&self.turning_away) <= TURNED_AWAY_MAX {
            let place = Rc::clone(&self.turning_away);
            tokio::task::spawn_local(async move {
                turn_away(client, limit).await;
                drop(place);
            });
        }
    }

    /// Takes in a client, or turns it away at the limit.
    fn admit(&self, client: TcpStream) {
        let limit = self.shared.settings.proxy.max_connections;
        let open: usize = self.workers.iter().map(Worker::sessions).sum();
        if open >= limit {
            self.shared.connections.limit.fetch_add(1, Relaxed);
            self.turn_away(client, limit);
            return;
        }
        match (client.into_std(), self.least_loaded()) {
            (Ok(client), Some(worker)) => worker.serve(client),
            (Err(error), _) => tracing::warn!(%error, "cannot hand over a client socket"),
            (_, None) => {}
        }
    }
}

/// Words to a client, as the answer to its StartupMessage.
async fn turn_away(mut client: TcpStream, limit: usize) {
    let asked = tokio::time::timeout(TURN_AWAY_LIMIT, negotiate(&mut client)).await;
    if matches!(asked, Ok(Ok(Asked::Session { .. }))) {
        say_goodbye(&mut client, &own_error::too_many_connections(limit)).await;
    }
}

/// 128 bits from the operating system, by way of the standard library's hasher keys.
fn random_salt() -> Salt {
    use std::hash::{BuildHasher, RandomState};
    Salt::new(RandomState::new().hash_one(0x70_67), RandomState::new().hash_one(0x73_6f))
}

async fn serve(
    machinery: Machinery,
    listeners: Vec<StdListener>,
    admin_listeners: Vec<StdListener>,
) -> Result<Ending, Problem> {
    let machinery = Rc::new(machinery);
    let shared = Arc::clone(&machinery.shared);
    let mut signals = Signals::new().map_err(|error| no_thread(&error))?;
    upstream::probe(&shared).await;
    let app = addresses(&listeners);
    let report = addresses(&admin_listeners);
    for listener in admin_listeners {
        let state = AdminState {
            snapshots: Arc::new(machinery.snapshots.clone()),
            status: shared.clone(),
            started: clock::started_at(),
            metrics: shared.settings.metrics,
            listen: app.first().map(ToString::to_string).unwrap_or_default(),
        };
        let listener = TcpListener::from_std(listener).map_err(|error| no_thread(&error))?;
        tokio::task::spawn_local(admin::serve(listener, state));
    }
    let mut acceptors = Vec::new();
    for listener in listeners {
        let listener = TcpListener::from_std(listener).map_err(|error| no_thread(&error))?;
        acceptors.push(tokio::task::spawn_local(accept(listener, Rc::clone(&machinery))));
    }
    let prober = tokio::task::spawn_local(probe_on(Arc::clone(&shared)));
    shared.enter(Lifecycle::Ready);
    announce(&shared, &app, &report);

    let ending = signals.first().await;
    shared.enter(Lifecycle::Draining);
    prober.abort();
    acceptors.into_iter().for_each(|acceptor| acceptor.abort());
    tracing::info!(?ending, "draining");
    tokio::select! {
        () = drain(&machinery) => {}
        _ = signals.first() => tracing::warn!("second signal: closing everything now"),
    }
    Ok(ending)
}

/// Asks every session to end at its next idle moment and waits for it, at most `proxy.drain_timeout` long.
async fn drain(machinery: &Machinery) {
    machinery.workers.iter().for_each(Worker::drain);
    let everyone = async {
        while !machinery.workers.iter().all(Worker::is_finished) {
            tokio::time::sleep(DRAIN_POLL).await;
        }
        while !machinery.analyzer.is_finished() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    };
    let limit = machinery.shared.settings.proxy.drain_timeout;
    if tokio::time::timeout(limit, everyone).await.is_err() {
        tracing::warn!("some sessions did not end in time and are closed now");
    }
}

fn addresses(listeners: &[StdListener]) -> Vec<SocketAddr> {
    listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
}

/// The ready lines, on stderr.
fn announce(shared: &Shared, app: &[SocketAddr], report: &[SocketAddr]) {
    let list = |addresses: &[SocketAddr], scheme: &str| {
        let urls: Vec<_> = addresses.iter().map(|at| format!("{scheme}://{at}")).collect();
        urls.join(" ")
    };
    let reach = match shared.upstream_error() {
        None => "plain, reachable".to_owned(),
        Some(error) => format!("NOT reachable: {error}"),
    };
    let leg = match app.iter().all(|at| at.ip().is_loopback()) {
        true => "plain, loopback only",
        false => "plain; REACHABLE FROM OTHER MACHINES without TLS",
    };
    eprintln!(
        "pgsonde {} ready in {} ms\n  app      {}   {leg}\n  server   {}   {reach}\n  report   {}/   metrics on /metrics\n  privacy  literals removed before storage",
        env!("CARGO_PKG_VERSION"),
        clock::now_us() / 1_000,
        list(app, "postgresql"),
        shared.settings.proxy.upstream,
        list(report, "http"),
    );
}

async fn accept(listener: TcpListener, machinery: Rc<Machinery>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => machinery.admit(client),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn probe_on(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(PROBE_PERIOD).await;
        upstream::probe(&shared).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn first(&mut self) -> Ending {
        tokio::select! {
            _ = self.terminate.recv() => Ending::Terminated,
            _ = self.interrupt.recv() => Ending::Interrupted,
        }
    }
}

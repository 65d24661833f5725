//! The process: listeners, workers, analyzer, admin interface, signals.

use crate::analysis::Analysis;
use crate::clock;
use crate::config::Settings;
use crate::export::Lifecycle;
use crate::export::admin::{self, AdminState};
use crate::listener::{self, Bound, Listener};
use crate::negotiation::{Asked, negotiate};
use crate::own_error;
use crate::problem::{LOCAL_RESOURCE, Problem};
use crate::protection;
use crate::session::{cancel, say_goodbye};
use crate::shared::Shared;
use crate::startups::StartupPlace;
use crate::stream::{Socket, Stream};
use crate::tls::Tls;
use crate::worker::{Parts, Worker};
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::value::Salt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::sync_channel;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;

/// Empty batches that wait for a worker.
const SPARE_BATCHES: usize = 8;

/// Pause of the acceptor when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    let tls = Tls::load(&settings.proxy)?;
    let bound = settings.proxy.listen.iter().map(listener::bind).collect::<Result<Vec<_>, _>>()?;
    let listeners = bound.into_iter().flatten().collect();
    let admin_listeners = listener::bind_tcp(&admin_address)?;
    let machinery = Machinery::start(settings, tls).map_err(|error| no_thread(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?;
    LocalSet::new().block_on(&runtime, serve(machinery, listeners, admin_listeners))
}

fn no_thread(error: &io::Error) -> Problem {
    Problem::new(LOCAL_RESOURCE, format!("cannot start: {error}"))
}

impl Machinery {
    fn start(settings: Settings, tls: Tls) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let mut limits = settings.limits();
        let start = crate::clock::started_at().duration_since(std::time::UNIX_EPOCH);
        let start_us =
            start.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
        for mute in &mut limits.mutes {
            mute.until_us = mute.until_unix_us.map(|until| until.saturating_sub(start_us));
        }
        let (full, batches) = sync_channel(settings.profile.queue_batches);
        let shared = Arc::new(Shared::new(settings, tls, count));
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
        shared.events.start_capture().map_err(io::Error::other)?;
        let analyzer = analysis.spawn()?;
        Ok(Self { shared, workers, snapshots, analyzer, turning_away: Rc::new(()) })
    }

    fn least_loaded(&self) -> Option<&Worker> {
        self.workers.iter().min_by_key(|worker| worker.sessions())
    }

    /// Says why, to as many clients at a time as [`TURNED_AWAY_MAX`]; the others are closed without a word, or
    /// they would take the file descriptors of everybody.
    fn turn_away(&self, client: Stream, startup: StartupPlace) {
        if Rc::strong_count(&self.turning_away) <= TURNED_AWAY_MAX {
            let place = Rc::clone(&self.turning_away);
            let shared = Arc::clone(&self.shared);
            tokio::task::spawn_local(async move {
                turn_away(client, &shared, || drop(place)).await;
                drop(startup);
            });
        }
    }

    /// Takes in a client, or turns it away at the limit.
    fn admit(&self, client: Stream, from: Option<IpAddr>) {
        let connections = &self.shared.connections;
        let Some(startup) = self.shared.startups.enter(from) else {
            connections.limit.fetch_add(1, Relaxed);
            tracing::debug!(
                "closed a client whose address has proxy.startups_per_address start-ups already"
            );
            return;
        };
        let open: usize = self.workers.iter().map(Worker::sessions).sum();
        if open >= self.shared.settings.proxy.max_connections {
            connections.limit.fetch_add(1, Relaxed);
            self.turn_away(client, startup);
            return;
        }
        match (Socket::from_stream(client), self.least_loaded()) {
            (Ok(client), Some(worker)) => worker.serve(client, startup),
            (Err(error), _) => tracing::warn!(%error, "cannot hand over a client socket"),
            (_, None) => {}
        }
    }
}

/// Words to a client, as the answer to its StartupMessage. A cancel is served: whoever has a session may end its
/// statement, however full it is.
async fn turn_away(client: Stream, shared: &Shared, uncount: impl FnOnce()) {
    let tls = shared.tls();
    let asked = tokio::time::timeout(TURN_AWAY_LIMIT, negotiate(client, shared, &tls)).await;
    match asked {
        Ok(Ok(Some((mut client, Asked::Session { .. })))) => {
            let limit = shared.settings.proxy.max_connections;
            say_goodbye(&mut client, &own_error::too_many_connections(limit)).await;
        }
        Ok(Ok(Some((client, Asked::Cancel { packet })))) => {
            cancel(client, &packet, shared, &tls, uncount).await;
        }
        _ => {}
    }
}

/// 128 bits from the operating system, by way of the standard library's hasher keys.
fn random_salt() -> Salt {
    use std::hash::{BuildHasher, RandomState};
    Salt::new(RandomState::new().hash_one(0x70_67), RandomState::new().hash_one(0x73_6f))
}

async fn serve(
    machinery: Machinery,
    listeners: Vec<Bound>,
    admin_listeners: Vec<StdListener>,
) -> Result<Ending, Problem> {
    let machinery = Rc::new(machinery);
    let shared = Arc::clone(&machinery.shared);
    let mut signals = Signals::new().map_err(|error| no_thread(&error))?;
    protection::check_at_start(&shared).await?;
    let app: Vec<String> = listeners.iter().map(Bound::url).collect();
    let exposed = listeners.iter().any(Bound::is_exposed);
    let report = addresses(&admin_listeners);
    for listener in admin_listeners {
        let state = AdminState {
            snapshots: Arc::new(machinery.snapshots.clone()),
            status: shared.clone(),
            started: clock::started_at(),
            metrics: shared.settings.metrics,
            listen: listen_text(&app),
        };
        let listener = TcpListener::from_std(listener).map_err(|error| no_thread(&error))?;
        tokio::task::spawn_local(admin::serve(listener, state));
    }
    let mut acceptors = Vec::new();
    for listener in listeners {
        let listener = listener.start().map_err(|error| no_thread(&error))?;
        acceptors.push(tokio::task::spawn_local(accept(listener, Rc::clone(&machinery))));
    }
    let prober = tokio::task::spawn_local(protection::check_on(Arc::clone(&shared)));
    shared.enter(Lifecycle::Ready);
    announce(&shared, &app, exposed, &report);

    let ending = loop {
        match signals.next().await {
            Asking::End(ending) => break ending,
            Asking::Reload => reload(&shared).await,
        }
    };
    shared.enter(Lifecycle::Draining);
    prober.abort();
    acceptors.into_iter().for_each(|acceptor| acceptor.abort());
    tracing::info!(?ending, "draining");
    tokio::select! {
        () = drain(&machinery) => {}
        () = signals.end() => tracing::warn!("second signal: closing everything now"),
    }
    shared.events.close();
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

/// The first address without its scheme, as the page shows it.
fn listen_text(app: &[String]) -> String {
    let first = app.first().map(String::as_str).unwrap_or_default();
    first.strip_prefix("postgresql://").unwrap_or(first).to_owned()
}

/// Takes over what was changed while running: so far the files of certificates and keys.
async fn reload(shared: &Shared) {
    tracing::info!("SIGHUP: reading certificates and keys again");
    protection::reload(shared).await;
}

/// The ready lines, on stderr.
fn announce(shared: &Shared, app: &[String], exposed: bool, report: &[SocketAddr]) {
    let report: Vec<_> = report.iter().map(|at| format!("http://{at}")).collect();
    eprintln!(
        "pgsonde {} ready in {} ms\n  app      {}   {}\n  server   {}   {}\n  report   {}/   metrics on /metrics\n  privacy  literals removed before storage",
        env!("CARGO_PKG_VERSION"),
        clock::now_us() / 1_000,
        app.join(" "),
        protection::client_words(shared, exposed),
        shared.settings.proxy.upstream,
        protection::server_words(shared),
        report.join(" "),
    );
}

async fn accept(listener: Listener, machinery: Rc<Machinery>) {
    loop {
        match listener.accept().await {
            Ok((client, from)) => machinery.admit(client, from),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What a signal asks for.
enum Asking {
    End(Ending),
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Asking {
        tokio::select! {
            _ = self.terminate.recv() => Asking::End(Ending::Terminated),
            _ = self.interrupt.recv() => Asking::End(Ending::Interrupted),
            _ = self.hangup.recv() => Asking::Reload,
        }
    }

    /// Waits for a signal that ends; others have no meaning any more.
    async fn end(&mut self) {
        while matches!(self.next().await, Asking::Reload) {}
    }
}

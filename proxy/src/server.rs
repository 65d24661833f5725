//! The process: listeners, workers, analyzer, admin interface, signals.

mod running;

use running::Ready;
pub use running::{Running, start};

use crate::advisor::live::Live;
use crate::analysis::Analysis;
use crate::clock;
use crate::config::Settings;
use crate::descriptors;
use crate::export::admin::{self, Access, AdminState};
use crate::export::{Lifecycle, Mode};
use crate::listener::{self, Bound, Listener};
use crate::negotiation::{Asked, negotiate};
use crate::orders::{AnalyzerOrder, Order, Orders, Request};
use crate::overload::Overload;
use crate::own_error;
use crate::problem::{LOCAL_RESOURCE, Problem};
use crate::protection;
use crate::reload::{Reach, with_moments};
use crate::saved_snapshot;
use crate::session::{cancel, say_goodbye};
use crate::shared::Shared;
use crate::startups::StartupPlace;
use crate::stream::{Socket, Stream};
use crate::supervisor;
use crate::tls::Tls;
use crate::worker::{Parts, Worker};
use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::snapshot::Snapshot;
use pgsonde_analyzer::value::Salt;
use std::io::{self, IsTerminal};
use std::net::{IpAddr, SocketAddr, TcpListener as StdListener};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinSet, LocalSet};

/// Empty batches that wait for a worker.
const SPARE_BATCHES: usize = 8;

/// Pause of the acceptor when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often a draining process looks whether its workers are done.
const DRAIN_POLL: Duration = Duration::from_millis(20);

/// Time for the last words to sessions that did not end in time.
const FAREWELL_LIMIT: Duration = Duration::from_secs(5);

/// Clients that are told at one time that there is no room.
const TURNED_AWAY_MAX: usize = 64;

/// Time for a client that is turned away to say who it is.
const TURN_AWAY_LIMIT: Duration = Duration::from_secs(2);

/// How long the answers that the admin interface has begun may take at the end.
const LAST_ANSWERS_LIMIT: Duration = Duration::from_millis(500);

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
    /// To the analyzer.
    orders: Sender<AnalyzerOrder>,
    /// Its count, less one, is the number of clients being turned away.
    turning_away: Rc<()>,
}

/// Listens, serves and observes until a signal ends it.
///
/// # Errors
/// An address can't be listened on, or a thread can't be made.
pub fn run(settings: Settings) -> Result<Ending, Problem> {
    let tls = Tls::load(&settings.proxy).map_err(|problem| settings.point(problem))?;
    let (listeners, admin_listeners) = bind(&settings)?;
    let machinery = Machinery::start(settings, tls).map_err(|error| no_thread(&error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| no_thread(&error))?;
    LocalSet::new().block_on(&runtime, async {
        let signals = Signals::of_process().map_err(|error| no_thread(&error))?;
        serve(machinery, listeners, admin_listeners, signals, announce).await
    })
}

/// Everything that it listens on: applications, and the admin interface.
fn bind(settings: &Settings) -> Result<(Vec<Bound>, Vec<StdListener>), Problem> {
    let bound = settings.proxy.listen.iter().map(listener::bind).collect::<Result<Vec<_>, _>>()?;
    descriptors::raise(settings.proxy.max_connections);
    let admin = listener::bind_tcp(&settings.admin.listen)?;
    Ok((bound.into_iter().flatten().collect(), admin))
}

fn no_thread(error: &io::Error) -> Problem {
    Problem::new(LOCAL_RESOURCE, format!("cannot start: {error}"))
}

impl Machinery {
    fn start(settings: Settings, tls: Tls) -> io::Result<Self> {
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let limits = with_moments(settings.limits());
        let counters_only = settings.profile.mode == Mode::CountersOnly;
        let (orders, inbox) = channel();
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
            orders: inbox,
            counters_only,
            overload: Overload::default(),
            resumptions: 0,
        };
        let analyzer = analysis.spawn()?;
        let (shared_too, orders_too) = (Arc::clone(&shared), orders.clone());
        let live = Live { shared: shared_too, snapshots: snapshots.clone(), orders: orders_too };
        drop(live.spawn()?);
        Ok(Self { shared, workers, snapshots, analyzer, orders, turning_away: Rc::new(()) })
    }

    /// Waits until all workers and the analyzer have ended.
    async fn end(&self) {
        while !self.workers.iter().all(Worker::is_finished) || !self.analyzer.is_finished() {
            tokio::time::sleep(DRAIN_POLL).await;
        }
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
        if open >= self.shared.current().settings.proxy.max_connections {
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
    let current = shared.current();
    let asked = tokio::time::timeout(TURN_AWAY_LIMIT, negotiate(client, shared, &current)).await;
    match asked {
        Ok(Ok(Some((mut client, Asked::Session { packet, .. })))) => {
            shared.events.refuse(&packet, &client.peer(), "limit");
            let limit = current.settings.proxy.max_connections;
            say_goodbye(&mut client, &own_error::too_many_connections(limit)).await;
        }
        Ok(Ok(Some((client, Asked::Cancel { packet })))) => {
            cancel(client, &packet, shared, &current, uncount).await;
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
    mut signals: Signals,
    ready: impl FnOnce(Ready, bool),
) -> Result<Ending, Problem> {
    let machinery = Rc::new(machinery);
    let shared = Arc::clone(&machinery.shared);
    protection::check_at_start(&shared).await?;
    shared.events.start_capture()?;
    let settings = &shared.settings;
    shared.exports.start(&settings.export, &settings.proxy.upstream.hosts, &shared.events)?;
    let app: Vec<String> = listeners.iter().map(Bound::url).collect();
    let exposed = listeners.iter().any(Bound::is_exposed);
    let (orders, inbox) = Orders::line();
    let access = Access::new(&shared.settings.admin)?;
    let as_sent = shared.settings.profile.redact == Redaction::Off;
    let access = Arc::new(access.with_events_as_sent(as_sent));
    let admin = Admin { access, orders, app };
    let report = addresses(&admin_listeners);
    let (open, closing) = watch::channel(());
    let mut answering = JoinSet::new();
    for listener in admin_listeners {
        let listener = TcpListener::from_std(listener).map_err(|error| no_thread(&error))?;
        let closed = dropped(closing.clone());
        answering.spawn_local(admin::serve(listener, admin.state(&machinery), closed));
    }
    let mut acceptors = Vec::new();
    for listener in listeners {
        let listener = listener.start().map_err(|error| no_thread(&error))?;
        acceptors.push(tokio::task::spawn_local(accept(listener, Rc::clone(&machinery))));
    }
    let prober = tokio::task::spawn_local(protection::check_on(Arc::clone(&shared)));
    shared.enter(Lifecycle::Ready);
    ready(admin.ready(&machinery, report), exposed);

    let ending = until_asked_to_end(&machinery, &admin.access, inbox, &mut signals).await;
    shared.enter(Lifecycle::Draining);
    supervisor::stopping();
    prober.abort();
    acceptors.into_iter().for_each(|acceptor| acceptor.abort());
    tracing::info!(?ending, "draining");
    tokio::select! {
        () = drain(&machinery) => {}
        () = signals.end() => tracing::warn!("second signal: closing everything now"),
    }
    drop(open);
    let answered = async { while answering.join_next().await.is_some() {} };
    // Streams of events that are still open are cut.
    let _ = tokio::time::timeout(LAST_ANSWERS_LIMIT, answered).await;
    shared.advisor.stop();
    shared.events.close();
    shared.exports.close();
    Ok(ending)
}

/// Done when the other end of the channel is gone.
async fn dropped(mut channel: watch::Receiver<()>) {
    while channel.changed().await.is_ok() {}
}

/// Reloads and obeys until a signal or an order ends the process.
async fn until_asked_to_end(
    machinery: &Machinery,
    access: &Access,
    mut orders: mpsc::Receiver<Request>,
    signals: &mut Signals,
) -> Ending {
    let reach = Reach { shared: &machinery.shared, access, analyzer: &machinery.orders };
    loop {
        let asked = tokio::select! {
            signal = signals.next() => match signal {
                Asking::End(ending) => return ending,
                Asking::Reload => None,
                Asking::Snapshot => {
                    let (shared, analyzer) = (Arc::clone(&machinery.shared), machinery.orders.clone());
                    tokio::task::spawn_local(saved_snapshot::save(shared, analyzer));
                    continue;
                }
            },
            Some(asked) = orders.recv() => Some(asked),
        };
        let Some(Request { order, answer }) = asked else {
            // What is wrong is in the log and in the metrics.
            let _ = reload(&reach).await;
            continue;
        };
        match order {
            Order::Reload => tell(answer, reload(&reach).await),
            Order::Drain => {
                tell(answer, Ok(()));
                return Ending::Terminated;
            }
            order => crate::obedience::obey(&reach, order, answer),
        }
    }
}

/// Whoever asked may have gone.
fn tell(answer: oneshot::Sender<Result<(), Problem>>, outcome: Result<(), Problem>) {
    let _ = answer.send(outcome);
}

async fn reload(reach: &Reach<'_>) -> Result<(), Problem> {
    supervisor::reloading();
    let outcome = reach.reload().await;
    supervisor::ready(match outcome {
        Ok(()) => "ready",
        Err(_) => "ready; the latest reload failed, see the log",
    });
    outcome
}

/// Asks every session to end at its next idle moment and waits for it, at most `proxy.drain_timeout` long; then
/// tells those that are left, and closes them.
async fn drain(machinery: &Machinery) {
    machinery.workers.iter().for_each(Worker::drain);
    let limit = machinery.shared.current().settings.proxy.drain_timeout;
    if tokio::time::timeout(limit, machinery.end()).await.is_ok() {
        return;
    }
    tracing::warn!("some sessions did not end in time and are closed now");
    machinery.workers.iter().for_each(Worker::end);
    if tokio::time::timeout(FAREWELL_LIMIT, machinery.end()).await.is_err() {
        tracing::warn!("some sessions could not be told");
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

/// What the admin listeners have in common.
struct Admin {
    access: Arc<Access>,
    orders: Orders,
    /// Where applications connect.
    app: Vec<String>,
}

impl Admin {
    fn ready(&self, machinery: &Machinery, admin: Vec<SocketAddr>) -> Ready {
        Ready {
            app: self.app.clone(),
            admin,
            token: self.access.token(),
            own_token: self.access.own_token().is_some(),
            shared: Arc::clone(&machinery.shared),
            snapshots: machinery.snapshots.clone(),
        }
    }

    fn state(&self, machinery: &Machinery) -> AdminState {
        AdminState {
            snapshots: Arc::new(machinery.snapshots.clone()),
            status: machinery.shared.clone(),
            started: clock::started_at(),
            metrics: machinery.shared.settings.metrics,
            listen: listen_text(&self.app),
            access: Arc::clone(&self.access),
            orders: self.orders.clone(),
        }
    }
}

/// The ready lines, on stderr. A token that nobody chose is of use only to whoever sits before the terminal.
// It takes what a listener for it may keep.
#[allow(clippy::needless_pass_by_value)]
fn announce(ready: Ready, exposed: bool) {
    let shared = &ready.shared;
    let shown = ready.own_token && std::io::stderr().is_terminal();
    let fragment = if shown { format!("#token={}", ready.token) } else { String::new() };
    let report: Vec<_> = ready.admin.iter().map(|at| format!("http://{at}/{fragment}")).collect();
    eprintln!(
        "pgsonde {} ready in {} ms\n  app      {}   {}\n  server   {}   {}\n  report   {}   metrics on /metrics\n  privacy  literals removed before storage",
        env!("CARGO_PKG_VERSION"),
        clock::now_us() / 1_000,
        ready.app.join(" "),
        protection::client_words(shared, exposed),
        shared.settings.proxy.upstream,
        protection::server_words(shared),
        report.join(" "),
    );
    supervisor::ready("ready");
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
    Snapshot,
}

enum Signals {
    /// Those of the process.
    Process { terminate: Signal, interrupt: Signal, hangup: Signal, snapshot: Signal },
    /// Messages of whoever runs the proxy inside of another program: each asks for the end.
    Owner(mpsc::UnboundedReceiver<()>),
}

impl Signals {
    fn of_process() -> io::Result<Self> {
        Ok(Self::Process {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            snapshot: signal(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Asking {
        match self {
            Self::Process { terminate, interrupt, hangup, snapshot } => tokio::select! {
                _ = terminate.recv() => Asking::End(Ending::Terminated),
                _ = interrupt.recv() => Asking::End(Ending::Interrupted),
                _ = hangup.recv() => Asking::Reload,
                _ = snapshot.recv() => Asking::Snapshot,
            },
            Self::Owner(messages) => {
                messages.recv().await;
                Asking::End(Ending::Terminated)
            }
        }
    }

    /// Waits for a signal that ends; others have no meaning any more.
    async fn end(&mut self) {
        while !matches!(self.next().await, Asking::End(_)) {}
    }
}

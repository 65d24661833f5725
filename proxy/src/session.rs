//! One client session: negotiate -> relay -> close.

use crate::clock;
use crate::config::Auth;
use crate::counters::{Gauges, SETUP_BUCKETS_US};
use crate::hot::observe::SessionObserver;
use crate::hot::outbox::Outbox;
use crate::hot::relay::{Cause, Leave, Relay, Start};
use crate::hot::standing::Standing;
use crate::hot::watch::Watch;
use crate::negotiation::{Asked, negotiate};
use crate::own_error;
use crate::shared::{Current, Shared};
use crate::startups::StartupPlace;
use crate::stream::Stream;
use crate::upstream::{self, Failure};
use pgsonde_analyzer::record::Opaque;
use pgsonde_analyzer::record::{SessionId, Setup};
use pgsonde_analyzer::value::Salt;
use pgsonde_wire::foreign::{StartupParameters, startup_parameters};
use pgsonde_wire::sasl::Offer;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// After the server's end was passed on, the client gets this long to end its own stream, so that a close with
/// unread bytes doesn't destroy the server's last words on their way.
const LINGER: Duration = Duration::from_secs(2);

/// What a session needs of its worker thread.
pub struct Surroundings {
    /// Process-wide state.
    pub shared: Arc<Shared>,
    /// Gauges of this worker.
    pub gauges: Arc<Gauges>,
    /// Records of this worker.
    pub outbox: Rc<RefCell<Outbox>>,
    /// Key of the value hashes.
    pub salt: Rc<Salt>,
    /// Key of the hashes of statement and portal names.
    pub name_seed: u64,
}

/// Lets the worker end an idle session.
#[derive(Default)]
pub struct DrainSwitch {
    leave: Cell<Leave>,
    /// Whether the session waits inside a transaction.
    pub standing: Rc<Standing>,
    waker: RefCell<Option<Waker>>,
}

impl DrainSwitch {
    /// Asks the session to end at its next idle moment.
    pub fn drain(&self) {
        self.ask(Leave::WhenIdle);
    }

    /// Asks the session to end, whatever it is doing.
    pub fn end(&self) {
        self.ask(Leave::Now);
    }

    fn ask(&self, leave: Leave) {
        self.leave.set(leave);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn leave(&self, cx: &Context<'_>) -> Leave {
        let leave = self.leave.get();
        if leave != Leave::Now {
            let mut waker = self.waker.borrow_mut();
            if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
                *waker = Some(cx.waker().clone());
            }
        }
        leave
    }
}

/// One accepted client.
pub struct Arrival {
    /// Its socket.
    pub client: Stream,
    /// Its place among the unauthenticated connections of its address.
    pub startup: StartupPlace,
}

/// A session that may begin.
struct Opening {
    packet: Vec<u8>,
    early: Vec<u8>,
    major: u16,
    /// What was in force when the client came.
    current: Arc<Current>,
    deadline: Instant,
    /// The client's address without its port.
    peer: String,
    /// When the start-up packet was complete.
    asked_us: u64,
}

impl Opening {
    /// Tells listeners that it came to nothing.
    fn refused(&self, shared: &Shared, reason: &'static str) {
        shared.events.refuse(&self.packet, &self.peer, reason);
    }
}

/// Serves one accepted client until it ends. `uncount` is called when it turns out to be no session.
pub async fn serve(
    arrival: Arrival,
    around: &Surroundings,
    switch: &DrainSwitch,
    uncount: impl FnOnce(),
) {
    let shared = &around.shared;
    let current = shared.current();
    let deadline = Instant::now() + current.settings.proxy.startup_timeout;
    let startup = arrival.startup;
    let peer = arrival.client.peer();
    match timeout_at(deadline, negotiate(arrival.client, shared, &current)).await {
        Ok(Ok(Some((client, asked)))) => match asked {
            Asked::Session { packet, early, major } => {
                let asked_us = clock::now_us();
                let opening = Opening { packet, early, major, current, deadline, peer, asked_us };
                session(client, opening, startup, around, switch).await;
            }
            Asked::Cancel { packet } => cancel(client, &packet, shared, &current, uncount).await,
            Asked::Sealed { server, answer, reason } => {
                // When it is authenticated can't be seen.
                drop(startup);
                sealed(client, server, &answer, reason, around, switch).await;
            }
        },
        Ok(Ok(None)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "client left during start-up"),
        Err(_) => tracing::info!("closed a client that did not finish its start-up in time"),
    }
}

/// Forwards a CancelRequest as soon as there is a place for it; while it waits, it takes none of the sessions'.
/// The client's connection is closed only after the server has closed its side: the server signals first and
/// closes then, so an earlier close could let the cancel hit the next statement.
pub async fn cancel(
    client: Stream,
    packet: &[u8],
    shared: &Shared,
    current: &Current,
    uncount: impl FnOnce(),
) {
    shared.connections.cancel_requests.fetch_add(1, Relaxed);
    uncount();
    let Ok(known) = shared.cancels_waiting.try_acquire() else {
        shared.connections.limit.fetch_add(1, Relaxed);
        return;
    };
    let limit = current.settings.proxy.startup_timeout;
    let Ok(Ok(place)) = timeout(limit, shared.cancels.acquire()).await else { return };
    upstream::cancel(current.way(), packet).await;
    drop((place, known));
    drop(client);
}

/// A client whose encryption the server answers itself: both streams pass unseen.
async fn sealed(
    mut client: Stream,
    server: Stream,
    answer: &[u8],
    reason: Opaque,
    around: &Surroundings,
    switch: &DrainSwitch,
) {
    if client.write_all(answer).await.is_err() {
        return;
    }
    let asked = (client.peer(), clock::now_us(), Setup::default());
    let watch = new_watch(StartupParameters::default(), Some(reason), asked, around);
    let mut relay = Relay::new(client, server, watch, Arc::clone(&around.gauges), &[]);
    around.shared.connections.ok.fetch_add(1, Relaxed);
    let cause = relay.until_end(|cx| switch.leave(cx)).await;
    close(&mut relay, cause).await;
}

async fn session(
    mut client: Stream,
    opening: Opening,
    startup: StartupPlace,
    around: &Surroundings,
    switch: &DrainSwitch,
) {
    let shared = &around.shared;
    let proxy = &opening.current.settings.proxy;
    if proxy.tls.required && matches!(client, Stream::Tcp(_)) {
        opening.refused(shared, "tls_error");
        return say_goodbye(&mut client, &own_error::tls_required()).await;
    }
    let opened = timeout_at(opening.deadline, open_server(&client, &opening, shared)).await;
    let (server, setup) = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(failure)) => {
            let address = proxy.upstream.to_string();
            opening.refused(shared, failure.end_reason());
            let words = own_error::server_unreachable(&address, &failure);
            return say_goodbye(&mut client, &words).await;
        }
        Err(_) => {
            opening.refused(shared, "upstream_timeout");
            tracing::info!("closed a session that found no server before proxy.startup_timeout");
            return;
        }
    };
    let connected_us = clock::now_us();
    let watch = watch(&opening, setup, around).with_standing(Rc::clone(&switch.standing));
    let hide_binding = server.is_tls() && !client.is_tls();
    let gauges = Arc::clone(&around.gauges);
    let plain = !client.is_tls() && !server.is_tls();
    let mut relay = Relay::new(client, server, watch, gauges, &opening.early);
    if plain {
        relay = relay.with_directions_apart();
    }
    if opening.major == 3 {
        relay = relay.with_start(Start::new(hide_binding));
    }
    match timeout_at(opening.deadline, relay.until_open()).await {
        Ok(true) => {
            let idle_timeout = proxy.idle_timeout;
            drop((opening, startup));
            note_open(shared, connected_us, &relay);
            let cause = until_end(&mut relay, idle_timeout, switch).await;
            close(&mut relay, cause).await;
        }
        Ok(false) => {
            if let Some(reason) = note_failure(shared, &relay) {
                opening.refused(shared, reason);
            }
            close(&mut relay, Cause::ServerClosed).await;
        }
        Err(_) => tracing::info!("closed a session that did not finish its start-up in time"),
    }
    if let Some(reason) = relay.watch.opaque() {
        tracing::info!(reason = reason.name(), "the session was forwarded without being looked at");
    }
}

/// A server that has the client's StartupMessage, and what connecting came to.
async fn open_server(
    client: &Stream,
    opening: &Opening,
    shared: &Shared,
) -> Result<(Stream, Setup), Failure> {
    let dialled = upstream::connect(shared, opening.current.way()).await?;
    let mut server = dialled.stream;
    let setup = Setup {
        tcp_us: dialled.connect_us,
        tls_us: dialled.tls_us.unwrap_or(0),
        tls_client: client.tls(),
        tls_server: server.tls(),
    };
    if opening.current.settings.proxy.tls.auth == Auth::SameCertificate && client.is_tls() {
        let own = opening.current.tls.client.as_ref().map(|leg| leg.leaf());
        if server.is_tls() && server.peer_leaf() != own {
            let failure = Failure::different_certificates();
            tracing::error!(code = failure.code, why = %failure.why, "refused a session");
            shared.connections.tls_error.fetch_add(1, Relaxed);
            return Err(failure);
        }
    }
    let sent = async {
        server.write_all(&opening.packet).await?;
        server.flush().await
    };
    sent.await.map_err(|error| Failure::from(&error))?;
    Ok((server, setup))
}

fn note_open(shared: &Shared, connected_us: u64, relay: &Relay<Stream, Stream>) {
    shared.connections.ok.fetch_add(1, Relaxed);
    if relay.authentication().1 == Some(Offer::TooLong) {
        shared.connections.sasl_list_too_long.fetch_add(1, Relaxed);
        tracing::warn!(
            "the server's list of SASL mechanisms is too long to be edited; it passed as it is"
        );
    }
    if relay.watch.opaque().is_none() {
        let auth_us = clock::now_us().saturating_sub(connected_us);
        shared.setup_auth_us.observe(&SETUP_BUCKETS_US, auth_us);
    }
}

/// Counts a start-up that failed, and says in the log what the client's own message can't know.
/// Gives what listeners are told of it.
fn note_failure(shared: &Shared, relay: &Relay<Stream, Stream>) -> Option<&'static str> {
    let (seen, _) = relay.authentication();
    let client_left = matches!(relay.cause(), Some(Cause::ClientClosed | Cause::ClientRead(_)));
    let rejected =
        relay.watch.authentication_failed() || seen.error.is_some_and(|code| &code[..2] == b"28");
    if rejected {
        shared.connections.auth_failed.fetch_add(1, Relaxed);
    }
    if let Some(error) = seen.binding {
        shared.connections.binding_failed.fetch_add(1, Relaxed);
        tracing::warn!(
            code = "PGS0410",
            ?error,
            "SCRAM channel binding cannot pass through two separate TLS connections: use the plain loopback leg, \
             or channel_binding=disable in the application, or proxy.tls.auth = \"same-certificate\""
        );
    } else if seen.error == Some(*b"28P01") {
        tracing::info!(
            code = "PGS0402",
            "the server rejected a password; pgsonde relays passwords, a direct connection fails the same way"
        );
    } else if seen.sasl_offered && !seen.client_answered && client_left {
        shared.connections.binding_failed.fetch_add(1, Relaxed);
        tracing::info!(
            code = "PGS0410",
            "a client left without an answer to the server's SCRAM offer: it has no password at hand (psql asks \
             for it and comes back), or it demands channel binding, which this pair of connections does not offer"
        );
    }
    match (rejected || seen.binding.is_some(), seen.error) {
        (true, _) => Some("auth_failed"),
        // 53300 and 57P03 among them: the server is there and says no.
        (false, Some(_)) => Some("upstream_refused"),
        (false, None) => None,
    }
}

fn watch(opening: &Opening, setup: Setup, around: &Surroundings) -> Watch {
    let parameters = match opening.major {
        3 => startup_parameters(&opening.packet),
        _ => StartupParameters::default(),
    };
    let opaque = match (opening.major, parameters.replication) {
        (3, false) => None,
        (3, true) => Some(Opaque::Replication),
        _ => Some(Opaque::Unknown),
    };
    new_watch(parameters, opaque, (opening.peer.clone(), opening.asked_us, setup), around)
}

fn new_watch(
    parameters: StartupParameters,
    opaque: Option<Opaque>,
    (peer, asked_us, setup): (String, u64, Setup),
    around: &Surroundings,
) -> Watch {
    let session = SessionId(around.shared.next_session.fetch_add(1, Relaxed));
    let salt = Rc::clone(&around.salt);
    let observer = SessionObserver::new(session, parameters, salt, Rc::clone(&around.outbox))
        .asked_by(peer, asked_us)
        .set_up(setup)
        .with_result_rows(around.shared.settings.findings.n_plus_one_result_rows);
    let text_bytes_max = around.shared.settings.profile.max_statement_text_bytes;
    Watch::new(observer, Arc::clone(&around.gauges), opaque)
        .with_name_seed(around.name_seed)
        .with_budget(Arc::clone(&around.shared.tracking))
        .with_mode(Arc::clone(&around.shared.mode))
        .with_text_limit(text_bytes_max)
}

/// Relays until the session ends, or was idle for `idle_timeout`. The timer is set once per period, not per
/// exchange: when it goes off, it is set to what is left since the latest bytes.
async fn until_end(
    relay: &mut Relay<Stream, Stream>,
    idle_timeout: Option<Duration>,
    switch: &DrainSwitch,
) -> Cause {
    let Some(limit) = idle_timeout else {
        return relay.until_end(|cx| switch.leave(cx)).await;
    };
    let mut left = limit;
    loop {
        tokio::select! {
            cause = relay.until_end(|cx| switch.leave(cx)) => return cause,
            () = sleep(left) => {}
        }
        let idle = relay.idle_us().map_or(Duration::ZERO, Duration::from_micros);
        if idle >= limit {
            return Cause::Idle;
        }
        left = limit - idle;
    }
}

async fn close(relay: &mut Relay<Stream, Stream>, cause: Cause) {
    tracing::debug!(?cause, "session ended");
    relay.watch.ends(cause.into());
    match cause {
        Cause::Drained => part(relay, &own_error::shutting_down()).await,
        Cause::Ended => interrupt(relay).await,
        Cause::Idle => part(relay, &own_error::idle_too_long()).await,
        Cause::ServerClosed | Cause::ServerRead(_) | Cause::ServerWrite(_) => {
            linger(relay.sockets().0).await;
        }
        Cause::ClientClosed | Cause::ClientRead(_) | Cause::ClientWrite(_) => {}
    }
}

/// Ends a session that stands at ReadyForQuery.
async fn part(relay: &mut Relay<Stream, Stream>, words: &[u8]) {
    let (client, server) = relay.sockets();
    let terminate = async {
        server.write_all(b"X\0\0\0\x04").await?;
        server.shutdown().await
    };
    // The server may be gone already, then nothing is lost.
    let _ = timeout(LINGER, terminate).await;
    say_goodbye(client, words).await;
}

/// Ends a session in the middle of what it does; the server takes its transaction back. The client is told where
/// the stream stands between two messages.
async fn interrupt(relay: &mut Relay<Stream, Stream>) {
    let may_speak = relay.may_speak();
    let (client, server) = relay.sockets();
    // Closed at once, so that the client hears of the end after the server did.
    let _ = timeout(LINGER, server.shutdown()).await;
    if may_speak {
        say_goodbye(client, &own_error::shutting_down()).await;
    }
}

/// Last words to a client, then an orderly close.
pub async fn say_goodbye(client: &mut Stream, words: &[u8]) {
    let said = async {
        client.write_all(words).await?;
        client.shutdown().await
    };
    if matches!(timeout(LINGER, said).await, Ok(Ok(()))) {
        linger(client).await;
    }
}

/// Reads what the client still says until it ends its stream, for at most [`LINGER`].
async fn linger(client: &mut Stream) {
    let mut rest = [0; 1024];
    let drained = async { while matches!(client.read(&mut rest).await, Ok(1..)) {} };
    let _ = timeout(LINGER, drained).await;
}

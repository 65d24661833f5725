//! One client session: negotiate -> relay -> close.

use crate::clock;
use crate::counters::{Gauges, Opaque, SETUP_BUCKETS_US};
use crate::hot::observe::SessionObserver;
use crate::hot::outbox::Outbox;
use crate::hot::relay::{Cause, Relay};
use crate::hot::standing::Standing;
use crate::hot::watch::Watch;
use crate::own_error;
use crate::shared::Shared;
use crate::upstream;
use pgsonde_analyzer::record::SessionId;
use pgsonde_analyzer::value::Salt;
use pgsonde_wire::foreign::{StartupParameters, startup_parameters};
use pgsonde_wire::startup::{Startup, Step};
use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

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
}

/// Lets the worker end an idle session.
#[derive(Default)]
pub struct DrainSwitch {
    draining: Cell<bool>,
    /// Whether the session waits inside a transaction.
    pub standing: Rc<Standing>,
    waker: RefCell<Option<Waker>>,
}

impl DrainSwitch {
    /// Asks the session to end at its next idle moment.
    pub fn drain(&self) {
        self.draining.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    fn is_draining(&self, cx: &Context<'_>) -> bool {
        if self.draining.get() {
            return true;
        }
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|known| known.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

/// What the client asked for.
pub enum Asked {
    /// A session.
    Session {
        /// The StartupMessage.
        packet: Vec<u8>,
        /// What was read behind it.
        early: Vec<u8>,
        /// Protocol major version.
        major: u16,
    },
    /// To cancel another session's statement.
    Cancel {
        /// The CancelRequest.
        packet: Vec<u8>,
    },
    /// Nothing that could be served; the connection is to be closed.
    Nothing,
}

/// Serves one accepted client until it ends.
pub async fn serve(mut client: TcpStream, around: &Surroundings, switch: &DrainSwitch) {
    let shared = &around.shared;
    let began_us = clock::now_us();
    let limit = shared.settings.proxy.startup_timeout;
    match timeout(limit, negotiate(&mut client)).await {
        Ok(Ok(Asked::Session { packet, early, major })) => {
            let asked = (client_label(client.peer_addr()), clock::now_us());
            let opening = Opening { packet, early, major, began_us, asked };
            session(client, opening, around, switch).await;
        }
        Ok(Ok(Asked::Cancel { packet })) => cancel(client, &packet, shared).await,
        Ok(Ok(Asked::Nothing)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "client left during start-up"),
        Err(_) => tracing::info!("closed a client that did not finish its start-up in time"),
    }
}

/// Answers encryption requests and waits for a whole start-up packet.
///
/// # Errors
/// The client's socket failed.
pub async fn negotiate(client: &mut TcpStream) -> io::Result<Asked> {
    let mut startup = Startup::default();
    let mut buffer = Vec::new();
    loop {
        match startup.step(&buffer) {
            Step::More => {
                if client.read_buf(&mut buffer).await? == 0 {
                    note_early_end(&startup);
                    return Ok(Asked::Nothing);
                }
            }
            Step::Decline => {
                buffer.clear();
                client.write_all(b"N").await?;
            }
            Step::Forward { len, major } => {
                let early = buffer.split_off(len);
                return Ok(Asked::Session { packet: buffer, early, major });
            }
            Step::Cancel { len } => {
                buffer.truncate(len);
                return Ok(Asked::Cancel { packet: buffer });
            }
            Step::Close(refusal) => {
                tracing::info!(?refusal, "closed a client whose start-up makes no sense");
                return Ok(Asked::Nothing);
            }
        }
    }
}

fn note_early_end(startup: &Startup) {
    if startup.declined_tls() {
        tracing::warn!(
            code = "PGS0405",
            "the client left after TLS was declined; it probably uses sslmode=require: use prefer or disable"
        );
    }
}

/// Forwards a CancelRequest. The client's connection is closed only after the server has closed its side: the
/// server signals first and closes then, so an earlier close could let the cancel hit the next statement.
async fn cancel(client: TcpStream, packet: &[u8], shared: &Shared) {
    shared.connections.cancel_requests.fetch_add(1, Relaxed);
    let Ok(mut server) = upstream::connect(shared).await else { return };
    let relay = async {
        server.write_all(packet).await?;
        let mut rest = [0; 64];
        while server.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever became of it, there is nobody to tell: a cancel is never answered.
    let _ = timeout(shared.settings.proxy.startup_timeout, relay).await;
    drop(client);
}

struct Opening {
    packet: Vec<u8>,
    early: Vec<u8>,
    major: u16,
    began_us: u64,
    /// By whom, and when the packet was complete.
    asked: (String, u64),
}

/// The address without its port; a Unix socket has none.
fn client_label(peer: io::Result<SocketAddr>) -> String {
    peer.map_or_else(|_| "local".to_owned(), |peer| peer.ip().to_canonical().to_string())
}

async fn session(
    mut client: TcpStream,
    opening: Opening,
    around: &Surroundings,
    switch: &DrainSwitch,
) {
    let shared = &around.shared;
    let server = match open_server(&opening.packet, shared).await {
        Ok(server) => server,
        Err(error) => {
            let words = own_error::server_unreachable(
                &shared.settings.proxy.upstream.to_string(),
                &error.to_string(),
            );
            say_goodbye(&mut client, &words).await;
            return;
        }
    };
    let connected_us = clock::now_us();
    let watch = watch(&opening, around).with_standing(Rc::clone(&switch.standing));
    let gauges = Arc::clone(&around.gauges);
    let mut relay = Relay::new(client, server, watch, gauges, &opening.early);
    let left = shared
        .settings
        .proxy
        .startup_timeout
        .saturating_sub(Duration::from_micros(connected_us.saturating_sub(opening.began_us)));
    match timeout(left, relay.until_open()).await {
        Ok(true) => {
            note_open(shared, connected_us, relay.watch.opaque().is_some());
            let cause = relay.until_end(|cx| switch.is_draining(cx)).await;
            close(&mut relay, cause).await;
        }
        Ok(false) => {
            if relay.watch.authentication_failed() {
                shared.connections.auth_failed.fetch_add(1, Relaxed);
            }
            close(&mut relay, Cause::ServerClosed).await;
        }
        Err(_) => tracing::info!("closed a session that did not finish its start-up in time"),
    }
    if let Some(reason) = relay.watch.opaque() {
        tracing::info!(reason = reason.name(), "the session was forwarded without being looked at");
    }
}

async fn open_server(packet: &[u8], shared: &Shared) -> io::Result<TcpStream> {
    let mut server = upstream::connect(shared).await?;
    server.write_all(packet).await?;
    Ok(server)
}

fn note_open(shared: &Shared, connected_us: u64, is_opaque: bool) {
    shared.connections.ok.fetch_add(1, Relaxed);
    if is_opaque {
        return;
    }
    let auth_us = clock::now_us().saturating_sub(connected_us);
    shared.setup_auth_us.observe(&SETUP_BUCKETS_US, auth_us);
}

fn watch(opening: &Opening, around: &Surroundings) -> Watch {
    let parameters = match opening.major {
        3 => startup_parameters(&opening.packet),
        _ => StartupParameters::default(),
    };
    let opaque = match (opening.major, parameters.replication) {
        (3, false) => None,
        (3, true) => Some(Opaque::Replication),
        _ => Some(Opaque::Unknown),
    };
    let session = SessionId(around.shared.next_session.fetch_add(1, Relaxed));
    let salt = Rc::clone(&around.salt);
    let (client, asked_us) = opening.asked.clone();
    let observer = SessionObserver::new(session, parameters, salt, Rc::clone(&around.outbox))
        .asked_by(client, asked_us);
    let text_bytes_max = around.shared.settings.profile.max_statement_text_bytes;
    Watch::new(observer, Arc::clone(&around.gauges), opaque).with_text_limit(text_bytes_max)
}

async fn close(relay: &mut Relay<TcpStream, TcpStream>, cause: Cause) {
    tracing::debug!(?cause, "session ended");
    match cause {
        Cause::Drained => {
            let (client, server) = relay.sockets();
            // Terminate; the server may be gone already, then nothing is lost.
            let _ = server.write_all(b"X\0\0\0\x04").await;
            say_goodbye(client, &own_error::shutting_down()).await;
        }
        Cause::ServerClosed | Cause::ServerRead(_) | Cause::ServerWrite(_) => {
            linger(relay.sockets().0).await;
        }
        Cause::ClientClosed | Cause::ClientRead(_) | Cause::ClientWrite(_) => {}
    }
}

/// Last words to a client, then an orderly close.
pub async fn say_goodbye(client: &mut TcpStream, words: &[u8]) {
    let said = async {
        client.write_all(words).await?;
        client.shutdown().await
    };
    if matches!(timeout(LINGER, said).await, Ok(Ok(()))) {
        linger(client).await;
    }
}

/// Reads what the client still says until it ends its stream, for at most [`LINGER`].
async fn linger(client: &mut TcpStream) {
    let mut rest = [0; 1024];
    let drained = async { while matches!(client.read(&mut rest).await, Ok(1..)) {} };
    let _ = timeout(LINGER, drained).await;
}

//! Connections to the server behind the proxy.

use crate::clock;
use crate::config::{Endpoint, ProxySettings, SslMode};
use crate::counters::SETUP_BUCKETS_US;
use crate::shared::{Reached, Shared, Way};
use crate::stream::Stream;
use crate::tls::check::{Legs, compare};
use crate::tls::{SSL_REQUEST, ServerLeg, Tls, Trouble, explain};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

/// Why there is no connection to the server, in the words that client and log get.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Stable code.
    pub code: &'static str,
    /// What happened.
    pub why: String,
    /// What to do.
    pub help: String,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Refused,
    TimedOut,
    Tls,
}

impl Failure {
    /// Why a client found no server, as lines of captures spell it.
    pub(crate) fn end_reason(&self) -> &'static str {
        match self.kind {
            Kind::Refused => "upstream_refused",
            Kind::TimedOut => "upstream_timeout",
            Kind::Tls => "tls_error",
        }
    }

    fn unreachable(why: String, kind: Kind) -> Self {
        let help = "Check that PostgreSQL runs there and that proxy.upstream is right.".to_owned();
        Self { code: "PGS0301", why, help, kind }
    }

    fn tls(trouble: &Trouble, host: &str) -> Self {
        let (code, why, help) = explain(trouble, host);
        Self { code, why, help, kind: Kind::Tls }
    }

    /// The two legs show different certificates where they must be the same.
    pub fn different_certificates() -> Self {
        Self {
            code: "PGS0410",
            why: "its certificate is not the one of proxy.tls.cert, so channel binding cannot hold"
                .to_owned(),
            help: "Give pgsonde the server's certificate and key again and send it SIGHUP."
                .to_owned(),
            kind: Kind::Tls,
        }
    }
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        Self::unreachable(error.to_string(), Kind::Refused)
    }
}

/// A connected server.
pub struct Dialled {
    /// The connection.
    pub stream: Stream,
    /// Time that connecting took, microseconds.
    pub connect_us: u64,
    /// Time that its TLS handshake took, microseconds.
    pub tls_us: Option<u64>,
}

/// Connects to the first configured server that takes us; each has `proxy.connect_timeout`, TLS included.
///
/// # Errors
/// The failure of the last one.
pub async fn connect(shared: &Shared, way: Way<'_>) -> Result<Dialled, Failure> {
    let mut last = Failure::unreachable("no host is configured".to_owned(), Kind::Refused);
    for (index, host) in way.proxy.upstream.hosts.iter().enumerate() {
        match dial(host, way).await {
            Ok(dialled) => {
                shared.setup_tcp_us.observe(&SETUP_BUCKETS_US, dialled.connect_us);
                if let Some(tls_us) = dialled.tls_us {
                    shared.setup_tls_us.observe(&SETUP_BUCKETS_US, tls_us);
                }
                shared.note_upstream(Ok(reached(index, &dialled)));
                return Ok(dialled);
            }
            Err(failure) => {
                tracing::warn!(code = failure.code, upstream = %host, why = %failure.why, "cannot connect to PostgreSQL");
                last = failure;
            }
        }
    }
    note_failure(shared, &last);
    Err(last)
}

fn reached(host: usize, dialled: &Dialled) -> Reached {
    Reached { host, connect_us: dialled.connect_us, protection: dialled.stream.protection() }
}

fn note_failure(shared: &Shared, failure: &Failure) {
    let connections = &shared.connections;
    let counter = match failure.kind {
        Kind::Refused => &connections.upstream_refused,
        Kind::TimedOut => &connections.upstream_timeout,
        Kind::Tls => &connections.tls_error,
    };
    counter.fetch_add(1, Relaxed);
    shared.note_upstream(Err(failure.why.clone()));
}

/// One server, encrypted as configured.
async fn dial(host: &Endpoint, way: Way<'_>) -> Result<Dialled, Failure> {
    let limit = way.proxy.connect_timeout;
    match timeout(limit, dial_unlimited(host, way)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Failure::unreachable(format!("no answer within {limit:?}"), Kind::TimedOut)),
    }
}

async fn dial_unlimited(host: &Endpoint, way: Way<'_>) -> Result<Dialled, Failure> {
    let began_us = clock::now_us();
    let stream = plain(host, way.proxy).await.map_err(|error| Failure::from(&error))?;
    let connect_us = clock::now_us() - began_us;
    let (tcp, leg) = match (stream, way.tls.server.as_deref()) {
        (Stream::Tcp(tcp), Some(leg)) => (tcp, leg),
        (stream, _) => return Ok(Dialled { stream, connect_us, tls_us: None }),
    };
    let stream = secured(tcp, leg, host, way.proxy).await?;
    let tls_us = stream.is_tls().then(|| clock::now_us() - began_us - connect_us);
    Ok(Dialled { stream, connect_us, tls_us })
}

/// TLS, or what `prefer` accepts in its place.
async fn secured(
    tcp: TcpStream,
    leg: &ServerLeg,
    host: &Endpoint,
    proxy: &ProxySettings,
) -> Result<Stream, Failure> {
    let prefer = proxy.upstream.sslmode == SslMode::Prefer;
    match leg.secure(tcp, host.host()).await {
        Ok(stream) => Ok(stream),
        Err(Trouble::Declined(tcp)) if prefer => Ok(Stream::Tcp(tcp)),
        Err(Trouble::Handshake(error)) if prefer => {
            tracing::warn!(upstream = %host, %error, "TLS failed and sslmode=prefer goes on without");
            plain(host, proxy).await.map_err(|error| Failure::from(&error))
        }
        Err(trouble) => Err(Failure::tls(&trouble, host.host())),
    }
}

async fn plain(host: &Endpoint, proxy: &ProxySettings) -> io::Result<Stream> {
    match host {
        Endpoint::Unix { .. } => UnixStream::connect(host.to_string()).await.map(Stream::Unix),
        Endpoint::Tcp { host, port } => {
            let tcp = TcpStream::connect((host.as_str(), *port)).await?;
            tune(&tcp, proxy.tcp_keepalive)?;
            Ok(Stream::Tcp(tcp))
        }
    }
}

/// A connection on which the client itself negotiates encryption.
///
/// # Errors
/// No server can be reached.
pub async fn connect_for_relay(shared: &Shared) -> Result<Stream, Failure> {
    let current = shared.current();
    connect(shared, Way { proxy: &current.settings.proxy, tls: &Tls::default() })
        .await
        .map(|dialled| dialled.stream)
}

/// Hands a CancelRequest to every server, one after another, and waits until each has closed its side. A server
/// ignores a key that it doesn't know.
pub async fn cancel(way: Way<'_>, packet: &[u8]) {
    for host in &way.proxy.upstream.hosts {
        let relay = async {
            let Ok(mut server) = dial(host, way).await else { return Ok(()) };
            server.stream.write_all(packet).await?;
            server.stream.flush().await?;
            let mut rest = [0; 64];
            while server.stream.read(&mut rest).await? > 0 {}
            io::Result::Ok(())
        };
        // Whatever became of it, there is nobody to tell: a cancel is never answered.
        let _ = timeout(way.proxy.startup_timeout, relay).await;
    }
}

/// No coalescing timer, and half-open peers are found within `keepalive`.
///
/// `TCP_USER_TIMEOUT` stays unset: Linux also ends connections by it whose peer answers but reads nothing for
/// that long, and a client may pause over a large result as long as it likes.
///
/// # Errors
/// The socket refuses an option.
pub fn tune(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(limit) = keepalive {
        let second = Duration::from_secs(1);
        let keepalive = TcpKeepalive::new()
            .with_time((limit / 2).max(second))
            .with_interval((limit / 8).max(second))
            .with_retries(4);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// Connects to every server as a session would, notes whether one can be reached, and compares certificates.
/// `None` where no server can be reached; [`Legs::Different`] if one differs.
pub(crate) async fn survey(shared: &Shared, way: Way<'_>) -> Option<Legs> {
    let own = way.tls.client.as_ref().map(|leg| leg.leaf());
    let (mut first, mut why, mut legs) = (None, String::new(), None);
    for (index, host) in way.proxy.upstream.hosts.iter().enumerate() {
        match dial(host, way).await {
            Ok(dialled) => {
                let found = compare(own, dialled.stream.peer_leaf());
                legs = Some(if legs == Some(Legs::Different) { Legs::Different } else { found });
                first.get_or_insert_with(|| reached(index, &dialled));
            }
            Err(failure) => why = format!("{host}: {} ({})", failure.why, failure.code),
        }
    }
    shared.note_upstream(first.ok_or(why));
    legs
}

/// Asks the server whether it is there, and notes the answer.
pub async fn probe(shared: &Shared) {
    let began_us = clock::now_us();
    let current = shared.current();
    let proxy = &current.settings.proxy;
    let limit = proxy.connect_timeout;
    let host = shared.reached_host();
    let ask = async {
        let mut server = plain(&host, proxy).await?;
        let connect_us = clock::now_us() - began_us;
        if proxy.upstream.direct_tls {
            return Ok(connect_us);
        }
        server.write_all(&SSL_REQUEST).await?;
        server.read_u8().await.map(|_| connect_us)
    };
    let outcome = match timeout(limit, ask).await {
        Ok(answer) => answer.map_err(|error: io::Error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    };
    shared.note_probe(outcome);
}

//! Connections to the server behind the proxy.

use crate::clock;
use crate::counters::SETUP_BUCKETS_US;
use crate::shared::Shared;
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An SSLRequest: the politest way to ask a server whether it is there. It answers one byte and logs nothing
/// when the connection ends then.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Connects to the configured server, at most `proxy.connect_timeout` long.
///
/// # Errors
/// Name resolution, refusal or time-out; the text names the cause.
pub async fn connect(shared: &Shared) -> io::Result<TcpStream> {
    let began_us = clock::now_us();
    let outcome = dial(shared).await;
    match &outcome {
        Ok(_) => {
            let connect_us = clock::now_us() - began_us;
            shared.setup_tcp_us.observe(&SETUP_BUCKETS_US, connect_us);
            shared.note_upstream(Ok(connect_us));
        }
        Err(error) => {
            let counter = match error.kind() {
                io::ErrorKind::TimedOut => &shared.connections.upstream_timeout,
                _ => &shared.connections.upstream_refused,
            };
            counter.fetch_add(1, Relaxed);
            shared.note_upstream(Err(error.to_string()));
            tracing::warn!(code = "PGS0301", upstream = %shared.settings.proxy.upstream, %error, "cannot reach PostgreSQL");
        }
    }
    outcome
}

async fn dial(shared: &Shared) -> io::Result<TcpStream> {
    let upstream = &shared.settings.proxy.upstream;
    let limit = shared.settings.proxy.connect_timeout;
    let target = (upstream.host.as_str(), upstream.port);
    let stream = match timeout(limit, TcpStream::connect(target)).await {
        Ok(connected) => connected?,
        Err(_) => {
            let what = format!("no answer within {limit:?}");
            return Err(io::Error::new(io::ErrorKind::TimedOut, what));
        }
    };
    tune(&stream, shared.settings.proxy.tcp_keepalive)?;
    Ok(stream)
}

/// No coalescing timer, and half-open peers are found.
///
/// # Errors
/// The socket refuses an option.
pub fn tune(stream: &TcpStream, keepalive: Option<Duration>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    if let Some(idle) = keepalive {
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(idle / 4).with_retries(4);
        SockRef::from(stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

/// Asks the server whether it is there, and notes the answer.
pub async fn probe(shared: &Shared) {
    let began_us = clock::now_us();
    let ask = async {
        let mut server = dial(shared).await?;
        let connect_us = clock::now_us() - began_us;
        server.write_all(&SSL_REQUEST).await?;
        server.read_u8().await.map(|_| connect_us)
    };
    let limit = shared.settings.proxy.connect_timeout;
    let outcome = match timeout(limit, ask).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {limit:?}")),
    };
    shared.note_upstream(outcome);
}

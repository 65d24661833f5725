//! What a client asks for: encryption first, then a session or a cancel.

use crate::shared::{Current, Shared, Way};
use crate::stream::Stream;
use crate::tls::{ClientLeg, accept};
use crate::upstream;
use pgsonde_analyzer::record::Opaque;
use pgsonde_wire::startup::{Encryption, Startup, Step};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// First byte of a TLS record that begins a handshake.
const TLS_HANDSHAKE_RECORD: u8 = 0x16;

/// What the client asked for.
#[derive(Debug)]
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
    /// Encryption that ends at the server.
    Sealed {
        /// The server, which has what the client sent.
        server: Stream,
        /// What the server answered so far.
        answer: Vec<u8>,
        /// How such a session is counted.
        reason: Opaque,
    },
}

/// What one step of the negotiation came to.
enum Next {
    /// Go on reading.
    On(Stream),
    /// Done; `None` = the connection is to be closed.
    End(Option<(Stream, Asked)>),
}

/// Answers encryption requests and waits for a whole start-up packet. `None`: nothing that could be served, and
/// the connection is to be closed.
///
/// # Errors
/// The client's socket or its TLS failed.
pub async fn negotiate(
    client: Stream,
    shared: &Shared,
    current: &Current,
) -> io::Result<Option<(Stream, Asked)>> {
    let (mut client, tls) = (client, &*current.tls);
    let encryption = encryption(current.way());
    let mut startup = Startup::new(encryption);
    // A server offers no TLS on Unix sockets; nor do we.
    if matches!(client, Stream::Unix(_)) {
        startup = Startup::default();
    } else if let Some(leg) = tls.client.as_deref() {
        client = direct_tls(client, leg, &mut startup, shared).await?;
    }
    let mut buffer = Vec::new();
    loop {
        let next = match startup.step(&buffer) {
            Step::More => {
                if client.read_buf(&mut buffer).await? == 0 {
                    note_early_end(&startup, shared);
                    return Ok(None);
                }
                continue;
            }
            Step::Decline => {
                buffer.clear();
                client.write_all(b"N").await?;
                continue;
            }
            Step::Accept => {
                buffer.clear();
                client.write_all(b"S").await?;
                let Some(leg) = tls.client.as_deref() else { return Ok(None) };
                client = encrypt(client, leg, false, shared).await?;
                startup.encrypted();
                continue;
            }
            Step::Relay => relay(client, std::mem::take(&mut buffer), shared).await?,
            last => Next::End(asked(last, buffer).map(|asked| (client, asked))),
        };
        match next {
            Next::On(same) => client = same,
            Next::End(end) => return Ok(end),
        }
        buffer = Vec::new();
    }
}

fn encryption(way: Way<'_>) -> Encryption {
    match (&way.tls.client, way.proxy.tls.relay) {
        (Some(_), _) => Encryption::Offered,
        (None, true) => Encryption::Relayed,
        (None, false) => Encryption::Absent,
    }
}

/// The last step, in values.
fn asked(step: Step, mut buffer: Vec<u8>) -> Option<Asked> {
    match step {
        Step::Forward { len, major } => {
            let early = buffer.split_off(len);
            Some(Asked::Session { packet: buffer, early, major })
        }
        Step::Cancel { len } => {
            buffer.truncate(len);
            Some(Asked::Cancel { packet: buffer })
        }
        Step::Close(refusal) => {
            tracing::info!(?refusal, "closed a client whose start-up makes no sense");
            None
        }
        Step::More | Step::Decline | Step::Accept | Step::Relay => None,
    }
}

/// A client may begin TLS without asking. Its first byte is looked at without taking it.
async fn direct_tls(
    client: Stream,
    leg: &ClientLeg,
    startup: &mut Startup,
    shared: &Shared,
) -> io::Result<Stream> {
    let Stream::Tcp(tcp) = &client else { return Ok(client) };
    let mut first = [0];
    if tcp.peek(&mut first).await? == 0 || first[0] != TLS_HANDSHAKE_RECORD {
        return Ok(client);
    }
    startup.encrypted();
    encrypt(client, leg, true, shared).await
}

async fn encrypt(
    client: Stream,
    leg: &ClientLeg,
    direct: bool,
    shared: &Shared,
) -> io::Result<Stream> {
    let Stream::Tcp(tcp) = client else { return Err(io::ErrorKind::InvalidInput.into()) };
    accept(tcp, leg, direct).await.inspect_err(|error| {
        shared.connections.tls_error.fetch_add(1, Relaxed);
        tracing::info!(code = "PGS0408", %error, "TLS with a client failed");
    })
}

/// Lets the server answer a wish for encryption.
async fn relay(mut client: Stream, asked: Vec<u8>, shared: &Shared) -> io::Result<Next> {
    let Ok(mut server) = upstream::connect_for_relay(shared).await else {
        return Ok(Next::End(None));
    };
    server.write_all(&asked).await?;
    let sealed = |client, server, answer, reason| {
        Ok(Next::End(Some((client, Asked::Sealed { server, answer, reason }))))
    };
    if asked.first() == Some(&TLS_HANDSHAKE_RECORD) {
        return sealed(client, server, Vec::new(), Opaque::Unknown);
    }
    match server.read_u8().await? {
        b'N' => {
            client.write_all(b"N").await?;
            Ok(Next::On(client))
        }
        b'G' => sealed(client, server, vec![b'G'], Opaque::Gss),
        answer => sealed(client, server, vec![answer], Opaque::Unknown),
    }
}

fn note_early_end(startup: &Startup, shared: &Shared) {
    if startup.declined_tls() {
        shared.connections.tls_declined.fetch_add(1, Relaxed);
        tracing::warn!(
            code = "PGS0405",
            "the client left after TLS was declined; it probably uses sslmode=require: use prefer or disable"
        );
    }
}

//! A server that we play ourselves, for what a real one would never say.
//!
//! It declines encryption as often as it is asked (the proxy's own probe asks every two seconds), and hands over
//! each connection whose first packet is something else, unread.

use crate::proxy::Proxy;
use crate::{eventually, raw};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Longest wait for a byte or a connection.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A listening fake.
#[derive(Debug)]
pub struct FakeServer {
    port: u16,
    sessions: Receiver<TcpStream>,
}

impl FakeServer {
    /// Listens on a free loopback port.
    ///
    /// # Panics
    /// If there is none.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let (sender, sessions) = channel();
        std::thread::spawn(move || {
            for server in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || {
                    if let Some(session) = past_negotiation(server) {
                        // Nobody listens any more once the test is over.
                        let _over = sender.send(session);
                    }
                });
            }
        });
        Self { port, sessions }
    }

    /// What `pgsonde proxy --upstream` takes.
    pub fn upstream(&self) -> String {
        format!("postgresql://127.0.0.1:{}", self.port)
    }

    /// A proxy before it.
    ///
    /// # Panics
    /// If it doesn't start.
    pub fn proxy(&self, more: &[&str]) -> Proxy {
        Proxy::with_upstream(&self.upstream(), more)
    }

    /// The next connection, its first packet still unread.
    ///
    /// # Panics
    /// If none comes in time.
    pub fn accept(&self) -> TcpStream {
        self.sessions.recv_timeout(LIMIT).expect("the proxy connects")
    }

    /// A connection within `wait`, if one comes.
    pub fn try_accept(&self, wait: Duration) -> Option<TcpStream> {
        self.sessions.recv_timeout(wait).ok()
    }

    /// Client and server end of a session past its start-up.
    ///
    /// # Panics
    /// If the start-up packet doesn't arrive as it was sent.
    pub fn session(&self, proxy: &Proxy) -> (TcpStream, TcpStream) {
        let client = raw::connect(proxy.port());
        self.welcome(client, &raw::startup())
    }

    /// Sends `startup` and answers it with AuthenticationOk and ReadyForQuery.
    ///
    /// # Panics
    /// As [`Self::session`].
    pub fn welcome(&self, mut client: TcpStream, startup: &[u8]) -> (TcpStream, TcpStream) {
        client.write_all(startup).expect("written");
        let mut server = self.accept();
        let mut seen = vec![0; startup.len()];
        server.read_exact(&mut seen).expect("a start-up");
        assert_eq!(seen, startup, "it arrives as it was sent");
        pass(&mut server, &mut client, &welcome());
        (client, server)
    }
}

/// AuthenticationOk and ReadyForQuery.
pub fn welcome() -> Vec<u8> {
    [raw::frame(b'R', &[0; 4]), raw::frame(b'Z', b"I")].concat()
}

fn past_negotiation(mut server: TcpStream) -> Option<TcpStream> {
    let mut head = [0; 8];
    server.set_read_timeout(Some(LIMIT)).ok()?;
    server.set_nodelay(true).ok()?;
    loop {
        let seen = server.peek(&mut head).ok()?;
        match seen {
            0 => return None,
            8 if head == raw::SSL_REQUEST || head == raw::GSS_ENC_REQUEST => {
                server.read_exact(&mut head).ok()?;
                server.write_all(b"N").ok()?;
            }
            8 => return Some(server),
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Sends bytes from one end and expects exactly them at the other.
///
/// # Panics
/// If they arrive changed, or not at all.
pub fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    std::thread::scope(|scope| {
        scope.spawn(|| from.write_all(bytes).expect("written"));
        let mut arrived = vec![0; bytes.len()];
        to.read_exact(&mut arrived).expect("all of it arrives");
        assert!(arrived == bytes, "the bytes arrive unchanged");
    });
}

/// Reads to the end of the stream, by an orderly close or a reset, and gives what came before.
///
/// # Panics
/// If the stream doesn't end in time.
pub fn rest(socket: &mut TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(LIMIT)).expect("a limit");
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("the stream is still open after {LIMIT:?}; {} bytes came", bytes.len())
        }
        _ => bytes,
    }
}

/// Streams `header` and then zeros up to `total` bytes from one end; the other counts and discards. Gives the
/// highest resident memory of the proxy that was seen on the way.
///
/// # Panics
/// If the count is another.
pub fn stream(
    proxy: &Proxy,
    from: &mut TcpStream,
    to: &mut TcpStream,
    header: &[u8],
    total: u64,
) -> u64 {
    const CHUNK_BYTES: usize = 256 * 1024;
    let mut peak = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            from.write_all(header).expect("written");
            let zeros = vec![0; CHUNK_BYTES];
            let mut left = total - header.len() as u64;
            while left > 0 {
                let take = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
                from.write_all(&zeros[..take]).expect("written");
                left -= take as u64;
            }
        });
        let mut buffer = vec![0; CHUNK_BYTES];
        let (mut seen, mut looks) = (0, 0_u32);
        while seen < total {
            let take = usize::try_from(total - seen).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let read = to.read(&mut buffer[..take]).expect("it arrives");
            assert!(read > 0, "the stream ended after {seen} of {total} bytes");
            let known = header.get(usize::try_from(seen).unwrap_or(usize::MAX)..);
            if let Some(known) = known.filter(|known| !known.is_empty()) {
                let both = known.len().min(read);
                assert_eq!(buffer[..both], known[..both], "the frame's head arrives unchanged");
            }
            seen += read as u64;
            looks += 1;
            if looks.is_multiple_of(64) {
                peak = peak.max(proxy.resident_bytes());
            }
        }
    });
    peak.max(proxy.resident_bytes())
}

/// Waits until the proxy has counted `count` opaque sessions for `reason`.
///
/// # Panics
/// If it doesn't.
pub fn await_opaque(proxy: &Proxy, reason: &str, count: f64) {
    let label = format!("reason=\"{reason}\"");
    let counted = || proxy.metrics().matching("pgsonde_opaque_sessions_total", &[&label]);
    eventually(&format!("{count} opaque for {reason}"), LIMIT, || {
        (counted() == count).then_some(())
    });
}

/// Bytes without any sense, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = crate::random::Random::new(seed);
    (0..length).map(|_| random.byte()).collect()
}

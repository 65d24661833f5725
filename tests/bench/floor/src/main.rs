//! `floor LISTEN UPSTREAM`: a bare relay. One thread, one epoll, two sockets a session; bytes are copied and never
//! looked at, and a write is tried before it is waited for. An address is `host:port`, or the path of a Unix socket.
//!
//! Nothing that forwards between sockets without the kernel's help can cost much less, so the bench states what
//! every relay costs as a multiple of this one.

mod socket;

use mio::{Events, Interest, Poll, Registry, Token};
use slab::Slab;
use socket::{Listener, Socket};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;

/// Bytes that one read takes at most.
const BUFFER_BYTES: usize = 64 * 1_024;
const EVENTS_MAX: usize = 256;
const LISTENER: Token = Token(usize::MAX);

/// One socket of a session, and what is on its way into it.
struct Leg {
    socket: Socket,
    /// What could not be written yet; while it isn't empty nothing is read from the other leg.
    pending: Vec<u8>,
    /// The other leg has ended: so does this one, once `pending` is out.
    ending: bool,
}

/// A client and its server.
struct Session {
    legs: [Leg; 2],
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (Some(listen), Some(upstream)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: floor LISTEN UPSTREAM");
        std::process::exit(2);
    };
    let mut poll = Poll::new()?;
    let mut listener = Listener::bind(&listen)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut sessions = Slab::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        if let Err(error) = poll.poll(&mut events, None) {
            if error.kind() == ErrorKind::Interrupted {
                continue;
            }
            return Err(error);
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &upstream, &mut sessions, poll.registry())?;
                continue;
            }
            // Two tokens a session: the leg is the lowest bit.
            let (key, leg) = (event.token().0 / 2, event.token().0 % 2);
            if let Some(session) = sessions.get_mut(key)
                && !session.serve(leg, &mut buffer)
            {
                sessions.remove(key);
            }
        }
    }
}

fn accept(
    listener: &Listener,
    upstream: &str,
    sessions: &mut Slab<Session>,
    registry: &Registry,
) -> io::Result<()> {
    loop {
        let client = match listener.accept() {
            Ok(client) => client,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        };
        let Ok(server) = Socket::connect(upstream) else { continue };
        let leg = |socket| Leg { socket, pending: Vec::new(), ending: false };
        let entry = sessions.vacant_entry();
        let key = entry.key();
        let session = entry.insert(Session { legs: [leg(client), leg(server)] });
        for (at, leg) in session.legs.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut leg.socket, Token(key * 2 + at), both)?;
        }
    }
}

impl Session {
    /// Moves what there is, both ways; false when the session is over.
    fn serve(&mut self, leg: usize, buffer: &mut [u8]) -> bool {
        // The leg that woke us may have something to read, and room for what waits for it.
        self.copy(leg, buffer).and_then(|()| self.flush(leg, buffer)).is_ok()
            && !self.legs.iter().all(|leg| leg.ending && leg.pending.is_empty())
    }

    /// Out of this leg, into the other.
    fn copy(&mut self, from: usize, buffer: &mut [u8]) -> io::Result<()> {
        let [client, server] = &mut self.legs;
        let (source, sink) = if from == 0 { (client, server) } else { (server, client) };
        while sink.pending.is_empty() && !sink.ending {
            let count = match source.socket.read(buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            if count == 0 {
                sink.ending = true;
                return sink.socket.shutdown(Shutdown::Write);
            }
            sink.write(&buffer[..count])?;
            // Less than there was room for: the socket is empty, and its next byte will wake us.
            if count < buffer.len() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What waits for this leg goes out; then the other one may be read again.
    fn flush(&mut self, into: usize, buffer: &mut [u8]) -> io::Result<()> {
        if self.legs[into].pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.legs[into].pending);
        self.legs[into].write(&pending)?;
        self.copy(1 - into, buffer)
    }
}

impl Leg {
    /// Writes what the socket takes and keeps the rest.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.socket.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }
}

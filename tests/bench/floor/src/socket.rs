//! TCP and Unix sockets behind one face.

use mio::event::Source;
use mio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, Read, Write};
use std::net::Shutdown;

/// Where clients come in.
pub enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// One end of a connection.
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// The same call on whichever it is.
macro_rules! either {
    ($kind:ident, $it:expr, $inner:ident => $call:expr) => {
        match $it {
            $kind::Tcp($inner) => $call,
            $kind::Unix($inner) => $call,
        }
    };
}

fn is_path(address: &str) -> bool {
    address.starts_with('/')
}

fn parsed(address: &str) -> io::Result<std::net::SocketAddr> {
    address.parse().map_err(|_| io::Error::other(format!("`{address}` is no address and no path")))
}

impl Listener {
    /// Listens there.
    pub fn bind(address: &str) -> io::Result<Self> {
        if is_path(address) {
            return UnixListener::bind(address).map(Self::Unix);
        }
        TcpListener::bind(parsed(address)?).map(Self::Tcp)
    }

    /// The next client, if one waits.
    pub fn accept(&self) -> io::Result<Socket> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Self::Unix(listener) => Ok(Socket::Unix(listener.accept()?.0)),
        }
    }
}

impl Socket {
    /// A connection to the server; what is written before it stands waits.
    pub fn connect(address: &str) -> io::Result<Self> {
        if is_path(address) {
            return UnixStream::connect(address).map(Self::Unix);
        }
        let stream = TcpStream::connect(parsed(address)?)?;
        stream.set_nodelay(true)?;
        Ok(Self::Tcp(stream))
    }

    /// Ends one direction.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        either!(Self, self, socket => socket.shutdown(how))
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either!(Self, self, socket => socket.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        either!(Self, self, socket => socket.write(buffer))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

macro_rules! source {
    ($kind:ident) => {
        impl Source for $kind {
            fn register(&mut self, at: &Registry, token: Token, what: Interest) -> io::Result<()> {
                either!(Self, self, inner => inner.register(at, token, what))
            }

            fn reregister(&mut self, at: &Registry, token: Token, what: Interest) -> io::Result<()> {
                either!(Self, self, inner => inner.reregister(at, token, what))
            }

            fn deregister(&mut self, at: &Registry) -> io::Result<()> {
                either!(Self, self, inner => inner.deregister(at))
            }
        }
    };
}

source!(Listener);
source!(Socket);

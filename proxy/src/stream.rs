//! One connected socket of either leg: TCP, Unix, or TLS over TCP.
//!
//! An enum, so that the plain path stays free of dynamic dispatch; a TLS stream is boxed once per session. Bytes
//! that are read here are decrypted already, so time stamps are taken after decryption.

use crate::upstream::tune;
use pgsonde_analyzer::record::Tls;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;

/// A connected stream.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket; never encrypted.
    Unix(UnixStream),
    /// TLS over TCP, on either leg.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The peer's address without its port; `local` for a Unix socket.
    pub fn peer(&self) -> String {
        let tcp = match self {
            Self::Tcp(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
            Self::Unix(_) => return "local".to_owned(),
        };
        // A peer that has left already has no address any more.
        tcp.peer_addr()
            .map_or_else(|_| "unknown".to_owned(), |peer| peer.ip().to_canonical().to_string())
    }

    /// Whether it is encrypted.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The peer's own certificate (DER), where it is encrypted and the peer showed one.
    pub fn peer_leaf(&self) -> Option<&[u8]> {
        let Self::Tls(tls) = self else { return None };
        tls.get_ref().1.peer_certificates()?.first().map(AsRef::as_ref)
    }

    /// The version of TLS in words, `off` without.
    pub fn protection(&self) -> &'static str {
        tls_words(self.tls())
    }

    /// The version of TLS.
    pub fn tls(&self) -> Tls {
        use rustls::ProtocolVersion::TLSv1_2;
        let Self::Tls(tls) = self else { return Tls::Off };
        match tls.get_ref().1.protocol_version() {
            Some(TLSv1_2) => Tls::V1_2,
            _ => Tls::V1_3,
        }
    }
}

/// A version of TLS in words, `off` without.
pub(crate) fn tls_words(version: Tls) -> &'static str {
    match version {
        Tls::Off => "off",
        Tls::V1_2 => "TLSv1.2",
        Tls::V1_3 => "TLSv1.3",
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Self::Unix(unix) => Pin::new(unix).poll_read(cx, buf),
            Self::Tls(tls) => match Pin::new(tls).poll_read(cx, buf) {
                // An end without close_notify. Frames have lengths of their own, so nothing can be cut off unseen.
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Poll::Ready(Ok(()))
                }
                other => other,
            },
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Unix(unix) => Pin::new(unix).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(_) | Self::Unix(_) => Poll::Ready(Ok(())),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Unix(unix) => Pin::new(unix).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A client's socket on its way from the acceptor to a worker, bound to no runtime.
#[derive(Debug)]
pub enum Socket {
    /// TCP.
    Tcp(std::net::TcpStream),
    /// Unix.
    Unix(std::os::unix::net::UnixStream),
}

impl Socket {
    /// Takes it out of the acceptor's runtime.
    ///
    /// # Errors
    /// The runtime is going down.
    pub fn from_stream(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(tcp) => tcp.into_std().map(Self::Tcp),
            Stream::Unix(unix) => unix.into_std().map(Self::Unix),
            Stream::Tls(_) => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    /// Puts it into this thread's runtime.
    ///
    /// # Errors
    /// The socket refuses an option.
    pub fn into_stream(self, keepalive: Option<Duration>) -> io::Result<Stream> {
        match self {
            Self::Tcp(tcp) => {
                tcp.set_nonblocking(true)?;
                let tcp = TcpStream::from_std(tcp)?;
                tune(&tcp, keepalive)?;
                Ok(Stream::Tcp(tcp))
            }
            Self::Unix(unix) => {
                unix.set_nonblocking(true)?;
                UnixStream::from_std(unix).map(Stream::Unix)
            }
        }
    }
}

//! Bounds on the admin listener's connections, so that slow clients cannot pile up.
//!
//! At most [`CONNECTIONS_MAX`] are open; further ones wait unaccepted. A connection that has not sent a whole
//! request, or not taken any of its answer, within [`PATIENCE`] is closed: the clock starts when it opens and
//! again whenever bytes of an answer leave, never when bytes of a request arrive one by one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

/// Open connections.
const CONNECTIONS_MAX: usize = 64;
/// Longest wait for a request, and for the next part of an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listener with both bounds.
pub(super) struct Bounded {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Bounded {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self::with(listener, CONNECTIONS_MAX, PATIENCE)
    }

    fn with(listener: TcpListener, connections: usize, patience: Duration) -> Self {
        Self { listener, places: Arc::new(Semaphore::new(connections)), patience }
    }
}

impl axum::serve::Listener for Bounded {
    type Io = Impatient;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Impatient, SocketAddr) {
        let place = self.places.clone().acquire_owned().await.ok();
        let (stream, address) = axum::serve::Listener::accept(&mut self.listener).await;
        let (patience, end) = (self.patience, Box::pin(tokio::time::sleep(self.patience)));
        (Impatient { stream, patience, end, _place: place }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends when its client dawdles.
pub(super) struct Impatient {
    stream: TcpStream,
    patience: Duration,
    end: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Impatient {
    /// The stream's answer; while it has none, the clock's.
    fn or_end<T>(
        &mut self,
        context: &mut Context<'_>,
        answer: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if answer.is_ready() {
            return answer;
        }
        ready!(self.end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_elapsed() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let answer = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.or_end(context, answer)
    }
}

impl AsyncWrite for Impatient {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let answer = Pin::new(&mut self.stream).poll_write(context, data);
        if matches!(answer, Poll::Ready(Ok(_))) {
            let end = Instant::now() + self.patience;
            self.end.as_mut().reset(end);
        }
        self.or_end(context, answer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let answer = Pin::new(&mut self.stream).poll_flush(context);
        self.or_end(context, answer)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let answer = Pin::new(&mut self.stream).poll_shutdown(context);
        self.or_end(context, answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use axum::routing::get;
    use std::io::{Read as _, Write as _};

    fn start(connections: usize, patience_ms: u64) -> SocketAddr {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let listener = TcpListener::from_std(listener).unwrap();
                let bounded =
                    Bounded::with(listener, connections, Duration::from_millis(patience_ms));
                axum::serve(bounded, Router::new().route("/", get(|| async { "yes" }))).await
            })
        });
        address
    }

    fn open(address: SocketAddr) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    fn answer(stream: &mut std::net::TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_request_that_comes_drop_by_drop_is_cut_off() {
        let address = start(4, 300);
        let mut slow = open(address);
        let mut reader = slow.try_clone().unwrap();
        let begin = std::time::Instant::now();
        let closed = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = reader.read_to_end(&mut text);
        });
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n".iter().cycle() {
            if closed.is_finished() || slow.write_all(&[*byte]).is_err() {
                break;
            }
            assert!(begin.elapsed() < Duration::from_secs(15), "still open");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(begin.elapsed() >= Duration::from_millis(300));
    }

    #[test]
    fn a_full_house_lets_the_next_one_in_when_a_place_is_free() {
        let address = start(2, 60_000);
        let (first, _second) = (open(address), open(address));
        let mut third = open(address);
        third.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        third.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        assert!(third.read(&mut [0; 16]).is_err(), "no place yet");
        drop(first);
        third.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut text = String::new();
        third.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("yes"), "{text}");
    }

    #[test]
    fn idlers_make_way_by_themselves() {
        let address = start(1, 300);
        let _idle = open(address);
        assert!(answer(&mut open(address)).ends_with("yes"));
    }
}

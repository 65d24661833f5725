//! A live stream of lines: what one listener of the API gets.

use super::compose::Composer;
use super::hub::{Ear, News};
use crate::clock;
use axum::body::Bytes;
use futures_core::Stream;
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::Sleep;

/// A quiet stream says so as often; connections on which nothing happens are closed.
const HEARTBEAT: Duration = Duration::from_secs(3);
/// How often a stream says what it leaves out.
const GAP_PERIOD_US: u64 = 1_000_000;

/// Statements per second that a listener wants at most.
#[derive(Debug)]
pub(crate) struct Rate {
    per_s: f64,
    left: f64,
    at: Instant,
    skipped: u64,
    since_us: u64,
}

impl Rate {
    /// Reads `200/s` or `200`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = text.trim().strip_suffix("/s").unwrap_or(text).trim();
        let per_s = number.parse::<u32>().ok().filter(|per_s| *per_s > 0);
        let per_s =
            per_s.ok_or_else(|| format!("`{}` is no rate such as 200/s", text.escape_debug()))?;
        let per_s = f64::from(per_s);
        Ok(Self { per_s, left: per_s, at: Instant::now(), skipped: 0, since_us: 0 })
    }

    fn admits(&mut self, now: Instant, now_us: u64) -> bool {
        let gone = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.left = (self.left + gone * self.per_s).min(self.per_s);
        if self.left >= 1.0 {
            self.left -= 1.0;
            return true;
        }
        if self.skipped == 0 {
            self.since_us = now_us;
        }
        self.skipped += 1;
        false
    }

    /// What was left out, once a second.
    fn gap(&mut self, now_us: u64) -> Option<([u64; 2], u64)> {
        let due = self.skipped > 0 && now_us.saturating_sub(self.since_us) >= GAP_PERIOD_US;
        due.then(|| ([self.since_us, now_us], std::mem::take(&mut self.skipped)))
    }
}

/// Lines as they happen.
pub(crate) struct EventStream {
    ear: Ear<mpsc::Receiver<News>>,
    composer: Composer,
    rate: Option<Rate>,
    heartbeat: Pin<Box<Sleep>>,
    lines: Vec<u8>,
}

impl EventStream {
    pub(crate) fn new(
        ear: Ear<mpsc::Receiver<News>>,
        composer: Composer,
        rate: Option<Rate>,
    ) -> Self {
        let mut lines = Vec::new();
        composer.capture(clock::now_us(), None, &mut lines);
        Self { ear, composer, rate, heartbeat: Box::pin(tokio::time::sleep(HEARTBEAT)), lines }
    }

    fn take(&mut self, news: &News) {
        let now_us = clock::now_us();
        let (now, rate) = (Instant::now(), &mut self.rate);
        let admit = || rate.as_mut().is_none_or(|rate| rate.admits(now, now_us));
        self.composer.news(news, now_us, admit, &mut self.lines);
        let missed = self.ear.missed();
        if missed > 0 {
            self.composer.gap([now_us, now_us], missed, "queue_full", &mut self.lines);
        }
        if let Some((from_to_us, skipped)) = rate_gap(&mut self.rate, now_us) {
            self.composer.gap(from_to_us, skipped, "max_rate", &mut self.lines);
        }
    }

    fn lines(&mut self) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(Some(Ok(Bytes::from(std::mem::take(&mut self.lines)))))
    }
}

fn rate_gap(rate: &mut Option<Rate>, now_us: u64) -> Option<([u64; 2], u64)> {
    rate.as_mut().and_then(|rate| rate.gap(now_us))
}

impl Stream for EventStream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if !self.lines.is_empty() {
                return self.lines();
            }
            match self.ear.queue.poll_recv(context) {
                Poll::Ready(Some(news)) => self.take(&news),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => break,
            }
        }
        if self.heartbeat.as_mut().poll(context).is_ready() {
            let next = tokio::time::Instant::now() + HEARTBEAT;
            self.heartbeat.as_mut().reset(next);
            // Asked once more, so that the clock that was just set wakes us.
            let _pending = self.heartbeat.as_mut().poll(context);
            let this = &mut *self;
            this.composer.alive(clock::now_us(), &mut this.lines);
            return self.lines();
        }
        Poll::Pending
    }
}

/// Bytes of a file that are read at a time, and such pieces that wait.
const PIECE_BYTES: usize = 64 * 1024;
const PIECES_MAX: usize = 4;

/// A file in pieces, read by a thread of its own, since a disk may be slow.
pub(crate) struct FileStream(mpsc::Receiver<io::Result<Bytes>>);

impl FileStream {
    /// The first `bytes` of a file: it may grow meanwhile.
    pub(crate) fn open(path: &Path, bytes: u64) -> io::Result<Self> {
        let mut file = File::open(path)?.take(bytes);
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        std::thread::Builder::new().name("pgsonde-download".to_owned()).spawn(move || {
            loop {
                let mut piece = vec![0; PIECE_BYTES];
                let read = file.read(&mut piece).map(|count| {
                    piece.truncate(count);
                    Bytes::from(piece)
                });
                let over = read.as_ref().is_ok_and(Bytes::is_empty);
                let failed = read.is_err();
                if over || sender.blocking_send(read).is_err() || failed {
                    break;
                }
            }
        })?;
        Ok(Self(receiver))
    }
}

impl Stream for FileStream {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_read_and_kept() {
        for text in ["", "0", "-1", "many/s", "5/m"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        let mut rate = Rate::parse("2/s").unwrap();
        let start = rate.at;
        let at = |ms| start + Duration::from_millis(ms);
        let steps = [(0, true), (0, true), (0, false), (400, false), (600, true), (600, false)];
        for (ms, admits) in steps {
            assert_eq!(rate.admits(at(ms), ms * 1_000), admits, "{ms}");
        }
        assert_eq!(rate.gap(900_000), None);
        assert_eq!(rate.gap(1_000_000), Some(([0, 1_000_000], 3)));
        assert_eq!(rate.gap(3_000_000), None);
    }
}

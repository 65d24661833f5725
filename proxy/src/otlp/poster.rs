//! The thread that sends: one request after the other, again while the receiver is away.

use super::client::{Answer, Client};
use super::outbox::{Inbox, Request, Signal};
use crate::exports::{BackOff, Counts, Loss, sleep};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

/// Longest wait for a request where there is none.
const IDLE: Duration = Duration::from_secs(1);

/// What the thread owns.
pub(super) struct Poster {
    client: Client,
    inbox: Inbox,
    counts: Arc<Counts>,
    back_off: BackOff,
}

impl Poster {
    pub(super) fn new(client: Client, inbox: Inbox, counts: Arc<Counts>) -> Self {
        Self { client, inbox, counts, back_off: BackOff::default() }
    }

    /// Sends until the other end is gone, and then what is left, once.
    pub(super) fn run(mut self) {
        loop {
            let next = self.inbox.next(IDLE);
            self.send_sums();
            match next {
                Ok(Some(request)) => {
                    let sent = self.send(&request);
                    self.inbox.done(&request);
                    if !sent {
                        let rows = request.rows + self.inbox.left();
                        tracing::warn!(
                            rows,
                            "the receiver is away at the end; spans and logs are lost"
                        );
                        return;
                    }
                }
                Ok(None) | Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Sums that aren't taken are contained in the next ones.
    fn send_sums(&mut self) {
        if let Some(sums) = self.inbox.sums() {
            let answer = self.client.post(&sums);
            self.judge(&sums, answer);
        }
    }

    /// Until the receiver has it or refuses it; false if the process ends before.
    fn send(&mut self, request: &Request) -> bool {
        loop {
            let answer = self.client.post(request);
            let Some(wait) = self.judge(request, answer) else { return true };
            if self.counts.closing.load(Relaxed) {
                return false;
            }
            sleep(wait, &self.counts);
            self.send_sums();
        }
    }

    /// Counts; the wait before the next attempt if there is to be one.
    fn judge(&mut self, request: &Request, answer: Answer) -> Option<Duration> {
        match answer {
            Answer::Taken(rejected, why) => {
                self.back_off.reset();
                self.counts.rows.fetch_add(request.rows.saturating_sub(rejected), Relaxed);
                self.counts.bytes.fetch_add(request.body.len() as u64, Relaxed);
                if rejected == 0 {
                    self.counts.recover();
                } else {
                    self.refused(request, rejected, &why);
                }
                None
            }
            Answer::Again(after, why) => {
                self.counts.fail("cannot export by OTLP; trying again", &why);
                Some(after.unwrap_or_else(|| self.back_off.wait()))
            }
            Answer::Never(why) => {
                self.back_off.reset();
                self.refused(request, request.rows, &why);
                None
            }
        }
    }

    /// Points that were refused are in the next sums again: only spans and logs are lost by it.
    fn refused(&self, request: &Request, rows: u64, why: &str) {
        self.counts.fail("the receiver refuses what is exported by OTLP", why);
        if request.signal != Signal::Metrics {
            self.counts.lose(rows, Loss::Refused);
        }
    }
}

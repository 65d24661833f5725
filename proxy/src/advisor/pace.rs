//! How fast a live database may be asked.

use super::live::AdvisorState;
use super::side::SideError;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// EXPLAINs per second.
const RATE_PER_S: f64 = 2.0;
/// EXPLAINs that may come at once after a pause.
const BURST: f64 = 20.0;
/// Share of the time that may go into them.
const TIME_SHARE: f64 = 0.01;
/// EXPLAINs of one run.
const EXPLAINS_MAX: usize = 600;
/// How often a pause looks whether all is over.
const STEP: Duration = Duration::from_millis(100);

/// A token bucket: a token is one EXPLAIN, or as much time as one may take.
pub(super) struct Pace {
    tokens: f64,
    at: Instant,
    left: usize,
    state: Arc<AdvisorState>,
}

impl Pace {
    pub(super) fn new(state: Arc<AdvisorState>) -> Self {
        Self { tokens: BURST, at: Instant::now(), left: EXPLAINS_MAX, state }
    }

    /// A new run begins.
    pub(super) fn begin(&mut self) {
        self.left = EXPLAINS_MAX;
    }

    /// Waits until the next EXPLAIN may go.
    pub(super) fn wait(&mut self) -> Result<(), SideError> {
        if self.left == 0 {
            self.state.skip("budget");
            return Err(SideError::Lost("the EXPLAINs of this run are used up".to_owned()));
        }
        loop {
            if self.state.is_stopped() {
                return Err(SideError::Lost("the advisor is being stopped".to_owned()));
            }
            self.tokens = (self.tokens + self.at.elapsed().as_secs_f64() * RATE_PER_S).min(BURST);
            self.at = Instant::now();
            if self.tokens >= 1.0 {
                self.left -= 1;
                return Ok(());
            }
            std::thread::sleep(STEP);
        }
    }

    /// What it cost, and how it ended.
    pub(super) fn note(&mut self, took: Duration, error: Option<&SideError>) {
        self.tokens -= (took.as_secs_f64() / TIME_SHARE * RATE_PER_S).max(1.0);
        let outcome = match error {
            None => "ok",
            Some(SideError::Server { code, .. }) if code == "57014" || code == "55P03" => "timeout",
            Some(SideError::Server { code, .. }) if code == "42501" => "refused",
            Some(_) => "error",
        };
        self.state.explained(outcome);
    }
}

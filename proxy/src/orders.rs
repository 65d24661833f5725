//! What an operator asks of the running process over the admin listener, and how the main thread hears of it.

use crate::advisor::live::PlanRequest;
use crate::export::Mode;
use crate::problem::Problem;
use pgsonde_analyzer::digest::query_ids::QueryId;
use pgsonde_analyzer::finding::{IndexVerdict, MuteRule, MuteTarget};
use pgsonde_analyzer::limits::Limits;
use pgsonde_analyzer::merge::Sketched;
use tokio::sync::{mpsc, oneshot};

/// Orders that wait for the main thread.
const ORDERS_MAX: usize = 16;

/// One order.
#[derive(Debug)]
pub enum Order {
    /// Read the configuration again.
    Reload,
    /// Let sessions end, and end with them.
    Drain,
    /// Inspect this much.
    Mode(Mode),
    /// Log what this filter lets through.
    LogFilter(String),
    /// Silence a finding.
    Mute(MuteRule),
    /// Take that back.
    Unmute(MuteTarget),
    /// Say everything that is known, with the distributions behind it.
    Sketch(oneshot::Sender<Box<Sketched>>),
    /// Ask the server for the plan of a statement.
    Plan(PlanRequest),
}

/// An order and the place for its answer.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub order: Order,
    /// Where the answer goes; nobody may be waiting any more.
    pub answer: oneshot::Sender<Result<(), Problem>>,
}

/// The admin listener's end of the line.
#[derive(Clone, Debug)]
pub struct Orders(mpsc::Sender<Request>);

impl Orders {
    /// A line, and its other end.
    pub fn line() -> (Self, mpsc::Receiver<Request>) {
        let (sender, receiver) = mpsc::channel(ORDERS_MAX);
        (Self(sender), receiver)
    }

    /// Gives an order and waits until it was carried out.
    ///
    /// # Errors
    /// PGS0705: it can't be carried out now.
    pub async fn give(&self, order: Order) -> Result<(), Problem> {
        let (answer, answered) = oneshot::channel();
        let busy = || Problem::new(705, "the proxy takes no orders now").help("it may be ending");
        self.0.try_send(Request { order, answer }).map_err(|_| busy())?;
        answered.await.map_err(|_| busy())?
    }
}

/// What the main thread asks of the analyzer; carried out before the next snapshot.
#[derive(Debug)]
pub enum AnalyzerOrder {
    /// Go on under these limits.
    Limits(Box<Limits>),
    /// Leave texts and findings aside, or take them up again.
    CountersOnly(bool),
    /// What the index advisor says, in place of all that it said before.
    Advice(Vec<IndexVerdict>),
    /// What the server calls the digests, in place of all that it said before.
    QueryIds(Vec<QueryId>),
    /// Silence; false where there is no room for one more rule.
    Mute(MuteRule, oneshot::Sender<bool>),
    /// Take it back; false where there was none.
    Unmute(MuteTarget, oneshot::Sender<bool>),
    /// Say everything that is known, with the distributions behind it.
    Sketch(oneshot::Sender<Box<Sketched>>),
}

//! Seeded streams: whole sessions of a shop with a simulated clock, as record batches straight into the analyzer.
//!
//! Requests arrive at a pool of shared connections, each runs a script of statements, and the batches of several
//! workers arrive as late and as mixed as real ones. A *dirty* handler looks rows up one by one; its clean twin
//! uses the very same texts in a healthy way. Each planted loop is noted with parent, column, child and n.

pub mod chance;
mod handlers;
mod scores;
mod script;
mod shop;
mod stream;

pub use scores::{Observed, Scores};
pub use stream::{Load, Outcome};

/// What binds the statements of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// BEGIN and COMMIT around each request.
    Transactions,
    /// A trace id in a comment of each statement, autocommit.
    Traces,
    /// Nothing.
    Autocommit,
}

/// How values travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// As parameters of the extended protocol.
    Binds,
    /// As literals in the text.
    Literals,
}

/// One stream.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Equal seeds give equal streams.
    pub seed: u64,
    /// What binds a request.
    pub mode: Mode,
    /// How values travel.
    pub protocol: Protocol,
    /// Connections of the pool.
    pub connections: usize,
    /// Statements after which it ends.
    pub statements: u64,
    /// Mean time between two requests, in microseconds.
    pub arrival_us: u64,
    /// Mean time between two requests with planted loops, in microseconds; `None`: all requests are clean.
    pub dirty_us: Option<u64>,
    /// Loops that fan out over several connections.
    pub fan_out: bool,
}

impl Config {
    /// A clean stream of that many statements over 24 connections, one request in 3 ms.
    pub fn clean(seed: u64, mode: Mode, statements: u64) -> Self {
        Self {
            seed,
            mode,
            protocol: Protocol::Binds,
            connections: 24,
            statements,
            arrival_us: 3_000,
            dirty_us: None,
            fan_out: false,
        }
    }

    /// The same with a planted loop about every 200 ms.
    pub fn dirty(seed: u64, mode: Mode, statements: u64) -> Self {
        Self { dirty_us: Some(200_000), ..Self::clean(seed, mode, statements) }
    }
}

/// One planted loop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Truth {
    /// Text of the parent, as findings show it.
    pub parent: String,
    /// Position of its column.
    pub field: u16,
    /// Text of the child.
    pub child: String,
    /// Executions.
    pub n: u64,
}

//! ClickHouse: the lines of events into its tables, and a report of the whole fleet out of them.
//!
//! * `sink` makes batches behind a bounded queue; `spool` keeps them on disk; `poster` sends them, at least once and
//!   counted once.
//! * `tables` says what the store looks like; `client` speaks HTTP; `report` reads the fleet back.

mod client;
mod counts;
mod poster;
mod report;
mod sink;
mod spool;
mod tables;

pub use client::Place;
pub(crate) use client::{Client, Refusal};
pub use counts::Exports;
pub(crate) use report::{Range, read};
pub(crate) use tables::{Dialect, statements};

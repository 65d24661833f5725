//! ClickHouse: the lines of events into its tables, and a report of the whole fleet out of them.
//!
//! * `sink` makes batches behind a bounded queue; `spool` keeps them on disk; `poster` sends them, at least once and
//!   counted once.
//! * `tables` says what the store looks like; `client` speaks HTTP; `report` reads the fleet back.

mod client;
mod poster;
mod report;
mod sink;
mod spool;
mod tables;

pub use client::Place;
pub(crate) use client::{Client, Refusal};
pub(crate) use report::read;
pub(crate) use tables::{Dialect, PRESENT, missing, statements, views};

use crate::capture::Events;
use crate::config::ClickHouseSettings;
use crate::exports::{Counts, Loss, Running};
use crate::problem::Problem;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// How rows can get lost.
const LOSSES: &[Loss] = &[Loss::QueueFull, Loss::SpoolFull, Loss::SpoolFailed, Loss::Refused];

/// Starts the export.
///
/// # Errors
/// PGS0113: the spool can't be written to, or belongs to another process.
pub(crate) fn start(settings: &ClickHouseSettings, events: &Events) -> Result<Running, Problem> {
    let counts = Arc::new(Counts::of("clickhouse", LOSSES));
    let spool = Arc::new(spool::Spool::open(&settings.spool, settings.spool_bytes_max, &counts)?);
    let client = Client::new(Place::clone(&settings.place), settings.password.clone());
    let (sealed, arrivals) = channel();
    let identity = events.identity();
    let sink = sink::Sink::new(settings, identity, Arc::clone(&spool), sealed, Arc::clone(&counts));
    let poster = poster::Poster::new(client, spool, arrivals, Arc::clone(&counts));
    let (_, ear) = events.hub.listen_on_thread();
    Running::start(
        counts,
        vec![
            ("pgsonde-export", Box::new(move || sink.run(&ear))),
            ("pgsonde-post", Box::new(move || poster.run())),
        ],
    )
}

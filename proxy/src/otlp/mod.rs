//! OpenTelemetry over HTTP: histograms, spans of sampled and of slow units of work, findings as logs.
//!
//! * `units` decides which statements become spans; `convert` spells them after the conventions for databases.
//! * `sink` is the thread that listens; `outbox` is the bounded queue behind it; `poster` sends.
//! * Histograms are sums since the start, read from snapshots: an export that fails loses nothing, and what is lost of
//!   spans and logs is counted.

mod client;
mod convert;
mod outbox;
mod poster;
mod sink;
mod units;

use crate::capture::Events;
use crate::config::{Endpoint, OtlpSettings};
use crate::exports::{Counts, Loss, Running};
use crate::problem::Problem;
use std::sync::Arc;

/// Starts the export.
///
/// # Errors
/// PGS0113: no thread can be started.
pub(crate) fn start(
    settings: &OtlpSettings,
    upstream: &[Endpoint],
    events: &Events,
) -> Result<Running, Problem> {
    let losses = &[Loss::QueueFull, Loss::UnitsFull, Loss::Refused];
    let counts = Arc::new(Counts::of("otlp", losses));
    let (outbox, inbox) = outbox::line(&counts);
    let source = convert::Source::new(events.identity(), upstream);
    let sink = sink::Sink::new(settings, source, outbox, Arc::clone(&counts));
    let client = client::Client::new(settings);
    let poster = poster::Poster::new(client, inbox, Arc::clone(&counts));
    let (_, ear) = events.hub.listen_on_thread();
    Running::start(
        counts,
        vec![
            ("pgsonde-otlp", Box::new(move || sink.run(&ear))),
            ("pgsonde-otlp-post", Box::new(move || poster.run())),
        ],
    )
}

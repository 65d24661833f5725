//! Renderings: metrics, HTTP API, page and terminal report, all of one snapshot and one set of counters.
//!
//! Serialised shapes live only in `shapes`, so that changing the JSON cannot change the analysis; the
//! `prometheus` crate is known only to `metrics`.

pub mod admin;
pub(crate) mod advice;
mod api;
mod bounded;
mod catalogue;
pub(crate) mod clock;
mod metrics;
mod page;
pub mod report;
mod report_text;
pub(crate) mod shapes;
mod sqlstate;
mod status;
mod sticky;
mod text;
mod words;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
pub(crate) use shapes::kind_words;

pub use status::{
    Build, CaptureCounts, ClientConnections, ConnectionResults, ConnectionSetup, EventDrops,
    Lifecycle, Mode, OVERHEAD_BUCKETS_NS, OpaqueReasons, Overhead, ProxyCounters, ProxyStatus,
    SETUP_BUCKETS_US, SnapshotSource, UpstreamState,
};

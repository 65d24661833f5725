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
pub(crate) mod formats;
pub mod metrics;
mod openapi;
mod page;
pub mod report;
mod report_text;
mod series;
pub(crate) mod shapes;
pub(crate) mod source;
mod sqlstate;
mod status;
mod sticky;
pub(crate) mod text;
pub(crate) mod web;
mod what_if;
pub(crate) mod words;

#[cfg(test)]
pub(crate) mod fixture;

#[cfg(feature = "otlp")]
pub(crate) use api::{digest_text, finding_text};
pub(crate) use clock::TimeRange;
pub(crate) use clock::rfc3339_unix;
pub(crate) use series::series_bound;
#[cfg(test)]
pub(crate) use shapes::kind_words;

pub use formats::Format;
pub use status::{
    AdvisorDatabase, AdvisorProblem, AdvisorStatus, Build, CaptureCounts, ClientConnections,
    ConnectionResults, ConnectionSetup, EventDrops, ExporterCounts, Lifecycle, Mode,
    OVERHEAD_BUCKETS_NS, OpaqueReasons, Overhead, ProxyCounters, ProxyStatus, SETUP_BUCKETS_US,
    SnapshotSource, UpstreamState,
};

/// The report of one moment of a proxy.
pub(crate) fn report_of(
    snapshot: &pgsonde_analyzer::snapshot::Snapshot,
    proxy: &ProxyCounters,
    started: std::time::SystemTime,
    top: usize,
) -> shapes::Report {
    let clock = clock::Clock::new(started);
    shapes::Report::of(&api::View { snapshot, proxy, clock }, top)
}

/// The mode of that name.
pub(crate) fn mode_named(name: &str) -> Option<Mode> {
    Mode::ALL.into_iter().find(|mode| mode.name() == name)
}

/// A hand-made report for the tests of what reads one.
#[cfg(test)]
pub(crate) mod testing {
    use super::api::View;
    use super::fixture;
    use super::shapes::Report;

    pub(crate) fn report() -> Report {
        let (snapshot, proxy) = (fixture::snapshot(), fixture::counters());
        Report::of(&View { snapshot: &snapshot, proxy: &proxy, clock: fixture::clock() }, 200)
    }
}

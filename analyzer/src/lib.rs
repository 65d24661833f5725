//! Statement records in; digests, latency, findings and an immutable snapshot out.
//!
//! Pure: no sockets, no clock, no randomness. Time is an argument, so the same input always gives the same
//! output. Bad input is data: nothing in here returns an error.

pub mod as_sent;
pub mod digest;
pub mod events;
pub mod facts;
pub mod finding;
pub mod known;
pub mod limits;
pub mod merge;
pub mod record;
pub mod snapshot;
pub mod text;
pub mod value;

mod analyzer;
mod count;
mod disguise;
mod findings;
mod flow;
mod history;
mod labels;
mod latency;
mod marks;
mod names;
mod presence;
mod reorder;
mod seen;
mod sessions;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod units;

pub use analyzer::Analyzer;
pub use disguise::Redaction;
pub use labels::service_of;
pub use latency::{DurationSketch, Sketch};

/// Ordinal of a generation of texts. A sender that learns of a new one sends its texts again
/// ([`Analyzer::text_epoch`]).
pub type TextEpoch = u32;

/// A map whose hashing is fixed: the same input gives the same table on every run.
pub(crate) type Map<K, V> = hashbrown::HashMap<K, V, foldhash::fast::FixedState>;

//! Who sent it: databases, services and routes as bounded label sets, and the sums kept per set.
//!
//! Labels are admitted first come. What comes after the ceiling is summed under `other`, so sums never fall.

mod tables;
mod text;

pub(crate) use tables::{Labels, StatementSums};
pub(crate) use text::label;
pub use text::service_of;

/// Index of a database; 0 is `other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct DatabaseId(pub(crate) u16);

/// Index of a service; 0 is `other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ServiceId(pub(crate) u16);

/// The label of what a ceiling left out.
pub(crate) const OTHER: &str = "other";
/// The route label of statements without a tag.
pub(crate) const NO_ROUTE: &str = "none";

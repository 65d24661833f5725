//! What the proxy itself takes: its process, and setting up connections.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One stage of setting up connections.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct SetupInfo {
    /// `tcp`, `tls` or `auth`.
    pub(crate) stage: String,
    pub(crate) connections: u64,
    pub(crate) mean_ms: f64,
    /// Upper bound of the histogram bucket in which it lies; null above the last one.
    pub(crate) p95_ms: Option<f64>,
}

/// Processor time and memory of the proxy's process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub(crate) struct OwnUseInfo {
    /// Since start.
    pub(crate) cpu_s: f64,
    pub(crate) resident_bytes: u64,
}

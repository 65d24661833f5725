//! Statement records in; digests, latency, findings and an immutable snapshot out.

pub mod digest;
pub mod facts;
pub mod finding;
pub mod limits;
pub mod record;
pub mod snapshot;
pub mod text;
pub mod value;

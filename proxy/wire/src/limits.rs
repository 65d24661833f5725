//! Every bound of this crate, with unit and reason.

/// Largest start-up packet, in bytes; the server closes above it as well.
pub const STARTUP_PACKET_BYTES_MAX: usize = 10_000;

/// Smallest and largest CancelRequest, in bytes: header, pid and a key of 1 to 256 bytes (protocol 3.2).
pub const CANCEL_PACKET_BYTES: std::ops::RangeInclusive<usize> = 13..=268;

/// Longest list of SASL mechanisms that is held whole to be edited, in bytes of its frame.
pub const SASL_LIST_BYTES_MAX: usize = 2_000;

/// Outstanding requests per session; above it the session turns opaque (`memory`).
pub const REPLY_QUEUE_ENTRIES_MAX: usize = 65_536;

/// Room for outstanding requests that a session keeps while none is outstanding, in entries.
pub const REPLY_QUEUE_ENTRIES_IDLE_MAX: usize = 1_024;

/// Prepared-statement names per session; more are counted as `untracked`.
pub const STATEMENT_NAMES_MAX: usize = 10_000;

/// Portal names per session; more are counted as `untracked`.
pub const PORTAL_NAMES_MAX: usize = 1_000;

/// Suspended portals per session; more are counted at once instead of at their end.
pub const SUSPENDED_PORTALS_MAX: usize = 64;

/// Bytes of a statement or portal name that the server compares (NAMEDATALEN - 1).
pub const NAME_BYTES_MAX: usize = 63;

/// Bytes kept of a completion tag.
pub const TAG_BYTES_MAX: usize = 64;

/// Bytes kept of a statement text, unless configured otherwise (`profile.max_statement_text`).
pub const STATEMENT_TEXT_BYTES_MAX: usize = 64 * 1024;

/// Bytes kept of a Bind: what lies beyond is not hashed.
pub const BIND_BYTES_MAX: usize = 64 * 1024;

/// Bytes kept of a RowDescription or ParameterDescription (1,664 columns with long labels fit).
pub const DESCRIPTION_BYTES_MAX: usize = 256 * 1024;

/// Bytes kept of one DataRow: what lies beyond is not hashed.
pub const DATA_ROW_BYTES_MAX: usize = 16 * 1024;

/// Bytes kept of an ErrorResponse; its SQLSTATE stands in the first few.
pub const ERROR_BYTES_MAX: usize = 4 * 1024;

/// Bytes kept of a ParameterStatus.
pub const PARAMETER_STATUS_BYTES_MAX: usize = 1_024;

/// A reply released later than this after its Execute is timed as an upper bound, in microseconds.
pub const LATE_RELEASE_US: u64 = 100;

/// A frame collector that grew above this is given back when its frame is done, in bytes.
pub const KEPT_BYTES_IDLE_MAX: usize = 4 * 1024;

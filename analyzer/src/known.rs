//! A text whose reading is known already: how records of a capture get their meaning back.

use crate::record::TextKey;
use crate::snapshot::Operation;
use crate::text::Class;
use std::sync::Arc;

/// What a text meant when it was read. Nothing in here is read again, so that the digest stays what it was.
#[derive(Clone, Debug, Default)]
pub struct KnownText {
    /// What records refer to it by; only the sender has to tell its keys apart.
    pub key: TextKey,
    /// Identity of the statement.
    pub digest: u64,
    /// How it is treated.
    pub class: Class,
    /// What it does.
    pub operation: Operation,
    /// Redacted text.
    pub query_text: Arc<str>,
    /// Whether that was cut.
    pub cut: bool,
    /// Whether the parser grouped it.
    pub parsed: bool,
    /// "SELECT orders customers".
    pub summary: Arc<str>,
    /// Tables that it names.
    pub tables: Vec<Arc<str>>,
    /// Whether the text held literals.
    pub literals: bool,
    /// Route tag.
    pub route: Option<Arc<str>>,
    /// Service tag.
    pub service: Option<Arc<str>>,
    /// Hash of the trace id of its tag.
    pub trace: Option<u64>,
    /// Whether the statement sets or resets the mark of its session.
    pub changes_mark: bool,
    /// Mark that it ran under.
    pub mark: Option<Arc<str>>,
}

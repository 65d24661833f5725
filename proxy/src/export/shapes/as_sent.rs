//! What only events hold, and only where the operator asked for it (`profile.redact = "off"`).

use pgsonde_analyzer::Redaction;
use pgsonde_analyzer::events::StatementEvent;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// An execution as it was sent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AsSentFields<'a> {
    /// The whole text, also of several statements, at most 8 KiB.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) query_raw: Option<Cow<'a, str>>,
    /// Parameters, at most 1 KiB each; null for NULL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) params: Vec<Option<String>>,
    /// What the server said of its error.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub(crate) err_message: Option<Cow<'a, str>>,
}

impl<'a> AsSentFields<'a> {
    /// What is told of an execution at this level.
    pub(crate) fn told(redaction: Redaction, event: &'a StatementEvent) -> Self {
        let Some(sent) = event.as_sent.as_deref().filter(|_| redaction == Redaction::Off) else {
            return Self::default();
        };
        Self {
            query_raw: sent.query.as_deref().map(Cow::Borrowed),
            params: sent.params.clone(),
            err_message: sent.error.as_deref().map(Cow::Borrowed),
        }
    }
}

//! One statement text, understood by our own lexer: shape, redacted text, slots, literals, tags, parts.

use crate::record::BindCell;
use crate::snapshot::Operation;
use std::sync::Arc;

/// First slot of a literal. Parameters `$1 … $32767` are slots 1 … 32767; the k-th literal (from 0, counted
/// after lists are collapsed) is slot `LITERAL_SLOT_FIRST + k`, and stands as `$<slot>` in the text for the parser.
pub const LITERAL_SLOT_FIRST: u16 = 32_768;

/// What one raw text says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextInfo {
    /// Its statements; empty ones are left out. One for almost all texts.
    pub parts: Vec<Part>,
    /// Tags of its SQL comments.
    pub tags: Tags,
}

/// One statement of a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Hash of the literal-free, comment-free token stream with names that change masked; seedless, stable.
    pub shape: u64,
    /// Literals as `?`, comments out, lists collapsed to `(…)`, white space normalised; for display.
    pub redacted: String,
    /// The same statement with each literal as `$<slot>`: input of the grammar.
    pub parser_text: String,
    /// Literals with a canonical value, salted hashes, by slot; an IN list's elements share a slot.
    pub literals: Vec<BindCell>,
    /// Class after the first words (control and catalogue statements are never parent or child).
    pub class: Class,
    /// Operation after the first words.
    pub operation: Operation,
    /// False when the lexer met an unterminated quote or comment: the redacted text is then empty.
    pub readable: bool,
}

/// Classes of statements (findings, section 2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Transaction control, SET, SHOW, pings, resets.
    Control,
    /// Any relation of pg_catalog or information_schema.
    Catalogue,
    /// SELECT, WITH without writes, VALUES, FETCH.
    Read,
    /// INSERT, UPDATE, DELETE, MERGE, also inside WITH.
    Write,
    /// DDL, COPY, CALL, LOCK, unknown.
    #[default]
    Other,
}

/// SQL-comment tags that are kept (sqlcommenter: `key='url-encoded value'`; also `key:value` of marginalia).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// `route`, else `controller#action`, else `job`.
    pub route: Option<Arc<str>>,
    /// `application`, `service.name` or `dddbs`.
    pub service: Option<Arc<str>>,
    /// 64-bit hash of the trace id of `traceparent`; never 0.
    pub trace: Option<u64>,
    /// `framework` or `db_driver`, lower case.
    pub framework: Option<Arc<str>>,
    /// `mark`.
    pub mark: Option<Arc<str>>,
}

//! One statement text, understood by our own lexer: shape, redacted text, slots, literals, tags, parts.

mod class;
mod columns;
mod hash;
mod lex;
mod list;
mod literal;
mod mark;
mod mask;
mod output;
#[cfg(test)]
mod random_tests;
mod render;
mod tags;
#[cfg(test)]
mod tests;

pub use hash::{SHAPE_VERSION, StableHash};
pub use mark::{MARK_BYTES_MAX, MarkChange};
pub use tags::TagKeys;

use crate::record::BindCell;
use crate::snapshot::Operation;
use crate::value::Salt;
use lex::{Token, Tokens, word};
use render::Depth;
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
    /// Identity of the shape with the slots of its constants: `a = $1` and `a = 7` share a shape, but not their slots.
    /// Means nothing outside the process.
    pub arrangement: u64,
    /// Literals as `?`, comments out, lists collapsed to `(…)`, white space normalised; for display.
    pub redacted: String,
    /// The same statement with each literal as `$<slot>`: input of the grammar.
    pub parser_text: String,
    /// Literals with a canonical value, salted hashes, by slot; an IN list's elements share a slot.
    pub literals: Vec<BindCell>,
    /// Parameters that count under another slot: those of an IN list or a row list after the first.
    pub shared_slots: Vec<SharedSlot>,
    /// Class after the first words (control and catalogue statements are never parent or child).
    pub class: Class,
    /// Operation after the first words.
    pub operation: Operation,
    /// False when the lexer met an unterminated quote or comment: the redacted text is then empty.
    pub readable: bool,
    /// Elements of its longest list (`IN (…)`, `ARRAY[…]`); 0 without one.
    pub list_elements: u32,
    /// Identity of the statement without white space and comments; means nothing outside the process.
    pub code: u64,
    /// What it does to the mark of its session.
    pub mark: Option<MarkChange>,
}

/// Parameters `first..=last` count under `slot`: `IN ($2, $3, $4)` is one list, slot 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SharedSlot {
    /// First parameter number of the range.
    pub first: u16,
    /// Last parameter number of the range.
    pub last: u16,
    /// The slot that stands for them.
    pub slot: u16,
}

impl Part {
    /// The slot under which a parameter counts: its own, or that of the list it is in.
    pub fn slot_of(&self, parameter: u16) -> u16 {
        let shared = self.shared_slots.iter().find(|s| (s.first..=s.last).contains(&parameter));
        shared.map_or(parameter, |shared| shared.slot)
    }
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

impl Class {
    /// Every class.
    pub const ALL: [Self; 5] =
        [Self::Control, Self::Catalogue, Self::Read, Self::Write, Self::Other];

    /// The name in captures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Catalogue => "catalogue",
            Self::Read => "read",
            Self::Write => "write",
            Self::Other => "other",
        }
    }

    /// The class of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

/// The place in a trace that a `traceparent` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Never 0.
    pub trace_id: u128,
    /// The application's span; 0 where the header doesn't name one.
    pub span_id: u64,
    /// Whether the application records the trace.
    pub sampled: bool,
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
    /// What `traceparent` names.
    pub context: Option<TraceContext>,
    /// `file` with `line`, or `line` of marginalia: where in the application the text was made.
    pub code: Option<Arc<str>>,
    /// `framework` or `db_driver`, lower case.
    pub framework: Option<Arc<str>>,
    /// `mark`.
    pub mark: Option<Arc<str>>,
    /// What was asked for besides these (`profile.tags`), as it came.
    pub others: Vec<(Arc<str>, Arc<str>)>,
    /// The first keys, known or not, each with a hash of its value: which of them changes.
    pub keys: Vec<(Arc<str>, u64)>,
}

/// Reads a whole text: its statements and its tags. Anything is accepted; what can't be lexed gives one
/// part that isn't readable.
///
/// A text of nothing but comments and semicolons has no parts: it is the empty query, class control.
pub fn read(raw: &[u8], salt: &Salt) -> TextInfo {
    read_to(raw, salt, &TagKeys::default(), &|_| true)
}

/// As [`read`], or as [`read_cut`] where `is_cut`, with these tags. Both texts of a part are made only where they are
/// wanted for its arrangement: that takes as long as all the rest.
pub fn read_tagged(
    raw: &[u8],
    salt: &Salt,
    kept: &TagKeys,
    is_cut: bool,
    wants_texts: &dyn Fn(u64) -> bool,
) -> TextInfo {
    let read = if is_cut { cut_to } else { read_to };
    read(raw, salt, kept, wants_texts)
}

/// As [`read`], but leaves both texts of each part empty.
pub fn read_shape(raw: &[u8], salt: &Salt) -> TextInfo {
    read_to(raw, salt, &TagKeys::default(), &|_| false)
}

fn read_to(raw: &[u8], salt: &Salt, kept: &TagKeys, wants_texts: &dyn Fn(u64) -> bool) -> TextInfo {
    let found = lex::tokens(raw);
    if found.closed {
        return TextInfo {
            parts: parts(raw, &found.tokens, salt, wants_texts),
            tags: tags::of(raw, &found, kept),
        };
    }
    TextInfo { parts: vec![render::unreadable(raw, &found.tokens, salt)], tags: Tags::default() }
}

/// Reads the beginning of a text that was cut: its last token is left out, as it may be incomplete.
pub fn read_cut(raw: &[u8], salt: &Salt) -> TextInfo {
    cut_to(raw, salt, &TagKeys::default(), &|_| true)
}

fn cut_to(raw: &[u8], salt: &Salt, kept: &TagKeys, wants_texts: &dyn Fn(u64) -> bool) -> TextInfo {
    let mut found: Tokens = lex::tokens(raw);
    if found.closed && found.tokens.last().is_some_and(|last| last.end as usize == raw.len()) {
        found.tokens.pop();
    }
    let tags = tags::of(raw, &found, kept);
    TextInfo { parts: parts(raw, &found.tokens, salt, wants_texts), tags }
}

/// The longest beginning of a text that has at most `bytes_max` bytes and ends between characters.
pub fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// Splits at semicolons, but not within parentheses (CREATE RULE) or a BEGIN ATOMIC body.
fn parts(
    raw: &[u8],
    tokens: &[Token],
    salt: &Salt,
    wants_texts: &dyn Fn(u64) -> bool,
) -> Vec<Part> {
    let mut parts = Vec::with_capacity(1);
    let mut rest = tokens;
    while !rest.is_empty() {
        let end = statement_end(rest);
        let (statement, after) = rest.split_at(end);
        if !statement.is_empty() {
            let mut part = render::part(raw, statement, salt, Depth::Shape);
            if wants_texts(part.arrangement) {
                part = render::part(raw, statement, salt, Depth::Texts);
            }
            part.mark = mark::change_of(raw, statement);
            parts.push(part);
        }
        rest = after.get(1..).unwrap_or(&[]);
    }
    parts
}

fn statement_end(tokens: &[Token]) -> usize {
    let mut parentheses = 0usize;
    let mut blocks = 0usize;
    let mut before_is_begin = false;
    for (at, token) in tokens.iter().enumerate() {
        let opens_body = before_is_begin && token.is(word(b"atomic"));
        before_is_begin = token.is(word(b"begin"));
        if token.is_mark(word(b"(")) {
            parentheses += 1;
        } else if token.is_mark(word(b")")) {
            parentheses = parentheses.saturating_sub(1);
        } else if token.is_mark(word(b";")) && parentheses == 0 && blocks == 0 {
            return at;
        } else if opens_body || (blocks > 0 && token.is(word(b"case"))) {
            blocks += 1;
        } else if token.is(word(b"end")) {
            blocks = blocks.saturating_sub(1);
        }
    }
    tokens.len()
}

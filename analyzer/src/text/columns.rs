//! Columns of lists: `IN (…)` has one, `VALUES (…)` and lists of rows have several.

use super::lex::{Kind, Token, word};

/// Most columns of a row list whose literals are followed.
const ROW_COLUMNS_MAX: usize = 16;

/// Slots of the columns of a list's first row.
#[derive(Debug, Default)]
pub(super) struct Columns([u16; ROW_COLUMNS_MAX]);

impl Columns {
    pub(super) fn set(&mut self, column: usize, slot: u16) {
        if let Some(known) = self.0.get_mut(column).filter(|known| **known == 0) {
            *known = slot;
        }
    }

    pub(super) fn slot(&self, column: usize) -> u16 {
        self.0.get(column).copied().unwrap_or(0)
    }
}

/// Knows in which column of a row list a token stands.
pub(super) struct Cursor<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    column: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(tokens: &'a [Token], at: usize) -> Self {
        Self { tokens, at, depth: 0, column: 0 }
    }

    /// Column of a token at or after the last one asked for; constants in calls have none.
    pub(super) fn column(&mut self, at: usize) -> usize {
        while self.at <= at {
            if let Some(token) = self.tokens.get(self.at) {
                self.step(token);
            }
            self.at += 1;
        }
        if self.depth > 1 { ROW_COLUMNS_MAX } else { self.column }
    }

    fn step(&mut self, token: &Token) {
        match (token.kind, token.word) {
            (Kind::Mark, OPEN) => self.depth += 1,
            (Kind::Mark, CLOSE) => self.depth = self.depth.saturating_sub(1),
            // between rows, or between the elements of a list without rows
            (Kind::Mark, COMMA) if self.depth == 0 => self.column = 0,
            (Kind::Mark, COMMA) if self.depth == 1 => self.column += 1,
            _ => {}
        }
    }
}

const OPEN: u64 = word(b"(");
const CLOSE: u64 = word(b")");
const COMMA: u64 = word(b",");

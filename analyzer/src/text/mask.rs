//! Names that change with every use: cursors, savepoints, prepared statements, channels.
//!
//! They are found by their position in the grammar and not by their spelling: a column `line_1` keeps its
//! name, and a savepoint `x` loses it.

use super::lex::{Kind, Token, word};

/// Which tokens of a statement are left out of shape and display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    /// Index of the one masked name, `usize::MAX` for none.
    name: usize,
    /// From here on every word is a value (`SET app.tenant = acme`), `usize::MAX` for none.
    values_from: usize,
}

const NONE: usize = usize::MAX;

impl Masks {
    /// Whether this token is masked.
    pub(super) fn has(&self, at: usize, token: &Token) -> bool {
        at == self.name || (at >= self.values_from && token.is_name())
    }

    /// Finds them after the first words.
    pub(super) fn of(tokens: &[Token]) -> Self {
        let name = match tokens.first().map_or(0, |token| token.word) {
            _ if tokens.first().is_some_and(|token| token.kind != Kind::Word) => NONE,
            DECLARE | LISTEN | UNLISTEN | NOTIFY | CLOSE | SAVEPOINT | EXECUTE => 1,
            PREPARE if !keyword(tokens, 1, TRANSACTION) => 1,
            DEALLOCATE => 1 + usize::from(keyword(tokens, 1, PREPARE)),
            RELEASE => 1 + usize::from(keyword(tokens, 1, SAVEPOINT)),
            ROLLBACK => rolled_back_to(tokens),
            FETCH | MOVE => fetched(tokens),
            UPDATE | DELETE => current_of(tokens),
            SET => return Self { name: NONE, values_from: custom_setting(tokens) },
            _ => NONE,
        };
        let spared = keyword(tokens, name, word(b"all"));
        let name =
            if spared || !tokens.get(name).is_some_and(Token::is_name) { NONE } else { name };
        Self { name, values_from: NONE }
    }
}

const DECLARE: u64 = word(b"declare");
const LISTEN: u64 = word(b"listen");
const UNLISTEN: u64 = word(b"unlisten");
const NOTIFY: u64 = word(b"notify");
const CLOSE: u64 = word(b"close");
const SAVEPOINT: u64 = word(b"savepoint");
const EXECUTE: u64 = word(b"execute");
const PREPARE: u64 = word(b"prepare");
const TRANSACTION: u64 = word(b"transaction");
const DEALLOCATE: u64 = word(b"deallocate");
const RELEASE: u64 = word(b"release");
const ROLLBACK: u64 = word(b"rollback");
const FETCH: u64 = word(b"fetch");
const MOVE: u64 = word(b"move");
const UPDATE: u64 = word(b"update");
const DELETE: u64 = word(b"delete");
const SET: u64 = word(b"set");
const TO: u64 = word(b"to");

fn keyword(tokens: &[Token], at: usize, wanted: u64) -> bool {
    tokens.get(at).is_some_and(|token| token.is(wanted))
}

/// `ROLLBACK [WORK | TRANSACTION] TO [SAVEPOINT] name`
fn rolled_back_to(tokens: &[Token]) -> usize {
    match tokens.iter().take(3).position(|token| token.is(TO)) {
        Some(to) => to + 1 + usize::from(keyword(tokens, to + 1, SAVEPOINT)),
        None => NONE,
    }
}

/// `FETCH [direction] [FROM | IN] name`: the last name that isn't a direction.
fn fetched(tokens: &[Token]) -> usize {
    const WORDS: [u64; 11] = [
        word(b"next"),
        word(b"prior"),
        word(b"first"),
        word(b"last"),
        word(b"absolute"),
        word(b"relative"),
        word(b"forward"),
        word(b"backward"),
        word(b"all"),
        word(b"from"),
        word(b"in"),
    ];
    let is_cursor = |token: &Token| token.is_name() && !WORDS.iter().any(|known| token.is(*known));
    tokens.iter().skip(1).rposition(is_cursor).map_or(NONE, |at| at + 1)
}

/// `… WHERE CURRENT OF name`
fn current_of(tokens: &[Token]) -> usize {
    let of = |pair: &[Token]| pair[0].is(word(b"current")) && pair[1].is(word(b"of"));
    tokens.windows(2).position(of).map_or(NONE, |at| at + 2)
}

/// `SET [SESSION | LOCAL] prefix.name = value`: settings with a dot are the application's own, and words
/// may be data there.
fn custom_setting(tokens: &[Token]) -> usize {
    let scope = keyword(tokens, 1, word(b"local")) || keyword(tokens, 1, word(b"session"));
    let name = 1 + usize::from(scope);
    let dotted = tokens.get(name + 1).is_some_and(|token| token.is_mark(word(b".")));
    if dotted { name + 4 } else { NONE }
}

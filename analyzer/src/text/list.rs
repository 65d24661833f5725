//! Look-ahead in the token stream: casts, and lists whose length says nothing about the statement.

use super::lex::{Kind, Token, word};

const OPEN: u64 = word(b"(");
const CLOSE: u64 = word(b")");
const COMMA: u64 = word(b",");
const CAST: u64 = word(b"::");

fn mark(tokens: &[Token], at: usize, wanted: u64) -> bool {
    tokens.get(at).is_some_and(|token| token.is_mark(wanted))
}

fn is(tokens: &[Token], at: usize, keyword: u64) -> bool {
    tokens.get(at).is_some_and(|token| token.is(keyword))
}

/// Index after all casts (`::type`) that begin at `at`; `at` itself where there is none.
pub(super) fn casts_end(tokens: &[Token], mut at: usize) -> usize {
    while mark(tokens, at, CAST) && tokens.get(at + 1).is_some_and(Token::is_name) {
        at = type_end(tokens, at + 1);
    }
    at
}

/// Index after the type name that begins at `at`.
fn type_end(tokens: &[Token], mut at: usize) -> usize {
    let first = tokens.get(at).map_or(0, |token| token.word);
    at += 1;
    while mark(tokens, at, word(b".")) && tokens.get(at + 1).is_some_and(Token::is_name) {
        at += 2;
    }
    let second: &[u64] = match first {
        DOUBLE => &[word(b"precision")],
        CHARACTER | CHAR | BIT | NCHAR => &[word(b"varying")],
        NATIONAL => &[CHARACTER, CHAR, word(b"varying")],
        INTERVAL => &INTERVAL_FIELDS,
        _ => &[],
    };
    while tokens.get(at).is_some_and(|token| second.iter().any(|wanted| token.is(*wanted))) {
        at += 1;
    }
    at = modifier_end(tokens, at);
    let zone = is(tokens, at, word(b"with")) || is(tokens, at, word(b"without"));
    if matches!(first, TIME | TIMESTAMP) && zone && is(tokens, at + 1, TIME) {
        at += 3;
    }
    array_end(tokens, at.min(tokens.len()))
}

const DOUBLE: u64 = word(b"double");
const CHARACTER: u64 = word(b"character");
const CHAR: u64 = word(b"char");
const NCHAR: u64 = word(b"nchar");
const NATIONAL: u64 = word(b"national");
const BIT: u64 = word(b"bit");
const INTERVAL: u64 = word(b"interval");
const TIME: u64 = word(b"time");
const TIMESTAMP: u64 = word(b"timestamp");
const INTERVAL_FIELDS: [u64; 7] = [
    word(b"year"),
    word(b"month"),
    word(b"day"),
    word(b"hour"),
    word(b"minute"),
    word(b"second"),
    word(b"to"),
];

/// Index after `(10,2)`, if it begins at `at`: numbers and commas alone.
pub(super) fn modifier_end(tokens: &[Token], at: usize) -> usize {
    if !mark(tokens, at, OPEN) {
        return at;
    }
    let numbers = |token: &&Token| token.kind == Kind::Number || token.is_mark(COMMA);
    let inside = tokens.get(at + 1..).unwrap_or(&[]).iter().take_while(numbers).count();
    if inside > 0 && mark(tokens, at + 1 + inside, CLOSE) { at + inside + 2 } else { at }
}

fn array_end(tokens: &[Token], mut at: usize) -> usize {
    loop {
        let bound = tokens.get(at + 1).is_some_and(|token| token.kind == Kind::Number);
        let close = at + 1 + usize::from(bound);
        if mark(tokens, at, word(b"[")) && mark(tokens, close, word(b"]")) {
            at = close + 1;
        } else if is(tokens, at, word(b"array")) && !mark(tokens, at + 1, word(b"[")) {
            at += 1;
        } else {
            return at;
        }
    }
}

/// Types whose modifier is written in parentheses and is no call: `varchar(20)`, `numeric(10,2)`.
pub(super) fn takes_modifier(token: &Token) -> bool {
    const TYPES: [u64; 17] = [
        word(b"varchar"),
        CHAR,
        CHARACTER,
        word(b"varying"),
        word(b"bpchar"),
        word(b"numeric"),
        word(b"decimal"),
        word(b"dec"),
        BIT,
        TIMESTAMP,
        word(b"timestamptz"),
        TIME,
        word(b"timetz"),
        INTERVAL,
        word(b"float"),
        word(b"current_timestamp"),
        word(b"current_time"),
    ];
    token.kind == Kind::Word && TYPES.contains(&token.word)
}

/// A list of constants in parentheses or brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct List {
    /// Index after its first element.
    pub(super) first_end: usize,
    /// Index of its closing bracket.
    pub(super) close: usize,
    /// Elements.
    pub(super) len: u32,
}

/// The list that opens at `open`, if all its elements are parameters, literals or rows of them.
pub(super) fn constants(tokens: &[Token], open: usize, closing: u64) -> Option<List> {
    let first_end = element_end(tokens, open + 1)?;
    let mut at = first_end;
    let mut len = 1;
    while mark(tokens, at, COMMA) {
        at = element_end(tokens, at + 1)?;
        len += 1;
    }
    mark(tokens, at, closing).then_some(List { first_end, close: at, len })
}

fn element_end(tokens: &[Token], at: usize) -> Option<usize> {
    if !mark(tokens, at, OPEN) {
        return scalar_end(tokens, at);
    }
    let mut end = scalar_end(tokens, at + 1)?;
    while mark(tokens, end, COMMA) {
        end = scalar_end(tokens, end + 1)?;
    }
    mark(tokens, end, CLOSE).then(|| casts_end(tokens, end + 1))
}

fn scalar_end(tokens: &[Token], mut at: usize) -> Option<usize> {
    if mark(tokens, at, word(b"-")) || mark(tokens, at, word(b"+")) {
        at += 1;
    }
    let token = tokens.get(at)?;
    let constant = token.is_literal() || token.kind == Kind::Param || is_constant_word(token);
    constant.then(|| {
        let mut end = at + 1;
        // 'a' 'b' on two lines is one literal
        while token.is_string() && tokens.get(end).is_some_and(Token::is_string) {
            end += 1;
        }
        casts_end(tokens, end)
    })
}

fn is_constant_word(token: &Token) -> bool {
    const WORDS: [u64; 4] = [word(b"null"), word(b"true"), word(b"false"), word(b"default")];
    token.kind == Kind::Word && WORDS.contains(&token.word)
}

/// The rows of VALUES that open at `open`; any expression may stand in them, but no query.
pub(super) fn rows(tokens: &[Token], open: usize) -> Option<List> {
    let first_end = row_end(tokens, open)?;
    let mut close = first_end - 1;
    let mut len = 1;
    while mark(tokens, close + 1, COMMA) && mark(tokens, close + 2, OPEN) {
        // a text that was cut ends within a row
        let end = row_end(tokens, close + 2)?;
        close = end - 1;
        len += 1;
    }
    Some(List { first_end, close, len })
}

/// Index after the closing parenthesis of the group that opens at `open`, or the end of a cut text.
fn row_end(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.is_mark(OPEN) {
            depth += 1;
        } else if token.is_mark(CLOSE) {
            depth -= 1;
            if depth == 0 {
                return Some(at + 1);
            }
        } else if token.is(word(b"select")) || token.is(word(b"values")) {
            // also what keeps nested VALUES from being scanned again and again
            return None;
        }
    }
    Some(tokens.len())
}

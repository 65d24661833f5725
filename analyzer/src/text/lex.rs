//! PostgreSQL's lexical rules over raw bytes: tokens and comments, nothing understood yet.
//!
//! `standard_conforming_strings` is assumed on, as it is by default since PostgreSQL 9.1. Bytes that aren't
//! UTF-8 are parts of identifiers or strings like any other byte above 0x7f.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Unquoted identifier or keyword.
    Word,
    /// `"…"`, `U&"…"`.
    Quoted,
    /// `'…'` and `$tag$…$tag$`: the content can be compared.
    Str,
    /// `E'…'`, `U&'…'`, `B'…'`, `X'…'`: a string whose content isn't decoded.
    Coded,
    /// A number.
    Number,
    /// `$n`.
    Param,
    /// An operator, also `::` and `:=`.
    Operator,
    /// One of `( ) [ ] , ; . :`, or a byte that means nothing.
    Mark,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    /// Of a word, a mark or an operator: its bytes in lower case as a number ([`word`]).
    pub(super) word: u64,
    pub(super) start: u32,
    pub(super) end: u32,
    pub(super) kind: Kind,
}

impl Token {
    pub(super) fn bytes<'a>(&self, raw: &'a [u8]) -> &'a [u8] {
        raw.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }

    /// Whether it is this keyword, unquoted, in any case.
    pub(super) fn is(&self, keyword: u64) -> bool {
        self.kind == Kind::Word && self.word == keyword
    }

    /// Whether it is this operator or mark.
    pub(super) fn is_mark(&self, mark: u64) -> bool {
        matches!(self.kind, Kind::Mark | Kind::Operator) && self.word == mark
    }

    pub(super) fn is_literal(&self) -> bool {
        matches!(self.kind, Kind::Str | Kind::Coded | Kind::Number)
    }

    pub(super) fn is_string(&self) -> bool {
        matches!(self.kind, Kind::Str | Kind::Coded)
    }

    pub(super) fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

/// A keyword or mark as the number that tokens carry: exact up to eight bytes, folded beyond (only a
/// contrived name could meet a keyword there).
pub(super) const fn word(text: &[u8]) -> u64 {
    let mut value: u64 = 0;
    let mut at = 0;
    while at < text.len() {
        value = value.rotate_left(8) ^ text[at].to_ascii_lowercase() as u64;
        at += 1;
    }
    value
}

/// A text as tokens.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<Token>,
    /// `/* … */` comments: start, end, and the number of tokens before.
    pub(super) comments: Vec<(u32, u32, u32)>,
    /// False when a quote or comment isn't closed; the tokens before it are there.
    pub(super) closed: bool,
}

/// Splits a text into tokens. Texts above 4 GiB are cut there (the wire has no longer ones).
pub(super) fn tokens(raw: &[u8]) -> Tokens {
    let raw = raw.get(..u32::MAX as usize).unwrap_or(raw);
    let mut lexer = Lexer { raw, at: 0 };
    let mut found =
        Tokens { tokens: Vec::with_capacity(raw.len() / 4 + 4), closed: true, ..Tokens::default() };
    while let Some(byte) = lexer.peek(0) {
        match lexer.next(byte, &mut found) {
            Some(()) => {}
            None => {
                found.closed = false;
                break;
            }
        }
    }
    found
}

struct Lexer<'a> {
    raw: &'a [u8],
    at: usize,
}

impl Lexer<'_> {
    #[inline]
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.raw.get(self.at + ahead).copied()
    }

    /// Consumes white space, a comment or a token; `None` at an unclosed quote or comment.
    #[inline]
    fn next(&mut self, byte: u8, found: &mut Tokens) -> Option<()> {
        let start = self.at;
        if has(byte, SPACE) {
            self.at += 1;
            return Some(());
        }
        let (kind, word) = match (byte, self.peek(1)) {
            (b'-', Some(b'-')) => {
                self.skip_while(|byte| byte != b'\n' && byte != b'\r');
                return Some(());
            }
            (b'/', Some(b'*')) => {
                self.block_comment()?;
                let before = found.tokens.len() as u32;
                found.comments.push((start as u32, self.at as u32, before));
                return Some(());
            }
            (_, Some(b'\'' | b'&')) | (b'$', _) => self.named(byte)?,
            _ if is_name_start(byte) => (Kind::Word, self.word()),
            _ => self.named(byte)?,
        };
        found.tokens.push(Token { word, start: start as u32, end: self.at as u32, kind });
        Some(())
    }

    /// A name and its number, in one run over its bytes.
    #[inline]
    fn word(&mut self) -> u64 {
        let mut value: u64 = 0;
        let rest = self.raw.get(self.at..).unwrap_or(&[]);
        let mut len = 0;
        for byte in rest.iter().take_while(|byte| is_name_part(**byte)) {
            value = value.rotate_left(8) ^ u64::from(byte.to_ascii_lowercase());
            len += 1;
        }
        self.at += len;
        value
    }

    /// Any token, with its number where it has one.
    fn named(&mut self, byte: u8) -> Option<(Kind, u64)> {
        let start = self.at;
        let kind = self.token(byte)?;
        let numbered = matches!(kind, Kind::Word | Kind::Mark | Kind::Operator);
        let bytes = self.raw.get(start..self.at).unwrap_or(&[]);
        Some((kind, if numbered { word(bytes) } else { 0 }))
    }

    fn token(&mut self, byte: u8) -> Option<Kind> {
        match (byte, self.peek(1)) {
            (b'e' | b'E', Some(b'\'')) => self.string(1, true, Kind::Coded),
            (b'b' | b'B' | b'x' | b'X', Some(b'\'')) => self.string(1, false, Kind::Coded),
            (b'n' | b'N', Some(b'\'')) => self.string(1, false, Kind::Str),
            (b'u' | b'U', Some(b'&')) if self.peek(2) == Some(b'\'') => {
                self.string(2, false, Kind::Coded)
            }
            (b'u' | b'U', Some(b'&')) if self.peek(2) == Some(b'"') => self.quoted(2),
            (b'\'', _) => self.string(0, false, Kind::Str),
            (b'"', _) => self.quoted(0),
            (b'$', Some(b'0'..=b'9')) => Some(self.parameter()),
            (b'$', _) => self.dollar(),
            (b'0'..=b'9', _) | (b'.', Some(b'0'..=b'9')) => Some(self.number()),
            _ if is_name_start(byte) => {
                self.skip_while(is_name_part);
                Some(Kind::Word)
            }
            _ if is_operator(byte) => Some(self.operator()),
            _ => Some(self.mark(byte)),
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    /// Block comments nest.
    fn block_comment(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match (self.peek(0)?, self.peek(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return Some(());
                    }
                }
                _ => self.at += 1,
            }
        }
    }

    fn string(&mut self, prefix: usize, backslashes: bool, kind: Kind) -> Option<Kind> {
        self.at += prefix + 1;
        loop {
            match self.peek(0)? {
                b'\\' if backslashes => self.at += 2,
                b'\'' if self.peek(1) == Some(b'\'') => self.at += 2,
                b'\'' => {
                    self.at += 1;
                    return Some(kind);
                }
                _ => self.at += 1,
            }
        }
    }

    fn quoted(&mut self, prefix: usize) -> Option<Kind> {
        self.at += prefix + 1;
        loop {
            match self.peek(0)? {
                b'"' if self.peek(1) == Some(b'"') => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return Some(Kind::Quoted);
                }
                _ => self.at += 1,
            }
        }
    }

    fn parameter(&mut self) -> Kind {
        self.at += 1;
        // `$1abc` is an error to the server, and what follows the digits could be data
        self.skip_while(is_name_part);
        Kind::Param
    }

    /// `$tag$ … $tag$`, or a lone `$`.
    fn dollar(&mut self) -> Option<Kind> {
        let rest = self.raw.get(self.at + 1..).unwrap_or(&[]);
        let tag_len = rest.iter().take_while(|byte| is_name_part(**byte) && **byte != b'$').count();
        if rest.get(tag_len) != Some(&b'$') {
            self.at += 1;
            return Some(Kind::Mark);
        }
        let tag = self.raw.get(self.at..self.at + tag_len + 2)?;
        self.at += tag.len();
        let body = self.raw.get(self.at..)?;
        let len = find(body, tag)?;
        self.at += len + tag.len();
        Some(Kind::Str)
    }

    fn number(&mut self) -> Kind {
        let radix = matches!(
            (self.peek(0), self.peek(1)),
            (Some(b'0'), Some(b'x' | b'X' | b'o' | b'O' | b'b' | b'B'))
        );
        loop {
            match self.peek(0) {
                Some(b'e' | b'E') if !radix && matches!(self.peek(1), Some(b'+' | b'-')) => {
                    self.at += 2;
                }
                // `1..10` is two numbers and a mark, which only PL/pgSQL has
                Some(b'.') if self.peek(1) != Some(b'.') => self.at += 1,
                // junk after a number is an error to the server, and could be data
                Some(byte) if is_name_part(byte) => self.at += 1,
                _ => return Kind::Number,
            }
        }
    }

    /// The longest run, ended by a comment; it may end in `+` or `-` only if a character that SQL's own
    /// operators don't have is in it (`=-1` is two tokens, `@-1` is one and a number).
    fn operator(&mut self) -> Kind {
        let start = self.at;
        while let Some(byte) = self.peek(0).filter(|byte| is_operator(*byte)) {
            let comment = matches!((byte, self.peek(1)), (b'-', Some(b'-')) | (b'/', Some(b'*')));
            if comment {
                break;
            }
            self.at += 1;
        }
        let run = self.raw.get(start..self.at).unwrap_or(&[]);
        if !run.iter().any(|byte| b"~!@#%^&|`?".contains(byte)) {
            while self.at > start + 1 && matches!(self.raw.get(self.at - 1), Some(b'+' | b'-')) {
                self.at -= 1;
            }
        }
        Kind::Operator
    }

    fn mark(&mut self, byte: u8) -> Kind {
        let double = byte == b':' && matches!(self.peek(1), Some(b':' | b'='));
        self.at += 1 + usize::from(double);
        if double { Kind::Operator } else { Kind::Mark }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

const NAME_START: u8 = 1;
const NAME_PART: u8 = 2;
const OPERATOR: u8 = 4;
const SPACE: u8 = 8;

/// What each byte can be: one look-up instead of many comparisons, as every byte is asked.
const BYTES: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut byte = 0usize;
    while byte < 256 {
        let c = byte as u8;
        let start = c.is_ascii_alphabetic() || c == b'_' || c >= 0x80;
        if start {
            table[byte] |= NAME_START;
        }
        if start || c.is_ascii_digit() || c == b'$' {
            table[byte] |= NAME_PART;
        }
        if c.is_ascii_whitespace() || c == 0x0b {
            table[byte] |= SPACE;
        }
        byte += 1;
    }
    let operators = b"+-*/<>=~!@#%^&|`?";
    let mut at = 0;
    while at < operators.len() {
        table[operators[at] as usize] |= OPERATOR;
        at += 1;
    }
    table
};

#[inline]
fn has(byte: u8, class: u8) -> bool {
    BYTES[byte as usize] & class != 0
}

#[inline]
fn is_name_start(byte: u8) -> bool {
    has(byte, NAME_START)
}

#[inline]
pub(super) fn is_name_part(byte: u8) -> bool {
    has(byte, NAME_PART)
}

#[inline]
fn is_operator(byte: u8) -> bool {
    has(byte, OPERATOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spelled(text: &str) -> Option<String> {
        let found = tokens(text.as_bytes());
        let pieces = found.tokens.iter().map(|token| {
            let letter = match token.kind {
                Kind::Word => 'w',
                Kind::Quoted => 'q',
                Kind::Str => 's',
                Kind::Coded => 'c',
                Kind::Number => 'n',
                Kind::Param => 'p',
                Kind::Operator => 'o',
                Kind::Mark => 'm',
            };
            format!("{letter}:{}", String::from_utf8_lossy(token.bytes(text.as_bytes())))
        });
        found.closed.then(|| pieces.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn tokens_are_those_of_the_server() {
        let rows: &[(&str, &str)] = &[
            ("", ""),
            ("a_1$b Ä", "w:a_1$b w:Ä"),
            ("'it''s' ''", "s:'it''s' s:''"),
            (r"'a\' b", r"s:'a\' w:b"),
            (r"E'a\'b' e'\\'", r"c:E'a\'b' c:e'\\'"),
            ("U&'\\0441' u&\"a\" U&x", "c:U&'\\0441' q:u&\"a\" w:U o:& w:x"),
            ("b'01' X'1F' n'x' bx 'y'", "c:b'01' c:X'1F' s:n'x' w:bx s:'y'"),
            ("$$a'b$$ $f$ $$ $f$", "s:$$a'b$$ s:$f$ $$ $f$"),
            ("$1 $12::int $ x$1", "p:$1 p:$12 o::: w:int m:$ w:x$1"),
            ("$1abc 12abc", "p:$1abc n:12abc"),
            (
                "1 1.5 .5 1. 1e10 1E-5 1_000 0x1F 0b01",
                "n:1 n:1.5 n:.5 n:1. n:1e10 n:1E-5 n:1_000 n:0x1F n:0b01",
            ),
            ("0xE-1", "n:0xE o:- n:1"),
            ("1..10", "n:1 m:. n:.10"),
            ("a.b.1", "w:a m:. w:b n:.1"),
            ("=-1 @-1 <> !=- a", "o:= o:- n:1 o:@- n:1 o:<> o:!=- w:a"),
            ("->>'k' ?| @>", "o:->> s:'k' o:?| o:@>"),
            ("a--b\nc", "w:a w:c"),
            ("a/* x /* y */ z */b", "w:a w:b"),
            ("a*/*x*/b", "w:a o:* w:b"),
            ("+-+", "o:+ o:- o:+"),
            ("a:=b :c [1:2]", "w:a o::= w:b m:: w:c m:[ n:1 m:: n:2 m:]"),
            ("\"a\"\"b\" \"--\"", "q:\"a\"\"b\" q:\"--\""),
            ("(,;)", "m:( m:, m:; m:)"),
        ];
        for (text, wanted) in rows {
            assert_eq!(spelled(text).as_deref(), Some(*wanted), "{text}");
        }
    }

    #[test]
    fn unclosed_quotes_and_comments_are_told() {
        for text in ["'a", "a 'b''", r"E'a\'", "\"a", "/* a", "/* /* */", "$$a$", "$t$a$$", "U&\"x"]
        {
            assert_eq!(spelled(text), None, "{text}");
        }
    }

    #[test]
    fn keywords_are_numbers() {
        let found = tokens(b"SeLeCt \"select\" savepoint");
        assert!(found.tokens[0].is(word(b"select")));
        assert!(!found.tokens[1].is(word(b"select")));
        assert!(found.tokens[2].is(word(b"savepoint")));
        assert!(!found.tokens[0].is(word(b"selec")));
        assert!(!found.tokens[2].is(word(b"savepoints")));
    }
}

//! One pass over the tokens of one statement: shape, display text, text for the parser and literals.

use super::columns::{Columns, Cursor};
use super::hash::{SHAPE_VERSION, StableHash};
use super::lex::{Kind, Token, word};
use super::list::{self, List};
use super::mask::Masks;
use super::output::Output;
use super::{LITERAL_SLOT_FIRST, Part, SharedSlot, class};
use crate::record::BindCell;
use crate::value::Salt;

/// Most literals of one statement that are hashed (`binds_hashed_max`).
const LITERALS_HASHED_MAX: usize = 32;
/// Most ranges of parameters with a common slot that are kept for one statement.
const SHARED_SLOTS_MAX: usize = 64;

/// Domain of shapes among the uses of [`StableHash`].
const SHAPE_DOMAIN: u64 = 0x7368_6170_6500 | SHAPE_VERSION;
// what stands in the shape for something that isn't spelled; no token has these numbers
const PLACEHOLDER: u64 = u64::MAX - 1;
const MASKED: u64 = u64::MAX - 2;
const LIST: u64 = u64::MAX - 3;
const QUOTED: u64 = u64::MAX - 4;
const EXACTLY_ONE: u64 = u64::MAX - 5;
const FIXED_START: u64 = u64::MAX - 6;
const WILD_START: u64 = u64::MAX - 7;

/// Odd, and without pattern in its bits.
const SLOT_MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

/// Domain of codes among the uses of [`StableHash`].
const CODE_DOMAIN: u64 = 0x636f_6465;

/// How much of a statement is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// All but the two texts.
    Shape,
    /// Everything.
    Texts,
}

/// Reads the statement that these tokens make up.
pub(super) fn part(raw: &[u8], tokens: &[Token], salt: &Salt, depth: Depth) -> Part {
    let mut render = Render::new(raw, tokens, salt, depth);
    render.all();
    let (class, operation) = class::of(raw, tokens);
    let shape = render.hash.finish();
    Part {
        shape,
        arrangement: shape ^ render.slots,
        redacted: render.shown.finish(),
        parser_text: render.parsed.finish(),
        literals: render.literals,
        shared_slots: render.shared,
        class,
        operation,
        readable: true,
        list_elements: render.list_elements,
        code: code(raw, tokens),
        mark: None,
    }
}

/// The statement that couldn't be read to its end: its shape alone.
pub(super) fn unreadable(raw: &[u8], tokens: &[Token], salt: &Salt) -> Part {
    let mut read = part(raw, tokens, salt, Depth::Shape);
    read.literals.clear();
    read.shared_slots.clear();
    read.readable = false;
    read
}

/// How a literal looks in the text for the parser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    /// `$<slot>`: statements with predicates.
    Slot,
    /// A fixed constant: utility statements, where the grammar wants one.
    Constant,
}

struct Render<'a> {
    raw: &'a [u8],
    tokens: &'a [Token],
    salt: &'a Salt,
    masks: Masks,
    stand: Stand,
    hash: StableHash,
    hash_muted: bool,
    /// Hash of the slots of all constants, in their order.
    slots: u64,
    shown: Output<'a>,
    parsed: Output<'a>,
    literals: Vec<BindCell>,
    shared: Vec<SharedSlot>,
    next_literal: u16,
    list_elements: u32,
    /// Literals before this token stand as constants: type modifiers.
    constants_until: usize,
}

impl<'a> Render<'a> {
    fn new(raw: &'a [u8], tokens: &'a [Token], salt: &'a Salt, depth: Depth) -> Self {
        let len = match (tokens.first(), tokens.last()) {
            (Some(first), Some(last)) => (last.end - first.start) as usize,
            _ => 0,
        };
        Self {
            raw,
            tokens,
            salt,
            masks: Masks::of(tokens),
            stand: if class::has_slots(tokens) { Stand::Slot } else { Stand::Constant },
            hash: StableHash::new(SHAPE_DOMAIN),
            hash_muted: false,
            slots: 0,
            shown: Output::new(raw, len, depth == Depth::Shape),
            parsed: Output::new(raw, len + 16, depth == Depth::Shape),
            literals: Vec::new(),
            shared: Vec::new(),
            next_literal: LITERAL_SLOT_FIRST,
            list_elements: 0,
            constants_until: 0,
        }
    }

    fn all(&mut self) {
        self.range(0, self.tokens.len());
    }

    fn range(&mut self, mut at: usize, end: usize) {
        while at < end {
            at = self.one(at);
        }
    }

    fn token(&self, at: usize) -> Option<&'a Token> {
        self.tokens.get(at)
    }

    fn bytes(&self, at: usize) -> &'a [u8] {
        self.token(at).map_or(&[], |token| token.bytes(self.raw))
    }

    /// Whether white space or a comment stands before the token.
    fn spaced(&self, at: usize) -> bool {
        match (at.checked_sub(1).and_then(|before| self.token(before)), self.token(at)) {
            (Some(before), Some(token)) => before.end < token.start,
            _ => false,
        }
    }

    /// Renders what begins at this token; returns the index after it.
    fn one(&mut self, at: usize) -> usize {
        let Some(token) = self.token(at) else {
            return at + 1;
        };
        if self.masks.has(at, token) {
            return self.masked(at);
        }
        match token.kind {
            Kind::Number | Kind::Str | Kind::Coded => self.literal(at, at),
            Kind::Param => self.parameter(at),
            Kind::Word => self.keyword(at, token),
            Kind::Quoted => {
                self.mix(QUOTED);
                self.plain(at)
            }
            Kind::Operator if self.is_sign(at, token) => self.literal(at, at + 1),
            Kind::Operator | Kind::Mark => self.plain(at),
        }
    }

    fn mix(&mut self, word: u64) {
        if !self.hash_muted {
            self.hash.word(word);
        }
    }

    fn mix_slot(&mut self, slot: u16) {
        self.slots = (self.slots.rotate_left(5) ^ u64::from(slot)).wrapping_mul(SLOT_MULTIPLIER);
    }

    fn plain(&mut self, at: usize) -> usize {
        let Some(token) = self.token(at) else {
            return at + 1;
        };
        if !self.hash_muted {
            let len = token.end - token.start;
            match token.kind {
                Kind::Quoted => self.hash.bytes(token.bytes(self.raw)),
                // up to eight bytes the token's own number is exact
                _ if len <= 8 => self.hash.word(token.word),
                _ => self.hash.folded(token.bytes(self.raw)),
            }
        }
        let space = self.spaced(at);
        self.shown.copy(space, token);
        self.parsed.copy(space, token);
        at + 1
    }

    fn masked(&mut self, at: usize) -> usize {
        self.mix(MASKED);
        let space = self.spaced(at);
        self.shown.push(space, b"?");
        self.parsed.push(space, b"x");
        at + 1
    }

    fn keyword(&mut self, at: usize, token: &Token) -> usize {
        let next = self.token(at + 1);
        let opens = next.is_some_and(|next| next.is_mark(word(b"(")));
        if opens && token.is(word(b"in")) {
            let list = list::constants(self.tokens, at + 1, word(b")"));
            return self.collapsed(at, list);
        }
        if opens && token.is(word(b"values")) {
            return self.values(at);
        }
        if token.is(word(b"array")) && next.is_some_and(|next| next.is_mark(word(b"["))) {
            let list = list::constants(self.tokens, at + 1, word(b"]"));
            return self.collapsed(at, list);
        }
        if opens && list::takes_modifier(token) {
            self.constants_until = list::modifier_end(self.tokens, at + 1);
        }
        self.plain(at)
    }

    /// `IN (…)`, `ARRAY[…]`: the first element speaks for all.
    fn collapsed(&mut self, at: usize, list: Option<List>) -> usize {
        let Some(list) = list else {
            return self.plain(at);
        };
        self.list_elements = self.list_elements.max(list.len);
        self.plain(at);
        self.plain(at + 1);
        self.mix(LIST);
        self.shown.push(false, "…".as_bytes());
        let hash_muted = std::mem::replace(&mut self.hash_muted, true);
        let columns = self.row(at + 2, list.first_end, true);
        self.hash_muted = hash_muted;
        self.other_rows(list.first_end, list.close, &columns);
        self.plain(list.close)
    }

    /// `VALUES (…), (…)`: the first row speaks for all.
    fn values(&mut self, at: usize) -> usize {
        self.plain(at);
        let Some(list) = list::rows(self.tokens, at + 1) else {
            return at + 1;
        };
        let several = list.close >= list.first_end;
        if several {
            let space = self.spaced(at + 1);
            self.shown.push(space, "(…)".as_bytes());
        }
        let columns = self.row(at + 1, list.first_end, several);
        self.other_rows(list.first_end, list.close + 1, &columns);
        (list.close + 1).min(self.tokens.len())
    }

    /// Renders a row and learns the slots of its columns.
    fn row(&mut self, from: usize, to: usize, hide: bool) -> Columns {
        let before = self.shown.muted;
        self.shown.muted |= hide;
        let mut columns = Columns::default();
        let mut cursor = Cursor::new(self.tokens, from);
        let mut at = from;
        while at < to {
            let column = cursor.column(at);
            if let Some(slot) = self.slot_of(at) {
                columns.set(column, slot);
            }
            at = self.one(at);
        }
        self.shown.muted = before;
        columns
    }

    /// The slot of the constant that begins at this token, before it is rendered.
    fn slot_of(&self, at: usize) -> Option<u16> {
        let token = self.token(at)?;
        match token.kind {
            Kind::Param => Some(parameter_number(self.bytes(at))),
            Kind::Operator if !self.is_sign(at, token) => None,
            Kind::Operator | Kind::Number | Kind::Str | Kind::Coded => Some(self.next_literal),
            _ => None,
        }
    }

    /// The rows that are left out: their constants count under the slots of the first row.
    fn other_rows(&mut self, from: usize, to: usize, columns: &Columns) {
        let mut cursor = Cursor::new(self.tokens, from);
        let mut at = from;
        let full = |render: &Self| {
            render.literals.len() >= LITERALS_HASHED_MAX && render.shared.len() >= SHARED_SLOTS_MAX
        };
        while at < to && !full(self) {
            let column = cursor.column(at);
            let slot = columns.slot(column);
            match self.token(at) {
                Some(token) if token.kind == Kind::Param => self.share(at, slot),
                Some(token) if token.is_literal() => {
                    let end = self.literal_end(at);
                    if slot != 0 {
                        self.hashed(slot, self.is_signed(at), at, end);
                    }
                    at = end - 1;
                }
                _ => {}
            }
            at = list::casts_end(self.tokens, at + 1);
        }
    }

    /// Notes that a parameter counts under another slot; neighbours share an entry.
    fn share(&mut self, at: usize, slot: u16) {
        let number = parameter_number(self.bytes(at));
        if slot == 0 || slot == number {
            return;
        }
        let extends =
            |last: &&mut SharedSlot| last.slot == slot && last.last.checked_add(1) == Some(number);
        if let Some(last) = self.shared.last_mut().filter(extends) {
            last.last = number;
        } else if self.shared.len() < SHARED_SLOTS_MAX {
            self.shared.push(SharedSlot { first: number, last: number, slot });
        }
    }

    fn parameter(&mut self, at: usize) -> usize {
        self.mix(PLACEHOLDER);
        let space = self.spaced(at);
        let number = parameter_number(self.bytes(at));
        self.mix_slot(number);
        let mut text = *b"$00000";
        let text = decimal(&mut text, number);
        self.shown.push(space, text);
        self.parsed.push(space, text);
        self.casts(at + 1)
    }

    /// A literal at `at`, with a sign before it if `sign` lies before.
    fn literal(&mut self, sign: usize, at: usize) -> usize {
        let end = self.literal_end(at);
        let slot = self.next_literal;
        let stand = if at < self.constants_until { Stand::Constant } else { self.stand };
        self.next_literal = self.next_literal.saturating_add(1);
        self.mix(PLACEHOLDER);
        self.mix_slot(slot);
        self.hashed(slot, sign < at, at, end);
        let space = self.spaced(sign);
        self.shown.push(space, b"?");
        self.parsed_literal(space, sign, at, slot, stand);
        self.casts(end)
    }

    fn parsed_literal(&mut self, space: bool, sign: usize, at: usize, slot: u16, stand: Stand) {
        let number = self.token(at).is_some_and(|token| token.kind == Kind::Number);
        let mut text = *b"$00000";
        let text = decimal(&mut text, slot);
        if stand == Stand::Constant {
            self.parsed.push(space, if number { b"1" } else { b"'x'" });
        } else if self.limits_to_one(sign, at) {
            self.mix(EXACTLY_ONE);
            self.parsed.push(space, b"1");
        } else if self.starts_fixed(sign, at) {
            // the parser side takes `'<slot>%'` for a pattern with a fixed start
            self.mix(FIXED_START);
            let digits = text.get(1..).unwrap_or(&[]);
            self.parsed.push(space, b"'");
            self.parsed.append(digits);
            self.parsed.append(b"%'");
        } else if self.starts_wild(sign, at) {
            // and `'%<slot>'` for one without
            self.mix(WILD_START);
            let digits = text.get(1..).unwrap_or(&[]);
            self.parsed.push(space, b"'%");
            self.parsed.append(digits);
            self.parsed.append(b"'");
        } else {
            self.parsed.push(space, text);
        }
    }

    /// `LIMIT 1` says more than `LIMIT ?`: such a statement can't be a parent.
    fn limits_to_one(&self, sign: usize, at: usize) -> bool {
        sign == at
            && self.bytes(at) == b"1"
            && at.checked_sub(1).and_then(|before| self.token(before)).is_some_and(|before| {
                let first = before.is(word(b"first")) || before.is(word(b"next"));
                before.is(word(b"limit")) || (first && self.stand == Stand::Slot)
            })
    }

    /// `LIKE 'abc%'` can use an index, `LIKE '%abc'` can't.
    fn starts_fixed(&self, sign: usize, at: usize) -> bool {
        let like = |token: &Token| token.is(word(b"like"));
        let after_like = at.checked_sub(1).and_then(|before| self.token(before)).is_some_and(like);
        let plain = self.token(at).is_some_and(|token| token.kind == Kind::Str);
        sign == at
            && after_like
            && plain
            && matches!(self.bytes(at), [b'\'', first, ..] if !b"%_\\'".contains(first))
    }

    /// `LIKE '%abc'`, in any case of letters: no ordinary index serves it.
    fn starts_wild(&self, sign: usize, at: usize) -> bool {
        let like = |token: &Token| token.is(word(b"like")) || token.is(word(b"ilike"));
        let after_like = at.checked_sub(1).and_then(|before| self.token(before)).is_some_and(like);
        let plain = self.token(at).is_some_and(|token| token.kind == Kind::Str);
        sign == at && after_like && plain && matches!(self.bytes(at), [b'\'', b'%' | b'_', ..])
    }

    /// Casts of a constant don't make another statement: shown, but not in the shape. Their modifiers are
    /// left out for the parser, and are no slots.
    fn casts(&mut self, from: usize) -> usize {
        let end = list::casts_end(self.tokens, from);
        let mut at = from;
        while at < end {
            let after = list::modifier_end(self.tokens, at);
            let space = self.spaced(at);
            let token = self.token(at);
            if after > at {
                self.shown.push(space, b"(?)");
                at = after;
            } else if token.is_some_and(Token::is_literal) {
                at += 1; // the bound of an array type
            } else {
                if let Some(token) = token {
                    self.shown.copy(space, token);
                    self.parsed.copy(space, token);
                }
                at += 1;
            }
        }
        end
    }

    /// Index after a literal: strings that follow one another are one, UESCAPE belongs to it.
    fn literal_end(&self, at: usize) -> usize {
        let string = |at: usize| self.token(at).is_some_and(Token::is_string);
        let mut end = at + 1;
        if string(at) {
            while string(end) {
                end += 1;
            }
            let escape = self.token(end).is_some_and(|token| token.is(word(b"uescape")));
            if escape && string(end + 1) {
                end += 2;
            }
        }
        end
    }

    fn hashed(&mut self, slot: u16, negative: bool, at: usize, end: usize) {
        if self.literals.len() >= LITERALS_HASHED_MAX || end != at + 1 {
            return;
        }
        let bytes = self.bytes(at);
        let cell = match self.token(at).map(|token| token.kind) {
            Some(Kind::Str) => super::literal::string(self.salt, slot, bytes),
            Some(Kind::Coded) => super::literal::escaped(self.salt, slot, bytes),
            Some(Kind::Number) => super::literal::number(self.salt, slot, negative, bytes),
            _ => None,
        };
        self.literals.extend(cell);
    }

    fn is_signed(&self, at: usize) -> bool {
        at.checked_sub(1)
            .and_then(|before| self.token(before))
            .is_some_and(|before| before.is_mark(word(b"-")) && self.is_sign(at - 1, before))
    }

    /// Whether `+` or `-` belongs to the number behind it: only where no value stands before it.
    fn is_sign(&self, at: usize, token: &Token) -> bool {
        if !token.is_mark(word(b"-")) && !token.is_mark(word(b"+")) {
            return false;
        }
        let number = self.token(at + 1).is_some_and(|next| next.kind == Kind::Number);
        number && at.checked_sub(1).is_none_or(|before| self.awaits_value(before))
    }

    fn awaits_value(&self, before: usize) -> bool {
        const OPENING: [u64; 4] = [word(b"("), word(b"["), word(b","), word(b":")];
        const WORDS: [u64; 18] = [
            word(b"and"),
            word(b"or"),
            word(b"not"),
            word(b"between"),
            word(b"select"),
            word(b"when"),
            word(b"then"),
            word(b"else"),
            word(b"limit"),
            word(b"offset"),
            word(b"where"),
            word(b"having"),
            word(b"by"),
            word(b"on"),
            word(b"default"),
            word(b"returning"),
            word(b"distinct"),
            word(b"from"),
        ];
        self.token(before).is_some_and(|token| match token.kind {
            Kind::Operator => !token.is_mark(word(b"::")),
            Kind::Mark => OPENING.contains(&token.word),
            Kind::Word => WORDS.contains(&token.word),
            _ => false,
        })
    }
}

/// Identity of everything but white space and comments.
fn code(raw: &[u8], tokens: &[Token]) -> u64 {
    let mut hash = StableHash::new(CODE_DOMAIN);
    tokens.iter().for_each(|token| hash.bytes(token.bytes(raw)));
    hash.finish()
}

/// Parameter number of `$n`; beyond the slots of parameters it is the last one.
fn parameter_number(bytes: &[u8]) -> u16 {
    let digits = bytes.iter().skip(1).take_while(|byte| byte.is_ascii_digit());
    let number = digits.fold(0u32, |number, digit| {
        number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))
    });
    number.min(u32::from(LITERAL_SLOT_FIRST) - 1) as u16
}

/// Writes `$` and a number.
fn decimal(text: &mut [u8; 6], mut number: u16) -> &[u8] {
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    at -= 1;
    text[at] = b'$';
    &text[at..]
}

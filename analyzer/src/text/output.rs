//! The texts that are written while the tokens are read.

use super::lex::{Token, is_name_part};

/// A text under construction. Tokens that stand together in the original are copied together; others are
/// kept from running into one another.
#[derive(Debug)]
pub(super) struct Output<'a> {
    raw: &'a [u8],
    bytes: Vec<u8>,
    /// A piece of the original that is still to be copied.
    run: (usize, usize),
    pub(super) muted: bool,
    /// Nobody will read it: only the shape is wanted.
    off: bool,
}

impl<'a> Output<'a> {
    pub(super) fn new(raw: &'a [u8], len: usize, off: bool) -> Self {
        let bytes = if off { Vec::new() } else { Vec::with_capacity(len) };
        Self { raw, bytes, run: (0, 0), muted: false, off }
    }

    /// Adds a token as it is.
    #[inline]
    pub(super) fn copy(&mut self, space: bool, token: &Token) {
        if self.muted || self.off {
            return;
        }
        let (start, end) = (token.start as usize, token.end as usize);
        let (_, last) = self.run;
        let blank = start == last + 1 && self.raw.get(last) == Some(&b' ');
        if last != 0 && (start == last || blank) {
            self.run.1 = end;
            return;
        }
        self.flush();
        self.separate(space, self.raw.get(start).copied());
        self.run = (start, end);
    }

    /// Adds something that isn't in the original.
    pub(super) fn push(&mut self, space: bool, piece: &[u8]) {
        if !self.muted && !self.off {
            self.flush();
            self.separate(space, piece.first().copied());
            self.bytes.extend_from_slice(piece);
        }
    }

    /// Adds to what was just pushed.
    pub(super) fn append(&mut self, piece: &[u8]) {
        if !self.muted && !self.off {
            self.bytes.extend_from_slice(piece);
        }
    }

    fn separate(&mut self, space: bool, next: Option<u8>) {
        let sticks = |byte: u8| is_name_part(byte) || byte == b'?';
        if let (Some(last), Some(next)) = (self.bytes.last(), next)
            && (space || (sticks(*last) && sticks(next)))
        {
            self.bytes.push(b' ');
        }
    }

    fn flush(&mut self) {
        let (start, end) = std::mem::take(&mut self.run);
        self.bytes.extend_from_slice(self.raw.get(start..end).unwrap_or(&[]));
    }

    pub(super) fn finish(mut self) -> String {
        self.flush();
        String::from_utf8(self.bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }
}

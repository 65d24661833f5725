//! Literals as values: what a quoted string or a number of the text stands for.

use crate::record::BindCell;
use crate::value::Salt;

/// Longest content that can be a key once its quotes are undoubled, in bytes.
const CONTENT_BYTES_MAX: usize = 64;

/// `'…'`, `N'…'` or `$tag$…$tag$`.
pub(super) fn string(salt: &Salt, slot: u16, bytes: &[u8]) -> Option<BindCell> {
    if bytes.first() == Some(&b'$') {
        let tag = bytes.iter().skip(1).position(|byte| *byte == b'$')? + 2;
        return salt.literal_string(slot, bytes.get(tag..bytes.len().checked_sub(tag)?)?);
    }
    quoted(salt, slot, bytes.get(bytes.iter().position(|byte| *byte == b'\'')?..)?)
}

/// `E'…'` without a backslash is a plain string; the other prefixed forms have no comparable value.
pub(super) fn escaped(salt: &Salt, slot: u16, bytes: &[u8]) -> Option<BindCell> {
    let plain = matches!(bytes.first(), Some(b'e' | b'E')) && !bytes.contains(&b'\\');
    if plain { quoted(salt, slot, bytes.get(1..)?) } else { None }
}

fn quoted(salt: &Salt, slot: u16, bytes: &[u8]) -> Option<BindCell> {
    let content = bytes.strip_prefix(b"'")?.strip_suffix(b"'")?;
    if !content.contains(&b'\'') {
        return salt.literal_string(slot, content);
    }
    let mut undoubled = [0u8; CONTENT_BYTES_MAX];
    let (mut len, mut at) = (0, 0);
    while let Some(byte) = content.get(at) {
        *undoubled.get_mut(len)? = *byte;
        len += 1;
        at += 1 + usize::from(*byte == b'\'');
    }
    salt.literal_string(slot, undoubled.get(..len)?)
}

/// A whole number in any notation; fractions and exponents have no comparable value.
pub(super) fn number(salt: &Salt, slot: u16, negative: bool, bytes: &[u8]) -> Option<BindCell> {
    let (radix, digits) = match bytes {
        [b'0', b'x' | b'X', digits @ ..] => (16, digits),
        [b'0', b'o' | b'O', digits @ ..] => (8, digits),
        [b'0', b'b' | b'B', digits @ ..] => (2, digits),
        digits => (10, digits),
    };
    let mut value: i128 = 0;
    let mut any = false;
    for byte in digits.iter().filter(|byte| **byte != b'_') {
        let digit = char::from(*byte).to_digit(radix)?;
        value = (value * i128::from(radix) + i128::from(digit)).min(i128::from(u64::MAX));
        any = true;
    }
    let value = i64::try_from(if negative { -value } else { value }).ok()?;
    any.then(|| salt.literal_number(slot, value))
}

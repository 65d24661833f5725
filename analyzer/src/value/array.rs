//! Array binds: how many elements, and the only one if there is one.
//!
//! `= ANY($1)` with one element is a look-up by that element; with more it is a batched loader, of which
//! only the size matters.

use super::canonical::{BPCHAR, INT2, INT4, INT8, NAME, OID, TEXT, UUID, VARCHAR};

/// What an array bind holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Array<'a> {
    /// Exactly one element that isn't NULL, of this type.
    One(u32, &'a [u8]),
    /// Any other number of elements (also one NULL).
    Count(usize),
}

/// Element type of the array types whose elements can be keys.
pub(super) fn element_type(array_oid: u32) -> Option<u32> {
    Some(match array_oid {
        1005 => INT2,
        1007 => INT4,
        1016 => INT8,
        1028 => OID,
        2951 => UUID,
        1009 => TEXT,
        1015 => VARCHAR,
        1014 => BPCHAR,
        1003 => NAME,
        _ => return None,
    })
}

/// Reads the binary form: dimensions, flags, element type, {size, lower bound} each, then elements.
pub(super) fn binary(bytes: &[u8]) -> Option<Array<'_>> {
    let dimensions = usize::try_from(word(bytes, 0)?).ok()?;
    let element = word(bytes, 8)?;
    if dimensions == 0 {
        return Some(Array::Count(0));
    }
    if dimensions > 6 {
        return None;
    }
    let mut count = 1usize;
    for dimension in 0..dimensions {
        count = count.saturating_mul(word(bytes, 12 + 8 * dimension)? as usize);
    }
    if count != 1 {
        return Some(Array::Count(count));
    }
    let at = 12 + 8 * dimensions;
    let len = word(bytes, at)?;
    if len == u32::MAX {
        return Some(Array::Count(1));
    }
    Some(Array::One(element, bytes.get(at + 4..)?.get(..len as usize)?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Reads the text form `{1,2,"three"}`; `None` where it isn't one.
pub(super) fn text(bytes: &[u8], element: u32) -> Option<Array<'_>> {
    let inner = bytes.strip_prefix(b"{")?.strip_suffix(b"}")?;
    if inner.is_empty() {
        return Some(Array::Count(0));
    }
    let commas = commas_outside_quotes(inner)?;
    if commas > 0 || inner.eq_ignore_ascii_case(b"null") {
        return Some(Array::Count(commas + 1));
    }
    match inner {
        [b'"', quoted @ .., b'"'] if !quoted.iter().any(|b| matches!(b, b'"' | b'\\')) => {
            Some(Array::One(element, quoted))
        }
        [b'"', ..] => Some(Array::Count(1)),
        plain => Some(Array::One(element, plain)),
    }
}

/// `None` where quotes are out of place, as in JSON objects.
fn commas_outside_quotes(inner: &[u8]) -> Option<usize> {
    let (mut commas, mut quoted, mut start, mut at) = (0, false, true, 0);
    while let Some(byte) = inner.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if quoted => quoted = false,
            b'"' if !start => return None,
            b'"' => quoted = true,
            b',' if !quoted => commas += 1,
            b':' if !quoted && inner.get(at.wrapping_sub(1)) == Some(&b'"') => return None,
            _ => {}
        }
        start = matches!(byte, b',' | b'{' | b' ');
        at += 1;
    }
    (!quoted).then_some(commas)
}

//! Canonical values: what makes `42` as int2, as int8, as text and as varchar one value.
//!
//! Anything that isn't key-like (floats, times, booleans, JSON, long text) has none.

/// Longest text that can be a key, in bytes.
const TEXT_BYTES_MAX: usize = 64;

pub(super) const INT8: u32 = 20;
pub(super) const INT2: u32 = 21;
pub(super) const INT4: u32 = 23;
pub(super) const TEXT: u32 = 25;
pub(super) const OID: u32 = 26;
pub(super) const NAME: u32 = 19;
pub(super) const BPCHAR: u32 = 1042;
pub(super) const VARCHAR: u32 = 1043;
pub(super) const UUID: u32 = 2950;
/// OIDs below it are the server's own types, so their binary forms are known.
const USER_TYPE_FIRST: u32 = 16_384;

/// A value in the one form that is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Canonical<'a> {
    Int(i64),
    Uuid([u8; 16]),
    Text(&'a [u8]),
}

impl Canonical<'_> {
    /// Type in the two high bits, floor(log2(|int|)) in the six low ones.
    pub(super) fn class(&self) -> u8 {
        match self {
            Self::Int(value) => {
                let magnitude = value.unsigned_abs().max(1);
                // ilog2 of a u64 is at most 63, six bits
                (1 << 6) | (magnitude.ilog2() as u8)
            }
            Self::Uuid(_) => 2 << 6,
            Self::Text(_) => 3 << 6,
        }
    }
}

/// Whether columns of this type are compared at all (the strict rule for results).
pub(super) fn is_strict(type_oid: u32) -> bool {
    matches!(type_oid, INT8 | INT2 | INT4 | OID | UUID | TEXT | VARCHAR | BPCHAR | NAME)
}

/// A result cell: only the nine key-like types, exact forms.
pub(super) fn strict(type_oid: u32, binary: bool, bytes: &[u8]) -> Option<Canonical<'_>> {
    match type_oid {
        INT8 | INT2 | INT4 | OID if binary => known_binary(type_oid, bytes),
        INT8 | INT2 | INT4 | OID => decimal(bytes).map(Canonical::Int),
        UUID if binary => known_binary(type_oid, bytes),
        UUID => uuid_text(bytes).map(Canonical::Uuid),
        TEXT | VARCHAR | NAME => text(bytes),
        BPCHAR => text(trim_blanks(bytes)),
        _ => None,
    }
}

/// A scalar bind: text by its form, binary by its type, or by its length where the type is unknown.
pub(super) fn lenient(type_oid: u32, binary: bool, bytes: &[u8]) -> Option<Canonical<'_>> {
    match type_oid {
        BPCHAR => text(trim_blanks(bytes)),
        _ if !binary => text(bytes),
        TEXT | VARCHAR | NAME => text(bytes),
        0 | USER_TYPE_FIRST.. => unknown_binary(bytes),
        _ => known_binary(type_oid, bytes),
    }
}

fn known_binary(type_oid: u32, bytes: &[u8]) -> Option<Canonical<'static>> {
    let int = match type_oid {
        INT2 => i64::from(i16::from_be_bytes(bytes.try_into().ok()?)),
        INT4 => i64::from(i32::from_be_bytes(bytes.try_into().ok()?)),
        INT8 => i64::from_be_bytes(bytes.try_into().ok()?),
        OID => i64::from(u32::from_be_bytes(bytes.try_into().ok()?)),
        UUID => return Some(Canonical::Uuid(bytes.try_into().ok()?)),
        _ => return None,
    };
    Some(Canonical::Int(int))
}

fn unknown_binary(bytes: &[u8]) -> Option<Canonical<'static>> {
    match bytes.len() {
        2 => known_binary(INT2, bytes),
        4 => known_binary(INT4, bytes),
        8 => known_binary(INT8, bytes),
        16 => known_binary(UUID, bytes),
        _ => None,
    }
}

/// Text by its form: a canonical decimal, a uuid, or the bytes themselves.
pub(super) fn text(bytes: &[u8]) -> Option<Canonical<'_>> {
    if bytes.is_empty() || bytes.len() > TEXT_BYTES_MAX {
        return None;
    }
    if let Some(int) = decimal(bytes) {
        return Some(Canonical::Int(int));
    }
    Some(uuid_text(bytes).map_or(Canonical::Text(bytes), Canonical::Uuid))
}

/// `0` or `-?[1-9][0-9]*` in i64 range: `007`, `+5` and `-0` aren't what a server would write.
pub(super) fn decimal(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    let mut value: i64 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        // built up as a negative number: i64::MIN has no positive counterpart
        value = value.checked_mul(10)?.checked_sub(i64::from(digit))?;
    }
    if negative { Some(value) } else { value.checked_neg() }
}

/// The 36-character form with dashes, or 32 hex digits, in any case.
fn uuid_text(bytes: &[u8]) -> Option<[u8; 16]> {
    let dashed = match bytes.len() {
        36 => true,
        32 => false,
        _ => return None,
    };
    let mut uuid = [0u8; 16];
    let mut at = 0;
    for (index, slot) in uuid.iter_mut().enumerate() {
        if dashed && matches!(index, 4 | 6 | 8 | 10) {
            if bytes.get(at) != Some(&b'-') {
                return None;
            }
            at += 1;
        }
        *slot = (hex(*bytes.get(at)?)? << 4) | hex(*bytes.get(at + 1)?)?;
        at += 2;
    }
    Some(uuid)
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

fn trim_blanks(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    bytes.get(..len).unwrap_or(&[])
}

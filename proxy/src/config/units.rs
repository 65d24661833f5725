//! Durations and sizes are written with their unit: `10s`, `16KiB`. A bare number is refused, never guessed.

use std::time::Duration;

/// Why a value with a unit could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// A number without a unit.
    Bare,
    /// Not a whole number followed by a known unit.
    Malformed,
    /// More than 64 bits hold.
    TooLarge,
}

const DURATION_UNITS_US: [(&str, u64); 6] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

const SIZE_UNITS_BYTES: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// `"50ms"` in microseconds.
pub(crate) fn duration_us(text: &str) -> Result<u64, UnitError> {
    scaled(text, &DURATION_UNITS_US)
}

/// `"16KiB"` in bytes.
pub(crate) fn size_bytes(text: &str) -> Result<u64, UnitError> {
    scaled(text, &SIZE_UNITS_BYTES)
}

/// `"60%"` in parts per million; up to four decimals.
pub(crate) fn share_millionths(text: &str) -> Result<u64, UnitError> {
    let text = text.trim();
    let Some(number) = text.strip_suffix('%') else {
        let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        return Err(if bare { UnitError::Bare } else { UnitError::Malformed });
    };
    let (whole, decimals) = number.trim_end().split_once('.').unwrap_or((number.trim_end(), "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 4 {
        return Err(UnitError::Malformed);
    }
    let whole: u64 = whole.parse().map_err(|_| UnitError::TooLarge)?;
    let decimals: u64 = format!("{decimals:0<4}").parse().map_err(|_| UnitError::Malformed)?;
    match whole.checked_mul(10_000).map(|whole| whole + decimals) {
        Some(parts) if parts <= 1_000_000 => Ok(parts),
        _ => Err(UnitError::TooLarge),
    }
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::Malformed);
    }
    let unit = unit.trim_start();
    if unit.is_empty() {
        return Err(UnitError::Bare);
    }
    let factor = units.iter().find(|(name, _)| *name == unit).ok_or(UnitError::Malformed)?.1;
    let number: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(factor).ok_or(UnitError::TooLarge)
}

/// Writes a duration with the largest unit that divides it.
pub(crate) fn duration_text(us: u64) -> String {
    written(us, "0s", &DURATION_UNITS_US)
}

/// Writes a size with the largest binary unit that divides it.
pub(crate) fn size_text(bytes: u64) -> String {
    written(bytes, "0B", &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)])
}

fn written(value: u64, zero: &str, units: &[(&str, u64)]) -> String {
    if value == 0 {
        return zero.to_owned();
    }
    let fitting = units.iter().rev().find(|(_, factor)| value.is_multiple_of(*factor));
    fitting.map_or_else(|| value.to_string(), |(name, factor)| format!("{}{name}", value / factor))
}

/// Microseconds as a [`Duration`].
pub(crate) fn duration(us: u64) -> Duration {
    Duration::from_micros(us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations() {
        let rows = [
            ("10s", Ok(10_000_000)),
            ("50 ms", Ok(50_000)),
            ("0s", Ok(0)),
            ("7us", Ok(7)),
            ("2d", Ok(172_800_000_000)),
            ("1h", Ok(3_600_000_000)),
            ("5m", Ok(300_000_000)),
            ("10", Err(UnitError::Bare)),
            ("s", Err(UnitError::Malformed)),
            ("", Err(UnitError::Malformed)),
            ("-1s", Err(UnitError::Malformed)),
            ("1.5s", Err(UnitError::Malformed)),
            ("10 sec", Err(UnitError::Malformed)),
            ("10S", Err(UnitError::Malformed)),
            ("99999999999999999999s", Err(UnitError::TooLarge)),
            ("18446744073709551615d", Err(UnitError::TooLarge)),
        ];
        for (text, expected) in rows {
            assert_eq!(duration_us(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_sizes() {
        let rows = [
            ("16KiB", Ok(16_384)),
            ("64kB", Ok(64_000)),
            ("1MiB", Ok(1_048_576)),
            ("2GiB", Ok(2_147_483_648)),
            ("16", Err(UnitError::Bare)),
            ("16k", Err(UnitError::Malformed)),
            ("16kib", Err(UnitError::Malformed)),
        ];
        for (text, expected) in rows {
            assert_eq!(size_bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        for text in ["10s", "50ms", "24d", "0s", "90s", "1001us"] {
            assert_eq!(duration_text(duration_us(text).unwrap()), text);
        }
        for text in ["16KiB", "1MiB", "0B", "1000B"] {
            assert_eq!(size_text(size_bytes(text).unwrap()), text);
        }
    }
}

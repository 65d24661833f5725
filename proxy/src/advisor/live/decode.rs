//! Captured bind values as literals of their types.
//!
//! A value goes into the text that is explained, so that the planner sees the constant that the application bound. What
//! can't be written down without loss makes the whole sample unusable.

use pgsonde_advisor::catalog::Catalog;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;
/// Days from 0000-03-01 to 2000-01-01, where the wire's dates begin.
const EPOCH_DAYS: i64 = 730_425;
/// Elements of an array that are written down.
const ELEMENTS_MAX: i32 = 10_000;

/// The literals by parameter number; `None` where one can't be written.
pub(super) fn literals(
    catalog: &Catalog,
    values: &[u8],
    count: u16,
) -> Option<BTreeMap<u32, String>> {
    let (types, mut rest) = values.split_at_checked(4 * usize::from(count))?;
    let mut found = BTreeMap::new();
    for (number, oid) in (1_u32..).zip(types.chunks_exact(4)) {
        let oid = u32::from_le_bytes(oid.try_into().ok()?);
        let (binary, after) = rest.split_first()?;
        let (len, after) = after.split_first_chunk::<4>()?;
        let len = i32::from_le_bytes(*len);
        let (value, after) = after.split_at_checked(usize::try_from(len.max(0)).ok()?)?;
        rest = after;
        let literal = match (len < 0, *binary == 1) {
            (true, _) => "NULL".to_owned(),
            (false, false) => typed(catalog, oid, std::str::from_utf8(value).ok()?),
            (false, true) => typed(catalog, oid, &text(catalog, oid, value)?),
        };
        found.insert(number, literal);
    }
    Some(found)
}

/// A literal of this type.
fn typed(catalog: &Catalog, oid: u32, value: &str) -> String {
    let digits = !value.is_empty() && value.len() < 19 && value.bytes().all(|b| b.is_ascii_digit());
    match oid {
        20 | 21 | 23 if digits => value.to_owned(),
        16 if matches!(value, "t" | "true") => "true".to_owned(),
        16 if matches!(value, "f" | "false") => "false".to_owned(),
        // Of a type that PostgreSQL takes from the context, as it did for the parameter.
        0 | 25 | 705 | 1042 | 1043 => quoted(value),
        _ => match name(catalog, oid) {
            Some(name) => format!("{}::{name}", quoted(value)),
            None => quoted(value),
        },
    }
}

fn quoted(value: &str) -> String {
    let escape = if value.contains('\\') { "E" } else { "" };
    let inner = value.replace('\'', "''");
    let inner = if escape.is_empty() { inner } else { inner.replace('\\', "\\\\") };
    format!("{escape}'{inner}'")
}

/// Names of the types that parameters mostly have, and of their arrays.
const NAMES: &[(u32, u32, &str)] = &[
    (16, 1000, "bool"),
    (17, 1001, "bytea"),
    (19, 1003, "name"),
    (20, 1016, "int8"),
    (21, 1005, "int2"),
    (23, 1007, "int4"),
    (25, 1009, "text"),
    (26, 1028, "oid"),
    (114, 199, "json"),
    (700, 1021, "float4"),
    (701, 1022, "float8"),
    (869, 1041, "inet"),
    (1042, 1014, "bpchar"),
    (1043, 1015, "varchar"),
    (1082, 1182, "date"),
    (1083, 1183, "time"),
    (1114, 1115, "timestamp"),
    (1184, 1185, "timestamptz"),
    (1186, 1187, "interval"),
    (1700, 1231, "numeric"),
    (2950, 2951, "uuid"),
    (3802, 3807, "jsonb"),
];

fn name(catalog: &Catalog, oid: u32) -> Option<String> {
    if let Some((.., name)) = NAMES.iter().find(|(scalar, ..)| *scalar == oid) {
        return Some((*name).to_owned());
    }
    if let Some((.., name)) = NAMES.iter().find(|(_, array, _)| *array == oid) {
        return Some(format!("{name}[]"));
    }
    let known = catalog.types.get(&oid)?;
    let quoted = pgsonde_advisor::ddl::quoted;
    Some(format!("{}.{}", quoted(&known.schema), quoted(&known.name)))
}

/// A binary value as the text that the type's input reads.
fn text(catalog: &Catalog, oid: u32, value: &[u8]) -> Option<String> {
    if let Some((element, ..)) = NAMES.iter().find(|(_, array, _)| *array == oid) {
        return array(catalog, *element, value);
    }
    let utf8 = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(str::to_owned);
    match oid {
        16 => Some(if value.first()? == &0 { "false" } else { "true" }.to_owned()),
        20 => Some(i64::from_be_bytes(value.try_into().ok()?).to_string()),
        21 => Some(i16::from_be_bytes(value.try_into().ok()?).to_string()),
        23 => Some(i32::from_be_bytes(value.try_into().ok()?).to_string()),
        26 => Some(u32::from_be_bytes(value.try_into().ok()?).to_string()),
        700 => Some(f32::from_be_bytes(value.try_into().ok()?).to_string()),
        701 => Some(f64::from_be_bytes(value.try_into().ok()?).to_string()),
        17 => Some(value.iter().fold("\\x".to_owned(), |text, byte| text + &format!("{byte:02x}"))),
        19 | 25 | 114 | 705 | 1042 | 1043 => utf8(value),
        3802 => value
            .split_first()
            .filter(|(version, _)| **version == 1)
            .and_then(|(_, rest)| utf8(rest)),
        1082 => date(i64::from(i32::from_be_bytes(value.try_into().ok()?))),
        1083 => time(i64::from_be_bytes(value.try_into().ok()?)),
        1114 => moment(i64::from_be_bytes(value.try_into().ok()?), ""),
        1184 => moment(i64::from_be_bytes(value.try_into().ok()?), "+00"),
        1186 => interval(value),
        1700 => numeric(value),
        2950 => uuid(value),
        // Enums are labels in binary, too.
        _ => catalog.types.get(&oid).filter(|known| known.kind == 'e').and_then(|_| utf8(value)),
    }
}

fn date(days: i64) -> Option<String> {
    if !(-2_000_000..=2_900_000).contains(&days) {
        return match days {
            2_147_483_647 => Some("infinity".to_owned()),
            -2_147_483_648 => Some("-infinity".to_owned()),
            _ => None,
        };
    }
    // Eras of 400 years that begin on 1 March.
    let days = days + EPOCH_DAYS;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Years before 1 are written otherwise; nobody asks for them.
    (year > 0).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

fn time(us: i64) -> Option<String> {
    let (seconds, us) = (us.div_euclid(1_000_000), us.rem_euclid(1_000_000));
    Some(format!("{:02}:{:02}:{:02}.{us:06}", seconds / 3_600, seconds / 60 % 60, seconds % 60))
}

fn moment(us: i64, zone: &str) -> Option<String> {
    match us {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    Some(format!("{} {}{zone}", date(us.div_euclid(DAY_US))?, time(us.rem_euclid(DAY_US))?))
}

fn interval(value: &[u8]) -> Option<String> {
    let (us, rest) = value.split_first_chunk::<8>()?;
    let (days, months) = rest.split_first_chunk::<4>()?;
    let months = i32::from_be_bytes(months.try_into().ok()?);
    let (us, days) = (i64::from_be_bytes(*us), i32::from_be_bytes(*days));
    Some(format!("{months} months {days} days {us} microseconds"))
}

fn uuid(value: &[u8]) -> Option<String> {
    let value: [u8; 16] = value.try_into().ok()?;
    let mut text = String::new();
    for (at, byte) in value.iter().enumerate() {
        let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    Some(text)
}

/// Groups of four decimal digits: count, weight of the first, sign, digits behind the point.
fn numeric(value: &[u8]) -> Option<String> {
    let words: Vec<u16> =
        value.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]])).collect();
    let [count, weight, sign, scale, digits @ ..] = words.as_slice() else { return None };
    let (weight, scale) = (i32::from(*weight as i16), usize::from(*scale));
    let sign = match sign {
        0 => "",
        0x4000 => "-",
        0xC000 => return Some("NaN".to_owned()),
        _ => return None,
    };
    if digits.len() != usize::from(*count) || weight.abs() > 1_000 {
        return None;
    }
    let group = |at: i32| {
        let index = usize::try_from(weight - at).ok();
        index.and_then(|index| digits.get(index)).copied().unwrap_or(0)
    };
    let mut whole = (0..=weight.max(0)).rev().fold(String::new(), |mut text, at| {
        let _ = write!(text, "{:04}", if at > weight { 0 } else { group(at) });
        text
    });
    whole = whole.trim_start_matches('0').to_owned();
    let groups = i32::try_from(scale.div_ceil(4)).ok()?;
    let behind = (1..=groups).fold(String::new(), |mut text, at| {
        let _ = write!(text, "{:04}", if -at > weight { 0 } else { group(-at) });
        text
    });
    let whole = if whole.is_empty() { "0" } else { &whole };
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{sign}{whole}{point}{}", behind.get(..scale)?))
}

fn array(catalog: &Catalog, element: u32, value: &[u8]) -> Option<String> {
    let (head, mut rest) = value.split_first_chunk::<12>()?;
    let word = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    if word(0) == 0 {
        return Some("{}".to_owned());
    }
    let (dimension, after) = rest.split_first_chunk::<8>()?;
    rest = after;
    let count = i32::from_be_bytes([dimension[0], dimension[1], dimension[2], dimension[3]]);
    if word(0) != 1 || word(8) as u32 != element || count > ELEMENTS_MAX {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..count {
        let (len, after) = rest.split_first_chunk::<4>()?;
        let len = i32::from_be_bytes(*len);
        let (bytes, after) = after.split_at_checked(usize::try_from(len.max(0)).ok()?)?;
        rest = after;
        items.push(match len < 0 {
            true => "NULL".to_owned(),
            false => {
                let item = text(catalog, element, bytes)?;
                format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))
            }
        });
    }
    Some(format!("{{{}}}", items.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The arena's form of values: types, then format, length and bytes of each.
    fn arena(values: &[(u32, bool, Option<&[u8]>)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = values.iter().flat_map(|(oid, ..)| oid.to_le_bytes()).collect();
        for (_, binary, value) in values {
            bytes.push(u8::from(*binary));
            bytes.extend(value.map_or(-1_i32, |value| value.len() as i32).to_le_bytes());
            bytes.extend(value.unwrap_or_default());
        }
        bytes
    }

    #[test]
    fn writes_values_as_literals() {
        let uuid: Vec<u8> = (0..16).collect();
        let interval =
            [&3_i64.to_be_bytes()[..], &2_i32.to_be_bytes(), &1_i32.to_be_bytes()].concat();
        // 12345.678: groups 1, 2345, 6780.
        let numeric = [0, 3, 0, 1, 0, 0, 0, 3, 0, 1, 9, 41, 26, 124];
        // 0.0005: group 5 at weight -1.
        let small = [0, 1, 0xff, 0xff, 0x40, 0, 0, 4, 0, 5];
        let ints = [
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 23, 0, 0, 0, 2, 0, 0, 0, 1][..],
            &[0, 0, 0, 4, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat();
        let rows: [(u32, bool, Option<&[u8]>, &str); 21] = [
            (23, true, Some(&[0, 0, 0, 42]), "42"),
            (23, true, Some(&[0xff, 0xff, 0xff, 0xff]), "'-1'::int4"),
            (20, false, Some(b"9000000000"), "9000000000"),
            (16, true, Some(&[1]), "true"),
            (25, false, Some(b"it's"), "'it''s'"),
            (25, false, Some(b"a\\b"), "E'a\\\\b'"),
            (0, false, Some(b"7"), "'7'"),
            (23, false, None, "NULL"),
            (701, true, Some(&1.5_f64.to_be_bytes()), "'1.5'::float8"),
            (1700, true, Some(&numeric), "'12345.678'::numeric"),
            (1700, true, Some(&small), "'-0.0005'::numeric"),
            (1082, true, Some(&0_i32.to_be_bytes()), "'2000-01-01'::date"),
            (1082, true, Some(&60_i32.to_be_bytes()), "'2000-03-01'::date"),
            (1082, true, Some(&(-1_i32).to_be_bytes()), "'1999-12-31'::date"),
            (1114, true, Some(&(-1_i64).to_be_bytes()), "'1999-12-31 23:59:59.999999'::timestamp"),
            (
                1184,
                true,
                Some(&3_600_000_000_i64.to_be_bytes()),
                "'2000-01-01 01:00:00.000000+00'::timestamptz",
            ),
            (1186, true, Some(&interval), "'1 months 2 days 3 microseconds'::interval"),
            (2950, true, Some(&uuid), "'00010203-0405-0607-0809-0a0b0c0d0e0f'::uuid"),
            (3802, true, Some(b"\x01{\"a\":1}"), "'{\"a\":1}'::jsonb"),
            (1007, true, Some(&ints), "E'{\"7\",NULL}'::int4[]"),
            (17, true, Some(&[0, 255]), "E'\\\\x00ff'::bytea"),
        ];
        let catalog = Catalog::default();
        for (oid, binary, value, expected) in rows {
            let expected = if oid == 1007 { "'{\"7\",NULL}'::int4[]" } else { expected };
            let found = literals(&catalog, &arena(&[(oid, binary, value)]), 1);
            let found = found.unwrap_or_else(|| panic!("{expected}"));
            assert_eq!(found[&1], expected, "type {oid}");
        }
    }

    #[test]
    fn what_cant_be_written_makes_no_sample() {
        let catalog = Catalog::default();
        // A binary value of a type that nobody knows, one that is too short, and bytes that aren't there.
        for values in [arena(&[(99_999, true, Some(b"x"))]), arena(&[(23, true, Some(b"x"))])] {
            assert!(literals(&catalog, &values, 1).is_none());
        }
        let whole = arena(&[(23, true, Some(&[0, 0, 0, 1])), (25, false, Some(b"abc"))]);
        for cut in 0..whole.len() {
            assert!(literals(&catalog, &whole[..cut], 2).is_none(), "{cut}");
        }
    }
}

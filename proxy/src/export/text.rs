//! Numbers and names as people read them, shared by page and terminal.

/// Milliseconds with three digits and the unit that fits: `830 µs`, `12.3 ms`, `4.56 s`, `12.1 min`, `3.2 h`.
pub(crate) fn duration(ms: f64) -> String {
    let (value, unit) = match ms {
        ms if !ms.is_finite() => return "–".to_owned(),
        ms if ms <= 0.0 => return "0".to_owned(),
        ms if ms < 0.9995 => (ms * 1e3, "µs"),
        ms if ms < 999.5 => (ms, "ms"),
        ms if ms < 99_950.0 => (ms / 1e3, "s"),
        ms if ms < 5_970_000.0 => (ms / 6e4, "min"),
        ms if ms < 359_000_000.0 => (ms / 3.6e6, "h"),
        ms => (ms / 8.64e7, "d"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A duration that may be unknown.
pub(crate) fn duration_or_dash(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), duration)
}

/// A number with three significant digits and no exponent.
pub(crate) fn three_digits(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// `1234567` as `1,234,567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 session`, `2 sessions`.
pub(crate) fn counted(value: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(value), if value == 1 { "" } else { "s" })
}

/// At most five characters: `1234`, `99.9k`, `1.2M`.
pub(crate) fn short_count(value: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let float = value as f64;
    match value {
        0..100_000 => value.to_string(),
        100_000..99_950_000 if value < 999_500 => format!("{:.0}k", float / 1e3),
        100_000..99_950_000 => format!("{:.1}M", float / 1e6),
        99_950_000..999_500_000 => format!("{:.0}M", float / 1e6),
        _ => format!("{:.1}G", float / 1e9),
    }
}

/// A share (0 to 1) in percent with one decimal.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Bytes with a binary unit.
pub(crate) fn bytes(value: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let float = value as f64;
    match value {
        0..1_024 => format!("{value} B"),
        1_024..1_048_576 => format!("{} KiB", three_digits(float / 1_024.0)),
        1_048_576..1_073_741_824 => format!("{} MiB", three_digits(float / 1_048_576.0)),
        _ => format!("{} GiB", three_digits(float / 1_073_741_824.0)),
    }
}

/// Seconds as `2 h 5 min`, `5 min 3 s`, `42 s`.
pub(crate) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Two RFC 3339 times as `2026-11-22 20:04:07 to 20:04:12 UTC`; the day stands once where it is one.
pub(crate) fn moments(from: &str, to: &str) -> String {
    let parts = |time: &str| {
        let (day, clock) = time.split_once('T')?;
        Some((day.to_owned(), clock.get(..8)?.to_owned()))
    };
    match (parts(from), parts(to)) {
        (Some(from), Some(to)) if from == to => format!("{} {} UTC", from.0, from.1),
        (Some(from), Some(to)) if from.0 == to.0 => {
            format!("{} {} to {} UTC", from.0, from.1, to.1)
        }
        (Some(from), Some(to)) => format!("{} {} to {} {} UTC", from.0, from.1, to.0, to.1),
        _ => clean(&format!("{from} to {to}")),
    }
}

/// A mean of whole things: `4`, `0.25`, `1,234`.
pub(crate) fn amount(value: f64) -> String {
    let whole = value.round();
    if (value - whole).abs() > 1e-9 || !(0.0..1e15).contains(&whole) {
        return three_digits(value);
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    count(whole as u64)
}

/// Names come from clients: control and direction characters must not steer a terminal.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' || c == '\t' { ' ' } else { c }).map(visible).collect()
}

/// The same for text that keeps its lines.
pub(crate) fn clean_lines(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' => c,
            '\t' => ' ',
            _ => visible(c),
        })
        .collect()
}

fn visible(c: char) -> char {
    let steers = matches!(c, '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}');
    if c.is_control() || steers { '\u{FFFD}' } else { c }
}

/// The first `width` characters; a cut is shown.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// Breaks text into lines of at most `width` characters, indented; a longer word is broken.
pub(crate) fn wrap(text: &str, width: usize, indent: &str) -> String {
    let room = width.saturating_sub(indent.chars().count()).max(10);
    let mut out = String::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace().flat_map(|word| pieces(word, room)) {
            let used = line.chars().count();
            if used > 0 && used + 1 + word.chars().count() > room {
                push_line(&mut out, indent, &line);
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(&word);
        }
        if !line.is_empty() {
            push_line(&mut out, indent, &line);
        }
    }
    out
}

fn pieces(word: &str, room: usize) -> Vec<String> {
    let chars: Vec<char> = word.chars().collect();
    chars.chunks(room).map(|piece| piece.iter().collect()).collect()
}

fn push_line(out: &mut String, indent: &str, line: &str) {
    out.push_str(indent);
    out.push_str(line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        let rows = [
            (0.0, "0"),
            (0.004, "4.00 µs"),
            (0.83, "830 µs"),
            (0.9996, "1.00 ms"),
            (12.34, "12.3 ms"),
            (999.0, "999 ms"),
            (999.9, "1.00 s"),
            (4_560.0, "4.56 s"),
            (726_000.0, "12.1 min"),
            (11_520_000.0, "3.20 h"),
            (f64::NAN, "–"),
        ];
        for (ms, expected) in rows {
            assert_eq!(duration(ms), expected, "{ms}");
        }
    }

    #[test]
    fn counts_and_bytes() {
        let rows = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (value, expected) in rows {
            assert_eq!(count(value), expected);
        }
        let rows = [(99_999, "99999"), (100_000, "100k"), (999_499, "999k"), (999_500, "1.0M")];
        for (value, expected) in rows {
            assert_eq!(short_count(value), expected);
        }
        assert_eq!(short_count(2_500_000_000), "2.5G");
        assert_eq!(bytes(1_536), "1.50 KiB");
        assert_eq!(
            (span(59), span(61), span(7_500)),
            ("59 s".into(), "1 min 1 s".into(), "2 h 5 min".into())
        );
    }

    #[test]
    fn two_moments_say_the_day_once() {
        let (a, b, c) =
            ("2026-11-22T20:04:07.995Z", "2026-11-22T20:04:12.982Z", "2026-11-23T00:00:00.000Z");
        for (from, to, expected) in [
            (a, b, "2026-11-22 20:04:07 to 20:04:12 UTC"),
            (a, c, "2026-11-22 20:04:07 to 2026-11-23 00:00:00 UTC"),
            (a, a, "2026-11-22 20:04:07 UTC"),
            ("?", a, "? to 2026-11-22T20:04:07.995Z"),
        ] {
            assert_eq!(moments(from, to), expected);
        }
    }

    #[test]
    fn whole_means_have_no_digits_after_the_point() {
        for (value, expected) in
            [(0.0, "0"), (4.0, "4"), (1_234.0, "1,234"), (0.25, "0.25"), (12.34, "12.3")]
        {
            assert_eq!(amount(value), expected);
        }
    }

    #[test]
    fn hostile_names_do_not_steer_the_terminal() {
        assert_eq!(clean("a\n\u{1b}[2Jb\u{202E}c"), "a \u{FFFD}[2Jb\u{FFFD}c");
        assert_eq!(clean_lines("a\nb\r"), "a\nb\u{FFFD}");
    }

    #[test]
    fn wraps_and_cuts() {
        assert_eq!(wrap("one two three four", 12, "  "), "  one two\n  three four\n");
        assert_eq!(wrap("abcdefghijklmnopqrst", 12, "  "), "  abcdefghij\n  klmnopqrst\n");
        assert_eq!(wrap("", 12, "  "), "");
        assert_eq!((cut("abcdef", 4), cut("abcd", 4)), ("abc…".to_owned(), "abcd".to_owned()));
    }
}

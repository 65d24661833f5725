//! The file of mutes (`findings.mutes`): which findings are silent, why, and until when.
//!
//! ```toml
//! [[mute]]
//! finding = "3f2a00000001"                 # or: parent and child = digests, or: route = "/admin/*"
//! reason = "import of old data, once a year"
//! until = 2027-01-01T00:00:00Z             # optional
//! ```

use super::file::ConfigFile;
use crate::problem::Problem;
use pgsonde_analyzer::finding::{MuteRule, MuteTarget};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// Code of everything that is wrong with the file.
const BAD_MUTES: u16 = 208;
/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most rules in it.
const RULES_MAX: usize = 10_000;
/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 500;

/// Reads the file; the moments of `until` are on the wall clock.
pub(crate) fn read(path: &Path) -> Result<Vec<MuteRule>, Problem> {
    let name = path.display().to_string();
    let unreadable = |why: String| {
        Problem::new(BAD_MUTES, format!("cannot read the file of mutes {name}: {why}"))
    };
    let text = read_text(path).map_err(unreadable)?;
    rules(&ConfigFile { name, text })
}

/// A file that isn't there yet is made by the first mute; its folder must be there.
fn read_text(path: &Path) -> Result<String, String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match std::fs::metadata(path) {
        Ok(file) if file.len() > FILE_BYTES_MAX => {
            Err(format!("it is larger than {FILE_BYTES_MAX} bytes"))
        }
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound && folder.is_none_or(Path::is_dir) =>
        {
            Ok(String::new())
        }
        _ => std::fs::read_to_string(path).map_err(|error| error.to_string()),
    }
}

/// Writes a rule into the file, or takes it out: sections that name `target` go, `rule` comes at the end.
/// Everything else stays as somebody wrote it.
pub(crate) fn change(
    path: &Path,
    target: &MuteTarget,
    rule: Option<&MuteRule>,
) -> Result<(), Problem> {
    let name = path.display().to_string();
    let cannot = |why: String| {
        Problem::new(705, format!("cannot write the file of mutes {name}: {why}"))
            .help("its folder must be writable for pgsonde (findings.mutes)")
    };
    let before = read_text(path).map_err(cannot)?;
    rules(&ConfigFile { name: name.clone(), text: before.clone() })?;
    let after = changed(&before, target, rule);
    rules(&ConfigFile { name: name.clone(), text: after.clone() })?;
    if after == before {
        return Ok(());
    }
    // Renamed into place, so that nobody reads half a file.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let written = std::fs::write(&fresh, after).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|error| cannot(error.to_string()))
}

fn changed(before: &str, target: &MuteTarget, rule: Option<&MuteRule>) -> String {
    let mut after = String::new();
    for section in sections(before) {
        let file = ConfigFile { name: String::new(), text: section.to_owned() };
        let found = rules(&file).unwrap_or_default();
        if !found.iter().any(|known| known.target == *target) {
            after.push_str(section);
        }
    }
    if let Some(rule) = rule {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after.push_str(&spelled(rule));
    }
    after
}

/// The text cut before each `[[mute]]`.
fn sections(text: &str) -> Vec<&str> {
    let mut cuts = vec![0];
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if line.trim_start().starts_with("[[mute]]") && at > 0 {
            cuts.push(at);
        }
        at += line.len();
    }
    cuts.push(text.len());
    cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

fn spelled(rule: &MuteRule) -> String {
    use std::fmt::Write as _;
    let text = |text: &str| toml::Value::from(text).to_string();
    let mut out = "[[mute]]\n".to_owned();
    // Writing into a String can't fail.
    let _ = match &rule.target {
        MuteTarget::Finding(id) => writeln!(out, "finding = \"{id:012x}\""),
        MuteTarget::Pair { parent, child } => {
            writeln!(out, "parent = \"{parent:016x}\"\nchild = \"{child:016x}\"")
        }
        MuteTarget::Route(pattern) => writeln!(out, "route = {}", text(pattern)),
    };
    let _ = writeln!(out, "reason = {}", text(&rule.reason));
    if let Some(until) = rule.until_unix_us {
        let _ = writeln!(out, "until = {}", crate::export::rfc3339_unix(until));
    }
    out
}

/// A place in the file and what is wrong there.
type Wrong = (Range<usize>, String);

fn rules(file: &ConfigFile) -> Result<Vec<MuteRule>, Problem> {
    let parsed = DeTable::parse(&file.text).map_err(|error| {
        let why = error.message().lines().next().unwrap_or("").to_owned();
        (error.span().unwrap_or(0..0), why)
    });
    let rules = parsed.and_then(|table| all(table.get_ref()));
    rules.map_err(|(span, why)| {
        let line = file.text.get(..span.start).unwrap_or("").matches('\n').count() + 1;
        let what = format!("{}:{line}: {why}", file.name);
        file.point(Problem::new(BAD_MUTES, what), span, "here")
            .help("[[mute]] with `finding`, or `parent` and `child`, or `route`; `reason`; `until` if it ends")
    })
}

fn all(table: &DeTable<'_>) -> Result<Vec<MuteRule>, Wrong> {
    let mut rules = Vec::new();
    for (key, value) in table {
        let list = match (key.get_ref().as_ref(), value.get_ref()) {
            ("mute", DeValue::Array(list)) => list,
            ("mute", _) => return Err((value.span(), "`mute` is a list: write [[mute]]".into())),
            _ => {
                return Err((
                    key.span(),
                    format!("unknown key `{}`", key.get_ref().escape_debug()),
                ));
            }
        };
        rules.extend(rules_of(list)?);
        if rules.len() > RULES_MAX {
            return Err((value.span(), format!("more than {RULES_MAX} mutes")));
        }
    }
    Ok(rules)
}

fn rules_of(list: &DeArray<'_>) -> Result<Vec<MuteRule>, Wrong> {
    let rule_of = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
        DeValue::Table(table) => Draft::of(table)?.rule(item.span()),
        _ => Err((item.span(), "`mute` is a list of sections: write [[mute]]".to_owned())),
    };
    list.iter().map(rule_of).collect()
}

/// The keys of one section as they come.
#[derive(Debug, Default)]
struct Draft {
    finding: Option<u64>,
    parent: Option<u64>,
    child: Option<u64>,
    route: Option<String>,
    reason: Option<String>,
    until_unix_us: Option<u64>,
}

impl Draft {
    fn of(table: &DeTable<'_>) -> Result<Self, Wrong> {
        let mut draft = Self::default();
        for (key, value) in table {
            let span = value.span();
            let here = |why: &str| (span.clone(), why.to_owned());
            let text = || value.get_ref().as_str().ok_or_else(|| here("expected a text in quotes"));
            let id = |digits| {
                hex(text()?, digits)
                    .ok_or_else(|| here(&format!("expected {digits} hexadecimal digits")))
            };
            match key.get_ref().as_ref() {
                "finding" => draft.finding = Some(id(12)?),
                "parent" => draft.parent = Some(id(16)?),
                "child" => draft.child = Some(id(16)?),
                "route" => draft.route = Some(text()?.to_owned()),
                "reason" => draft.reason = Some(text()?.trim().to_owned()),
                "until" => {
                    let moment = match value.get_ref() {
                        DeValue::Datetime(moment) => unix_us(&moment.to_string()),
                        _ => unix_us(text()?),
                    };
                    let wrong = "expected a day or a moment with its zone (2027-01-01T00:00:00Z)";
                    draft.until_unix_us = Some(moment.ok_or_else(|| here(wrong))?);
                }
                other => {
                    return Err((key.span(), format!("unknown key `{}`", other.escape_debug())));
                }
            }
        }
        Ok(draft)
    }

    fn rule(self, span: Range<usize>) -> Result<MuteRule, Wrong> {
        let target = match (self.finding, self.parent, self.child, self.route) {
            (Some(id), None, None, None) => MuteTarget::Finding(id),
            (None, Some(parent), Some(child), None) => MuteTarget::Pair { parent, child },
            (None, None, None, Some(route)) if !route.is_empty() => MuteTarget::Route(route.into()),
            _ => {
                let why = "a mute has either `finding`, or `parent` and `child`, or `route`";
                return Err((span, why.to_owned()));
            }
        };
        let reason =
            self.reason.filter(|reason| !reason.is_empty() && reason.len() <= REASON_BYTES_MAX);
        let Some(reason) = reason else {
            return Err((
                span,
                format!("a mute needs its `reason`, at most {REASON_BYTES_MAX} bytes"),
            ));
        };
        let (reason, until_unix_us) = (Arc::from(reason), self.until_unix_us);
        Ok(MuteRule { target, reason, until_unix_us, until_us: None })
    }
}

fn hex(text: &str, digits: usize) -> Option<u64> {
    let fits = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| u64::from_str_radix(text, 16).ok()).flatten()
}

/// Microseconds since 1970 of a day (its begin in UTC) or of a moment with its zone (RFC 3339).
pub(crate) fn unix_us(text: &str) -> Option<u64> {
    let (day, time) = match text.split_once(['T', 't', ' ']) {
        Some((day, time)) => (day, Some(time)),
        None => (text, None),
    };
    let mut parts = day.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let valid =
        (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if parts.next().is_some() || !valid {
        return None;
    }
    let (seconds, fraction_us) = time.map_or(Some((0, 0)), time_of_day)?;
    let seconds = u64::try_from(days(year, month, day) * 86_400 + seconds).ok()?;
    Some(seconds * 1_000_000 + fraction_us)
}

/// Seconds of a time of day, minus its offset; and the microseconds of its fraction.
fn time_of_day(time: &str) -> Option<(i64, u64)> {
    let zone = time.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = time.split_at(zone);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let fraction_us = fraction.chars().chain("000000".chars()).take(6).collect::<String>();
    let fraction_us = fraction_us.parse().ok()?;
    let mut parts = clock.split(':').map(|part| part.parse::<i64>().ok());
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let in_day = (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            let offset = hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60;
            if zone.starts_with('-') { -offset } else { offset }
        }
    };
    in_day.then_some((hour * 3_600 + minute * 60 + second - offset, fraction_us))
}

/// Days since 1970-01-01 of a Gregorian date; a year is taken to begin in March.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = (month + 9) % 12;
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Vec<MuteRule>, Problem> {
        rules(&ConfigFile { name: "mutes.toml".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn every_target() {
        let text = "[[mute]]\nfinding = \"3f2a00000001\"\nreason = \"known\"\nuntil = 2027-01-01\n\
                    [[mute]]\nparent = \"00000000000000aa\"\nchild = \"00000000000000bb\"\nreason = \"job\"\n\
                    [[mute]]\nroute = \"/admin/*\"\nreason = \"internal\"\nuntil = \"2027-01-01T01:00:00+01:00\"\n";
        let rules = of(text).unwrap();
        let targets: Vec<_> = rules.iter().map(|rule| rule.target.clone()).collect();
        let pair = MuteTarget::Pair { parent: 0xaa, child: 0xbb };
        let route = MuteTarget::Route("/admin/*".into());
        assert_eq!(targets, [MuteTarget::Finding(0x3f2a_0000_0001), pair, route]);
        let new_year = Some(1_798_761_600_000_000);
        assert_eq!(
            rules.iter().map(|rule| rule.until_unix_us).collect::<Vec<_>>(),
            [new_year, None, new_year]
        );
        assert!(of("").unwrap().is_empty());
    }

    #[test]
    fn errors_name_file_line_and_rule() {
        for (text, line, words) in [
            ("[[mute]]\nfinding = \"3f2a00000001\"\n", 1, "needs its `reason`"),
            ("[[mute]]\nreason = \"x\"\n", 1, "either `finding`"),
            ("[[mute]]\nreason = \"x\"\nfinding = \"3f\"\n", 3, "12 hexadecimal digits"),
            ("[[mute]]\nreason = \"x\"\nparent = \"00000000000000aa\"\n", 1, "either `finding`"),
            ("[[mute]]\nreason = \"x\"\nroute = \"/a\"\nfinding = \"3f2a00000001\"\n", 1, "either"),
            ("[[mute]]\nreason = 3\n", 2, "a text in quotes"),
            (
                "[[mute]]\nroute = \"/a\"\nreason = \"x\"\nuntil = \"soon\"\n",
                4,
                "a moment with its zone",
            ),
            ("[[mute]]\nroute = \"/a\"\nreason = \"x\"\nuntil = 2027-01-01T00:00:00\n", 4, "zone"),
            ("[[mute]]\nroute = \"/a\"\nreason = \"x\"\nuntill = 1\n", 4, "unknown key `untill`"),
            ("mutes = []\n", 1, "unknown key `mutes`"),
            ("mute = 1\n", 1, "[[mute]]"),
            ("\n\n[[mute\n", 3, ""),
        ] {
            let problem = of(text).unwrap_err();
            let start = format!("mutes.toml:{line}: ");
            assert!(problem.what().starts_with(&start), "{text}: {}", problem.what());
            assert!(problem.what().contains(words), "{text}: {}", problem.what());
            assert_eq!((problem.number(), problem.exit_code()), (BAD_MUTES, 2));
        }
    }

    #[test]
    fn a_rule_is_written_replaced_and_taken_out_again() {
        let by_hand = "# ours\n[[mute]]\nroute = \"/a\" # kept\nreason = \"r\"\n";
        let finding = MuteTarget::Finding(0x3f2a_0000_0001);
        let rule = |reason: &str, until_unix_us| MuteRule {
            target: finding.clone(),
            reason: Arc::from(reason),
            until_unix_us,
            until_us: None,
        };
        let first =
            changed(by_hand, &finding, Some(&rule("known \"x\"", Some(1_798_761_600_000_000))));
        assert!(first.starts_with(by_hand), "{first}");
        let read = of(&first).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[1], rule("known \"x\"", Some(1_798_761_600_000_000)));
        let second = changed(&first, &finding, Some(&rule("other", None)));
        assert_eq!(of(&second).unwrap()[1], rule("other", None));
        assert_eq!(changed(&second, &finding, None), by_hand);
        assert_eq!(of(&changed("", &finding, Some(&rule("new", None)))).unwrap().len(), 1);
    }

    #[test]
    fn moments() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2000-02-29T00:00:00Z", Some(951_782_400)),
            ("2100-03-01T00:00:00Z", Some(4_107_542_400)),
            ("1970-01-02T00:30:00-01:30", Some(93_600)),
            ("1970-01-01T00:00:00+01:00", None),
            ("2027-13-01", None),
            ("2027-01-01T25:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(unix_us(text), expected.map(|seconds: u64| seconds * 1_000_000), "{text}");
        }
    }
}

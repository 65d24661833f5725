//! The sample file: every key with its meaning, default and bounds, written from the table of keys.

use super::keys::{self, Key, Kind, Raw};
use super::reference;
use std::fmt::Write as _;

/// What the sample sets, so that it is a working file.
const UPSTREAM: &str = "postgresql://db.internal:5432?sslmode=verify-full";
/// Longest line of a comment, in characters.
const LINE_CHARACTERS_MAX: usize = 110;

const HEAD: &str = "#:schema ./pgsonde.schema.json
# Configuration of pgsonde. A key set here is stronger than its default; an environment variable
# (PGSONDE_PROXY__LISTEN for proxy.listen) is stronger than this file, a flag stronger still.
# `pgsonde config check` validates it, `pgsonde config show --origin` says what is in force and why,
# SIGHUP (systemctl reload pgsonde) takes it over; keys marked \"restart\" need a restart.
# Secrets never stand here, only where they are: env:NAME or file:PATH.
";

/// The sample (`pgsonde config init`, `deploy/pgsonde.example.toml`).
pub(crate) fn text() -> String {
    let mut out = HEAD.to_owned();
    let mut sections: Vec<&str> = Vec::new();
    for section in keys::all().map(|key| parts(key).0) {
        if !sections.contains(&section) {
            sections.push(section);
        }
    }
    for section in sections {
        // Writing into a String can't fail.
        let _ = writeln!(out, "\n[{section}]");
        keys::all().filter(|key| parts(key).0 == section).for_each(|key| write_key(&mut out, key));
    }
    out
}

/// Section and name.
fn parts(key: &Key) -> (&'static str, &'static str) {
    key.name.rsplit_once('.').unwrap_or(("", key.name))
}

fn write_key(out: &mut String, key: &Key) {
    let name = parts(key).1;
    let meaning = reference::meaning(key.name);
    let mut words = meaning.map_or(String::new(), |meaning| meaning.text.to_owned());
    if let Some(bounds) = key.kind.bounds() {
        let _ = write!(words, " [{bounds}]");
    }
    if !meaning.is_some_and(|meaning| meaning.live) {
        words.push_str(" (restart)");
    }
    comment(out, &words);
    let _ = match (key.kind, key.default) {
        (Kind::Url, _) => writeln!(out, "{name} = \"{UPSTREAM}\""),
        (kind, "") => writeln!(out, "# Unset. Example: {name} = {}", kind.example()),
        (kind, default) => {
            writeln!(out, "#{name} = {}", kind.spelled(&Raw::Text(default.to_owned())))
        }
    };
}

fn comment(out: &mut String, words: &str) {
    let mut line = String::from("#");
    for word in words.split(' ') {
        if line.chars().count() + 1 + word.chars().count() > LINE_CHARACTERS_MAX {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {word}");
    }
    let _ = writeln!(out, "{line}");
}

impl Kind {
    /// A value for a key that has no default.
    fn example(self) -> &'static str {
        match self {
            Self::Secret => "\"env:PGSONDE_TOKEN\"",
            Self::Hosts => "[\"pgsonde.internal\"]",
            Self::Web => "\"http://clickhouse.internal:8123\"",
            Self::Receiver => "\"http://collector.internal:4318\"",
            Self::FindingKinds => "[\"polling\"]",
            Self::Size(..) => "\"350MiB\"",
            Self::EventKinds => "[\"statement\", \"finding\"]",
            _ => "\"/etc/pgsonde/…\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::*;

    /// The lines that only have to lose their `#` to be set.
    fn uncommented() -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase()) => {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        };
        text().lines().map(line).collect()
    }

    #[test]
    fn the_sample_sets_the_server_alone_and_uncommented_it_equals_the_defaults() {
        let sample = Settings::parse(&text()).unwrap();
        let uncommented = Settings::parse(&uncommented()).unwrap();
        let defaults = Settings::parse(&format!("[proxy]\nupstream = \"{UPSTREAM}\"\n")).unwrap();
        for settings in [&sample, &uncommented] {
            assert_eq!(settings.proxy, defaults.proxy);
            assert_eq!(settings.admin, defaults.admin);
            assert_eq!(settings.profile, defaults.profile);
            assert_eq!(settings.findings, defaults.findings);
            assert_eq!(settings.metrics, defaults.metrics);
            assert_eq!(settings.log, defaults.log);
        }
        let set = |settings: &Settings| {
            let shown = settings.shown();
            shown.iter().filter(|shown| shown.origin != "default").count()
        };
        assert_eq!(set(&sample), 1);
        let with_default = keys::all().filter(|key| !key.default.is_empty()).count();
        assert_eq!(set(&uncommented), with_default + 1, "every key with a default is there");
    }

    #[test]
    fn the_installed_sample_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/pgsonde.example.toml");
        let installed = std::fs::read_to_string(path).unwrap();
        assert!(
            installed == text(),
            "write it anew: pgsonde config init > deploy/pgsonde.example.toml"
        );
    }
}

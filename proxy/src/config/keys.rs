//! The keys of the configuration: name, kind, bounds and default, in one table that every source is held against.

use crate::capture::Kinds;
use crate::config::address::{Address, Listen};
use crate::config::export::{EXPORT_KEYS, check_url, receiver};
use crate::config::findings::FINDING_KEYS;
use crate::config::secret;
use crate::config::units::{
    UnitError, duration_text, duration_us, share_millionths, size_bytes, size_text,
};
use pgsonde_analyzer::finding::Kind as FindingKind;
use pgsonde_analyzer::text::TagKeys;

/// One key.
pub(crate) struct Key {
    /// `section.key`.
    pub(crate) name: &'static str,
    /// What it holds.
    pub(crate) kind: Kind,
    /// Its default as the user would write it; empty where it must be given.
    pub(crate) default: &'static str,
}

/// What a key holds, with bounds (both ends included).
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// The upstream URL.
    Url,
    /// http:// or https://, without a password.
    Web,
    /// http:// or https://, without user and password.
    Receiver,
    /// One address.
    Address,
    /// 1 to 8 addresses or Unix sockets.
    Listens,
    /// A file.
    Path,
    /// A whole number.
    Count(u64, u64),
    /// A duration in microseconds; `0s` is allowed as well where the flag is set.
    Duration(u64, u64, bool),
    /// A size in bytes.
    Size(u64, u64),
    /// A share between 0 % and 100 %, in parts per million.
    Share,
    /// Names of kinds of findings, at most 32.
    FindingKinds,
    /// Where a secret is: `env:NAME` or `file:PATH`.
    Secret,
    /// The name of an account.
    Name,
    /// Names of hosts, at most 32.
    Hosts,
    /// Kinds of lines.
    EventKinds,
    /// Keys of SQL comments, at most 32.
    TagKeys,
    /// true or false.
    Bool,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// A checked value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// URL or word.
    Text(String),
    /// Count, microseconds or bytes.
    Number(u64),
    /// true or false.
    Bool(bool),
    /// One address.
    Address(Address),
    /// Where to listen.
    Listens(Vec<Listen>),
    /// Kinds of findings.
    FindingKinds(Vec<FindingKind>),
    /// Names.
    Names(Vec<String>),
    /// Kinds of lines.
    EventKinds(Kinds),
}

/// A value as a source spells it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Raw {
    /// A string (also everything from flags and environment).
    Text(String),
    /// A whole number in a file.
    Integer(String),
    /// A boolean in a file.
    Bool(bool),
    /// A list of strings in a file.
    List(Vec<String>),
    /// Another type, by its name.
    Other(&'static str),
}

/// Most names of hosts in a list.
const HOSTS_MAX: usize = 32;

/// Most keys of SQL comments in a list.
const TAG_KEYS_MAX: usize = 32;

/// Most addresses in a list.
const ADDRESSES_MAX: usize = 8;

const MS: u64 = 1_000;
const S: u64 = 1_000 * MS;
const M: u64 = 60 * S;
const H: u64 = 60 * M;
const D: u64 = 24 * H;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

const fn key(name: &'static str, default: &'static str, kind: Kind) -> Key {
    Key { name, kind, default }
}

pub(super) const fn duration_key(
    name: &'static str,
    default: &'static str,
    low_us: u64,
    high_us: u64,
) -> Key {
    key(name, default, Kind::Duration(low_us, high_us, false))
}

pub(super) const fn share_key(name: &'static str, default: &'static str) -> Key {
    key(name, default, Kind::Share)
}

/// Every key that this version knows: those below, then the thresholds of findings.
pub(crate) fn all() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().chain(EXPORT_KEYS).chain(FINDING_KEYS.iter().map(|finding| &finding.key))
}

/// Keys of SQL comments that are kept where nobody says otherwise.
const TAGS: &str = "application,service.name,dddbs,framework,route,controller,action,job,traceparent,file,line,mark";

/// The keys but for the thresholds of findings.
pub(crate) const KEYS: &[Key] = &[
    key("proxy.listen", "127.0.0.1:6435", Kind::Listens),
    key("proxy.upstream", "", Kind::Url),
    key("proxy.max_connections", "1000", Kind::Count(1, 100_000)),
    key("proxy.connect_timeout", "10s", Kind::Duration(100 * MS, 5 * M, false)),
    key("proxy.startup_timeout", "30s", Kind::Duration(S, 5 * M, false)),
    key("proxy.startups_per_address", "64", Kind::Count(1, 100_000)),
    key("proxy.idle_timeout", "0s", Kind::Duration(S, 7 * D, true)),
    key("proxy.drain_timeout", "30s", Kind::Duration(0, H, true)),
    key("proxy.tcp_keepalive", "60s", Kind::Duration(5 * S, 2 * H, true)),
    key("proxy.buffer", "64KiB", Kind::Size(4 * KIB, MIB)),
    key("proxy.tls.cert", "", Kind::Path),
    key("proxy.tls.key", "", Kind::Path),
    key("proxy.tls.client_ca", "", Kind::Path),
    key("proxy.tls.auth", "passthrough", Kind::Word(&["passthrough", "same-certificate"])),
    key("proxy.tls.min_version", "1.2", Kind::Word(&["1.2", "1.3"])),
    key("proxy.tls.required", "false", Kind::Bool),
    key("proxy.tls.relay", "false", Kind::Bool),
    key("admin.listen", "127.0.0.1:9635", Kind::Address),
    key("admin.token", "", Kind::Secret),
    key("admin.api", "true", Kind::Bool),
    key("admin.allowed_hosts", "", Kind::Hosts),
    key("profile.mode", "full", Kind::Word(&["full", "counters_only", "bypass"])),
    key("profile.redact", "literals", Kind::Word(&["literals", "all-text", "off"])),
    key("profile.max_digests", "5000", Kind::Count(100, 100_000)),
    key("profile.memory_limit", "128MiB", Kind::Size(32 * MIB, 8 * 1_024 * MIB)),
    key("profile.queue_batches", "1024", Kind::Count(64, 65_536)),
    key("profile.max_statement_text", "64KiB", Kind::Size(KIB, MIB)),
    key("profile.unit_gap", "50ms", Kind::Duration(MS, 10 * S, false)),
    key("profile.tags", TAGS, Kind::TagKeys),
    key("profile.history", "1h", Kind::Duration(M, 7 * D, false)),
    key("profile.history_step", "10s", Kind::Duration(S, H, false)),
    key("findings.close_after", "24h", Kind::Duration(M, 90 * D, false)),
    key("findings.disable", "", Kind::FindingKinds),
    key("findings.mutes", "", Kind::Path),
    key("findings.n_plus_one.min_repeats", "5", Kind::Count(3, 1_000)),
    key("findings.n_plus_one.require_proof", "false", Kind::Bool),
    key("findings.missing_index.enabled", "true", Kind::Bool),
    key("findings.missing_index.side_connection", "", Kind::Secret),
    key("findings.missing_index.capture_values", "true", Kind::Bool),
    key("findings.missing_index.statistics_values", "full", Kind::Word(&["full", "none"])),
    key("findings.missing_index.what_if", "shadow", Kind::Word(&["shadow", "hypopg", "off"])),
    key("findings.missing_index.shadow_bin_dir", "", Kind::Path),
    key("findings.missing_index.shadow_dir", "", Kind::Path),
    key("findings.missing_index.shadow_user", "postgres", Kind::Name),
    key("findings.missing_index.budget_bytes", "", Kind::Size(MIB, u64::MAX)),
    key("findings.missing_index.explains_max", "3000", Kind::Count(10, 100_000)),
    key("findings.missing_index.allow_powerful_role", "false", Kind::Bool),
    key("metrics.pairs", "24", Kind::Count(1, 256)),
    key("metrics.statement_sets", "96", Kind::Count(8, 2_048)),
    key("metrics.error_sets", "64", Kind::Count(8, 1_024)),
    key("metrics.digests", "100", Kind::Count(0, 1_000)),
    key("metrics.digest_histograms", "false", Kind::Bool),
    key("metrics.routes", "128", Kind::Count(0, 1_000)),
    key("metrics.findings", "100", Kind::Count(0, 500)),
    key("capture.dir", "", Kind::Path),
    key("capture.flush_interval", "1s", Kind::Duration(100 * MS, M, false)),
    key("capture.rotate", "64MiB", Kind::Size(MIB, 4 * 1_024 * MIB)),
    key("capture.max_size", "2GiB", Kind::Size(2 * MIB, 1_048_576 * MIB)),
    key("capture.level", "3", Kind::Count(1, 19)),
    key("capture.sample", "100%", Kind::Share),
    key("capture.events", "", Kind::EventKinds),
    key("log.level", "info", Kind::Word(&["error", "warn", "info", "debug", "trace"])),
    key("log.format", "text", Kind::Word(&["text", "json"])),
];

/// The key of that name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    all().find(|key| key.name == name)
}

/// Whether keys stand below that name.
pub(crate) fn is_section(name: &str) -> bool {
    all().any(|key| key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The nearest known name in the same section, for "did you mean"; at most a third of it may differ.
pub(crate) fn suggestion(name: &str) -> Option<String> {
    let (section, last) = name.rsplit_once('.').map_or(("", name), |(left, right)| (left, right));
    let mut best: Option<(usize, &str)> = None;
    for candidate in all().filter_map(|key| child_of(section, key.name)) {
        let distance = edit_distance(last, candidate);
        if distance * 3 <= candidate.len().max(3) && best.is_none_or(|(least, _)| distance < least)
        {
            best = Some((distance, candidate));
        }
    }
    if let Some((_, found)) = best {
        return Some(found.to_owned());
    }
    // The right key in the wrong section is the other usual slip.
    all().find(|key| key.name.rsplit('.').next() == Some(last)).map(|key| key.name.to_owned())
}

fn child_of(section: &str, name: &'static str) -> Option<&'static str> {
    let rest = match section {
        "" => name,
        _ => name.strip_prefix(section)?.strip_prefix('.')?,
    };
    rest.split('.').next()
}

/// The nearest of these names, if one is near; at most a third of it may differ.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let distances = known.iter().map(|known| (edit_distance(name, known), *known));
    let near = distances.filter(|(distance, known)| distance * 3 <= known.len().max(3));
    near.min_by_key(|(distance, _)| *distance).map(|(_, known)| known)
}

/// Insertions, deletions and replacements that turn one word into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().take(64).enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

/// Why a value was refused: the code and the rule.
pub(crate) type Refusal = (u16, String);

const BARE: u16 = 203;
const BAD_VALUE: u16 = 204;
const WRONG_TYPE: u16 = 207;

impl Key {
    /// Checks a value; URLs are read later, where their own messages are made.
    pub(crate) fn check(&self, raw: &Raw) -> Result<Value, Refusal> {
        match (self.kind, raw) {
            (Kind::Url, Raw::Text(text)) => Ok(Value::Text(text.clone())),
            (Kind::Address, Raw::Text(text)) => {
                Address::parse(text).map(Value::Address).map_err(|rule| no_address(text, &rule))
            }
            (Kind::Listens, Raw::Text(text)) => {
                listens(&text.split(',').map(str::to_owned).collect::<Vec<_>>())
            }
            (Kind::Listens, Raw::List(list)) => listens(list),
            (Kind::Path | Kind::Name, Raw::Text(text)) => path(text),
            (Kind::Receiver, Raw::Text(text)) => match receiver(text.trim()) {
                Ok(_) => Ok(Value::Text(text.trim().to_owned())),
                Err(rule) => Err((BAD_VALUE, rule)),
            },
            (Kind::Web, Raw::Text(text)) => match check_url(text.trim()) {
                Ok(()) => Ok(Value::Text(text.trim().to_owned())),
                Err(rule) => Err((BAD_VALUE, rule)),
            },
            (Kind::Count(low, high), Raw::Integer(text) | Raw::Text(text)) => {
                count(text, low, high, matches!(raw, Raw::Text(_)))
            }
            (Kind::Duration(low, high, zero), Raw::Text(text)) => duration(text, low, high, zero),
            (Kind::Size(low, high), Raw::Text(text)) => size(text, low, high),
            (Kind::Duration(..), Raw::Integer(text)) => Err(bare(text, "a duration", "s")),
            (Kind::Size(..), Raw::Integer(text)) => Err(bare(text, "a size", "KiB")),
            (Kind::Share, Raw::Text(text)) => share(text),
            (Kind::Share, Raw::Integer(text)) => Err(bare(text, "a share", "%")),
            (Kind::FindingKinds, Raw::Text(text)) => finding_kinds(&split(text)),
            (Kind::FindingKinds, Raw::List(list)) => finding_kinds(list),
            (Kind::Secret, Raw::Text(text)) => {
                secret::check_place(text.trim()).map(|()| Value::Text(text.trim().to_owned()))
            }
            (Kind::Hosts, Raw::Text(text)) => hosts(&split(text)),
            (Kind::Hosts, Raw::List(list)) => hosts(list),
            (Kind::EventKinds, Raw::Text(text)) => event_kinds(text.split(',')),
            (Kind::EventKinds, Raw::List(list)) => event_kinds(list.iter().map(String::as_str)),
            (Kind::TagKeys, Raw::Text(text)) => tag_keys(&split(text)),
            (Kind::TagKeys, Raw::List(list)) => tag_keys(list),
            (Kind::Bool, Raw::Bool(value)) => Ok(Value::Bool(*value)),
            (Kind::Bool, Raw::Text(text)) => boolean(text),
            (Kind::Word(words), Raw::Text(text)) => word(text, words),
            (kind, raw) => {
                Err((WRONG_TYPE, format!("expected {}, not {}", kind.noun(), raw.noun())))
            }
        }
    }
}

impl Kind {
    /// A value as TOML spells it in a file, whatever source it comes from.
    pub(crate) fn spelled(self, raw: &Raw) -> String {
        match (self, raw) {
            (Self::Count(..) | Self::Bool, Raw::Text(text)) => text.trim().to_owned(),
            (
                Self::FindingKinds | Self::EventKinds | Self::Hosts | Self::TagKeys,
                Raw::Text(text),
            ) => Raw::List(split(text)).to_toml(),
            (Self::Listens, Raw::Text(text)) if text.contains(',') => {
                Raw::List(split(text)).to_toml()
            }
            _ => raw.to_toml(),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Self::Url | Self::Web | Self::Receiver => "a URL in quotes",
            Self::Address => "an address in quotes",
            Self::Listens => "an address in quotes, or a list of them",
            Self::Path => "a file name in quotes",
            Self::Count(..) => "a whole number",
            Self::Duration(..) => "a duration in quotes (\"10s\")",
            Self::Size(..) => "a size in quotes (\"16KiB\")",
            Self::Share => "a share in quotes (\"60%\")",
            Self::FindingKinds => "a list of kinds of findings",
            Self::Secret => "the place of a secret in quotes (\"env:NAME\")",
            Self::Name => "a name in quotes",
            Self::Hosts => "a list of host names",
            Self::EventKinds => "a list of kinds of lines",
            Self::TagKeys => "a list of keys of SQL comments",
            Self::Bool => "true or false",
            Self::Word(_) => "a word in quotes",
        }
    }
}

impl Raw {
    fn noun(&self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Integer(_) => "a number",
            Self::Bool(_) => "a boolean",
            Self::List(_) => "a list",
            Self::Other(name) => name,
        }
    }
}

fn bare(text: &str, what: &str, unit: &str) -> Refusal {
    (BARE, format!("{what} needs its unit: did you mean \"{text}{unit}\"?"))
}

fn path(text: &str) -> Result<Value, Refusal> {
    match text.trim() {
        "" => Err((BAD_VALUE, "a file name is not empty".to_owned())),
        name => Ok(Value::Text(name.to_owned())),
    }
}

fn listens(texts: &[String]) -> Result<Value, Refusal> {
    if texts.is_empty() || texts.len() > ADDRESSES_MAX {
        return Err((BAD_VALUE, format!("expected 1 to {ADDRESSES_MAX} addresses")));
    }
    let parsed =
        texts.iter().map(|text| Listen::parse(text).map_err(|rule| no_address(text, &rule)));
    Ok(Value::Listens(parsed.collect::<Result<_, _>>()?))
}

fn no_address(text: &str, rule: &str) -> Refusal {
    (BAD_VALUE, format!("`{}`: {rule}", text.escape_debug()))
}

fn count(text: &str, low: u64, high: u64, quoted: bool) -> Result<Value, Refusal> {
    let text = text.trim();
    let digits = text.strip_prefix('-').unwrap_or(text);
    if quoted && (digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())) {
        return Err((BAD_VALUE, format!("`{}` is not a whole number", text.escape_debug())));
    }
    match text.replace('_', "").parse::<u64>() {
        Ok(value) if (low..=high).contains(&value) => Ok(Value::Number(value)),
        _ => Err((BAD_VALUE, format!("{text} is outside of {low} to {high}"))),
    }
}

fn duration(text: &str, low: u64, high: u64, zero: bool) -> Result<Value, Refusal> {
    let us = duration_us(text).map_err(|error| unit_refusal(error, text, "a duration", "s"))?;
    if (low..=high).contains(&us) || (zero && us == 0) {
        return Ok(Value::Number(us));
    }
    let zero = if zero && low > 0 { "0s or " } else { "" };
    let rule = format!("{} to {}", duration_text(low), duration_text(high));
    Err((BAD_VALUE, format!("{text} is outside of {zero}{rule}")))
}

fn size(text: &str, low: u64, high: u64) -> Result<Value, Refusal> {
    let bytes = size_bytes(text).map_err(|error| unit_refusal(error, text, "a size", "KiB"))?;
    if (low..=high).contains(&bytes) {
        return Ok(Value::Number(bytes));
    }
    let rule = format!("{} to {}", size_text(low), size_text(high));
    Err((BAD_VALUE, format!("{text} is outside of {rule}")))
}

fn share(text: &str) -> Result<Value, Refusal> {
    match share_millionths(text) {
        Ok(parts) => Ok(Value::Number(parts)),
        Err(UnitError::Bare) => Err(bare(text.trim(), "a share", "%")),
        Err(UnitError::TooLarge) => Err((BAD_VALUE, format!("{text} is more than 100%"))),
        Err(UnitError::Malformed) => {
            Err((BAD_VALUE, format!("`{}` is not a share such as 60%", text.escape_debug())))
        }
    }
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|name| name.trim().to_owned()).collect()
}

fn hosts(names: &[String]) -> Result<Value, Refusal> {
    if names.len() > HOSTS_MAX {
        return Err((BAD_VALUE, format!("expected at most {HOSTS_MAX} names of hosts")));
    }
    let fits = |name: &String| {
        let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        !name.is_empty() && name.len() <= 253 && name.bytes().all(letters)
    };
    match names.iter().find(|name| !fits(name)) {
        None => Ok(Value::Names(names.iter().map(|name| name.to_ascii_lowercase()).collect())),
        Some(name) => {
            let shown = name.escape_debug();
            Err((BAD_VALUE, format!("`{shown}` is not a name of a host (without a port)")))
        }
    }
}

fn finding_kinds(names: &[String]) -> Result<Value, Refusal> {
    let kinds = names.iter().map(|name| {
        FindingKind::named(name).ok_or_else(|| {
            let all: Vec<&str> = FindingKind::ALL.iter().map(|kind| kind.name()).collect();
            let shown = name.escape_debug();
            (BAD_VALUE, format!("`{shown}` is no kind of finding; there are {}", all.join(", ")))
        })
    });
    Ok(Value::FindingKinds(kinds.collect::<Result<_, _>>()?))
}

fn event_kinds<'a>(names: impl Iterator<Item = &'a str>) -> Result<Value, Refusal> {
    let names: Vec<&str> = names.map(str::trim).filter(|name| !name.is_empty()).collect();
    Kinds::named(names.iter().copied()).map(Value::EventKinds).ok_or_else(|| {
        let shown = names.join(", ");
        (BAD_VALUE, format!("`{}`: there are {}", shown.escape_debug(), Kinds::NAMES.join(", ")))
    })
}

fn unit_refusal(error: UnitError, text: &str, what: &str, unit: &str) -> Refusal {
    let shown = text.escape_debug();
    match error {
        UnitError::Bare => bare(text.trim(), what, unit),
        UnitError::TooLarge => (BAD_VALUE, format!("`{shown}` is too large")),
        UnitError::Malformed => {
            let units = if unit == "s" { "us ms s m h d" } else { "KiB MiB GiB kB MB GB B" };
            (BAD_VALUE, format!("`{shown}` is not {what}: a whole number and one of {units}"))
        }
    }
}

fn boolean(text: &str) -> Result<Value, Refusal> {
    match text {
        "true" => Ok(Value::Bool(true)),
        "false" => Ok(Value::Bool(false)),
        _ => Err((BAD_VALUE, format!("`{}` is not true or false", text.escape_debug()))),
    }
}

fn word(text: &str, words: &[&str]) -> Result<Value, Refusal> {
    if words.contains(&text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Err((BAD_VALUE, format!("`{}` is not one of {}", text.escape_debug(), words.join(", "))))
}

fn tag_keys(list: &[String]) -> Result<Value, Refusal> {
    if list.len() > TAG_KEYS_MAX {
        return Err((BAD_VALUE, format!("expected at most {TAG_KEYS_MAX} keys")));
    }
    match list.iter().find(|key| !TagKeys::may_be(key)) {
        Some(key) => Err((BAD_VALUE, format!("`{}` is no key of a tag", key.escape_debug()))),
        None => Ok(Value::Names(list.to_vec())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_passes_its_own_check() {
        for key in all().filter(|key| !key.default.is_empty()) {
            assert!(key.check(&Raw::Text(key.default.to_owned())).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn suggests_the_nearest_name() {
        let rows = [
            ("profile.max_digest", Some("max_digests")),
            ("proxy.lisen", Some("listen")),
            ("prxy", Some("proxy")),
            ("findings.n_plus_on", Some("n_plus_one")),
            ("profile.max_connections", Some("proxy.max_connections")),
            ("proxy.zzzzzz", None),
            ("", None),
        ];
        for (name, expected) in rows {
            assert_eq!(suggestion(name).as_deref(), expected, "{name}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        let rows = [("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("a", "", 1)];
        for (left, right, expected) in rows {
            assert_eq!(edit_distance(left, right), expected, "{left} {right}");
        }
    }
}

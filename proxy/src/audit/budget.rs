//! The budget file: limits for a run, its routes, marks and digests, and what is knowingly ignored.

mod file;
mod written;

pub(crate) use written::written;

use crate::problem::Problem;
use pgsonde_analyzer::finding::Kind;
use std::path::Path;

/// What a limit is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Count,
    /// Microseconds.
    Time,
    Bytes,
}

/// One limit: it holds when measured ≤ `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) key: &'static str,
    pub(crate) unit: Unit,
    pub(crate) most: u64,
}

/// Keys of `[budget]`.
pub(crate) const WHOLE_KEYS: [(&str, Unit); 8] = [
    ("n_plus_one", Unit::Count),
    ("looped_lookup", Unit::Count),
    ("duplicate_query", Unit::Count),
    ("errors", Unit::Count),
    ("statements_per_unit", Unit::Count),
    ("idle_in_transaction", Unit::Time),
    ("p95", Unit::Time),
    ("new_findings", Unit::Count),
];

/// Severities of findings.
const SEVERITIES: [&str; 3] = ["error", "warning", "info"];

/// Keys of `[budget.findings]`: severities and kinds.
pub(crate) fn finding_groups() -> Vec<&'static str> {
    SEVERITIES.into_iter().chain(Kind::ALL.iter().map(|kind| kind.name())).collect()
}

/// Limits of `[[budget.route]]` and `[[budget.mark]]`.
pub(crate) const RULE_KEYS: [(&str, Unit); 7] = [
    ("statements", Unit::Count),
    ("duplicates", Unit::Count),
    ("n_plus_one", Unit::Count),
    ("rows", Unit::Count),
    ("sent", Unit::Bytes),
    ("db_time", Unit::Time),
    ("p95", Unit::Time),
];

/// Limits of `[[budget.digest]]`.
pub(crate) const DIGEST_KEYS: [(&str, Unit); 7] = [
    ("calls", Unit::Count),
    ("calls_per_unit", Unit::Count),
    ("errors", Unit::Count),
    ("rows", Unit::Count),
    ("sent", Unit::Bytes),
    ("db_time", Unit::Time),
    ("p95", Unit::Time),
];

/// What rules are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Route,
    Mark,
    Digest,
}

impl Scope {
    pub(crate) const ALL: [Self; 3] = [Self::Route, Self::Mark, Self::Digest];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Mark => "mark",
            Self::Digest => "digest",
        }
    }

    /// Keys of its limits.
    pub(crate) fn keys(self) -> &'static [(&'static str, Unit)] {
        match self {
            Self::Route | Self::Mark => &RULE_KEYS,
            Self::Digest => &DIGEST_KEYS,
        }
    }
}

/// Limits for every route, mark or digest that a pattern fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) pattern: String,
    /// Routes only.
    pub(crate) service: Option<String>,
    pub(crate) limits: Vec<Limit>,
}

/// Findings that don't count; every condition that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ignore {
    pub(crate) kind: Option<String>,
    pub(crate) digest: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) mark: Option<String>,
    pub(crate) finding: Option<String>,
    pub(crate) reason: String,
    /// `2027-01-31`; from the day after it counts again.
    pub(crate) until: Option<String>,
}

/// Everything that the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Budget {
    pub(crate) whole: Vec<Limit>,
    /// By severity.
    pub(crate) findings: Vec<Limit>,
    pub(crate) routes: Vec<Rule>,
    pub(crate) marks: Vec<Rule>,
    /// By id or summary.
    pub(crate) digests: Vec<Rule>,
    pub(crate) ignores: Vec<Ignore>,
}

impl Budget {
    /// Reads the file.
    ///
    /// # Errors
    /// PGS0604 with file, line, column and the nearest known name.
    pub(crate) fn read(path: &Path) -> Result<Self, Problem> {
        file::read(path)
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    // There is at least the part behind the first star.
    let last = parts.pop().unwrap_or("");
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_run() {
        let rows = [
            ("/orders/*", "/orders/7", true),
            ("/orders/*", "/orders/", true),
            ("/orders/*", "/orders", false),
            ("*", "", true),
            ("*list*", "test_list_all", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("exact", "exact", true),
            ("exact", "exactly", false),
        ];
        for (pattern, text, is) in rows {
            assert_eq!(fits(pattern, text), is, "{pattern} {text}");
        }
    }
}

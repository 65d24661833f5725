//! Settings that contradict each other: the rules, and where each of the values that don't fit comes from.

use super::Values;
use super::file::ConfigFile;
use super::given::{Given, Origin};
use super::keys;
use crate::problem::Problem;

/// Keys of which the first may not be larger than the second.
const ORDERED: [(&str, &str); 4] = [
    ("findings.transactions.idle_warning", "findings.transactions.idle_error"),
    ("findings.transactions.long_warning", "findings.transactions.long_error"),
    ("findings.lock_hazard.held_warning", "findings.lock_hazard.held_error"),
    ("profile.history_step", "profile.history"),
];

/// Why a smaller value has to come first.
fn ordered_help(low: &str) -> &'static str {
    match low {
        "profile.history_step" => {
            "the history is made of steps: give it at least the length of one"
        }
        _ => "the warning comes first: give it the smaller value",
    }
}

impl Values {
    /// The rules over several keys that belong to no section alone.
    pub(super) fn check_together(&self) -> Result<(), Problem> {
        if let Some((low, high)) =
            ORDERED.into_iter().find(|(low, high)| self.number(low) > self.number(high))
        {
            let what = format!("{low} is larger than {high}");
            return Err(Problem::new(208, what).help(ordered_help(low)));
        }
        self.check_privacy()
    }

    /// Index advice shows names, and asks the server with texts: neither goes with hidden texts.
    fn check_privacy(&self) -> Result<(), Problem> {
        let hidden = self.text("profile.redact") == "all-text";
        let asks = !self.text("findings.missing_index.side_connection").is_empty();
        if hidden && asks {
            let what = "profile.redact = \"all-text\" hides what findings.missing_index.side_connection would ask about";
            return Err(Problem::new(208, what)
                .help("leave out one of the two: indexes are advised by name"));
        }
        Ok(())
    }

    /// Says of every key that the problem names where its value comes from; the first one that stands in the file
    /// is shown there.
    pub(super) fn with_origins(
        given: &super::AllGiven,
        problem: Problem,
        file: Option<&ConfigFile>,
    ) -> Problem {
        let named = named_keys(problem.what());
        if named.len() < 2 && !named.iter().any(|key| is_in_file(given, key)) {
            return problem;
        }
        let notes: Vec<String> = named.iter().filter_map(|key| origin_note(key, given)).collect();
        let in_file = named.iter().find(|key| is_in_file(given, key));
        let problem = match (file, in_file) {
            (Some(file), Some(key)) => file.point_at_key(problem, key),
            _ => problem,
        };
        // One key in the file is its own place.
        if named.len() < 2 { problem } else { notes.into_iter().fold(problem, Problem::note) }
    }
}

fn is_in_file(given: &super::AllGiven, key: &str) -> bool {
    matches!(given.get(key), Some(Given { origin: Origin::File(..), .. }))
}

/// The keys that a sentence names, in its order.
fn named_keys(what: &str) -> Vec<&'static str> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.');
    let place = |key: &'static keys::Key| {
        let found = what.match_indices(key.name).find(|(at, name)| {
            let (before, after) =
                (what[..*at].bytes().last(), what[at + name.len()..].bytes().next());
            !before.as_ref().is_some_and(is_part)
                && !after.as_ref().filter(|byte| **byte != b'.').is_some_and(is_part)
        });
        found.map(|(at, _)| (at, key.name))
    };
    let mut named: Vec<(usize, &'static str)> = keys::all().filter_map(place).collect();
    named.sort_unstable();
    named.into_iter().map(|(_, name)| name).collect()
}

fn origin_note(name: &str, given: &super::AllGiven) -> Option<String> {
    let key = keys::find(name)?;
    let Some(Given { raw, origin }) = given.get(name) else {
        return Some(format!("{name} is not set"));
    };
    let value = match key.kind {
        // Where a secret is, is none; but nobody needs it here.
        keys::Kind::Secret => String::new(),
        kind => format!(" = {}", kind.spelled(raw)),
    };
    Some(match origin {
        Origin::Default => format!("{name}{value} is the default"),
        Origin::File(file, line) => format!("{name}{value} stands in {file}:{line}"),
        Origin::Environment(variable) => format!("{name}{value} comes from {variable}"),
        Origin::Flag(flag) => format!("{name}{value} comes from {flag}"),
    })
}

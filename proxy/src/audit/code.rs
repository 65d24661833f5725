//! Where in the application's code a statement comes from: out of the tags of the audit's own capture.

use crate::capture::reader::{self, FileHead, Lines};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Statements whose places are remembered, each with its most frequent one.
const DIGESTS_MAX: usize = 10_000;
/// Places told apart per statement.
const PLACES_MAX: usize = 16;

/// A line of a file.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Code {
    pub(crate) file: String,
    /// From 1 on.
    pub(crate) line: u32,
}

impl Code {
    /// Reads `file:line`, `file:line:in …` or `file`; files below `folder` are named from there.
    fn read(text: &str, folder: &Path) -> Option<Self> {
        let numbered = text.match_indices(':').find_map(|(at, _)| {
            let digits = text[at + 1..].split(|c: char| !c.is_ascii_digit()).next()?;
            Some((&text[..at], digits.parse::<u32>().ok()?))
        });
        let (file, line) = numbered.unwrap_or((text, 1));
        let file = Path::new(file).strip_prefix(folder).map_or(Some(file), Path::to_str)?;
        (!file.is_empty()).then(|| Self { file: file.to_owned(), line: line.max(1) })
    }
}

/// The most frequent place of each statement, by digest.
pub(crate) type Places = BTreeMap<String, Code>;

#[derive(Deserialize)]
struct Statement<'a> {
    #[serde(borrow)]
    digest: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    code: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Default)]
struct Counts(BTreeMap<String, BTreeMap<String, u64>>);

impl Lines for Counts {
    fn begin(&mut self, _head: &FileHead, _first: &[u8], _notes: &mut Vec<String>) {}

    fn line(&mut self, ev: &str, line: &[u8]) -> bool {
        if ev != "statement" {
            return true;
        }
        let Ok(statement) = serde_json::from_slice::<Statement<'_>>(line) else { return false };
        let Some(code) = statement.code else { return true };
        if !self.0.contains_key(&*statement.digest) && self.0.len() >= DIGESTS_MAX {
            return true;
        }
        let places = self.0.entry(statement.digest.into_owned()).or_default();
        if places.len() < PLACES_MAX || places.contains_key(&*code) {
            *places.entry(code.into_owned()).or_default() += 1;
        }
        true
    }
}

/// Reads the captures of an audit; what can't be read gives no places, and the findings stand at the budget file.
pub(super) fn places(captures: &[std::path::PathBuf], folder: &Path) -> Places {
    let mut counts = Counts::default();
    for capture in captures.iter().filter(|capture| capture.exists()) {
        let _notes = reader::read(capture, &mut counts);
    }
    let most = |places: BTreeMap<String, u64>| {
        let (text, _) = places.into_iter().max_by(|a, b| (a.1, &b.0).cmp(&(b.1, &a.0)))?;
        Code::read(&text, folder)
    };
    counts.0.into_iter().filter_map(|(digest, places)| Some((digest, most(places)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_frameworks_write_them() {
        let read =
            |text| Code::read(text, Path::new("/srv/shop")).map(|code| (code.file, code.line));
        let cases = [
            ("app/views.py:12", Some(("app/views.py", 12))),
            ("/srv/shop/app/views.py:12", Some(("app/views.py", 12))),
            ("/usr/lib/x.py:3", Some(("/usr/lib/x.py", 3))),
            ("app/models/order.rb:7:in `each'", Some(("app/models/order.rb", 7))),
            ("app/views.py", Some(("app/views.py", 1))),
            ("app/a:b.py:4", Some(("app/a:b.py", 4))),
            ("app/views.py:0", Some(("app/views.py", 1))),
            ("app/views.py:99999999999", Some(("app/views.py:99999999999", 1))),
            ("", None),
        ];
        for (text, wanted) in cases {
            let wanted = wanted.map(|(file, line)| (file.to_owned(), line));
            assert_eq!(read(text), wanted, "{text}");
        }
    }

    #[test]
    fn the_most_frequent_place_counts_and_of_equals_the_first_by_name() {
        let mut counts = Counts::default();
        for code in ["b.py:2", "a.py:1", "c.py:3", "c.py:3"] {
            let line = format!("{{\"ev\":\"statement\",\"digest\":\"d1\",\"code\":\"{code}\"}}");
            assert!(counts.line("statement", line.as_bytes()));
        }
        assert!(counts.line("statement", b"{\"digest\":\"d2\"}"));
        assert!(!counts.line("statement", b"{"));
        assert_eq!(counts.0.len(), 1);
        assert_eq!(counts.0["d1"]["c.py:3"], 2);
    }
}

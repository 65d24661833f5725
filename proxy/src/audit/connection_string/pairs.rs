//! libpq's `key=value` pairs, with single quotes and backslashes.

use super::server::Asked;
use super::{MASK, Place, Refusal, Spelling};

/// The pairs in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pairs(Vec<Pair>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    key: String,
    value: String,
    /// The value as it was written, with its quotes.
    written: String,
}

impl Pairs {
    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let malformed = |why: &str| Refusal::Malformed(why.to_owned());
        let mut pairs = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (key, after) = rest
                .split_once('=')
                .ok_or_else(|| malformed("it is neither a URL nor pairs of key=value"))?;
            let key = key.trim();
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(malformed("it is neither a URL nor pairs of key=value"));
            }
            let after = after.trim_start();
            let (value, length) = value(after).ok_or_else(|| malformed("a quote is not closed"))?;
            let written = after[..length].to_owned();
            pairs.push(Pair { key: key.to_owned(), value, written });
            rest = after[length..].trim_start();
        }
        if pairs.is_empty() {
            return Err(malformed("it is empty"));
        }
        Ok(Self(pairs))
    }

    pub(super) fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for pair in &self.0 {
            asked.take(&pair.key, &pair.value);
        }
        asked
    }
}

/// The value at the beginning of `text`, and how many bytes of it were read.
fn value(text: &str) -> Option<(String, usize)> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut letters = text.char_indices();
    if quoted {
        letters.next();
    }
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.push(letters.next().map(|(_, escaped)| escaped)?),
            '\'' if quoted => return Some((value, at + 1)),
            letter if !quoted && letter.is_whitespace() => return Some((value, at)),
            letter => value.push(letter),
        }
    }
    (!quoted).then_some((value, text.len()))
}

impl Spelling for Pairs {
    fn leading_to(&self, place: &Place) -> String {
        let mut about_server = Asked::default();
        let mut words: Vec<String> = self
            .0
            .iter()
            .filter(|pair| !about_server.take(&pair.key, &pair.value))
            .map(|pair| format!("{}={}", pair.key, pair.written))
            .collect();
        words.push(format!("host={} port={} sslmode=disable", place.host, place.port));
        words.join(" ")
    }

    fn masked(&self) -> String {
        let word = |pair: &Pair| match pair.key.contains("password") {
            true => format!("{}={MASK}", pair.key),
            false => format!("{}={}", pair.key, pair.written),
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(" ")
    }
}

//! Filter expressions of `tail --filter` and the API's `q`: terms joined by AND, `-` in front negates.
//!
//! A term about something that a line doesn't have (rows of a finding) doesn't hold; its negation does.

use crate::config::units::{duration_us, size_bytes};

/// Terms of one expression.
const TERMS_MAX: usize = 64;

/// What an expression asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    terms: Vec<(bool, Term)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Number(Field, Comparison, u64),
    Failed,
    SqlState(String),
    Kind(String),
    /// The whole word, in any case.
    Is(Word, String),
    /// The beginning of an id.
    Id(Id, String),
    Session(u64),
    /// `*` stands for any run of characters.
    Glob(Word, String),
    Contains(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Duration,
    Rows,
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Above,
    AtLeast,
    Below,
    AtMost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Operation,
    Database,
    Service,
    Route,
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Id {
    Digest,
    Unit,
}

/// What a line offers to a filter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Subject<'a> {
    pub(crate) duration_us: Option<u64>,
    pub(crate) rows: Option<u64>,
    pub(crate) sent_bytes: Option<u64>,
    pub(crate) failed: bool,
    pub(crate) sqlstate: Option<&'a str>,
    pub(crate) kind: Option<&'a str>,
    pub(crate) operation: Option<&'a str>,
    pub(crate) database: Option<&'a str>,
    pub(crate) service: Option<&'a str>,
    pub(crate) route: Option<&'a str>,
    pub(crate) mark: Option<&'a str>,
    pub(crate) digest: Option<u64>,
    pub(crate) unit: Option<u64>,
    pub(crate) session: Option<u64>,
    pub(crate) summary: Option<&'a str>,
    pub(crate) text: Option<&'a str>,
}

impl Filter {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with which term, as one sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut terms = Vec::new();
        for word in words(text)? {
            if terms.len() >= TERMS_MAX {
                return Err(format!("more than {TERMS_MAX} terms"));
            }
            let (negated, rest) = match word.strip_prefix('-') {
                Some(rest) if !rest.is_empty() => (true, rest),
                _ => (false, word.as_str()),
            };
            terms.push((negated, term(rest)?));
        }
        Ok(Self { terms })
    }

    /// Whether every term holds.
    pub(crate) fn holds(&self, subject: &Subject<'_>) -> bool {
        self.terms.iter().all(|(negated, term)| term.holds(subject) != *negated)
    }
}

/// Words by white space; double quotes hold a word together.
fn words(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    for character in text.chars() {
        match character {
            '"' => quoted = !quoted,
            space if space.is_whitespace() && !quoted => {
                words.push(std::mem::take(&mut word));
            }
            other => word.push(other),
        }
    }
    words.push(word);
    words.retain(|word| !word.is_empty());
    if quoted { Err("a quotation mark is missing".to_owned()) } else { Ok(words) }
}

fn term(word: &str) -> Result<Term, String> {
    if let Some(number) = number_term(word)? {
        return Ok(number);
    }
    if word == "err" {
        return Ok(Term::Failed);
    }
    if word.eq_ignore_ascii_case("n+1") {
        return Ok(Term::Kind("n_plus_one".to_owned()));
    }
    let Some((key, value)) = word.split_once(':') else { return Ok(contains(word)) };
    let value = value.to_lowercase();
    let known = ["err", "kind", "op", "db", "svc", "digest", "unit", "session", "route", "mark"];
    if value.is_empty() && known.contains(&key) {
        return Err(format!("`{}` needs a value behind its colon", word.escape_debug()));
    }
    Ok(match key {
        "err" => Term::SqlState(value),
        "kind" => Term::Kind(value),
        "op" => Term::Is(Word::Operation, value),
        "db" => Term::Is(Word::Database, value),
        "svc" => Term::Is(Word::Service, value),
        "route" => Term::Glob(Word::Route, value),
        "mark" => Term::Glob(Word::Mark, value),
        "digest" => Term::Id(Id::Digest, hexadecimal(value)?),
        "unit" => Term::Id(Id::Unit, hexadecimal(value)?),
        "session" => Term::Session(
            value.parse().map_err(|_| format!("`{}` is no number", value.escape_debug()))?,
        ),
        _ => contains(word),
    })
}

fn contains(word: &str) -> Term {
    Term::Contains(word.to_lowercase())
}

fn hexadecimal(value: String) -> Result<String, String> {
    let fits = value.len() <= 16 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
    if fits { Ok(value) } else { Err(format!("`{}` is no id", value.escape_debug())) }
}

/// `d>100ms`, `rows<=10`, `bytes>1MiB`.
fn number_term(word: &str) -> Result<Option<Term>, String> {
    let Some(at) = word.find(['<', '>']) else { return Ok(None) };
    let (name, rest) = word.split_at(at);
    let field = match name {
        "d" => Field::Duration,
        "rows" => Field::Rows,
        "bytes" => Field::Bytes,
        _ => return Ok(None),
    };
    let signs = [
        (">=", Comparison::AtLeast),
        ("<=", Comparison::AtMost),
        (">", Comparison::Above),
        ("<", Comparison::Below),
    ];
    let found = signs.iter().find_map(|(sign, is)| Some((*is, rest.strip_prefix(sign)?)));
    let Some((comparison, value)) = found else { return Ok(None) };
    let number = match field {
        Field::Duration => duration_us(value).ok(),
        Field::Rows => value.parse().ok(),
        Field::Bytes => size_bytes(value).ok().or_else(|| value.parse().ok()),
    };
    let number = number.ok_or_else(|| {
        let wanted = match field {
            Field::Duration => "a duration such as 100ms",
            Field::Rows => "a number",
            Field::Bytes => "a size such as 1MiB",
        };
        format!("`{}`: `{}` is not {wanted}", word.escape_debug(), value.escape_debug())
    })?;
    Ok(Some(Term::Number(field, comparison, number)))
}

impl Term {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Number(field, comparison, than) => {
                field.of(subject).is_some_and(|value| comparison.holds(value, *than))
            }
            Self::Failed => subject.failed,
            Self::SqlState(start) => subject
                .sqlstate
                .is_some_and(|state| state.to_lowercase().starts_with(start.as_str())),
            Self::Kind(kind) => subject.kind.is_some_and(|name| name == kind),
            Self::Is(word, value) => {
                word.of(subject).is_some_and(|text| text.to_lowercase() == *value)
            }
            Self::Glob(word, pattern) => {
                word.of(subject).is_some_and(|text| glob(pattern, &text.to_lowercase()))
            }
            Self::Id(id, start) => id
                .of(subject)
                .is_some_and(|value| format!("{value:016x}").starts_with(start.as_str())),
            Self::Session(session) => subject.session == Some(*session),
            Self::Contains(part) => [subject.summary, subject.text]
                .into_iter()
                .flatten()
                .any(|text| text.to_lowercase().contains(part.as_str())),
        }
    }
}

impl Field {
    fn of(self, subject: &Subject<'_>) -> Option<u64> {
        match self {
            Self::Duration => subject.duration_us,
            Self::Rows => subject.rows,
            Self::Bytes => subject.sent_bytes,
        }
    }
}

impl Comparison {
    fn holds(self, value: u64, than: u64) -> bool {
        match self {
            Self::Above => value > than,
            Self::AtLeast => value >= than,
            Self::Below => value < than,
            Self::AtMost => value <= than,
        }
    }
}

impl Word {
    fn of<'a>(self, subject: &Subject<'a>) -> Option<&'a str> {
        match self {
            Self::Operation => subject.operation,
            Self::Database => subject.database,
            Self::Service => subject.service,
            Self::Route => subject.route,
            Self::Mark => subject.mark,
        }
    }
}

impl Id {
    fn of(self, subject: &Subject<'_>) -> Option<u64> {
        match self {
            Self::Digest => subject.digest,
            Self::Unit => subject.unit,
        }
    }
}

/// Whether the text is the pattern, in which `*` stands for any run of characters. Takes the earliest place for each
/// piece, so that no pattern costs more than its length by that of the text.
fn glob(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject() -> Subject<'static> {
        Subject {
            duration_us: Some(120_000),
            rows: Some(1_000),
            sent_bytes: Some(2 << 20),
            failed: true,
            sqlstate: Some("23505"),
            kind: None,
            operation: Some("select"),
            database: Some("Shop"),
            service: Some("web"),
            route: Some("/orders/<id>/items"),
            mark: Some("test_checkout"),
            digest: Some(0x9f2c_41d0_7ab8_5e63),
            unit: Some(0x1f0c),
            session: Some(42),
            summary: Some("SELECT orders customers"),
            text: Some("SELECT * FROM orders WHERE name = ?"),
        }
    }

    #[test]
    fn terms_hold_or_not() {
        for (expression, holds) in [
            ("", true),
            ("d>100ms", true),
            ("d>120ms", false),
            ("d>=120ms", true),
            ("d<1s", true),
            ("rows>1000", false),
            ("rows<=1000", true),
            ("bytes>1MiB", true),
            ("bytes<100", false),
            ("err", true),
            ("-err", false),
            ("err:23505", true),
            ("err:23", true),
            ("err:42", false),
            ("op:SELECT db:shop svc:web", true),
            ("op:insert", false),
            ("-op:insert", true),
            ("digest:9f2c", true),
            ("digest:0", false),
            ("unit:0000000000001f0c", true),
            ("session:42", true),
            ("session:4", false),
            ("route:/orders/*", true),
            ("route:*items", true),
            ("route:/orders", false),
            ("route:/*/<id>*", true),
            ("mark:test_*", true),
            ("customers", true),
            ("CUSTOMERS -suppliers", true),
            ("\"from orders\"", true),
            ("\"orders from\"", false),
            ("kind:n_plus_one", false),
            ("n+1", false),
            ("-kind:n_plus_one", true),
            ("d>100ms op:delete", false),
        ] {
            let filter = Filter::parse(expression).unwrap_or_else(|why| panic!("{why}"));
            assert_eq!(filter.holds(&subject()), holds, "{expression}");
        }
    }

    #[test]
    fn a_finding_has_a_kind_and_no_rows() {
        let finding = Subject { kind: Some("n_plus_one"), ..Subject::default() };
        for (expression, holds) in
            [("n+1", true), ("kind:n_plus_one", true), ("rows>0", false), ("-rows>0", true)]
        {
            assert_eq!(Filter::parse(expression).unwrap().holds(&finding), holds, "{expression}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (expression, word) in [
            ("d>fast", "fast"),
            ("d>100", "100"),
            ("rows>many", "many"),
            ("bytes>1ZiB", "1ZiB"),
            ("digest:xyz", "xyz"),
            ("session:first", "first"),
            ("svc:", "svc:"),
            ("\"open", "quotation"),
        ] {
            let why = Filter::parse(expression).unwrap_err();
            assert!(why.contains(word), "{expression}: {why}");
        }
        assert!(Filter::parse(&"x ".repeat(TERMS_MAX + 1)).is_err());
    }

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ab", false),
            ("a*a", "a", false),
            ("*b*", "abc", true),
            ("a**c", "ac", true),
            ("ab", "abc", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}

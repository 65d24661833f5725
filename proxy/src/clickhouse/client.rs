//! ClickHouse over HTTP: queries, inserts, and what its refusals mean.

use super::tables::Dialect;
use crate::config::Secret;
use crate::exports::http::{self, short};
use crate::problem::Problem;
use std::time::Duration;
use ureq::Agent;
use url::Url;

/// Longest wait for the answer to an insert: a store that takes longer is asked afterwards what it has.
const INSERT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for the answer to a query of a report.
const QUERY_TIMEOUT: Duration = Duration::from_secs(120);
/// Most bytes of an answer.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Where a store is: URL without credentials, database, user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// `http://host:8123/` or `https://…`
    pub url: Url,
    /// Database.
    pub database: String,
    /// User; its password is a secret.
    pub user: String,
}

impl Place {
    /// Reads `http(s)://[user@]host[:port][/database]`, or the same behind `clickhouse://`.
    ///
    /// # Errors
    /// The rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rule = "a store is http://[user@]host[:8123][/database] or https://…";
        let plain = text.replacen("clickhouse://", "http://", 1);
        let mut url = Url::parse(&plain).map_err(|_| rule.to_owned())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(rule.to_owned());
        }
        if url.password().is_some() {
            return Err("a password doesn't stand here: export.clickhouse.password or CLICKHOUSE_PASSWORD names it".to_owned());
        }
        let name = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            (!text.is_empty() && text.len() <= 128 && text.bytes().all(fits))
                .then(|| text.to_owned())
        };
        let database = match url.path().trim_matches('/') {
            "" => "default".to_owned(),
            path => name(path).ok_or("a database has letters, digits and `_`")?,
        };
        let user = match url.username() {
            "" => "default".to_owned(),
            user => user.to_owned(),
        };
        if url.port().is_none() && url.scheme() == "http" {
            // Errors are for URLs without a host, and this has one.
            let _ = url.set_port(Some(8123));
        }
        let _ = url.set_username("");
        url.set_path("/");
        url.set_query(None);
        url.set_fragment(None);
        Ok(Self { url, database, user })
    }
}

/// Why the store didn't do what it was asked.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// Nobody was reached: nothing was done.
    Unreachable(String),
    /// The answer got lost, or says nothing: it may have been done.
    Unknown(String),
    /// ClickHouse's own code and words: it was not done.
    Refused(u32, String),
}

impl Refusal {
    pub(crate) fn words(&self) -> &str {
        match self {
            Self::Unreachable(words) | Self::Unknown(words) | Self::Refused(_, words) => words,
        }
    }

    /// The rows themselves are at fault: they'd be refused forever.
    pub(crate) fn is_about_rows(&self) -> bool {
        // CANNOT_PARSE_*, INCORRECT_DATA, TYPE_MISMATCH, UNKNOWN_FIELD and their like.
        const CODES: [u32; 11] = [6, 26, 27, 38, 41, 53, 69, 72, 85, 117, 130];
        matches!(self, Self::Refused(code, _) if CODES.contains(code))
    }

    /// For people, of a command.
    pub(crate) fn problem(&self, place: &Place) -> Problem {
        let url = &place.url;
        match self {
            Self::Unreachable(why) | Self::Unknown(why) => {
                Problem::new(531, format!("ClickHouse at {url} does not answer"))
                    .note(why.clone())
                    .help("the URL is that of its HTTP interface, usually http://host:8123")
            }
            Self::Refused(code, why) if [192, 193, 194, 516].contains(code) => {
                Problem::new(532, format!("ClickHouse at {url} refused user \"{}\"", place.user))
                    .note(why.clone())
                    .help("the user stands in the URL; CLICKHOUSE_PASSWORD (or export.clickhouse.password) names the password")
            }
            Self::Refused(code, why) if [60, 81, 47, 16].contains(code) => {
                Problem::new(533, format!("the tables of pgsonde are missing or old in {url} database {}", place.database))
                    .note(why.clone())
                    .help("pgsonde clickhouse init URL makes them")
            }
            Self::Refused(_, why) => {
                Problem::new(534, format!("ClickHouse at {url} refused")).note(why.clone())
            }
        }
    }
}

/// A store.
pub(crate) struct Client {
    place: Place,
    password: Option<Secret>,
    agent: Agent,
}

impl Client {
    pub(crate) fn new(place: Place, password: Option<Secret>) -> Self {
        let agent = http::agent(&place.url);
        Self { place, password, agent }
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Runs a query and gives its answer.
    pub(crate) fn query(&self, sql: &str) -> Result<String, Refusal> {
        let settings = [("output_format_json_quote_64bit_integers", "0")];
        self.post(&settings, None, sql.as_bytes(), QUERY_TIMEOUT)
    }

    /// Which tables and settings the store understands.
    pub(crate) fn dialect(&self) -> Result<Dialect, Refusal> {
        let version = self.query("SELECT version()")?;
        Ok(Dialect::of_version(version.trim()))
    }

    /// Inserts packed lines into a table, under a name by which the store knows a repetition.
    pub(crate) fn insert(
        &self,
        table: &str,
        dialect: Dialect,
        token: &str,
        packed: &[u8],
    ) -> Result<(), Refusal> {
        let sql = format!("INSERT INTO {table} FORMAT JSONEachRow");
        let mut settings = vec![
            ("query", sql.as_str()),
            // While an earlier attempt still runs, the store refuses a second one.
            ("query_id", token),
            ("input_format_skip_unknown_fields", "1"),
            ("insert_distributed_sync", "1"),
        ];
        if dialect == Dialect::Modern {
            settings.push(("insert_deduplication_token", token));
            settings.push(("deduplicate_blocks_in_dependent_materialized_views", "1"));
            settings.push(("async_insert", "0"));
        }
        let encoding = Some(dialect.encoding());
        self.post(&settings, encoding, packed, INSERT_TIMEOUT).map(|_| ())
    }

    fn post(
        &self,
        settings: &[(&str, &str)],
        encoding: Option<&str>,
        body: &[u8],
        timeout: Duration,
    ) -> Result<String, Refusal> {
        let mut url = self.place.url.clone();
        url.query_pairs_mut().append_pair("database", &self.place.database).extend_pairs(settings);
        let mut request = self
            .agent
            .post(url.as_str())
            .config()
            .timeout_global(Some(timeout))
            .build()
            .header("X-ClickHouse-User", &self.place.user);
        if let Some(password) = &self.password {
            request = request.header("X-ClickHouse-Key", password.expose());
        }
        if let Some(encoding) = encoding {
            request = request.header("Content-Encoding", encoding);
        }
        let mut answer = request.send(body).map_err(|error| lost(&error))?;
        let status = answer.status().as_u16();
        let text = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| Refusal::Unknown(short(&error.to_string())))?;
        match (status, code(&text)) {
            (200, None) => Ok(text),
            (_, Some(code)) => Err(Refusal::Refused(code, short(&text))),
            // 18.16 says so without a code.
            (401 | 403, None) => Err(Refusal::Refused(516, short(&text))),
            (status, None) => Err(Refusal::Unknown(format!("status {status}: {}", short(&text)))),
        }
    }
}

fn lost(error: &ureq::Error) -> Refusal {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    let words = http::why(error);
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => Refusal::Unreachable(words),
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            Refusal::Unreachable(words)
        }
        ureq::Error::Io(io)
            if matches!(io.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable) =>
        {
            Refusal::Unreachable(words)
        }
        _ => Refusal::Unknown(words),
    }
}

/// `Code: 60, e.displayText() = …` or `Code: 60. DB::Exception: …`, at the begin of a refusal or behind what was sent
/// before it happened.
fn code(text: &str) -> Option<u32> {
    let tail = &text[text.len().saturating_sub(8_192)..].trim_start();
    let at = if tail.starts_with("Code: ") { 0 } else { tail.find("\nCode: ")? + 1 };
    let digits = &tail[at + "Code: ".len()..];
    let end = digits.find(|letter: char| !letter.is_ascii_digit())?;
    let is_refusal = digits[end..].starts_with(['.', ',']) && digits.contains("DB::");
    is_refusal.then(|| digits[..end].parse().ok()).flatten()
}

/// A text as a literal of ClickHouse's SQL.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_without_secrets() {
        let read = |text: &str| {
            Place::parse(text)
                .map(|place| (place.url.to_string(), place.database.clone(), place.user.clone()))
        };
        let row = |url: &str, database: &str, user: &str| {
            Ok((url.to_owned(), database.to_owned(), user.to_owned()))
        };
        assert_eq!(read("clickhouse://ch/shop"), row("http://ch:8123/", "shop", "default"));
        assert_eq!(read("https://w@ch:9"), row("https://ch:9/", "default", "w"));
        for bad in ["", "ftp://h", "http://u:secret@h", "http://h/a/b", "http://h/x;y"] {
            let rule = read(bad).unwrap_err();
            assert!(!rule.contains("secret"), "{rule}");
        }
    }

    #[test]
    fn refusals_are_told_by_their_code() {
        let rows = [
            ("Code: 60. DB::Exception: Table default.x does not exist.", Some(60)),
            ("Code: 192, e.displayText() = DB::Exception: Unknown user x", Some(192)),
            ("{\"a\":1}\nCode: 241. DB::Exception: Memory limit", Some(241)),
            ("Code: of conduct", None),
            ("{\"text\":\"Code: 60. x\"}", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(code(text), expected, "{text}");
        }
        assert_eq!(quoted("a'b\\"), "'a\\'b\\\\'");
    }
}

//! URLs: `postgresql://`, with a driver's name in the scheme, Ecto's, and JDBC's.

use super::server::Asked;
use super::{MASK, Place, Refusal, Spelling};

/// How the form asks for a plain connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plain {
    /// `sslmode=disable`
    SslMode,
    /// asyncpg under SQLAlchemy: `ssl=disable`
    Ssl,
    /// Ecto: `ssl=false`
    SslFalse,
    /// Drivers that know no such parameter and are plain unless told otherwise in code.
    Nothing,
}

/// A URL in parts, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// With `://`.
    scheme: String,
    plain: Plain,
    jdbc: bool,
    /// User and password, before the `@`.
    user: Option<String>,
    authority: String,
    /// From the `/` on, without the query.
    path: String,
    query: Vec<(String, Option<String>)>,
}

impl Url {
    pub(super) fn is_one(text: &str) -> bool {
        text.contains("://") || text.starts_with("jdbc:")
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let jdbc = text.starts_with("jdbc:");
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest.to_owned()),
            // jdbc:postgresql:database, on localhost
            None => match text.strip_prefix("jdbc:postgresql:") {
                Some(rest) => (
                    "jdbc:postgresql://".to_owned(),
                    format!("localhost/{}", rest.trim_start_matches('/')),
                ),
                None => return Err(unknown(text.split(':').nth(1).unwrap_or(""))),
            },
        };
        let plain = plain_of(scheme.trim_end_matches("://"))?;
        let (rest, query) = rest.split_once('?').unwrap_or((&rest, ""));
        let (place, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, ""),
        };
        let (user, authority) = match place.rsplit_once('@') {
            Some((user, authority)) => (Some(user.to_owned()), authority),
            None => (None, place),
        };
        let pair = |pair: &str| match pair.split_once('=') {
            Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
            None => (pair.to_owned(), None),
        };
        Ok(Self {
            scheme,
            plain,
            jdbc,
            user,
            authority: authority.to_owned(),
            path: path.to_owned(),
            query: query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect(),
        })
    }

    pub(super) fn asked(&self) -> Result<Asked, Refusal> {
        let mut asked = Asked::default();
        for one in self.authority.split(',').filter(|_| !self.authority.is_empty()) {
            let (host, port) = host_and_port(one)?;
            asked.hosts.push(decoded(host)?);
            asked.ports.push(decoded(port)?);
        }
        for (key, value) in &self.query {
            let value = decoded(value.as_deref().unwrap_or(""))?;
            asked.take(&name(&decoded(key)?, self.jdbc), &value);
        }
        // pgjdbc's `ssl=true` is `verify-full`.
        let bare_ssl = |(key, value): &(String, Option<String>)| {
            key == "ssl" && matches!(value.as_deref(), None | Some("" | "true"))
        };
        if self.jdbc && self.query.iter().any(bare_ssl) && !self.has("sslmode") {
            asked.sslmode = Some("verify-full".to_owned());
        }
        Ok(asked)
    }

    fn has(&self, wanted: &str) -> bool {
        self.query.iter().any(|(key, _)| key.eq_ignore_ascii_case(wanted))
    }

    fn spelled(&self, user: Option<&str>, authority: &str, query: &[String]) -> String {
        let user = user.map_or(String::new(), |user| format!("{user}@"));
        let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
        format!("{}{user}{authority}{}{query}", self.scheme, self.path)
    }
}

fn plain_of(scheme: &str) -> Result<Plain, Refusal> {
    let scheme = scheme.strip_prefix("jdbc:").unwrap_or(scheme);
    let (base, driver) = scheme.split_once('+').unwrap_or((scheme, ""));
    match (base, driver) {
        ("ecto", "") => Ok(Plain::SslFalse),
        ("postgres" | "postgresql" | "postgis" | "psql" | "pgsql", driver) => Ok(match driver {
            "asyncpg" => Plain::Ssl,
            "pg8000" => Plain::Nothing,
            _ => Plain::SslMode,
        }),
        _ => Err(unknown(scheme)),
    }
}

fn unknown(scheme: &str) -> Refusal {
    let shown: String = scheme
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || "+-.:".contains(*c))
        .take(40)
        .collect();
    Refusal::Malformed(format!("`{shown}` is no scheme of PostgreSQL"))
}

/// pgjdbc's names are those of libpq but for these.
fn name(key: &str, jdbc: bool) -> String {
    let lower = key.to_ascii_lowercase();
    match lower.as_str() {
        "targetservertype" if jdbc => "target_session_attrs".to_owned(),
        "channelbinding" if jdbc => "channel_binding".to_owned(),
        "loadbalancehosts" if jdbc => "load_balance_hosts".to_owned(),
        "gssencmode" => "gssencmode".to_owned(),
        // Classes of sockets would encrypt all the same.
        "sslfactory" | "sslfactoryarg" | "sslhostnameverifier" if jdbc => {
            "sslcompression".to_owned()
        }
        _ => lower,
    }
}

fn host_and_port(one: &str) -> Result<(&str, &str), Refusal> {
    let Some(rest) = one.strip_prefix('[') else {
        return Ok(one.split_once(':').unwrap_or((one, "")));
    };
    let closed = rest.split_once(']');
    let (host, rest) =
        closed.ok_or_else(|| Refusal::Malformed("a bracket is not closed".to_owned()))?;
    Ok((host, rest.strip_prefix(':').unwrap_or("")))
}

/// Percent-decoded.
fn decoded(text: &str) -> Result<String, Refusal> {
    let malformed =
        || Refusal::Malformed("a percent sign is not followed by two digits".to_owned());
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
            let value = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok());
            bytes.push(value.ok_or_else(malformed)?);
            rest = rest.get(2..).unwrap_or(&[]);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).map_err(|_| Refusal::Malformed("it is not UTF-8".to_owned()))
}

impl Spelling for Url {
    fn leading_to(&self, place: &Place) -> String {
        let authority = match place.host.contains(':') {
            true => format!("[{}]:{}", place.host, place.port),
            false => format!("{}:{}", place.host, place.port),
        };
        let mut about_server = Asked::default();
        let kept = |(key, value): &&(String, Option<String>)| {
            let plain_key = decoded(key).unwrap_or_else(|_| key.clone());
            !about_server.take(&name(&plain_key, self.jdbc), value.as_deref().unwrap_or(""))
        };
        let kept: Vec<_> = self.query.iter().filter(kept).collect();
        let mut query: Vec<String> = kept
            .into_iter()
            .map(|(key, value)| match value {
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            })
            .collect();
        match self.plain {
            Plain::SslMode => query.push("sslmode=disable".to_owned()),
            Plain::Ssl => query.push("ssl=disable".to_owned()),
            Plain::SslFalse => query.push("ssl=false".to_owned()),
            Plain::Nothing => {}
        }
        self.spelled(self.user.as_deref(), &authority, &query)
    }

    fn masked(&self) -> String {
        let user = self.user.as_ref().map(|user| match user.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}"),
            None => user.clone(),
        });
        let pair = |(key, value): &(String, Option<String>)| {
            let secret = key.to_ascii_lowercase().contains("password");
            match value {
                Some(_) if secret => format!("{key}={MASK}"),
                Some(value) => format!("{key}={value}"),
                None => key.clone(),
            }
        };
        let query: Vec<String> = self.query.iter().map(pair).collect();
        self.spelled(user.as_deref(), &self.authority, &query)
    }
}

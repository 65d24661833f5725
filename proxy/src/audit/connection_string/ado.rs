//! ADO.NET: `Host=db;Username=app;Password="a;b"`. Keys have neither case nor spaces.

use super::server::Asked;
use super::{MASK, Place, Refusal, Spelling};

/// The pairs in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ado(Vec<Pair>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    /// As written.
    key: String,
    value: String,
    written: String,
}

impl Pair {
    /// The parameter as libpq names it.
    fn name(&self) -> String {
        let plain: String = self
            .key
            .chars()
            .filter(|c| !c.is_whitespace())
            .collect::<String>()
            .to_ascii_lowercase();
        match plain.as_str() {
            "host" | "server" | "datasource" => "host",
            "sslcertificate" => "sslcert",
            "rootcertificate" => "sslrootcert",
            "channelbinding" => "channel_binding",
            "targetsessionattributes" => "target_session_attrs",
            "loadbalancehosts" => "load_balance_hosts",
            "gssencryptionmode" => "gssencmode",
            "trustservercertificate" | "checkcertificaterevocation" => "sslcompression",
            other => return other.to_owned(),
        }
        .to_owned()
    }
}

impl Ado {
    pub(super) fn is_one(text: &str) -> bool {
        let key = text.split('=').next().unwrap_or("");
        let known = ["host", "server", "datasource", "username", "userid", "database", "port"];
        let plain: String =
            key.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
        let separated = text.contains(';');
        let capital = key.starts_with(|c: char| c.is_ascii_uppercase());
        known.contains(&plain.as_str()) && (separated || capital)
    }

    pub(super) fn read(text: &str) -> Result<Self, Refusal> {
        let mut pairs = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (key, after) = rest
                .split_once('=')
                .ok_or_else(|| Refusal::Malformed("a part of it is not key=value".to_owned()))?;
            let after = after.trim_start();
            let (value, length) = value(after)
                .ok_or_else(|| Refusal::Malformed("a quote is not closed".to_owned()))?;
            let written = after[..length].trim_end().to_owned();
            pairs.push(Pair { key: key.trim().to_owned(), value, written });
            rest = after[length..].trim_start().trim_start_matches(';').trim_start();
        }
        Ok(Self(pairs))
    }

    pub(super) fn asked(&self) -> Asked {
        let mut asked = Asked::default();
        for pair in &self.0 {
            asked.take(&pair.name(), &pair.value);
        }
        // Npgsql writes ports behind the hosts, too.
        let with_ports: Vec<(String, Option<String>)> = asked
            .hosts
            .iter()
            .map(|host| match host.rsplit_once(':') {
                Some((name, port)) if !name.contains(':') => {
                    (name.to_owned(), Some(port.to_owned()))
                }
                _ => (host.clone(), None),
            })
            .collect();
        if with_ports.iter().any(|(_, port)| port.is_some()) {
            let default = asked.ports.first().cloned().unwrap_or_default();
            asked.ports = with_ports
                .iter()
                .map(|(_, port)| port.clone().unwrap_or_else(|| default.clone()))
                .collect();
            asked.hosts = with_ports.into_iter().map(|(host, _)| host).collect();
        }
        asked
    }
}

/// The value at the beginning of `text`, and how many bytes of it were read. A quote inside of quotes is doubled.
fn value(text: &str) -> Option<(String, usize)> {
    let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        let end = text.find(';').unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), end));
    };
    let mut value = String::new();
    let mut letters = text.char_indices().skip(1).peekable();
    while let Some((at, letter)) = letters.next() {
        if letter != quote {
            value.push(letter);
        } else if letters.peek().is_some_and(|(_, next)| *next == quote) {
            letters.next();
            value.push(quote);
        } else {
            return Some((value, at + 1));
        }
    }
    None
}

impl Spelling for Ado {
    fn leading_to(&self, place: &Place) -> String {
        let mut about_server = Asked::default();
        let mut words: Vec<String> = self
            .0
            .iter()
            .filter(|pair| !about_server.take(&pair.name(), &pair.value))
            .map(|pair| format!("{}={}", pair.key, pair.written))
            .collect();
        words.push(format!("Host={};Port={};SSL Mode=Disable", place.host, place.port));
        words.join(";")
    }

    fn masked(&self) -> String {
        let word = |pair: &Pair| match pair.name().as_str() {
            name if name.contains("password") || name == "pwd" => format!("{}={MASK}", pair.key),
            _ => format!("{}={}", pair.key, pair.written),
        };
        self.0.iter().map(word).collect::<Vec<_>>().join(";")
    }
}

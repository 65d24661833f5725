//! The URL of the server behind the proxy: `postgresql://host[:port][?sslmode=…]`, nothing else in it.
//!
//! User, password and database come from the client and pass through, so none of them belongs here; a password
//! is refused and never repeated in a message.

use crate::config::address::check_host;
use crate::problem::Problem;
use std::fmt;
use url::{Host, Url};

/// Port of PostgreSQL where the URL names none.
pub const DEFAULT_PORT: u16 = 5432;

/// Where the sessions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// Name or IP literal, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the server leg is protected.
    pub sslmode: SslMode,
}

/// Protection of the server leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Plain.
    Disable,
    /// TLS where both sides have it; this version always goes plain, which `prefer` allows.
    #[default]
    Prefer,
}

impl Upstream {
    /// Reads the URL; `origin` says where it was written (`--upstream`, `proxy.upstream`).
    ///
    /// # Errors
    /// PGS0202 for credentials, PGS0209 for what this version cannot do, PGS0204 for the rest.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Problem> {
        refuse_credentials(text, origin)?;
        let url = Url::parse(text.trim()).map_err(|error| bad(origin, text, &error.to_string()))?;
        if !matches!(url.scheme(), "postgresql" | "postgres") {
            let rule = format!("the scheme is `{}`, not `postgresql`", url.scheme());
            return Err(bad(origin, text, &rule));
        }
        if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(bad(origin, text, "the database comes from the client, not from here"));
        }
        let host = host(&url).ok_or_else(|| bad(origin, text, "the host is missing"))?;
        check_host(&host).map_err(|rule| bad(origin, text, &rule))?;
        let port = url.port().unwrap_or(DEFAULT_PORT);
        if port == 0 {
            return Err(bad(origin, text, "port 0 cannot be connected to"));
        }
        Ok(Self { host, port, sslmode: sslmode(&url, text, origin)? })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Before any message could repeat the text: is there something in front of an `@`, or a `password=`?
fn refuse_credentials(text: &str, origin: &str) -> Result<(), Problem> {
    let secret_key = |pair: &str| pair.starts_with("password=") || pair.starts_with("user=");
    let in_query = text.split(['?', '&']).skip(1).any(secret_key);
    if !text.contains('@') && !in_query {
        return Ok(());
    }
    Err(Problem::new(202, format!("the URL of {origin} carries a user or a password"))
        .note("pgsonde relays the credentials of each client and needs none of its own")
        .help("write host and port only: postgresql://host:5432"))
}

fn host(url: &Url) -> Option<String> {
    match url.host()? {
        Host::Domain("") => None,
        Host::Domain(name) => Some(name.to_owned()),
        Host::Ipv4(ip) => Some(ip.to_string()),
        Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

fn sslmode(url: &Url, text: &str, origin: &str) -> Result<SslMode, Problem> {
    let mut mode = SslMode::default();
    for (key, value) in url.query_pairs() {
        mode = match (&*key, &*value) {
            ("sslmode", "disable") => SslMode::Disable,
            ("sslmode", "prefer") => SslMode::Prefer,
            ("sslmode", "allow" | "require" | "verify-ca" | "verify-full") => {
                return Err(unsupported(origin, &value));
            }
            ("sslmode", _) => {
                let rule = "sslmode is one of disable, prefer".to_owned();
                return Err(bad(origin, text, &rule));
            }
            _ => return Err(bad(origin, text, &format!("unknown parameter `{key}`"))),
        };
    }
    Ok(mode)
}

fn unsupported(origin: &str, mode: &str) -> Problem {
    Problem::new(
        209,
        format!("sslmode={mode} in {origin} needs TLS to the server, which this version cannot do"),
    )
    .note("it would go plain, and the mode forbids that")
    .help("use sslmode=prefer or sslmode=disable where the network to the server is trusted")
}

fn bad(origin: &str, text: &str, rule: &str) -> Problem {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    Problem::new(204, format!("{origin} is not a URL that pgsonde can use: {rule}"))
        .note(format!("it is `{shown}`"))
        .help("the form is postgresql://host[:port][?sslmode=disable|prefer]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        let rows = [
            ("postgresql://db.internal", "db.internal:5432", SslMode::Prefer),
            ("postgres://db:6000/", "db:6000", SslMode::Prefer),
            ("postgresql://10.0.0.1:5433?sslmode=disable", "10.0.0.1:5433", SslMode::Disable),
            ("postgresql://[fd00::7]:1?sslmode=prefer", "[fd00::7]:1", SslMode::Prefer),
            ("postgresql://[::1]", "[::1]:5432", SslMode::Prefer),
            (" postgresql://localhost ", "localhost:5432", SslMode::Prefer),
        ];
        for (text, shown, mode) in rows {
            let upstream = Upstream::parse(text, "--upstream").unwrap();
            assert_eq!(upstream.to_string(), shown, "{text}");
            assert_eq!(upstream.sslmode, mode, "{text}");
        }
    }

    #[test]
    fn refuses_with_a_code_and_exit_2() {
        let rows = [
            ("postgresql://app:hunter2@db", 202),
            ("postgresql://app@db", 202),
            ("postgresql://a p p:hunter2@db", 202),
            ("postgresql://db?password=hunter2", 202),
            ("postgresql://db/shop", 204),
            ("mysql://db", 204),
            ("db:5432", 204),
            ("db.internal", 204),
            ("", 204),
            ("postgresql://", 204),
            ("postgresql://:5432", 204),
            ("postgresql://db:99999", 204),
            ("postgresql://db:0", 204),
            ("postgresql://d b", 204),
            ("postgresql://db?sslmode=never", 204),
            ("postgresql://db?sslrootcert=x", 204),
            ("postgresql://db1,db2", 204),
            ("postgresql://db?sslmode=require", 209),
            ("postgresql://db?sslmode=verify-full", 209),
        ];
        for (text, code) in rows {
            let problem = Upstream::parse(text, "--upstream").unwrap_err();
            assert_eq!(problem.number(), code, "{text}: {problem}");
            assert_eq!(problem.exit_code(), 2, "{text}");
            assert!(!problem.to_text().contains("hunter2"), "{}", problem.to_text());
        }
    }
}

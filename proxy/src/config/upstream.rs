//! The URL of the server behind the proxy: `postgresql://host[:port][,host2…][?sslmode=…]`, nothing else in it.
//!
//! User, password and database come from the client and pass through, so none of them belongs here; a password
//! is refused and never repeated in a message. Hosts, ports and sockets are written as libpq reads them.

use crate::config::address::check_host;
use crate::problem::Problem;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

/// Port of PostgreSQL where the URL names none.
pub const DEFAULT_PORT: u16 = 5432;

/// Most hosts in one URL.
const HOSTS_MAX: usize = 8;

/// Where the sessions go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    /// 1 to 8 servers, tried in order.
    pub hosts: Vec<Endpoint>,
    /// How the server leg is protected.
    pub sslmode: SslMode,
    /// What the server's certificate must come from.
    pub sslrootcert: RootCertificates,
    /// Our own certificate for the server, PEM.
    pub sslcert: Option<PathBuf>,
    /// Its private key, PEM.
    pub sslkey: Option<PathBuf>,
    /// TLS without asking first (`sslnegotiation=direct`).
    pub direct_tls: bool,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// By TCP.
    Tcp {
        /// Name or IP literal, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// By a Unix socket; never encrypted.
    Unix {
        /// The folder of the socket.
        folder: String,
        /// The port in the socket's name.
        port: u16,
    },
}

/// Protection of the server leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SslMode {
    /// Plain.
    Disable,
    /// Plain; libpq would try TLS after a refusal.
    Allow,
    /// TLS where the server has it.
    #[default]
    Prefer,
    /// TLS; checks the certificate only if roots are given.
    Require,
    /// TLS with a trusted certificate.
    VerifyCa,
    /// TLS with a trusted certificate for the host's name.
    VerifyFull,
}

/// Trusted roots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RootCertificates {
    /// The certificate isn't checked.
    #[default]
    None,
    /// What this machine trusts.
    System,
    /// A PEM file.
    File(PathBuf),
}

const SSL_MODES: [(&str, SslMode); 6] = [
    ("disable", SslMode::Disable),
    ("allow", SslMode::Allow),
    ("prefer", SslMode::Prefer),
    ("require", SslMode::Require),
    ("verify-ca", SslMode::VerifyCa),
    ("verify-full", SslMode::VerifyFull),
];

impl SslMode {
    /// As it is written in a URL.
    pub fn name(self) -> &'static str {
        SSL_MODES.iter().find(|(_, mode)| *mode == self).map_or("prefer", |(name, _)| name)
    }
}

impl Endpoint {
    /// Name, IP literal or folder.
    pub fn host(&self) -> &str {
        match self {
            Self::Tcp { host, .. } => host,
            Self::Unix { folder, .. } => folder,
        }
    }

    /// Port, also of a socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp { port, .. } | Self::Unix { port, .. } => *port,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix { folder, port } => write!(f, "{folder}/.s.PGSQL.{port}"),
        }
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
        f.write_str(&shown.join(","))
    }
}

/// The URL in parts, values decoded.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    ports: Vec<String>,
    sslmode: Option<SslMode>,
    sslrootcert: Option<String>,
    sslcert: Option<PathBuf>,
    sslkey: Option<PathBuf>,
    direct_tls: bool,
}

impl Upstream {
    /// Reads the URL; `origin` says where it was written (`--upstream`, `proxy.upstream`).
    ///
    /// # Errors
    /// PGS0202 for credentials, PGS0204 for the rest.
    pub fn parse(text: &str, origin: &str) -> Result<Self, Problem> {
        refuse_credentials(text, origin)?;
        let read = split(text.trim()).and_then(Parts::into_upstream);
        read.map_err(|rule| bad(origin, text, &rule))
    }

    /// Whether any of its servers is reached by TCP.
    pub fn has_tcp(&self) -> bool {
        self.hosts.iter().any(|host| matches!(host, Endpoint::Tcp { .. }))
    }
}

/// Before any message could repeat the text: is there something in front of an `@`, or a `password=`?
fn refuse_credentials(text: &str, origin: &str) -> Result<(), Problem> {
    let secret_key = |pair: &str| pair.starts_with("password=") || pair.starts_with("user=");
    let in_query = text.split(['?', '&']).skip(1).any(secret_key);
    let before_query = text.split('?').next().unwrap_or(text);
    if !before_query.contains('@') && !in_query {
        return Ok(());
    }
    Err(Problem::new(202, format!("the URL of {origin} carries a user or a password"))
        .note("pgsonde relays the credentials of each client and needs none of its own")
        .help("write host and port only: postgresql://host:5432"))
}

fn split(text: &str) -> Result<Parts, String> {
    let (scheme, rest) = text.split_once("://").ok_or("it has no scheme `postgresql://`")?;
    if !matches!(scheme, "postgresql" | "postgres") {
        return Err(format!("the scheme is `{scheme}`, not `postgresql`"));
    }
    if rest.contains('#') {
        return Err("a `#` has no place in it".to_owned());
    }
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = place.split_once('/').unwrap_or((place, ""));
    if !database.is_empty() {
        return Err("the database comes from the client, not from here".to_owned());
    }
    let mut parts = Parts::default();
    for one in authority.split(',').filter(|_| !authority.is_empty()) {
        let (host, port) = host_and_port(one)?;
        parts.hosts.push(decoded(host)?);
        parts.ports.push(port.to_owned());
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a parameter has no value")?;
        parts.take(&decoded(key)?, decoded(value)?)?;
    }
    Ok(parts)
}

fn host_and_port(one: &str) -> Result<(&str, &str), String> {
    let Some(rest) = one.strip_prefix('[') else {
        let (host, port) = one.split_once(':').unwrap_or((one, ""));
        if port.contains(':') {
            return Err("an IPv6 address stands in brackets (`[::1]:5432`)".to_owned());
        }
        return Ok((host, port));
    };
    let (host, rest) = rest.split_once(']').ok_or("the bracket `[` is not closed")?;
    host.parse::<Ipv6Addr>().map_err(|_| format!("`{host}` is not an IPv6 address"))?;
    match (rest, rest.strip_prefix(':')) {
        ("", _) => Ok((host, "")),
        (_, Some(port)) => Ok((host, port)),
        _ => Err("behind the bracket `]` comes `:port`".to_owned()),
    }
}

/// Percent-decoded; a `+` is a `+`, as in libpq.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = rest.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let value = digits.and_then(|hex| u8::from_str_radix(hex, 16).ok()).filter(|v| *v != 0);
        bytes.push(value.ok_or("behind `%` come two hexadecimal digits, not 00")?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
}

impl Parts {
    fn take(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            "sslmode" => {
                let found = SSL_MODES.iter().find(|(name, _)| *name == value);
                let rule = || {
                    let names = SSL_MODES.map(|(name, _)| name).join(", ");
                    format!("sslmode is one of {names}")
                };
                self.sslmode = Some(found.ok_or_else(rule)?.1);
            }
            "sslrootcert" => self.sslrootcert = Some(value),
            "sslcert" => self.sslcert = Some(PathBuf::from(value)),
            "sslkey" => self.sslkey = Some(PathBuf::from(value)),
            "sslnegotiation" => match value.as_str() {
                "postgres" => self.direct_tls = false,
                "direct" => self.direct_tls = true,
                _ => return Err("sslnegotiation is one of postgres, direct".to_owned()),
            },
            _ => return Err(format!("unknown parameter `{key}`")),
        }
        Ok(())
    }

    fn into_upstream(self) -> Result<Upstream, String> {
        let hosts = self.endpoints()?;
        // With roots of the system anything but the full check is worthless: anybody can have a certificate.
        let system = self.sslrootcert.as_deref() == Some("system");
        let default = if system { SslMode::VerifyFull } else { SslMode::Prefer };
        let sslmode = self.sslmode.unwrap_or(default);
        let sslrootcert = match (self.sslrootcert, sslmode) {
            (None, SslMode::VerifyFull) => RootCertificates::System,
            (None, SslMode::VerifyCa) => {
                return Err("sslmode=verify-ca needs sslrootcert=FILE".to_owned());
            }
            (None, _) => RootCertificates::None,
            (Some(_), SslMode::VerifyFull) if system => RootCertificates::System,
            (Some(_), _) if system => {
                return Err("sslrootcert=system needs sslmode=verify-full".to_owned());
            }
            (Some(path), _) => RootCertificates::File(PathBuf::from(path)),
        };
        let weak = matches!(sslmode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if self.direct_tls && weak {
            return Err("sslnegotiation=direct needs sslmode=require or stronger".to_owned());
        }
        if self.sslcert.is_some() != self.sslkey.is_some() {
            return Err("sslcert and sslkey belong together".to_owned());
        }
        let (sslcert, sslkey, direct_tls) = (self.sslcert, self.sslkey, self.direct_tls);
        Ok(Upstream { hosts, sslmode, sslrootcert, sslcert, sslkey, direct_tls })
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>, String> {
        if self.hosts.is_empty() || self.hosts.len() > HOSTS_MAX {
            return Err(match self.hosts.len() {
                0 => "the host is missing".to_owned(),
                _ => format!("it names more than {HOSTS_MAX} hosts"),
            });
        }
        if self.ports.len() > 1 && self.ports.len() != self.hosts.len() {
            return Err("there are not as many ports as hosts".to_owned());
        }
        let port_of = |index: usize| {
            let text = self.ports.get(index).or(self.ports.first()).map_or("", String::as_str);
            match text {
                "" => Ok(DEFAULT_PORT),
                _ => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                    let shown: String = text.chars().filter(|c| !c.is_control()).take(20).collect();
                    format!("`{shown}` is not a port (1-65535)")
                }),
            }
        };
        let hosts = self.hosts.iter().enumerate();
        hosts.map(|(index, host)| endpoint(host, port_of(index)?)).collect()
    }
}

fn endpoint(host: &str, port: u16) -> Result<Endpoint, String> {
    if host.starts_with('/') {
        if host.chars().any(char::is_control) {
            return Err("the socket's folder has control characters".to_owned());
        }
        let folder = host.trim_end_matches('/').to_owned();
        return Ok(Endpoint::Unix { folder, port });
    }
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    check_host(host)?;
    Ok(Endpoint::Tcp { host: host.to_owned(), port })
}

fn bad(origin: &str, text: &str, rule: &str) -> Problem {
    let shown: String = text.chars().filter(|c| !c.is_control()).take(120).collect();
    Problem::new(204, format!("{origin} is not a URL that pgsonde can use: {rule}"))
        .note(format!("it is `{shown}`"))
        .help("the form is postgresql://host[:port][?sslmode=…], or postgresql:///?host=/run/postgresql")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        use SslMode::{Allow, Disable, Prefer, Require, VerifyFull};
        let rows = [
            ("postgresql://db.internal", "db.internal:5432", Prefer),
            ("postgres://db:6000/", "db:6000", Prefer),
            ("postgresql://10.0.0.1:5433?sslmode=disable", "10.0.0.1:5433", Disable),
            ("postgresql://[fd00::7]:1?sslmode=prefer", "[fd00::7]:1", Prefer),
            ("postgresql://[::1]", "[::1]:5432", Prefer),
            (" postgresql://localhost ", "localhost:5432", Prefer),
            ("postgresql://db?sslmode=allow", "db:5432", Allow),
            ("postgresql://a:1,b,[::1]:3/?sslmode=require", "a:1,b:5432,[::1]:3", Require),
            ("postgresql://db?sslmode=verify-full", "db:5432", VerifyFull),
            ("postgresql://db?sslrootcert=system", "db:5432", VerifyFull),
            ("postgresql:///?host=/run/postgresql", "/run/postgresql/.s.PGSQL.5432", Prefer),
            ("postgresql://?host=%2Fa%20b%2F&port=7", "/a b/.s.PGSQL.7", Prefer),
            ("postgresql://%2Frun%2Fpg:6000", "/run/pg/.s.PGSQL.6000", Prefer),
            ("postgresql:///?host=a,b&port=5", "a:5,b:5", Prefer),
            ("postgresql:///?host=a,b&port=5,", "a:5,b:5432", Prefer),
        ];
        for (text, shown, mode) in rows {
            let upstream = Upstream::parse(text, "--upstream").unwrap();
            assert_eq!(upstream.to_string(), shown, "{text}");
            assert_eq!(upstream.sslmode, mode, "{text}");
        }
    }

    #[test]
    fn roots_follow_the_mode() {
        use RootCertificates::{File, None, System};
        let file = || File(PathBuf::from("/r+x.pem"));
        let rows = [
            ("sslmode=require", None),
            ("sslmode=require&sslrootcert=/r%2Bx.pem", file()),
            ("sslmode=prefer&sslrootcert=/r+x.pem", file()),
            ("sslmode=verify-ca&sslrootcert=/r+x.pem", file()),
            ("sslmode=verify-full&sslrootcert=/r+x.pem", file()),
            ("sslmode=verify-full", System),
            ("sslmode=verify-full&sslrootcert=system", System),
        ];
        for (query, expected) in rows {
            let upstream = Upstream::parse(&format!("postgresql://db?{query}"), "x").unwrap();
            assert_eq!(upstream.sslrootcert, expected, "{query}");
        }
        let direct = "postgresql://db?sslmode=require&sslnegotiation=direct&sslcert=c&sslkey=k";
        let upstream = Upstream::parse(direct, "x").unwrap();
        assert!(upstream.direct_tls && upstream.sslcert.is_some() && upstream.sslkey.is_some());
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
            ("postgresql:///", 204),
            ("postgresql://:5432", 204),
            ("postgresql://db,", 204),
            ("postgresql://db:99999", 204),
            ("postgresql://db:0", 204),
            ("postgresql://d b", 204),
            ("postgresql://::1", 204),
            ("postgresql://[::1", 204),
            ("postgresql://[::1]x", 204),
            ("postgresql://a,b,c,d,e,f,g,h,i", 204),
            ("postgresql:///?host=a,b,c&port=1,2", 204),
            ("postgresql://db?sslmode=never", 204),
            ("postgresql://db?sslmode", 204),
            ("postgresql://db?sslmode=verify-ca", 204),
            ("postgresql://db?sslmode=require&sslrootcert=system", 204),
            ("postgresql://db?sslnegotiation=direct", 204),
            ("postgresql://db?sslmode=require&sslnegotiation=maybe", 204),
            ("postgresql://db?sslcert=x", 204),
            ("postgresql://db?target_session_attrs=any", 204),
            ("postgresql://db%zz", 204),
            ("postgresql://db%00", 204),
        ];
        for (text, code) in rows {
            let problem = Upstream::parse(text, "--upstream").unwrap_err();
            assert_eq!(problem.number(), code, "{text}: {problem}");
            assert_eq!(problem.exit_code(), 2, "{text}");
            assert!(!problem.to_text().contains("hunter2"), "{}", problem.to_text());
        }
    }
}

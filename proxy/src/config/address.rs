//! Addresses that pgsonde listens on: `host:port`, with IPv6 literals in brackets, or `unix:` and a path.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Longest path of a Unix socket, in bytes (`sun_path` of Linux without its NUL).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// Where applications connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// By TCP.
    Tcp(Address),
    /// By a Unix socket at this path.
    Unix(PathBuf),
    /// By the sockets that systemd hands over.
    Systemd,
}

impl Listen {
    /// Reads `host:port`, `unix:/path` or `systemd`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause that fits behind "… : ".
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim() == "systemd" {
            return Ok(Self::Systemd);
        }
        let Some(path) = text.trim().strip_prefix("unix:") else {
            return Address::parse(text).map(Self::Tcp);
        };
        if !path.starts_with('/') || path.ends_with('/') {
            return Err("the path of a Unix socket is absolute and names a file".to_owned());
        }
        if path.len() > SOCKET_PATH_BYTES_MAX || path.chars().any(char::is_control) {
            return Err(format!(
                "the path of a Unix socket has at most {SOCKET_PATH_BYTES_MAX} bytes and no control characters"
            ));
        }
        Ok(Self::Unix(PathBuf::from(path)))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd => f.write_str("systemd"),
        }
    }
}

/// A host (name or IP literal, without brackets) and a port; port 0 means any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Name or IP literal.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Reads `host:port` or `[ipv6]:port`.
    ///
    /// # Errors
    /// What is wrong with it, as a clause that fits behind "… : ".
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("unix:") || text == "systemd" {
            return Err("only proxy.listen takes Unix sockets and sockets of systemd".to_owned());
        }
        let (host, port) = split_port(text)?;
        let port = port.parse().map_err(|_| format!("`{port}` is not a port (0-65535)"))?;
        check_host(host)?;
        Ok(Self { host: host.to_owned(), port })
    }

    /// Whether only this machine can reach it. A name other than `localhost` counts as reachable from outside.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(ip) => ip.to_canonical().is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// The socket addresses behind the name (blocking name resolution for names).
    ///
    /// # Errors
    /// When the name cannot be resolved.
    pub fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok((self.host.as_str(), self.port).to_socket_addrs()?.collect())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn split_port(text: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or("the bracket `[` is not closed")?;
        let port = rest.strip_prefix(':').ok_or("the port is missing (`[host]:port`)")?;
        host.parse::<Ipv6Addr>().map_err(|_| format!("`{host}` is not an IPv6 address"))?;
        return Ok((host, port));
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing (`host:port`)")?;
    if host.contains(':') {
        return Err("an IPv6 address stands in brackets (`[::1]:6435`)".to_owned());
    }
    Ok((host, port))
}

/// Whether it can be a host name or IP literal at all.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing; 127.0.0.1 is this machine only".to_owned());
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if host.len() > 253 || !host.chars().all(plain) {
        return Err("the host is neither a name nor an IP address".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_addresses() {
        let rows = [
            ("127.0.0.1:6435", "127.0.0.1", 6435, true),
            ("127.9.9.9:1", "127.9.9.9", 1, true),
            ("[::1]:0", "::1", 0, true),
            ("[::ffff:127.0.0.1]:5", "::ffff:127.0.0.1", 5, true),
            ("localhost:80", "localhost", 80, true),
            ("0.0.0.0:80", "0.0.0.0", 80, false),
            ("[::]:80", "::", 80, false),
            ("db.internal:5432", "db.internal", 5432, false),
        ];
        for (text, host, port, loopback) in rows {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port), "{text}");
            assert_eq!(address.is_loopback(), loopback, "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        let rows = [
            ("", "port is missing"),
            ("6435", "port is missing"),
            (":6435", "host is missing"),
            ("127.0.0.1:", "is not a port"),
            ("127.0.0.1:70000", "is not a port"),
            ("127.0.0.1:pg", "is not a port"),
            ("::1:6435", "in brackets"),
            ("[::1:6435", "not closed"),
            ("[::1]", "port is missing"),
            ("[db]:1", "not an IPv6"),
            ("a b:1", "neither a name nor"),
            ("a\nb:1", "neither a name nor"),
            ("unix:/run/x", "only proxy.listen"),
        ];
        for (text, part) in rows {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn reads_unix_sockets() {
        let long = format!("unix:/{}", "x".repeat(107));
        let rows = [
            ("unix:/run/pg/.s.PGSQL.6435", Some("unix:/run/pg/.s.PGSQL.6435")),
            (" unix:/a ", Some("unix:/a")),
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("unix:run/x", None),
            ("unix:/run/", None),
            ("unix:", None),
            ("systemd", Some("systemd")),
            (&long, None),
        ];
        for (text, shown) in rows {
            let listen = Listen::parse(text);
            assert_eq!(listen.ok().map(|listen| listen.to_string()).as_deref(), shown, "{text}");
        }
    }
}

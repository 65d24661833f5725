//! The server that a connection string asks for, as `proxy.upstream` writes it.

use super::Refusal;
use std::fmt::Write as _;

/// Folder of the socket where a string names no host, as Debian builds libpq.
pub(super) const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// What a string asks for, as it is written: lists are separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) hosts: Vec<String>,
    /// Addresses that are used instead of looking the hosts up; the host stays the name in the certificate.
    pub(super) addresses: Vec<String>,
    pub(super) ports: Vec<String>,
    pub(super) sslmode: Option<String>,
    pub(super) sslrootcert: Option<String>,
    pub(super) sslcert: Option<String>,
    pub(super) sslkey: Option<String>,
    pub(super) sslnegotiation: Option<String>,
    pub(super) channel_binding: Option<String>,
    pub(super) target_session: Option<String>,
}

/// Where a connection string leads. Equal ones share a proxy.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Server {
    /// (host or folder of a socket, port), in the order in which they are tried.
    pub(crate) hosts: Vec<(String, u16)>,
    /// `sslmode=…` and what belongs to it, for `proxy.upstream`.
    protection: Vec<(&'static str, String)>,
}

impl Asked {
    /// Takes a parameter as libpq names it; false where it isn't about the server.
    pub(super) fn take(&mut self, key: &str, value: &str) -> bool {
        let list = |value: &str| value.split(',').map(|one| one.trim().to_owned()).collect();
        match key {
            "host" => self.hosts = list(value),
            "hostaddr" => self.addresses = list(value),
            "port" => self.ports = list(value),
            "sslmode" => self.sslmode = Some(value.to_owned()),
            "sslrootcert" => self.sslrootcert = Some(value.to_owned()),
            "sslcert" => self.sslcert = Some(value.to_owned()),
            "sslkey" => self.sslkey = Some(value.to_owned()),
            "sslnegotiation" => self.sslnegotiation = Some(value.to_owned()),
            "channel_binding" => self.channel_binding = Some(value.to_owned()),
            "target_session_attrs" => self.target_session = Some(value.to_owned()),
            "ssl" | "requiressl" => {
                let on = matches!(value, "true" | "1" | "on" | "yes");
                let off = matches!(value, "false" | "0" | "off" | "no" | "");
                let named = if on {
                    "require"
                } else if off {
                    "disable"
                } else {
                    value
                };
                self.sslmode.get_or_insert_with(|| named.to_owned());
            }
            "gssencmode"
            | "load_balance_hosts"
            | "sslcompression"
            | "sslcrl"
            | "sslcrldir"
            | "sslsni"
            | "sslpassword"
            | "ssl_min_protocol_version"
            | "ssl_max_protocol_version"
            | "requirepeer"
            | "sslcertmode" => {}
            _ => return false,
        }
        true
    }

    pub(super) fn into_server(self) -> Result<(Server, Vec<String>), Refusal> {
        if let Some(target) = &self.target_session
            && !matches!(target.to_ascii_lowercase().as_str(), "" | "any")
        {
            return Err(Refusal::TargetSession(target.clone()));
        }
        let mut warnings = Vec::new();
        if self.channel_binding.as_deref().is_some_and(|mode| mode.eq_ignore_ascii_case("require"))
        {
            warnings.push("channel_binding=require cannot hold on the plain leg to pgsonde and was removed for this run".to_owned());
        }
        let hosts = self.endpoints()?;
        let mut protection = Vec::new();
        if let Some(mode) = self.sslmode {
            let mode = match mode.to_ascii_lowercase().as_str() {
                "verifyca" => "verify-ca".to_owned(),
                "verifyfull" => "verify-full".to_owned(),
                // node-postgres: encrypted, the certificate unchecked.
                "no-verify" => "require".to_owned(),
                other => other.to_owned(),
            };
            protection.push(("sslmode", mode));
        }
        let files = [
            ("sslrootcert", self.sslrootcert),
            ("sslcert", self.sslcert),
            ("sslkey", self.sslkey),
            ("sslnegotiation", self.sslnegotiation),
        ];
        protection.extend(files.into_iter().filter_map(|(key, value)| Some((key, value?))));
        Ok((Server { hosts, protection }, warnings))
    }

    fn endpoints(&self) -> Result<Vec<(String, u16)>, Refusal> {
        let named: Vec<&String> = match (self.hosts.len(), self.addresses.len()) {
            (_, 0) => self.hosts.iter().collect(),
            // Without a name there is nothing else; with one, the name is what a certificate is for.
            (0, _) => self.addresses.iter().collect(),
            _ if self.needs_name() => self.hosts.iter().collect(),
            _ => self.addresses.iter().collect(),
        };
        let ports = self.ports.len();
        if ports > 1 && ports != named.len() {
            return Err(Refusal::Malformed("there are not as many ports as hosts".to_owned()));
        }
        let port = |at: usize| match self.ports.get(at).or(self.ports.first()).map(String::as_str) {
            None | Some("") => Ok(5432),
            Some(text) => text.parse().ok().filter(|port| *port != 0).ok_or_else(|| {
                Refusal::Malformed("the port is not a number from 1 to 65535".to_owned())
            }),
        };
        if named.is_empty() {
            return Ok(vec![(SOCKET_FOLDER.to_owned(), port(0)?)]);
        }
        let host = |(at, host): (usize, &&String)| {
            let host = if host.is_empty() { SOCKET_FOLDER } else { host.as_str() };
            Ok((host.to_owned(), port(at)?))
        };
        named.iter().enumerate().map(host).collect()
    }

    fn needs_name(&self) -> bool {
        self.sslmode.as_deref().is_some_and(|mode| mode.starts_with("verify"))
    }
}

impl Server {
    /// What `proxy --upstream` takes.
    pub(crate) fn upstream_url(&self) -> String {
        let list = |of: fn(&(String, u16)) -> String| {
            self.hosts.iter().map(of).collect::<Vec<_>>().join(",")
        };
        let mut url = format!(
            "postgresql:///?host={}&port={}",
            list(|(host, _)| encoded(host)),
            list(|(_, port)| port.to_string())
        );
        for (key, value) in &self.protection {
            let _ = write!(url, "&{key}={}", encoded(value));
        }
        url
    }

    /// `db:5432,db2:5432`, for people.
    pub(crate) fn shown(&self) -> String {
        let one = |(host, port): &(String, u16)| match host.starts_with('/') {
            true => format!("{host}/.s.PGSQL.{port}"),
            false if host.contains(':') => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        };
        self.hosts.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

/// Percent-encoded for the query of a URL.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

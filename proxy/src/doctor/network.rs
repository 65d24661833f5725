//! From the name to the first word of the server: names, TCP, TLS, and how it wants to be convinced.

use super::outcome::Outcome;
use super::target::Target;
use crate::config::{Endpoint, SslMode};
use crate::stream::Stream;
use crate::tls::{ServerLeg, Trouble, explain};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::timeout;
use x509_parser::prelude::{FromDer, X509Certificate};

/// Days before its end from which a certificate is worth a warning.
const EXPIRY_WARNING_DAYS: i64 = 21;
/// Longest first answer of a server that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 4_096;

/// `1.23 ms`
pub(super) fn shown(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1e3)
}

/// All addresses of the host's name.
pub(super) async fn names(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<(Vec<SocketAddr>, Outcome), Outcome> {
    let began = Instant::now();
    let step = "name";
    let looked_up = timeout(limit, lookup_host((host, port))).await;
    let found: Vec<SocketAddr> = match looked_up {
        Err(_) => Vec::new(),
        Ok(Err(error)) => {
            let help = "check the spelling, and the resolver of this machine (/etc/resolv.conf)";
            return Err(Outcome::fail(step, format!("{host}: {error}")).fix(help));
        }
        Ok(Ok(found)) => found.collect(),
    };
    if found.is_empty() {
        return Err(Outcome::fail(step, format!("{host}: no address within {}", shown(limit))));
    }
    let list: Vec<String> = found.iter().map(|address| address.ip().to_string()).collect();
    let line = format!("{host} is {} ({})", list.join(", "), shown(began.elapsed()));
    Ok((found, Outcome::ok(step, line)))
}

/// Tries every address; the proxy uses the first that answers.
pub(super) async fn tcp(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<(SocketAddr, Outcome), Outcome> {
    let step = "tcp";
    let (mut first, mut lines, mut refused) = (None, Vec::new(), 0);
    for address in addresses {
        let began = Instant::now();
        match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(_)) => {
                lines.push(format!("{address} in {}", shown(began.elapsed())));
                first.get_or_insert(*address);
            }
            Ok(Err(error)) => {
                refused += 1;
                lines.push(format!("{address}: {error}"));
            }
            Err(_) => {
                refused += 1;
                lines.push(format!("{address}: no answer within {}", shown(limit)));
            }
        }
    }
    let line = lines.join("; ");
    match (first, refused) {
        (Some(address), 0) => Ok((address, Outcome::ok(step, line))),
        (Some(address), _) => {
            let help = "some addresses of the name don't answer: connecting waits for them when they come first";
            Ok((address, Outcome::warn(step, line).fix(help)))
        }
        (None, _) => Err(Outcome::fail(step, line)
            .fix("check that PostgreSQL runs there, `listen_addresses` in postgresql.conf, and the firewall")),
    }
}

/// One connection, encrypted as the URL asks.
pub(super) async fn connect(
    host: &Endpoint,
    leg: Option<&ServerLeg>,
    prefer: bool,
    limit: Duration,
) -> Result<Stream, Outcome> {
    let connecting = async {
        let tcp = match host {
            Endpoint::Unix { .. } => {
                let socket = UnixStream::connect(host.to_string()).await;
                return socket
                    .map(Stream::Unix)
                    .map_err(|error| unreachable(host, &error.to_string()));
            }
            Endpoint::Tcp { host: name, port } => TcpStream::connect((name.as_str(), *port)).await,
        };
        let tcp = tcp.map_err(|error| unreachable(host, &error.to_string()))?;
        let Some(leg) = leg else { return Ok(Stream::Tcp(tcp)) };
        match leg.secure(tcp, host.host()).await {
            Ok(stream) => Ok(stream),
            Err(Trouble::Declined(tcp)) if prefer => Ok(Stream::Tcp(tcp)),
            Err(trouble) => {
                let (code, why, help) = explain(&trouble, host.host());
                Err(Outcome::fail("tls", format!("{why} ({code})")).fix(help))
            }
        }
    };
    let late = || Outcome::fail("tcp", format!("{host}: no answer within {}", shown(limit)));
    timeout(limit, connecting).await.unwrap_or_else(|_| Err(late()))
}

fn unreachable(host: &Endpoint, why: &str) -> Outcome {
    Outcome::fail("tcp", format!("{host}: {why}")).fix("check that PostgreSQL runs there")
}

/// What protects the connection.
pub(super) fn tls(stream: &Stream, target: &Target) -> Outcome {
    let step = "tls";
    let mode = target.upstream.sslmode;
    match (stream, stream.peer_leaf()) {
        (Stream::Unix(_), _) => Outcome::ok(step, "a Unix socket needs none"),
        (_, None) if matches!(mode, SslMode::Disable | SslMode::Allow) => {
            Outcome::note(step, format!("plain, as sslmode={} asks", mode.name()))
        }
        (_, None) => Outcome::warn(step, "the server offers no TLS: everything goes in the clear")
            .fix("set ssl = on in postgresql.conf, then use sslmode=verify-full"),
        (stream, Some(leaf)) => certificate(stream.protection(), leaf, mode),
    }
}

fn certificate(version: &str, leaf: &[u8], mode: SslMode) -> Outcome {
    let step = "tls";
    let checked = match mode {
        SslMode::VerifyFull => "chain and name checked",
        SslMode::VerifyCa => "chain checked, name not",
        _ => "certificate not checked",
    };
    let Ok((_, certificate)) = X509Certificate::from_der(leaf) else {
        return Outcome::warn(step, format!("{version}, {checked}; its certificate can't be read"));
    };
    let names: Vec<String> = certificate
        .subject_alternative_name()
        .ok()
        .flatten()
        .map(|names| names.value.general_names.iter().map(ToString::to_string).collect())
        .unwrap_or_default();
    let names = if names.is_empty() { "without names".to_owned() } else { names.join(", ") };
    let end = certificate.validity().not_after;
    let now = x509_parser::time::ASN1Time::now();
    let days = (end.timestamp() - now.timestamp()) / 86_400;
    let line =
        format!("{version}, {checked}; certificate for {names}, valid until {end} ({days} days)");
    if days < 0 {
        Outcome::warn(step, line).fix("the certificate has expired: renew it")
    } else if days < EXPIRY_WARNING_DAYS {
        Outcome::warn(step, line).fix("renew the certificate soon")
    } else if matches!(mode, SslMode::VerifyFull) {
        Outcome::ok(step, line)
    } else {
        Outcome::note(step, line).fix("sslmode=verify-full also proves that it is the right server")
    }
}

/// How the server wants to be convinced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    Trust,
    Password,
    Md5,
    Sasl { plain: bool, bound: bool },
    Other(u32),
    Refused(String),
}

impl Demand {
    pub(super) fn words(&self) -> String {
        match self {
            Self::Trust => "trust: no password is asked".to_owned(),
            Self::Password => "clear-text password".to_owned(),
            Self::Md5 => "md5".to_owned(),
            Self::Sasl { bound: true, .. } => {
                "SCRAM-SHA-256, with and without channel binding".to_owned()
            }
            Self::Sasl { .. } => "SCRAM-SHA-256 without channel binding".to_owned(),
            Self::Other(number) => format!("method {number}"),
            Self::Refused(message) => message.clone(),
        }
    }
}

/// Says who we are on a connection of its own and reads what the server asks for (protocol documentation,
/// "Message Formats": StartupMessage, Authentication…, ErrorResponse).
pub(super) async fn demand(
    mut stream: Stream,
    target: &Target,
    limit: Duration,
) -> std::io::Result<Demand> {
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    for text in ["user", &target.user, "database", &target.database, ""] {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend(body);
    let asking = async {
        stream.write_all(&packet).await?;
        stream.flush().await?;
        let (tag, length) = (stream.read_u8().await?, stream.read_u32().await?);
        let mut answer = vec![0; (length.saturating_sub(4) as usize).min(ANSWER_BYTES_MAX)];
        stream.read_exact(&mut answer).await?;
        std::io::Result::Ok((tag, answer))
    };
    let (tag, answer) = match timeout(limit, asking).await {
        Ok(outcome) => outcome?,
        Err(_) => return Err(std::io::ErrorKind::TimedOut.into()),
    };
    Ok(read_demand(tag, &answer))
}

fn read_demand(tag: u8, answer: &[u8]) -> Demand {
    if tag == b'E' {
        let message = answer.split(|byte| *byte == 0).find_map(|field| field.strip_prefix(b"M"));
        return Demand::Refused(
            String::from_utf8_lossy(message.unwrap_or(b"refused")).into_owned(),
        );
    }
    let Some((number, rest)) = answer.split_first_chunk::<4>() else { return Demand::Other(0) };
    match u32::from_be_bytes(*number) {
        0 => Demand::Trust,
        3 => Demand::Password,
        5 => Demand::Md5,
        10 => {
            let offers = |name: &[u8]| rest.split(|byte| *byte == 0).any(|offer| offer == name);
            Demand::Sasl { plain: offers(b"SCRAM-SHA-256"), bound: offers(b"SCRAM-SHA-256-PLUS") }
        }
        other => Demand::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demands_are_read() {
        let sasl = |offers: &[u8]| read_demand(b'R', &[&10_u32.to_be_bytes()[..], offers].concat());
        assert_eq!(sasl(b"SCRAM-SHA-256\0\0"), Demand::Sasl { plain: true, bound: false });
        let both = sasl(b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
        assert_eq!(both, Demand::Sasl { plain: true, bound: true });
        assert_eq!(read_demand(b'R', &[0; 4]), Demand::Trust);
        assert_eq!(read_demand(b'R', &[]), Demand::Other(0));
        let refused = read_demand(b'E', b"SFATAL\0Mno such user\0\0");
        assert_eq!(refused, Demand::Refused("no such user".to_owned()));
    }
}

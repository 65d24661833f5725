//! How a session came about, and how it ended.

/// What start-up took and came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Connecting to the server, microseconds.
    pub tcp_us: u64,
    /// Its TLS handshake, microseconds; 0 without.
    pub tls_us: u64,
    /// TLS of the client's leg.
    pub tls_client: Tls,
    /// TLS of the server's leg.
    pub tls_server: Tls,
}

/// Encryption of a leg.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// None.
    #[default]
    Off,
    /// TLS 1.2.
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// What the server asked a client for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not seen.
    #[default]
    Unknown,
    /// Nothing: `trust`, `peer`, `ident` or a certificate.
    Nothing,
    /// The password as it is.
    Password,
    /// Its MD5 hash.
    Md5,
    /// SCRAM-SHA-256, with or without channel binding.
    ScramSha256,
    /// OAuth.
    OAuth,
    /// GSSAPI.
    Gss,
    /// SSPI.
    Sspi,
}

/// Who ended a session, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Not seen.
    #[default]
    Unknown,
    /// The client ended its stream.
    ClientClosed,
    /// The client's connection broke.
    ClientReset,
    /// The server ended its stream.
    ServerClosed,
    /// The server's connection broke.
    ServerReset,
    /// It was idle for too long.
    IdleTimeout,
    /// The proxy was going down.
    Drain,
}

/// Why a session is forwarded unseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opaque {
    /// A frame that makes no sense, or an answer to nothing.
    Framing,
    /// A replication connection.
    Replication,
    /// Another protocol version.
    Unknown,
    /// A limit was reached.
    Memory,
    /// GSS encryption between client and server.
    Gss,
    /// `profile.mode` is `bypass`.
    Bypass,
}

impl Opaque {
    const ALL: [Self; 6] =
        [Self::Framing, Self::Replication, Self::Unknown, Self::Memory, Self::Gss, Self::Bypass];

    /// Its name in metrics and events.
    pub fn name(self) -> &'static str {
        match self {
            Self::Framing => "framing",
            Self::Replication => "replication",
            Self::Unknown => "unknown",
            Self::Memory => "memory",
            Self::Gss => "gss",
            Self::Bypass => "bypass",
        }
    }

    /// The reason of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

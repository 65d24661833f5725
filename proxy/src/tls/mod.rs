//! TLS of both legs: what was configured, as the objects that rustls wants.

pub(crate) mod check;
mod client_leg;
mod files;
mod server_leg;
mod verify;

pub use client_leg::{ClientLeg, accept};
pub(crate) use server_leg::SSL_REQUEST;
pub use server_leg::{ServerLeg, Trouble, explain};

use crate::config::ProxySettings;
use crate::problem::Problem;
use rustls::crypto::CryptoProvider;
use std::sync::Arc;

/// The one protocol that is spoken inside (ALPN).
pub(crate) const ALPN: &[u8] = b"postgresql";

/// TLS as configured; replaced as a whole when the files are read again.
#[derive(Debug, Default)]
pub struct Tls {
    /// Towards clients; `None` = plain.
    pub client: Option<Arc<ClientLeg>>,
    /// Towards the server; `None` = plain.
    pub server: Option<Arc<ServerLeg>>,
}

impl Tls {
    /// Reads certificates and keys.
    ///
    /// # Errors
    /// PGS0407: a file can't be read, makes no sense, or is a private key that others may read.
    pub fn load(settings: &ProxySettings) -> Result<Self, Problem> {
        let client = settings.tls.certificate.as_ref();
        let client = client.map(|_| ClientLeg::load(&settings.tls)).transpose()?;
        let server = ServerLeg::load(&settings.upstream)?;
        Ok(Self { client: client.map(Arc::new), server: server.map(Arc::new) })
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// A file that can't be used.
fn unusable(what: impl Into<String>) -> Problem {
    Problem::new(407, what)
}

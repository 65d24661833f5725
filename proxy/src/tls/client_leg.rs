//! TLS towards clients.

use super::{ALPN, files, provider, unusable};
use crate::config::{MinVersion, TlsSettings};
use crate::problem::Problem;
use crate::stream::Stream;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::{Acceptor, WebPkiClientVerifier};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::{LazyConfigAcceptor, TlsStream};

/// A fatal alert `no_application_protocol` in a TLS record.
const NO_APPLICATION_PROTOCOL: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 120];

/// A certificate with its key, ready to accept.
#[derive(Debug)]
pub struct ClientLeg {
    config: Arc<ServerConfig>,
    leaf: CertificateDer<'static>,
}

impl ClientLeg {
    pub(super) fn load(settings: &TlsSettings) -> Result<Self, Problem> {
        let (Some(certificate), Some(key)) = (&settings.certificate, &settings.key) else {
            return Err(unusable("proxy.tls.cert and proxy.tls.key belong together"));
        };
        let chain = files::certificates(certificate)?;
        let leaf = chain[0].clone();
        let versions: &[_] = match settings.min_version {
            MinVersion::Tls12 => rustls::ALL_VERSIONS,
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let shown = certificate.display();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .map_err(|error| unusable(error.to_string()))?;
        let builder = match &settings.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => builder.with_client_cert_verifier(client_verifier(path)?),
        };
        let mut config = builder
            .with_single_cert(chain, files::private_key(key)?)
            .map_err(|error| unusable(format!("{shown} and its key cannot be used: {error}")))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self { config: Arc::new(config), leaf })
    }

    /// Our own certificate (DER).
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }
}

fn client_verifier(
    path: &Path,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, Problem> {
    let roots = files::roots(path)?;
    WebPkiClientVerifier::builder_with_provider(roots, provider())
        .build()
        .map_err(|error| unusable(format!("{} cannot be used: {error}", path.display())))
}

/// The TLS handshake with a client. A `direct` one, without a request before it, must name the protocol.
///
/// # Errors
/// The handshake failed; the client was told by an alert.
pub async fn accept(client: TcpStream, leg: &ClientLeg, direct: bool) -> io::Result<Stream> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), client).await?;
    let named = start.client_hello().alpn().is_some_and(|mut list| list.any(|name| name == ALPN));
    if direct && !named {
        start.io.write_all(&NO_APPLICATION_PROTOCOL).await?;
        start.io.shutdown().await?;
        let why = "a direct TLS connection must name the protocol `postgresql` (ALPN)";
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    match start.into_stream(Arc::clone(&leg.config)).into_fallible().await {
        Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Server(stream)))),
        Err((error, mut client)) => {
            // The alert is on its way; an end behind it tells the client that nothing more comes.
            let _gone = client.shutdown().await;
            Err(error)
        }
    }
}

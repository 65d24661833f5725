//! TLS towards the server.

use super::verify::Verifier;
use super::{ALPN, files, provider, unusable};
use crate::config::{RootCertificates, SslMode, Upstream};
use crate::problem::Problem;
use crate::stream::Stream;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

/// An SSLRequest. It is also the politest way to ask a server whether it is there: it answers one byte and logs
/// nothing when the connection ends then.
pub(crate) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Bytes read of an error that a server sent before encryption; for the log alone.
const UNAUTHENTICATED_BYTES_MAX: u64 = 512;

/// Time for such an error to arrive; a server closes behind it, others need not keep a client waiting.
const UNAUTHENTICATED_WAIT: Duration = Duration::from_secs(1);

/// What a server must show, and what we show.
#[derive(Debug)]
pub struct ServerLeg {
    config: Arc<ClientConfig>,
    direct: bool,
}

/// Why there is no TLS to the server.
#[derive(Debug)]
pub enum Trouble {
    /// It answered the SSLRequest with `N` and waits for a plain start-up on the same connection.
    Declined(TcpStream),
    /// It answered something else, or too much.
    BadAnswer(String),
    /// The handshake failed.
    Handshake(io::Error),
    /// The connection failed.
    Io(io::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl ServerLeg {
    /// `None` where the mode forbids TLS.
    pub(crate) fn load(upstream: &Upstream) -> Result<Option<Self>, Problem> {
        if matches!(upstream.sslmode, SslMode::Disable | SslMode::Allow) || !upstream.has_tcp() {
            return Ok(None);
        }
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier(upstream)?));
        let mut config = match (&upstream.sslcert, &upstream.sslkey) {
            (Some(certificate), Some(key)) => builder
                .with_client_auth_cert(files::certificates(certificate)?, files::private_key(key)?)
                .map_err(|error| {
                    let shown = certificate.display();
                    unusable(format!("{shown} and its key cannot be used: {error}"))
                })?,
            _ => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(Self { config: Arc::new(config), direct: upstream.direct_tls }))
    }

    /// Encrypts a fresh connection to `host`.
    ///
    /// # Errors
    /// See [`Trouble`]; the connection is gone then.
    pub async fn secure(&self, mut server: TcpStream, host: &str) -> Result<Stream, Trouble> {
        if !self.direct && !ask(&mut server).await? {
            return Err(Trouble::Declined(server));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| Trouble::Handshake(io::Error::other(error)))?;
        let connector = TlsConnector::from(Arc::clone(&self.config));
        let stream = connector.connect(name, server).await.map_err(Trouble::Handshake)?;
        if self.direct && stream.get_ref().1.alpn_protocol() != Some(ALPN) {
            let why = "the server did not agree to the protocol `postgresql` (ALPN)";
            return Err(Trouble::Handshake(io::Error::other(why)));
        }
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// Asks for TLS; tells whether the server has it. Nothing may be behind the one-byte answer: it would be unencrypted text that looks encrypted.
async fn ask(server: &mut TcpStream) -> Result<bool, Trouble> {
    server.write_all(&SSL_REQUEST).await?;
    let mut answer = [0; 2];
    let read = server.read(&mut answer).await?;
    match (read, answer[0]) {
        (0, _) => Err(Trouble::BadAnswer("it closed the connection".to_owned())),
        (1, b'S') => Ok(true),
        (1, b'N') => Ok(false),
        (_, b'E') => Err(Trouble::BadAnswer(unauthenticated(server, answer[1]).await)),
        (2, _) => Err(Trouble::BadAnswer("it sent more than was asked".to_owned())),
        _ => Err(Trouble::BadAnswer("it is no PostgreSQL server".to_owned())),
    }
}

/// The words of an error that came before encryption: anybody on the way may have written them, so the log has
/// them, marked, and no client does.
async fn unauthenticated(server: &mut TcpStream, second: u8) -> String {
    let mut text = vec![second];
    // What can't be read isn't shown.
    let mut rest = server.take(UNAUTHENTICATED_BYTES_MAX);
    let _partial = timeout(UNAUTHENTICATED_WAIT, rest.read_to_end(&mut text)).await;
    let words = String::from_utf8_lossy(&text);
    tracing::warn!(words = %words.escape_debug(), "unauthenticated error of the server before TLS");
    "it answered with an error instead of TLS".to_owned()
}

fn verifier(upstream: &Upstream) -> Result<Verifier, Problem> {
    let name = upstream.sslmode == SslMode::VerifyFull;
    let built = match &upstream.sslrootcert {
        RootCertificates::None => return Ok(Verifier::nothing()),
        RootCertificates::System => Verifier::chain(files::system_roots()?, Vec::new(), name),
        RootCertificates::File(path) => {
            Verifier::chain(files::roots(path)?, files::certificates(path)?, name)
        }
    };
    built.map_err(|error| unusable(error.to_string()))
}

/// Code and help for a failed TLS leg to the server.
pub fn explain(trouble: &Trouble, host: &str) -> (&'static str, String, String) {
    match trouble {
        Trouble::Declined(_) => (
            "PGS0403",
            "it does not offer TLS, and sslmode demands it".to_owned(),
            "Set ssl = on in postgresql.conf, or use a weaker sslmode in proxy.upstream."
                .to_owned(),
        ),
        Trouble::BadAnswer(why) => (
            "PGS0401",
            why.clone(),
            "Check that proxy.upstream is a PostgreSQL server and not a proxy of another kind."
                .to_owned(),
        ),
        Trouble::Io(error) => (
            "PGS0401",
            error.to_string(),
            "The connection broke before TLS was there; the server's log may say more.".to_owned(),
        ),
        Trouble::Handshake(error) => explain_handshake(error, host),
    }
}

fn explain_handshake(error: &io::Error, host: &str) -> (&'static str, String, String) {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => (
            "PGS0406",
            format!("the certificate of {host} is for another name ({error})"),
            "Connect by a name of the certificate (subjectAltName); sslmode=verify-ca skips the name check and is weaker.".to_owned(),
        ),
        Some(rustls::Error::InvalidCertificate(_)) => (
            "PGS0404",
            format!("the certificate of {host} is not trusted ({error})"),
            "Give the right sslrootcert in proxy.upstream, or sslrootcert=system for a public one.".to_owned(),
        ),
        _ => (
            "PGS0401",
            format!("the TLS handshake failed ({error})"),
            "The server's log may say more; a server may ask for a client certificate (sslcert, sslkey).".to_owned(),
        ),
    }
}

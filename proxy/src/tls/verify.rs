//! How much of the server's certificate is checked, in the steps that libpq knows.

use super::provider;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;

/// What is asked of the server's certificate besides the proof that the server holds its key.
#[derive(Debug)]
pub(super) struct Verifier {
    chain: Option<Chain>,
    /// Whether its name must be the host's.
    name: bool,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
struct Chain {
    webpki: Arc<WebPkiServerVerifier>,
    /// Certificates that are trusted as they are: a self-signed server certificate is its own root.
    trusted: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Nothing is asked (`require`, `prefer` without roots).
    pub(super) fn nothing() -> Self {
        Self { chain: None, name: false, provider: provider() }
    }

    /// A chain to one of `roots`, and the host's `name` where it is asked.
    pub(super) fn chain(
        roots: Arc<RootCertStore>,
        trusted: Vec<CertificateDer<'static>>,
        name: bool,
    ) -> Result<Self, rustls::server::VerifierBuilderError> {
        let webpki = WebPkiServerVerifier::builder_with_provider(roots, provider()).build()?;
        Ok(Self { chain: Some(Chain { webpki, trusted }), name, provider: provider() })
    }
}

fn is_about_the_name(error: &Error) -> bool {
    use CertificateError::{NotValidForName, NotValidForNameContext};
    matches!(error, Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }))
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        if chain.trusted.iter().any(|trusted| trusted == leaf) {
            if self.name {
                verify_server_name(&ParsedCertificate::try_from(leaf)?, host)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.webpki.verify_server_cert(leaf, others, host, ocsp, now) {
            // The chain is checked first, so an error about the name alone means that the chain is good.
            Err(error) if !self.name && is_about_the_name(&error) => {
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, leaf, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

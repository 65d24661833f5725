//! `[proxy.tls]`: the client leg.

use super::Values;
use crate::problem::Problem;
use std::path::PathBuf;

/// Encryption of the client leg.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file of our certificate and its chain; absent = plain.
    pub certificate: Option<PathBuf>,
    /// PEM file of its key.
    pub key: Option<PathBuf>,
    /// PEM file of roots that client certificates must come from; absent = none are asked for.
    pub client_ca: Option<PathBuf>,
    /// What becomes of SCRAM channel binding.
    pub auth: Auth,
    /// Lowest version.
    pub min_version: MinVersion,
    /// Whether plain sessions are refused; Unix sockets are exempt.
    pub required: bool,
    /// Whether encryption of clients is relayed to the server undecrypted.
    pub relay: bool,
}

/// What becomes of SCRAM channel binding where both legs have TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// SASL messages pass; binding fails if the certificates differ.
    #[default]
    Passthrough,
    /// Both legs show the same certificate, which is checked.
    SameCertificate,
}

/// Lowest version of TLS towards clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2
    #[default]
    Tls12,
    /// 1.3
    Tls13,
}

impl Values {
    pub(super) fn tls(&self) -> Result<TlsSettings, Problem> {
        let settings = TlsSettings {
            certificate: self.path("proxy.tls.cert"),
            key: self.path("proxy.tls.key"),
            client_ca: self.path("proxy.tls.client_ca"),
            auth: match self.text("proxy.tls.auth").as_str() {
                "same-certificate" => Auth::SameCertificate,
                _ => Auth::Passthrough,
            },
            min_version: match self.text("proxy.tls.min_version").as_str() {
                "1.3" => MinVersion::Tls13,
                _ => MinVersion::Tls12,
            },
            required: self.flag("proxy.tls.required"),
            relay: self.flag("proxy.tls.relay"),
        };
        settings.check()?;
        Ok(settings)
    }
}

impl TlsSettings {
    /// Keys that only make sense together.
    fn check(&self) -> Result<(), Problem> {
        let has_certificate = self.certificate.is_some();
        let rule = match self {
            _ if has_certificate != self.key.is_some() => {
                "proxy.tls.cert and proxy.tls.key belong together"
            }
            Self { relay: true, .. } if has_certificate => {
                "proxy.tls.relay passes the clients' TLS on, so proxy.tls.cert has no use beside it"
            }
            Self { required: true, .. } if !has_certificate => {
                "proxy.tls.required needs proxy.tls.cert"
            }
            Self { client_ca: Some(_), .. } if !has_certificate => {
                "proxy.tls.client_ca needs proxy.tls.cert"
            }
            Self { auth: Auth::SameCertificate, .. } if !has_certificate => {
                "proxy.tls.auth = \"same-certificate\" needs the server's certificate and key as proxy.tls.cert and proxy.tls.key"
            }
            _ => return Ok(()),
        };
        Err(Problem::new(208, rule))
    }
}

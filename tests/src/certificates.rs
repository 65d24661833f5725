//! Certificates made for one test run.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// An authority that signs.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub pem: String,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Authority {
    /// A new one.
    ///
    /// # Panics
    /// If no key can be made.
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// A certificate for a host or (by its common name) a user.
    ///
    /// # Panics
    /// If no key can be made.
    pub fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }
}

impl Identity {
    /// Writes both files into `folder` and gives their paths; the key is for its owner only.
    ///
    /// # Panics
    /// If the folder isn't writable.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let at = |end: &str| folder.join(format!("{name}.{end}"));
        (write(&at("crt"), &self.certificate), write(&at("key"), &self.key))
    }
}

/// Writes a file for its owner only.
///
/// # Panics
/// If the folder isn't writable.
pub fn write(path: &Path, text: &str) -> PathBuf {
    std::fs::write(path, text).expect("a writable folder");
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("the file is ours");
    path.to_owned()
}

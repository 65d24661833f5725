//! Certificates and keys out of PEM files.

use super::unusable;
use crate::problem::Problem;
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// Largest file that is read, in bytes: a bundle of all public roots has a quarter of it.
const PEM_BYTES_MAX: u64 = 1 << 20;

/// All certificates of a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let pem = read(path)?.1;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(list) if !list.is_empty() => Ok(list),
        Ok(_) => Err(unusable(format!("{} holds no certificate in PEM form", path.display()))),
        Err(error) => {
            Err(unusable(format!("{} is not a PEM file of certificates: {error}", path.display())))
        }
    }
}

/// The private key of a file that nobody else may read.
pub(super) fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let (metadata, pem) = read(path)?;
    if is_open_to_others(&metadata) {
        let what = format!("the private key {} may be read by others", path.display());
        return Err(unusable(what)
            .note("a key is only safe with mode 0600, or 0640 where its owner is root")
            .help(format!("chmod 600 {}", path.display())));
    }
    PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
        unusable(format!("{} holds no private key that can be used: {error}", path.display()))
            .note("it must be PEM (PKCS#8, PKCS#1 or SEC1) without a passphrase")
    })
}

/// As libpq and the server judge: only the owner, and the group too where root owns the file.
fn is_open_to_others(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    metadata.mode() & forbidden != 0
}

/// Trust in the certificates of a file.
pub(super) fn roots(path: &Path) -> Result<Arc<RootCertStore>, Problem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            unusable(format!("{} holds a certificate without sense: {error}", path.display()))
        })?;
    }
    Ok(Arc::new(roots))
}

/// Trust in what this machine trusts.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>, Problem> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _ignored) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(unusable("this machine has no root certificates")
            .help("install the package ca-certificates, or give sslrootcert=FILE"));
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<(Metadata, Vec<u8>), Problem> {
    let failed =
        |error: std::io::Error| unusable(format!("cannot read {}: {error}", path.display()));
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if metadata.len() > PEM_BYTES_MAX {
        let what = format!("{} is larger than {PEM_BYTES_MAX} bytes", path.display());
        return Err(unusable(what));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    Ok((metadata, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_for_its_owner_only() {
        let folder = std::env::temp_dir().join(format!("pgsonde-key-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("key.pem");
        std::fs::write(&path, "no key").unwrap();
        let owner_is_root = std::fs::metadata(&path).unwrap().uid() == 0;
        let rows = [
            (0o600, false),
            (0o400, false),
            (0o640, !owner_is_root),
            (0o644, true),
            (0o660, true),
            (0o604, true),
        ];
        for (mode, open) in rows {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let problem = private_key(&path).unwrap_err();
            assert_eq!(problem.what().contains("read by others"), open, "{mode:o}: {problem}");
            assert_eq!(problem.number(), 407);
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn names_what_cannot_be_read() {
        for path in ["/nonexistent/root.crt", "/dev/null"] {
            assert!(certificates(Path::new(path)).unwrap_err().what().contains(path));
        }
    }
}

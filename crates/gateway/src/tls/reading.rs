//! Files that are read whole, and their PEM blocks.

use std::io::Read;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::TlsError;

/// More than any bundle of authorities; a list of revoked certificates may be large.
const MOST: u64 = 64 * 1024 * 1024;

/// The bytes of a file.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |error| TlsError::new(path, format!("cannot be read: {error}"));
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(MOST + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MOST {
        return Err(TlsError::new(path, "is larger than 64 MiB"));
    }
    Ok(bytes)
}

/// The certificates in a file, at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    several(path, "certificate", "-----BEGIN CERTIFICATE-----")
}

/// The authorities whose certificates are in a file, at least one.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| {
            let what = format!("holds a certificate that cannot be used: {error}");
            TlsError::new(path, what)
        })?;
    }
    Ok(roots)
}

/// The lists of revoked certificates in a file, at least one.
pub(super) fn revocations(
    path: &Path,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    several(
        path,
        "list of revoked certificates",
        "-----BEGIN X509 CRL-----",
    )
}

fn several<T: PemObject>(path: &Path, what: &str, begin: &str) -> Result<Vec<T>, TlsError> {
    let found: Result<Vec<T>, pem::Error> = T::pem_slice_iter(&bytes(path)?).collect();
    match found {
        Ok(found) if found.is_empty() => {
            let message = format!("holds no {what}; it must be PEM, with a line \"{begin}\"");
            Err(TlsError::new(path, message))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::new(path, format!("is not valid PEM: {error}"))),
    }
}

/// The private key in a file. What is said about it shows nothing of it.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = bytes(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| {
        let is_encrypted = [
            &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
            b"Proc-Type: 4,ENCRYPTED",
        ]
        .iter()
        .any(|mark| memchr::memmem::find(&bytes, mark).is_some());
        let what = if is_encrypted {
            "is encrypted; decrypt it: openssl pkey -in KEY -out KEY.plain"
        } else {
            "holds no private key; it must be PEM, with a line \"-----BEGIN PRIVATE KEY-----\""
        };
        TlsError::new(path, what)
    })
}

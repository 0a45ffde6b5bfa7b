//! A certificate with its key, as it is shown to clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::SignatureScheme;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::Names;
use super::{TlsError, reading};

/// Where a certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    /// The certificate, and behind it those that lead to its authority (PEM).
    pub(crate) certificate: PathBuf,
    /// Its private key (PEM).
    pub(crate) key: PathBuf,
    /// What its authority says about its being revoked (RFC 6960, DER), for those who ask.
    pub(crate) ocsp: Option<PathBuf>,
}

/// A certificate with its key.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// In metrics and logs: the file, or what it was made for.
    pub(crate) label: Box<str>,
    pub(super) names: Names,
    /// When the first certificate of the chain ends, in seconds since 1970.
    pub(crate) not_after: i64,
    pub(super) key: Arc<CertifiedKey>,
}

impl Certificate {
    /// Reads a certificate and its key.
    ///
    /// # Errors
    /// When they cannot be read, or do not fit each other.
    pub(crate) fn load(files: &CertificateFiles) -> Result<Self, TlsError> {
        let chain = reading::certificates(&files.certificate)?;
        let key = reading::key(&files.key)?;
        let ocsp = match &files.ocsp {
            Some(path) => Some(ocsp(path)?),
            None => None,
        };
        let label = files.certificate.display().to_string();
        Self::new(&label, chain, &key, ocsp).map_err(|wrong| match wrong {
            Wrong::Certificate(what) => TlsError::new(&files.certificate, what),
            Wrong::Key(what) => TlsError::new(&files.key, what),
            Wrong::Pair => TlsError::new(
                &files.key,
                format!("is not the key of {}", files.certificate.display()),
            ),
        })
    }

    /// A certificate that nobody else vouches for, made for `names`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn self_signed(names: &[&str]) -> Result<Self, rcgen::Error> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let made = rcgen::generate_simple_self_signed(names)?;
        let key = PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
        Self::new(
            "made at the start",
            vec![made.cert.der().clone()],
            &key,
            None,
        )
        .map_err(|_| rcgen::Error::CouldNotParseCertificate)
    }

    fn new(
        label: &str,
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'static>,
        ocsp: Option<Vec<u8>>,
    ) -> Result<Self, Wrong> {
        let (mut names, mut not_after) = (None, i64::MAX);
        for der in &chain {
            let (_, parsed) = X509Certificate::from_der(der)
                .map_err(|_| Wrong::Certificate("holds what is no X.509 certificate"))?;
            names.get_or_insert_with(|| Names::of(&parsed));
            not_after = not_after.min(parsed.validity().not_after.timestamp());
        }
        let key = any_supported_type(key).map_err(|_| {
            Wrong::Key("is of a kind that is not supported; ECDSA P-256, P-384 or P-521, RSA from 2048 bits and Ed25519 are")
        })?;
        let mut certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(rustls::Error::InconsistentKeys(_)) => return Err(Wrong::Pair),
            Err(_) => {
                return Err(Wrong::Certificate(
                    "holds a certificate that cannot be used",
                ));
            }
        }
        certified.ocsp = ocsp;
        Ok(Self {
            label: label.into(),
            names: names.unwrap_or_default(),
            not_after,
            key: Arc::new(certified),
        })
    }

    /// For whoever asks, whatever names he knows.
    pub(super) fn shown_always(&self) -> SingleCertAndKey {
        SingleCertAndKey::from(CertifiedKey::clone(&self.key))
    }

    /// Whether clients that understand `schemes` can check its signatures.
    pub(super) fn suits(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }

    /// Whether its signatures are dear.
    pub(super) fn is_rsa(&self) -> bool {
        self.key.key.algorithm() == SignatureAlgorithm::RSA
    }

    /// Whether it is for `host`, which is in lower case.
    pub(super) fn covers(&self, host: &str) -> bool {
        self.names.cover(host)
    }

    /// The names that it is for, for people.
    pub(crate) fn shown_names(&self) -> String {
        self.names.shown()
    }
}

/// What is wrong with a certificate or its key.
enum Wrong {
    Certificate(&'static str),
    Key(&'static str),
    /// They do not belong to each other.
    Pair,
}

fn ocsp(path: &Path) -> Result<Vec<u8>, TlsError> {
    let bytes = reading::bytes(path)?;
    // A DER sequence (RFC 6960 §4.2.1); clients check the rest.
    if bytes.first() == Some(&0x30) {
        Ok(bytes)
    } else {
        let what = "is no OCSP response in DER; openssl ocsp -respout writes one";
        Err(TlsError::new(path, what))
    }
}

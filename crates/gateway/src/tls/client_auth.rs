//! Certificates that clients must show, or may.

use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::{TlsError, reading};

/// Who may vouch for clients, and whether somebody must.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientAuth {
    pub(crate) demand: Demand,
    /// The certificates of the authorities (PEM).
    pub(crate) authorities: PathBuf,
    /// The certificates that the authorities have revoked (PEM).
    pub(crate) revocations: Vec<PathBuf>,
    pub(crate) forwarding: Forwarding,
}

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Demand {
    /// There is no connection without.
    Required,
    /// Routes may ask for one. One that is shown must be good.
    Optional,
}

/// What backends are told of a client's certificate (RFC 9440).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// Nothing.
    Nothing,
    /// The certificate.
    Certificate,
    /// The certificate, and those that lead to its authority.
    Chain,
}

impl ClientAuth {
    /// What checks certificates.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let roots = reading::authorities(&self.authorities)?;
        let mut builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        for path in &self.revocations {
            builder = builder.with_crls(reading::revocations(path)?);
        }
        if self.demand == Demand::Optional {
            builder = builder.allow_unauthenticated();
        }
        builder.build().map_err(|error| {
            let file = self.revocations.first().unwrap_or(&self.authorities);
            TlsError::new(file, format!("cannot be used: {error}"))
        })
    }

    /// The files that it is made of.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        std::iter::once(&self.authorities).chain(&self.revocations)
    }
}

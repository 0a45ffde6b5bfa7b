//! TLS towards backends: whom an upstream believes, and what it shows.
//!
//! Certificates are verified unless an upstream says otherwise: against the system's authorities, or those of a file, and for
//! the name in the endpoint's URL, or another one. What is verified once is remembered for sessions that are resumed, by all
//! workers, for connections by the same rules alone.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::net::TcpStream;
use wire::tls::{HandshakeError, TlsStream};

use super::watch::Watched;
use super::{Certificate, CertificateFiles, TlsError, reading};

/// Names of backends whose sessions are remembered: those of a large upstream.
const REMEMBERED: usize = 1024;

/// What an upstream asks of its backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BackendRules {
    pub(crate) trust: Trust,
    /// What their certificates must be for, in place of the names in the endpoints' URLs.
    pub(crate) name: Option<ServerName<'static>>,
    /// What they are shown when they ask.
    pub(crate) identity: Option<CertificateFiles>,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Those that the system's authorities vouch for.
    System,
    /// Those that the authorities in a file vouch for (PEM).
    Authorities(PathBuf),
    /// All, whoever shows them.
    Anybody,
}

/// Encrypts an upstream's connections, on all workers.
#[derive(Debug)]
pub(crate) struct BackendTls {
    rules: BackendRules,
    /// The files, as they were read first.
    watched: Watched,
    /// Replaced when the files change.
    config: ArcSwap<ClientConfig>,
}

/// How connections to one member of an upstream are encrypted.
#[derive(Clone)]
pub(crate) struct ToBackend {
    tls: Arc<BackendTls>,
    name: ServerName<'static>,
}

impl BackendTls {
    /// By these rules.
    ///
    /// # Errors
    /// When a file cannot be read, or the system has no authorities.
    pub(crate) fn new(rules: BackendRules) -> Result<Self, TlsError> {
        let watched = Watched::backend(&rules);
        let config = ArcSwap::new(config(&rules)?);
        Ok(Self {
            rules,
            watched,
            config,
        })
    }

    /// What it asks of backends.
    pub(crate) fn rules(&self) -> &BackendRules {
        &self.rules
    }

    pub(super) fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// Reads the files anew, for connections that are made from now on.
    ///
    /// # Errors
    /// When one of them cannot be read; everything stays as it was.
    pub(super) fn renew(&self) -> Result<(), TlsError> {
        self.config.store(config(&self.rules)?);
        Ok(())
    }
}

impl BackendRules {
    /// The files that they name.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let authorities = match &self.trust {
            Trust::Authorities(file) => Some(file),
            Trust::System | Trust::Anybody => None,
        };
        let identity = self.identity.as_ref();
        let identity = identity.map(|files| [&files.certificate, &files.key]);
        authorities
            .into_iter()
            .chain(identity.into_iter().flatten())
    }
}

impl ToBackend {
    /// By the rules of `tls`, to a backend that is `own`, where these do not name another one. None where no name can be in
    /// a certificate.
    pub(crate) fn new(tls: &Arc<BackendTls>, own: Option<ServerName<'static>>) -> Option<Self> {
        Some(Self {
            name: tls.rules.name.clone().or(own)?,
            tls: Arc::clone(tls),
        })
    }

    /// Does a handshake.
    ///
    /// # Errors
    /// When it comes to nothing.
    pub(crate) async fn connect(&self, tcp: TcpStream) -> Result<TlsStream, HandshakeError> {
        wire::tls::connect(tcp, self.tls.config.load_full(), self.name.clone()).await
    }

    /// The name that the backend's certificate must be for.
    pub(crate) fn name(&self) -> String {
        self.name.to_str().into_owned()
    }
}

impl fmt::Debug for ToBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("ToBackend")
            .field(&self.name)
            .finish()
    }
}

fn config(rules: &BackendRules) -> Result<Arc<ClientConfig>, TlsError> {
    let unusable = |error: rustls::Error| TlsError::new("TLS".as_ref(), error.to_string());
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = match &rules.trust {
        Trust::System => verifier(system_authorities()?, &provider, "the system's authorities")?,
        Trust::Authorities(file) => verifier(
            reading::authorities(file)?,
            &provider,
            &file.display().to_string(),
        )?,
        Trust::Anybody => Arc::new(Unverified(Arc::clone(&provider))),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &rules.identity {
        None => builder.with_no_client_auth(),
        Some(files) => {
            let identity = Certificate::load(files)?;
            builder.with_client_cert_resolver(Arc::new(identity.shown_always()))
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(REMEMBERED);
    Ok(Arc::new(config))
}

fn verifier(
    authorities: RootCertStore,
    provider: &Arc<CryptoProvider>,
    place: &str,
) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(authorities), Arc::clone(provider))
        .build()
        .map_err(|error| TlsError::new(place.as_ref(), format!("cannot be used: {error}")))
}

/// Those that the system has: where OpenSSL looks for them, or `SSL_CERT_FILE` and `SSL_CERT_DIR` say.
fn system_authorities() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Some that are there may be of a kind that nobody can use; they vouch for nobody.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::new(
            "the system's authorities".as_ref(),
            "there are none; install ca-certificates, or name a file by \"tls\": {\"ca\": …}",
        ));
    }
    Ok(roots)
}

/// Believes whatever certificate a backend shows, if it has the key.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

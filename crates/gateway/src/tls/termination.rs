//! What a listener needs for handshakes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ServerConfig, SupportedProtocolVersion, version};

use super::counts::{TlsCounts, Version};
use super::watch::Watched;
use super::{ClientAuth, Forwarding, Store, TlsError};

/// What a listener asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsRules {
    /// The oldest version of TLS.
    pub(crate) oldest: Version,
    /// The certificates that clients show; none where they show none.
    pub(crate) client_auth: Option<ClientAuth>,
}

/// Ends TLS for a listener, on all workers.
#[derive(Debug)]
pub(crate) struct Termination {
    rules: TlsRules,
    pub(super) store: Arc<Store>,
    /// The files about clients, as they were read first.
    watched: Watched,
    /// Replaced when the files about clients change.
    config: ArcSwap<ServerConfig>,
    pub(crate) counts: Arc<TlsCounts>,
}

impl Termination {
    /// With the certificates of `store`.
    ///
    /// # Errors
    /// When a file about clients cannot be read.
    pub(crate) fn new(
        rules: TlsRules,
        store: &Arc<Store>,
        counts: &Arc<TlsCounts>,
    ) -> Result<Self, TlsError> {
        let watched = Watched::clients(rules.client_auth.as_ref());
        let config = config(&rules, store)?;
        Ok(Self {
            rules,
            watched,
            store: Arc::clone(store),
            config: ArcSwap::new(config),
            counts: Arc::clone(counts),
        })
    }

    /// For the next handshake.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// What backends are told of clients' certificates.
    pub(super) fn forwarding(&self) -> Forwarding {
        let client_auth = self.rules.client_auth.as_ref();
        client_auth.map_or(Forwarding::Nothing, |it| it.forwarding)
    }

    /// Whether clients may show certificates.
    pub(crate) fn asks_for_certificates(&self) -> bool {
        self.rules.client_auth.is_some()
    }

    pub(super) fn watched(&self) -> Watched {
        self.watched.clone()
    }

    /// Reads the files about clients anew. Sessions that began before cannot be resumed, so that who has been shut out is
    /// out with the next connection.
    ///
    /// # Errors
    /// When one of them cannot be read; everything stays as it was.
    pub(super) fn renew(&self) -> Result<(), TlsError> {
        self.config.store(config(&self.rules, &self.store)?);
        Ok(())
    }
}

fn config(rules: &TlsRules, store: &Arc<Store>) -> Result<Arc<ServerConfig>, TlsError> {
    const OLD: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    const NEW: &[&SupportedProtocolVersion] = &[&version::TLS13];
    let provider: Arc<CryptoProvider> = Arc::new(aws_lc_rs::default_provider());
    let verifier = match &rules.client_auth {
        Some(client_auth) => client_auth.verifier(&provider)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let versions = match rules.oldest {
        Version::V1_2 => OLD,
        Version::V1_3 => NEW,
    };
    let unusable = |error: rustls::Error| TlsError::new("TLS".as_ref(), error.to_string());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .map_err(unusable)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::<Store>::clone(store));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // One for all workers, and for this listener alone: a ticket vouches for the client's certificate, too. Its keys are
    // exchanged every six hours.
    config.ticketer = aws_lc_rs::Ticketer::new().map_err(unusable)?;
    // Clients without tickets would share a table behind a lock.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

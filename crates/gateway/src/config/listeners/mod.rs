//! Where requests come in: from settings, or from a file of listeners and certificates.

mod check;
mod written;

use std::net::SocketAddr;
use std::sync::Arc;

use super::{ConfigErrors, Finding, Route, Settings, Snapshot};
use crate::auth::Kind;
use crate::tls::{
    Certificate, CertificateFiles, Store, Termination, TlsCounts, TlsRules, Version, Watched,
};

pub use written::listeners_schema;

/// All listeners.
#[derive(Debug)]
pub struct Listeners {
    /// In the order of the configuration, at least one.
    pub(crate) all: Vec<Listener>,
    /// What those with TLS share.
    pub(crate) tls: Option<ListenerTls>,
}

/// One address, and what is spoken there.
#[derive(Debug, Clone)]
pub(crate) struct Listener {
    pub(crate) address: SocketAddr,
    /// The setting that names it.
    pub(crate) setting: &'static str,
    /// None where connections are not encrypted.
    pub(crate) tls: Option<Arc<Termination>>,
    /// Trusted proxies say first whose connection it is.
    pub(crate) proxy_protocol: bool,
    /// Requests are sent to where TLS is.
    pub(crate) redirects: bool,
}

/// What all listeners with TLS share.
#[derive(Debug, Clone)]
pub(crate) struct ListenerTls {
    pub(crate) store: Arc<Store>,
    /// Of the store's certificates, in its order.
    pub(crate) files: Vec<(CertificateFiles, Watched)>,
    pub(crate) counts: Arc<TlsCounts>,
}

impl Listener {
    /// That of its URLs.
    pub(crate) fn scheme(&self) -> &'static str {
        match self.tls {
            Some(_) => "https",
            None => "http",
        }
    }
}

impl Listeners {
    /// What is doubtful about them for these routes.
    pub(crate) fn doubts(&self, snapshot: &Snapshot) -> Vec<Finding> {
        let mut listeners = self.all.iter().filter_map(|listener| listener.tls.as_ref());
        if listeners.any(|tls| tls.asks_for_certificates()) {
            return Vec::new();
        }
        let asks = |route: &&Arc<Route>| {
            let access = route.access.as_ref();
            access.is_some_and(|access| access.kinds.contains(&Kind::Certificate))
        };
        let routes = snapshot.routes.iter().filter(asks);
        let finding = |route: &Arc<Route>| {
            Finding {
            file: format!("route \"{}\"", route.name),
            position: None,
            message: "accepts \"clientCert\", and no listener asks for certificates; set TLS_CLIENT_CA, or \"clientAuth\" in LISTENERS_FILE".to_owned(),
        }
        };
        routes.map(finding).collect()
    }

    /// One more, with TLS and a certificate that nobody vouches for.
    ///
    /// # Errors
    /// When the certificate cannot be made.
    pub(crate) fn add_self_signed(
        &mut self,
        address: SocketAddr,
        names: &[&str],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let certificate = Certificate::self_signed(names)?;
        let tls = ListenerTls {
            store: Arc::new(Store::new(vec![certificate])),
            files: Vec::new(),
            counts: Arc::default(),
        };
        let rules = TlsRules {
            oldest: Version::V1_2,
            client_auth: None,
        };
        self.all.push(Listener {
            address,
            setting: "LISTEN",
            tls: Some(Arc::new(Termination::new(rules, &tls.store, &tls.counts)?)),
            proxy_protocol: false,
            redirects: false,
        });
        self.tls = Some(tls);
        Ok(())
    }
}

/// The listeners that the settings name, and what is doubtful about them.
///
/// # Errors
/// Everything that is wrong with them.
pub fn listeners(settings: &Settings) -> Result<(Listeners, Vec<Finding>), ConfigErrors> {
    let listening = &settings.listening;
    let meant = match &listening.file {
        Some(path) => check::from_file(path).map_err(ConfigErrors)?,
        None => check::from_settings(listening),
    };
    meant.build(settings).map_err(ConfigErrors)
}

//! Where the gateway listens, and how.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::source::Reader;
use super::values as v;

/// `LISTEN`, `LISTENERS_FILE`, `TLS_*` and what belongs to them.
#[derive(Debug, Clone)]
pub struct Listening {
    /// `LISTEN`, else `HOST` and `PORT`; never empty. Of no meaning where there is a file.
    pub addresses: Vec<ListenAddress>,
    /// The setting that names them.
    pub setting: &'static str,
    /// `LISTENERS_FILE`, which replaces all others.
    pub file: Option<PathBuf>,
    /// `TLS_CERT`, each with its `TLS_KEY`.
    pub certificates: Vec<(PathBuf, PathBuf)>,
    /// `TLS_CLIENT_CA`: who may vouch for clients.
    pub client_ca: Option<PathBuf>,
    /// `HTTPS_REDIRECT`.
    pub https_redirect: bool,
    /// `PROXY_PROTOCOL`.
    pub proxy_protocol: bool,
}

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAddress {
    /// The address; port 0 for any free one.
    pub address: SocketAddr,
    /// Connections are encrypted.
    pub tls: bool,
}

impl Listening {
    /// `usual` is `HOST` and `PORT`.
    pub(super) fn read(read: &mut Reader<'_>, usual: SocketAddr) -> Self {
        let listen = read.value("LISTEN", addresses);
        let certificates = read.value("TLS_CERT", v::paths);
        let keys = read.value("TLS_KEY", v::paths);
        let settings = Self {
            setting: if listen.is_empty() { "PORT" } else { "LISTEN" },
            addresses: if listen.is_empty() {
                vec![ListenAddress {
                    address: usual,
                    tls: false,
                }]
            } else {
                listen
            },
            file: read.value("LISTENERS_FILE", v::optional_path),
            client_ca: read.value("TLS_CLIENT_CA", v::optional_path),
            https_redirect: read.value("HTTPS_REDIRECT", v::switch),
            proxy_protocol: read.value("PROXY_PROTOCOL", v::switch),
            certificates: certificates
                .iter()
                .cloned()
                .zip(keys.iter().cloned())
                .collect(),
        };
        settings.contradictions(read, certificates.len(), keys.len());
        settings
    }

    /// Whether any of the addresses is for TLS.
    fn has_tls(&self) -> bool {
        self.addresses.iter().any(|it| it.tls)
    }

    fn contradictions(&self, read: &mut Reader<'_>, certificates: usize, keys: usize) {
        if self.file.is_some() {
            for other in [
                "LISTEN",
                "TLS_CERT",
                "TLS_KEY",
                "TLS_CLIENT_CA",
                "HTTPS_REDIRECT",
                "PROXY_PROTOCOL",
            ] {
                read.contradiction(other, "stands together with LISTENERS_FILE; say it there");
            }
            return;
        }
        if certificates != keys {
            let message = format!(
                "names {keys} files, and TLS_CERT {certificates}: each certificate needs its key"
            );
            let place = if keys > 0 { "TLS_KEY" } else { "TLS_CERT" };
            read.contradiction(place, &message);
        }
        let needs_tls = "needs an address for TLS: LISTEN=http://[::]:8080,https://[::]:8443";
        if self.has_tls() && certificates == 0 {
            read.contradiction(
                "LISTEN",
                "holds https://, and there is no certificate; set TLS_CERT and TLS_KEY",
            );
        }
        if !self.has_tls() {
            for (variable, is_used) in [
                ("TLS_CERT", certificates > 0),
                ("TLS_CLIENT_CA", self.client_ca.is_some()),
                ("HTTPS_REDIRECT", self.https_redirect),
            ] {
                if is_used {
                    read.contradiction(variable, needs_tls);
                }
            }
        }
        let mut seen = Vec::new();
        for ListenAddress { address, .. } in &self.addresses {
            if address.port() != 0 && seen.contains(address) {
                read.contradiction("LISTEN", &format!("holds {address} twice"));
            }
            seen.push(*address);
        }
    }
}

/// `http://address:port` and `https://address:port`, comma separated.
fn addresses(text: &str) -> Result<Vec<ListenAddress>, String> {
    v::list(text).map(address).collect()
}

fn address(text: &str) -> Result<ListenAddress, String> {
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) => (false, rest),
        Some(("https", rest)) => (true, rest),
        Some(_) => return Err(not_an_address(text)),
        None => (false, text),
    };
    let rest = rest.trim_end_matches('/');
    // All addresses, as elsewhere.
    let any = rest
        .strip_prefix(':')
        .and_then(|port| port.parse().ok())
        .map(|port| SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    let address = any.or_else(|| rest.parse().ok());
    let address = address.ok_or_else(|| not_an_address(text))?;
    Ok(ListenAddress { address, tls })
}

fn not_an_address(text: &str) -> String {
    format!("\"{text}\" must be an address such as http://[::]:8080, https://0.0.0.0:8443 or :8080")
}

//! The file of listeners as users write it. Its JSON Schema and the reference come from these comments.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::schema;

/// Where requests come in, and what is shown to clients there.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
#[schemars(title = "Listeners file of api-gateway")]
pub(super) struct ListenersFile {
    /// The JSON Schema of this file, for editors.
    #[serde(rename = "$schema")]
    #[allow(dead_code, reason = "it is for editors")]
    pub(super) schema: Option<String>,
    /// The listeners.
    #[schemars(length(min = 1))]
    pub(super) listeners: Vec<Listener>,
    /// The certificates. Which one a client is shown is decided by the names in them; the first is for all others. Several
    /// may have the same names, such as one with an ECDSA key and one with an RSA key.
    #[serde(default)]
    pub(super) certificates: Vec<Certificate>,
}

/// An address, and what is spoken there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Listener {
    /// Address and port: "[::]:443" for all addresses, "192.0.2.1:443" for one.
    pub(super) address: String,
    /// Connections are encrypted: true, or what differs from the usual.
    pub(super) tls: Option<Tls>,
    /// Connections from TRUSTED_PROXIES begin with a PROXY protocol header, version 1 or 2.
    #[serde(default)]
    pub(super) proxy_protocol: bool,
    /// Requests are answered with a redirect to the first listener with TLS.
    #[serde(default)]
    pub(super) redirect_to_https: bool,
}

/// Whether connections are encrypted, or how.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum Tls {
    /// True for the usual.
    Switch(bool),
    /// What differs from the usual.
    Rules(TlsRules),
}

/// How connections are encrypted.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct TlsRules {
    /// The oldest version of TLS: "1.2" or "1.3"; "1.2" where none is given.
    pub(super) min_version: Option<String>,
    /// The certificates that clients show.
    pub(super) client_auth: Option<ClientAuth>,
}

/// The certificates that clients show.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct ClientAuth {
    /// "required": there is no connection without. "optional": routes may ask for one ("accept": ["clientCert"]).
    /// "required" where none is given.
    pub(super) mode: Option<String>,
    /// A file of the authorities that may vouch for clients (PEM); a relative path starts at the folder of this file.
    pub(super) ca: String,
    /// Files of what these have revoked (CRL, PEM). Where there are any, each authority needs one.
    #[serde(default)]
    pub(super) crl: Vec<String>,
    /// What backends are told in the fields Client-Cert and Client-Cert-Chain (RFC 9440): "certificate", "chain" for what
    /// leads to its authority too, or "nothing"; "certificate" where none is given.
    pub(super) forward: Option<String>,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub(super) struct Certificate {
    /// A file with the certificate, and behind it those that lead to its authority (PEM); a relative path starts at the
    /// folder of this file.
    pub(super) certificate: String,
    /// A file with its private key (PEM).
    pub(super) key: String,
    /// A file with an OCSP response (DER), which is stapled to handshakes.
    pub(super) ocsp: Option<String>,
}

/// The JSON Schema of the listeners file, as text.
#[must_use]
pub fn listeners_schema() -> String {
    schema::text(&schema::of::<ListenersFile>())
}

//! Who a client is by its certificate.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Forwarding;
use crate::auth::{CLIENT_CERTIFICATE, Claims, Identity};

pub(crate) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(crate) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// A client's certificate, which has been checked.
#[derive(Debug)]
pub(crate) struct ClientCertificate {
    /// What policies see of it.
    pub(crate) identity: Arc<Identity>,
    /// When it ends, in seconds since 1970.
    pub(crate) not_after: f64,
    /// `Client-Cert` and perhaps `Client-Cert-Chain` for backends (RFC 9440 §2).
    pub(crate) fields: Box<[(HeaderName, HeaderValue)]>,
}

/// The names in a certificate, of which it may have several of a kind.
#[derive(Debug, Default)]
struct Alternatives {
    dns: Vec<String>,
    uris: Vec<String>,
    emails: Vec<String>,
    addresses: Vec<String>,
}

impl ClientCertificate {
    #[allow(
        clippy::cast_precision_loss,
        reason = "no certificate is valid for 2^53 seconds"
    )]
    /// Of a chain that has been checked. None where it cannot be read, which checking has ruled out.
    pub(super) fn new(chain: &[CertificateDer<'_>], forwarding: Forwarding) -> Option<Self> {
        let der = chain.first()?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let claims = claims(&certificate, der);
        Some(Self {
            identity: Arc::new(Identity::new(
                CLIENT_CERTIFICATE,
                Claims::new(claims),
                &"roles".into(),
            )),
            not_after: certificate.validity().not_after.timestamp() as f64,
            fields: fields(chain, forwarding).into(),
        })
    }
}

fn claims(certificate: &X509Certificate<'_>, der: &[u8]) -> Map<String, Value> {
    let names = alternatives(certificate);
    let common_name = certificate
        .subject()
        .iter_common_name()
        .find_map(|name| name.as_str().ok())
        .map(str::to_owned);
    // The SPIFFE X.509-SVID standard, §2: exactly one URI.
    let spiffe = match &names.uris[..] {
        [only] if is_spiffe(only) => Some(only.clone()),
        _ => None,
    };
    let subject = certificate.subject().to_string();
    // A name of another kind that looks like a SPIFFE id is not to be taken for one.
    let others = [
        names.dns.first(),
        names.emails.first(),
        common_name.as_ref(),
    ];
    let other = others.into_iter().flatten().find(|name| !is_spiffe(name));
    let name = spiffe.as_ref().or(other).unwrap_or(&subject).clone();
    let mut claims = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            claims.insert(name.to_owned(), value);
        }
    };
    put("sub", Some(name.into()));
    put("spiffe", spiffe.map(Into::into));
    put("cn", common_name.map(Into::into));
    put("subject", Some(subject.into()));
    put("issuer", Some(certificate.issuer().to_string().into()));
    put("serial", Some(hex(certificate.raw_serial()).into()));
    let fingerprint = digest::digest(&digest::SHA256, der);
    put("fingerprint", Some(hex(fingerprint.as_ref()).into()));
    let end = certificate.validity().not_after.timestamp();
    put("exp", Some(end.into()));
    for (kind, names) in [
        ("dns", names.dns),
        ("uri", names.uris),
        ("email", names.emails),
        ("ip", names.addresses),
    ] {
        put(
            kind,
            Some(names)
                .filter(|names| !names.is_empty())
                .map(Into::into),
        );
    }
    claims
}

fn is_spiffe(name: &str) -> bool {
    const SCHEME: &str = "spiffe://";
    name.get(..SCHEME.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(SCHEME))
}

fn alternatives(certificate: &X509Certificate<'_>) -> Alternatives {
    let mut names = Alternatives::default();
    let Ok(Some(alternatives)) = certificate.subject_alternative_name() else {
        return names;
    };
    for name in &alternatives.value.general_names {
        match name {
            GeneralName::DNSName(name) => names.dns.push(name.to_ascii_lowercase()),
            GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
            GeneralName::RFC822Name(email) => names.emails.push((*email).to_owned()),
            GeneralName::IPAddress(bytes) => {
                names
                    .addresses
                    .extend(super::names::address(bytes).map(|it| it.to_string()));
            }
            _ => {}
        }
    }
    names
}

/// RFC 9440 §2.2 and §2.3: a byte sequence, and a list of them for what is between it and its authority.
fn fields(chain: &[CertificateDer<'_>], forwarding: Forwarding) -> Vec<(HeaderName, HeaderValue)> {
    let coded = |der: &CertificateDer<'_>| format!(":{}:", STANDARD.encode(der));
    let (Some((first, others)), true) = (chain.split_first(), forwarding != Forwarding::Nothing)
    else {
        return Vec::new();
    };
    let mut fields = vec![(CLIENT_CERT, coded(first))];
    if forwarding == Forwarding::Chain && !others.is_empty() {
        let others: Vec<String> = others.iter().map(coded).collect();
        fields.push((CLIENT_CERT_CHAIN, others.join(", ")));
    }
    let valid = |(name, value)| Some((name, HeaderValue::from_maybe_shared(value).ok()?));
    fields.into_iter().filter_map(valid).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn made(alternatives: Vec<SanType>, common_name: Option<&str>) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = common_name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.subject_alt_names = alternatives;
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().clone()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(text.try_into().unwrap())
    }

    fn dns(text: &str) -> SanType {
        SanType::DnsName(text.try_into().unwrap())
    }

    #[test]
    fn the_best_name_there_is_becomes_the_subject() {
        let spiffe = "spiffe://example.org/ns/shop";
        for (alternatives, common_name, subject, id) in [
            (
                vec![dns("a.test"), uri(spiffe)],
                Some("cn"),
                spiffe,
                Some(spiffe),
            ),
            (
                vec![dns("A.test"), uri("https://a")],
                Some("cn"),
                "a.test",
                None,
            ),
            // Two of them are none.
            (
                vec![uri(spiffe), uri("spiffe://b/c")],
                Some("cn"),
                "cn",
                None,
            ),
            (vec![], Some("billing"), "billing", None),
            // Nor is what only looks like one.
            (
                vec![],
                Some(spiffe),
                "CN=spiffe://example.org/ns/shop",
                None,
            ),
            (
                vec![uri("https://a")],
                Some("SPIFFE://b"),
                "CN=SPIFFE://b",
                None,
            ),
        ] {
            let der = made(alternatives, common_name);
            let certificate = ClientCertificate::new(&[der], Forwarding::Nothing).unwrap();
            let identity = &certificate.identity;
            assert_eq!(identity.subject.as_deref(), Some(subject));
            assert_eq!(identity.claims.text("spiffe"), id);
            assert_eq!(identity.claims.text("fingerprint").map(str::len), Some(64));
            assert!(certificate.fields.is_empty());
        }
    }

    #[test]
    fn backends_get_the_certificate_and_its_chain_as_byte_sequences() {
        let chain = [
            made(vec![dns("a")], None),
            made(vec![dns("b")], None),
            made(vec![dns("c")], None),
        ];
        let coded = chain
            .each_ref()
            .map(|der| format!(":{}:", STANDARD.encode(der)));
        let fields = |forwarding| {
            let certificate = ClientCertificate::new(&chain, forwarding).unwrap();
            let fields = certificate.fields.iter();
            let lines = fields.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
            lines.collect::<Vec<_>>()
        };
        let [first, second, third] = coded;
        assert_eq!(
            fields(Forwarding::Certificate),
            [format!("client-cert: {first}")]
        );
        assert_eq!(
            fields(Forwarding::Chain),
            [
                format!("client-cert: {first}"),
                format!("client-cert-chain: {second}, {third}")
            ]
        );
    }
}

//! All certificates, and which of them a client is shown.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::Certificate;
use super::names::parent;

thread_local! {
    /// What has been chosen in the handshake that is being driven.
    static CHOSEN: RefCell<Option<Chosen>> = const { RefCell::new(None) };
}

/// What a client has asked for, and is shown.
#[derive(Debug)]
pub(super) struct Chosen {
    /// The name that it has asked for (RFC 6066 §3), in lower case.
    pub(super) server_name: Option<Box<str>>,
    pub(super) certificate: Arc<Certificate>,
}

/// All certificates. They are replaced one by one when their files change.
#[derive(Debug)]
pub(crate) struct Store {
    index: ArcSwap<Index>,
}

/// Certificates, and where each name leads.
#[derive(Debug)]
struct Index {
    /// In the order of the configuration; the first is for those who ask for no name, or one that there is none for.
    all: Box<[Arc<Certificate>]>,
    exact: HashMap<Box<str>, Vec<Arc<Certificate>>>,
    wildcards: HashMap<Box<str>, Vec<Arc<Certificate>>>,
}

impl Store {
    /// Of these, at least one.
    pub(crate) fn new(certificates: Vec<Certificate>) -> Self {
        let all = certificates.into_iter().map(Arc::new).collect();
        Self {
            index: ArcSwap::from_pointee(Index::new(all)),
        }
    }

    /// All certificates as they are now.
    pub(crate) fn certificates(&self) -> Vec<Arc<Certificate>> {
        self.index.load().all.to_vec()
    }

    /// Puts `certificate` in the place of one.
    pub(super) fn replace(&self, place: usize, certificate: Certificate) {
        let mut all = self.certificates();
        if let Some(old) = all.get_mut(place) {
            *old = Arc::new(certificate);
            self.index.store(Arc::new(Index::new(all.into())));
        }
    }
}

impl Index {
    fn new(all: Box<[Arc<Certificate>]>) -> Self {
        let (mut exact, mut wildcards) = (HashMap::new(), HashMap::new());
        for certificate in &all {
            for (names, index) in [
                (&certificate.names.exact, &mut exact),
                (&certificate.names.wildcards, &mut wildcards),
            ] {
                for name in names {
                    let found: &mut Vec<_> = index.entry(name.clone()).or_default();
                    found.push(Arc::clone(certificate));
                    // An ECDSA signature costs a tenth of an RSA one.
                    found.sort_by_key(|certificate| certificate.is_rsa());
                }
            }
        }
        Self {
            all,
            exact,
            wildcards,
        }
    }

    /// The certificate for a client that asks for `name`, in lower case, and understands `schemes`.
    fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<Certificate>> {
        let named = name.and_then(|name| {
            let wildcard = || self.wildcards.get(parent(name)?);
            self.exact.get(name).or_else(wildcard)
        });
        // Where none suits, the handshake fails as for all who have no cipher in common (RFC 8446 §4.1.1), not as if the
        // client might not come in.
        let usual = || self.all.iter().find(|it| it.suits(schemes));
        let any = || self.all.first();
        named
            .and_then(|named| named.iter().find(|it| it.suits(schemes)))
            .or_else(usual)
            .or_else(any)
    }
}

impl ResolvesServerCert for Store {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let server_name = hello.server_name().map(str::to_ascii_lowercase);
        let index = self.index.load();
        let certificate = index.find(server_name.as_deref(), hello.signature_schemes())?;
        CHOSEN.set(Some(Chosen {
            server_name: server_name.map(Into::into),
            certificate: Arc::clone(certificate),
        }));
        Some(Arc::clone(&certificate.key))
    }
}

/// What has been chosen since this was asked last on this thread: it must be asked before another handshake goes on.
pub(super) fn take_chosen() -> Option<Chosen> {
    CHOSEN.take()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(names: &[&[&str]]) -> Store {
        let certificate = |names: &&[&str]| Certificate::self_signed(names).unwrap();
        Store::new(names.iter().map(certificate).collect())
    }

    fn found(store: &Store, name: Option<&str>) -> String {
        let index = store.index.load();
        let schemes = [SignatureScheme::ECDSA_NISTP256_SHA256];
        let found = index.find(name, &schemes);
        found.map_or_else(String::new, |found| found.shown_names())
    }

    #[test]
    fn a_name_goes_before_a_wildcard_and_the_first_is_for_everybody_else() {
        let store = store(&[
            &["first.test"],
            &["*.example.com"],
            &["api.example.com", "b.test"],
        ]);
        for (name, expected) in [
            (Some("api.example.com"), "api.example.com, b.test"),
            (Some("b.test"), "api.example.com, b.test"),
            (Some("www.example.com"), "*.example.com"),
            (Some("a.www.example.com"), "first.test"),
            (Some("example.com"), "first.test"),
            (None, "first.test"),
        ] {
            assert_eq!(found(&store, name), expected, "{name:?}");
        }
    }

    #[test]
    fn a_certificate_is_replaced_and_the_others_stay() {
        let store = store(&[&["a.test"], &["b.test"]]);
        let before = store.certificates();
        store.replace(1, Certificate::self_signed(&["c.test"]).unwrap());
        let after = store.certificates();
        assert!(Arc::ptr_eq(&before[0], &after[0]));
        assert_eq!(found(&store, Some("c.test")), "c.test");
        assert_eq!(found(&store, Some("b.test")), "a.test");
    }

    #[test]
    fn a_client_that_understands_no_signature_finds_the_first_all_the_same() {
        let store = store(&[&["a.test"], &["b.test"]]);
        let index = store.index.load();
        let found = index.find(Some("b.test"), &[SignatureScheme::RSA_PSS_SHA256]);
        assert_eq!(found.unwrap().shown_names(), "a.test");
    }
}

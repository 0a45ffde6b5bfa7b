//! Names that a certificate is for.

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

/// The names in a certificate, in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) exact: Vec<Box<str>>,
    /// What stands behind `*.`.
    pub(super) wildcards: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl Names {
    /// Those of a certificate. The common name counts only where there is no other (RFC 9525 §2).
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        match alternatives {
            Some(alternatives) => {
                for name in &alternatives.value.general_names {
                    match name {
                        GeneralName::DNSName(name) => names.add(name),
                        GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                        _ => {}
                    }
                }
            }
            None => certificate
                .subject()
                .iter_common_name()
                .filter_map(|name| name.as_str().ok())
                .for_each(|name| names.add(name)),
        }
        names
    }

    fn add(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        match name.strip_prefix("*.") {
            Some(parent) => self.wildcards.push(parent.into()),
            None => self.exact.push(name.into()),
        }
    }

    /// Whether the certificate is for `host`, which is in lower case.
    pub(super) fn cover(&self, host: &str) -> bool {
        if self.exact.iter().any(|name| **name == *host) {
            return true;
        }
        if let Some(parent) = parent(host)
            && self.wildcards.iter().any(|name| **name == *parent)
        {
            return true;
        }
        let host = host.trim_start_matches('[').trim_end_matches(']');
        host.parse()
            .is_ok_and(|address| self.addresses.contains(&address))
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        let mut shown: Vec<String> = self.exact.iter().map(ToString::to_string).collect();
        shown.extend(self.wildcards.iter().map(|parent| format!("*.{parent}")));
        shown.extend(self.addresses.iter().map(ToString::to_string));
        shown.join(", ")
    }
}

/// What stands behind the first label: a wildcard is for one label (RFC 9525 §6.3).
pub(super) fn parent(host: &str) -> Option<&str> {
    host.split_once('.')
        .filter(|(label, _)| !label.is_empty())
        .map(|(_, parent)| parent)
}

/// An address as certificates hold it (RFC 5280 §4.2.1.6).
pub(super) fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_is_for_one_label_and_an_address_for_itself() {
        let names = Names {
            exact: vec!["api.example.com".into()],
            wildcards: vec!["example.org".into()],
            addresses: vec!["::1".parse().unwrap(), "192.0.2.1".parse().unwrap()],
        };
        for host in ["api.example.com", "a.example.org", "[::1]", "192.0.2.1"] {
            assert!(names.cover(host), "{host}");
        }
        for host in [
            "example.com",
            "x.api.example.com",
            "example.org",
            "a.b.example.org",
            ".example.org",
            "[::2]",
            "",
        ] {
            assert!(!names.cover(host), "{host}");
        }
        assert_eq!(
            names.shown(),
            "api.example.com, *.example.org, ::1, 192.0.2.1"
        );
    }
}

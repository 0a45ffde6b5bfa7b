//! What a client is known by.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

use super::limit::{Part, RateLimit};

/// Whom a request is from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) address: IpAddr,
    pub(crate) headers: &'a HeaderMap,
}

/// A client, as one limit knows it.
pub(super) struct Key<'a> {
    /// The limit's, among all.
    pub(super) index: usize,
    pub(super) limit: &'a RateLimit,
    pub(super) subject: &'a Subject<'a>,
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.index.hash(state);
        for part in &self.limit.by {
            let value = match part {
                Part::Address => None,
                Part::Header(name) => self.subject.headers.get(name),
            };
            match value {
                Some(value) => value.as_bytes().hash(state),
                None => subscriber(self.subject.address).hash(state),
            }
        }
    }
}

/// The address, less what an IPv6 subscriber may choose (RFC 6177). An IPv4 address stays itself in either notation.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        address @ IpAddr::V4(_) => address,
    }
}

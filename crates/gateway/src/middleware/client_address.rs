//! Who the client is, when proxies may stand in between, and whose word is taken for that.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use super::removal;

/// The chain of addresses that a request has come through, the client's first.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The scheme of what the client has asked for.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Who may speak for others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedProxies {
    /// Proxies with these addresses; nobody where there are none.
    Networks(Vec<IpNet>),
    /// Whoever connects, and so many proxies in all: at least 1.
    Hops(usize),
}

impl TrustedProxies {
    /// Whether `peer`, who has connected, may speak for others.
    pub(crate) fn trust(&self, peer: IpAddr) -> bool {
        match self {
            Self::Networks(networks) => networks.iter().any(|network| network.contains(&peer)),
            Self::Hops(_) => true,
        }
    }

    /// Whether `peer` may speak for others because of its address, and not only because it is there.
    pub(crate) fn know(&self, peer: IpAddr) -> bool {
        self.have_addresses() && self.trust(peer)
    }

    /// Whether anybody is trusted by address.
    pub(crate) fn have_addresses(&self) -> bool {
        matches!(self, Self::Networks(networks) if !networks.is_empty())
    }

    /// The address that a request of `peer` comes from.
    ///
    /// Behind proxies whose addresses are known it is the last one in `X-Forwarded-For` that is not theirs: everything
    /// left of that one is what a client may have made up. Behind a known number of proxies it is the one so many places
    /// from the right, each proxy having added who connected to it; where there are fewer the request has not come
    /// through all of them, and the peer is the client.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trust(peer) {
            return peer;
        }
        let fields: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let mut addresses = fields
            .iter()
            .rev()
            .flat_map(|field| field.as_bytes().rsplit(|&byte| byte == b','))
            // What a proxy has passed on without understanding it says nothing, nor does what is left of it.
            .map_while(parse);
        match self {
            Self::Hops(hops) => addresses.nth(hops - 1).unwrap_or(peer),
            Self::Networks(_) => {
                let mut client = peer;
                for address in addresses {
                    client = address;
                    if !self.trust(address) {
                        break;
                    }
                }
                client
            }
        }
    }
}

/// Takes off a request what speaks for a proxy: no proxy that is trusted has written it.
pub(crate) fn distrust(headers: &mut HeaderMap) {
    removal::remove(headers, speaks_for_a_proxy);
}

/// Whether a request's field speaks for a proxy: which client, which address, which path it was. From anyone but a
/// trusted proxy it is made up.
pub(crate) fn speaks_for_a_proxy(name: &HeaderName) -> bool {
    if name == header::VIA || name == header::FORWARDED {
        return true;
    }
    matches!(
        name.as_str(),
        "cf-connecting-ip" | "cf-connecting-ipv6" | "fastly-client-ip" | "true-client-ip"
    ) || name.as_str().strip_prefix("x-").is_some_and(|name| {
        name.starts_with("forwarded-")
            || matches!(
                name,
                "client-ip"
                    | "cluster-client-ip"
                    | "envoy-external-address"
                    | "original-forwarded-for"
                    | "original-host"
                    | "original-url"
                    | "real-ip"
                    | "rewrite-url"
            )
    })
}

/// An address, with or without a port.
fn parse(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let address = text
        .parse()
        .or_else(|_| {
            text.parse()
                .map(|address: std::net::SocketAddr| address.ip())
        })
        .or_else(|_| text.trim_start_matches('[').trim_end_matches(']').parse())
        .ok()?;
    Some(IpAddr::to_canonical(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, chain: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        client_of(&TrustedProxies::Networks(trusted.into()), peer, chain)
    }

    fn client_of(trusted: &TrustedProxies, peer: &str, chain: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for addresses in chain {
            headers.append(X_FORWARDED_FOR, addresses.parse().unwrap());
        }
        trusted.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn an_untrusted_peer_is_the_client_whatever_it_says() {
        assert_eq!(client("192.0.2.1", &["198.51.100.7"]), "192.0.2.1");
    }

    #[test]
    fn behind_a_trusted_proxy_the_last_untrusted_address_is_the_client() {
        assert_eq!(client("10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
        assert_eq!(
            client("10.0.0.1", &["203.0.113.9, 198.51.100.7, 10.0.0.2"]),
            "198.51.100.7"
        );
        assert_eq!(
            client("10.0.0.1", &["203.0.113.9", "198.51.100.7"]),
            "198.51.100.7"
        );
        assert_eq!(client("fd00::1", &["[2001:db8::1]:4711"]), "2001:db8::1");
    }

    #[test]
    fn without_an_untrusted_address_the_first_trusted_one_is_the_client() {
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["10.0.0.3, 10.0.0.2"]), "10.0.0.3");
    }

    #[test]
    fn nonsense_ends_the_chain() {
        assert_eq!(
            client("10.0.0.1", &["203.0.113.9, unknown, 10.0.0.2"]),
            "10.0.0.2"
        );
    }

    #[test]
    fn what_speaks_for_a_proxy_is_taken_off_and_nothing_else() {
        let names = [
            "forwarded",
            "via",
            "x-forwarded-for",
            "x-forwarded-anything",
            "x-real-ip",
            "x-client-ip",
            "x-original-url",
            "x-rewrite-url",
            "true-client-ip",
            "cf-connecting-ip",
            "x-forwarded",
            "x-real-ip-of-mine",
            "host",
        ];
        let mut headers: HeaderMap = names
            .into_iter()
            .map(|name| (HeaderName::from_static(name), "1".parse().unwrap()))
            .collect();
        distrust(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["host", "x-forwarded", "x-real-ip-of-mine"]);
    }

    #[test]
    fn behind_so_many_proxies_the_client_is_so_many_places_from_the_right() {
        let behind =
            |hops, chain: &[&str]| client_of(&TrustedProxies::Hops(hops), "192.0.2.1", chain);
        let chain = ["203.0.113.9, 198.51.100.7", "198.51.100.8"];
        assert_eq!(behind(1, &chain), "198.51.100.8");
        assert_eq!(behind(2, &chain), "198.51.100.7");
        assert_eq!(behind(3, &chain), "203.0.113.9");
        // Not through all of them.
        assert_eq!(behind(4, &chain), "192.0.2.1");
        assert_eq!(behind(1, &[]), "192.0.2.1");
        assert_eq!(behind(2, &["203.0.113.9, x"]), "192.0.2.1");
    }
}

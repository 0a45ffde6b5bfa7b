//! Who the client is, when proxies may stand in between.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

/// The chain of addresses that a request has come through, the client's first.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether `peer` may speak for others.
pub(crate) fn is_trusted(peer: IpAddr, trusted_proxies: &[IpNet]) -> bool {
    trusted_proxies
        .iter()
        .any(|network| network.contains(&peer))
}

/// The address that the request comes from: the peer's; behind trusted proxies, the last one in `X-Forwarded-For`
/// that is not a trusted proxy itself. Everything left of that one is what a client may have made up.
pub(crate) fn client_address(
    peer: IpAddr,
    headers: &HeaderMap,
    trusted_proxies: &[IpNet],
) -> IpAddr {
    let mut client = peer;
    if !is_trusted(peer, trusted_proxies) {
        return client;
    }
    let fields: Vec<_> = headers.get_all(X_FORWARDED_FOR).iter().collect();
    let addresses = fields
        .iter()
        .rev()
        .flat_map(|field| field.as_bytes().rsplit(|&byte| byte == b','));
    for address in addresses {
        // What a trusted proxy has passed on without understanding it says nothing; the last address stands.
        let Some(address) = parse(address) else {
            break;
        };
        client = address;
        if !is_trusted(address, trusted_proxies) {
            break;
        }
    }
    client
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
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for addresses in chain {
            headers.append(X_FORWARDED_FOR, addresses.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &headers, &trusted).to_string()
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
}

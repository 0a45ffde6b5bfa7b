//! Addresses and networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// Clients are compared by their IPv4 address where they have one (RFC 4291 §2.5.5.2), and so are networks.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(network) if network.prefix_len() >= 96 => network
            .addr()
            .to_ipv4_mapped()
            .and_then(|address| IpNet::new(address.into(), network.prefix_len() - 96).ok()),
        _ => None,
    };
    mapped.unwrap_or(network)
}

/// The networks that `texts` name; `wrong` is told of each that names none, with its index and what it must be.
pub(super) fn networks(texts: &[String], mut wrong: impl FnMut(usize, &str)) -> Box<[IpNet]> {
    let parsed = texts
        .iter()
        .enumerate()
        .filter_map(|(index, text)| network(text).map_err(|message| wrong(index, &message)).ok());
    parsed.collect()
}

/// The network that `text` names; a single address is a network of one.
///
/// # Errors
/// What it must be.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map(canonical)
        .map_err(|_| format!("\"{text}\" must be an address or a network such as 10.0.0.0/8"))
}

//! Addresses and networks as people write them.

use std::net::IpAddr;

use ipnet::IpNet;

/// The network that `text` names; a single address is a network of one.
///
/// # Errors
/// What it must be.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = || text.parse::<IpAddr>().map(IpNet::from);
    text.parse::<IpNet>()
        .or_else(|_| address())
        .map_err(|_| format!("\"{text}\" must be an address or a network such as 10.0.0.0/8"))
}

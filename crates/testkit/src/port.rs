//! Ports of single tests.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// Below those that the system gives to outgoing connections: a port must be free again when a server comes back.
const PORTS: std::ops::Range<u16> = 10_000..22_000;
/// From a Redis cluster node's port to that on which nodes talk to each other.
const BUS: u16 = 10_000;

/// A port that nobody listens on, by TCP or UDP, nor on the one that a cluster would need.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let is_free = |port| {
        let at = (Ipv4Addr::LOCALHOST, port);
        TcpListener::bind(at).is_ok() && UdpSocket::bind(at).is_ok()
    };
    std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(100)
        .find(|&port| is_free(port) && is_free(port + BUS))
        .expect("a free port")
}

//! Ports of single tests.

/// Below those that the system gives to outgoing connections: a port must be free again when a server comes back.
const PORTS: std::ops::Range<u16> = 10_000..22_000;
/// From a Redis cluster node's port to that on which nodes talk to each other.
const BUS: u16 = 10_000;

/// A port that nobody listens on, nor on the one that a cluster would need.
pub(crate) fn free_port() -> u16 {
    let is_free = |port| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    std::iter::repeat_with(|| fastrand::u16(PORTS))
        .take(100)
        .find(|&port| is_free(port) && is_free(port + BUS))
        .expect("a free port")
}

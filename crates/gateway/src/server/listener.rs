//! Listening sockets.
//!
//! Every worker has a socket of its own on the same port (`SO_REUSEPORT`), and the kernel spreads connections over
//! them. The option alone would let a second gateway, started by mistake, join in silently and take half of the
//! traffic. Hence the order: the first socket is bound without it, which fails when anybody has the port, and
//! whatever its options; only then it is opened for the others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;

/// Connections that wait to be accepted, per worker; the kernel's own limit applies too.
const BACKLOG: i32 = 4096;

/// One bound socket per worker.
#[derive(Debug)]
pub(super) struct Listeners {
    pub(super) sockets: Vec<std::net::TcpListener>,
    /// What they are bound to; tells the port when it was left open.
    pub(super) address: SocketAddr,
}

/// Binds `count` sockets to `address`.
pub(super) fn bind(address: SocketAddr, count: usize) -> Result<Listeners, StartError> {
    let failed = |error| start_error("PORT", address, error);
    let first = bind_first(address).map_err(failed)?;
    let bound = first.local_addr().and_then(to_ip).map_err(failed)?;
    first.set_reuse_port(true).map_err(failed)?;
    let mut sockets = vec![first];
    for _ in 1..count {
        let socket = open(bound).map_err(failed)?;
        socket
            .set_reuse_port(true)
            .and_then(|()| socket.bind(&bound.into()))
            .map_err(failed)?;
        sockets.push(socket);
    }
    // All are bound before the first listens: a connection that the kernel gives to a socket that is then joined by
    // others stays where it is.
    for socket in &sockets {
        socket.listen(BACKLOG).map_err(failed)?;
    }
    Ok(Listeners {
        sockets: sockets.into_iter().map(Into::into).collect(),
        address: bound,
    })
}

/// Binds the admin listener's only socket.
pub(super) fn bind_admin(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    let failed = |error| start_error("ADMIN_ADDR", address, error);
    let socket = open(address).map_err(failed)?;
    socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG))
        .map_err(failed)?;
    tokio::net::TcpListener::from_std(socket.into()).map_err(failed)
}

/// `::` stands for all addresses of both families, also where IPv6 is switched off.
fn bind_first(address: SocketAddr) -> io::Result<Socket> {
    let attempt = |address: SocketAddr| {
        let socket = open(address)?;
        socket.bind(&address.into())?;
        Ok(socket)
    };
    match attempt(address) {
        Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && lacks_ipv6(&error) => {
            attempt(SocketAddr::new(
                Ipv4Addr::UNSPECIFIED.into(),
                address.port(),
            ))
        }
        result => result,
    }
}

/// "Address family not supported" from `socket`, "cannot assign requested address" from `bind`.
fn lacks_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        socket.set_only_v6(false)?;
    }
    // A restart must not wait for the connections of the run before.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn to_ip(address: socket2::SockAddr) -> io::Result<SocketAddr> {
    address
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn start_error(setting: &'static str, address: SocketAddr, error: io::Error) -> StartError {
    if error.kind() == io::ErrorKind::AddrInUse {
        StartError::AddressInUse { setting, address }
    } else {
        StartError::Listen {
            setting,
            address,
            error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn workers_share_one_port() {
        let listeners = bind(any_port(), 3).unwrap();
        assert_eq!(listeners.sockets.len(), 3);
        for socket in &listeners.sockets {
            assert_eq!(socket.local_addr().unwrap(), listeners.address);
        }
    }

    #[test]
    fn a_second_gateway_cannot_join_the_port() {
        let first = bind(any_port(), 2).unwrap();
        let error = bind(first.address, 2).unwrap_err();
        assert!(
            matches!(
                error,
                StartError::AddressInUse {
                    setting: "PORT",
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[test]
    fn a_port_is_free_again_when_its_gateway_is_gone() {
        let first = bind(any_port(), 2).unwrap();
        let address = first.address;
        drop(first);
        bind(address, 2).unwrap();
    }
}

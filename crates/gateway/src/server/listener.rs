//! Listening sockets.
//!
//! Every worker has a socket of its own on the same port (`SO_REUSEPORT`), and the kernel spreads connections over
//! them. The option alone would let a second gateway, started by mistake, join in silently and take half of the
//! traffic. Hence the order: the first socket is bound without it, which fails when anybody has the port, and
//! whatever its options; only then it is opened for the others.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use super::StartError;

/// Connections that wait to be accepted, per worker; the kernel's own limit applies too.
const BACKLOG: i32 = 4096;

/// One bound socket per worker, at least.
#[derive(Debug)]
pub(super) struct Listeners {
    /// Of each worker. It has several where there were more than there are workers, and shares one where there were fewer
    /// and none could be added.
    pub(super) of_workers: Vec<Vec<TcpListener>>,
    /// How many different ones these are, which are the first ones of each worker.
    count: usize,
    /// What they are bound to; tells the port when it was left open.
    pub(super) address: SocketAddr,
}

/// Binds `count` sockets to `address`, which `setting` names, less those that are there already.
pub(super) fn bind(
    setting: &'static str,
    address: SocketAddr,
    count: usize,
    inherited: Vec<TcpListener>,
) -> Result<Listeners, StartError> {
    let failed = |error| start_error(setting, address, error);
    if !inherited.is_empty() {
        return adopt(inherited, count).map_err(failed);
    }
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
        of_workers: sockets.into_iter().map(|it| vec![it.into()]).collect(),
        count,
        address: bound,
    })
}

/// Spreads sockets that are there over `count` workers. None is closed, however many there are: connections wait in it.
fn adopt(mut sockets: Vec<TcpListener>, count: usize) -> io::Result<Listeners> {
    let Some(address) = sockets.first().map(TcpListener::local_addr).transpose()? else {
        return Err(io::ErrorKind::NotFound.into());
    };
    while sockets.len() < count {
        // Those of a service manager need not let others join them.
        let Ok(socket) = join(address) else { break };
        sockets.push(socket.into());
    }
    let unique = sockets.len();
    for index in unique..count {
        let shared = sockets.get(index - unique).map(TcpListener::try_clone);
        sockets.extend(shared.transpose()?);
    }
    let mut of_workers: Vec<Vec<TcpListener>> = (0..count).map(|_| Vec::new()).collect();
    for (index, socket) in sockets.into_iter().enumerate() {
        if let Some(worker) = of_workers.get_mut(index % count) {
            worker.push(socket);
        }
    }
    Ok(Listeners {
        of_workers,
        count: unique,
        address,
    })
}

/// A further socket beside those that listen at `address`.
fn join(address: SocketAddr) -> io::Result<Socket> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

impl Listeners {
    /// The same sockets once more, for whoever hands them on.
    pub(super) fn copies(&self) -> Result<Vec<TcpListener>, StartError> {
        let workers = self.of_workers.len();
        let all = (0..self.count).filter_map(|index| {
            let worker = self.of_workers.get(index % workers)?;
            worker.get(index / workers)
        });
        all.map(copy).collect()
    }
}

/// The same socket once more.
pub(super) fn copy(socket: &TcpListener) -> Result<TcpListener, StartError> {
    socket.try_clone().map_err(not_copied)
}

/// The same socket, for the present runtime.
pub(super) fn into_tokio(socket: TcpListener) -> Result<tokio::net::TcpListener, StartError> {
    tokio::net::TcpListener::from_std(socket).map_err(not_copied)
}

fn not_copied(error: io::Error) -> StartError {
    StartError::Start {
        what: "on a listening socket",
        error,
    }
}

/// Binds the admin listener's only socket, if it is not there already.
pub(super) fn bind_admin(
    address: SocketAddr,
    inherited: Option<TcpListener>,
) -> Result<TcpListener, StartError> {
    if let Some(socket) = inherited {
        return Ok(socket);
    }
    let failed = |error| start_error("ADMIN_ADDR", address, error);
    let socket = open(address).map_err(failed)?;
    socket
        .bind(&address.into())
        .and_then(|()| socket.listen(BACKLOG))
        .map_err(failed)?;
    Ok(socket.into())
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
    use std::os::fd::AsRawFd;
    use std::path::PathBuf;

    use super::*;

    fn any_port() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    #[test]
    fn workers_share_one_port() {
        let listeners = bind("PORT", any_port(), 3, Vec::new()).unwrap();
        assert_eq!(listeners.of_workers.len(), 3);
        for socket in listeners.of_workers.iter().flatten() {
            assert_eq!(socket.local_addr().unwrap(), listeners.address);
        }
    }

    #[test]
    fn a_second_gateway_cannot_join_the_port() {
        let first = bind("PORT", any_port(), 2, Vec::new()).unwrap();
        let error = bind("PORT", first.address, 2, Vec::new()).unwrap_err();
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
        let first = bind("PORT", any_port(), 2, Vec::new()).unwrap();
        let address = first.address;
        drop(first);
        bind("PORT", address, 2, Vec::new()).unwrap();
    }

    /// What the descriptors lead to: the same for all copies of a socket.
    fn sockets(listeners: &[TcpListener]) -> Vec<PathBuf> {
        let path = |listener: &TcpListener| format!("/proc/self/fd/{}", listener.as_raw_fd());
        let targets = listeners
            .iter()
            .map(|it| std::fs::read_link(path(it)).unwrap());
        targets.collect()
    }

    #[test]
    fn all_sockets_that_were_there_are_served_by_fewer_workers_and_by_more() {
        for (before, now) in [(3, 2), (3, 3), (2, 5), (1, 4)] {
            let first = bind("PORT", any_port(), before, Vec::new()).unwrap();
            let there = first.copies().unwrap();
            assert_eq!(there.len(), before);
            let listeners = bind("PORT", first.address, now, there).unwrap();
            assert_eq!(listeners.address, first.address);
            let workers = &listeners.of_workers;
            assert!(workers.len() == now && workers.iter().all(|sockets| !sockets.is_empty()));
            let served = sockets(&listeners.copies().unwrap());
            for socket in sockets(&first.copies().unwrap()) {
                assert!(served.contains(&socket));
            }
        }
    }

    #[test]
    fn a_socket_that_lets_no_other_join_it_is_shared() {
        let alone = TcpListener::bind(any_port()).unwrap();
        let listeners = bind("PORT", any_port(), 3, vec![alone]).unwrap();
        assert_eq!(listeners.of_workers.len(), 3);
        assert_eq!(listeners.copies().unwrap().len(), 1);
    }
}

//! Listening sockets that were there before this process: of a service manager (systemd's socket activation), or of the
//! process that this one takes over from. Both hand them over in the same way: `LISTEN_FDS` counts them, from descriptor 3
//! on, and `LISTEN_FDNAMES` may name them. No connection is refused between the old process and the new, since the
//! sockets stay open.

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener};

use listenfd::ListenFd;

use super::StartError;

/// What the admin listener's socket is called.
pub(super) const ADMIN: &str = "admin";
/// What the others are called; any other name does as well.
pub(super) const HTTP: &str = "http";

/// Sockets that nobody has claimed yet.
#[derive(Debug, Default)]
pub(super) struct Inherited(Vec<Socket>);

#[derive(Debug)]
struct Socket {
    is_admin: bool,
    listener: TcpListener,
    address: SocketAddr,
}

impl Inherited {
    /// Takes what there is from the environment.
    ///
    /// # Errors
    /// When a descriptor is no listening TCP socket.
    pub(super) fn take() -> Result<Self, StartError> {
        // The library takes the count out of the environment, not the names.
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut fds = ListenFd::from_env();
        let sockets = (0..fds.len()).map(|index| {
            let listener = fds.take_tcp_listener(index)?;
            let listener = listener.ok_or(io::ErrorKind::InvalidInput)?;
            listener.set_nonblocking(true)?;
            Ok(Socket {
                is_admin: names.next() == Some(ADMIN),
                address: listener.local_addr()?,
                listener,
            })
        });
        let sockets: io::Result<_> = sockets.collect();
        sockets.map(Self).map_err(|error| StartError::Start {
            what: "on the sockets of LISTEN_FDS",
            error,
        })
    }

    /// The sockets for the listeners at `addresses`, in their order.
    pub(super) fn at_all(
        &mut self,
        addresses: impl Iterator<Item = SocketAddr> + Clone,
    ) -> Vec<Vec<TcpListener>> {
        let mut all: Vec<_> = addresses.clone().map(|_| Vec::new()).collect();
        // Who takes any port leaves those to others that they ask for.
        for any_port in [false, true] {
            for (address, sockets) in addresses.clone().zip(&mut all) {
                if (address.port() == 0) == any_port {
                    *sockets = self.at(address);
                }
            }
        }
        all
    }

    /// The sockets for the listener at `address`; for any port those of one.
    fn at(&mut self, address: SocketAddr) -> Vec<TcpListener> {
        let meant = |socket: &&Socket| !socket.is_admin && is_meant(socket.address, address);
        let Some(first) = self.0.iter().find(meant).map(|socket| socket.address) else {
            return Vec::new();
        };
        self.claim(|socket| !socket.is_admin && socket.address == first)
    }

    /// The socket of the admin listener, which is to be at `address`.
    pub(super) fn admin(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let meant =
            |socket: &Socket| socket.is_admin || socket.address == address && address.port() != 0;
        self.claim(meant).pop()
    }

    fn claim(&mut self, is_meant: impl Fn(&Socket) -> bool) -> Vec<TcpListener> {
        let claimed = self.0.extract_if(.., |socket| is_meant(socket));
        claimed.map(|socket| socket.listener).collect()
    }

    /// That nobody waits in vain at a socket which no setting is about.
    ///
    /// # Errors
    /// When there is one.
    pub(super) fn finish(self) -> Result<(), StartError> {
        match self.0.first() {
            Some(socket) => Err(StartError::Unclaimed {
                address: socket.address,
            }),
            None => Ok(()),
        }
    }
}

/// Whether a socket is the one for `address`. Port 0 is any, and "::" may have become "0.0.0.0".
fn is_meant(socket: SocketAddr, address: SocketAddr) -> bool {
    let same_port = address.port() == 0 || address.port() == socket.port();
    let all = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let same_ip =
        socket.ip() == address.ip() || address.ip() == all && socket.ip().is_unspecified();
    same_port && same_ip
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(is_admin: bool) -> (Socket, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket {
            is_admin,
            listener,
            address,
        };
        (socket, address)
    }

    /// Where the sockets are that listeners at `addresses` get.
    fn claimed(inherited: &mut Inherited, addresses: &[&str]) -> Vec<Vec<SocketAddr>> {
        let addresses = addresses.iter().map(|address| address.parse().unwrap());
        let sockets = inherited.at_all(addresses);
        let local = |socket: &TcpListener| socket.local_addr().unwrap();
        let locals = |sockets: &Vec<TcpListener>| sockets.iter().map(local).collect();
        sockets.iter().map(locals).collect()
    }

    #[test]
    fn sockets_are_claimed_by_their_address_and_the_admin_listeners_by_its_name() {
        let ((http, at), (admin, _)) = (socket(false), socket(true));
        let mut inherited = Inherited(vec![http, admin]);
        let (any, other) = ("127.0.0.1:0", "127.0.0.1:1");
        assert_eq!(claimed(&mut inherited, &[other, any]), [vec![], vec![at]]);
        assert!(inherited.admin(other.parse().unwrap()).is_some());
        inherited.finish().unwrap();
    }

    #[test]
    fn who_takes_any_port_takes_one_and_leaves_those_that_others_ask_for() {
        let ((first, a), (second, b), (third, c)) = (socket(false), socket(false), socket(false));
        let second_worker = Socket {
            is_admin: false,
            listener: second.listener.try_clone().unwrap(),
            address: b,
        };
        let mut inherited = Inherited(vec![first, second, second_worker, third]);
        let any = "127.0.0.1:0";
        let of = claimed(&mut inherited, &[any, &a.to_string(), any]);
        assert_eq!(of, [vec![b, b], vec![a], vec![c]]);
        inherited.finish().unwrap();
    }

    #[test]
    fn a_socket_that_no_setting_is_about_is_told() {
        let (http, at) = socket(false);
        let error = Inherited(vec![http]).finish().unwrap_err().to_string();
        assert!(error.contains(&at.to_string()), "{error}");
    }

    #[test]
    fn all_addresses_may_be_those_of_one_family() {
        let meant = |socket: &str, address: &str| {
            is_meant(socket.parse().unwrap(), address.parse().unwrap())
        };
        assert!(meant("0.0.0.0:80", "[::]:80") && meant("[::]:80", "[::]:80"));
        assert!(!meant("127.0.0.1:80", "[::]:80") && !meant("[::]:81", "[::]:80"));
        assert!(!meant("[::]:80", "0.0.0.0:80"));
    }
}

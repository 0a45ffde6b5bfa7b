//! What comes before the first request of a connection: a load balancer's word on whose it is, and TLS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::Io;
use wire::proxy_protocol::{self, Header, Progress};

use crate::config::Listener;
use crate::middleware::client_address::TrustedProxies;
use crate::proxy::{ClientSide, Entrance};
use crate::tls::{self, Established};

/// What is looked at in one go: most headers are shorter.
const LOOK: usize = 256;

/// A listener as connections need it.
#[derive(Debug)]
pub(super) struct Opening {
    listener: Listener,
    /// The port of the first listener with TLS.
    https_port: u16,
    /// For a header, and for a handshake.
    limit: Duration,
}

/// Who is connected with whom.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
}

impl Opening {
    pub(super) fn new(listener: Listener, https_port: u16, limit: Duration) -> Self {
        Self {
            listener,
            https_port,
            limit,
        }
    }

    /// Whether requests may come at once.
    pub(super) fn is_immediate(&self) -> bool {
        self.listener.tls.is_none() && !self.listener.proxy_protocol
    }

    /// The client's side of a connection without TLS.
    pub(super) fn plain(&self, ends: Ends, trusted: &TrustedProxies) -> ClientSide {
        let entrance = if self.listener.redirects {
            Entrance::Redirect(self.https_port)
        } else {
            Entrance::Plain
        };
        side(ends, trusted).through(entrance)
    }

    /// Waits for what has to come before requests. None where the connection is of no use.
    pub(super) async fn wait(
        &self,
        mut socket: TcpStream,
        mut ends: Ends,
        trusted: &TrustedProxies,
    ) -> Option<(Io, ClientSide)> {
        let mut is_unknown = false;
        // From anybody else the header would be the client's own, and so would the address in it.
        if self.listener.proxy_protocol && trusted.know(ends.peer.ip().to_canonical()) {
            let header = timeout(self.limit, read_header(&mut socket)).await;
            match header {
                Ok(Ok(Header::Local)) => is_unknown = true,
                Ok(Ok(Header::Proxied {
                    source,
                    destination,
                })) => {
                    ends = Ends {
                        peer: source,
                        local: destination,
                    }
                }
                Ok(Err(reason)) => {
                    tracing::debug!(peer = %ends.peer, reason, "no PROXY protocol header");
                    return None;
                }
                Err(_) => return None,
            }
        }
        let mut side = self.plain(ends, trusted);
        // Nobody says who the client is. What comes behind the header is not the load balancer's word, but the client's.
        side.trusted &= !is_unknown;
        let Some(termination) = &self.listener.tls else {
            return Some((Io::new(socket), side));
        };
        match tls::establish(socket, termination, self.limit).await? {
            Established::Tls(io, session) => {
                Some((io, side.through(Entrance::Tls(Arc::from(session)))))
            }
            Established::Plain(socket) => {
                Some((Io::new(socket), side.through(Entrance::PlainForTls)))
            }
        }
    }
}

fn side(ends: Ends, trusted: &TrustedProxies) -> ClientSide {
    let peer = ends.peer.ip().to_canonical();
    ClientSide::new(peer, ends.local, trusted.trust(peer))
}

/// Reads a PROXY protocol header, and no byte more.
async fn read_header(socket: &mut TcpStream) -> Result<Header, String> {
    let mut bytes = Vec::new();
    loop {
        let have = bytes.len();
        // What has come is looked at first, and taken as far as it belongs to the header.
        bytes.resize(have + LOOK, 0);
        let seen = socket.peek(&mut bytes[have..]).await;
        let seen = seen.map_err(|error| error.to_string())?;
        if seen == 0 {
            return Err("the connection was closed".to_owned());
        }
        bytes.truncate(have + seen);
        let progress = proxy_protocol::parse(&bytes).map_err(|error| error.to_string())?;
        let end = match progress {
            Progress::Done(_, length) => length,
            Progress::Needs(_) => have + seen,
        };
        let taken = bytes.get_mut(have..end).ok_or("the header has shrunk")?;
        let read = socket.read_exact(taken).await;
        read.map_err(|error| error.to_string())?;
        if let Progress::Done(header, _) = progress {
            return Ok(header);
        }
    }
}

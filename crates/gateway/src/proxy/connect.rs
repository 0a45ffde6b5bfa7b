//! Making a connection to an endpoint.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use wire::Io;

use crate::error::ErrorCode;
use crate::upstream::{Host, Target};

/// Connects to `target` before `due`. All addresses of a name are tried, in the resolver's order.
///
/// # Errors
/// The code that tells why there is no connection.
pub(super) async fn connect(target: &Target, due: Instant) -> Result<Io, ErrorCode> {
    let connected = timeout_at(due, async {
        match &target.host {
            Host::Address(address) => try_connect(SocketAddr::new(*address, target.port)).await,
            Host::Name(name) => connect_by_name(name, target.port).await,
        }
    });
    connected
        .await
        .unwrap_or(Err(ErrorCode::UpstreamConnectTimeout))
}

async fn connect_by_name(name: &str, port: u16) -> Result<Io, ErrorCode> {
    let addresses = lookup_host((name, port)).await.map_err(|error| {
        tracing::warn!(name, %error, "upstream name not resolved");
        ErrorCode::UpstreamUnresolved
    })?;
    let mut result = Err(ErrorCode::UpstreamUnresolved);
    for address in addresses {
        result = try_connect(address).await;
        if result.is_ok() {
            break;
        }
    }
    result
}

async fn try_connect(address: SocketAddr) -> Result<Io, ErrorCode> {
    TcpStream::connect(address)
        .await
        .map(Io::new)
        .map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ErrorCode::UpstreamConnectTimeout,
            _ => {
                tracing::debug!(%address, %error, "upstream not connected");
                ErrorCode::UpstreamUnreachable
            }
        })
}

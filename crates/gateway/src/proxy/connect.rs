//! Making a connection to a member of an upstream.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use wire::Io;

use crate::error::ErrorCode;
use crate::upstream::Member;

/// Connects to `member` before `due`: to the first of its addresses that lets us. Each has an equal part of the time that
/// is left, so that one which swallows what it is sent does not take it all.
///
/// # Errors
/// The code that tells why there is no connection.
pub(super) async fn connect(member: &Member, due: Instant) -> Result<Io, ErrorCode> {
    let mut result = Err(ErrorCode::UpstreamUnreachable);
    for (index, address) in member.addresses.iter().enumerate() {
        let due = match member.addresses.len() - index {
            1 => due,
            left => {
                let now = Instant::now();
                now + due.saturating_duration_since(now) / u32::try_from(left).unwrap_or(1)
            }
        };
        result = timeout_at(due, try_connect(*address))
            .await
            .unwrap_or(Err(ErrorCode::UpstreamConnectTimeout));
        if result.is_ok() {
            return result;
        }
    }
    member.is_unreachable();
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

//! Making a connection to a member of an upstream.

use std::io;
use std::net::SocketAddr;

use rustls::CertificateError as Certificate;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use wire::Io;
use wire::tls::HandshakeError;

use super::{Member, Scheme};
use crate::error::ErrorCode;

/// Connects to `member` before `due`: to the first of its addresses that lets us. Each has an equal part of the time that
/// is left, so that one which swallows what it is sent does not take it all.
///
/// # Errors
/// The code that tells why there is no connection.
pub(crate) async fn connect(member: &Member, due: Instant) -> Result<Io, ErrorCode> {
    let mut result = Err(ErrorCode::UpstreamUnreachable);
    for (index, address) in member.addresses.iter().enumerate() {
        let due = match member.addresses.len() - index {
            1 => due,
            left => {
                let now = Instant::now();
                now + due.saturating_duration_since(now) / u32::try_from(left).unwrap_or(1)
            }
        };
        result = timeout_at(due, try_connect(member, *address))
            .await
            .unwrap_or(Err(ErrorCode::UpstreamConnectTimeout));
        match result {
            Ok(_) => return result,
            Err(ErrorCode::UpstreamUnreachable | ErrorCode::UpstreamConnectTimeout) => {}
            // There is somebody, and he is wrong.
            Err(_) => break,
        }
    }
    member.is_unreachable();
    result
}

async fn try_connect(member: &Member, address: SocketAddr) -> Result<Io, ErrorCode> {
    let tcp = TcpStream::connect(address)
        .await
        .map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ErrorCode::UpstreamConnectTimeout,
            _ => {
                tracing::debug!(%address, %error, "upstream not connected");
                ErrorCode::UpstreamUnreachable
            }
        })?;
    match (member.target.scheme, &member.tls) {
        (Scheme::Http, _) => Ok(Io::new(tcp)),
        // Boxed: handshakes are rare, and requests are to have no room for them.
        (Scheme::Https, Some(tls)) => {
            let encrypted = Box::pin(tls.connect(tcp)).await;
            encrypted.map(Io::from).map_err(|error| {
                let (target, name) = (&*member.target, tls.name());
                tracing::warn!(%target, %address, name, %error, "TLS to an upstream failed");
                code(&error)
            })
        }
        // Never in the clear where that is not meant.
        (Scheme::Https, None) => Err(ErrorCode::InternalError),
    }
}

/// The code that tells why a handshake has come to nothing.
fn code(error: &HandshakeError) -> ErrorCode {
    match error {
        HandshakeError::Tls(rustls::Error::InvalidCertificate(error)) => match error {
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => ErrorCode::UpstreamCertificateExpired,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                ErrorCode::UpstreamCertificateName
            }
            _ => ErrorCode::UpstreamCertificateUntrusted,
        },
        HandshakeError::Tls(rustls::Error::AlertReceived(_)) => ErrorCode::UpstreamTlsRefused,
        HandshakeError::NotTls(_)
        | HandshakeError::Closed
        | HandshakeError::Io(_)
        | HandshakeError::Tls(_) => ErrorCode::UpstreamTlsFailed,
    }
}

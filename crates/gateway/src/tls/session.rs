//! An encrypted connection with a client, as the rest of the gateway sees it.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::{HandshakeKind, ProtocolVersion};
use tokio::net::TcpStream;
use tokio::time::timeout;
use wire::Io;
use wire::head::without_port;
use wire::tls::HandshakeError;

use super::client_identity::ClientCertificate;
use super::counts::{Failure, Version};
use super::store::take_chosen;
use super::{Certificate, Termination};

/// What a handshake has come to.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) version: Version,
    /// The client has been here before.
    pub(crate) resumed: bool,
    /// The name that the client has asked for.
    server_name: Option<Box<str>>,
    certificate: Arc<Certificate>,
    /// The client's certificate, where it has shown one.
    pub(crate) client: Option<ClientCertificate>,
}

/// What has become of a connection.
#[derive(Debug)]
pub(crate) enum Established {
    /// It is encrypted.
    Tls(Io, Box<Session>),
    /// It is not, and the client has sent something else.
    Plain(TcpStream),
}

/// Does the handshake, in `limit` at most. None where it has come to nothing; that is counted.
pub(crate) async fn establish(
    socket: TcpStream,
    termination: &Termination,
    limit: Duration,
) -> Option<Established> {
    let (mut chosen, config) = (None, termination.config());
    let result = {
        let mut handshake = pin!(timeout(limit, wire::tls::accept(socket, config)));
        poll_fn(|context| {
            let polled = handshake.as_mut().poll(context);
            // Before another connection's handshake can take its turn on this thread.
            if let Some(now) = take_chosen() {
                chosen = Some(now);
            }
            polled
        })
        .await
    };
    let counts = &termination.counts;
    let stream = match result {
        Ok(Ok(stream)) => stream,
        Ok(Err(HandshakeError::NotTls(socket))) => {
            counts.count_failure(Failure::NotTls);
            return Some(Established::Plain(socket));
        }
        Ok(Err(error)) => {
            tracing::debug!(%error, "TLS handshake failed");
            counts.count_failure(failure(&error));
            return None;
        }
        Err(_) => {
            counts.count_failure(Failure::Timeout);
            return None;
        }
    };
    let facts = stream.session();
    let version = match facts.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => Version::V1_2,
        _ => Version::V1_3,
    };
    let resumed = facts.handshake_kind() == Some(HandshakeKind::Resumed);
    let client = facts
        .peer_certificates()
        .and_then(|chain| ClientCertificate::new(chain, termination.forwarding()));
    // A certificate that a ticket vouches for is not checked again, and may have ended since.
    if client
        .as_ref()
        .is_some_and(|client| client.not_after < now())
    {
        counts.count_failure(Failure::ClientCertificate);
        return None;
    }
    counts.count_handshake(version, resumed);
    let chosen = chosen?;
    let session = Session {
        version,
        resumed,
        server_name: chosen.server_name,
        certificate: chosen.certificate,
        client,
    };
    Some(Established::Tls(stream.into(), Box::new(session)))
}

/// Seconds since 1970.
fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn failure(error: &HandshakeError) -> Failure {
    match error {
        HandshakeError::NotTls(_) => Failure::NotTls,
        HandshakeError::Closed | HandshakeError::Io(_) => Failure::Closed,
        HandshakeError::Tls(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented,
        ) => Failure::ClientCertificate,
        HandshakeError::Tls(_) => Failure::Protocol,
    }
}

impl Session {
    /// Whether requests for `host` are right here: it is the name that the client has asked for in the handshake, or the
    /// certificate that it was shown is for it too, so that the client may use the connection for both (RFC 9113 §9.1.1).
    pub(crate) fn is_for(&self, host: &[u8]) -> bool {
        let Some(name) = &self.server_name else {
            // It has not said whom it means, and is told here.
            return true;
        };
        let host = without_port(host);
        // The dot of the root is never in a handshake (RFC 6066 §3).
        let host = host.strip_suffix(b".").unwrap_or(host);
        if host.eq_ignore_ascii_case(name.as_bytes()) {
            return true;
        }
        std::str::from_utf8(host)
            .is_ok_and(|host| self.certificate.covers(&host.to_ascii_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(server_name: Option<&str>, names: &[&str]) -> Session {
        Session {
            version: Version::V1_3,
            resumed: false,
            server_name: server_name.map(Into::into),
            certificate: Arc::new(Certificate::self_signed(names).unwrap()),
            client: None,
        }
    }

    #[test]
    fn a_connection_is_for_its_name_and_those_of_its_certificate() {
        let connection = session(Some("a.test"), &["a.test", "*.b.test"]);
        for host in ["a.test", "A.TEST:443", "a.test.", "x.b.test:8443"] {
            assert!(connection.is_for(host.as_bytes()), "{host}");
        }
        for host in ["c.test", "b.test", "x.y.b.test", "", "[::1]:443"] {
            assert!(!connection.is_for(host.as_bytes()), "{host}");
        }
        // The certificate of somebody else was shown for want of a better one.
        let mistaken = session(Some("unknown.test"), &["a.test"]);
        assert!(mistaken.is_for(b"unknown.test") && mistaken.is_for(b"a.test"));
        assert!(session(None, &["a.test"]).is_for(b"127.0.0.1:8443"));
    }
}

//! From a TCP connection to one that is encrypted.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Poll, ready};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::net::TcpStream;

use super::stream::{Nobody, TlsStream};

/// The first byte of a handshake record (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// Why there is no encrypted connection.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// The client speaks something else, perhaps plain HTTP. Nothing has been read yet.
    #[error("not TLS")]
    NotTls(TcpStream),
    /// The other side has gone.
    #[error("the connection was closed")]
    Closed,
    /// The socket has failed.
    #[error(transparent)]
    Io(io::Error),
    /// The other side and we do not get along; it has been told why.
    #[error(transparent)]
    Tls(rustls::Error),
}

/// Does the server's part of a handshake. It takes as long as the client does: the caller is to set a limit.
///
/// # Errors
/// When it comes to nothing.
pub async fn accept(
    tcp: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<TlsStream, HandshakeError> {
    let mut first = [0];
    match tcp.peek(&mut first).await.map_err(HandshakeError::Io)? {
        0 => return Err(HandshakeError::Closed),
        _ if first != [HANDSHAKE] => return Err(HandshakeError::NotTls(tcp)),
        _ => {}
    }
    // Fails only when the socket is already dead, which the first read will tell.
    let _ = tcp.set_nodelay(true);
    let mut stream = TlsStream::to_client(tcp, config).map_err(HandshakeError::Tls)?;
    finish(&mut stream).await?;
    Ok(stream)
}

/// Does the client's part of a handshake with a backend that is to be `name`. It takes as long as the backend does: the caller
/// is to set a limit.
///
/// # Errors
/// When it comes to nothing.
pub async fn connect(
    tcp: TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<TlsStream, HandshakeError> {
    // Fails only when the socket is already dead, which the first write will tell.
    let _ = tcp.set_nodelay(true);
    let mut stream = TlsStream::to_backend(tcp, config, name).map_err(HandshakeError::Tls)?;
    stream.begin().map_err(failure)?;
    finish(&mut stream).await?;
    Ok(stream)
}

/// Takes turns with the other side until both have said what they have to.
async fn finish(stream: &mut TlsStream) -> Result<(), HandshakeError> {
    poll_fn(|context| {
        while stream.session().is_handshaking() {
            ready!(stream.poll_flush(context))?;
            ready!(stream.poll_receive(context, &mut Nobody))?;
            if stream.has_ended() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        // What is last leaves with the first bytes of use if not now.
        let _ = stream.poll_flush(context)?;
        Poll::Ready(Ok(()))
    })
    .await
    .map_err(failure)
}

fn failure(error: io::Error) -> HandshakeError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => HandshakeError::Closed,
        _ => match error.downcast::<rustls::Error>() {
            Ok(error) => HandshakeError::Tls(error),
            Err(error) => HandshakeError::Io(error),
        },
    }
}

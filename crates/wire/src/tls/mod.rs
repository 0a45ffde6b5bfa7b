//! TLS towards clients and backends, by `rustls`: handshakes and records are its business, sockets and buffers are ours.
//!
//! `rustls` is used through its unbuffered interface: an idle connection holds its keys and not one buffer, whatever has
//! passed through it. What has been read and not decrypted, decrypted and not taken, encrypted and not sent is kept only
//! as long as there is some of it.

mod buffers;
mod handshake;
mod session;
mod stream;

pub use handshake::{HandshakeError, accept, connect};
pub use stream::TlsStream;

#[cfg(test)]
pub(crate) mod tests;

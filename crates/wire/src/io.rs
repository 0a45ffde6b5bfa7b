//! The byte stream under a connection.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connected byte stream, to a client or to a backend.
#[derive(Debug)]
pub struct Io {
    tcp: TcpStream,
}

/// What a look at an idle connection shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Open, and nothing has arrived.
    Quiet,
    /// The peer has closed it, it has failed, or bytes arrived that nobody asked for.
    Unusable,
}

impl Io {
    /// Takes over a connected socket and turns Nagle's algorithm off: whole messages are written at once, so
    /// waiting for more only adds latency.
    #[must_use]
    pub fn new(tcp: TcpStream) -> Self {
        // Fails only when the socket is already dead, which the first read will tell.
        let _ = tcp.set_nodelay(true);
        Self { tcp }
    }

    /// Reads what has arrived into `buffer`'s spare capacity; 0 is the end of the stream.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        tokio_util::io::poll_read_buf(Pin::new(&mut self.tcp), context, buffer)
    }

    /// Ready when a read would not block, so that a buffer is taken only once there is something to put in it.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.tcp.poll_read_ready(context)
    }

    /// Writes some of `slices`, in order.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match slices {
            // `send` costs less than `writev`.
            [slice] => Pin::new(&mut self.tcp).poll_write(context, slice),
            _ => Pin::new(&mut self.tcp).poll_write_vectored(context, slices),
        }
    }

    /// Ends the sending side; the peer reads an end of stream.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    /// Looks at an idle connection by one system call: what the runtime has heard from the kernel may be older
    /// than the peer's FIN.
    #[must_use]
    pub fn look(&self) -> Idle {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(&self.tcp).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Quiet,
            _ => Idle::Unusable,
        }
    }

    /// Makes the close of this connection a reset, so that the peer cannot take what it has got for the whole.
    pub fn reset_on_close(&self) {
        // Nothing to be done when it fails: the connection is being given up anyway.
        let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}

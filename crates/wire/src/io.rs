//! The byte stream under a connection.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use rustls::CommonState;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::tls::TlsStream;

/// A connected byte stream, to a client or to a backend.
#[derive(Debug)]
pub struct Io {
    transport: Transport,
}

/// What carries the bytes.
#[derive(Debug)]
enum Transport {
    Plain(TcpStream),
    /// Boxed: a plain connection has no room for keys.
    Tls(Box<TlsStream>),
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
        Self {
            transport: Transport::Plain(tcp),
        }
    }

    /// What the TLS handshake has come to; none of a plain connection.
    #[must_use]
    pub fn tls(&self) -> Option<&CommonState> {
        match &self.transport {
            Transport::Plain(_) => None,
            Transport::Tls(tls) => Some(tls.session()),
        }
    }

    fn tcp(&self) -> &TcpStream {
        match &self.transport {
            Transport::Plain(tcp) => tcp,
            Transport::Tls(tls) => tls.tcp(),
        }
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
        match &mut self.transport {
            Transport::Plain(tcp) => tokio_util::io::poll_read_buf(Pin::new(tcp), context, buffer),
            Transport::Tls(tls) => tls.poll_read(context, buffer),
        }
    }

    /// Ready when a read would not block, so that a buffer is taken only once there is something to put in it.
    ///
    /// # Errors
    /// When the runtime is shutting down.
    pub fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.transport {
            Transport::Plain(tcp) => tcp.poll_read_ready(context),
            Transport::Tls(tls) => tls.poll_read_ready(context),
        }
    }

    /// Writes some of `slices`, in order. [`Self::poll_flush`] tells when they have left.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match (&mut self.transport, slices) {
            // `send` costs less than `writev`.
            (Transport::Plain(tcp), [slice]) => Pin::new(tcp).poll_write(context, slice),
            (Transport::Plain(tcp), _) => Pin::new(tcp).poll_write_vectored(context, slices),
            (Transport::Tls(tls), _) => tls.poll_write_vectored(context, slices),
        }
    }

    /// Ready when what has been written has been handed to the kernel.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(_) => Poll::Ready(Ok(())),
            Transport::Tls(tls) => tls.poll_flush(context),
        }
    }

    /// Bytes that have been written and not been handed to the kernel.
    pub(crate) fn unsent(&self) -> usize {
        match &self.transport {
            Transport::Plain(_) => 0,
            Transport::Tls(tls) => tls.unsent(),
        }
    }

    /// Ends the sending side; the peer reads an end of stream.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Transport::Tls(tls) => tls.poll_shutdown(context),
        }
    }

    /// Whether something has happened to an idle connection, as far as the runtime has heard: the peer's close, or bytes
    /// that nobody asked for. What TLS has to say to itself is neither, and is taken. After a read that has filled its buffer
    /// the runtime cannot know: only then the kernel is asked, once.
    #[must_use]
    pub fn has_stirred(&mut self) -> bool {
        match &mut self.transport {
            Transport::Plain(tcp) => {
                let peek = || SockRef::from(&*tcp).peek(&mut [MaybeUninit::uninit()]);
                let peeked = tcp.try_io(Interest::READABLE, peek);
                !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            Transport::Tls(tls) => {
                tls.has_stirred(&mut Context::from_waker(std::task::Waker::noop()))
            }
        }
    }

    /// Looks at an idle connection by one system call: what the runtime has heard from the kernel may be older
    /// than the peer's FIN.
    #[must_use]
    pub fn look(&self) -> Idle {
        let mut byte = [MaybeUninit::uninit()];
        match SockRef::from(self.tcp()).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Idle::Quiet,
            _ => Idle::Unusable,
        }
    }

    /// Makes the close of this connection a reset, so that the peer cannot take what it has got for the whole.
    pub fn reset_on_close(&mut self) {
        if let Transport::Tls(tls) = &mut self.transport {
            tls.end_abruptly();
        }
        // Nothing to be done when it fails: the connection is being given up anyway.
        let _ = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO));
    }
}

impl From<TlsStream> for Io {
    fn from(tls: TlsStream) -> Self {
        Self {
            transport: Transport::Tls(Box::new(tls)),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Transport::Tls(tls) => tls.poll_read(context, buffer).map_ok(|_| ()),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), context)
    }
}

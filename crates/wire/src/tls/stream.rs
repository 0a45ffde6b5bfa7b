//! A connection whose bytes are encrypted.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::ServerName;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{ClientConfig, CommonState, ServerConfig};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;

use super::buffers::{INCOMING, MOST_ENCRYPTED, Outgoing, with_incoming};
use super::session::{Records, Session};

/// A record's header, nonce and tag are smaller than this, in any version and suite.
const RECORD_OVERHEAD: usize = 64;
/// Plaintext of a full record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// Room for what `rustls` may put before application data: an update of keys.
const AHEAD: usize = 512;
/// Slices of at least this size are encrypted where they lie; smaller ones are gathered in one record.
const LARGE: usize = 8 * 1024;
/// Fewer bytes are not worth a read.
const LEAST_READ: usize = 4 * 1024;
/// Reads that may be made to see whether a connection is idle.
const MOST_LOOKS: usize = 4;

/// A connection to a client or to a backend, encrypted.
pub struct TlsStream {
    tcp: TcpStream,
    session: Session,
    /// Ciphertext of a record that has not come whole yet.
    incoming: Vec<u8>,
    /// Plaintext that its reader had no room for.
    unread: BytesMut,
    outgoing: Outgoing,
    receiving: Receiving,
    sending: Sending,
}

/// The peer's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receiving {
    Open,
    /// It has said that it is done, or has gone without a word.
    Ended,
}

/// Our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Open,
    /// The peer knows that there is no more, or must not be told so.
    Ended,
}

impl std::fmt::Debug for TlsStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the session, which has the keys.
        formatter
            .debug_struct("TlsStream")
            .field("tcp", &self.tcp)
            .field("receiving", &self.receiving)
            .field("sending", &self.sending)
            .finish_non_exhaustive()
    }
}

/// Where plaintext is put: into the reader's own buffer as long as there is room.
struct Plaintext<'a, B> {
    reader: &'a mut B,
    taken: usize,
    unread: &'a mut BytesMut,
}

impl<B: Room> Plaintext<'_, B> {
    fn push(&mut self, payload: &[u8]) {
        let fits = if self.unread.is_empty() {
            payload.len().min(self.reader.room())
        } else {
            0
        };
        let (now, later) = payload.split_at(fits);
        self.reader.put(now);
        self.taken += now.len();
        self.unread.extend_from_slice(later);
    }
}

/// What plaintext is read into.
pub(crate) trait Room {
    /// Bytes that fit in.
    fn room(&self) -> usize;
    /// Appends bytes, which fit in.
    fn put(&mut self, bytes: &[u8]);
}

impl Room for BytesMut {
    fn room(&self) -> usize {
        self.capacity() - self.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

impl Room for ReadBuf<'_> {
    fn room(&self) -> usize {
        self.remaining()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// A reader that takes nothing.
pub(super) struct Nobody;

impl Room for Nobody {
    fn room(&self) -> usize {
        0
    }

    fn put(&mut self, _: &[u8]) {}
}

impl TlsStream {
    /// To a client, before the handshake.
    pub(super) fn to_client(
        tcp: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<Self, rustls::Error> {
        let session = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(tcp, Session::Server(Box::new(session))))
    }

    /// To a backend that is to be `name`, before the handshake.
    pub(super) fn to_backend(
        tcp: TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> Result<Self, rustls::Error> {
        let session = UnbufferedClientConnection::new(config, name)?;
        Ok(Self::new(tcp, Session::Client(Box::new(session))))
    }

    fn new(tcp: TcpStream, session: Session) -> Self {
        Self {
            tcp,
            session,
            incoming: Vec::new(),
            unread: BytesMut::new(),
            outgoing: Outgoing::default(),
            receiving: Receiving::Open,
            sending: Sending::Open,
        }
    }

    /// Encrypts the first message of a handshake that we begin.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        self.decrypt(&mut [], &mut Nobody).map(|_| ())
    }

    /// What the handshake has come to.
    #[must_use]
    pub fn session(&self) -> &CommonState {
        self.session.common()
    }

    /// Whether the peer will send no more.
    pub(super) fn has_ended(&self) -> bool {
        self.receiving == Receiving::Ended
    }

    pub(crate) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    /// The peer is not to take what it has got for the whole.
    pub(crate) fn end_abruptly(&mut self) {
        self.sending = Sending::Ended;
    }

    /// Reads what has arrived; 0 is the end of the stream.
    pub(crate) fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut impl Room,
    ) -> Poll<io::Result<usize>> {
        if reader.room() == 0 {
            return Poll::Ready(Ok(0));
        }
        loop {
            if !self.unread.is_empty() {
                let count = self.unread.len().min(reader.room());
                reader.put(&self.unread[..count]);
                self.unread.advance(count);
                if self.unread.is_empty() {
                    self.unread = BytesMut::new();
                }
                return Poll::Ready(Ok(count));
            }
            if self.receiving == Receiving::Ended {
                return Poll::Ready(Ok(0));
            }
            let taken = ready!(self.poll_receive(context, reader))?;
            if taken > 0 {
                return Poll::Ready(Ok(taken));
            }
        }
    }

    /// Ready when a read would not block, or might not.
    pub(crate) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.unread.is_empty() || self.receiving == Receiving::Ended {
            return Poll::Ready(Ok(()));
        }
        self.tcp.poll_read_ready(context)
    }

    /// Whether anything but what TLS has to say to itself, such as a ticket, has come over the idle connection.
    pub(crate) fn has_stirred(&mut self, context: &mut Context<'_>) -> bool {
        for _ in 0..MOST_LOOKS {
            if !self.unread.is_empty() || self.receiving == Receiving::Ended {
                return true;
            }
            match self.poll_receive(context, &mut Nobody) {
                Poll::Pending => return false,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => return true,
            }
        }
        true
    }

    /// Reads once from the socket, and decrypts what has come whole. Returns how many bytes the reader has got.
    pub(super) fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        reader: &mut impl Room,
    ) -> Poll<io::Result<usize>> {
        with_incoming(|buffer| {
            let kept = self.incoming.len();
            let most = (kept + reader.room().max(LEAST_READ) + AHEAD).min(INCOMING);
            let (Some(front), true) = (buffer.get_mut(..kept), kept < most) else {
                return Poll::Ready(Err(invalid("a message is too long")));
            };
            front.copy_from_slice(&self.incoming);
            let mut read = ReadBuf::new(&mut buffer[kept..most]);
            ready!(Pin::new(&mut self.tcp).poll_read(context, &mut read))?;
            let count = read.filled().len();
            if count == 0 {
                self.receiving = Receiving::Ended;
                // An answer that ends with its connection is whole only where the backend has said so (RFC 9112 §9.8).
                return Poll::Ready(match self.session {
                    Session::Server(_) => Ok(0),
                    Session::Client(_) => Err(io::ErrorKind::UnexpectedEof.into()),
                });
            }
            let result = self.decrypt(&mut buffer[..kept + count], reader);
            if !self.outgoing.is_empty() {
                // An answer to what has come, or an alert. Whether it can be sent, the next read or write tells.
                let _ = self.poll_flush(context);
            }
            Poll::Ready(result)
        })
    }

    /// Takes the records in `records`, and keeps what is not whole.
    fn decrypt(&mut self, records: &mut [u8], reader: &mut impl Room) -> io::Result<usize> {
        let mut plaintext = Plaintext {
            reader,
            taken: 0,
            unread: &mut self.unread,
        };
        let outgoing = &mut self.outgoing;
        let Taken {
            used,
            ended,
            failed,
        } = match &mut self.session {
            Session::Server(session) => take(&mut **session, records, &mut plaintext, outgoing),
            Session::Client(session) => take(&mut **session, records, &mut plaintext, outgoing),
        }?;
        let taken = plaintext.taken;
        if ended {
            self.receiving = Receiving::Ended;
        }
        self.keep(records.get(used..).unwrap_or_default());
        match failed {
            None => Ok(taken),
            Some(error) => {
                self.sending = Sending::Ended;
                self.receiving = Receiving::Ended;
                match &mut self.session {
                    Session::Server(session) => {
                        queue_alert(&mut **session, &mut self.incoming, &mut self.outgoing);
                    }
                    Session::Client(session) => {
                        queue_alert(&mut **session, &mut self.incoming, &mut self.outgoing);
                    }
                }
                Err(invalid(error))
            }
        }
    }

    /// Keeps what has come and is not whole; no buffer where there is nothing to be kept.
    fn keep(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            self.incoming = Vec::new();
        } else {
            self.incoming.clear();
            self.incoming.extend_from_slice(rest);
        }
    }

    /// Encrypts some of `slices`, in order, and writes as much of that as the socket takes; [`Self::poll_flush`] writes
    /// the rest.
    pub(crate) fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(context))?;
        let taken = self.encrypt(slices)?;
        match self.poll_flush(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(taken)),
        }
    }

    fn encrypt(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let (mut taken, mut gathered) = (0, Vec::new());
        for (index, slice) in slices.iter().enumerate() {
            let slice = &slice[..slice.len().min(MOST_ENCRYPTED - taken)];
            taken += slice.len();
            let is_last = taken == MOST_ENCRYPTED || index + 1 == slices.len();
            if gathered.is_empty() && (is_last || slice.len() >= LARGE) {
                self.encrypt_slice(slice)?;
            } else if slice.len() >= LARGE {
                self.encrypt_slice(&gathered)?;
                gathered.clear();
                self.encrypt_slice(slice)?;
            } else {
                gathered.extend_from_slice(slice);
                if is_last {
                    self.encrypt_slice(&gathered)?;
                }
            }
            if taken == MOST_ENCRYPTED {
                break;
            }
        }
        Ok(taken)
    }

    fn encrypt_slice(&mut self, plaintext: &[u8]) -> io::Result<()> {
        if plaintext.is_empty() {
            return Ok(());
        }
        // So that it need not be encrypted in vain.
        let records = plaintext.len().div_ceil(RECORD);
        self.outgoing
            .room(plaintext.len() + records * RECORD_OVERHEAD + AHEAD);
        self.say(Said::Data(plaintext))
    }

    /// Encrypts `said`, behind what `rustls` has to say itself.
    fn say(&mut self, said: Said<'_>) -> io::Result<()> {
        let (incoming, outgoing) = (&mut self.incoming, &mut self.outgoing);
        let ended = match &mut self.session {
            Session::Server(session) => say(&mut **session, incoming, outgoing, said),
            Session::Client(session) => say(&mut **session, incoming, outgoing, said),
        }?;
        if ended {
            self.receiving = Receiving::Ended;
        }
        Ok(())
    }

    /// Writes everything that has been encrypted.
    pub(crate) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = Pin::new(&mut self.tcp).poll_write(context, self.outgoing.bytes());
            match written {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.outgoing.sent(count),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.outgoing.wait();
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ciphertext that the kernel has not taken yet.
    pub(crate) fn unsent(&self) -> usize {
        self.outgoing.bytes().len()
    }

    /// Says that there is no more (RFC 8446 §6.1), and ends the sending side.
    pub(crate) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.queue_close_notify();
        ready!(self.poll_flush(context))?;
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn queue_close_notify(&mut self) {
        if self.sending == Sending::Ended {
            return;
        }
        self.sending = Sending::Ended;
        // What cannot be said any more need not be.
        let _ = self.say(Said::Close);
    }
}

/// What records have come to.
struct Taken {
    /// Bytes that are not needed any more.
    used: usize,
    /// The peer has said that there is no more.
    ended: bool,
    failed: Option<rustls::Error>,
}

/// Decrypts `records`, and encrypts what `rustls` has to answer.
fn take<R: Records>(
    session: &mut R,
    records: &mut [u8],
    plaintext: &mut Plaintext<'_, impl Room>,
    outgoing: &mut Outgoing,
) -> io::Result<Taken> {
    let (mut used, mut ended) = (0, false);
    loop {
        let UnbufferedStatus { mut discard, state } = session.process(&mut records[used..]);
        let mut done = false;
        let mut failed = None;
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(invalid)?;
                    discard += record.discard;
                    plaintext.push(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(outgoing, |room| data.encode(room))?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => ended = true,
            Ok(_) => done = true,
            Err(error) => failed = Some(error),
        }
        used += discard;
        if done || failed.is_some() {
            return Ok(Taken {
                used,
                ended,
                failed,
            });
        }
    }
}

/// Queues what is still to be said, and at last the alert about what was wrong.
fn queue_alert<R: Records>(session: &mut R, incoming: &mut Vec<u8>, outgoing: &mut Outgoing) {
    loop {
        let UnbufferedStatus { discard, state } = session.process(incoming);
        let Ok(ConnectionState::EncodeTlsData(mut data)) = state else {
            return;
        };
        let before = outgoing.bytes().len();
        if encode(outgoing, |room| data.encode(room)).is_err() {
            return;
        }
        // The last thing: to ask on would have the same bytes looked at, and found wrong, again.
        if is_alert(outgoing.bytes().get(before..).unwrap_or_default()) {
            return;
        }
        incoming.drain(..discard.min(incoming.len()));
    }
}

/// What is to be encrypted.
#[derive(Debug, Clone, Copy)]
enum Said<'a> {
    Data(&'a [u8]),
    /// There is no more.
    Close,
}

/// Encrypts `said`, once that can be done, behind what `rustls` has to say itself. Returns whether the peer has said
/// meanwhile that it is done.
fn say<R: Records>(
    session: &mut R,
    incoming: &mut Vec<u8>,
    outgoing: &mut Outgoing,
    said: Said<'_>,
) -> io::Result<bool> {
    let mut ended = false;
    loop {
        // With what has been kept: `rustls` may have references into it.
        let UnbufferedStatus { discard, state } = session.process(incoming);
        match state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                encode(outgoing, |out| match said {
                    Said::Data(plaintext) => traffic.encrypt(plaintext, out),
                    Said::Close => traffic.queue_close_notify(out),
                })?;
                return Ok(ended);
            }
            Ok(ConnectionState::EncodeTlsData(mut data)) => {
                encode(outgoing, |out| data.encode(out))?;
            }
            Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
            Ok(ConnectionState::PeerClosed) => ended = true,
            Ok(_) => return Err(io::ErrorKind::BrokenPipe.into()),
            Err(error) => return Err(invalid(error)),
        }
        incoming.drain(..discard.min(incoming.len()));
    }
}

/// Whether a record holds an alert. One that TLS 1.3 has encrypted is known by its size: level, description, type and tag
/// (RFC 8446 §5.2); no handshake message is as short.
fn is_alert(record: &[u8]) -> bool {
    const ALERT: u8 = 21;
    const APPLICATION_DATA: u8 = 23;
    const ENCRYPTED: usize = 5 + 2 + 1 + 16;
    match record.first() {
        Some(&ALERT) => true,
        Some(&APPLICATION_DATA) => record.len() == ENCRYPTED,
        _ => false,
    }
}

impl Drop for TlsStream {
    fn drop(&mut self) {
        // A connection that is closed in peace says so, as far as that can be done without a wait. One that still has
        // something to send is broken off.
        if self.sending == Sending::Open && self.outgoing.is_empty() {
            self.queue_close_notify();
            let _ = self.tcp.try_write(self.outgoing.bytes());
        }
    }
}

/// What `rustls` says of a buffer that is too small.
trait RoomError {
    /// The size that it needs, or what else is wrong.
    fn needed(self) -> io::Result<usize>;
}

impl RoomError for EncodeError {
    fn needed(self) -> io::Result<usize> {
        match self {
            Self::InsufficientSize(error) => Ok(error.required_size),
            Self::AlreadyEncoded => Err(invalid(self)),
        }
    }
}

impl RoomError for EncryptError {
    fn needed(self) -> io::Result<usize> {
        match self {
            Self::InsufficientSize(error) => Ok(error.required_size),
            Self::EncryptExhausted => Err(invalid(self)),
        }
    }
}

/// Has `write` put something into `outgoing`, which gets the room that it needs.
fn encode<E: RoomError>(
    outgoing: &mut Outgoing,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let mut least = AHEAD;
    loop {
        match write(outgoing.room(least)) {
            Ok(count) => {
                outgoing.filled(count);
                return Ok(());
            }
            // More than is asked for, lest the size that is needed be meant less exactly than it is said.
            Err(error) => least = error.needed()?.max(2 * least),
        }
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

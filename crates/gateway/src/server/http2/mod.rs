//! HTTP/2 from clients, by `h2`: frames and streams are its business, requests go the same way as HTTP/1.1's.
//!
//! What a client may make us keep is bounded by `h2` ([`builder`] says to how much), what it may make us do by its
//! [`Conduct`], and what it may make us wait for by deadlines: of the connection in
//! [`serving`], of streams where they are read and written.

mod activity;
mod answer;
mod body;
mod conduct;
mod frames;
mod request;
mod serving;
mod stream;
mod stream_io;
mod websocket;

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use h2::server::Builder;
use tokio::time::timeout;
use wire::Io;
use wire::server::Drain;

use super::connection::{ClientService, Limits};
use conduct::Conduct;
use serving::Serving;
use stream_io::StreamIo;

/// Of a body that has come and not been read yet, per stream: a backend that is slow to take one upload must not use
/// up what the others' need.
const STREAM_WINDOW: u32 = 256 * 1024;
/// The same of all streams of a connection, as Envoy recommends for the edge.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Of an answer that the client has asked for, and its connection not taken yet, per stream. More does not make it
/// faster: a part leaves as soon as the socket takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that the client made us reset by breaking the rules. Honest clients never do; those beyond the most
/// streams, which one may open before it has heard of the limit, are counted among them.
const MOST_FAULTS: usize = 100;

/// How much a connection may keep.
fn builder(limits: &Limits) -> Builder {
    let head = limits.server.head.head;
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.most_streams)
        // Twice of what is accepted, so that what is a little too large is answered, and logged, like any other request.
        // Beyond it `h2` answers 431, and ends the connection at four times as much.
        .max_header_list_size(u32::try_from(head.saturating_mul(2)).unwrap_or(u32::MAX))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MOST_FAULTS))
        .enable_connect_protocol();
    builder
}

/// Serves an HTTP/2 connection, of which `buffered` has been read already, until it is closed.
pub(super) async fn serve(
    io: Io,
    buffered: BytesMut,
    service: Rc<ClientService>,
    limits: &Limits,
    drain: &Drain,
) {
    let _registration = poll_fn(|context| Poll::Ready(drain.register(context.waker()))).await;
    let config = limits.server;
    let conduct = Rc::new(Conduct::new());
    let io = StreamIo::new(io, buffered, &conduct, config.write_idle);
    let handshake = builder(limits).handshake::<_, Bytes>(io);
    let Ok(Ok(connection)) = timeout(config.head_timeout, handshake).await else {
        return;
    };
    let mut serving = Serving::new(connection, service, conduct, config);
    poll_fn(|context| serving.poll(drain, context)).await;
}

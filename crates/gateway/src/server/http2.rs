//! HTTP/2 from clients, by `hyper`: frames and streams are its business, requests go the same way as HTTP/1.1's.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use http::header::{COOKIE, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wire::head::{HeadError, RequestLimits};
use wire::server::{Client, Drain, End, Exchange as _, Outcome, ServerConfig};
use wire::{Body, BodyError, Deadline, Io};

use super::connection::ClientService;
use crate::middleware::access_log::Exchange;

/// As Envoy recommends for the edge.
const MOST_STREAMS: u32 = 100;
/// A client that does not answer a ping within this time is gone.
const PING: Duration = Duration::from_secs(20);

/// Serves an HTTP/2 connection, of which `buffered` has been read already, until it is closed.
pub(super) async fn serve(
    io: Io,
    buffered: BytesMut,
    service: Rc<ClientService>,
    config: &ServerConfig,
    drain: &Drain,
) {
    let _registration = poll_fn(|context| Poll::Ready(drain.register(context.waker()))).await;
    let (activity, config) = (Rc::new(Activity::default()), *config);
    let streams = Rc::clone(&activity);
    let connection = Builder::new(LocalExecutor)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(u32::try_from(config.head.head).unwrap_or(u32::MAX))
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .serve_connection(
            TokioIo::new(Rewound { buffered, io }),
            service_fn(move |request| {
                let stream = Stream::begin(&streams);
                let service = Rc::clone(&service);
                async move { Ok::<_, Infallible>(answer(&service, request, stream, &config).await) }
            }),
        );
    let mut connection = pin!(connection);
    let (mut idle, mut ending) = (Deadline::default(), false);
    poll_fn(|context| {
        if let Poll::Ready(_ended) = connection.as_mut().poll(context) {
            return Poll::Ready(());
        }
        if !ending
            && (drain.is_announced()
                || activity
                    .poll_idle(&mut idle, config.keep_alive, context)
                    .is_ready())
        {
            // GOAWAY; streams that are open are finished (RFC 9113 §6.8).
            ending = true;
            connection.as_mut().graceful_shutdown();
            context.waker().wake_by_ref();
        }
        Poll::Pending
    })
    .await;
}

async fn answer(
    service: &ClientService,
    request: Request<Incoming>,
    stream: Stream,
    config: &ServerConfig,
) -> Response<Sent> {
    let received = Rc::new(Cell::new(0));
    let (response, exchange) =
        match into_request(request, &config.head, config.request_body_idle, &received) {
            Ok(request) => {
                service
                    .handler
                    .handle(request, Client::default(), &service.side)
                    .await
            }
            Err(error) => service
                .handler
                .refuse(error, Version::HTTP_2, &service.side),
        };
    response.map(|body| Sent {
        body,
        exchange: Some(exchange),
        received,
        sent: 0,
        _stream: stream,
    })
}

/// The request in the form that HTTP/1.1 requests have: origin form, and its authority in `Host`.
fn into_request(
    request: Request<Incoming>,
    limits: &RequestLimits,
    body_idle: Duration,
    received: &Rc<Cell<u64>>,
) -> Result<Request<Body>, HeadError> {
    let (mut head, body) = request.into_parts();
    join_cookies(&mut head.headers);
    if head.headers.len() > limits.fields {
        return Err(HeadError::TooManyFields);
    }
    if head.method == Method::CONNECT {
        return Err(HeadError::Malformed("CONNECT is not served"));
    }
    if let Some(authority) = head.uri.authority() {
        let host = HeaderValue::from_str(authority.as_str())
            .map_err(|_| HeadError::Malformed("the authority is malformed"))?;
        // RFC 9113 §8.3.1: where both are there they must agree.
        if head.headers.get(HOST).is_some_and(|sent| sent != host)
            || authority.as_str().contains('@')
        {
            return Err(HeadError::Malformed(
                ":authority and Host differ, or hold user information",
            ));
        }
        head.headers.insert(HOST, host);
    } else if head.headers.get_all(HOST).iter().count() != 1 {
        return Err(HeadError::Malformed("Host is missing or repeated"));
    }
    let target = head
        .uri
        .path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"));
    if target.as_str().len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    head.uri = Uri::from(target);
    let body = if http_body::Body::is_end_stream(&body) {
        Body::empty()
    } else {
        Body::boxed(Received {
            body,
            idle: body_idle,
            deadline: Deadline::default(),
            received: Rc::clone(received),
        })
    };
    Ok(Request::from_parts(head, body))
}

/// HTTP/2 may split the cookies over several fields, and HTTP/1.1 must not (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let fields: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if fields.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&fields.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// The open streams of one connection.
#[derive(Debug, Default)]
struct Activity {
    open: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl Activity {
    /// Ready when no stream has been open for `limit`.
    fn poll_idle(
        &self,
        idle: &mut Deadline,
        limit: Duration,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        if self.open.get() > 0 {
            idle.clear();
            return Poll::Pending;
        }
        if !idle.is_set() {
            idle.set(limit);
            *self.waker.borrow_mut() = Some(context.waker().clone());
        }
        idle.poll_passed(context)
    }
}

/// An open stream; counts from the request's head to the end of its answer.
#[derive(Debug)]
struct Stream(Rc<Activity>);

impl Stream {
    fn begin(activity: &Rc<Activity>) -> Self {
        activity.open.set(activity.open.get() + 1);
        Self(Rc::clone(activity))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        if let (0, Some(waker)) = (left, self.0.waker.take()) {
            waker.wake();
        }
    }
}

/// The body of a request, with a limit to the pauses in it.
struct Received {
    body: Incoming,
    idle: Duration,
    deadline: Deadline,
    received: Rc<Cell<u64>>,
}

impl http_body::Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(frame) => {
                this.deadline.clear();
                if let Some(Ok(data)) = frame
                    .as_ref()
                    .map(|frame| frame.as_ref().map(Frame::data_ref))
                {
                    this.received
                        .set(this.received.get() + data.map_or(0, |data| data.len() as u64));
                }
                // A reset stream or a broken connection: either way the client has gone.
                Poll::Ready(frame.map(|frame| frame.map_err(|_| BodyError::Truncated)))
            }
            Poll::Pending => {
                if !this.deadline.is_set() {
                    this.deadline.set(this.idle);
                }
                ready!(this.deadline.poll_passed(context));
                Poll::Ready(Some(Err(BodyError::TimedOut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer; ends its exchange.
struct Sent {
    body: Body,
    exchange: Option<Exchange>,
    received: Rc<Cell<u64>>,
    sent: u64,
    _stream: Stream,
}

impl Sent {
    fn finish(&mut self, end: End) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish(Outcome {
                received: self.received.get(),
                sent: self.sent,
                end,
            });
        }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = match this.body.poll_next(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let exchange = this.exchange.as_mut();
                ready!(exchange.map_or(Poll::Pending, |it| it.poll_ended(context)));
                this.finish(End::Ended);
                // The stream is reset.
                return Poll::Ready(Some(Err(BodyError::Truncated)));
            }
        };
        match &frame {
            Some(Ok(frame)) => this.sent += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(error)) => this.finish(End::BodyFailed(*error)),
            None => this.finish(End::Complete),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_finished()
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.body)
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // Nobody asks a body that has ended for its end.
        let end = if self.body.is_finished() {
            End::Complete
        } else {
            End::ClientGone
        };
        self.finish(end);
    }
}

/// Runs a connection's streams on the thread that it lives on.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// A byte stream, some of which has been read already.
#[derive(Debug)]
struct Rewound {
    buffered: BytesMut,
    io: Io,
}

impl AsyncRead for Rewound {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.buffered.is_empty() {
            return AsyncRead::poll_read(Pin::new(&mut this.io), context, buffer);
        }
        let length = this.buffered.len().min(buffer.remaining());
        buffer.put_slice(&this.buffered[..length]);
        this.buffered.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.get_mut().io), context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.get_mut().io), context)
    }
}

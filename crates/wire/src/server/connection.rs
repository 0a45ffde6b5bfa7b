//! One client connection, from its first byte to its close.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use http::{Method, Request, Response, StatusCode, Version};

use super::response::Sending;
use super::stream::{Client, RequestBody, Stream};
use super::{Drain, End, Exchange, Outcome, ServerConfig, Service};
use crate::body::{Body, BodyError};
use crate::deadline::Deadline;
use crate::head::{HeadError, Progress, RequestHead, parse_request};
use crate::io::Io;
use crate::tunnel::{Tunnel, TunnelEnd, Upgraded};

/// What an HTTP/2 client with prior knowledge says first (RFC 9113 §3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A request's body that the answer did not wait for is read to its end when no more than this is left of it;
/// otherwise the connection is closed.
const MOST_DISCARDED: u64 = 64 * 1024;
/// How long a client may go on sending to a connection that has been closed towards it: an immediate close would
/// reset the connection and could destroy the answer on its way (RFC 9112 §9.6).
const LINGER: Duration = Duration::from_secs(2);

/// How the service of a connection ended.
#[derive(Debug)]
pub enum Ended {
    /// The connection is closed.
    Closed,
    /// The client speaks HTTP/2: the connection, and what has been read from it. Boxed, so that no connection holds
    /// room for it while it is served.
    Http2(Box<(Io, BytesMut)>),
}

/// What comes next on a connection.
enum Next {
    Request(Box<RequestHead>),
    Refused(HeadError),
    Http2,
    Closed,
}

/// What is waited for between two requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waiting {
    /// Nothing yet.
    No,
    /// The first byte of a head.
    ForRequest,
    /// The rest of a head.
    ForHead,
}

/// What is known of a request once its head has been handed to the service.
struct Present {
    method: Method,
    version: Version,
    persists: bool,
    upgrades: bool,
}

/// What becomes of the connection after a request.
enum After<E> {
    /// It takes another request.
    Next,
    /// It is over.
    Close,
    /// It has switched protocols. Boxed, so that no connection holds room for it before.
    Tunnel(Box<Upgraded>, Box<E>),
}

/// Serves the requests that come in on `io`, one after the other, until either side has had enough.
pub fn serve<S: Service>(
    io: Io,
    service: &S,
    config: &ServerConfig,
    drain: &Drain,
) -> impl Future<Output = Ended> {
    // Made here and not in the future, which would keep the room for `io` as long as it lives.
    serve_stream(
        Rc::new(RefCell::new(Stream::new(io))),
        service,
        config,
        drain,
    )
}

async fn serve_stream<S: Service>(
    stream: Rc<RefCell<Stream>>,
    service: &S,
    config: &ServerConfig,
    drain: &Drain,
) -> Ended {
    let _registration = poll_fn(|context| Poll::Ready(drain.register(context.waker()))).await;
    let mut fresh = true;
    loop {
        let after = match next(&stream, config, drain, fresh).await {
            // Boxed, so that neither an idle connection nor a tunnel holds the room that a request needs.
            Next::Request(head) => Box::pin(exchange(&stream, head, service, config, drain)).await,
            Next::Refused(error) => {
                Box::pin(refuse(&stream, service.refuse(error), config)).await;
                After::Close
            }
            Next::Http2 => return hand_over(stream),
            Next::Closed => return Ended::Closed,
        };
        match after {
            After::Next => fresh = false,
            After::Close => return Ended::Closed,
            After::Tunnel(upgraded, record) => {
                let tunnel = run_tunnel(&stream, upgraded, record, config.tunnel_idle);
                Box::pin(tunnel).await;
                return Ended::Closed;
            }
        }
    }
}

/// Waits for the next request's head.
async fn next(stream: &RefCell<Stream>, config: &ServerConfig, drain: &Drain, fresh: bool) -> Next {
    let (mut progress, mut waiting) = (Progress::default(), Waiting::No);
    stream.borrow_mut().write.release();
    poll_fn(|context| {
        let stream = &mut *stream.borrow_mut();
        loop {
            // RFC 9112 §2.2: empty lines before a request are to be ignored, and begin none.
            while stream.read.bytes().starts_with(b"\r\n") {
                stream.read.bytes().advance(2);
            }
            if !stream.read.is_empty() {
                if fresh && is_preface(stream.read.bytes()) {
                    if stream.read.len() >= HTTP2_PREFACE.len() {
                        return Poll::Ready(Next::Http2);
                    }
                } else {
                    match parse_request(stream.read.bytes(), &config.head, &mut progress) {
                        Ok(Some(head)) => return Poll::Ready(Next::Request(Box::new(head))),
                        Ok(None) => {}
                        Err(error) => return Poll::Ready(Next::Refused(error)),
                    }
                }
            }
            if stream.read.is_empty() {
                if waiting == Waiting::No {
                    waiting = Waiting::ForRequest;
                    stream.read_deadline.set(config.keep_alive);
                }
            } else if waiting != Waiting::ForHead {
                // From the first byte on, and not from each: a head that trickles in is late, too.
                waiting = Waiting::ForHead;
                stream.read_deadline.set(config.head_timeout);
            }
            match stream.read.poll_fill(&mut stream.io, 0, context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(Next::Closed),
                // What has come already is answered: only now is it known that nothing has.
                Poll::Pending if stream.read.is_empty() && drain.has_begun() => {
                    return Poll::Ready(Next::Closed);
                }
                Poll::Pending => {
                    ready!(stream.read_deadline.poll_passed(context));
                    return Poll::Ready(match waiting {
                        Waiting::ForHead => Next::Refused(HeadError::TimedOut),
                        Waiting::No | Waiting::ForRequest => Next::Closed,
                    });
                }
            }
        }
    })
    .await
}

/// Whether `buffer` is the HTTP/2 preface, or may become it. No method is called `PRI` (RFC 9113 §11.6).
fn is_preface(buffer: &[u8]) -> bool {
    let length = buffer.len().min(HTTP2_PREFACE.len());
    buffer[..length] == HTTP2_PREFACE[..length]
}

fn hand_over(stream: Rc<RefCell<Stream>>) -> Ended {
    match Rc::try_unwrap(stream) {
        Ok(stream) => {
            let stream = stream.into_inner();
            Ended::Http2(Box::new((stream.io, stream.read.into_bytes())))
        }
        Err(_) => Ended::Closed,
    }
}

/// Answers one request.
async fn exchange<S: Service>(
    stream: &Rc<RefCell<Stream>>,
    head: Box<RequestHead>,
    service: &S,
    config: &ServerConfig,
    drain: &Drain,
) -> After<S::Exchange> {
    stream.borrow_mut().begin(&head);
    let present = Present {
        method: head.method.clone(),
        version: head.version,
        persists: head.persists,
        upgrades: head.upgrades,
    };
    let client = Client::new(stream, &head);
    let request = into_request(*head, stream, config.request_body_idle);
    let answer = {
        let mut call = pin!(service.call(request, client));
        poll_fn(|context| poll_answer(stream, call.as_mut(), context)).await
    };
    let Some((response, mut record)) = answer else {
        return After::Close;
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return switch(stream, response, record, &present, config).await;
    }
    let persists =
        present.persists && !drain.is_announced() && may_follow(&stream.borrow(), &present);
    let mut sending = Sending::begin(
        stream,
        response,
        &present.method,
        present.version,
        !persists,
        config.write_idle,
    );
    let mut cut_off = CutOff(sending.ends_with_connection().then_some(&**stream));
    let end = poll_fn(|context| match sending.poll(stream, context) {
        Poll::Ready(end) => Poll::Ready(end),
        Poll::Pending => record.poll_ended(context).map(|()| End::Ended),
    })
    .await;
    if end == End::Complete {
        cut_off.0 = None;
    }
    let received = stream.borrow().received;
    record.finish(Outcome {
        received,
        sent: sending.sent,
        end,
    });
    match end {
        End::Complete if persists && !sending.ends_with_connection() => {
            drop(sending);
            if discard(stream, config.request_body_idle).await {
                After::Next
            } else {
                After::Close
            }
        }
        End::Complete => {
            drop(sending);
            linger(stream).await;
            After::Close
        }
        End::ClientGone | End::BodyFailed(_) | End::Ended => After::Close,
    }
}

/// An answer whose body ends with the connection, while it has not left whole: a plain close would be its regular end.
/// Whatever cuts it off, be it that the program ends, has the connection reset.
struct CutOff<'a>(Option<&'a RefCell<Stream>>);

impl Drop for CutOff<'_> {
    fn drop(&mut self) {
        if let Some(mut stream) = self.0.and_then(|stream| stream.try_borrow_mut().ok()) {
            stream.io.reset_on_close();
        }
    }
}

fn into_request(
    head: RequestHead,
    stream: &Rc<RefCell<Stream>>,
    body_idle: Duration,
) -> Request<Body> {
    let body = if stream.borrow().body.is_done() {
        Body::empty()
    } else {
        Body::request(RequestBody::new(stream, body_idle))
    };
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.target;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    request
}

/// Drives the service until it has an answer; `None` when the client goes away before that.
fn poll_answer<T>(
    stream: &RefCell<Stream>,
    call: Pin<&mut impl Future<Output = T>>,
    context: &mut Context<'_>,
) -> Poll<Option<T>> {
    if let Poll::Ready(answer) = call.poll(context) {
        return Poll::Ready(Some(answer));
    }
    let stream = &mut *stream.borrow_mut();
    // Interim answers.
    if let Poll::Ready(Err(_)) = stream.poll_flush(context) {
        return Poll::Ready(None);
    }
    // While the body is being read, the reader learns of the client's end.
    if stream.body.is_done() {
        stream.poll_gone(context).map(|()| None)
    } else {
        Poll::Pending
    }
}

/// Whether another request may follow on the connection, as far as the present one is concerned.
fn may_follow(stream: &Stream, present: &Present) -> bool {
    // What a client sends on the strength of an upgrade that was refused must not be taken for a request.
    if present.upgrades {
        return false;
    }
    // A client that has not been told to continue may or may not send its body (RFC 9110 §10.1.1).
    if stream.body_failed {
        return false;
    }
    let body_is_near = stream
        .body
        .remaining()
        .is_some_and(|left| left <= MOST_DISCARDED);
    body_is_near && (!stream.owes_continue || stream.body.is_done())
}

/// Reads what is left of the request's body. Whether the connection is ready for the next request.
async fn discard(stream: &RefCell<Stream>, idle: Duration) -> bool {
    let mut deadline = Deadline::default();
    poll_fn(|context| {
        let stream = &mut *stream.borrow_mut();
        loop {
            if stream.body.is_done() {
                return Poll::Ready(true);
            }
            match stream.poll_body(idle, context) {
                Poll::Ready(Some(Ok(_)) | None) => {}
                Poll::Ready(Some(Err(_))) => return Poll::Ready(false),
                Poll::Pending => {
                    if !deadline.is_set() {
                        deadline.set(idle);
                    }
                    return deadline.poll_passed(context).map(|()| false);
                }
            }
        }
    })
    .await
}

/// Ends the sending side and reads on for a while, so that the answer arrives.
async fn linger(stream: &RefCell<Stream>) {
    let mut deadline = Deadline::default();
    deadline.set(LINGER);
    poll_fn(|context| {
        let stream = &mut *stream.borrow_mut();
        match stream.io.poll_shutdown(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(_)) => return Poll::Ready(()),
            // The client takes not even the end.
            Poll::Pending => return deadline.poll_passed(context),
        }
        loop {
            stream.read.bytes().clear();
            match stream.read.poll_fill(&mut stream.io, 0, context) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return deadline.poll_passed(context),
            }
        }
    })
    .await;
}

/// Answers what is no acceptable request, and closes.
async fn refuse<E: Exchange>(
    stream: &RefCell<Stream>,
    answer: (Response<Body>, E),
    config: &ServerConfig,
) {
    let (response, record) = answer;
    stream.borrow_mut().body = crate::decoder::Decoder::Fixed(0);
    let mut sending = Sending::begin(
        stream,
        response,
        &Method::GET,
        Version::HTTP_11,
        true,
        config.write_idle,
    );
    let end = poll_fn(|context| sending.poll(stream, context)).await;
    record.finish(Outcome {
        received: 0,
        sent: sending.sent,
        end,
    });
    if end == End::Complete {
        linger(stream).await;
    }
}

/// Passes the switch of protocols on to the client.
async fn switch<E: Exchange>(
    stream: &RefCell<Stream>,
    response: Response<Body>,
    record: E,
    present: &Present,
    config: &ServerConfig,
) -> After<E> {
    let (head, body) = response.into_parts();
    let upgraded = match body.into_upgraded() {
        Ok(upgraded) if present.upgrades => upgraded,
        // A service that switches protocols unasked, or without a connection to switch to.
        _ => {
            let end = End::BodyFailed(BodyError::Malformed(
                "the protocol was switched without need",
            ));
            record.finish(Outcome {
                received: 0,
                sent: 0,
                end,
            });
            return After::Close;
        }
    };
    let head = Response::from_parts(head, Body::empty());
    let mut sending = Sending::begin(
        stream,
        head,
        &present.method,
        present.version,
        false,
        config.write_idle,
    );
    let end = poll_fn(|context| sending.poll(stream, context)).await;
    if end != End::Complete {
        record.finish(Outcome {
            received: 0,
            sent: 0,
            end,
        });
        return After::Close;
    }
    drop(sending);
    stream.borrow_mut().write.release();
    After::Tunnel(upgraded, Box::new(record))
}

/// Passes bytes both ways. The connection ends with it.
async fn run_tunnel<E: Exchange>(
    stream: &RefCell<Stream>,
    upgraded: Box<Upgraded>,
    mut record: Box<E>,
    idle: Duration,
) {
    let mut tunnel = Tunnel::new(upgraded, idle);
    let tunnelled = poll_fn(|context: &mut Context<'_>| {
        let stream = &mut *stream.borrow_mut();
        match tunnel.poll(&mut stream.io, &mut stream.read, &mut *record, context) {
            Poll::Ready(tunnelled) => Poll::Ready(tunnelled),
            Poll::Pending => record.poll_ended(context).map(|()| tunnel.ended()),
        }
    })
    .await;
    if tunnelled.end == TunnelEnd::Ended {
        let mut farewell = Box::pin(tunnel.into_farewell());
        poll_fn(|context: &mut Context<'_>| {
            let stream = &mut *stream.borrow_mut();
            farewell.poll(&mut stream.io, &mut stream.read, context)
        })
        .await;
    }
    let end = match tunnelled.end {
        TunnelEnd::Closed => End::Complete,
        TunnelEnd::BrokenUp => End::ClientGone,
        TunnelEnd::BrokenDown => End::BodyFailed(BodyError::Truncated),
        TunnelEnd::Idle => End::BodyFailed(BodyError::TimedOut),
        TunnelEnd::Ended => End::Ended,
    };
    record.finish(Outcome {
        received: tunnelled.received,
        sent: tunnelled.sent,
        end,
    });
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::head::RequestLimits;
    use crate::tls;
    use crate::tunnel::{Passed, TunnelSide};

    const WHILE: std::time::Duration = std::time::Duration::from_secs(10);
    const CONFIG: ServerConfig = ServerConfig {
        head: RequestLimits {
            head: 1024,
            fields: 10,
            target: 100,
        },
        head_timeout: WHILE,
        keep_alive: WHILE,
        request_body_idle: WHILE,
        write_idle: WHILE,
        tunnel_idle: WHILE,
    };

    struct Ok200;

    struct Record;

    impl Exchange for Record {
        fn passed(&mut self, _: TunnelSide, _: Passed) {}

        fn finish(self, _: Outcome) {}
    }

    impl Service for Ok200 {
        type Exchange = Record;

        async fn call(&self, _: Request<Body>, _: Client) -> (Response<Body>, Record) {
            (Response::new(Body::full(Bytes::from_static(b"ok"))), Record)
        }

        fn refuse(&self, _: HeadError) -> (Response<Body>, Record) {
            (Response::new(Body::empty()), Record)
        }
    }

    /// Both ends of a connection.
    async fn connection() -> (TcpStream, Io) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), Io::new(server.unwrap().0))
    }

    async fn rest(client: &mut TcpStream) -> String {
        let mut text = String::new();
        client.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_request_that_has_come_before_the_end_was_seen_is_answered() {
        let (mut client, io) = connection().await;
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let drain = Drain::default();
        drain.begin();
        let served = async { drop(serve(io, &Ok200, &CONFIG, &drain).await) };
        let ((), answer) = tokio::join!(served, rest(&mut client));
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn an_announced_end_lets_an_idle_connection_have_one_more_request() {
        let (mut client, io) = connection().await;
        let drain = Drain::default();
        drain.announce();
        let served = async { drop(serve(io, &Ok200, &CONFIG, &drain).await) };
        let asked = async {
            tokio::task::yield_now().await;
            let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            client.write_all(request).await.unwrap();
            rest(&mut client).await
        };
        let ((), answer) = tokio::join!(served, asked);
        assert!(answer.contains("connection: close"), "{answer}");
    }

    #[tokio::test]
    async fn an_end_that_has_begun_closes_an_idle_connection() {
        let (mut client, io) = connection().await;
        let drain = Drain::default();
        let served = async { drop(serve(io, &Ok200, &CONFIG, &drain).await) };
        let ended = async {
            tokio::task::yield_now().await;
            drain.begin();
            rest(&mut client).await
        };
        let both = timeout(WHILE / 2, async { tokio::join!(served, ended) });
        assert_eq!(both.await.unwrap().1, "");
    }

    /// Reads for a while what a client of HTTP/1.0 gets that leaves off sending, or is left.
    async fn cut_off(leave: impl AsyncFnOnce(&mut TcpStream)) -> std::io::Result<usize> {
        let (mut client, io) = connection().await;
        let drain = Drain::default();
        let served = async { drop(serve(io, &Endless, &CONFIG, &drain).await) };
        let asked = async {
            client.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut head = [0; 4];
            client.read_exact(&mut head).await.unwrap();
            leave(&mut client).await;
        };
        // The service never ends by itself: what is left of it is dropped here.
        tokio::select! { () = async { tokio::join!(served, asked); } => {}, () = tokio::time::sleep(WHILE / 100) => {} }
        client.read_to_end(&mut Vec::new()).await
    }

    /// Answers without a length, and without an end.
    struct Endless;

    impl Service for Endless {
        type Exchange = Record;

        async fn call(&self, _: Request<Body>, _: Client) -> (Response<Body>, Record) {
            (Response::new(Body::boxed(Never)), Record)
        }

        fn refuse(&self, _: HeadError) -> (Response<Body>, Record) {
            (Response::new(Body::empty()), Record)
        }
    }

    struct Never;

    impl http_body::Body for Never {
        type Data = Bytes;
        type Error = BodyError;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_without_a_length_that_is_cut_off_does_not_look_whole() {
        let half = cut_off(async |client| client.shutdown().await.unwrap()).await;
        assert!(half.is_err(), "the client has left off sending");
        let dropped = cut_off(async |_| {}).await;
        assert!(dropped.is_err(), "the connection has been dropped");
    }

    #[tokio::test]
    async fn a_client_that_takes_not_even_the_end_is_not_waited_for() {
        let (io, client) = tls::tests::full().await;
        let stream = RefCell::new(Stream::new(io));
        timeout(2 * LINGER, linger(&stream)).await.unwrap();
        drop(client);
    }

    #[tokio::test]
    async fn what_tls_holds_back_counts_as_unsent_so_that_a_slow_client_is_seen_to_get_on() {
        let (io, client) = tls::tests::full().await;
        let mut stream = Stream::new(io);
        assert_eq!(stream.unsent(), 0);
        stream.write.small().extend_from_slice(b"answer");
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(stream.poll_flush(&mut context).is_pending());
        // All of it is with TLS, whose socket takes nothing.
        assert!(stream.write.is_empty() && stream.unsent() > b"answer".len());
        drop(client);
    }
}

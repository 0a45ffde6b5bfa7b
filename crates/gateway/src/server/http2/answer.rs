//! The answer of a stream, written as fast as the client takes it.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE, TE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use wire::server::{End, Exchange as _, Outcome};
use wire::{Body, BodyError, Deadline};

use super::conduct::Conduct;
use crate::middleware::access_log::Exchange;
use crate::proxy::strip_answer;

/// An exchange that is told of its end, however it comes.
pub(super) struct Ongoing {
    exchange: Option<Exchange>,
    /// Bytes of the request's body, counted where it is read.
    received: Rc<Cell<u64>>,
    pub(super) sent: u64,
}

impl Ongoing {
    pub(super) fn new(exchange: Exchange, received: Rc<Cell<u64>>) -> Self {
        Self {
            exchange: Some(exchange),
            received,
            sent: 0,
        }
    }

    pub(super) fn set_received(&self, bytes: u64) {
        self.received.set(bytes);
    }

    /// None when it has ended.
    pub(super) fn exchange(&mut self) -> Option<&mut Exchange> {
        self.exchange.as_mut()
    }

    /// Ready when it is to end although its answer has not.
    pub(super) fn poll_ended(&mut self, context: &mut Context<'_>) -> Poll<End> {
        match &mut self.exchange {
            Some(exchange) => exchange.poll_ended(context).map(|()| End::Ended),
            None => Poll::Pending,
        }
    }

    pub(super) fn finish(&mut self, end: End) {
        if let Some(exchange) = self.exchange.take() {
            exchange.finish(Outcome {
                received: self.received.get(),
                sent: self.sent,
                end,
            });
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.finish(End::ClientGone);
    }
}

/// Sends the answer to a request with `method`. The client may take nothing of it for as long as `idle`.
pub(super) async fn send(
    respond: &mut SendResponse<Bytes>,
    answer: Response<Body>,
    method: &Method,
    ongoing: &mut Ongoing,
    conduct: &Conduct,
    idle: Duration,
) -> End {
    let (head, mut body) = answer.into_parts();
    let mut head = Response::from_parts(head, ());
    let length = body.exact_length().filter(|_| !body.is_finished());
    prepare(&mut head, length);
    let is_all = *method == Method::HEAD || body.is_finished();
    let Ok(stream) = respond.send_response(head, is_all) else {
        return End::ClientGone;
    };
    if is_all {
        return End::Complete;
    }
    let mut outgoing = Outgoing {
        stream,
        idle,
        deadline: Deadline::default(),
    };
    let end = pipe(&mut outgoing, &mut body, ongoing, conduct).await;
    match end {
        End::Complete => {}
        End::ClientGone => outgoing.stream.send_reset(Reason::CANCEL),
        End::BodyFailed(_) | End::Ended => outgoing.stream.send_reset(Reason::INTERNAL_ERROR),
    }
    end
}

/// Makes a head one of HTTP/2: without what is for a connection (RFC 9113 §8.2.2), and with what wire's own have.
pub(super) fn prepare(head: &mut Response<()>, length: Option<u64>) {
    let headers = head.headers_mut();
    strip_answer(headers, false);
    headers.remove(TE);
    headers.entry(DATE).or_insert_with(wire::date);
    if let Some(length) = length {
        let entry = headers.entry(CONTENT_LENGTH);
        entry.or_insert_with(|| HeaderValue::from(length));
    }
}

/// What has become of waiting for the next part of a body.
enum Next {
    Frame(Option<Result<Frame<Bytes>, BodyError>>),
    Over(End),
}

async fn pipe(
    outgoing: &mut Outgoing,
    body: &mut Body,
    ongoing: &mut Ongoing,
    conduct: &Conduct,
) -> End {
    loop {
        let next = poll_fn(|context| {
            // Whoever has gone is to be noticed while the backend takes its time, too.
            if outgoing.stream.poll_reset(context).is_ready() {
                return Poll::Ready(Next::Over(End::ClientGone));
            }
            match body.poll_next(context) {
                Poll::Ready(frame) => Poll::Ready(Next::Frame(frame)),
                Poll::Pending => ongoing.poll_ended(context).map(Next::Over),
            }
        });
        let frame = match next.await {
            Next::Frame(Some(Ok(frame))) => frame,
            Next::Frame(Some(Err(error))) => return End::BodyFailed(error),
            Next::Frame(None) => return outgoing.end(),
            Next::Over(end) => return end,
        };
        match frame.into_data() {
            Ok(data) => {
                let is_last = body.is_finished();
                if let Err(end) = outgoing.data(data, is_last, ongoing, conduct).await {
                    return end;
                }
                if is_last {
                    return End::Complete;
                }
            }
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    return match outgoing.stream.send_trailers(trailers) {
                        Ok(()) => End::Complete,
                        Err(_) => End::ClientGone,
                    };
                }
            }
        }
    }
}

/// The client has gone.
#[derive(Debug)]
pub(super) struct Gone;

impl From<Gone> for End {
    fn from(Gone: Gone) -> Self {
        Self::ClientGone
    }
}

/// The sending side of a stream.
struct Outgoing {
    stream: SendStream<Bytes>,
    idle: Duration,
    deadline: Deadline,
}

impl Outgoing {
    /// Sends `data`, no more at once than there is room for at the client: what waits, waits here and at its source, and
    /// not in a queue.
    async fn data(
        &mut self,
        mut data: Bytes,
        is_last: bool,
        ongoing: &mut Ongoing,
        conduct: &Conduct,
    ) -> Result<(), End> {
        let gone = |_| End::ClientGone;
        if data.is_empty() && is_last {
            return self.stream.send_data(data, true).map_err(gone);
        }
        while !data.is_empty() {
            self.stream.reserve_capacity(data.len());
            let room = poll_fn(|context| match self.poll_room(context) {
                Poll::Ready(room) => Poll::Ready(room.map_err(End::from)),
                Poll::Pending => ongoing.poll_ended(context).map(Err),
            });
            let part = data.split_to(room.await?.min(data.len()));
            let length = part.len();
            let ends = is_last && data.is_empty();
            self.stream.send_data(part, ends).map_err(gone)?;
            ongoing.sent += length as u64;
            conduct.sent_data(length);
        }
        Ok(())
    }

    /// How much may be sent now of what has been reserved. Who takes nothing for too long has gone.
    fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Result<usize, Gone>> {
        let room = poll_room(&mut self.stream, context);
        if room.is_ready() {
            self.deadline.clear();
            return room;
        }
        if !self.deadline.is_set() {
            self.deadline.set(self.idle);
        }
        ready!(self.deadline.poll_passed(context));
        Poll::Ready(Err(Gone))
    }

    fn end(&mut self) -> End {
        match self.stream.send_data(Bytes::new(), true) {
            Ok(()) => End::Complete,
            Err(_) => End::ClientGone,
        }
    }
}

/// How much may be sent now of what has been reserved on `stream`.
pub(super) fn poll_room(
    stream: &mut SendStream<Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Gone>> {
    if stream.poll_reset(context).is_ready() {
        return Poll::Ready(Err(Gone));
    }
    loop {
        if stream.capacity() > 0 {
            return Poll::Ready(Ok(stream.capacity()));
        }
        match ready!(stream.poll_capacity(context)) {
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Poll::Ready(Err(Gone)),
        }
    }
}

/// An answer that says nothing but its status.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

//! One stream: a request, and its answer or its WebSocket.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::header::SEC_WEBSOCKET_KEY;
use http::{Method, Request, Response, StatusCode, Version};
use tokio::task::spawn_local;
use wire::Body;
use wire::head::HeadError;
use wire::server::{Client, End, ServerConfig};
use wire::tunnel::Upgraded;

use super::activity::OpenStream;
use super::answer::{self, Ongoing};
use super::conduct::Conduct;
use super::request::{self, Accepted};
use super::websocket::{self, Answered, Tunnel};
use crate::error::ErrorCode;
use crate::middleware::access_log::Exchange;
use crate::server::connection::ClientService;

/// One stream: a request, and its answer.
pub(super) struct Stream {
    pub(super) service: Rc<ClientService>,
    pub(super) config: ServerConfig,
    pub(super) conduct: Rc<Conduct>,
    pub(super) respond: SendResponse<Bytes>,
}

impl Stream {
    /// Serves a request. `open` lasts as long as its stream does.
    pub(super) async fn serve(mut self, request: Request<RecvStream>, open: OpenStream) {
        let received = Rc::new(Cell::new(0));
        let method = request.method().clone();
        let end = match request::accept(request, &self.config, &received) {
            Ok(Accepted::Request(request)) => {
                let answered = self.answered(request, Client::default()).await;
                match answered {
                    Some((answer, exchange)) => {
                        let ongoing = Ongoing::new(exchange, received);
                        self.answer(answer, &method, ongoing).await
                    }
                    None => End::ClientGone,
                }
            }
            Ok(Accepted::WebSocket(request, stream)) => {
                return self.serve_websocket(request, stream, received, open).await;
            }
            Err(error) => {
                let (answer, exchange) = self.refuse(error);
                let ongoing = Ongoing::new(exchange, received);
                self.answer(answer, &method, ongoing).await
            }
        };
        self.conduct.ended(end);
    }

    /// None when the client does not wait for it.
    async fn answered(
        &mut self,
        request: Request<Body>,
        client: Client,
    ) -> Option<(Response<Body>, Exchange)> {
        let Self {
            service, respond, ..
        } = self;
        let mut answer = pin!(service.handler.handle(request, client, &service.side));
        poll_fn(|context| match answer.as_mut().poll(context) {
            Poll::Ready(answer) => Poll::Ready(Some(answer)),
            Poll::Pending => respond.poll_reset(context).map(|_| None),
        })
        .await
    }

    fn refuse(&self, error: HeadError) -> (Response<Body>, Exchange) {
        let service = &self.service;
        service
            .handler
            .refuse(error, Version::HTTP_2, &service.side)
    }

    async fn answer(
        &mut self,
        answer: Response<Body>,
        method: &Method,
        mut ongoing: Ongoing,
    ) -> End {
        let (conduct, idle) = (&self.conduct, self.config.write_idle);
        let respond = &mut self.respond;
        let end = answer::send(respond, answer, method, &mut ongoing, conduct, idle).await;
        ongoing.finish(end);
        end
    }

    async fn serve_websocket(
        mut self,
        request: Request<Body>,
        stream: RecvStream,
        received: Rc<Cell<u64>>,
        open: OpenStream,
    ) {
        let key = request.headers().get(SEC_WEBSOCKET_KEY).cloned();
        let answered = self.answered(request, Client::upgrading()).await;
        let end = match answered {
            None => End::ClientGone,
            Some((answer, mut exchange)) => match websocket::judge(answer, key.as_ref()) {
                Answered::Opened(head, upgraded) => {
                    let ongoing = Ongoing::new(exchange, Rc::clone(&received));
                    return self.open_websocket(head, stream, upgraded, ongoing, open);
                }
                Answered::Refused(answer) => {
                    let ongoing = Ongoing::new(exchange, received);
                    self.answer(answer, &Method::GET, ongoing).await
                }
                Answered::Wrong => {
                    let answer = answer::bare(StatusCode::BAD_GATEWAY);
                    let error = ErrorCode::UpstreamMalformed;
                    exchange.entry().set_answer(error.status(), Some(error));
                    let ongoing = Ongoing::new(exchange, received);
                    self.answer(answer, &Method::GET, ongoing).await
                }
            },
        };
        self.conduct.ended(end);
    }

    /// The stream is a WebSocket from here on. It has a task of its own, so that none holds the room any more that answering
    /// the request has needed.
    fn open_websocket(
        mut self,
        mut head: Response<()>,
        stream: RecvStream,
        upgraded: Box<Upgraded>,
        mut ongoing: Ongoing,
        open: OpenStream,
    ) {
        answer::prepare(&mut head, None);
        let Ok(sending) = self.respond.send_response(head, false) else {
            return self.conduct.ended(End::ClientGone);
        };
        let (conduct, idle) = (self.conduct, self.config.tunnel_idle);
        let tunnel = Tunnel::new((stream, sending), upgraded, Rc::clone(&conduct), idle);
        spawn_local(async move {
            let _open = open;
            let end = tunnel.run(&mut ongoing).await;
            ongoing.finish(end);
            conduct.ended(end);
        });
    }
}

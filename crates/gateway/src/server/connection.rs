//! One client connection, whichever version of HTTP it speaks.

use std::rc::Rc;

use http::{Request, Response, Version};
use wire::head::{HeadError, RequestLimits};
use wire::server::{Client, Drain, Ended, ServerConfig, Service};
use wire::{Body, Io};

use super::http2;
use crate::config::Settings;
use crate::handler::Handler;
use crate::middleware::access_log::Exchange;
use crate::proxy::ClientSide;

/// Limits of client connections, from the settings.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) server: ServerConfig,
    /// HTTP/2 streams that may be open at once.
    pub(super) most_streams: u32,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        let (limits, timeouts) = (&settings.limits, &settings.timeouts);
        Self {
            server: ServerConfig {
                head: RequestLimits {
                    head: limits.max_head_size,
                    fields: limits.max_headers,
                    target: limits.max_target_size,
                },
                head_timeout: timeouts.head,
                keep_alive: timeouts.keep_alive,
                request_body_idle: timeouts.request_body_idle,
                write_idle: timeouts.response_body_idle,
                tunnel_idle: timeouts.websocket_idle,
            },
            most_streams: limits.max_http2_streams,
        }
    }
}

/// The requests of one connection.
#[derive(Debug)]
pub(super) struct ClientService {
    pub(super) handler: Rc<Handler>,
    pub(super) side: ClientSide,
}

impl Service for ClientService {
    type Exchange = Exchange;

    fn call(
        &self,
        request: Request<Body>,
        client: Client,
    ) -> impl Future<Output = (Response<Body>, Exchange)> {
        self.handler.handle(request, client, &self.side)
    }

    fn refuse(&self, error: HeadError) -> (Response<Body>, Exchange) {
        self.handler.refuse(error, Version::HTTP_11, &self.side)
    }
}

impl ClientService {
    /// For a connection of `side`.
    pub(super) fn new(handler: &Rc<Handler>, side: ClientSide) -> Self {
        Self {
            handler: Rc::clone(handler),
            side,
        }
    }
}

/// Serves a connection until it is closed.
pub(super) async fn serve(io: Io, service: Rc<ClientService>, limits: &Limits, drain: &Drain) {
    let mut connected = service.handler.counts.connected();
    match wire::server::serve(io, &*service, &limits.server, drain).await {
        Ended::Closed => {}
        Ended::Http2(opened) => {
            let (io, buffered) = *opened;
            connected.speaks_http2();
            Box::pin(http2::serve(
                io,
                buffered,
                Rc::clone(&service),
                limits,
                drain,
            ))
            .await
        }
    }
}

//! Connections that stay: a WebSocket echo and server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http_body::Frame;
use tokio::time::{Interval, interval};

/// `/ws/echo` sends back what it gets.
pub(super) fn echo() -> Router {
    Router::new().route(
        "/ws/echo",
        get(|upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(echo_all) }),
    )
}

async fn echo_all(mut socket: WebSocket) {
    while let Some(Ok(message)) = socket.recv().await {
        let sent = match message {
            Message::Text(_) | Message::Binary(_) => socket.send(message).await,
            // The library answers pings and closes.
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) => Ok(()),
        };
        if sent.is_err() {
            break;
        }
    }
}

/// `/events` tells the time once a second.
pub(super) fn events() -> Router {
    Router::new().route("/events", get(stream))
}

async fn stream() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
    ];
    let clock = Ticking {
        ticks: interval(Duration::from_secs(1)),
        id: 0,
    };
    (headers, Body::new(clock)).into_response()
}

/// An endless body: one event per tick.
struct Ticking {
    ticks: Interval,
    id: u64,
}

impl http_body::Body for Ticking {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        ready!(this.ticks.poll_tick(context));
        this.id += 1;
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let event = format!("id: {}\ndata: {{\"time\":\"{time}\"}}\n\n", this.id);
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}
